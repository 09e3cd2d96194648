"""What a data set says of one clip, and how its cells and entries are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.errors import DatasetError

LABELS = {
    **dict.fromkeys(("real", "0", "0.0", "false"), "REAL"),  # numbers and truth values as programs write them
    **dict.fromkeys(("fake", "1", "1.0", "true"), "FAKE"),
}
NOTHING = frozenset({"nan", "none", "null", "na", "n/a", "<na>", "#n/a"})  # as pandas, R and spreadsheets write it
PARTS = frozenset({"picture", "voice", "sound"})  # sound: moved, or exchanged for another recording
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
    """What a split must never part."""
    source: str | None = None
    """Data set or part that the clip is from; the method where only that is given."""
    original: str = ""
    """The REAL clip that a FAKE one was made from; several with ``|`` between them."""
    method: str = ""
    """What made a FAKE clip; of a REAL one, where the manifest's column says where it is from."""
    forged: frozenset[str] = frozenset()
    """Of :data:`PARTS`, what is forged; empty for a REAL clip, and where the data set does not say it."""


def described(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Label, group, method and forged parts, as an entry or a row gives them."""
    label = label_of(entry.get("label"), where)
    part = named(entry.get("fake_part") or entry.get("part")).lower()
    return {
        "label": label,
        "group": named(entry.get("group")),
        "method": named(entry.get("method") or entry.get("kind")),
        "forged": PARTS.intersection(re.findall("[a-z]+", part)) if label == "FAKE" else frozenset(),
    }


def named(value: object) -> str:
    """What a cell or an entry names, without blanks around it; empty for what programs write for nothing.

    >>> named(" anna "), named("NA"), named(None)
    ('anna', '', '')
    """
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in NOTHING else text


def label_of(value: object, where: str) -> str | None:
    """``REAL`` or ``FAKE`` for what a data set calls them; None for nothing.

    Raises
    ------
    DatasetError
        It is something else; ``where`` names the place.
    """
    text = named(value).lower()
    if not text:
        return None
    if text not in LABELS:
        raise DatasetError(f"{where}: label {value!r} is not REAL or FAKE; fix it")
    return LABELS[text]


def slashed(name: str) -> str:
    """A path with forward slashes."""
    return name.replace("\\", "/")
