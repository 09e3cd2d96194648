"""``clip_folds.csv``: by clip, the fold whose networks never saw it, and as what the others learned it.

A clip of a real picture and a made voice is FAKE in a data set, and still REAL to what learned from pictures.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from features.errors import DatasetError

COLUMNS = ("filename", "fold", "fake")


class Place(NamedTuple):
    """``fake`` is what the clip was learned as; None where a file does not say it."""

    fold: int
    fake: bool | None = None


def write(file: Path, places: Mapping[str, Place]) -> None:
    """Write the file, sorted by filename."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        table.writerow(COLUMNS)
        for name, (fold, fake) in sorted(places.items()):
            table.writerow((name, fold, "" if fake is None else int(fake)))


def read(file: Path) -> dict[str, Place]:
    """The place of each filename; the column ``fake`` may be missing.

    Raises
    ------
    DatasetError
        The file is missing or is no CSV of ``filename,fold``.
    """
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            return {
                row["filename"]: Place(int(row["fold"]), bool(int(row["fake"])) if row.get("fake") else None)
                for row in csv.DictReader(opened)
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{file} is no CSV of filename,fold; give the clip_folds.csv that the training wrote"
        ) from error
