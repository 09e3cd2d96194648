"""Spatial frequencies of square luma patches: power spectra, their radial profile, block transforms.

``L(f)`` is the log10 of the power at f cycles per px, averaged over all directions (azimuthal mean: Durall et al.
2019). Everything is float64 and takes stacks of patches at once; what is undefined is NaN.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from features.arrays import F64

BINS = np.linspace(0.02, 0.5, 24)  # cycles per px
LEVEL_BAND = (0.02, 0.1)  # mean L over it is the zero of L
SLOPE_BAND, LINE_BAND, TAIL_BAND = (0.05, 0.45), (0.05, 0.25), (0.35, 0.5)
BLOCK = 8
DCT_GROUPS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 14))  # zig-zag diagonals u + v, first to last
MIN_DIGITS = 100  # coefficients behind a distribution of first digits
FLAT = 1e-9  # power per px of a patch without texture


@functools.cache
def _radius(side: int) -> NDArray[np.int64]:
    axis = np.fft.fftfreq(side, 1.0 / side)
    return np.rint(np.hypot(axis[:, None], axis[None])).astype(np.int64)


@functools.cache
def _window(side: int) -> F64:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)  # symmetric: mirrors agree
    return hann[:, None] * hann[None]


def power(luma: NDArray) -> F64:
    """Power spectra of patches: mean subtracted, Hann by Hann, ``|FFT|^2``, unshifted.

    Parameters
    ----------
    luma : ndarray of shape (..., s, s)
        Grey levels.

    Returns
    -------
    ndarray of shape (..., s, s)
        NaN for a patch without texture, or with a NaN.
    """
    patches = np.asarray(luma, dtype=np.float64)
    patches = patches - patches.mean(axis=(-2, -1), keepdims=True)
    spectrum = np.abs(fft.fft2(patches * _window(patches.shape[-1]))) ** 2
    flat = spectrum.mean(axis=(-2, -1), keepdims=True) < FLAT * patches.shape[-1] ** 2
    return np.where(flat, np.nan, spectrum)


def radial(spectrum: F64) -> F64:
    """L: log10 of the mean power at integer radius 1 ... s/2, [..., s/2], of spectra [..., s, s].

    :func:`frequencies` gives the radii in cycles per px.
    """
    side = spectrum.shape[-1]
    radius = _radius(side).ravel()
    order = np.argsort(radius, kind="stable")
    starts = np.searchsorted(radius[order], np.arange(1, side // 2 + 2))
    flat = spectrum.reshape(*spectrum.shape[:-2], side * side)[..., order]
    sums = np.add.reduceat(flat, starts, axis=-1)[..., :-1]
    return np.log10(np.maximum(sums / np.diff(starts), np.finfo(float).tiny))


def frequencies(bins: int) -> F64:
    """Cycles per px [bins] of :func:`radial`'s bins.

    >>> frequencies(64)[[0, -1]].tolist()
    [0.0078125, 0.5]
    """
    return np.arange(1, bins + 1) / (2.0 * bins)


def levelled(profile: F64) -> F64:
    """L at the 24 frequencies of 0.02-0.5 less its mean over 0.02-0.1, [..., 24], of profiles [..., s/2].

    The mean takes the gain away, which a division of L by its first bin, as published, does not.
    """
    f = frequencies(profile.shape[-1])
    level = profile[..., _band(f, LEVEL_BAND)].mean(axis=-1, keepdims=True)
    flat = profile.reshape(-1, profile.shape[-1])
    kept = np.stack([np.interp(BINS, f, row) for row in flat])
    return kept.reshape(*profile.shape[:-1], -1) - level


def slope(profile: F64) -> F64:
    """Slope of L on log10 f over 0.05-0.45, [...], of profiles [..., s/2]: -beta for a spectrum of 1/f^beta.

    >>> round(float(slope(-2.0 * np.log10(frequencies(64)))), 6)
    -2.0
    """
    f = frequencies(profile.shape[-1])
    chosen = _band(f, SLOPE_BAND)
    return _line(np.log10(f[chosen]), profile[..., chosen])[0]


def tail(profile: F64) -> F64:
    """Mean of L over 0.35-0.5 less the line of L on log10 f through 0.05-0.25, [...], of profiles [..., s/2].

    Below 0 for a blurred image, above 0 for an upsampled or noisy one.
    """
    f = frequencies(profile.shape[-1])
    line, end = _band(f, LINE_BAND), _band(f, TAIL_BAND)
    gradient, offset = _line(np.log10(f[line]), profile[..., line])
    expected = gradient[..., None] * np.log10(f[end]) + offset[..., None]
    return (profile[..., end] - expected).mean(axis=-1)


def _band(f: F64, band: tuple[float, float]) -> NDArray[np.bool_]:
    return (f >= band[0] - 1e-9) & (f <= band[1] + 1e-9)


def _line(x: F64, y: F64) -> tuple[F64, F64]:
    centred = x - x.mean()
    gradient = (y * centred).sum(axis=-1) / (centred**2).sum()
    return gradient, y.mean(axis=-1) - gradient * x.mean()


def peak(spectrum: F64, *, period_px: int) -> F64:
    """Height of the lattice peaks that upsampling leaves at one cycle per ``period_px``.

    log10 of the largest power in 3 x 3 bins less that of the median of the 17 x 17 bins around without their
    5 x 5 centre; the largest over both axes and the diagonals.

    Parameters
    ----------
    spectrum : ndarray of shape (..., s, s)
        From :func:`power`.
    period_px : int
        2 or 4.

    Returns
    -------
    ndarray of shape (...)
        Where there is no peak, the largest of several random bins stands out, too: by 0.6 or so for a period of 2 px,
        by 0.75 for one of 4.
    """
    side = spectrum.shape[-1]
    at = side // period_px
    places = [(at, 0), (0, at), (at, at)] + ([(at, side - at)] if period_px != 2 else [])
    ring = np.ones((17, 17), dtype=bool)
    ring[6:11, 6:11] = False
    heights = []
    for row, column in places:
        rows, columns = np.arange(row - 8, row + 9) % side, np.arange(column - 8, column + 9) % side
        around = spectrum[..., rows[:, None], columns[None]]
        top = around[..., 7:10, 7:10].max(axis=(-2, -1))
        heights.append(np.log10(top) - np.log10(np.median(around[..., ring], axis=-1)))
    return np.max(heights, axis=0)


def block_dct(luma: NDArray) -> F64:
    """Orthonormal 8 x 8 DCT of patches [..., s, s] in blocks from their corner: [..., blocks, 8, 8]."""
    patches = np.asarray(luma, dtype=np.float64)
    n = patches.shape[-1] // BLOCK
    blocks = patches.reshape(*patches.shape[:-2], n, BLOCK, n, BLOCK).swapaxes(-3, -2)
    basis = fft.dct(np.eye(BLOCK), axis=0, norm="ortho")
    return (basis @ blocks @ basis.T).reshape(*patches.shape[:-2], n * n, BLOCK, BLOCK)


def dct_groups(coefficients: F64) -> tuple[F64, F64]:
    """Mean absolute value, and kurtosis about zero, of six groups of AC coefficients, coarse to fine.

    A group is two zig-zag diagonals, u + v of 1-2 to 11-14; the kurtosis is ``mean(c^4) / mean(c^2)^2``.

    Parameters
    ----------
    coefficients : ndarray of shape (..., blocks, 8, 8)
        From :func:`block_dct`.

    Returns
    -------
    size, kurtosis : ndarray of shape (..., 6)
        Grey levels; a pure number, 3 for noise, NaN for a group without power.
    """
    diagonal = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    sizes, kurtoses = [], []
    for first, last in DCT_GROUPS:
        group = coefficients[..., (diagonal >= first) & (diagonal <= last)]
        squared = group**2
        second = squared.mean(axis=(-2, -1))
        sizes.append(np.abs(group).mean(axis=(-2, -1)))
        fourth = (squared**2).mean(axis=(-2, -1))
        kurtoses.append(fourth / np.where(second > FLAT, second, np.nan) ** 2)
    return np.stack(sizes, axis=-1), np.stack(kurtoses, axis=-1)


def benford_kl(coefficients: F64) -> float:
    """Divergence of the first digits of AC coefficients from Benford's law, ``sum p log2(p / log10(1 + 1/d))``.

    Parameters
    ----------
    coefficients : ndarray of shape (blocks, 8, 8)
        From :func:`block_dct`; those under 1 in size don't count.

    Returns
    -------
    float
        Bits, 0 for perfect agreement; NaN below 100 coefficients.
    """
    size = np.abs(coefficients.reshape(-1, BLOCK * BLOCK)[:, 1:]).ravel()
    size = size[size >= 1.0]
    if size.size < MIN_DIGITS:
        return np.nan
    digits = (size / 10.0 ** np.floor(np.log10(size))).astype(int).clip(1, 9)
    fraction = np.bincount(digits, minlength=10)[1:] / size.size
    expected = np.log10(1.0 + 1.0 / np.arange(1, 10))
    seen = fraction > 0
    return float(max(0.0, (fraction[seen] * np.log2(fraction[seen] / expected[seen])).sum()))
