"""Pools of faces: the rows of an index table, decoded on demand, and samplers of clips for training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sized

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import DatasetError
from forge.images import blend
from forge.images.augment import (
    GeometricAugmentation,
    Image,
    PhotometricAugmentation,
    apply_geometric,
    apply_photometric,
)
from training.faces.index import decode_image

Points = NDArray[np.float32]
DecodedFace = tuple[Image, NDArray[np.float32], Points | None]
"""Image [h, w, 3], box [4], landmarks [68, 2] in pixels of the image."""

P_SAME_GROUP = 0.6  # a FAKE clip is paired with a REAL clip of its group, where there is one
P_SAME_RECUT = 0.5  # else a re-encoded panel of a web page is paired with a REAL one: most such panels are FAKE
P_SAME_STILL = 0.7  # else a single image is paired with a REAL single image
MOST_DRAWN = 3.5  # largest weight of a method relative to one with a single clip: large methods must not dominate


class Pool:
    """The faces of one index table (:data:`training.faces.index.SCHEMA`).

    Landmarks that the table lacks are measured when they are first needed. They depend only on the row, not on the
    rows that were used before; otherwise batches would differ between processes and after a resume.
    """

    def __init__(self, table: pa.Table) -> None:
        self.fake: NDArray[np.bool_] = table["fake"].to_numpy().astype(bool)
        self.frame: NDArray[np.int32] = table["frame"].to_numpy()
        self.key, self.group, self.source, self.original = (
            np.array(table[name].to_pylist(), dtype=object) for name in ("key", "group", "source", "original")
        )
        recut = table["recut"].to_pylist() if "recut" in table.column_names else [None] * len(self.fake)
        self.recut: NDArray[np.bool_] = np.array([bool(value) for value in recut], dtype=bool)
        self._box = np.array(table["box"].to_pylist(), np.float32).reshape(-1, 4)
        self._given = table["landmarks"].combine_chunks()
        self._measured_landmarks: dict[int, Points | None] = {}
        self._jpeg = table["jpeg"]  # in chunks: an Arrow array of bytes holds at most 2 GB

    def __len__(self) -> int:
        return len(self.fake)

    def face(self, row: int, *, with_landmarks: bool) -> DecodedFace:
        """Return image, box and, if asked for and found, landmarks."""
        image = self._image(row)
        return image, self._box[row], self._landmarks(row, image) if with_landmarks else None

    def encoded(self, row: int) -> tuple[bytes, NDArray[np.float32]]:
        """Return the image as it is stored, and its box."""
        return self._jpeg[row].as_py(), self._box[row]

    def _image(self, row: int) -> Image:
        return decode_image(self._jpeg[row].as_py(), f"the face {self.key[row]!r}, frame {self.frame[row]},")

    def nearest(self, points: Points, rows: NDArray[np.int64]) -> int:
        """Return the row, of ``rows`` [k], with the landmarks most similar to ``points`` [68, 2]; else the first."""
        known = [
            (blend.shape_distance(points, of_row), int(row))
            for row in rows
            if (of_row := self._landmarks(int(row))) is not None
        ]
        return min(known)[1] if known else int(rows[0])

    def _landmarks(self, row: int, image: Image | None = None) -> Points | None:
        if row not in self._measured_landmarks:
            measured = self._measured(row, image)
            self._measured_landmarks[row] = measured if blend.plausible(measured, self._box[row]) else None
        return self._measured_landmarks[row]

    def _measured(self, row: int, image: Image | None) -> Points:
        if given := self._given[row].as_py():
            return np.array(given, np.float32).reshape(68, 2)
        import cv2

        from extract.clip.faces import landmarks

        if image is None:
            image = self._image(row)
        return landmarks(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), self._box[row])


def image_key(pool: Pool, row: int) -> str:
    """Return a unique name of a frame in a pool of clips; in other pools the key is unique."""
    return f"{pool.key[row]} {pool.frame[row]}"


class ClipSampler:
    """Sample clips and single images of a pool at random, balanced over sources and methods.

    Parameters
    ----------
    chosen
        Mask over the rows of the pool: True for rows to train on.

    Raises
    ------
    DatasetError
        No REAL clip, or no FAKE clip, is chosen.
    """

    def __init__(self, pool: Pool, chosen: NDArray[np.bool_]) -> None:
        self.pool = pool
        self._fakes: dict[str, list[NDArray[np.int64]]] = {}
        self._reals: dict[str, list[NDArray[np.int64]]] = {}
        self._recut_reals: dict[str, list[NDArray[np.int64]]] = {}
        self._still_reals: dict[str, list[NDArray[np.int64]]] = {}
        self.real_of_group: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
        self._is_still = np.zeros(len(pool), dtype=bool)
        for rows in _rows_of_keys(pool, np.flatnonzero(chosen)):
            self._add(rows)
        if not (self._fakes and self._reals):
            raise DatasetError(
                "of the clips that a phase may train on, none shows a "
                f"{'forged' if self._reals else 'real'} face; give clips of more groups or methods"
            )

    def _add(self, rows: NDArray[np.int64]) -> None:
        """Add one clip or image to the lists that it is sampled from."""
        pool, first = self.pool, int(rows[0])
        source, still = str(pool.source[first]), len(rows) == 1
        self._is_still[rows] = still
        if pool.fake[first]:
            self._fakes.setdefault(source, []).append(rows)
            return
        self.real_of_group[pool.group[first]].append(rows)
        for wanted, reals in (
            (True, self._reals),
            (pool.recut[first], self._recut_reals),
            (still, self._still_reals),
        ):
            if wanted:
                reals.setdefault(source, []).append(rows)

    def clip(self, rng: np.random.Generator, *, fake: bool) -> NDArray[np.int64]:
        """Return the rows [k] of a random clip of a random method or source."""
        return _balanced(self._fakes if fake else self._reals, rng)

    def real_beside(self, fake: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the rows [k] of a REAL clip, often one that shares a trait with the FAKE clip of the row ``fake``.

        The traits are the group, re-encoding by a web page, and being a single image; none of them must reveal the
        label.
        """
        kin = self.real_of_group.get(self.pool.group[fake], [])
        if kin and rng.random() < P_SAME_GROUP:
            return kin[rng.integers(len(kin))]
        if self.pool.recut[fake] and self._recut_reals and rng.random() < P_SAME_RECUT:
            return _balanced(self._recut_reals, rng)
        if self._is_still[fake] and self._still_reals and rng.random() < P_SAME_STILL:
            return _balanced(self._still_reals, rng)
        return _balanced(self._reals, rng)


