"""Faces found in images and clips, cut out as rows of the index."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from extract.entries import ClipEntry
from features.checksums import sha256_of
from features.errors import ClipError, DatasetError
from features.table import read_parquet
from training.faces.index import (
    CROP_PX,
    CROP_SCALE,
    FRAMES_PER_CLIP,
    MAX_SECONDS,
    STILL_SHARE,
    Image,
    decode_image,
    encode_jpeg,
    face_row,
    settings,
)
from training.manifest import clips_digest, digest, forged_video, origin
from training.progress import Progress, no_progress, tracked

logger = logging.getLogger(__name__)

FACES_COLUMNS = ("name", "person", "set", "jpeg")


def faces_rows(file: Path, progress: Progress = no_progress) -> Iterator[dict[str, Any]]:
    """Yield rows of real faces, from a Parquet file with the columns :data:`FACES_COLUMNS`.

    Raises
    ------
    DatasetError
        The file can't be read, or lacks a column.
    """
    try:
        table = read_parquet(file, FACES_COLUMNS)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{file}: not a Parquet file of faces with the columns {', '.join(FACES_COLUMNS)} ({error})"
        ) from error
    finder = Finder()
    for row in tracked(table.to_pylist(), file.stem, table.num_rows, progress):
        image = decode_image(row["jpeg"], f"{file}: the image of {row['name']!r}")
        box, points = finder.still(image, with_landmarks=True)
        image, box, points = cut_face(image, box, points)
        yield face_row(row["name"], encode_jpeg(image), box, points, fake=False, group=row["person"], source=row["set"])


def faces_identity(file: Path) -> str:
    """Return the identity of the rows of :func:`faces_rows`.

    Raises
    ------
    DatasetError
        The file can't be read.
    """
    try:
        content = sha256_of(file)
    except OSError as error:
        raise DatasetError(f"{file} can't be read ({error}); give the Parquet file of real faces") from error
    return digest("faces", settings(), content)


def clips_rows(clips: Sequence[ClipEntry], progress: Progress = no_progress) -> Iterator[dict[str, Any]]:
    """Yield the faces of clips, each read from the file at its path: :func:`faces_of_clips`."""
    files = tracked(clips, "faces of clips", len(clips), progress)
    yield from faces_of_clips((clip, clip.path) for clip in files)


def clips_identity(clips: Sequence[ClipEntry]) -> str:
    """Return the identity of the rows of :func:`clips_rows`."""
    return digest("clips", settings(), clips_digest(clips))


def faces_of_clips(clips: Iterable[tuple[ClipEntry, str]]) -> Iterator[dict[str, Any]]:
    """Yield faces of up to ``FRAMES_PER_CLIP`` frames, spread over each clip, from pairs of a clip and its file."""
    finder = Finder()
    for clip, path in clips:
        finder.detector.reset()
        try:
            for frame, image, box, points in _faces_of_file(path, finder):
                yield face_row(
                    clip.filename,
                    encode_jpeg(image),
                    box,
                    points,
                    fake=forged_video(clip),
                    group=clip.group,
                    source=origin(clip),
                    original=clip.original,
                    frame=frame,
                )
        except ClipError as error:  # one unreadable clip must not stop the training
            logger.warning("%s: %s", clip.filename, error)


def _faces_of_file(path: str, finder: Finder) -> Iterator[tuple[int, Image, Any, Any]]:
    from extract.clip.decode import ClipReader

    last, count = None, 0
    with ClipReader(path, max_seconds=MAX_SECONDS) as opened:
        stride = max(1, opened.frames_expected // FRAMES_PER_CLIP)
        for frame in opened.frames():
            if frame.index % stride or count >= FRAMES_PER_CLIP:
                continue
            box = finder.follow(frame.luma, last)
            if box is None:
                continue
            last, count = box, count + 1
            image, box, _ = cut_face(frame.rgb(), box, None)
            yield frame.index, image, box, finder.landmarks(image, box)


class Finder:
    """Find boxes and landmarks of faces."""

    def __init__(self) -> None:
        from extract.clip.faces import FaceDetector

        self.detector = FaceDetector()

    def still(self, image: Image, *, with_landmarks: bool) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the box [4] of the face nearest the middle, else a central box; and landmarks [68, 2] if found."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        centre = np.array(grey.shape[::-1], np.float32) / 2
        self.detector.reset()
        boxes = [np.array(face.box, np.float32) for face in self.detector.detect(grey, thorough=False)]
        if not boxes:
            half = centre * STILL_SHARE
            return np.concatenate([centre - half, centre + half]).astype(np.float32), None
        box = min(boxes, key=lambda box: float(np.abs((box[:2] + box[2:]) / 2 - centre).sum()))
        return box, self.landmarks(image, box) if with_landmarks else None

    def follow(self, grey: Image, last: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Return the box [4] of the face that overlaps the ``last`` box [4] most; for None, of the largest face."""
        from extract.clip.faces import iou

        faces = self.detector.detect(grey, thorough=last is None)
        if not faces:
            return None
        best = max(faces, key=lambda face: face.side if last is None else iou(face.box, last))
        return np.array(best.box, np.float32)

    def landmarks(self, image: Image, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return landmarks [68, 2] in px of the image."""
        from extract.clip.faces import landmarks

        return landmarks(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), box)


def cut_face(image: Image, box: NDArray[np.float32], points: NDArray[np.float32] | None) -> tuple[Image, Any, Any]:
    """Cut a square crop [s, s, 3] around a box [4], s at most ``CROP_PX``; move box and landmarks [68, 2] along."""
    from extract.clip.square_crop import SquareCrop

    square = SquareCrop.around(box, CROP_SCALE)
    size = min(square.side, CROP_PX)
    box = square.to_crop(box.reshape(2, 2), size).reshape(4)
    return square.cut(image, size), box, None if points is None else square.to_crop(points, size)
