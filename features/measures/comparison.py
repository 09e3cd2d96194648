"""How two measurements compare: ratios, and distances of histograms; NaN where nothing was measured."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from features.arrays import F64


def log_ratio(a: float, b: float, *, floor: float = 0.0) -> float:
    """Natural logarithm of a / b; NaN unless both are above ``floor``, in their unit.

    >>> log_ratio(1.0, 0.0), log_ratio(2.0, 2.0)
    (nan, 0.0)
    """
    return float(np.log(a / b)) if a > floor and b > floor else np.nan


def entropy(counts: F64) -> float:
    """Entropy of counts [k] in bits; NaN for none.

    >>> entropy(np.array([3.0, 3.0, 0.0]))
    1.0
    """
    total = counts.sum()
    return float(entr(counts / total).sum() / np.log(2)) if total else np.nan


def js_distance(a: F64, b: F64) -> float:
    """Jensen-Shannon distance of two histograms of counts [k], from 0 to 1 (base 2); NaN if one is empty.

    >>> js_distance(np.array([1.0, 0.0]), np.array([0.0, 5.0]))
    1.0
    """
    if not a.sum() or not b.sum():
        return np.nan
    p, q = a / a.sum(), b / b.sum()
    return float(np.sqrt(max(0.0, entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)))
