"""Recover when the frames of a clip were taken, if some of them are shown again.

Two cases look alike. A rate conversion repeats frames that were taken regularly: 24 frames per second, shown at 30,
follow each other after one or two thirtieths of a second. A recorder or encoder that lost a frame repeats the one
before it, and all other frames were taken when they are shown. Motion distinguishes the two: it is smooth only in the
true times.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from features.arrays import F64
from features.measures.series import ROUNDING, SNAP
from features.observation import Observation

WINDOW = 4  # frames: three determine a motion with constant acceleration, the fourth shows the deviation from it
SHARING = WINDOW - 1  # windows in a row that one step lies in: together they are one place
MIN_PLACES = 4
SURE = 2.0  # standard errors
MOST = 2 / 3


def taken_times(observation: Observation, *, paths: Iterable[F64]) -> F64:
    """Return when a clip's frames [n] were taken, in s: presentation times, unless a rate conversion moved them.

    The alternative is a uniform clock through the frames that are not repeats. It is used if each such frame lies
    within one display step of its uniform time, and if motion is smoother on the uniform clock by two standard
    errors, at four places or more. If motion can't decide (a still face, noise above motion, a short clip), the
    uniform clock is used if more than two of three frames are shown again, since so many frames are not lost. Repeats
    keep their times.

    Confounds: a conversion is not recognised for 24 frames shown at 25 below 4 s, and for slow or noisy motion.

    Parameters
    ----------
    observation : Observation
        Observation whose ``duplicate`` marks repeated frames.
    paths : iterable of ndarray of shape (n, k)
        Positions of something that moves, such as the parts of one face, in each frame, px; NaN where unknown. Read
        only if frames are repeated.
    """
    times = observation.times_s
    first = np.flatnonzero(~observation.duplicate)
    if len(first) == len(times) or len(first) < WINDOW:
        return times
    shown, uniform, display_step = times[first], _uniform(times[first]), float(np.median(np.diff(times)))
    if np.ptp(shown - uniform) > (1 + SNAP) * display_step:
        return times  # a still stretch, or a part with another rate
    gains = np.concatenate([np.empty(0), *(smoother(path[first], than=shown, on=uniform) for path in paths)])
    as_a_rule = bool(np.mean(np.diff(shown) > (1 + SNAP) * display_step) > MOST)
    if not _is_own(gains, otherwise=as_a_rule):
        return times
    taken = times.copy()
    taken[first] = uniform
    return taken


def _uniform(times_s: F64) -> F64:
    """Return the uniform clock through times [n], by least squares."""
    place = np.arange(len(times_s))
    return np.asarray(np.polyval(np.polyfit(place, times_s, 1), place), dtype=np.float64)


def _is_own(gains: F64, *, otherwise: bool) -> bool:
    """Return whether motion is smoother on the uniform clock; ``otherwise`` if the difference is not significant."""
    usable = len(gains) // SHARING * SHARING
    places = gains[:usable].reshape(-1, SHARING).mean(axis=1)
    if len(places) < MIN_PLACES:
        return otherwise
    error = places.std(ddof=1) / np.sqrt(len(places))
    return bool(places.mean() > 0) if abs(places.mean()) >= SURE * error else otherwise


def smoother(path: F64, *, than: F64, on: F64) -> F64:
    """Compare how smooth motion is on two clocks, [k] in [-1, 1]: above 0 where it is smoother on the clock ``on``.

    Each value covers four successive frames that ``than`` spaces unevenly. For each clock, the deviation of the path
    from a motion with constant acceleration is measured; the value is the difference of the two deviations over their
    sum. Noise alone deviates equally on both.

    Parameters
    ----------
    path : ndarray of shape (n, dims)
        Positions; NaN where unknown. Four frames with a NaN among them, or without motion, are left out.
    than, on : ndarray of shape (n,)
        Times in s on either clock.

    Examples
    --------
    >>> shown = np.array([0.0, 1.0, 2.0, 4.0, 5.0])
    >>> smoother(shown[:, None], than=shown, on=np.arange(5.0)).round(6).tolist()  # a steady motion, as it was shown
    [-1.0, -1.0]
    """
    steps = np.diff(than)
    uneven = np.ptp(sliding_window_view(steps, WINDOW - 1), axis=1) > SNAP * np.median(steps)
    points = sliding_window_view(path, WINDOW, axis=0)[uneven]  # [m, dims, 4]
    other, this = (
        np.linalg.norm(np.einsum("mdi,mi->md", points, _third_difference(times)[uneven]), axis=1)
        for times in (than, on)
    )
    moves = other + this > ROUNDING
    return np.asarray((other - this)[moves] / (other + this)[moves], dtype=np.float64)


def _third_difference(times_s: F64) -> F64:
    """Return weights [n - 3, 4] of four successive values that cancel any quadratic in time; their squares sum to 1."""
    windows = sliding_window_view(times_s, WINDOW)
    apart = windows[:, :, None] - windows[:, None, :]
    apart[:, np.arange(WINDOW), np.arange(WINDOW)] = 1.0
    weights = 1.0 / apart.prod(axis=2)
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True), dtype=np.float64)
