"""The labelled clips of a data set that networks are trained on, and digests that identify them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from extract.dataset import find_clips
from extract.entries import ClipEntry
from features.errors import DatasetError

logger = logging.getLogger(__name__)

COLUMNS = (
    "filename, label and group, and for FAKE clips method (what made the clip; methods that agree up to the first "
    "underscore are one family) and fake_part (picture; voice: synthetic speech; sound: shifted, or another recording, "
    "which train-voice does not learn from; or several of these)"
)
"""The columns of a manifest for training, in words, for help and messages."""


def training_clips(data: str | os.PathLike[str]) -> list[ClipEntry]:
    """Return the labelled clips of a manifest or folder, sorted by filename; clips without a label are left out.

    Raises
    ------
    DatasetError
        No clip has a label, or a FAKE clip lacks its method or its forged part; the message names the column.
    """
    listed = find_clips(os.fspath(data))
    clips = [clip for clip in listed if clip.label is not None]
    if not clips:
        raise DatasetError(f"{data}: no clip has a label (column 'label'); training needs the columns {COLUMNS}")
    if len(clips) < len(listed):
        logger.warning("%s: %d clips without a label are left out", data, len(listed) - len(clips))
    fakes = [clip for clip in clips if clip.label == "FAKE"]
    for column, missing in (
        ("method", [clip for clip in fakes if not clip.method]),
        ("fake_part", [clip for clip in fakes if not clip.forged]),
    ):
        if missing:
            where = "is missing" if len(missing) == len(fakes) else f"is empty for {missing[0].filename}"
            raise DatasetError(f"{data}: the column {column!r} {where}; training needs the columns {COLUMNS}")
    return clips


def forged_video(clip: ClipEntry) -> bool:
    """Return True when the video of a clip is forged, whether or not its voice is synthetic."""
    return "picture" in clip.forged


def origin(clip: ClipEntry) -> str:
    """Return the method of a FAKE clip, or the data set of a REAL one; empty where the manifest has neither."""
    return clip.method or clip.source or ""


def method_family(method: str) -> str:
    """Return the family of a method: its name up to the first underscore, or up to a plus between two names.

    Case, other signs and text in brackets are ignored, because data sets spell the same method differently.

    >>> [method_family(method) for method in ("ff++_deepfakes", "VASA-1", "vasa1", "Loopy (Jimeng)", "A+B")]
    ['ff++', 'vasa1', 'vasa1', 'loopy', 'a']
    """
    plain = re.sub(r"\(.*?\)", "", method.lower())
    first = re.split(r"_|(?<=[a-z0-9])\+(?=[a-z0-9])", plain, maxsplit=1)[0]
    return re.sub(r"[^a-z0-9+]", "", first) or plain


def digest(*values: Any) -> str:
    """Return the SHA-256 of values that JSON can hold: the identity of anything that is made from them."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def clips_digest(clips: Sequence[ClipEntry]) -> str:
    """Return a digest of the manifest entries of clips and of their file sizes; it does not depend on their folder."""
    return digest(
        [
            (clip.filename, clip.label, clip.group, clip.source, clip.original, clip.method, sorted(clip.forged))
            for clip in clips
        ],
        [_size(clip.path) for clip in clips],
    )


def _size(path: str) -> int:
    """Return the size of a local file in bytes; -1 for a file that is missing or not local."""
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
