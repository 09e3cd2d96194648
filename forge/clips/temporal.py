"""Time courses over the frames of a clip: smoothed landmarks, drifting parameters, frames usable for a donor's face.

Landmarks are [n, 68, 2] in px, NaN where there is no face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.measures.geometry import inter_ocular_distance
from forge.face_ops import Points

SMOOTH_FRAMES = 5  # number of frames over which the landmarks of a good forgery are averaged
MIN_DONOR_SIZE = 0.6  # relative to the donor's largest face: after a cut the face may be far away
MAX_DONOR_STEP_IOD = 0.03  # largest movement of a donor's face per frame


def smoothed_landmarks(landmarks: Points, frames: int = SMOOTH_FRAMES) -> Points:
    """Average landmarks [n, 68, 2] over ``frames`` neighbouring frames, which also bridges gaps of one or two.

    Uses a Hann window whose weights are renormalised where a face is missing; NaN where the window contains no face.
    Returns the landmarks unchanged where ``frames`` is below 2, or the clip is shorter.
    """
    if frames < 2 or len(landmarks) < frames:
        return landmarks
    known = np.isfinite(landmarks)
    window = np.hanning(frames + 2)[1:-1].astype(np.float32)
    flat = np.where(known, landmarks, 0).reshape(len(landmarks), -1)
    weight = known.reshape(flat.shape).astype(np.float32)
    pad = frames // 2
    sums = [_weighted_sums(np.pad(x, ((pad, pad), (0, 0))), window) for x in (flat, weight)]
    mean = (sums[0] / np.maximum(sums[1], 1e-6)).reshape(landmarks.shape)
    return np.where(sums[1].reshape(mean.shape) > 0, mean, np.nan).astype(np.float32)


def _weighted_sums(padded: np.ndarray, window: np.ndarray) -> np.ndarray:
    n = len(padded) - len(window) + 1
    return sum(w * padded[i : i + n] for i, w in enumerate(window))


def stationary_ar1(n: int, rng: np.random.Generator, *, forgetting: float) -> NDArray[np.float64]:
    """Return a stationary AR(1) process [n] with mean 0 and unit standard deviation: the drift of a parameter.

    Each value is ``1 - forgetting`` times the previous one, plus noise; ``forgetting`` is between 0 and 1, and a
    smaller value gives a slower drift.
    """
    noise = rng.standard_normal(n) * np.sqrt(2 * forgetting - forgetting**2)
    values = np.empty(n)
    last = rng.standard_normal()
    for i in range(n):
        last = (1 - forgetting) * last + noise[i]
        values[i] = last
    return values


def usable_frames(landmarks: Points) -> NDArray[np.bool_]:
    """Return True [n] for frames with a large, steady face: small and blurred faces make poor donors.

    If no large face is steady, return True for all large faces.
    """
    size = inter_ocular_distance(landmarks)
    step = np.linalg.norm(np.gradient(landmarks, axis=0), axis=-1).mean(-1) / size if len(size) > 1 else 0 * size
    known = np.isfinite(landmarks).all((1, 2))
    step = np.where(known, np.where(np.isfinite(step), step, 1.0), np.inf)
    limit = max(MAX_DONOR_STEP_IOD, float(np.median(step[known]))) if known.any() else 0.0
    largest = float(size[known].max()) if known.any() else 0.0
    large = known & (size >= MIN_DONOR_SIZE * largest)
    good = large & (step <= limit)
    return np.asarray(good if good.any() else large)
