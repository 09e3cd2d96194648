"""Batches of REAL/FAKE pairs for the forensic network: labels, made forgeries, frames of clips.

Both of a pair go through the same view and the same quality (:mod:`forge.images.augment`). A batch depends on the seed
and its number alone, so that a resumed run goes on as if it had not stopped.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Container, Mapping, Sized
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forge.images import blend
from forge.images.augment import (
    GeometricAugmentation,
    Image,
    PhotometricAugmentation,
    apply_geometric,
    apply_photometric,
    sample_geometric,
    sample_photometric,
)
from forge.images.match_appearance import match_appearance
from forge.images.resynthesis import resynthesise
from training.faces.index import decode_jpeg

Face = tuple[Image, NDArray[np.float32], NDArray[np.float32] | None]  # image, box [4], landmarks [68, 2]

MAX_BATCHES = 1_000_000
DONORS = 6  # candidates of which the one with the most similar landmarks is taken
P_REAL_OF_CLIPS, P_REAL_OF_STILLS = 0.4, 0.5  # a real face is a frame of a clip, if any are in; else a still
P_SAME_GROUP = 0.6  # a FAKE clip is paired with a REAL of its group, where there is one; else any source
P_CODED = 0.5  # of the clip pairs are of clips that were sent on, if there are any
P_ALIKE = 0.7  # of the clip pairs are made alike in colour and sharpness: it carries over to methods left out
P_MADE_ALIKE = 0.5  # of the made pairs too, in sharpness above all: a decoder's traces, not its softness
P_GENERATED = 0.5  # of the drawn pairs show a person who does not exist; the others a real face drawn anew
P_WHOLE = 0.5  # of the drawn pictures are forged everywhere; the others in the face or a part of it
KINDS, KIND_SHARES = ("self_blend", "resynthesis", "part", "swap"), (0.43, 0.14, 0.17, 0.26)  # of the made


class Pool:
    """The faces of one index table, decoded on demand."""

    def __init__(self, table: pa.Table) -> None:
        self.fake: NDArray[np.bool_] = table["fake"].to_numpy().astype(bool)
        self.frame: NDArray[np.int32] = table["frame"].to_numpy()
        self.key, self.group, self.source, self.original = (
            np.array(table[name].to_pylist(), dtype=object) for name in ("key", "group", "source", "original")
        )
        self._box = np.stack(table["box"].to_pylist()).astype(np.float32)
        self._landmarks: dict[int, NDArray[np.float32] | None] = {
            row: np.array(points, np.float32).reshape(68, 2)
            for row, points in enumerate(table["landmarks"].to_pylist())
            if points
        }
        self._jpeg = table["jpeg"].combine_chunks()

    def __len__(self) -> int:
        return len(self.fake)

    def face(self, row: int, *, with_landmarks: bool) -> Face:
        """Image, box and, when asked and found, landmarks."""
        image = decode_jpeg(self._jpeg[row].as_py())
        return image, self._box[row], self._points(row, image) if with_landmarks else None

    def _points(self, row: int, image: Image) -> NDArray[np.float32] | None:
        if row not in self._landmarks:
            import cv2

            from extract.clip.faces import landmarks

            self._landmarks[row] = landmarks(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), self._box[row])
        points = self._landmarks[row]
        if points is not None and not blend.plausible(points, self._box[row]):
            points = self._landmarks[row] = None
        return points

    def nearest(self, points: NDArray[np.float32], rows: NDArray[np.int64]) -> int:
        """Of ``rows``, the one whose landmarks are most like ``points``; the first when none has any yet."""
        known = [
            (blend.shape_distance(points, p), int(r)) for r in rows if (p := self._landmarks.get(int(r))) is not None
        ]
        return min(known)[1] if known else int(rows[0])


def picture_key(pool: Pool, row: int) -> str:
    """Names one picture of a pool of clips; in other pools the key does."""
    return f"{pool.key[row]} {pool.frame[row]}"


@dataclass(frozen=True)
class Mix:
    """Pairs of each kind in a batch."""

    labels: int
    made: int
    clips: int
    drawn: int = 0
    """Forgeries by published networks: :mod:`training.faces.generated`."""

    @property
    def total(self) -> int:
        """Pairs in a batch."""
        return self.labels + self.made + self.clips + self.drawn


@dataclass(frozen=True)
class Sources:
    """What batches are made of."""

    stills: Pool
    faces: Pool
    clips: Pool | None = None
    """None when no pair of a mix is of clips."""
    coded: Pool | None = None
    """The same clips, sent on: :mod:`training.faces.recompressed`."""
    drawn: Pool | None = None
    """None when no pair of a mix is drawn."""


class Clips:
    """Which rows of a pool of clips may be learned from, by source and clip.

    Parameters
    ----------
    chosen
        Mask over the rows of the pool.
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

    def some(self, rng: np.random.Generator, *, fake: bool) -> NDArray[np.int64]:
        """Rows of one clip of one method or source, drawn evenly."""
        methods = self.by_method[fake]
        of_method = methods[_even(methods, rng)]
        return of_method[sorted(of_method)[rng.integers(len(of_method))]]

    def real_beside(self, fake: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rows of one REAL clip, often one of the group of a FAKE one's row."""
        kin = self.real_of_group.get(self.pool.group[fake], [])
        if kin and rng.random() < P_SAME_GROUP:
            return kin[rng.integers(len(kin))]
        return self.some(rng, fake=False)


class Batches:
    """Batch number ``i`` as float32 pixels [2 n, 3, s, s] (0-255) and targets [2 n]; a map-style dataset.

    Parameters
    ----------
    out
        Groups of stills that are held out.
    left_out
        Clips (keys) that are not learned from.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        out: frozenset[str],
        left_out: Container[str] = frozenset(),
        mix: Mix,
        seed: int,
        size: int,
    ) -> None:
        stills, faces = sources.stills, sources.faces
        self._stills, self._faces = stills, faces
        self._mix, self._seed, self.size = mix, seed, size
        kept = np.array([group not in out for group in stills.group])
        self._fakes = np.flatnonzero(kept & stills.fake)
        self._reals = np.flatnonzero(kept & ~stills.fake)
        self._real_of = {stills.key[row]: int(row) for row in self._reals}
        self._sets = {str(name): np.flatnonzero(faces.source == name) for name in sorted(set(faces.source))}
        self._clips, self._coded = (
            Clips(pool, np.array([key not in left_out for key in pool.key])) if pool is not None else None
            for pool in (sources.clips, sources.coded)
        )
        if sources.drawn is not None:
            self._index_drawn(sources.drawn)

    def _index_drawn(self, drawn: Pool) -> None:
        self._drawn, generated = drawn, drawn.original == ""
        self._drawn_from: dict[str, tuple[Pool, int]] = {
            self._stills.key[row]: (self._stills, int(row)) for row in self._reals
        }
        self._drawn_from |= {self._faces.key[row]: (self._faces, row) for row in range(len(self._faces))}
        if self._clips is not None:
            pool = self._clips.pool
            reals = itertools.chain.from_iterable(itertools.chain.from_iterable(self._clips.real_of_group.values()))
            self._drawn_from |= {picture_key(pool, row): (pool, int(row)) for row in reals}
        self._generated = np.flatnonzero(generated)
        self._redrawn = np.array([row for row, key in enumerate(drawn.original) if key in self._drawn_from])

    def __len__(self) -> int:
        return MAX_BATCHES

    def __getitem__(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rng = np.random.default_rng([self._seed, number])
        makers = (
            [self._label_pair] * self._mix.labels
            + [self._made_pair] * self._mix.made
            + [self._drawn_pair] * self._mix.drawn
            + [self._clip_pair] * self._mix.clips
        )
        pixels = [crop for maker in makers for crop in self._treated(*maker(rng), rng)]
        targets = np.tile(np.array([0, 1], np.float32), len(makers))
        return np.stack(pixels).transpose(0, 3, 1, 2), targets

    def _treated(self, real: Face, fake: Face, rng: np.random.Generator) -> tuple[Image, Image]:
        view, quality = sample_geometric(rng), sample_photometric(rng)
        first, second = (
            apply_photometric(apply_geometric(image, box, view, self.size), quality, rng)
            for image, box, _ in (real, fake)
        )
        return first, second

    def _label_pair(self, rng: np.random.Generator) -> tuple[Face, Face]:
        fake = int(rng.choice(self._fakes))
        real = self._real_of.get(self._stills.original[fake], int(rng.choice(self._reals)))
        return self._stills.face(real, with_landmarks=False), self._stills.face(fake, with_landmarks=False)

    def _made_pair(self, rng: np.random.Generator) -> tuple[Face, Face]:
        pool, rows = self._reals_of_some_pool(rng)
        real = pool.face(int(rng.choice(rows)), with_landmarks=True)
        fake = self._forged(real, pool, rows, rng)
        return _appearance_matched(real, fake, rng) if rng.random() < P_MADE_ALIKE else (real, fake)

    def _reals_of_some_pool(
        self, rng: np.random.Generator, *, stills: float = P_REAL_OF_STILLS
    ) -> tuple[Pool, NDArray[np.int64]]:
        clips = self._clips
        if clips is not None and clips.by_method[False] and rng.random() < P_REAL_OF_CLIPS:
            return clips.pool, clips.some(rng, fake=False)
        if rng.random() < stills:
            return self._stills, self._reals
        return self._faces, self._sets[_even(self._sets, rng)]

    def _forged(self, real: Face, pool: Pool, rows: NDArray[np.int64], rng: np.random.Generator) -> Face:
        image, box, points = real
        kind = str(rng.choice(KINDS, p=KIND_SHARES))
        if points is None or kind == "resynthesis":
            return resynthesise(image, points, rng), box, points
        if kind == "self_blend":
            return blend.self_blend(image, points, rng), box, points
        region = (
            "face" if kind == "swap" else str(rng.choice(["mouth", "eyes", "nose", "inner"], p=[0.5, 0.2, 0.1, 0.2]))
        )
        donor, _, donor_points = pool.face(pool.nearest(points, rng.choice(rows, DONORS)), with_landmarks=True)
        if donor_points is None:
            return blend.self_blend(image, points, rng), box, points
        return blend.transplant(image, points, donor, donor_points, rng, region=region), box, points

    def _drawn_pair(self, rng: np.random.Generator) -> tuple[Face, Face]:
        pair = self._generated_pair(rng) if rng.random() < P_GENERATED else self._redrawn_pair(rng)
        return _appearance_matched(*pair, rng) if rng.random() < P_MADE_ALIKE else pair

    def _generated_pair(self, rng: np.random.Generator) -> tuple[Face, Face]:
        whole = rng.random() < P_WHOLE  # a portrait then: beside a still its pose and its smile would tell
        pool, rows = self._reals_of_some_pool(rng, stills=0.0 if whole else P_REAL_OF_STILLS)
        real = image, box, points = pool.face(int(rng.choice(rows)), with_landmarks=not whole)
        if points is None:
            return real, self._drawn.face(int(rng.choice(self._generated)), with_landmarks=False)
        row = self._drawn.nearest(points, rng.choice(self._generated, DONORS))
        donor, _, donor_points = self._drawn.face(row, with_landmarks=True)
        if donor_points is None:
            return real, self._drawn.face(row, with_landmarks=False)
        region = str(rng.choice(["face", "inner", "lower", "mouth"], p=[0.5, 0.2, 0.1, 0.2]))
        return real, (blend.transplant(image, points, donor, donor_points, rng, region=region), box, points)

    def _redrawn_pair(self, rng: np.random.Generator) -> tuple[Face, Face]:
        row = int(rng.choice(self._redrawn))
        pool, original = self._drawn_from[self._drawn.original[row]]
        confined = rng.random() >= P_WHOLE
        real = image, box, points = pool.face(original, with_landmarks=confined)
        fake = self._drawn.face(row, with_landmarks=False)[0]
        return real, (blend.confined(fake, image, points, rng) if points is not None else fake, box, points)

    def _clip_pair(self, rng: np.random.Generator) -> tuple[Face, Face]:
        coded = self._coded is not None and rng.random() < P_CODED
        clips = self._coded if coded else self._clips
        assert clips is not None
        fake = int(rng.choice(clips.some(rng, fake=True)))
        real = int(rng.choice(clips.real_beside(fake, rng)))
        first, second = (clips.pool.face(row, with_landmarks=False) for row in (real, fake))
        return _appearance_matched(first, second, rng) if rng.random() < P_ALIKE else (first, second)


def _appearance_matched(real: Face, fake: Face, rng: np.random.Generator) -> tuple[Face, Face]:
    (real_image, box, points), (fake_image, fake_box, fake_points) = real, fake
    recolour_real = bool(rng.random() < 0.5)
    real_image, fake_image = match_appearance(real_image, box, fake_image, fake_box, recolour_first=recolour_real)
    return (real_image, box, points), (fake_image, fake_box, fake_points)


def _even(methods: Mapping[str, Sized], rng: np.random.Generator) -> str:
    """A method or source, by the root of its number of clips: neither one clip nor one method may rule."""
    names = sorted(methods)
    weights = np.sqrt([len(methods[name]) for name in names])
    return str(names[rng.choice(len(names), p=weights / weights.sum())])


def crops_of(
    pool: Pool, rows: NDArray[np.int64], size: int, quality: PhotometricAugmentation | None = None
) -> NDArray[np.uint8]:
    """Crops [n, 3, s, s] as prediction sees them, after a quality when given."""
    faces = (pool.face(int(row), with_landmarks=False) for row in rows)
    crops = [apply_geometric(image, box, GeometricAugmentation(), size) for image, box, _ in faces]
    if quality is not None:
        crops = [apply_photometric(crop, quality, np.random.default_rng(0)) for crop in crops]
    return np.stack(crops).transpose(0, 3, 1, 2)


def spread_rows(pool: Pool, key: str, n: int) -> NDArray[np.int64]:
    """At most ``n`` rows of a clip, evenly spread over it."""
    rows = np.flatnonzero(pool.key == key)
    return rows[np.unique(((np.arange(n) + 0.5) * len(rows) / n).astype(int))] if len(rows) > n else rows
