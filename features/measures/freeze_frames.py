"""Frames of a face track that show nothing new: repeated frames, and stills that are held."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.measures.series import TIME_ROUNDING_S
from features.observation import Observation, Track

# A still: see held_samples. Of 40 edited clips, others than stills stayed below the step for 0.15 s at most, and the
# sharpness of a face that is not a still usually changes by 2 % and more from frame to frame.
HELD_S, HELD_STEP, HELD_POINTS, HELD_SHARPNESS = 1.0, 1e-3, 0.9, 2e-3


def distinct(observation: Observation, track: Track) -> NDArray[np.int64]:
    """Positions [k], of 0 to m - 1, of the track's samples that do not repeat the frame before (rate conversion)."""
    return np.flatnonzero(~observation.duplicate[track.frame_index])


def held(observation: Observation, track: Track) -> NDArray[np.bool_]:
    """Return :func:`held_samples` of a track of an observation."""
    return held_samples(track, times_s=observation.times_s[track.frame_index])


def held_samples(track: Track, *, times_s: F64) -> NDArray[np.bool_]:
    """[m] true for the track's samples that hold a still for a second or more, except the first of each still.

    A freeze frame that was encoded again has no equal frames, but nothing in the face moves: of each step, nine in ten
    points that optical flow follows move by less than a thousandth of the face's side, and the face's sharpness
    usually (median) changes by less than 0.2 %.

    Parameters
    ----------
    track : Track
        Of m samples.
    times_s : ndarray of shape (m,)
        Presentation times of the samples.
    """
    still = np.zeros(len(track), dtype=bool)
    moved = np.linalg.norm(track.flow[1:].astype(np.float64) - track.landmarks[:-1], axis=2)
    followed = np.isfinite(moved)
    reached = (moved <= HELD_STEP * np.median(track.box[:, 2] - track.box[:, 0])) & followed
    still[1:] = (reached.sum(axis=1) >= HELD_POINTS * followed.sum(axis=1)) & followed.any(axis=1)
    edges = np.flatnonzero(np.diff(np.r_[False, still, False]))
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        sharpness = track.sharpness[first - 1 : after, 0]
        constant = np.median(np.abs(np.diff(sharpness))) <= HELD_SHARPNESS * np.median(sharpness)
        still[first:after] = constant and times_s[after - 1] - times_s[first - 1] >= HELD_S - TIME_ROUNDING_S
    return still
