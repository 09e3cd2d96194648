"""The colour change of skin with the heartbeat: from mean colours of a region over time to a pulse signal.

Blood absorbs green light more than red, so that a face darkens by some tenths of a percent with each beat. Light and
motion change all three channels alike and by more. Both methods here take them away by a projection of the colours,
each divided by its own mean over a short window: POS (Wang et al. 2017, "Algorithmic principles of remote PPG", IEEE
TBME 64:1479) and CHROM (de Haan & Jeanne 2013, "Robust pulse rate from chrominance-based rPPG", IEEE TBME 60:2878).

Colours are [n, 3] red, green, blue on a uniform grid, linear in no particular unit: a common factor changes nothing.
Everything is float64; what is undefined is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import signal

from features.geometry import F64

WINDOW_S = 1.6  # of both methods: it holds a beat of the slowest heart
BAND_HZ = (0.7, 4.0)  # 42 to 240 beats a minute
FILTER_ORDER = 2
MIN_RATE_HZ = 15.0
PADDING = 8  # of the periodogram, times the signal's length
NEAR_HZ, NEAR_DOUBLE_HZ = 0.1, 0.2  # half widths of what counts as the pulse, at its rate and at twice that
POS_PLANE: F64 = np.array([[0.0, 1.0, -1.0], [-2.0, 1.0, 1.0]])
CHROM_PLANE: F64 = np.array([[3.0, -2.0, 0.0], [1.5, 1.0, -1.5]])
STILL = 1e-9  # relative change below which there is no signal


@dataclass(frozen=True)
class Peak:
    """The strongest frequency of a pulse signal."""

    frequency_hz: float
    """In ``BAND_HZ``."""
    snr_db: float
    """Power within 0.1 Hz of it and within 0.2 Hz of its double, over the rest of the band, dB. The peak is taken from
    the signal itself, so that noise has about -5 dB in 10 s, and more in less."""


UNDEFINED = Peak(np.nan, np.nan)


def pos(rgb: F64, *, rate_hz: float) -> F64:
    """Pulse signal by POS: every window of 1.6 s projected, tuned and overlap-added.

    Parameters
    ----------
    rgb : ndarray of shape (n, 3)
        Mean colours, above 0, no NaN.
    rate_hz : float
        Samples a second.

    Returns
    -------
    ndarray of shape (n,)
        Relative change of colour, mean 0, in no calibrated unit; NaN where the series is shorter than a window.

    Examples
    --------
    >>> light = 100.0 * (1.0 + 0.05 * np.sin(np.arange(300) / 4.0))[:, None] * [1.5, 1.0, 0.8]
    >>> bool(np.abs(pos(light, rate_hz=30.0)).max() < 1e-9)  # light alone is no pulse
    True
    """
    size = int(np.ceil(WINDOW_S * rate_hz))
    colours = np.asarray(rgb, dtype=np.float64)
    if len(colours) < size or not (colours > 0).all():
        return np.full(len(colours), np.nan)
    windows = sliding_window_view(colours, size, axis=0)  # [w, 3, size]
    projected = POS_PLANE @ (windows / windows.mean(axis=2, keepdims=True) - 1.0)
    return _overlap_added(projected, sign=1.0, taper=np.ones(size))


def chrom(rgb: F64, *, rate_hz: float) -> F64:
    """Pulse signal by CHROM, of windows of 1.6 s, Hann; arguments and result as of :func:`pos`.

    The chrominances are filtered to the band over the whole series, not within each window as published: a filter of
    0.7 Hz has no meaning in 1.6 s. Windows begin at every sample, so that the last ones count like the first.
    """
    size = int(np.ceil(WINDOW_S * rate_hz))
    colours = np.asarray(rgb, dtype=np.float64)
    if len(colours) < size or not (colours > 0).all():
        return np.full(len(colours), np.nan)
    both = band_passed((colours / colours.mean(axis=0) - 1.0) @ CHROM_PLANE.T, rate_hz=rate_hz)
    return _overlap_added(sliding_window_view(both, size, axis=0), sign=-1.0, taper=signal.windows.hann(size))


def _overlap_added(projected: F64, *, sign: float, taper: F64) -> F64:
    """Sum of windows [w, 2, s] of two projections, the second tuned to the first's spread."""
    first, second = projected[:, 0], projected[:, 1]
    spread = projected.std(axis=2)
    ratio = np.where(spread[:, 1] > STILL, spread[:, 0] / np.maximum(spread[:, 1], STILL), 0.0)
    pulse = first + sign * ratio[:, None] * second
    pulse = (pulse - pulse.mean(axis=1, keepdims=True)) * taper
    total = np.zeros(len(pulse) + len(taper) - 1)
    for number, part in enumerate(pulse):
        total[number : number + len(taper)] += part
    return total / taper.sum()


def band_passed(values: F64, *, rate_hz: float) -> F64:
    """Series [n, ...] without its linear trend, 0.7-4 Hz, by a Butterworth filter of order 2 run both ways."""
    high = min(BAND_HZ[1], 0.45 * rate_hz)
    sos = signal.butter(FILTER_ORDER, (BAND_HZ[0], high), "bandpass", fs=rate_hz, output="sos")
    return signal.sosfiltfilt(sos, signal.detrend(values, axis=0), axis=0)


def peak(values: F64, *, rate_hz: float) -> Peak:
    """Strongest frequency of 0.7-4 Hz in a series [n], and how far it stands out; NaN without a signal.

    Hamming periodogram, zero-padded eightfold.

    Examples
    --------
    >>> beat = np.sin(2 * np.pi * 1.2 * np.arange(300) / 30.0)
    >>> round(peak(beat, rate_hz=30.0).frequency_hz, 2)
    1.2
    """
    if len(values) < 2 or not np.isfinite(values).all() or np.std(values) < STILL:
        return UNDEFINED
    frequency, power = signal.periodogram(
        values, rate_hz, window="hamming", nfft=PADDING * len(values), detrend="linear"
    )
    inside = (frequency >= BAND_HZ[0]) & (frequency <= BAND_HZ[1])
    frequency, power = frequency[inside], power[inside]
    found = float(frequency[np.argmax(power)])
    pulse = (np.abs(frequency - found) <= NEAR_HZ) | (np.abs(frequency - 2 * found) <= NEAR_DOUBLE_HZ)
    rest = float(power[~pulse].sum())
    return Peak(found, float(10 * np.log10(power[pulse].sum() / rest)) if rest > 0 else np.nan)
