"""Statistics of the blinks of a clip: their rate and durations, how fast the lids move, how alike both eyes are.

Blinks are found by :mod:`features.measures.eyelids`; the family ``blink`` says which frames count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.arrays import F64
from features.measures import robust, series
from features.measures.eyelids import Blink
from features.measures.series import Segment

COMPLETE = 0.3  # of the usual opening; a lid that reaches this is shut
RESTING_PER_MIN = 17.0  # Bentivoglio 1997
LID_MARGIN_S, CALM_MARGIN_S = 0.05, 0.1  # around a blink: what its speeds count, what its surroundings leave out
AROUND_S, MAX_EYE_LAG_S = 0.3, 0.1


def rate_per_min(*, count: int, obs_s: float) -> float:
    """Events per minute of exposure, ``count / (obs_s / 60)``."""
    return count / (obs_s / 60.0)


def rate_shrunk_per_min(*, count: int, obs_s: float) -> float:
    """Mean of the posterior of the rate under a Gamma prior worth one event in 1/17 minute.

    ``(count + 1) / (obs_s / 60 + 1 / 17)``. The prior is worth one blink in 3.5 s: it pulls the rate of a clip of 3 s
    about half way to 17, and that of a clip of 10 s a quarter of the way.

    >>> [round(rate_shrunk_per_min(count=0, obs_s=obs_s), 1) for obs_s in (3.0, 10.0, 600.0)]
    [9.2, 4.4, 0.1]
    """
    return (count + 1) / (obs_s / 60.0 + 1.0 / RESTING_PER_MIN)


def none_logp(*, seen: int, obs_s: float) -> float:
    """Natural log of the probability of no event at 17 a minute, ``-17 obs_s / 60``; 0 if any event was seen."""
    return -RESTING_PER_MIN * (obs_s / 60.0) if seen == 0 else 0.0


def durations(blinks: Sequence[Blink]) -> F64:
    """Lengths [k] in s of the blinks that are seen from start to end."""
    return np.array([blink.end_s - blink.start_s for blink in blinks if blink.whole])


def amplitudes(blinks: Sequence[Blink]) -> F64:
    """How far the lids come down in each blink [k], ``1 - lowest``, in [0, 1]."""
    return np.array([1.0 - blink.lowest for blink in blinks])


def complete_share(blinks: Sequence[Blink]) -> float:
    """Fraction of the blinks whose lowest openness is under 0.3; NaN without a blink."""
    return float(np.mean([blink.lowest < COMPLETE for blink in blinks])) if blinks else np.nan


def lid_speeds(parts: Sequence[Segment], *, blinks: Sequence[Blink]) -> tuple[F64, F64]:
    """Top speeds [k] of closing and of opening, per s, of the blinks that are seen from start to end.

    The steepest fall of openness from 50 ms before the start to the lowest point, and the steepest rise from there to
    50 ms after the end; a blink without either is left out.

    Parameters
    ----------
    parts : sequence of Segment
        Openness, values of shape (n,).
    blinks : sequence of Blink
        Those found in ``parts``.
    """
    close, reopen = [], []
    for part in parts:
        speed = np.diff(part.values) * part.rate_hz
        times = part.times_s[:-1] + 0.5 / part.rate_hz
        for blink in blinks:
            if not blink.whole:
                continue
            falling = speed[(times >= blink.start_s - LID_MARGIN_S) & (times <= blink.moment_s)]
            rising = speed[(times >= blink.moment_s) & (times <= blink.end_s + LID_MARGIN_S)]
            if falling.size and rising.size and falling.min() < 0 < rising.max():
                close.append(-float(falling.min()))
                reopen.append(float(rising.max()))
    return np.array(close), np.array(reopen)


def close_open_ratio(*, close: F64, reopen: F64) -> float:
    """Median of ``log(closing speed / opening speed)`` over k blinks, of speeds [k] as :func:`lid_speeds` gives them.

    Above 0 if the lids close faster than they open; NaN without a blink.

    >>> round(close_open_ratio(close=np.array([2.0, 4.0]), reopen=np.array([1.0, 2.0])), 3)
    0.693
    """
    return robust.median(np.log(close / reopen), 1)


def intervals(parts: Sequence[Segment], *, blinks: Sequence[Blink], discarded: Sequence[Blink] = ()) -> F64:
    """Times [k] in s from each blink's lowest point to the next one's; empty where there are fewer than two.

    No interval spans a gap in which the eyes were not seen, as they may have shut there, or a discarded blink.

    Parameters
    ----------
    parts : sequence of Segment
        Openness, in order of time.
    blinks : sequence of Blink
        The blinks of ``parts`` that are kept, in order of time.
    discarded : sequence of Blink
        The other blinks of ``parts``.

    >>> blinks = [Blink(at, at + 0.2, at + 0.1, 0.2, True) for at in (1.0, 3.0, 33.0, 36.0)]
    >>> intervals([Segment(0.0, 25.0, np.ones(100)), Segment(30.0, 25.0, np.ones(200))], blinks=blinks).tolist()
    [2.0, 3.0]
    """
    moments_s = np.array([blink.moment_s for blink in blinks])
    ends_s = [part.start_s + len(part.values) / part.rate_hz for part in parts]
    breaks_s = np.sort([*ends_s, *(blink.moment_s for blink in discarded)])
    gaps_s = np.diff(moments_s)[np.diff(np.searchsorted(breaks_s, moments_s)) == 0]
    return gaps_s if gaps_s.size >= 2 else np.array([])


def interval_cv(gaps_s: F64) -> float:
    """Coefficient of variation of intervals: standard deviation (n - 1) over mean; NaN without any.

    >>> interval_cv(np.array([3.0, 3.0, 3.0]))
    0.0
    """
    return float(gaps_s.std(ddof=1) / gaps_s.mean()) if gaps_s.size else np.nan


def ear_base_mad(parts: Sequence[Segment], *, blinks: Sequence[Blink]) -> float:
    """Mad of the openness that lies more than 0.1 s from every blink; NaN below 8 samples.

    ``parts`` hold openness [n].
    """
    calm = []
    for part in parts:
        times, keep = part.times_s, np.ones(len(part.values), dtype=bool)
        for blink in blinks:
            keep &= (times < blink.start_s - CALM_MARGIN_S) | (times > blink.end_s + CALM_MARGIN_S)
        calm.append(part.values[keep])
    return robust.mad(np.concatenate(calm))


def compare_eyes(pair: F64, *, rate_hz: float) -> tuple[float, float, float]:
    """Correlation, absolute lag in s and gap of amplitudes of the two eyes.

    The lag is that of the highest Pearson's r within +-0.1 s, refined by a parabola; an eye's amplitude is the range of
    its openness.

    Parameters
    ----------
    pair : ndarray of shape (n, 2)
        Openness of the right and left eye.
    rate_hz : float

    Returns
    -------
    r, lag_s, gap : float
        In [-1, 1], [0, 0.1] and from 0 up; all NaN when an eye does not move.
    """
    reach = series.n_samples(MAX_EYE_LAG_S, rate_hz=rate_hz)
    r = np.array([_shifted_corr(pair, lag) for lag in range(-reach, reach + 1)])
    if not np.isfinite(r).all():
        return np.nan, np.nan, np.nan
    _, best = series.parabola(r, at=int(r.argmax()))
    lag_s = min(abs(float(best) - reach) / rate_hz, MAX_EYE_LAG_S)
    return float(r[reach]), lag_s, float(abs(np.ptp(pair[:, 0]) - np.ptp(pair[:, 1])))


def _shifted_corr(pair: F64, lag: int) -> float:
    n = len(pair)
    return robust.correlation(pair[max(0, -lag) : n - max(0, lag), 0], pair[max(0, lag) : n - max(0, -lag), 1])


def eyes_together(parts: Sequence[Segment], *, blinks: Sequence[Blink]) -> tuple[float, float, float]:
    """Medians over the blinks of :func:`compare_eyes` in +-0.3 s around their lowest points.

    ``parts`` hold openness [n, 2] of both eyes; all NaN without a blink that both eyes show.
    """
    rows = []
    for part in parts:
        reach = series.n_samples(AROUND_S, rate_hz=part.rate_hz)
        for blink in blinks:
            at = round((blink.moment_s - part.start_s) * part.rate_hz + series.ROUNDING)
            if reach <= at < len(part.values) - reach:
                rows.append(compare_eyes(part.values[at - reach : at + reach + 1], rate_hz=part.rate_hz))
    defined = [row for row in rows if np.isfinite(row).all()]
    if not defined:
        return np.nan, np.nan, np.nan
    corr, lag_s, gap = np.median(defined, axis=0)
    return float(corr), float(lag_s), float(min(gap, 1.0))
