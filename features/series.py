"""Time series of a face: usable samples, uniform grids across gaps, robust summaries, band shares, null z.

Times are presentation times; frame numbers never stand for time. Series come on a uniform grid in segments:
gaps up to ``MAX_GAP_S`` are bridged by linear interpolation, longer ones split. Summaries follow the project's
statistics catalogue: each is NaN below the number of samples that it needs. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal, stats

from features.observation import Observation, Track

F64 = NDArray[np.float64]

MAX_GAP_S = 0.12  # longer gaps split a series
MIN_SPECTRUM_S = 2.0  # and 64 samples: shorter segments have no spectrum
MIN_SPECTRUM_SAMPLES = 64
WELCH_S = 4.0
BAND_FLOOR_HZ, BAND_CEILING_HZ = 0.5, 15.0  # the whole that a band is a share of, with 0.45 of the rate
MAD_TO_SD = 1.4826  # of a normal distribution
SMOOTH_S = 0.23  # Savitzky-Golay window of every landmark series
SNAP = 0.3  # of a frame: times this near to a regular grid are taken as regular
MIN_VALID_SHARE = 0.2  # below this a family reports nothing else
SPIKE_MADS = 5.0
POLYORDER = 2
JERK_POLYORDER = 3  # a third derivative needs a cubic


@dataclass(frozen=True)
class Segment:
    """A stretch of a series on a uniform grid: ``values`` [n, ...] at ``start_s + arange(n) / rate_hz``."""

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


def distinct(observation: Observation, track: Track) -> NDArray[np.int64]:
    """Positions 0..m-1 of the track's samples that do not repeat the frame before (rate conversion)."""
    return np.flatnonzero(~observation.duplicate[track.frame_index])


def rate(times_s: ArrayLike) -> float:
    """Frames per second: one over the median step; NaN below two samples."""
    steps = np.diff(np.asarray(times_s, dtype=np.float64))
    steps = steps[steps > 0]
    return float(1.0 / np.median(steps)) if steps.size else np.nan


def savgol_window(rate_hz: float, seconds: float = SMOOTH_S) -> int:
    """Odd number of samples nearest to ``seconds``, at least 5."""
    return max(5, 2 * int(seconds * rate_hz / 2.0) + 1)


def segments(
    times_s: ArrayLike, values: ArrayLike, *, rate_hz: float | None = None, min_s: float = 0.0
) -> list[Segment]:
    """Lay a series with gaps on a uniform grid.

    Parameters
    ----------
    times_s : array of shape (n,)
        Increasing presentation times.
    values : array of shape (n, ...)
        A sample that holds any NaN counts as missing.
    rate_hz : float, optional
        Grid; without it the series' own rate, where regular samples are taken as they are, so that rounded
        time stamps do not smooth them.
    min_s : float
        Shorter segments are left out.

    Returns
    -------
    list of Segment
        Empty when fewer than two samples are usable.
    """
    times, array = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    native = rate(times)
    ok = np.isfinite(array).reshape(len(array), -1).all(axis=1) & np.isfinite(times)
    times, array = times[ok], array[ok]
    if len(times) < 2 or not np.isfinite(native):
        return []
    breaks = np.flatnonzero(np.diff(times) > max(MAX_GAP_S, 1.5 / native)) + 1
    found = []
    for part_t, part_v in zip(np.split(times, breaks), np.split(array, breaks), strict=True):
        if len(part_t) < 2:
            continue
        one = _own_grid(part_t, part_v, native) if rate_hz is None else _resampled(part_t, part_v, rate_hz)
        if one.length_s >= min_s:
            found.append(one)
    return found


def _own_grid(times: F64, values: F64, native_hz: float) -> Segment:
    """Regular samples unchanged, missing ones interpolated; irregular ones resampled at their rate."""
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


def derivative(part: Segment, order: int) -> F64:
    """Differentiate a series [n, ...] in time by Savitzky-Golay over 0.23 s, per s^order; of length 0 if too short."""
    window = savgol_window(part.rate_hz)
    if len(part.values) < window:
        return part.values[:0]
    polyorder = JERK_POLYORDER if order == 3 else POLYORDER
    return signal.savgol_filter(part.values, window, polyorder, deriv=order, delta=1.0 / part.rate_hz, axis=0)


def parabola(values: F64, at: int) -> tuple[float, float]:
    """Extremum of the parabola through a sample and its neighbours: value, and position in samples."""
    if not 0 < at < len(values) - 1:
        return float(values[at]), float(at)
    left, middle, right = (float(v) for v in values[at - 1 : at + 2])
    bend = left - 2 * middle + right
    shift = float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend else 0.0
    return middle - 0.25 * (left - right) * shift, at + shift


