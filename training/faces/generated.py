"""Faces that published networks generate, made once and cached: half an hour on one core.

Most are real faces of the stills, the face sets and the REAL clips, regenerated
(:mod:`forge.images.super_resolution`), with the real one as ``original``; the others are GAN-generated identities
(:mod:`forge.images.face_generator`), without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError
from forge.images.face_generator import PACKAGE, FaceGenerator
from forge.images.super_resolution import WEIGHTS, Enhancer, packaged, regenerate
from training import manifest
from training.faces import index
from training.faces.pools import Pool, picture_key
from training.progress import Progress, no_progress, tracked

VERSION = 1  # of the code that generates: another one makes the cache again
N_REGENERATED, N_NEW_IDENTITIES = 4000, 1000
POOL_SHARES = {"stills": 0.4, "faces": 0.4, "clips": 0.2}  # of the faces that are regenerated
SIDE_PX = (360, 1024)  # to which portraits are reduced

Rows = NDArray[np.int64]


def rows(
    stills: Pool,
    faces: Pool,
    clips: Pool,
    *,
    holdout: frozenset[str],
    seed: int = 0,
    progress: Progress = no_progress,
) -> Iterator[dict[str, Any]]:
    """Rows of :data:`training.faces.index.SCHEMA`; none is made from a still of the groups ``holdout``.

    ``original`` names the real picture (:func:`training.faces.pools.picture_key` for a frame of a clip), so that a
    batch can leave out what was regenerated from clips that are held out.

    Raises
    ------
    DatasetError
        One of the pools holds no real face.
    """
    rng = np.random.default_rng(seed)
    reals = (
        (stills, [np.flatnonzero([group not in holdout for group in stills.group] & ~stills.fake)]),
        (faces, _by(faces.source, np.arange(len(faces)))),
        (clips, _by(clips.key, np.flatnonzero(~clips.fake))),
    )
    for name, (_, parts) in zip(POOL_SHARES, reals, strict=True):
        if not sum(map(len, parts)):
            raise DatasetError(f"the {name} hold no real face that may be trained on; give REAL ones, too")
    yield from tracked(_regenerated(reals, rng), "regenerated faces", N_REGENERATED, progress)
    yield from tracked(_new_identities(rng), "generated identities", N_NEW_IDENTITIES, progress)


def check_installed() -> None:
    """Refuse to start without the packages that hold the networks, which is cheaper than to find out later.

    Raises
    ------
    ModelError
        A package is missing.
    """
    for weights in WEIGHTS.values():
        packaged(weights.package, f"{weights.stem}.param")
    packaged(PACKAGE, "data/SynthesisNetwork.xml")


def identity(pools: str, seed: int) -> str:
    """Identity of :func:`rows`, for :func:`training.faces.index.cached`; ``pools`` is that of what it is made from."""
    networks = sorted((name, weights.share) for name, weights in WEIGHTS.items())
    settings = [VERSION, N_REGENERATED, N_NEW_IDENTITIES, POOL_SHARES, SIDE_PX, networks]
    return manifest.digest("generated", settings, pools, seed)


def _by(names: NDArray[Any], chosen: Rows) -> list[Rows]:
    """Of the ``chosen`` rows [k] of a pool, those of each name; ``names`` [n] are of all its rows."""
    return [chosen[names[chosen] == name] for name in sorted(set(names[chosen]))]


def _regenerated(reals: Sequence[tuple[Pool, list[Rows]]], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Regenerated faces; a pool is drawn by its share, then a part of it, each as likely, then a row.

    ``reals`` holds the pools in the order of ``POOL_SHARES``, frames of clips last, and the rows of each part.
    """
    enhancers = [Enhancer(name) for name in WEIGHTS]
    shares = np.array([weights.share for weights in WEIGHTS.values()])
    for number in range(N_REGENERATED):
        pool, parts = reals[int(rng.choice(len(reals), p=list(POOL_SHARES.values())))]
        row = int(rng.choice(parts[int(rng.integers(len(parts)))]))
        image, box, _ = pool.face(row, with_landmarks=False)
        enhancer = enhancers[int(rng.choice(len(enhancers), p=shares / shares.sum()))]
        jpeg = index.encode_jpeg(regenerate(image, box, enhancer, rng))
        original = picture_key(pool, row) if pool is reals[-1][0] else str(pool.key[row])
        yield index.face_row(
            f"{enhancer.name} {number}",
            jpeg,
            box,
            fake=True,
            group=str(pool.group[row]),
            source=enhancer.name,
            original=original,
        )


def _new_identities(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    generator, finder = FaceGenerator(), index.Finder()
    for number in range(N_NEW_IDENTITIES):
        side = int(rng.integers(*SIDE_PX))
        image = np.asarray(cv2.resize(generator(rng), (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        image, box, points = index.cut_face(image, *finder.still(image, with_landmarks=True))
        key = f"generated {number}"
        jpeg = index.encode_jpeg(image)
        yield index.face_row(key, jpeg, box, points, fake=True, group=key, source="mobilestylegan")
