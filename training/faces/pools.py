"""Pools of faces: the rows of an index table, decoded on demand, and which of them may be trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sized

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
from training.faces.index import decode_jpeg

Points = NDArray[np.float32]
Face = tuple[Image, NDArray[np.float32], Points | None]
"""Image [h, w, 3], box [4], landmarks [68, 2] in pixels of the image."""

P_SAME_GROUP = 0.6  # a FAKE clip is paired with a REAL of its group, where there is one; else any source


class Pool:
    """The faces of one index table (:data:`training.faces.index.SCHEMA`).

    Landmarks that the table lacks are found when they are first asked for. They depend on the row alone, never on
    which rows were asked for before: batches would otherwise differ between processes and after a resume.
    """

    def __init__(self, table: pa.Table) -> None:
        self.fake: NDArray[np.bool_] = table["fake"].to_numpy().astype(bool)
        self.frame: NDArray[np.int32] = table["frame"].to_numpy()
        self.key, self.group, self.source, self.original = (
            np.array(table[name].to_pylist(), dtype=object) for name in ("key", "group", "source", "original")
        )
        self._box = np.array(table["box"].to_pylist(), np.float32).reshape(-1, 4)
        self._given = table["landmarks"].combine_chunks()
        self._found: dict[int, Points | None] = {}
        self._jpeg = table["jpeg"].combine_chunks()

    def __len__(self) -> int:
        return len(self.fake)

    def face(self, row: int, *, with_landmarks: bool) -> Face:
        """Image, box and, when asked and found, landmarks."""
        image = decode_jpeg(self._jpeg[row].as_py())
        return image, self._box[row], self._landmarks(row, image) if with_landmarks else None

    def nearest(self, points: Points, rows: NDArray[np.int64]) -> int:
        """Of ``rows`` [k], the one whose landmarks are most like ``points`` [68, 2]; the first when none has any."""
        known = [
            (blend.shape_distance(points, found), int(row))
            for row in rows
            if (found := self._landmarks(int(row))) is not None
        ]
        return min(known)[1] if known else int(rows[0])

    def _landmarks(self, row: int, image: Image | None = None) -> Points | None:
        if row not in self._found:
            found = self._measured(row, image)
            self._found[row] = found if blend.plausible(found, self._box[row]) else None
        return self._found[row]

    def _measured(self, row: int, image: Image | None) -> Points:
        if given := self._given[row].as_py():
            return np.array(given, np.float32).reshape(68, 2)
        import cv2

        from extract.clip.faces import landmarks

        if image is None:
            image = decode_jpeg(self._jpeg[row].as_py())
        return landmarks(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), self._box[row])


def picture_key(pool: Pool, row: int) -> str:
    """Names one picture of a pool of clips; in other pools the key does."""
    return f"{pool.key[row]} {pool.frame[row]}"


class ClipSampler:
    """Random clips of a pool of clips, even over sources and methods.

    Parameters
    ----------
    chosen
        Mask over the rows of the pool: what may be trained on.

    Raises
    ------
    DatasetError
        No REAL, or no FAKE clip is chosen.
    """

    def __init__(self, pool: Pool, chosen: NDArray[np.bool_]) -> None:
        self.pool = pool
        self.by_method: dict[bool, dict[str, dict[str, NDArray[np.int64]]]] = {False: {}, True: {}}
        self.real_of_group: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
        for key in sorted(set(pool.key[chosen])):
            rows = np.flatnonzero(chosen & (pool.key == key))
            fake, source = bool(pool.fake[rows[0]]), pool.source[rows[0]]
            self.by_method[fake].setdefault(source, {})[key] = rows
            if not fake:
                self.real_of_group[pool.group[rows[0]]].append(rows)
        if not all(self.by_method.values()):
            raise DatasetError(
                "of the clips that a phase may train on, none shows a "
                f"{'forged' if self.by_method[False] else 'real'} face; give clips of more groups or methods"
            )

    def clip(self, rng: np.random.Generator, *, fake: bool) -> NDArray[np.int64]:
        """Rows [k] of one clip of one method or source."""
        methods = self.by_method[fake]
        of_method = methods[balanced_choice(methods, rng)]
        return of_method[sorted(of_method)[rng.integers(len(of_method))]]

    def real_beside(self, fake: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows [k] of one REAL clip, often one of the group of the FAKE clip that the row ``fake`` is of."""
        kin = self.real_of_group.get(self.pool.group[fake], [])
        if kin and rng.random() < P_SAME_GROUP:
            return kin[rng.integers(len(kin))]
        return self.clip(rng, fake=False)


def balanced_choice(methods: Mapping[str, Sized], rng: np.random.Generator) -> str:
    """A method or source, by the root of its number of clips: neither one clip nor one method may dominate."""
    names = sorted(methods)
    weights = np.sqrt([len(methods[name]) for name in names])
    return str(names[rng.choice(len(names), p=weights / weights.sum())])


def crops_of(
    pool: Pool, rows: NDArray[np.int64], size: int, augmentation: PhotometricAugmentation | None = None
) -> NDArray[np.uint8]:
    """Crops [n, 3, s, s] as prediction sees them, after a photometric augmentation when given."""
    faces = (pool.face(int(row), with_landmarks=False) for row in rows)
    crops = [apply_geometric(image, box, GeometricAugmentation(), size) for image, box, _ in faces]
    if augmentation is not None:
        crops = [apply_photometric(crop, augmentation, np.random.default_rng(0)) for crop in crops]
    return np.stack(crops).transpose(0, 3, 1, 2)


def spread_rows(pool: Pool, key: str, n: int) -> NDArray[np.int64]:
    """[k] at most ``n`` rows of a clip, evenly spread over it."""
    rows = np.flatnonzero(pool.key == key)
    return rows[np.unique(((np.arange(n) + 0.5) * len(rows) / n).astype(int))] if len(rows) > n else rows
