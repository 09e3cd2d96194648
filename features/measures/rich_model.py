"""Residuals of the spatial rich model and their statistics (Fridrich & Kodovsky 2012).

"Rich Models for Steganalysis of Digital Images": the output of high-pass filters on an image, its strength, the
correlation of neighbours, and the frequencies of runs of four rounded values.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F32, F64
from features.measures.face_regions import Mask

BORDER_PX = 2  # where a 5 x 5 filter extends beyond the image
TRUNCATION = 2  # of rounded residuals in co-occurrences
ORDER = 4  # residuals in a row
# RMS in grey levels: rounding in single precision stays below it on a flat image; one pixel of 128 x 128 that is one
# level brighter gives ten times as much
NO_POWER = 1e-3
TIE = 1e-3  # grey levels: what lies so near to a half is one, whatever single precision makes of it

_SECOND = np.array([[1.0, -2.0, 1.0]]) / 2
KERNELS = {
    "kb": (np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4,),
    "kv": (
        np.array(
            [[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]],
        )
        / 12,
    ),
    "h2": (_SECOND, _SECOND.T),
}
"""Filters of the spatial rich model; a kernel of two filters has the statistics of both together."""


def responses(luma: NDArray, kernel: str) -> F32:
    """Return the residuals [filters, h - 4, w - 4] of an image [h, w] for one of :data:`KERNELS`."""
    image = luma.astype(np.float32)
    return np.stack([within(cv2.filter2D(image, cv2.CV_32F, weights)) for weights in KERNELS[kernel]])


def within(image: NDArray) -> NDArray:
    """Return an image [h, w] without the border in which a 5 x 5 filter extends beyond it: [h - 4, w - 4]."""
    return image[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]


def neighbour_correlation(residuals: F32, region: Mask) -> float:
    """Return the correlation of residuals with those beside and below them, from -1 to 1; NaN without power.

    Parameters
    ----------
    residuals : ndarray of shape (filters, h, w)
    region : ndarray of shape (h, w)
        Pairs of neighbours count if both lie in it.
    """
    correlations = []
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        both = np.flatnonzero(region[a] & region[b])
        for residual in residuals:
            x, y = residual[a].ravel()[both], residual[b].ravel()[both]
            power = float(np.sqrt(np.dot(x, x) * np.dot(y, y)))
            correlations.append(float(np.dot(x, y)) / power if power > NO_POWER**2 * len(both) else np.nan)
    return float(np.clip(np.mean(correlations), -1.0, 1.0))


def standard_deviation(residuals: F32, region: Mask) -> float:
    """Root mean square of residuals [filters, h, w] in a region [h, w]; they have no mean worth the name.

    0 without power.
    """
    pixels = np.flatnonzero(region)
    return _root(float(np.mean([np.square(residual.ravel()[pixels]).mean(dtype=np.float64) for residual in residuals])))


def _root(mean_square: float) -> float:
    """Square root of a mean square; 0 where that is only rounding."""
    return float(np.sqrt(mean_square)) if mean_square > NO_POWER**2 else 0.0


def moments(residuals: F32, region: Mask) -> dict[str, float]:
    """``std``, ``kurt`` and ``zero_share`` of residuals [filters, h, w] in a region [h, w].

    ``kurt`` is the natural logarithm of ``mean(r^4) / mean(r^2)^2``; NaN without power.
    """
    values = np.concatenate([residual[region] for residual in residuals])
    squared = np.square(values)
    second = float(squared.mean(dtype=np.float64))
    fourth = float(np.square(squared).mean(dtype=np.float64))
    std = _root(second)
    return {
        "std": std,
        "kurt": float(np.log(fourth / second**2)) if std else np.nan,
        "zero_share": float((rounded(values) == 0).mean()),
    }


def rounded(residuals: F32) -> F32:
    """Round residuals of any shape to whole grey levels, halves away from 0.

    Residuals of whole grey levels lie on a grid of halves, thirds and quarters, and those of levels scaled from 16-235
    to 0-255 just beyond it: to round halves to even numbers would treat the two codings of an image differently.

    >>> rounded(np.float32([0.4, 0.5, -0.5, 0.58, 1.5])).tolist()
    [0.0, 1.0, -1.0, 1.0, 2.0]
    """
    whole: F32 = np.copysign(np.floor(np.abs(residuals) + np.float32(0.5 + TIE)), residuals) + np.float32(0)
    return whole


def _classes() -> NDArray[np.int64]:
    """Class of each of the 625 runs of four values from -2 to 2: mirrored and negated ones are in one."""
    base = 2 * TRUNCATION + 1
    runs = np.stack(np.unravel_index(np.arange(base**ORDER), (base,) * ORDER), axis=1) - TRUNCATION
    weights = base ** np.arange(ORDER - 1, -1, -1)
    alike = np.stack([(each + TRUNCATION) @ weights for each in (runs, runs[:, ::-1], -runs, -runs[:, ::-1])])
    return np.unique(alike.min(axis=0), return_inverse=True)[1]


CLASSES = _classes()
N_CLASSES = int(CLASSES.max()) + 1


def co_occurrences(residuals: F32, region: Mask) -> F64:
    """Counts [169] of four rounded residuals in a row or a column, cut at 2, that lie in a region.

    Parameters
    ----------
    residuals : ndarray of shape (filters, h, w)
    region : ndarray of shape (h, w)
    """
    base = 2 * TRUNCATION + 1
    weights = base ** np.arange(ORDER)
    counts = np.zeros(base**ORDER, np.int64)
    for residual in residuals:
        whole = (np.clip(rounded(residual), -TRUNCATION, TRUNCATION) + TRUNCATION).astype(np.int16)
        for values, inside in ((whole, region), (whole.T, region.T)):
            width = values.shape[1] - ORDER + 1
            terms = [int(weights[k]) * values[:, k : k + width] for k in range(ORDER)]
            runs = np.add.reduce(terms, dtype=np.int16)
            all_in = np.logical_and.reduce([inside[:, k : k + width] for k in range(ORDER)])
            counts += np.bincount(runs[all_in], minlength=base**ORDER)
    return np.bincount(CLASSES, counts, N_CLASSES).astype(np.float64)
