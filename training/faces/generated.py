"""Faces that published networks draw, made once and cached: half an hour on one core.

Most are real faces of the stills, the face sets and the REAL clips, regenerated
(:mod:`forge.images.super_resolution`), with the real one as ``original``; the others are GAN-generated identities
(:mod:`forge.images.face_generator`), without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from forge.images.face_generator import FaceGenerator
from forge.images.super_resolution import WEIGHTS, Enhancer, regenerate
from training import manifest
from training.faces import index
from training.faces.batches import Pool, picture_key

N_REDRAWN, N_GENERATED = 4000, 1000
POOL_SHARES = {"stills": 0.4, "faces": 0.4, "clips": 0.2}  # of the faces drawn anew
SIDE_PX = (360, 1024)  # to which portraits are reduced


def rows(stills: Pool, faces: Pool, clips: Pool, *, out: frozenset[str], seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of :data:`training.faces.index.SCHEMA`; none is made from a still of the groups ``out``.

    ``original`` names the real picture (:func:`training.faces.batches.picture_key` for a frame of a clip), so that a
    batch can leave out what was drawn from clips that are held out.
    """
    rng = np.random.default_rng(seed)
    reals = (
        (stills, [np.flatnonzero([group not in out for group in stills.group] & ~stills.fake)]),
        (faces, _by(faces.source, np.arange(len(faces)))),
        (clips, _by(clips.key, np.flatnonzero(~clips.fake))),
    )
    yield from manifest.progress(_redrawn(reals, rng), "faces drawn anew", N_REDRAWN)
    yield from manifest.progress(_generated(rng), "faces of nobody", N_GENERATED)


def _by(names: Any, chosen: Any) -> list[Any]:
    """The chosen rows of each name."""
    return [chosen[names[chosen] == name] for name in sorted(set(names[chosen]))]


def _redrawn(reals: Any, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    enhancers = [Enhancer(name) for name in WEIGHTS]
    shares = np.array([weights.share for weights in WEIGHTS.values()])
    for number in range(N_REDRAWN):
        pool, parts = reals[int(rng.choice(len(reals), p=list(POOL_SHARES.values())))]
        row = int(rng.choice(parts[int(rng.integers(len(parts)))]))
        image, box, _ = pool.face(row, with_landmarks=False)
        enhancer = enhancers[int(rng.choice(len(enhancers), p=shares / shares.sum()))]
        drawn = index.encode_jpeg(regenerate(image, box, enhancer, rng))
        original = picture_key(pool, row) if pool is reals[-1][0] else str(pool.key[row])
        names = (f"{enhancer.name} {number}", 0, True, str(pool.group[row]), enhancer.name, original)
        yield index.face_row(*names, box, None, drawn)


def _generated(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    generator, finder = FaceGenerator(), index.Finder()
    for number in range(N_GENERATED):
        side = int(rng.integers(*SIDE_PX))
        image = np.asarray(cv2.resize(generator(rng), (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        image, box, points = index.cut_face(image, *finder.still(image, with_landmarks=True))
        key = f"nobody {number}"
        yield index.face_row(key, 0, True, key, "mobilestylegan", "", box, points, index.encode_jpeg(image))
