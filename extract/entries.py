"""The entry of one clip in a data set, and how cells and JSON entries are parsed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.errors import DatasetError

LABELS = {
    **dict.fromkeys(("real", "0", "0.0", "false"), "REAL"),  # numbers and booleans as programs write them
    **dict.fromkeys(("fake", "1", "1.0", "true"), "FAKE"),
}
# missing values as pandas, R and spreadsheets write them
NOTHING = frozenset({"nan", "none", "null", "na", "n/a", "<na>", "#n/a"})
PARTS = frozenset({"picture", "voice", "sound"})  # sound: audio shifted in time, or replaced by another recording
OR = "|"  # between several originals of one clip


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a data set."""

    filename: str
    """Path relative to the data set, with forward slashes."""
    path: str
    """Path or URL of the file."""
    label: str | None = None
    """``REAL``, ``FAKE``, or None where it is unknown."""
    group: str = ""
    """Clips of one group always share a fold."""
    source: str | None = None
    """Data set or part that the clip comes from; the method where only the method is given."""
    original: str = ""
    """The REAL clip that a FAKE one was made from; several with ``|`` between them."""
    method: str = ""
    """How a FAKE clip was made; for a REAL clip, the origin that the manifest gives in this column."""
    forged: frozenset[str] = frozenset()
    """The forged ones of :data:`PARTS`; empty for a REAL clip, and where the data set does not say."""


def described(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Parse label, group, method and forged parts from an entry or a row."""
    label = label_of(entry.get("label"), where)
    part = named(entry.get("fake_part") or entry.get("part")).lower()
    return {
        "label": label,
        "group": named(entry.get("group")),
        "method": named(entry.get("method") or entry.get("kind")),
        "forged": PARTS.intersection(re.findall("[a-z]+", part)) if label == "FAKE" else frozenset(),
    }


def named(value: object) -> str:
    """Return a cell's text without surrounding blanks; empty for the usual spellings of a missing value.

    >>> named(" anna "), named("NA"), named(None)
    ('anna', '', '')
    """
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in NOTHING else text


def label_of(value: object, where: str) -> str | None:
    """Return ``REAL`` or ``FAKE`` for any accepted spelling of a label; None for a missing one.

    Raises
    ------
    DatasetError
        The value is not a label; ``where`` names its place.
    """
    text = named(value).lower()
    if not text:
        return None
    if text not in LABELS:
        raise DatasetError(f"{where}: label {value!r} is not REAL or FAKE; fix it")
    return LABELS[text]


def slashed(name: str) -> str:
    """Return a path with forward slashes."""
    return name.replace("\\", "/")
