"""Synchrony of two series: correlation over lags, windowed distance, canonical correlation, nulls by circular shifts.

For series of mouth and voice on one grid of 100 Hz, the mouth's with gaps (NaN), the voice's without. A lag is positive
when the voice is late: ``mouth[t]`` meets ``voice[t + lag]``. Two unrelated smooth series of 10 s correlate by chance
(sd of r 0.2-0.3), so what matters is compared with circular shifts of the voice, the same maximum over lags being
taken for each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from features.arrays import F64
from features.measures import robust, series
from features.measures.speech_series import GRID_HZ

MAX_LAG_S, WIDE_LAG_S = 0.5, 1.0
N_SHIFTS, MIN_SHIFT_S = 50, 1.5
MIN_NULL_S = 7.9  # 8 s less a frame; shifts of less lie too close: half of unrelated series of 4.5 s have |z| > 2.5
MIN_JOINT_S = 2.9  # 3 s less a frame
MIN_OVERLAP_S = 1.0  # of usable pairs behind a correlation
LSE_WINDOW_S, LSE_HOP_S, LSE_LAG_S = 0.2, 0.04, 0.4
CCA_SHRINK, CCA_LAG_S, CCA_STEP_S = 0.1, 0.2, 0.04
IN_SYNC_S = (-0.09, 0.185)  # lags that broadcast tolerates (EBU R37)
WIN_S, WIN_HOP_S, WIN_SPEECH, WIN_PEAK, WIN_NEAR_S = 2.0, 0.5, 0.5, 0.3, 0.15


def shifts(n: int) -> NDArray[np.int64]:
    """Circular shifts [50] of the null, evenly over [1.5 s, T - 1.5 s], in samples; none when T is under 7.9 s.

    >>> shifts(1000)[[0, -1]].tolist(), shifts(789).size, shifts(790).size
    ([150, 850], 0, 50)
    """
    if n < MIN_NULL_S * GRID_HZ:
        return np.empty(0, dtype=np.int64)
    least = MIN_SHIFT_S * GRID_HZ
    return np.rint(np.linspace(least, n - least, N_SHIFTS)).astype(np.int64)


def lag_correlation(*, mouth: F64, voice: F64, max_lag: int) -> F64:
    """Pearson's r of ``mouth[t]`` with ``voice[t + lag]`` on their overlap, for lags -max_lag ... max_lag.

    Parameters
    ----------
    mouth : ndarray of shape (n,)
        NaN where missing.
    voice : ndarray of shape (k, n)
        One or more series without gaps.
    max_lag : int
        Samples.

    Returns
    -------
    ndarray of shape (k, 2 * max_lag + 1)
        NaN where under 1 s overlaps, or without variance.
    """
    n = len(mouth)
    ok = np.isfinite(mouth)
    m = np.where(ok, mouth - mouth[ok].mean(), 0.0) if ok.any() else np.zeros(n)
    a = voice - voice.mean(axis=1, keepdims=True)
    size = fft.next_fast_len(n + max_lag + 1, real=True)
    at = np.arange(-max_lag, max_lag + 1)

    def cross(x: F64, y: F64) -> F64:
        return fft.irfft(np.conj(fft.rfft(x, size)) * fft.rfft(y, size), size)[..., at]

    mask, ones = ok.astype(np.float64), np.ones(n)
    count = np.maximum(cross(mask, ones), 1.0)
    sum_m, sum_mm = cross(m, ones), cross(m**2, ones)
    sum_a, sum_aa, sum_ma = cross(mask, a), cross(mask, a**2), cross(m, a)
    variance = (sum_mm - sum_m**2 / count) * (sum_aa - sum_a**2 / count)
    defined = (
        variance > 1e-12 * count**2 * max(m.var(), 1e-300) * np.maximum(a.var(axis=1, keepdims=True), 1e-300)
    ) & (count >= MIN_OVERLAP_S * GRID_HZ - 0.5)
    r = (sum_ma - sum_m * sum_a / count) / np.sqrt(np.where(defined, variance, np.nan))
    return np.clip(r, -1.0, 1.0)


def pair_columns(*, mouth: F64, voice: F64) -> dict[str, float]:
    """Correlation over lags of one mouth series [n] and one voice series [n], against its null.

    Returns
    -------
    dict
        ``peak``, the largest r within +-0.5 s, refined by a parabola; ``lag_s`` where it lies and ``lag_abs_s`` its
        size; ``z`` of the peak among the peaks of the shifted voices; ``sharp``, the peak less the median r of lags
        within +-1 s over their mad. All NaN where r is undefined at a lag; ``z`` also below 7.9 s.
    """
    names = ("peak", "z", "lag_s", "lag_abs_s", "sharp")
    wide, near = round(WIDE_LAG_S * GRID_HZ), round(MAX_LAG_S * GRID_HZ)
    r = lag_correlation(mouth=mouth, voice=voice[None], max_lag=wide)[0]
    middle = r[wide - near : wide + near + 1]
    if not np.isfinite(middle).all():
        return dict.fromkeys(names, np.nan)
    peak, at = series.parabola(middle, at=int(middle.argmax()))
    lag_s = float(np.clip((at - near) / GRID_HZ, -MAX_LAG_S, MAX_LAG_S))
    rolled = [np.roll(voice, int(shift)) for shift in shifts(len(voice))]
    null = lag_correlation(mouth=mouth, voice=np.stack(rolled), max_lag=near).max(axis=1) if rolled else []
    spread = robust.mad(r)
    sharp = (middle.max() - np.nanmedian(r)) / spread if spread > 0 else np.nan
    z = robust.null_z(float(middle.max()), null=null)
    return dict(zip(names, (min(peak, 1.0), z, lag_s, abs(lag_s), float(sharp)), strict=True))


def lse(*, mouth: F64, voice: F64) -> tuple[float, float, float]:
    """Windowed distance of mouth and voice [n] in the manner of SyncNet's lip-sync error (LSE).

    0.2 s windows, each standardised, distance over the root of their samples, averaged over time for each offset
    in +-0.4 s by 40 ms. Windows that meet a gap or an end of the series at any offset are left out.

    Returns
    -------
    distance, confidence, offset_s : float
        The least distance, in [0, 2]; the median over offsets less the least; where the least lies. All NaN when
        under 1 s of windows is usable.
    """
    size, hop = round(LSE_WINDOW_S * GRID_HZ), round(LSE_HOP_S * GRID_HZ)
    offsets = np.arange(-round(LSE_LAG_S * GRID_HZ), round(LSE_LAG_S * GRID_HZ) + 1, hop)
    if len(mouth) < size + 2 * offsets[-1] + hop:
        return np.nan, np.nan, np.nan
    starts = np.arange(offsets[-1], len(mouth) - size - offsets[-1] + 1, hop)
    lips, spoken = (_standard_windows(x, size) for x in (mouth, voice))
    pairs = lips[starts][None] * spoken[starts[None] + offsets[:, None]]  # [offsets, starts, size]
    r = pairs.mean(axis=2)
    r = r[:, np.isfinite(r).all(axis=0)]
    if r.shape[1] < MIN_OVERLAP_S / LSE_HOP_S:
        return np.nan, np.nan, np.nan
    distance = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * r)).mean(axis=1)
    best = int(distance.argmin())
    return float(distance[best]), float(np.median(distance) - distance[best]), float(offsets[best] / GRID_HZ)


def _standard_windows(x: F64, size: int) -> F64:
    windows = np.lib.stride_tricks.sliding_window_view(x, size)
    centred = windows - windows.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return centred / np.where(spread > 1e-9, spread, np.nan)


def cca(*, mouth: F64, voice: F64) -> tuple[float, float]:
    """First canonical correlation (Hotelling 1936) of mouth and voice against circular shifts.

    Covariances are shrunk, ``(1 - 0.1) S + 0.1 tr(S)/p I``; the correlation is then taken of the variates; each
    shift of the null, and the observed one, takes the largest over lags of +-0.2 s. Raw values mean nothing: 0.4 for
    independent series of 10 s.

    Parameters
    ----------
    mouth : ndarray of shape (n, p)
        NaN where missing.
    voice : ndarray of shape (n, q)

    Returns
    -------
    z, p : float
        Robust z in the null; fraction of the null, the observed one included, that reaches it. NaN below 2.9 s of mouth
        or 7.9 s of voice, or for a series that does not move.
    """
    null_shifts = shifts(len(mouth))
    if not null_shifts.size:
        return np.nan, np.nan
    r = _canonical_over_lags(mouth, voice, lags=_lags(CCA_LAG_S)[None] - np.r_[0, null_shifts][:, None])
    if r is None:
        return np.nan, np.nan
    best = r.max(axis=1)
    fraction = (1.0 + np.sum(best[1:] >= best[0])) / len(best)
    return robust.null_z(float(best[0]), null=best[1:]), float(fraction)


def cca_lag(*, mouth: F64, voice: F64) -> tuple[float, float]:
    """Lag at which all of the mouth agrees best with all of the voice, and how much better it is in sync.

    The first canonical correlation, shrunk as in :func:`cca`, for lags of 40 ms. Its size means nothing, since its
    weights are fitted to each lag; which lag wins does.

    Parameters
    ----------
    mouth : ndarray of shape (n, p)
        NaN where missing.
    voice : ndarray of shape (n, q)

    Returns
    -------
    lag_s : float
        Of the largest correlation within +-0.5 s, refined by a parabola; positive when the audio is late.
    in_sync : float
        Largest correlation of lags from -0.09 to 0.185 s less the largest of the others within +-1 s, in [-1, 1]; above
        0 in sync. Both NaN below 2.9 s of mouth, or for a series that does not move.
    """
    lags = _lags(WIDE_LAG_S)
    r = _canonical_over_lags(mouth, voice, lags=lags)
    if r is None:
        return np.nan, np.nan
    lags_s = lags / GRID_HZ
    near = np.abs(lags_s) <= MAX_LAG_S
    _, at = series.parabola(r[near], at=int(r[near].argmax()))
    lag_s = lags_s[near][0] + at * CCA_STEP_S
    in_sync = (lags_s >= IN_SYNC_S[0]) & (lags_s <= IN_SYNC_S[1])
    return float(np.clip(lag_s, -MAX_LAG_S, MAX_LAG_S)), float(r[in_sync].max() - r[~in_sync].max())


def _lags(reach_s: float) -> NDArray[np.int64]:
    """Lags in samples, every 40 ms, 0 among them, to ``reach_s`` either way."""
    step = round(CCA_STEP_S * GRID_HZ)
    reach = int(reach_s * GRID_HZ / step)
    return step * np.arange(-reach, reach + 1, dtype=np.int64)


def _canonical_over_lags(mouth: F64, voice: F64, *, lags: NDArray[np.int64]) -> F64 | None:
    """First canonical correlations [...] of mouth and voice at circular lags [...]; None where there is too little."""
    ok = np.asarray(np.isfinite(mouth).all(axis=1), dtype=np.bool_)
    n = len(mouth)
    if ok.sum() < MIN_JOINT_S * GRID_HZ:
        return None
    x, y = _standard(mouth, ok), _standard(voice, np.ones(n, bool))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    # sum over t of x[t] y[t + lag], for every circular lag at once
    product = np.conj(fft.rfft(x, axis=0))[:, :, None] * fft.rfft(y, axis=0)[:, None, :]
    every = fft.irfft(product, n, axis=0) / n  # [n, p, q]
    return canonical(sxx=x.T @ x / n, syy=y.T @ y / n, sxy=every[lags % n])


def canonical(*, sxx: F64, syy: F64, sxy: F64) -> F64:
    """First canonical correlations [...] of covariances ``sxx`` [p, p], ``syy`` [q, q], ``sxy`` [..., p, q]."""
    white_x, white_y = (np.linalg.inv(np.linalg.cholesky(_shrunk(s))) for s in (sxx, syy))
    u, _, vt = np.linalg.svd(white_x @ sxy @ white_y.T, full_matrices=False)
    a, b = u[..., :, 0] @ white_x, vt[..., 0, :] @ white_y  # weights of the variates
    top = np.einsum("...i,...ij,...j->...", a, sxy, b)
    below = np.einsum("...i,ij,...j->...", a, sxx, a) * np.einsum("...i,ij,...j->...", b, syy, b)
    return top / np.sqrt(below)


def _shrunk(s: F64) -> F64:
    return (1.0 - CCA_SHRINK) * s + CCA_SHRINK * np.trace(s) / len(s) * np.eye(len(s))


def _standard(x: F64, ok: NDArray[np.bool_]) -> F64:
    centred = x - x[ok].mean(axis=0)
    spread = x[ok].std(axis=0)
    return np.where(ok[:, None], centred / np.where(spread > 1e-12, spread, np.nan), 0.0)


def window_lags(*, mouth: F64, voice: F64, speech: NDArray[np.bool_]) -> tuple[F64, F64, F64]:
    """The lag at which mouth and voice agree best in each window of 2 s, every 0.5 s, that is half speech.

    Parameters
    ----------
    mouth, voice : ndarray of shape (n,)
        The mouth's with NaN where missing.
    speech : ndarray of shape (n,)
        True where somebody speaks.

    Returns
    -------
    middles_s, lags_s, peaks : ndarray of shape (w,)
        Middle of each window from the start of the series, its lag within +-0.5 s, and r there. A window that meets a
        gap of the mouth, or that does not move, is left out.
    """
    size, hop, reach = (round(s * GRID_HZ) for s in (WIN_S, WIN_HOP_S, MAX_LAG_S))
    rows = []
    for start in range(reach, len(mouth) - size - reach + 1, hop):
        lips = mouth[start : start + size]
        if np.isnan(lips).any() or speech[start : start + size].mean() < WIN_SPEECH:
            continue
        around = np.lib.stride_tricks.sliding_window_view(voice[start - reach : start + size + reach], size)
        lips, around = lips - lips.mean(), around - around.mean(axis=1, keepdims=True)
        norm = np.sqrt((lips**2).sum() * (around**2).sum(axis=1))
        if norm.min() > 1e-9:
            r = around @ lips / norm
            rows.append(((start + size / 2) / GRID_HZ, (int(r.argmax()) - reach) / GRID_HZ, float(r.max())))
    middles_s, lags_s, peaks = np.array(rows, np.float64).reshape(-1, 3).T
    return middles_s, lags_s, peaks


def lag_agreement(*, lags_s: F64, peaks: F64) -> tuple[float, float]:
    """Whether the lags of windows agree, of lags and peaks [w] as :func:`window_lags` gives them.

    Returns
    -------
    mad_s, ok_share : float
        Mad of the lags; fraction of windows whose r is above 0.3 and whose lag lies within 0.15 s of the median. Both
        NaN below four windows.
    """
    if len(lags_s) < 4:
        return np.nan, np.nan
    near = np.abs(lags_s - np.median(lags_s)) <= WIN_NEAR_S
    return robust.mad(lags_s, 4), float(np.mean(near & (peaks > WIN_PEAK)))
