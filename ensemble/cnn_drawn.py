"""Faces that published networks draw, made once and cached: half a minute for a hundred.

Half of them are real faces of the stills and the face sets drawn anew (:mod:`forge.enhancers`), with the real one as
``original``; the others are people who do not exist (:mod:`forge.face_gan`), without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from ensemble import cnn_index
from ensemble.cnn_data import Pool
from forge.enhancers import WEIGHTS, Enhancer, redraw
from forge.face_gan import FaceGenerator

N_REDRAWN, N_GENERATED = 3000, 1800
P_STILL = 0.5  # of the faces to draw anew; the others are spread evenly over the face sets
SIDE_PX = (360, 1024)  # to which portraits are reduced


def rows(stills: Pool, faces: Pool, *, out: frozenset[str], seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of :data:`ensemble.cnn_index.SCHEMA`; none is made from a still of the groups ``out``."""
    rng = np.random.default_rng(seed)
    yield from cnn_index.progress(_redrawn(stills, faces, out, rng), "faces drawn anew", N_REDRAWN)
    yield from cnn_index.progress(_generated(rng), "faces of nobody", N_GENERATED)


def _redrawn(stills: Pool, faces: Pool, out: frozenset[str], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    enhancers = [Enhancer(name) for name in WEIGHTS]
    shares = np.array([weights.share for weights in WEIGHTS.values()])
    reals = np.flatnonzero([group not in out for group in stills.group] & ~stills.fake)
    sets = [np.flatnonzero(faces.source == name) for name in sorted(set(faces.source))]
    for number in range(N_REDRAWN):
        of_stills = rng.random() < P_STILL
        pool, choice = (stills, reals) if of_stills else (faces, sets[int(rng.integers(len(sets)))])
        row = int(rng.choice(choice))
        image, box, _ = pool.face(row, with_landmarks=False)
        enhancer = enhancers[int(rng.choice(len(enhancers), p=shares / shares.sum()))]
        drawn = cnn_index.encode_jpeg(redraw(image, box, enhancer, rng))
        key, real = f"{enhancer.name} {number}", (str(pool.group[row]), enhancer.name, str(pool.key[row]))
        yield cnn_index.face_row(key, 0, True, *real, box, None, drawn)


def _generated(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    generator, finder = FaceGenerator(), cnn_index.Finder()
    for number in range(N_GENERATED):
        side = int(rng.integers(*SIDE_PX))
        image = np.asarray(cv2.resize(generator(rng), (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        image, box, points = cnn_index.cut_face(image, *finder.still(image, with_landmarks=True))
        key = f"nobody {number}"
        yield cnn_index.face_row(key, 0, True, key, "mobilestylegan", "", box, points, cnn_index.encode_jpeg(image))
