"""The 95 % interval of a rate or a mean over clips, with groups or faces as independent observations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
FEW = 10  # independent observations (groups, faces) below which a bootstrap over them is too narrow


def interval(sums: NDArray[Any], counts: NDArray[Any], *, seed: int, is_rate: bool = True) -> tuple[float, float]:
    """Return the ends of the 95 % interval of ``sums.sum() / counts.sum()``.

    The interval is a bootstrap over the observations; where a rate is 0 or 1, or observations are few, it is the exact
    one.

    Parameters
    ----------
    sums, counts : ndarray of shape (n,)
        Sum and number of each observation's values; observations without a value count 0, and not all may.
    seed
        Random seed of the bootstrap.
    is_rate
        Whether the values are 0 and 1.
    """
    mean, n_observations = float(sums.sum() / counts.sum()), int((counts > 0).sum())
    if is_rate and is_degenerate(mean, n_observations):
        return exact_interval(mean, n_observations)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    resampled = sums[drawn].sum(axis=1) / np.maximum(counts[drawn].sum(axis=1), 1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return float(low), float(high)


def is_degenerate(rate: float, n: int) -> bool:
    """Whether a bootstrap over ``n`` independent observations with this rate has too narrow an interval, or none.

    >>> is_degenerate(1.0, 50), is_degenerate(0.5, 9), is_degenerate(0.5, 50)
    (True, True, False)
    """
    return n < FEW or rate in (0.0, 1.0)


def exact_interval(rate: float, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate (Clopper-Pearson), both ends from 0 to 1.

    Parameters
    ----------
    rate
        From 0 to 1. ``rate * n`` need not be a whole number: a rate over clips may be taken with groups as ``n``.
    n
        Number of independent observations, 1 or more.

    Examples
    --------
    >>> [round(end, 3) for end in exact_interval(1.0, 10)], [round(end, 3) for end in exact_interval(0.75, 4)]
    ([0.692, 1.0], [0.194, 0.994])
    """
    from scipy.stats import beta

    hits = rate * n
    low = beta.ppf(0.025, hits, n - hits + 1) if hits > 0 else 0.0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)
