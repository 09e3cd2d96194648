"""Which families of cues have no value in a clip, and the reason in words."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.training_set import VALID_SHARE, family_of, matrix
from features.reasons import CLIP, OBSERVATION, Reason
from features.spec import is_share
from features.table import feature_columns, row_reasons

SENTENCES: Mapping[str, str] = {
    Reason.FAILED: "its code raised an error: see the clip's error message",
    Reason.NOT_INSTALLED: "the network's weights are not installed",
    Reason.NO_AUDIO: "the clip has no audio",
    Reason.NO_VIDEO: "the file holds no video",
    Reason.NO_FACE: "no face was found",
    Reason.TOO_SHORT: "the clip is too short",
    Reason.UNUSABLE: "nothing in the clip was usable for it",
}
TOO_LITTLE = "too little of the clip was usable for it"
SEEN_BRIEFLY = "what it measures was visible for too short a time, or too small"
UNTRAINED = "no clip of the training had what was measured of it"
NO_OBSERVATION = "its observation was not kept"
"""For a family without a reason code, in a row whose observation was to be read but had not been kept."""


def unmeasured_families(
    table: pa.Table, read: Container[str] | None = None, *, untrained: Container[str] = ()
) -> list[dict[str, str]]:
    """Return, for each row, the families without a defined cue, each with the reason in words.

    The reason is that of the code in the table's column ``reasons``; where the whole clip was not measured, it is the
    row's ``error``.

    Parameters
    ----------
    table
        Feature table.
    read
        The columns that a model reads: other columns are ignored, and families of which it reads none are left out.
    untrained
        The columns that it would read if a training row had had them; a clip may have nothing else of a family.
    """
    cues: dict[str, list[str]] = {}
    read_of: dict[str, list[str]] = {}
    for name in feature_columns(table):
        if not is_share(name):
            cues.setdefault(family_of(name), []).append(name)
            if read is None or name in read:
                read_of.setdefault(family_of(name), []).append(name)
    absent, wholly = _undefined(table, read_of), _undefined(table, cues)
    foreign = {family: [name for name in names if name in untrained] for family, names in cues.items()}
    new = {family: ~undefined for family, undefined in _undefined(table, foreign).items()}
    shares = {family: _shares(table, family) for family in read_of}
    rows = zip(table.select(["status", "error"]).to_pylist(), row_reasons(table), strict=True)
    return [
        {
            family: _in_words(family, reasons, row, shares[family][number])
            if wholly[family][number]
            else _of_others(shares[family][number], is_new=bool(new[family][number]))
            for family in sorted(read_of)
            if absent[family][number]
        }
        for number, (row, reasons) in enumerate(rows)
    ]


def _undefined(table: pa.Table, columns: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.bool_]]:
    """Return, for each family, [n] whether none of its columns is defined."""
    return {family: np.all(np.isnan(matrix(table, tuple(names))), axis=1) for family, names in columns.items()}


def _shares(table: pa.Table, family: str) -> list[float]:
    name = f"{family}.{VALID_SHARE}"
    return table.column(name).to_pylist() if name in table.column_names else [0.0] * table.num_rows


def _in_words(family: str, reasons: Mapping[str, str], row: Mapping[str, str | None], share: float) -> str:
    if CLIP in reasons:
        return row["error"] or f"the clip is {row['status']}"
    if family not in reasons and reasons.get(OBSERVATION) == Reason.NOT_KEPT:
        return NO_OBSERVATION
    code = reasons.get(family, Reason.UNUSABLE)
    return _of_the_share(share) if code == Reason.UNUSABLE else SENTENCES.get(code, f"its reason is {code!r}")


def _of_others(share: float, *, is_new: bool) -> str:
    """Return why a family has no value that the model reads, though it has others; ``is_new``: some are untrained."""
    return UNTRAINED if is_new else _of_the_share(share)


def _of_the_share(share: float) -> str:
    """Return why a family that was measured has no value, from its ``valid_share``."""
    if not share > 0:
        return SENTENCES[Reason.UNUSABLE]
    text = f"{share:.0%}"
    return SEEN_BRIEFLY if text == "100%" else f"{TOO_LITTLE}: {text}"


def is_unusable(words: str) -> bool:
    """Whether the reason ``words`` means that a family was measured but found too little of use in the clip."""
    return words in {SENTENCES[Reason.UNUSABLE], SEEN_BRIEFLY} or words.startswith(TOO_LITTLE)
