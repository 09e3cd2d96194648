"""Face crops for training the face networks, cut once and cached: stills, real faces, frames of clips.

Every source becomes rows of one table: an encoded image, the face's box and landmarks in it, a label and a group.
A cached table stores the identity of its sources and settings, and is rebuilt when the identity differs; rebuilding
takes minutes.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ensemble.training_set import groups_of_clips
from extract.entries import ClipEntry, label_of
from extract.stills import check_names_differ, with_names_and_bytes
from features.checksums import sha256_of
from features.errors import ClipError, DatasetError
from features.places import in_place_of
from features.table import read_parquet
from training.manifest import clips_digest, digest, forged_video, origin
from training.progress import Progress, no_progress, tracked

logger = logging.getLogger(__name__)

VERSION = 2  # of the code that cuts faces; a new version rebuilds every cache
FRAMES_PER_CLIP = 40
MAX_SECONDS = 20.0  # faces are cut from this much of a clip
CROP_SCALE = 1.6  # the scale of faces in observations, so that training and prediction cut the same square
CROP_PX = 288
JPEG_QUALITY = 95
STILLS_COLUMNS = ("video", "label", "original", "group", "jpeg")
FACES_COLUMNS = ("name", "person", "set", "jpeg")
STILL_SHARE = 0.75  # side of the face box relative to a still's shorter side: median of BlazeFace's boxes in 200 stills
CROPS_FILES = ("clips.parquet", "images.parquet")
CROPS_COLUMNS = ("key", "frame", "label", "method", "source", "group", "original", "box", "recut", "image")

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


def _size(data: bytes | None, name: str) -> tuple[int, int]:
    """Return width and height of an encoded image, from its header where possible: thousands of images are checked."""
    from PIL import Image as PilImage

    try:
        with PilImage.open(io.BytesIO(data or b"")) as image:
            if image.width == image.height:  # else a flag in the file may turn the image
                return image.size
    except (OSError, ValueError):
        pass
    height, width = decode_image(data, name).shape[:2]
    return width, height


def encode_jpeg(image: Image) -> bytes:
    """Encode an RGB image [h, w, 3] as JPEG, with chroma at full resolution."""
    chroma = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return bytes(cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *chroma])[1])


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
    return digest("faces", _settings(), content)


def clips_identity(clips: Sequence[ClipEntry]) -> str:
    """Return the identity of the rows of :func:`clips_rows`."""
    return digest("clips", _settings(), clips_digest(clips))


def _settings() -> list[float]:
    return [VERSION, FRAMES_PER_CLIP, MAX_SECONDS, CROP_SCALE, CROP_PX, JPEG_QUALITY, STILL_SHARE]


def stills(folder: Path) -> pa.Table:
    """Read labelled stills: a folder of Parquet files with the columns :data:`STILLS_COLUMNS`.

    The face fills such a still, and detectors that expect its surroundings find only 7 in 10 of these faces. Therefore
    every still gets a box in its middle, whose side relative to the still is the median of the detected ones. A still
    without a group is a group by itself.

    Raises
    ------
    DatasetError
        The folder holds no Parquet file, a column is missing or of an unsupported type, a ``video`` occurs twice, an
        image can't be decoded, or a label is neither REAL nor FAKE.
    """
    files = _stills_files(folder)
    try:
        table = pa.concat_tables(with_names_and_bytes(read_parquet(file, STILLS_COLUMNS), str(file)) for file in files)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{folder}: stills need the columns {', '.join(STILLS_COLUMNS)} ({error})") from error
    check_names_differ(table, folder)
    n = table.num_rows
    return _without_landmarks(
        key=table["video"],
        frame=np.zeros(n, np.int32),
        fake=_fakes(table, folder, "still"),
        group=groups_of_clips(table["group"].cast(pa.string()).to_pylist(), table["video"].to_pylist()),
        source=["stills"] * n,
        original=table["original"],
        box=pa.array([_middle(*size) for size in _sizes(table, "video", "jpeg", folder)], SCHEMA.field("box").type),
        jpeg=table["jpeg"],
        recut=pa.nulls(n, pa.bool_()),
    )


def _sizes(table: pa.Table, names: str, images: str, folder: Path) -> list[tuple[int, int]]:
    """Return width and height of every image in the column ``images``; ``names`` is the column of their names."""
    named = zip(table[names].to_pylist(), table[images], strict=True)
    return [_size(image.as_py(), f"{folder}: the image of {name!r}") for name, image in named]


def _middle(width: int, height: int) -> list[float]:
    """Return the box of a face that fills a still."""
    half = min(width, height) * STILL_SHARE / 2
    return [width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half]


def _fakes(table: pa.Table, folder: Path, what: str) -> NDArray[np.int8]:
    """Return 1 for a FAKE row, else 0 [n], from the column ``label``; a row without a label is an error."""
    labels = [label_of(label, str(folder)) for label in table["label"].to_pylist()]
    if None in labels:
        raise DatasetError(f"{folder}: a {what} has no label; training needs REAL or FAKE for each")
    return np.array([label == "FAKE" for label in labels], np.int8)


def _without_landmarks(**columns: Any) -> pa.Table:
    """Build a table of :data:`SCHEMA` from its other columns; landmarks are measured when a face is first used."""
    columns["landmarks"] = pa.array([[]] * len(columns["fake"]), SCHEMA.field("landmarks").type)
    return pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)


def stills_identity(folder: Path, table: pa.Table) -> str:
    """Return the identity of the ``table`` that :func:`stills` read from the folder.

    Earlier versions read stills of other sizes than 224 px, and stills without a group, differently: only such stills
    have another identity than before.
    """
    moved = {"box"} if any(box != _middle(224, 224) for box in table["box"].to_pylist()) else set()
    content = [sha256_of(file) for file in _stills_files(folder)]
    return digest("stills", _settings(), content, *sorted(moved | _filled(table)))


def _filled(table: pa.Table) -> set[str]:
    """Return {"group"} where a table has rows that are a group by themselves; earlier versions took them for one."""
    own = groups_of_clips([""] * table.num_rows, table["key"].to_pylist())
    return {"group"} if any(map(str.__eq__, table["group"].to_pylist(), own)) else set()


def _stills_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DatasetError(f"{folder} holds no Parquet file of stills; give the folder that holds them")
    return files


def crops(folder: Path) -> pa.Table:
    """Read labelled face crops of clips and of single images: ``clips.parquet``, ``images.parquet`` or both.

    Columns: ``key`` (clip or image), ``frame``, ``label``, ``method`` (of a FAKE), ``source``, ``group``,
    ``original``, ``box`` (the face in the crop), ``recut`` and ``image`` (encoded). A clip or image without a group is
    a group by itself.

    Raises
    ------
    DatasetError
        The folder holds neither file, a column is missing, a label is neither REAL nor FAKE, an image can't be decoded,
        or a key is in both files or has several labels or groups.
    """
    try:
        tables = [read_parquet(file, CROPS_COLUMNS).select(CROPS_COLUMNS) for file in _crops_files(folder)]
        table = pa.concat_tables(tables)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{folder}: crops need the columns {', '.join(CROPS_COLUMNS)} ({error})") from error
    keys = table["key"].cast(pa.string()).to_pylist()
    fake, group = _fakes(table, folder, "crop"), groups_of_clips(table["group"].cast(pa.string()).to_pylist(), keys)
    of_file = np.repeat(np.arange(len(tables)), [part.num_rows for part in tables])
    _check_keys(keys, {"label": fake, "group": group, "file": of_file}, folder)
    _sizes(table, "key", "image", folder)
    methods, sources = table["method"].to_pylist(), table["source"].to_pylist()
    return _without_landmarks(
        key=table["key"],
        frame=table["frame"],
        fake=fake,
        group=group,
        source=[method or source for method, source in zip(methods, sources, strict=True)],
        original=table["original"],
        box=table["box"].cast(SCHEMA.field("box").type),
        jpeg=table["image"],
        recut=table["recut"],
    )


def _check_keys(keys: Sequence[str], traits: Mapping[str, Iterable[Any]], folder: Path) -> None:
    """Refuse a key whose rows differ in one of the ``traits``, from name to the values of all rows."""
    for trait, values in traits.items():
        first: dict[str, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if first.setdefault(key, value) != value:
                raise DatasetError(f"{folder}: the rows of {key!r} differ in their {trait}; give each clip its own key")


def crops_identity(folder: Path, table: pa.Table) -> str:
    """Return the identity of the ``table`` that :func:`crops` read from the folder."""
    return digest("crops", _settings(), [sha256_of(file) for file in _crops_files(folder)], *_filled(table))


def _crops_files(folder: Path) -> list[Path]:
    files = [file for name in CROPS_FILES if (file := folder / name).is_file()]
    if not files:
        raise DatasetError(f"{folder} holds neither {' nor '.join(CROPS_FILES)}; give the folder of face crops")
    return files


def clips_of_crops(table: pa.Table) -> list[ClipEntry]:
    """Return entries for the clips and images of a table of :func:`crops`, to assign folds; their paths are empty."""
    rows = table.select(["key", "fake", "group", "source", "original"]).to_pylist()
    first = {row["key"]: row for row in reversed(rows)}
    return [
        ClipEntry(
            key,
            "",
            label="FAKE" if row["fake"] else "REAL",
            group=row["group"],
            source=row["source"],
            original=row["original"],
            method=row["source"] if row["fake"] else "",
            forged=frozenset({"picture"} if row["fake"] else ()),
        )
        for key, row in sorted(first.items())
    ]


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


def clips_rows(clips: Sequence[ClipEntry], progress: Progress = no_progress) -> Iterator[dict[str, Any]]:
    """Yield the faces of clips, each read from the file at its path: :func:`faces_of_clips`."""
    files = tracked(clips, "faces of clips", len(clips), progress)
    yield from faces_of_clips((clip, clip.path) for clip in files)


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
