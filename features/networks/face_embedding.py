"""Embed a face track's crops with dlib's face recogniser: which crops are embedded, and how their faces are cut.

The network is loaded with the first face, so that naming columns, or measuring a clip without a face, needs no torch.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.measures import robust
from features.measures.geometry import crop_landmarks, pose
from features.networks.dlib_models import EMBEDDING_DIMENSIONS
from features.observation import Track

MAX_CHIPS, MIN_CHIPS = 9, 8  # face chips of the main face track: at most, and for any cue at all
OTHER_CHIPS, MAX_OTHERS = 3, 3  # chips of another face track, and how many of these
MAX_YAW_DEG = 45.0
BLUR_QUANTILE = 0.1  # the most blurred tenth of a track is left out
CHIP_PX, CHIP_PADDING = 150, 0.25  # of the recogniser


def suitable(track: Track, *, most: int) -> NDArray[np.int64]:
    """Return the numbers [k] of up to ``most`` spread-out crops, frontal within 45 degrees and reasonably sharp."""
    points = track.landmarks[track.crop_index]
    sharp = track.sharpness[:, 0].astype(np.float64)
    floor = robust.quantile(sharp, BLUR_QUANTILE, least=1)
    good = np.abs(pose(points)[:, 1]) < MAX_YAW_DEG
    good &= ~(sharp[track.crop_index] < floor)
    numbers = np.flatnonzero(good)
    if len(numbers) <= most:
        return numbers
    return numbers[((np.arange(most) + 0.5) * len(numbers) / most).astype(int)]


def embed(crop: NDArray[np.uint8], points: F64) -> F64:
    """Return dlib's embedding [128] of an RGB crop [s, s, 3] with its 68 landmarks in px of the crop."""
    import dlib

    from features.networks.face_recogniser import embedding

    whole = [dlib.point(int(x), int(y)) for x, y in np.rint(points).astype(int)]
    rectangle = dlib.rectangle(0, 0, crop.shape[1] - 1, crop.shape[0] - 1)
    shape = dlib.full_object_detection(rectangle, dlib.points(whole))
    chip = dlib.get_face_chip(np.ascontiguousarray(crop), shape, CHIP_PX, CHIP_PADDING)
    return embedding(chip)


def embeddings(track: Track, numbers: NDArray[np.int64]) -> F64:
    """Return embeddings [n, 128] of the numbered crops, computed where the track has none; rounded to float32."""
    rows = np.array([_embedding(track, n) for n in numbers.tolist()], np.float32).reshape(-1, EMBEDDING_DIMENSIONS)
    return rows.astype(np.float64)


def _embedding(track: Track, number: int) -> NDArray[np.float32] | F64:
    kept = track.embedding[number]
    return kept if np.isfinite(kept).all() else embed(track.crops[number], crop_landmarks(track, number))


def with_embeddings(track: Track, *, main: bool) -> Track:
    """Return the track with the embeddings that the family ``identity`` reads, for the ``main`` track or another."""
    numbers = suitable(track, most=MAX_CHIPS if main else OTHER_CHIPS)
    filled = np.full((len(track.crops), EMBEDDING_DIMENSIONS), np.nan, np.float32)
    filled[numbers] = embeddings(track, numbers)
    return replace(track, embedding=filled)
