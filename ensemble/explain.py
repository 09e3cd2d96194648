"""Why a probability is what it is: exact contributions of each cue family, in log-odds.

Boosters give their own TreeSHAP values (Lundberg et al. 2020), linear models their terms. The stack is a weighted sum
and carries them through. What comes before it, where it bounds each learner, and what follows (calibration, prior,
clip) are monotone maps of one number: contributions are scaled, all alike, so that with the mapped constant they add up
to the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ensemble.calibrate import logit
from ensemble.matrix import Float, measured_rows

if TYPE_CHECKING:
    from ensemble.model import Explanation, Model

Array = NDArray[np.float64]


def explain(model: Model, X: Float) -> Explanation:
    """Split the final log-odds of each row by family; see :class:`ensemble.model.Explanation`."""
    from ensemble.model import Explanation

    families = model.layout.family_names
    base = np.full(len(X), logit(model.head.target_prior))
    parts = np.zeros((len(X), len(families)))
    measured = measured_rows(X, model.layout)
    if measured.any():
        kept = model.ground.kept(X[measured])
        stacked = stacked_parts(model, X[measured])
        base[measured], parts[measured] = carry(stacked, lambda z: model.head.finish(z, kept))
    contributions = {name: parts[:, number] for number, name in enumerate(families)}
    return Explanation(base, contributions, model.log_odds(X))


def stacked_parts(model: Model, X: Float) -> Array:
    """[n, n_families + 1] parts of the stack's log-odds, the constant last."""
    stack = model.head.stack
    total = np.zeros((len(X), len(model.layout.family_names) + 1))
    for name, weight in zip(stack.learners, stack.weights, strict=True):
        if weight:
            parts = np.mean([one.family_logits(X) for one in model.fold_models[name]], axis=0)
            constant, contributions = carry(parts, stack.inputs)
            total += weight * np.column_stack([contributions, constant])
    total[:, -1] += stack.intercept
    return total


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
