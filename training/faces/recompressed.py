"""Faces of transcoded clips: the same clips re-encoded as sites and messengers do.

Single images are compressed while batches are made (:mod:`forge.images.augment`); the effects of a codec across frames
need whole clips. The faces are made once and cached: twenty minutes for 282 clips on one core.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from extract.entries import ClipEntry
from features.errors import ClipError
from forge.clips.clip import Image
from forge.clips.read import read_clip
from forge.clips.write import Encoder, write_clip
from training.faces import found_faces, index
from training.manifest import digest
from training.progress import Progress, no_progress, tracked

logger = logging.getLogger(__name__)

VERSION = 1  # of the code that transcodes; a new version rebuilds the cache
SCALES, SCALE_SHARES = (1.0, 0.75, 0.5), (0.3, 0.3, 0.4)  # factors for the sides, and their probabilities
MIN_SIDE_PX = 180  # shorter side of a reduced frame, at least
CRF = range(22, 36)
PRESETS = ("superfast", "veryfast", "fast")
GOPS = (30, 60, 250)


def rows(clips: Sequence[ClipEntry], seed: int = 0, progress: Progress = no_progress) -> Iterator[dict[str, Any]]:
    """Yield the rows of one copy of each clip, as :func:`training.faces.found_faces.clips_rows` does of clips."""
    with tempfile.TemporaryDirectory() as folder:
        originals = tracked(clips, "transcoded clips", len(clips), progress)
        yield from found_faces.faces_of_clips(_copies(originals, Path(folder) / "copy.mp4", seed))


def identity(clips: Sequence[ClipEntry], seed: int) -> str:
    """Return the identity of :func:`rows`, for :func:`training.faces.index.cached`."""
    settings = [VERSION, SCALES, SCALE_SHARES, MIN_SIDE_PX, [*CRF], PRESETS, GOPS]
    return digest("transcoded", settings, found_faces.clips_identity(clips), seed)


def _copies(clips: Iterable[ClipEntry], file: Path, seed: int) -> Iterator[tuple[ClipEntry, str]]:
    for number, clip in enumerate(clips):
        try:
            transcode(clip.path, file, np.random.default_rng([seed, number]))
        except ClipError as error:
            logger.warning("%s: %s", clip.filename, error)
            continue
        yield clip, str(file)


def transcode(source: str | Path, file: Path, rng: np.random.Generator) -> None:
    """Write a smaller, more compressed copy of the video of ``source``, without audio, to ``file`` (mp4).

    Raises
    ------
    features.errors.ClipError
        ``source`` can't be decoded.
    """
    clip = read_clip(source, max_seconds=index.MAX_SECONDS, faces=False)
    encoder = Encoder(crf=int(rng.choice(CRF)), preset=str(rng.choice(PRESETS)), gop=int(rng.choice(GOPS)))
    scale = float(rng.choice(SCALES, p=SCALE_SHARES))

    def smaller(_: int, frame: Image) -> Image:
        height, width = frame.shape[:2]
        factor = min(1.0, max(scale, MIN_SIDE_PX / min(height, width)))
        size = (round(width * factor) & ~1, round(height * factor) & ~1)
        return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)

    write_clip(replace(clip, audio=None).with_frames(smaller), file, encoder)
