"""The clips that networks are trained on: those of a data set, with what training needs to know of each."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from extract.dataset import find_clips
from extract.entries import ClipEntry
from features.errors import DatasetError

logger = logging.getLogger(__name__)

NEEDED = (
    "training needs the columns filename, label and group, and of FAKE clips method (what made it) and fake_part "
    "(picture, voice, or picture and voice)"
)


def training_clips(data: str | os.PathLike[str]) -> list[ClipEntry]:
    """The labelled clips of a manifest or folder, sorted by filename; clips without a label are left out.

    Raises
    ------
    DatasetError
        There is no labelled clip, or a FAKE clip does not say what made it or which part of it is forged; the message
        names the column.
    """
    found = find_clips(os.fspath(data))
    clips = [clip for clip in found if clip.label is not None]
    if not clips:
        raise DatasetError(f"{data}: no clip has a label (column 'label'); {NEEDED}")
    if len(clips) < len(found):
        logger.warning("%s: %d clips without a label are left out", data, len(found) - len(clips))
    fakes = [clip for clip in clips if clip.label == "FAKE"]
    for column, missing in (
        ("method", [clip for clip in fakes if not clip.method]),
        ("fake_part", [clip for clip in fakes if not clip.forged]),
    ):
        if missing:
            where = "is missing" if len(missing) == len(fakes) else f"says nothing of {missing[0].filename}"
            raise DatasetError(f"{data}: the column {column!r} {where}; {NEEDED}")
    return clips


def forged_picture(clip: ClipEntry) -> bool:
    """True when the picture of a clip is forged, be its voice synthetic or not."""
    return "picture" in clip.forged


def origin(clip: ClipEntry) -> str:
    """What made a FAKE clip, or the data set that a REAL one is from; empty where nothing says it."""
    return clip.method or clip.source or ""


def method_family(method: str) -> str:
    """What stands before the first underscore or the plus between two names: methods that share it are one family.

    Capitals, other signs and what stands in brackets make no difference, for data sets spell a method differently.

    >>> [method_family(method) for method in ("ff++_deepfakes", "VASA-1", "vasa1", "Loopy (Jimeng)", "A+B")]
    ['ff++', 'vasa1', 'vasa1', 'loopy', 'a']
    """
    plain = re.sub(r"\(.*?\)", "", method.lower())
    first = re.split(r"_|(?<=[a-z0-9])\+(?=[a-z0-9])", plain, maxsplit=1)[0]
    return re.sub(r"[^a-z0-9+]", "", first) or plain


def digest(*values: Any) -> str:
    """SHA-256 of values that JSON can hold: the identity of what was made from them."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def clips_digest(clips: Sequence[ClipEntry]) -> str:
    """Digest of what a data set says of its clips, and of the sizes of their files; not of where they lie."""
    return digest(
        [
            (one.filename, one.label, one.group, one.source, one.original, one.method, sorted(one.forged))
            for one in clips
        ],
        [_size(one.path) for one in clips],
    )


def _size(path: str) -> int:
    """Bytes of a local file; -1 for one that is missing or elsewhere."""
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


def progress(items: Iterable[Any], name: str, total: int | None = None) -> Any:
    """The items, with a bar on stderr."""
    from tqdm import tqdm

    return tqdm(items, desc=name, total=total, unit="", mininterval=5.0)
