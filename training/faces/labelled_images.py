"""Labelled images in which the face's place is known: stills that a face fills, and face crops of clips and images."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.training_set import groups_of_clips
from extract.entries import ClipEntry, label_of
from extract.stills import check_names_differ, with_names_and_bytes
from features.checksums import sha256_of
from features.errors import DatasetError
from features.table import read_parquet
from training.faces.index import SCHEMA, STILL_SHARE, decode_image, settings
from training.manifest import digest

STILLS_COLUMNS = ("video", "label", "original", "group", "jpeg")
CROPS_FILES = ("clips.parquet", "images.parquet")
CROPS_COLUMNS = ("key", "frame", "label", "method", "source", "group", "original", "box", "recut", "image")


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


def stills_identity(folder: Path, table: pa.Table) -> str:
    """Return the identity of the ``table`` that :func:`stills` read from the folder.

    Earlier versions read stills of other sizes than 224 px, and stills without a group, differently: only such stills
    have another identity than before.
    """
    moved = {"box"} if any(box != _middle(224, 224) for box in table["box"].to_pylist()) else set()
    content = [sha256_of(file) for file in _stills_files(folder)]
    return digest("stills", settings(), content, *sorted(moved | _filled(table)))


def _stills_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DatasetError(f"{folder} holds no Parquet file of stills; give the folder that holds them")
    return files


def _middle(width: int, height: int) -> list[float]:
    """Return the box of a face that fills a still."""
    half = min(width, height) * STILL_SHARE / 2
    return [width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half]


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


def crops_identity(folder: Path, table: pa.Table) -> str:
    """Return the identity of the ``table`` that :func:`crops` read from the folder."""
    return digest("crops", settings(), [sha256_of(file) for file in _crops_files(folder)], *_filled(table))


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


def _check_keys(keys: Sequence[str], traits: Mapping[str, Iterable[Any]], folder: Path) -> None:
    """Refuse a key whose rows differ in one of the ``traits``, from name to the values of all rows."""
    for trait, values in traits.items():
        first: dict[str, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if first.setdefault(key, value) != value:
                raise DatasetError(f"{folder}: the rows of {key!r} differ in their {trait}; give each clip its own key")


def _fakes(table: pa.Table, folder: Path, what: str) -> NDArray[np.int8]:
    """Return 1 for a FAKE row, else 0 [n], from the column ``label``; a row without a label is an error."""
    labels = [label_of(label, str(folder)) for label in table["label"].to_pylist()]
    if None in labels:
        raise DatasetError(f"{folder}: a {what} has no label; training needs REAL or FAKE for each")
    return np.array([label == "FAKE" for label in labels], np.int8)


def _filled(table: pa.Table) -> set[str]:
    """Return {"group"} where a table has rows that are a group by themselves; earlier versions took them for one."""
    own = groups_of_clips([""] * table.num_rows, table["key"].to_pylist())
    return {"group"} if any(map(str.__eq__, table["group"].to_pylist(), own)) else set()


def _sizes(table: pa.Table, names: str, images: str, folder: Path) -> list[tuple[int, int]]:
    """Return width and height of every image in the column ``images``; ``names`` is the column of their names."""
    named = zip(table[names].to_pylist(), table[images], strict=True)
    return [_size(image.as_py(), f"{folder}: the image of {name!r}") for name, image in named]


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


def _without_landmarks(**columns: Any) -> pa.Table:
    """Build a table of :data:`SCHEMA` from its other columns; landmarks are measured when a face is first used."""
    columns["landmarks"] = pa.array([[]] * len(columns["fake"]), SCHEMA.field("landmarks").type)
    return pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)
