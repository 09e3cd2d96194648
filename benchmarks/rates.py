"""The 95 % interval of a rate from few independent observations."""

from __future__ import annotations

FEW = 10  # independent observations (groups, faces) below which a bootstrap over them is too narrow


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
