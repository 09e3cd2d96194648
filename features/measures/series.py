"""Time series of a face: usable samples, uniform grids across gaps, robust summaries, power in a band, null z.

Times are presentation times; frame numbers never stand for time. Series come on a uniform grid in segments: gaps up to
``MAX_GAP_S`` are bridged by linear interpolation, longer ones split. Each summary is NaN below the number of samples
that it needs. Everything is float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.arrays import F64
from features.observation import Observation, Track

MAX_GAP_S = 0.12  # longer gaps split a series
TIME_ROUNDING_S = 2e-3  # of a gap between time stamps in whole milliseconds: three steps of 0.04 s are no longer gap
# A still: see held. Of 40 edited clips, others than stills stayed below the step for 0.15 s at most, and the sharpness
# of a face that is not a still usually changes by 2 % and more from frame to frame.
HELD_S, HELD_STEP, HELD_POINTS, HELD_SHARPNESS = 1.0, 1e-3, 0.9, 2e-3
MIN_SPECTRUM_S = 2.0  # and 64 samples: shorter segments have no spectrum
MIN_SPECTRUM_SAMPLES = 64
WELCH_S = 4.0
BAND_FLOOR_HZ, BAND_CEILING_HZ = 0.5, 15.0  # the whole that a band is a fraction of, with BAND_LIMIT
BAND_LIMIT = 0.45  # of a series' rate: up to there its power can be measured
MAD_TO_SD = 1.4826  # of a normal distribution
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


def finite(values: ArrayLike) -> F64:
    """Keep the finite ones of ``values`` of any shape, flat: [k].

    >>> finite([[1.0, np.nan], [np.inf, 2.0]]).tolist()
    [1.0, 2.0]
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]


def median(values: ArrayLike, least: int = 5) -> float:
    """Median of the finite ones of ``values`` of any shape, in their unit; NaN below ``least`` of them.

    >>> median([3.0, 1.0, np.nan, 2.0], least=3)
    2.0
    """
    x = finite(values)
    return float(np.median(x)) if x.size >= least else np.nan


def medians_over_frames(
    columns: Iterable[str], frames: Callable[[str], Sequence[Mapping[str, float]]], *, least: int
) -> dict[str, float]:
    """Medians over the frames of a clip, for the columns that end in ``_med``, by their names without the family.

    Parameters
    ----------
    columns
        Full names; others than ``_med`` are passed over.
    frames
        From a quantity, such as ``noise`` of ``mine.noise_med``, to what each frame says, by quantity.
    least
        The median of fewer finite values is NaN.

    Examples
    --------
    >>> seen = [{"noise": 1.0}, {}, {"noise": 2.0}]
    >>> medians_over_frames(["mine.noise_med", "mine.valid_share"], lambda _: seen, least=2)
    {'noise_med': 1.5}
    """
    quantities = [name.split(".")[1].removesuffix("_med") for name in columns if name.endswith("_med")]
    return {
        f"{quantity}_med": median([row.get(quantity, np.nan) for row in frames(quantity)], least)
        for quantity in quantities
    }


def quantile(values: ArrayLike, q: float, least: int = 20) -> float:
    """Quantile of the finite ones of ``values`` of any shape, by linear interpolation, in their unit.

    NaN below ``least`` of them.

    Parameters
    ----------
    values : array_like
        NaN and infinite values are left out.
    q : float
        0 to 1.
    least : int
        Finite values that are needed.

    Examples
    --------
    >>> quantile([0.0, 10.0, np.nan], 0.25, least=2)
    2.5
    """
    x = finite(values)
    return float(np.quantile(x, q)) if x.size >= least else np.nan


def mad(values: ArrayLike, least: int = 8) -> float:
    """Robust standard deviation of the finite ones of ``values`` of any shape: 1.4826 median |x - median x|.

    In their unit, 0 or above; NaN below ``least`` of them.

    >>> round(mad([1.0, 2.0, 3.0, 100.0], least=4), 4)
    1.4826
    """
    x = finite(values)
    return float(MAD_TO_SD * np.median(np.abs(x - np.median(x)))) if x.size >= least else np.nan


def correlation(a: ArrayLike, b: ArrayLike, least: int = 8) -> float:
    """Pearson's r, -1 to 1, of two series of the same size [n], over the places where both are finite.

    NaN below ``least`` such places, or without variance.

    >>> round(correlation([1, 2, 3, np.nan], [2, 4, 7, 0], least=3), 3)
    0.993
    """
    x, y = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    ok = np.isfinite(x) & np.isfinite(y)
    if ok.sum() < least:
        return np.nan
    x, y = x[ok] - x[ok].mean(), y[ok] - y[ok].mean()
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum() / norm) if norm > 1e-12 * max(1.0, x.size) else np.nan


def null_z(observed: float, *, null: ArrayLike) -> float:
    """Robust z of an observed value among draws of its null [k], ``(observed - median) / mad``, without a unit.

    NaN below 30 finite draws, or when they do not vary.

    >>> round(null_z(5.0, null=np.linspace(-1.0, 1.0, 31)), 2)
    6.32
    """
    draws = finite(null)
    spread = mad(draws)
    return float((observed - np.median(draws)) / spread) if draws.size >= 30 and spread > 0 else np.nan


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
