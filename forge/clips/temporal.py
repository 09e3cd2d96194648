"""What changes over the frames of a clip: landmarks smoothed, parameters that drift, frames fit for a donor's face.

Landmarks are [n, 68, 2] in px, NaN where there is no face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.geometry import inter_ocular_distance
from forge.face_ops import Points

SMOOTH_FRAMES = 5  # landmarks of a good forgery are averaged over so many
MIN_DONOR_SIZE = 0.6  # of the donor's largest face: after a cut the face may be far away
MAX_DONOR_STEP_IOD = 0.03  # a frame that a donor's face may move


def smoothed_landmarks(landmarks: Points, frames: int = SMOOTH_FRAMES) -> Points:
    """Landmarks [n, 68, 2] averaged over ``frames`` neighbouring frames, which also bridges gaps of one or two.

    A Hann window, its weights renormalised where a face is missing; NaN where the window meets no face. As they are
    where ``frames`` is below 2, or the clip is shorter.
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
    """A stationary AR(1) process [n] of mean 0 and about unit standard deviation: how a parameter drifts over frames.

    Each value is ``1 - forgetting`` times the one before, plus noise; ``forgetting`` is above 0 and below 1, and the
    smaller, the slower the drift.
    """
    noise = rng.standard_normal(n) * np.sqrt(2 * forgetting - forgetting**2)
    values = np.empty(n)
    last = rng.standard_normal()
    for i in range(n):
        last = (1 - forgetting) * last + noise[i]
        values[i] = last
    return values


def usable_frames(landmarks: Points) -> NDArray[np.bool_]:
    """Which frames [n] show a large face that holds still: small and blurred ones make poor donors.

    Where no large face holds still, the large ones that move.
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
