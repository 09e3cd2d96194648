"""Face crops for training the forensic network, cut once and cached: stills, real faces, frames of clips.

Every source becomes rows of one table: a JPEG, the face's box and landmarks in it, a label and a group.
The cache is a convenience: deleting it costs minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import ClipError, DatasetError
from training.manifest import clip_path, forged_picture, progress, read_manifest

logger = logging.getLogger(__name__)

FRAMES_PER_CLIP = 40
MAX_SECONDS = 20.0  # of a clip that faces are taken from
CROP_SCALE = 1.6  # as observations store faces, so that training and prediction cut the same square
CROP_PX = 288
JPEG_QUALITY = 95
STILL_PX = 224
STILL_SHARE = 0.75  # of a still's side: BlazeFace's box where it finds the face, median of 200

SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # video, clip or image that the face is from
        ("frame", pa.int32()),
        ("fake", pa.int8()),  # of the picture
        ("group", pa.string()),
        ("source", pa.string()),  # data set, or method of the clip
        ("original", pa.string()),
        ("box", pa.list_(pa.float32(), 4)),
        ("landmarks", pa.list_(pa.float32())),  # 136 numbers, or none
        ("jpeg", pa.binary()),
    ]
)
Image = NDArray[np.uint8]


def decode_jpeg(data: bytes) -> Image:
    """RGB image [h, w, 3] of JPEG bytes."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_BGR2RGB)


def encode_jpeg(image: Image, quality: int = JPEG_QUALITY) -> bytes:
    """JPEG bytes of an RGB image, chroma at full resolution."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", image[:, :, ::-1], flags)[1])


def cached(file: Path, rows: Iterator[dict[str, Any]]) -> pa.Table:
    """The table in ``file``; made from ``rows`` and written when there is none."""
    if not file.exists():
        table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        pq.write_table(table, partial)
        partial.replace(file)
    return pq.read_table(file)


def stills(folder: Path) -> pa.Table:
    """Labelled stills: Parquet files with ``video, label, original, group, jpeg``.

    The face fills such a still, and detectors that expect its surroundings find 7 in 10 of them; so the box is
    the central one, as large as the median of those that were found.

    Raises
    ------
    DatasetError
        The folder holds no Parquet file.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DatasetError(f"{folder} holds no Parquet file of stills; give the folder of dfdc_faces with --stills")
    table = pa.concat_tables(pq.read_table(file) for file in files)
    low, high = STILL_PX * (1 - STILL_SHARE) / 2, STILL_PX * (1 + STILL_SHARE) / 2
    n = table.num_rows
    return pa.table(
        {
            "key": table["video"],
            "frame": np.zeros(n, np.int32),
            "fake": np.asarray(table["label"].to_numpy(zero_copy_only=False) == "FAKE", np.int8),
            "group": table["group"].cast(pa.string()),
            "source": ["stills"] * n,
            "original": table["original"],
            "box": pa.array([[low, low, high, high]] * n, pa.list_(pa.float32(), 4)),
            "landmarks": pa.array([[]] * n, pa.list_(pa.float32())),
            "jpeg": table["jpeg"],
        }
    ).cast(SCHEMA)


def faces_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Real faces: a Parquet file with ``name, person, set, jpeg``."""
    finder = Finder()
    for row in progress(pq.read_table(file).to_pylist(), file.stem):
        image = decode_jpeg(row["jpeg"])
        box, points = finder.still(image, with_landmarks=True)
        image, box, points = cut_face(image, box, points)
        yield face_row(row["name"], 0, False, row["person"], row["set"], "", box, points, encode_jpeg(image))


def clips_rows(manifest: Path) -> Iterator[dict[str, Any]]:
    """Faces of the clips of a CSV manifest: :func:`faces_of_clips`."""
    clips = progress(read_manifest(manifest), manifest.stem)
    yield from faces_of_clips((clip, clip_path(manifest, clip["filename"])) for clip in clips)


def faces_of_clips(clips: Iterable[tuple[dict[str, str], Path]]) -> Iterator[dict[str, Any]]:
    """Faces of up to ``FRAMES_PER_CLIP`` frames, spread over the clip, of rows of a manifest and their files."""
    finder = Finder()
    for clip, path in clips:
        finder.detector.reset()
        try:
            for frame, image, box, points in _clip_faces(path, clip, finder):
                row = (clip["filename"], frame, forged_picture(clip), clip["group"], clip["method"], clip["original"])
                yield face_row(*row, box, points, encode_jpeg(image))
        except ClipError as error:  # one unreadable clip is no reason to train on none
            logger.warning("%s: %s", clip["filename"], error)


def _clip_faces(path: Path, clip: dict[str, str], finder: Finder) -> Iterator[tuple[int, Image, Any, Any]]:
    from extract.clip.decode import Clip

    stride = max(1, int(float(clip["fps"] or 25) * min(float(clip["duration_s"] or 10), MAX_SECONDS) / FRAMES_PER_CLIP))
    last, count = None, 0
    with Clip(str(path), max_seconds=MAX_SECONDS) as opened:
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
    """Boxes and landmarks."""

    def __init__(self) -> None:
        from extract.clip.faces import FaceDetector

        self.detector = FaceDetector()

    def still(self, image: Image, *, with_landmarks: bool) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Box [4] of the face nearest the middle, or a central box; landmarks [68, 2] where a face was found."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        centre = np.array(grey.shape[::-1], np.float32) / 2
        self.detector.reset()
        boxes = [np.array(face.box, np.float32) for face in self.detector.detect(grey, thorough=False)]
        if not boxes:
            half = centre * STILL_SHARE
            return np.concatenate([centre - half, centre + half]).astype(np.float32), None
        box = min(boxes, key=lambda one: float(np.abs((one[:2] + one[2:]) / 2 - centre).sum()))
        return box, self.landmarks(image, box) if with_landmarks else None

    def follow(self, grey: Image, last: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Box of the face nearest the last one; the largest when there is no last one."""
        from extract.clip.faces import iou

        faces = self.detector.detect(grey, thorough=last is None)
        if not faces:
            return None
        best = max(faces, key=lambda one: one.side if last is None else iou(one.box, last))
        return np.array(best.box, np.float32)

    def landmarks(self, image: Image, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """Landmarks [68, 2] in px of the image."""
        from extract.clip.faces import landmarks

        return landmarks(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), box)


def cut_face(image: Image, box: NDArray[np.float32], points: NDArray[np.float32] | None) -> tuple[Image, Any, Any]:
    """The square around a box, at most ``CROP_PX``, with box and landmarks moved along."""
    from extract.clip.square_crop import SquareCrop

    square = SquareCrop.around(box, CROP_SCALE)
    size = min(square.side, CROP_PX)
    box = square.to_square(box.reshape(2, 2), size).reshape(4)
    return square.cut(image, size), box, None if points is None else square.to_square(points, size)


def face_row(key: str, frame: int, fake: bool, group: str, source: str, original: str, *rest: Any) -> dict[str, Any]:
    """One row of :data:`SCHEMA`; ``rest`` is the box [4], the landmarks [68, 2] or None, and the JPEG."""
    box, points, jpeg = rest
    values = (key, frame, int(fake), group, source, original, box.tolist())
    return dict(zip(SCHEMA.names, (*values, [] if points is None else points.ravel().tolist(), jpeg), strict=True))
