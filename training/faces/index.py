"""The table of faces that face networks are trained on: one row per still, crop, or frame of a clip.

A row has an encoded image, the face's box and landmarks in it, a label and a group. Labelled images become rows in
:mod:`training.faces.labelled_images`, faces that are first to be found in :mod:`training.faces.found_faces`. A cached
table stores the identity of its sources and settings, and is rebuilt when the identity differs; rebuilding takes
minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import DatasetError
from features.places import in_place_of
from features.table import read_parquet

logger = logging.getLogger(__name__)

VERSION = 2  # of the code that cuts faces; a new version rebuilds every cache
FRAMES_PER_CLIP = 40
MAX_SECONDS = 20.0  # faces are cut from this much of a clip
CROP_SCALE = 1.6  # the scale of faces in observations, so that training and prediction cut the same square
CROP_PX = 288
JPEG_QUALITY = 95
STILL_SHARE = 0.75  # side of the face box relative to a still's shorter side: median of BlazeFace's boxes in 200 stills

SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # video, clip or image of the face
        ("frame", pa.int32()),
        ("fake", pa.int8()),  # label of the frame or image
        ("group", pa.string()),
        ("source", pa.string()),  # data set, or method of the clip
        ("original", pa.string()),
        ("box", pa.list_(pa.float32(), 4)),
        ("landmarks", pa.list_(pa.float32())),  # 136 numbers, or empty
        ("jpeg", pa.binary()),  # JPEG, or another format that OpenCV reads
        ("recut", pa.bool_()),  # True: re-encoded by a web page that shows several clips side by side; null: unknown
    ]
)
IDENTITY_KEY = b"identity"
Image = NDArray[np.uint8]


def decode_image(data: bytes | None, name: object = "an image") -> Image:
    """Decode JPEG, PNG or WebP bytes to an RGB image [h, w, 3]; ``name`` names the image in the error message.

    Raises
    ------
    DatasetError
        The bytes are no image, or missing.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise DatasetError(f"{name} can't be decoded; give a JPEG, PNG or WebP, or remove its row")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def encode_jpeg(image: Image) -> bytes:
    """Encode an RGB image [h, w, 3] as JPEG, with chroma at full resolution."""
    chroma = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return bytes(cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *chroma])[1])


def face_row(  # noqa: PLR0913 - the columns of a table, most by keyword
    key: str,
    jpeg: bytes,
    box: NDArray[np.float32],
    points: NDArray[np.float32] | None = None,
    *,
    fake: bool,
    group: str,
    source: str,
    original: str = "",
    frame: int = 0,
) -> dict[str, Any]:
    """Return a row of :data:`SCHEMA`; ``box`` [4] and landmarks ``points`` [68, 2] are in px of the image."""
    return {
        "key": key,
        "frame": frame,
        "fake": int(fake),
        "group": group,
        "source": source,
        "original": original,
        "box": box.tolist(),
        "landmarks": [] if points is None else points.ravel().tolist(),
        "jpeg": jpeg,
        "recut": None,
    }


def cached(file: Path, rows: Iterator[dict[str, Any]], identity: str) -> pa.Table:
    """Return the table in ``file`` if it has this ``identity``; otherwise build it from ``rows`` and write it."""
    kept = _read_cache(file, identity)
    if kept is not None:
        return kept
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA.with_metadata({IDENTITY_KEY: identity}))
    file.parent.mkdir(parents=True, exist_ok=True)
    with in_place_of(file) as temporary, temporary.open("wb") as stream:  # Arrow refuses a path that is not UTF-8
        pq.write_table(table, stream)
    return table


def _read_cache(file: Path, identity: str) -> pa.Table | None:
    if is_cached(file, identity):
        return read_parquet(file)
    if file.exists():
        logger.warning("%s is damaged, or was made from other data or settings; it is rebuilt", file)
    return None


def is_cached(file: Path, identity: str) -> bool:
    """Return True when ``file`` is a table with this identity."""
    try:
        with file.open("rb") as stream:
            metadata = pq.read_schema(stream).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return bool(metadata.get(IDENTITY_KEY, b"").decode() == identity)


def settings() -> list[float]:
    """Return what every row depends on besides its source, for the identities of cached tables."""
    return [VERSION, FRAMES_PER_CLIP, MAX_SECONDS, CROP_SCALE, CROP_PX, JPEG_QUALITY, STILL_SHARE]
