"""Whether the lips shut where the voice is cut off, as for p, b and m (Agarwal et al. 2020)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from features.arrays import F64
from features.measures import robust
from features.measures.speech_series import GRID_HZ
from features.measures.synchrony import shifts

CLOSURE_LAG_S = 0.4  # how far around a dip the lips are analysed
DIP_S, DIP_DB, DIP_SHOULDER_S, MIN_DIPS = (0.04, 0.16), 10.0, 0.25, 5
WIDE_QUANTILE = 0.95  # of the opening: the mouth at its widest
HIT_FRACTION, HIT_S = 0.2, 0.08  # of it: lips that are shut; how near a dip


def dips(closure_db: F64, *, speech: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Places of the voice's dips of 40-160 ms, 10 dB under both shoulders, with speech on either side.

    Parameters
    ----------
    closure_db : ndarray of shape (n,)
        Loudness of 300-4000 Hz.
    speech : ndarray of shape (n,)
    """
    from scipy import signal

    reach = round(DIP_SHOULDER_S * GRID_HZ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # on the floor of silence nothing stands out
        places, _ = signal.find_peaks(
            -closure_db, prominence=DIP_DB, width=[s * GRID_HZ for s in DIP_S], rel_height=0.5, wlen=2 * reach + 1
        )
    before = np.array([speech[max(0, p - reach) : p].any() for p in places], dtype=bool)
    after = np.array([speech[p + 1 : p + 1 + reach].any() for p in places], dtype=bool)
    return np.asarray(places[before & after], dtype=np.int64)


def closure_z(mouth_open: F64, *, places: NDArray[np.int64]) -> float:
    """Robust z, among circular shifts, of the fraction of dips with shut lips within 80 ms.

    Shut is an opening under 0.2 of its 95 % quantile. Many dips are k, t or s, which need no shut lips: the fraction
    itself means little.

    Parameters
    ----------
    mouth_open : ndarray of shape (n,)
        NaN where missing.
    places : ndarray of int
        Samples of the dips; NaN is returned below five, and below 7.9 s.
    """
    n = len(mouth_open)
    null_shifts = shifts(n)
    if len(places) < MIN_DIPS or not null_shifts.size:
        return np.nan
    level = HIT_FRACTION * np.nanquantile(mouth_open, WIDE_QUANTILE)
    lowest = ndimage.minimum_filter1d(np.nan_to_num(mouth_open, nan=np.inf), 2 * round(HIT_S * GRID_HZ) + 1)
    hit = lowest < level
    null = [hit[(places + shift) % n].mean() for shift in null_shifts]
    return robust.null_z(float(hit[places].mean()), null=null)


def closure_lag_abs_s(mouth_open: F64, *, places: NDArray[np.int64]) -> float:
    """Time from the dips of the voice to when the lips, averaged over the dips, are most shut within 0.4 s.

    Parameters
    ----------
    mouth_open : ndarray of shape (n,)
        NaN where missing.
    places : ndarray of int
        Samples of the dips; NaN is returned below five around which the whole 0.4 s is seen.

    Returns
    -------
    float
        Seconds, 0 or above.
    """
    reach = round(CLOSURE_LAG_S * GRID_HZ)
    window = np.arange(-reach, reach + 1)
    inside = places[(places >= reach) & (places < len(mouth_open) - reach)]
    around = mouth_open[inside[:, None] + window]
    around = around[np.isfinite(around).all(axis=1)]
    if len(around) < MIN_DIPS:
        return np.nan
    return float(abs(window[around.mean(axis=0).argmin()]) / GRID_HZ)
