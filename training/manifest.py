"""Batches of REAL/FAKE pairs for the forensic network: labels, made forgeries, frames of clips.

Both of a pair go through the same view and the same quality (:mod:`forge.images.augment`). A batch depends on the seed
and its number alone, so that a resumed run goes on as if it had not stopped.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from features.errors import DatasetError


def method_family(method: str) -> str:
    """What stands before the first underscore: methods that share it are one family."""
    return method.split("_", 1)[0]


REAL_PICTURE = "voice"  # value of the manifest's fake_part: only the sound is forged


def forged_picture(clip: Mapping[str, str]) -> bool:
    """True for a row of a manifest whose picture is forged, be the voice made or not."""
    return clip["label"] == "FAKE" and clip["fake_part"] != REAL_PICTURE


def read_manifest(manifest: Path) -> list[dict[str, str]]:
    """Rows of a CSV manifest, sorted by filename."""
    try:
        with manifest.open(newline="") as file:
            return sorted(csv.DictReader(file), key=lambda row: row["filename"])
    except (OSError, KeyError) as error:
        raise DatasetError(f"{manifest} can't be read as a manifest of clips: {error}") from error


def clip_path(manifest: Path, filename: str) -> Path:
    """The clip beside its manifest, or in the folder ``files`` beside it."""
    beside = manifest.parent / filename
    return beside if beside.exists() else manifest.parent / "files" / filename


def progress(items: Iterable[Any], name: str, total: int | None = None) -> Any:
    """The items, with a bar."""
    from tqdm import tqdm

    return tqdm(items, desc=name, total=total, unit="", mininterval=5.0)
