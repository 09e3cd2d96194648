"""Why a probability is what it is: exact contributions of each cue family, in log-odds.

Boosters give their own TreeSHAP values (Lundberg et al. 2020), linear models their terms. The stack is a weighted sum
and carries them through. What comes before it, where it bounds each learner, and what follows (calibration, prior,
clip) are monotone maps of one number: contributions are scaled, all alike, so that with the mapped constant they add up
to the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ensemble.training_set import Layout

Array = NDArray[np.float64]


def carry(parts: Array, finish: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Parts of a log-odds to parts of ``finish(log-odds)``.

    Parameters
    ----------
    parts : ndarray of shape (n, n_families + 1)
        The constant last.
    finish
        Monotone map of [n] log-odds.

    Returns
    -------
    base : ndarray of shape (n,)
    contributions : ndarray of shape (n, n_families)
        With ``base + contributions.sum(axis=1) == finish(parts.sum(axis=1))``. Where the parts cancel, no
        share is defined; the map's own change, if there is one, is then spread evenly.
    """
    total, constant = parts.sum(axis=1), parts[:, -1]
    base, final = finish(constant), finish(total)
    moved = total - constant
    still = np.abs(moved) < 1e-9
    scale = np.where(still, 0.0, (final - base) / np.where(still, 1.0, moved))
    contributions = parts[:, :-1] * scale[:, None]
    remainder = final - base - contributions.sum(axis=1)
    return base, contributions + remainder[:, None] / contributions.shape[1]


MAX_LOGIT = 12.0  # p = 6e-6: further out a log-odds carries no information at any size of data met here


def by_family(columns: Array, layout: Layout) -> Array:
    """[n, n_columns + 1] to [n, n_families + 1]: sums of the columns of each family, the constant last."""
    index = layout.family_index
    result = np.zeros((len(columns), len(layout.family_names) + 1))
    for number in range(len(layout.family_names)):
        result[:, number] = columns[:, :-1][:, index == number].sum(axis=1)
    result[:, -1] = columns[:, -1]
    return result


def clipped(parts: Array) -> Array:
    """Scale rows of additive parts so that their sum stays within +-:data:`MAX_LOGIT`."""
    total = parts.sum(axis=1)
    return parts * (np.clip(total, -MAX_LOGIT, MAX_LOGIT) / np.where(total == 0, 1.0, total))[:, None]
