"""Choose between models of growing flexibility by their losses out of fold, with standard errors over groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ensemble.arrays import Array, Int


def out_of_fold(fit: Callable[[Array, Int], Callable[[Array], Array]], Z: Array, y: Int, fold: Int) -> Array:
    """Predict each fold by a model that was fitted on the other folds.

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
    """Return the first key whose mean loss is within ``errors`` standard errors of the lowest.

    The standard error is that of the difference to the best candidate, over groups: all candidates predict the same
    rows, so that the difficulty of a row cancels.

    Parameters
    ----------
    losses
        Name to the loss of each row, [n], from the simplest candidate to the most flexible.
    group : ndarray of shape (n,)
        Rows with equal values are not independent.
    errors
        Number of standard errors by which a simpler candidate may be worse.
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