def rows_by_key(pool: Pool) -> dict[str, NDArray[np.int64]]:
    """Map the key of each clip or image of a pool to its rows [k]."""
    return {str(pool.key[rows[0]]): rows for rows in _rows_of_keys(pool, np.arange(len(pool)))}


def _rows_of_keys(pool: Pool, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each clip or image among ``rows`` [k], sorted by key."""
    by_key: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_key[pool.key[row]].append(int(row))
    for key in sorted(by_key):
        yield np.array(by_key[key], np.int64)


def _balanced(clips: Mapping[str, list[NDArray[np.int64]]], rng: np.random.Generator) -> NDArray[np.int64]:
    of_source = clips[balanced_choice(clips, rng)]
    return of_source[rng.integers(len(of_source))]


def balanced_choice(methods: Mapping[str, Sized], rng: np.random.Generator) -> str:
    """Choose a method or source with a weight of the square root of its number of clips, at most :data:`MOST_DRAWN`."""
    names = sorted(methods)
    weights = np.minimum(np.sqrt([len(methods[name]) for name in names]), MOST_DRAWN)
    return str(names[rng.choice(len(names), p=weights / weights.sum())])


def crops_of(
    pool: Pool, rows: NDArray[np.int64], size: int, augmentation: PhotometricAugmentation | None = None
) -> NDArray[np.uint8]:
    """Return crops [n, 3, s, s] as in prediction, after a photometric augmentation if given."""
    faces = (pool.face(int(row), with_landmarks=False) for row in rows)
    crops = [apply_geometric(image, box, GeometricAugmentation(), size) for image, box, _ in faces]
    if augmentation is not None:
        crops = [apply_photometric(crop, augmentation, np.random.default_rng(0)) for crop in crops]
    return np.stack(crops).transpose(0, 3, 1, 2)


def spread_rows(pool: Pool, key: str, n: int) -> NDArray[np.int64]:
    """Return at most ``n`` rows [k] of a clip, evenly spread over it."""
    rows = np.flatnonzero(pool.key == key)
    return rows[np.unique(((np.arange(n) + 0.5) * len(rows) / n).astype(int))] if len(rows) > n else rows
