"""Axes with round ends, and lines as SVG paths: thinned to the resolution of a page, broken at missing values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LOG_ODDS = "log-odds"
LEAST_LOG_ODDS = 3.0
"""Lanes of log-odds reach at least from -3 to 3, so that a clip without findings does not show magnified noise."""
MAX_POINTS = 1200  # two for each pixel of the widest lane that a page has
DOTS_BELOW = 64  # points; a denser line is drawn without dots
MOST_STEPS = 3  # between the ticks of an axis of values
BREAK_STEPS, BREAK_S = 2.5, 0.25  # a line breaks where a step is longer than both: so many median steps, and seconds

Floats = NDArray[np.float64]


def scale_of(values: Floats, unit: str) -> tuple[float, float, float]:
    """Round ends of an axis that holds all values, and the step of its ticks.

    Log-odds are symmetric about 0 and reach at least :data:`LEAST_LOG_ODDS`. Every other axis holds 0, so that a small
    change of a large value looks small, and lanes of different clips can be compared.

    >>> scale_of(np.array([0.2, 0.9]), "1"), scale_of(np.array([0.4, -4.2]), "log-odds")
    ((0.0, 1.0, 0.5), (-5.0, 5.0, 5.0))
    """
    finite = values[np.isfinite(values)]
    if unit == LOG_ODDS:
        bound = max(LEAST_LOG_ODDS, float(np.ceil(np.abs(finite).max()))) if len(finite) else LEAST_LOG_ODDS
        return -bound, bound, bound
    if not len(finite):
        return 0.0, 1.0, 1.0
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    step = nice_step((high - low) / MOST_STEPS or 1.0)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return low, (high if high > low else low + step), step


def digits_read(step: float, unit: str) -> int:
    """Return the digits after the point of a value that is read from an axis: one more than its ticks have.

    >>> digits_read(0.05, "1"), digits_read(1.0, "1"), digits_read(20.0, "dB"), digits_read(15.0, "log-odds")
    (3, 1, 0, 1)
    """
    return 1 if unit == LOG_ODDS else max(0, 1 - math.floor(math.log10(step)))


def nice_step(length: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below ``length``.

    >>> nice_step(0.45), nice_step(3.0), nice_step(5.1)
    (0.5, 5.0, 10.0)
    """
    power = 10.0 ** math.floor(math.log10(length))
    return float(f"{next(m for m in (1, 2, 5, 10) if m * power >= length * (1 - 1e-9)) * power:.6g}")


def thinned(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Thin a line to about :data:`MAX_POINTS` points that look the same: the minimum and maximum of each stretch.

    Parameters
    ----------
    times, values : ndarray of shape (n,)
        Of a series.

    Returns
    -------
    times, values : ndarray of shape (m,)
        NaN wherever the line must break: where values are missing, or no value was taken for long.
    """
    pieces = [(times[a:b], values[a:b]) for a, b in unbroken(times, values)]
    total = sum(len(t) for t, _ in pieces)
    out_t: list[float] = []
    out_v: list[float] = []
    for number_, (t, v) in enumerate(pieces):
        if number_:
            out_t.append((out_t[-1] + float(t[0])) / 2)
            out_v.append(math.nan)
        share = len(t) / total
        keep = np.arange(len(t)) if total <= MAX_POINTS else _extremes(v, max(1, round(share * MAX_POINTS / 2)))
        out_t += t[keep].tolist()
        out_v += v[keep].tolist()
    return np.array(out_t), np.array(out_v)


def unbroken(times: Floats, values: Floats, *, of_time: bool = True) -> list[tuple[int, int]]:
    """Half-open index ranges in which a line does not break; with ``of_time`` it breaks at long steps, too."""
    finite = np.isfinite(values)
    if not len(finite):
        return []
    step = np.diff(times)
    gap = np.zeros(len(step), bool)
    if of_time and len(step):
        gap = step > max(BREAK_STEPS * float(np.median(step)), BREAK_S)
    starts = finite & np.concatenate([[True], ~finite[:-1] | gap])
    ends = finite & np.concatenate([~finite[1:] | gap, [True]])
    return [(int(a), int(b) + 1) for a, b in zip(np.flatnonzero(starts), np.flatnonzero(ends), strict=True)]


def widened(x: Floats, y: Floats, window: float) -> tuple[Floats, Floats]:
    """A line whose ends reach to where their windows end, or halfway to a missing value; unchanged without a window.

    >>> widened(np.array([1.5, 2.5]), np.array([7.0, 8.0]), 3.0)
    (array([0. , 1.5, 2.5, 4. ]), array([7., 7., 8., 8.]))
    """
    if not window:
        return x, y
    out_x: list[float] = []
    out_y: list[float] = []
    for a, b in unbroken(x, y, of_time=False):
        start, end = reach(x, a, b, window)
        out_x += [start, *x[a:b], end, x[b - 1]]
        out_y += [y[a], *y[a:b], y[b - 1], math.nan]
    return np.clip(out_x[:-1], 0, 100), np.array(out_y[:-1])


def reach(x: Floats, a: int, b: int, window: float) -> tuple[float, float]:
    """Return where the values ``x[a:b]`` of a line begin and end: where their windows do, or halfway to the next value.

    >>> reach(np.array([1.5, 2.5, 3.5]), 0, 2, 3.0)
    (0.0, 3.0)
    """
    before = x[a] - x[a - 1] if a else math.inf
    after = x[b] - x[b - 1] if b < len(x) else math.inf
    return float(x[a] - min(window, before) / 2), float(x[b - 1] + min(window, after) / 2)


def _extremes(values: Floats, buckets: int) -> NDArray[np.int64]:
    """Positions of the first and last value, and of the extremes of equal stretches."""
    parts = np.array_split(np.arange(len(values)), min(buckets, len(values)))
    chosen = {0, len(values) - 1}
    for part in parts:
        chosen |= {int(part[np.argmin(values[part])]), int(part[np.argmax(values[part])])}
    return np.array(sorted(chosen))


def path(x: Floats, y: Floats, base: float | None = None) -> str:
    """A line for each unbroken piece; with ``base``, the surface between the line and that height."""
    words = []
    for a, b in unbroken(x, y, of_time=False):
        line = "L".join(f"{10 * u:.1f} {v:.1f}" for u, v in zip(x[a:b], y[a:b], strict=True))
        surface = "" if base is None else f"V{base:g}H{10 * x[a]:.1f}Z"
        words.append(f"M{line}{surface}")
    return "".join(words)


def dots(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    """Return all points of a sparse series; of a dense one, only isolated points, which a line would not show."""
    finite = np.isfinite(y)
    alone = finite & ~np.concatenate([[False], finite[:-1]]) & ~np.concatenate([finite[1:], [False]])
    shown = finite if finite.sum() < DOTS_BELOW else alone
    return tuple((round(float(a), 2), round(float(b), 2)) for a, b in zip(x[shown], y[shown], strict=True))
