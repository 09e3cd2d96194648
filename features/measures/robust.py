"""Robust summaries of samples, NaN below the number of samples that they need; everything is float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from features.arrays import F64

MAD_TO_SD = 1.4826  # of a normal distribution


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
