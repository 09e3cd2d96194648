"""Which families of cues have no number in a clip, and why, in words for a person."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.training_set import VALID_SHARE, family_of, matrix
from features.reasons import CLIP, OBSERVATION, Reason
from features.spec import is_share
from features.table import feature_columns, row_reasons

SENTENCES = {
    Reason.FAILED: "its code raised an error: see the clip's error message",
    Reason.NOT_INSTALLED: "the network's weights are not installed",
    Reason.NO_SOUND: "the clip has no audio",
    Reason.NO_PICTURE: "the file holds no video",
    Reason.NO_FACE: "no face was found",
    Reason.TOO_SHORT: "the clip is too short",
    Reason.UNUSABLE: "nothing in the clip was usable for it",
}
TOO_LITTLE = "too little of the clip was usable for it"
SEEN_BRIEFLY = "what it looks at was seen for too short a time, or too small"
NO_OBSERVATION = "its observation was not kept"
"""Of a family that has no code, where the row says so: it was to be measured of the kept observation."""


def unmeasured_families(table: pa.Table, read: Container[str] | None = None) -> list[dict[str, str]]:
    """For each row, the families without a single defined cue, each with the reason in words.

    The reason is that of the code in the table's column ``reasons``; where the whole clip was not measured, the row's
    ``error``.

    Parameters
    ----------
    table
        Of features.
    read
        The columns that a model reads: these alone are looked at, and families of which it reads none are left out.
    """
    cues: dict[str, list[str]] = {}
    looked_at: dict[str, list[str]] = {}
    for name in feature_columns(table):
        if not is_share(name):
            cues.setdefault(family_of(name), []).append(name)
            if read is None or name in read:
                looked_at.setdefault(family_of(name), []).append(name)
    absent, wholly = _undefined(table, looked_at), _undefined(table, cues)
    shares = {family: _shares(table, family) for family in looked_at}
    rows = zip(table.select(["status", "error"]).to_pylist(), row_reasons(table), strict=True)
    return [
        {
            family: (
                _in_words(family, reasons, row, shares[family][number])
                if wholly[family][number]
                else _of_the_share(shares[family][number])
            )
            for family in sorted(looked_at)
            if absent[family][number]
        }
        for number, (row, reasons) in enumerate(rows)
    ]


def _undefined(table: pa.Table, columns: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.bool_]]:
    """Family to whether none of its columns is defined, in each row."""
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
    return _of_the_share(share) if code == Reason.UNUSABLE else SENTENCES[Reason(code)]


def _of_the_share(share: float) -> str:
    """Why a family that was measured has no number, from its ``valid_share``."""
    if not share > 0:
        return SENTENCES[Reason.UNUSABLE]
    text = f"{share:.0%}"
    return SEEN_BRIEFLY if text == "100%" else f"{TOO_LITTLE}: {text}"


def is_unusable(words: str) -> bool:
    """Whether the reason ``words`` says that a family was measured, and that the clip had too little for it."""
    return words in {SENTENCES[Reason.UNUSABLE], SEEN_BRIEFLY} or words.startswith(TOO_LITTLE)
