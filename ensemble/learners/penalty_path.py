"""Logistic regressions along a path of penalties, strongest first: each fit starts from the one before.

The elastic net, the kernel machine and the choice of families follow such a path with different solvers, and choose the
penalty by log loss on left-out rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.arrays import Array, Int
from ensemble.metrics import logit_losses
from features.threads import warnings_ignored

PenaltyPath = list[tuple[Array, float]]
"""Coefficients [d] and intercept at each penalty."""


def fit_path(
    model: Any, Z: NDArray[np.floating], y: Int, penalties: Iterable[float], *, stops_early: bool = False
) -> PenaltyPath:
    """Fit a logistic regression at each penalty.

    Parameters
    ----------
    model : sklearn.linear_model.LogisticRegression
        With ``warm_start``; it is fitted in place, and ends at the last penalty.
    Z : ndarray of shape (n, d)
        Inputs without NaN.
    y : ndarray of shape (n,)
        Labels of both classes (1 FAKE).
    penalties
        Above 0, per row: scikit-learn's C is ``1 / (penalty n)``.
    stops_early
        Running out of iterations is intended: no warning is shown.
    """
    from sklearn.exceptions import ConvergenceWarning

    path = []
    with warnings_ignored(ConvergenceWarning) if stops_early else contextlib.nullcontext():
        for penalty in penalties:
            model.C = 1 / (penalty * len(y))
            model.fit(Z, y)
            path.append((model.coef_[0].astype(np.float64), float(model.intercept_[0])))
    return path


def losses_left_out(
    fit: Callable[[Any, Int], PenaltyPath], Z: NDArray[np.floating], y: Int, splits: Iterable[tuple[Int, Int]]
) -> Array:
    """[n_penalties] log loss in nats, summed over the rows left out of all splits.

    Parameters
    ----------
    fit
        From inputs and labels of some rows to their path.
    Z : ndarray of shape (n, d)
        Inputs without NaN.
    y : ndarray of shape (n,)
        1 for FAKE.
    splits
        Positions of the rows to fit and of those left out; one split or more.
    """
    return np.sum(
        [
            [logit_losses(y[left_out], Z[left_out] @ w + b).sum() for w, b in fit(Z[rows], y[rows])]
            for rows, left_out in splits
        ],
        axis=0,
    )
