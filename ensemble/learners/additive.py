"""Additive explanations: exact contributions of each cue family, in log-odds.

Boosters give their own TreeSHAP values (Lundberg et al. 2020), linear models their terms. The stack is a weighted sum
of them. The bound that it may set to each learner before, and what follows (calibration, shrinkage, prior), are
monotone maps of one number: contributions are scaled by a common factor, so that with the mapped constant they add up
to the result. The clip at the end is a part of its own: scaled by it, contributions of two clips could not be compared.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble.arrays import Array
from ensemble.training_set import Layout

MAX_LOGIT = 12.0  # p = 6e-6: data of this size does not support log-odds further out


def map_parts(parts: Array, function: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Parts of a log-odds to parts of ``function(log-odds)``.

    Parameters
    ----------
    parts : ndarray of shape (n, n_families + 1)
        The constant last.
    function
        Monotone map of [n] log-odds.

    Returns
    -------
    base : ndarray of shape (n,)
    contributions : ndarray of shape (n, n_families)
        ``base + contributions.sum(axis=1) == function(parts.sum(axis=1))``. Rounding errors, and a change by the map
        where the parts cancel, are spread evenly over the parts that are not 0; a part of 0 stays 0.

    Examples
    --------
    >>> base, contributions = map_parts(np.array([[3.0, 1.0, 0.0]]), lambda z: z / 2)
    >>> base.tolist(), contributions.tolist()
    ([0.0], [[1.5, 0.5]])
    """
    total, constant = parts.sum(axis=1), parts[:, -1]
    base, final = function(constant), function(total)
    moved = total - constant
    unmoved = np.abs(moved) < 1e-9
    scale = np.where(unmoved, 0.0, (final - base) / np.where(unmoved, 1.0, moved))
    contributions = parts[:, :-1] * scale[:, None]
    remainder = final - base - contributions.sum(axis=1)
    taking = parts[:, :-1] != 0
    each = remainder / np.maximum(taking.sum(axis=1), 1)
    return base, contributions + np.where(taking, each[:, None], 0.0)


def by_family(columns: Array, layout: Layout) -> Array:
    """[n, n_columns + 1] to [n, n_families + 1]: sums of the columns of each family, the constant last."""
    index = layout.family_index
    result = np.zeros((len(columns), len(layout.family_names) + 1))
    for number in range(len(layout.family_names)):
        result[:, number] = columns[:, :-1][:, index == number].sum(axis=1)
    result[:, -1] = columns[:, -1]
    return result


def clipped(parts: Array) -> Array:
    """Scale rows of additive parts [n, k] so that their sum stays within +-:data:`MAX_LOGIT`."""
    total = parts.sum(axis=1)
    return parts * (np.clip(total, -MAX_LOGIT, MAX_LOGIT) / np.where(total == 0, 1.0, total))[:, None]
