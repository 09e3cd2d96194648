"""Choosing between models of growing freedom by their losses out of fold, with errors counted over groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ensemble.arrays import Array, Int


def out_of_fold(fit: Callable[[Array, Int], Callable[[Array], Array]], Z: Array, y: Int, fold: Int) -> Array:
    """Predictions for each fold by what was fitted on the others.

    Parameters
    ----------
    fit
        Takes inputs and labels of some rows, returns a function from inputs to [n] log-odds.
    Z : ndarray of shape (n,) or (n, k)
        Inputs of each row.
    y, fold : ndarray of shape (n,)
        Label (1 FAKE) and fold; two folds or more.

    Returns
    -------
    ndarray of shape (n,)
        Log-odds.
    """
    z = np.empty(len(y))
    for number in np.unique(fold):
        out = fold == number
        z[out] = fit(Z[~out], y[~out])(Z[out])
    return z


def simplest(losses: Mapping[str, Array], group: Int, *, errors: float = 1.0) -> str:
    """First key whose mean loss is within ``errors`` standard errors of the least.

    The standard error is that of the difference to the best, over groups: all candidates see the same rows, so what
    is hard for both cancels.

    Parameters
    ----------
    losses
        Name to the loss of each row, [n], from the simplest candidate to the freest.
    group : ndarray of shape (n,)
        Rows with equal values are not independent.
    errors
        Standard errors that a simpler candidate may be worse by.
    """
    best = min(losses, key=lambda name: float(losses[name].mean()))
    for name, loss in losses.items():
        excess = loss - losses[best]
        if excess.mean() <= errors * group_error(excess, group):
            return name
    return best


def group_error(values: Array, group: Int) -> float:
    """Standard error of the mean of ``values`` [n] whose rows come in groups (linearised ratio of sums).

    Infinite for one group; ``group`` [n] may hold any numbers.
    """
    _, position = np.unique(group, return_inverse=True)
    n_groups = int(position.max()) + 1
    if n_groups < 2:
        return float("inf")
    deviations = np.bincount(position, values - values.mean(), n_groups)
    return float(np.sqrt(n_groups / (n_groups - 1) * np.sum(deviations**2)) / len(values))
