"""Batches of REAL/FAKE pairs for a face network: stills, synthesised pseudo-fakes, generated faces, frames of clips.

Both images of a pair get the same augmentation (:mod:`forge.images.augment`). A batch depends only on the seed and its
number, so neither a resumed run nor the number of processes changes the training data.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError
from forge.images import blend
from forge.images.augment import Image, apply_geometric, apply_photometric, sample_geometric, sample_photometric
from forge.images.match_appearance import match_appearance
from forge.images.resynthesis import resynthesise
from training.faces.pools import ClipSampler, DecodedFace, Pool, balanced_choice, image_key, rows_by_key

MAX_BATCHES = 1_000_000
N_DONORS = 6  # candidates, of which the donor with the most similar landmarks is taken
P_REAL_OF_CLIPS = 0.4  # probability that a real face is a frame of a clip, if there are clips
P_REAL_OF_STILLS = 0.5  # probability that any other real face is a still
P_TRANSCODED = 0.5  # fraction of clip pairs that show both clips re-encoded, where there are such copies
P_MATCHED = 0.7  # fraction of clip pairs matched in colour and sharpness: generalises better to held-out methods
P_PSEUDO_MATCHED = 0.5  # the same for pseudo-fakes: to learn a decoder's traces, not its softness
P_NEW_IDENTITY = 0.5  # fraction of generated pairs with a GAN-generated identity; the others regenerate a real face
P_WHOLE = 0.5  # fraction of generated images that are fake everywhere; the others are fake in the face or a part of it
KINDS, KIND_SHARES = ("self_blend", "resynthesis", "part", "swap"), (0.43, 0.14, 0.17, 0.26)  # pseudo-fakes
PARTS, PART_SHARES = ("mouth", "eyes", "nose", "inner"), (0.5, 0.2, 0.1, 0.2)
REGIONS, REGION_SHARES = ("face", "inner", "lower", "mouth"), (0.5, 0.2, 0.1, 0.2)  # regions of a generated face

Rng = np.random.Generator


@dataclass(frozen=True)
class Mix:
    """Number of pairs of each kind in a batch."""

    stills: int
    """Labelled stills."""
    pseudo_fakes: int
    """Fakes synthesised from real faces while the batch is made: blended, resynthesised, transplanted."""
    clips: int
    """Frames of labelled clips."""
    generated: int = 0
    """Faces made by published networks: :mod:`training.faces.generated`."""

    @property
    def total(self) -> int:
        """Number of pairs in a batch."""
        return self.stills + self.pseudo_fakes + self.clips + self.generated


@dataclass(frozen=True)
class Sources:
    """Pools that batches are made of."""

    stills: Pool
    faces: Pool
    clips: Pool | None = None
    """Frames of clips, and single images; None for a mix without clips."""
    transcoded: Pool | None = None
    """The same clips, re-encoded: :mod:`training.faces.recompressed`."""
    generated: Pool | None = None
    """Generated faces; None for a mix without them."""


class Batches:
    """A map-style dataset: batch number ``i`` is uint8 pixels [2 n, 3, s, s] and targets [2 n], 1 for a fake.

    Parameters
    ----------
    holdout
        Groups of stills to leave out.
    left_out
        Keys of clips and images to leave out.
    left_out_people
        Groups of real faces to leave out.
    size
        Side of the crops, in pixels.

    Raises
    ------
    DatasetError
        A kind of pair in the mix has no REAL, or no FAKE.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        holdout: frozenset[str],
        left_out: Container[str] = frozenset(),
        left_out_people: Container[str] = frozenset(),
        mix: Mix,
        seed: int,
        size: int,
    ) -> None:
        stills, faces = sources.stills, sources.faces
        self._stills, self._faces = stills, faces
        self._mix, self._seed, self.size = mix, seed, size
        kept = np.array([group not in holdout for group in stills.group], dtype=bool)
        self._fakes = np.flatnonzero(kept & stills.fake)
        self._reals = np.flatnonzero(kept & ~stills.fake)
        if not len(self._reals) or (mix.stills and not len(self._fakes)):
            raise DatasetError("of the stills that are not held out, none is REAL or none is FAKE; give more of them")
        self._real_of = {stills.key[row]: int(row) for row in self._reals}
        named = zip(faces.key, faces.group, strict=True)
        seen = np.array([key not in left_out and group not in left_out_people for key, group in named], dtype=bool)
        self._seen_faces = np.flatnonzero(seen)
        self._sets = {
            str(name): np.flatnonzero(seen & (faces.source == name)) for name in sorted(set(faces.source[seen]))
        }
        if not self._sets and (mix.pseudo_fakes or mix.generated):
            raise DatasetError("of the real faces, none is left to train on; give faces of people who are in no clip")
        self._clips = (
            ClipSampler(sources.clips, np.array([key not in left_out for key in sources.clips.key]))
            if sources.clips is not None
            else None
        )
        self._transcoded = sources.transcoded
        self._transcoded_rows = rows_by_key(sources.transcoded) if sources.transcoded is not None else {}
        self._makers = self._pair_makers()
        if sources.generated is not None:
            self._index_generated(sources.generated)

    def _pair_makers(self) -> list[Callable[[Rng], tuple[DecodedFace, DecodedFace]]]:
        """Return the functions that make the pairs of a batch, in order."""
        return [
            *itertools.repeat(self._still_pair, self._mix.stills),
            *itertools.repeat(self._pseudo_pair, self._mix.pseudo_fakes),
            *itertools.repeat(self._generated_pair, self._mix.generated),
            *itertools.repeat(self._clip_pair, self._mix.clips),
        ]

    def _index_generated(self, pool: Pool) -> None:
        """Find the original of each regenerated image; those of held-out stills and clips are not used."""
        self._generated = pool
        self._real_image: dict[str, tuple[Pool, int]] = {
            self._stills.key[row]: (self._stills, int(row)) for row in self._reals
        }
        self._real_image |= {self._faces.key[row]: (self._faces, int(row)) for row in self._seen_faces}
        if self._clips is not None:
            clips = self._clips.pool
            reals = itertools.chain.from_iterable(itertools.chain.from_iterable(self._clips.real_of_group.values()))
            self._real_image |= {image_key(clips, row): (clips, int(row)) for row in reals}
        self._new_identities = np.flatnonzero(pool.original == "")
        self._regenerated = np.array([row for row, key in enumerate(pool.original) if key in self._real_image])

    def __len__(self) -> int:
        return MAX_BATCHES

    def __getitem__(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rng = np.random.default_rng([self._seed, number])
        pixels = [crop for make in self._makers for crop in self._augmented(*make(rng), rng)]
        targets = np.tile(np.array([0, 1], np.float32), len(self._makers))
        return np.stack(pixels).transpose(0, 3, 1, 2), targets

    def _augmented(self, real: DecodedFace, fake: DecodedFace, rng: Rng) -> tuple[Image, Image]:
        geometric, photometric = sample_geometric(rng), sample_photometric(rng)
        first, second = (
            apply_photometric(apply_geometric(image, box, geometric, self.size), photometric, rng)
            for image, box, _ in (real, fake)
        )
        return first, second

    def _still_pair(self, rng: Rng) -> tuple[DecodedFace, DecodedFace]:
        """Make a pair of a FAKE still and its original, or any REAL still where the original is missing."""
        fake = int(rng.choice(self._fakes))
        real = self._real_of.get(self._stills.original[fake], int(rng.choice(self._reals)))
        return self._stills.face(real, with_landmarks=False), self._stills.face(fake, with_landmarks=False)

    def _pseudo_pair(self, rng: Rng) -> tuple[DecodedFace, DecodedFace]:
        """Make a pair of a real face and a pseudo-fake that is synthesised from it."""
        pool, rows = self._real_faces(rng)
        row = int(rng.choice(rows))
        real = pool.face(row, with_landmarks=True)
        fake = _pseudo_fake(real, pool, self._donors(pool, rows, row, rng), rng)
        return _matched(real, fake, rng) if rng.random() < P_PSEUDO_MATCHED else (real, fake)

    def _donors(self, pool: Pool, rows: NDArray[np.int64], row: int, rng: Rng) -> NDArray[np.int64]:
        """Draw real faces of the same clip or source, never ``row`` itself; empty if there is no other face.

        A single image gets donors from other clips and images: its own face pasted into itself would be a REAL image
        that is labelled FAKE.
        """
        others = rows[rows != row]
        if not len(others) and self._clips is not None and pool is self._clips.pool:
            drawn = np.concatenate([self._clips.clip(rng, fake=False) for _ in range(N_DONORS)])
            others = drawn[drawn != row]
        return rng.choice(others, N_DONORS) if len(others) else others

    def _real_faces(self, rng: Rng, *, stills: float = P_REAL_OF_STILLS) -> tuple[Pool, NDArray[np.int64]]:
        """Choose a pool, and the rows of real faces of one of its sources."""
        if self._clips is not None and rng.random() < P_REAL_OF_CLIPS:
            return self._clips.pool, self._clips.clip(rng, fake=False)
        if rng.random() < stills:
            return self._stills, self._reals
        return self._faces, self._sets[balanced_choice(self._sets, rng)]

    def _generated_pair(self, rng: Rng) -> tuple[DecodedFace, DecodedFace]:
        """Make a pair of a real face and a face that a published network generated or regenerated."""
        pair = self._new_identity_pair(rng) if rng.random() < P_NEW_IDENTITY else self._regenerated_pair(rng)
        return _matched(*pair, rng) if rng.random() < P_PSEUDO_MATCHED else pair

    def _new_identity_pair(self, rng: Rng) -> tuple[DecodedFace, DecodedFace]:
        """Make a pair of a real face and a GAN-generated identity, whole or pasted into the real face."""
        whole = rng.random() < P_WHOLE  # then a portrait: next to a still, pose and smile would reveal the label
        pool, rows = self._real_faces(rng, stills=0.0 if whole else P_REAL_OF_STILLS)
        real = image, box, points = pool.face(int(rng.choice(rows)), with_landmarks=not whole)
        if points is None:
            return real, self._generated.face(int(rng.choice(self._new_identities)), with_landmarks=False)
        row = self._generated.nearest(points, rng.choice(self._new_identities, N_DONORS))
        donor, _, donor_points = self._generated.face(row, with_landmarks=True)
        if donor_points is None:
            return real, self._generated.face(row, with_landmarks=False)
        region = str(rng.choice(REGIONS, p=REGION_SHARES))
        return real, (blend.transplant(image, points, donor, donor_points, rng, region=region), box, points)

    def _regenerated_pair(self, rng: Rng) -> tuple[DecodedFace, DecodedFace]:
        """Make a pair of a real face and the same face regenerated, everywhere or in a part."""
        row = int(rng.choice(self._regenerated))
        pool, original = self._real_image[self._generated.original[row]]
        confined = rng.random() >= P_WHOLE
        real = image, box, points = pool.face(original, with_landmarks=confined)
        fake = self._generated.face(row, with_landmarks=False)[0]
        return real, (blend.confined(fake, image, points, rng) if points is not None else fake, box, points)

    def _clip_pair(self, rng: Rng) -> tuple[DecodedFace, DecodedFace]:
        """Make a pair of frames of a FAKE and a REAL clip."""
        assert self._clips is not None
        pool = self._clips.pool
        fake = int(rng.choice(self._clips.clip(rng, fake=True)))
        real = int(rng.choice(self._clips.real_beside(fake, rng)))
        copied = all(pool.key[row] in self._transcoded_rows for row in (real, fake))
        if self._transcoded is not None and copied and rng.random() < P_TRANSCODED:
            real, fake = (int(rng.choice(self._transcoded_rows[pool.key[row]])) for row in (real, fake))
            pool = self._transcoded
        first, second = (pool.face(row, with_landmarks=False) for row in (real, fake))
        return _matched(first, second, rng) if rng.random() < P_MATCHED else (first, second)


def _pseudo_fake(real: DecodedFace, pool: Pool, donors: NDArray[np.int64], rng: Rng) -> DecodedFace:
    """Forge a real face, with the most similar of ``donors``, rows [k] of its pool."""
    image, box, points = real
    kind = str(rng.choice(KINDS, p=KIND_SHARES))
    if points is None or kind == "resynthesis":
        return resynthesise(image, points, rng), box, points
    if kind == "self_blend" or not len(donors):
        return blend.self_blend(image, points, rng), box, points
    region = "face" if kind == "swap" else str(rng.choice(PARTS, p=PART_SHARES))
    donor, _, donor_points = pool.face(pool.nearest(points, donors), with_landmarks=True)
    if donor_points is None:
        return blend.self_blend(image, points, rng), box, points
    return blend.transplant(image, points, donor, donor_points, rng, region=region), box, points


def _matched(real: DecodedFace, fake: DecodedFace, rng: Rng) -> tuple[DecodedFace, DecodedFace]:
    """Match one image of the pair, chosen at random, to the other in colour and sharpness."""
    (real_image, box, points), (fake_image, fake_box, fake_points) = real, fake
    recolour_real = bool(rng.random() < 0.5)
    real_image, fake_image = match_appearance(real_image, box, fake_image, fake_box, recolour_first=recolour_real)
    return (real_image, box, points), (fake_image, fake_box, fake_points)