def finite(values: ArrayLike) -> F64:
    """Keep the finite values, flat."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]


def median(values: ArrayLike, least: int = 5) -> float:
    """Median of the finite values; NaN below ``least`` of them."""
    x = finite(values)
    return float(np.median(x)) if x.size >= least else np.nan


def quantile(values: ArrayLike, q: float, least: int = 20) -> float:
    """Quantile by linear interpolation; NaN below ``least`` finite values."""
    x = finite(values)
    return float(np.quantile(x, q)) if x.size >= least else np.nan


def mad(values: ArrayLike, least: int = 8) -> float:
    """1.4826 times the median distance to the median, a robust standard deviation."""
    x = finite(values)
    return float(MAD_TO_SD * np.median(np.abs(x - np.median(x)))) if x.size >= least else np.nan


def slope(times_s: ArrayLike, values: ArrayLike) -> float:
    """Theil-Sen slope per second; NaN below 2 s or 8 samples."""
    t, x = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    ok = np.isfinite(x)
    if ok.sum() < 8 or np.ptp(t[ok]) < 2.0:
        return np.nan
    return float(stats.theilslopes(x[ok], t[ok])[0])


def autocorrelation(values: ArrayLike, *, rate_hz: float, lag_s: float) -> float:
    """Autocorrelation of a uniform series at a lag; NaN below 2 s, or without variance."""
    x = np.asarray(values, dtype=np.float64)
    lag = round(lag_s * rate_hz)
    if len(x) < 2.0 * rate_hz or lag < 1 or not np.isfinite(x).all():
        return np.nan
    return correlation(x[:-lag], x[lag:])


def spike_share(values: ArrayLike) -> float:
    """Share of samples further than 5 mad from the median; NaN below 25 samples, or without spread."""
    x = finite(values)
    spread = mad(x)
    if x.size < 25 or not spread > 0:
        return np.nan
    return float(np.mean(np.abs(x - np.median(x)) > SPIKE_MADS * spread))


def jump(values: ArrayLike) -> float:
    """Largest step over the mad of the steps; NaN below 25 steps, or without spread."""
    steps = finite(np.diff(np.asarray(values, dtype=np.float64)))
    spread = mad(steps)
    return float(np.abs(steps).max() / spread) if steps.size >= 25 and spread > 0 else np.nan


def correlation(a: ArrayLike, b: ArrayLike, least: int = 8) -> float:
    """Pearson's r over pairs that are both finite; NaN below ``least`` pairs, or without variance."""
    x, y = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    ok = np.isfinite(x) & np.isfinite(y)
    if ok.sum() < least:
        return np.nan
    x, y = x[ok] - x[ok].mean(), y[ok] - y[ok].mean()
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum() / norm) if norm > 1e-12 * max(1.0, x.size) else np.nan


def null_z(observed: float, null: ArrayLike) -> float:
    """Robust z of an observed value in its null; NaN below 30 draws, or without spread."""
    draws = finite(null)
    spread = mad(draws)
    return float((observed - np.median(draws)) / spread) if draws.size >= 30 and spread > 0 else np.nan


def band_shares(parts: Sequence[Segment], bands: Sequence[tuple[float, float]]) -> list[float]:
    """Share of the power of series that lies in each band.

    The whole is 0.5 Hz to min(0.45 rate, 15 Hz). Welch's method: Hann, 4 s or the whole segment, half overlap,
    linear detrend; segments averaged by their length, all series of ``values`` [n, ...] pooled.

    Returns
    -------
    list of float
        In [0, 1]; NaN when no segment has 2 s and 64 samples, when the rate is under 2.2 times a band's upper
        edge, or without power.
    """
    total, weight = None, 0.0
    for part in parts:
        if part.length_s < MIN_SPECTRUM_S - 0.5 / part.rate_hz or len(part.values) < MIN_SPECTRUM_SAMPLES:
            continue
        flat = part.values.reshape(len(part.values), -1)
        # one window length for all segments, so that their spectra can be added
        power = _power_at(flat, part.rate_hz)
        total = power * part.length_s if total is None else total + power * part.length_s
        weight += part.length_s
        rate_hz = part.rate_hz
    if total is None:
        return [np.nan] * len(bands)
    whole = _between(total, BAND_FLOOR_HZ, min(0.45 * rate_hz, BAND_CEILING_HZ))
    return [
        _between(total, low, high) / whole if whole > 0 and rate_hz >= 2.2 * high - 1e-6 else np.nan
        for low, high in bands
    ]


_GRID_HZ = np.arange(0.0, BAND_CEILING_HZ + 1e-9, 0.05)  # spectra of segments of unlike length meet here


def _power_at(flat: F64, rate_hz: float) -> F64:
    """Pooled Welch power of the columns of ``flat`` [n, c] on the common frequency grid."""
    window = min(len(flat), round(WELCH_S * rate_hz))
    frequency, power = signal.welch(
        flat, rate_hz, window="hann", nperseg=window, noverlap=window // 2, detrend="linear", axis=0
    )
    return np.interp(_GRID_HZ, frequency, power.sum(axis=1), right=0.0)


def _between(power: F64, low: float, high: float) -> float:
    return float(power[(low - 1e-9 <= _GRID_HZ) & (high + 1e-9 >= _GRID_HZ)].sum())
