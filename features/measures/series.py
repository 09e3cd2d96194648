"""Time series of a face: uniform grids across gaps, smoothing, derivatives, power in a band.

Times are presentation times; frame numbers never stand for time. Series come on a uniform grid in segments: gaps up to
``MAX_GAP_S`` are bridged by linear interpolation, longer ones split. Everything is float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.arrays import F64

MAX_GAP_S = 0.12  # longer gaps split a series
TIME_ROUNDING_S = 2e-3  # of a gap between time stamps in whole milliseconds: three steps of 0.04 s are no longer gap
MIN_SPECTRUM_S = 2.0  # and 64 samples: shorter segments have no spectrum
MIN_SPECTRUM_SAMPLES = 64
WELCH_S = 4.0
BAND_FLOOR_HZ, BAND_CEILING_HZ = 0.5, 15.0  # the whole that a band is a fraction of, with BAND_LIMIT
BAND_LIMIT = 0.45  # of a series' rate: up to there its power can be measured
SMOOTH_S = 0.23  # Savitzky-Golay window of every landmark series
MAX_SMOOTH_S = 0.35  # of its five samples or more: a longer one takes motion itself for jitter
SNAP = 0.3  # of a frame: times this near to a regular grid are taken as regular
MIN_VALID_SHARE = 0.2  # below this a family reports nothing else
ROUNDING = 1e-9  # in a series' own unit: what is no larger is rounding
RATE_ROUNDING = 1.5e-3  # relative: a rate measured from time stamps is noisy, and video at 15000/1001 fps counts as 15
POLYORDER = 2
JERK_POLYORDER = 3  # a third derivative needs a cubic


@dataclass(frozen=True)
class Segment:
    """A stretch of a series on a uniform grid: ``values`` [n, ...] at ``start_s + arange(n) / rate_hz``.

    >>> part = Segment(start_s=1.0, rate_hz=2.0, values=np.zeros(3))
    >>> part.times_s.tolist(), part.length_s
    ([1.0, 1.5, 2.0], 1.5)
    """

    start_s: float
    rate_hz: float
    values: F64

    @property
    def times_s(self) -> F64:
        """Times of the samples [n]."""
        return self.start_s + np.arange(len(self.values)) / self.rate_hz

    @property
    def length_s(self) -> float:
        """Samples over rate: the time that the segment observes."""
        return len(self.values) / self.rate_hz


def rate(times_s: ArrayLike) -> float:
    """Frames per second: one over the median step; NaN below two samples.

    >>> rate([0.0, 0.04, 0.08, 0.16])
    25.0
    """
    steps = np.diff(np.asarray(times_s, dtype=np.float64))
    steps = steps[steps > 0]
    return float(1.0 / np.median(steps)) if steps.size else np.nan


def n_samples(seconds: float, *, rate_hz: float) -> int:
    """Number of samples nearest to ``seconds``; half a sample is rounded up.

    The rounding error of a measured rate, or a rate of 15000/1001 in place of 15, does not change the number.

    >>> [n_samples(2.5, rate_hz=rate) for rate in (24.999999999, 25.0, 25.000000001, 30.0)]
    [63, 63, 63, 75]
    """
    return math.floor(seconds * rate_hz * (1.0 + RATE_ROUNDING) + 0.5)


def savgol_window(rate_hz: float) -> int:
    """Odd number of samples nearest to 0.23 s, at least 5."""
    return max(5, 2 * int(SMOOTH_S * rate_hz / 2.0) + 1)


def segments(values: ArrayLike, *, times_s: ArrayLike, rate_hz: float | None = None) -> list[Segment]:
    """Lay a series with gaps on a uniform grid.

    Parameters
    ----------
    values : array of shape (n, ...)
        A sample that holds any NaN counts as missing.
    times_s : array of shape (n,)
        Increasing presentation times.
    rate_hz : float, optional
        Grid; without it the series' own rate, where regular samples are taken as they are, so that rounded
        time stamps do not smooth them.

    Returns
    -------
    list of Segment
        In order of time, each of two samples or more; empty when fewer than two samples are usable.

    Examples
    --------
    >>> times = np.arange(6) / 2.0
    >>> [part.values.tolist() for part in segments([0, 1, 2, np.nan, np.nan, np.nan], times_s=times)]
    [[0.0, 1.0, 2.0]]
    """
    times, array = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    native = rate(times)
    ok = np.isfinite(array).reshape(len(array), -1).all(axis=1) & np.isfinite(times)
    times, array = times[ok], array[ok]
    if len(times) < 2 or not np.isfinite(native):
        return []
    breaks = np.flatnonzero(np.diff(times) > max(MAX_GAP_S, 1.5 / native) + TIME_ROUNDING_S) + 1
    stretches = zip(np.split(times, breaks), np.split(array, breaks), strict=True)
    return [
        _own_grid(part_t, part_v, native) if rate_hz is None else _resampled(part_t, part_v, rate_hz)
        for part_t, part_v in stretches
        if len(part_t) >= 2
    ]


def _own_grid(times: F64, values: F64, native_hz: float) -> Segment:
    """Regular samples unchanged, missing ones interpolated; irregular ones resampled at their rate.

    Linear interpolation between irregular samples smooths: fast jitter comes out smaller.
    """
    place = np.concatenate([[0], np.cumsum(np.maximum(1, np.rint(np.diff(times) * native_hz)))]).astype(int)
    step, start = np.polyfit(place, times, 1)
    if np.abs(times - start - step * place).max() > SNAP * step:
        return _resampled(times, values, native_hz)
    grid = np.arange(place[-1] + 1)
    full = values if len(grid) == len(values) else _interpolate(grid, place, values)
    return Segment(float(start), float(1.0 / step), full)


def _resampled(times: F64, values: F64, rate_hz: float) -> Segment:
    count = int(np.floor((times[-1] - times[0]) * rate_hz + 1e-6)) + 1
    grid = times[0] + np.arange(count) / rate_hz
    return Segment(float(times[0]), rate_hz, _interpolate(grid, times, values))


def _interpolate(grid: NDArray, times: NDArray, values: F64) -> F64:
    """Linear interpolation of ``values`` [n, ...] along the first axis."""
    right = np.clip(np.searchsorted(times, grid, side="left"), 1, len(times) - 1)
    weight = (grid - times[right - 1]) / (times[right] - times[right - 1])
    weight = np.clip(weight, 0.0, 1.0).reshape(-1, *[1] * (values.ndim - 1))
    return values[right - 1] * (1.0 - weight) + values[right] * weight


def with_gaps(parts: Sequence[Segment]) -> tuple[F64, F64]:
    """Times and values [n] of segments in a row, with a NaN in the middle of each gap, where a drawn line breaks.

    >>> times, values = with_gaps([Segment(0.0, 2.0, np.ones(2)), Segment(4.0, 2.0, np.ones(1))])
    >>> times.tolist(), values.tolist()
    ([0.0, 0.5, 2.25, 4.0], [1.0, 1.0, nan, 1.0])
    """
    times_s: list[F64] = []
    values: list[F64] = []
    for part in parts:
        if times_s:
            times_s.append(np.array([(times_s[-1][-1] + part.times_s[0]) / 2]))
            values.append(np.array([np.nan]))
        times_s.append(part.times_s)
        values.append(part.values)
    return (np.concatenate(times_s), np.concatenate(values)) if times_s else (np.empty(0), np.empty(0))


def smoothed(part: Segment, *, order: int = 0, polyorder: int = POLYORDER) -> F64:
    """Smooth a series [n, ...], or its derivative of an order in time, by Savitzky-Golay over 0.23 s.

    Parameters
    ----------
    part : Segment
    order : int
        0 for the series itself; the derivative is per s^order.
    polyorder : int
        Degree of the polynomial.

    Returns
    -------
    ndarray of shape (n, ...)
        Of length 0 when the segment is shorter than the window; NaN when the five samples that a window must have last
        longer than 0.35 s, below 14.3 a second: of a slower series other motion would be left.
    """
    from scipy import signal

    window = savgol_window(part.rate_hz)
    if len(part.values) < window:
        return part.values[:0]
    if window > MAX_SMOOTH_S * part.rate_hz:
        return np.full_like(part.values, np.nan)
    return signal.savgol_filter(part.values, window, polyorder, deriv=order, delta=1.0 / part.rate_hz, axis=0)


def derivative(part: Segment, *, order: int) -> F64:
    """Differentiate a series [n, ...] in time by Savitzky-Golay over 0.23 s (order 2, for a third derivative 3).

    Parameters
    ----------
    part : Segment
    order : int
        1, 2 or 3.

    Returns
    -------
    ndarray of shape (n, ...)
        Per s^order; of length 0 or NaN where :func:`smoothed` is.
    """
    return smoothed(part, order=order, polyorder=JERK_POLYORDER if order == 3 else POLYORDER)


def parabola(values: F64, *, at: int) -> tuple[float, float]:
    """Extremum of the parabola through sample ``at`` and its neighbours: value, and position in samples.

    At either end of the series the sample itself.

    >>> value, position = parabola(np.array([0.0, 3.0, 2.0]), at=1)
    >>> round(value, 3), position
    (3.125, 1.25)
    """
    if not 0 < at < len(values) - 1:
        return float(values[at]), float(at)
    left, middle, right = (float(v) for v in values[at - 1 : at + 2])
    bend = left - 2 * middle + right
    shift = float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend else 0.0
    return middle - 0.25 * (left - right) * shift, at + shift


def band_fraction(parts: Sequence[Segment], *, band_hz: tuple[float, float]) -> float:
    """Fraction of the power of series that lies in a band.

    The whole is 0.5 Hz to min(0.45 rate, 15 Hz). Welch's method: Hann, 4 s or the whole segment, half overlap,
    linear detrend; segments averaged by their length, all series of ``values`` [n, ...] pooled.

    Parameters
    ----------
    parts : sequence of Segment
        Of one rate.
    band_hz : (float, float)
        Lower and upper edge, both included.

    Returns
    -------
    float
        In [0, 1]; NaN when no segment has 2 s and 64 samples, when the band reaches beyond the whole's 0.45 rate,
        or without power beyond that of rounding.

    Examples
    --------
    >>> t = np.arange(300) / 30.0
    >>> round(band_fraction([Segment(0.0, 30.0, np.sin(2 * np.pi * 5 * t))], band_hz=(3.0, 12.0)), 2)
    1.0
    """
    low, high = band_hz
    long_enough = [
        part
        for part in parts
        if part.length_s >= MIN_SPECTRUM_S - 0.5 / part.rate_hz and len(part.values) >= MIN_SPECTRUM_SAMPLES
    ]
    if not long_enough:
        return np.nan
    rate_hz = long_enough[-1].rate_hz
    total = np.sum([_power(part) * part.length_s for part in long_enough], axis=0)
    whole = _between(total, BAND_FLOOR_HZ, min(BAND_LIMIT * rate_hz, BAND_CEILING_HZ))
    measurable = whole > ROUNDING**2 and BAND_LIMIT * rate_hz >= high - 1e-9
    return _between(total, low, high) / whole if measurable else np.nan


_GRID_HZ = np.arange(0.0, BAND_CEILING_HZ + 1e-9, 0.05)  # spectra of segments of unlike length meet here


def _power(part: Segment) -> F64:
    """Welch power on the common frequency grid, pooled over all series of a segment."""
    from scipy import signal

    flat = part.values.reshape(len(part.values), -1)
    window = min(len(flat), round(WELCH_S * part.rate_hz))
    frequency, power = signal.welch(
        flat, part.rate_hz, window="hann", nperseg=window, noverlap=window // 2, detrend="linear", axis=0
    )
    return np.interp(_GRID_HZ, frequency, power.sum(axis=1), right=0.0)


def _between(power: F64, low: float, high: float) -> float:
    return float(power[(low - 1e-9 <= _GRID_HZ) & (high + 1e-9 >= _GRID_HZ)].sum())
