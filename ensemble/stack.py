"""Combine the learners' log-odds into one by a weighted sum with non-negative weights.

Three kinds, from constrained to flexible:

- ``bounded``: logistic regression with non-negative weights (Breiman 1996) on log-odds whose distance from the training
  prior's is bounded, so that one overconfident learner moves the sum by a limited amount, alike towards both classes;
- ``nonnegative``: the same on their log-odds, which needs more data;
- ``greedy``: selection with replacement (Caruana et al. 2004) on the log-odds.

The first two shrink the weights towards equal ones by a ridge penalty whose influence fades as rows grow: with few
rows an unpenalised stack loses to the plain mean. The first kind is kept unless a later one is better by more than two
standard errors over groups, by log loss out of fold. All kinds are fitted on out-of-fold log-odds only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ensemble.arrays import Array, Int
from ensemble.calibrate import prior_logit
from ensemble.metrics import logit_losses
from ensemble.selection import out_of_fold, simplest

KINDS = ("bounded", "nonnegative", "greedy")
GREEDY_STEPS = 30
GREEDY_BAGS = 10
LARGE_ROWS = 10_000
RIDGE = 2.0  # penalty towards equal weights: a deviation of 1 costs 2 nats in total
ERRORS = 2.0  # standard errors by which a more flexible stack must be better


@dataclass(frozen=True)
class Stack:
    """``weights @ inputs + intercept``; ``kind`` names how they were fitted and what the inputs are.

    ``centre``: the training prior's log-odds, from which ``bounded`` measures distances (0 in heads saved up to 0.11).
    """

    kind: str
    learners: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float
    centre: float = 0.0

    def __call__(self, Z: Array) -> Array:
        """[n, n_learners] log-odds to [n]."""
        return self.inputs(Z) @ np.array(self.weights) + self.intercept

    def inputs(self, Z: Array) -> Array:
        """Return the input of the weighted sum: log-odds of any shape, or their bounded form."""
        return bounded(Z, self.centre) if self.kind == "bounded" else Z

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind,
            "learners": list(self.learners),
            "weights": list(self.weights),
            "intercept": self.intercept,
            "centre": self.centre,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Stack:
        """Inverse of :meth:`as_dict`."""
        learners, weights = tuple(state["learners"]), tuple(state["weights"])
        return cls(state["kind"], learners, weights, float(state["intercept"]), float(state.get("centre", 0.0)))


def weighed(learners: Sequence[str], weights: Sequence[float]) -> list[str]:
    """Return the learners that have a weight in a stack.

    >>> weighed(["lightgbm", "logistic"], [0.0, 1.0])
    ['logistic']
    """
    return [name for name, weight in zip(learners, weights, strict=True) if weight]


def bounded(Z: Array, centre: float = 0.0) -> Array:
    """Return log-odds of any shape, unchanged near ``centre`` and at most 2 away from it.

    With ``centre`` 0 these are probabilities on another scale, ``4 (p - 1/2)``.
    """
    return centre + 2.0 * np.tanh((Z - centre) / 2)


def fit_kind(kind: str, Z: Array, y: Int, learners: Sequence[str], *, seed: int) -> Stack:
    """Fit a stack of one of :data:`KINDS` on all given rows.

    Parameters
    ----------
    Z : ndarray of shape (n, n_learners)
        Out-of-fold log-odds.
    y : ndarray of shape (n,)
        1 for FAKE.
    learners
        Names of the columns of ``Z``.
    seed
        Seed of the bags of the greedy selection; the other kinds draw nothing.
    """
    centre = 0.0
    if kind == "greedy":
        weights, intercept = _greedy(Z, y, seed)
    elif kind == "bounded":
        centre = prior_logit(y)
        weights, intercept = _nonnegative(bounded(Z, centre), y)
    else:
        weights, intercept = _nonnegative(Z, y)
    return Stack(kind, tuple(learners), tuple(float(weight) for weight in weights), intercept, centre)


def fit_stack(
    Z: Array, y: Int, group: Int, fold: Int, learners: Sequence[str], *, seed: int = 0
) -> tuple[Stack, Array]:
    """Fit the stack on all given rows, of the kind that the losses out of fold support.

    Parameters
    ----------
    Z : ndarray of shape (n, n_learners)
        Out-of-fold log-odds. The log-odds of a single learner are not bounded.
    y, group, fold : ndarray of shape (n,)
        Label (1 FAKE), group and fold of each row; two folds or more.
    learners
        Names of the columns of ``Z``.
    seed
        See :func:`fit_kind`.

    Returns
    -------
    Stack
    ndarray of shape (n,)
        Log-odds of each fold by a stack of the same kind that was fitted on the other folds, for fitting a calibration.
    """
    kinds = KINDS if Z.shape[1] > 1 else ("nonnegative",)
    held_out = {kind: out_of_fold(partial(fit_kind, kind, learners=learners, seed=seed), Z, y, fold) for kind in kinds}
    kind = simplest({kind: logit_losses(y, z) for kind, z in held_out.items()}, group, errors=ERRORS)
    return fit_kind(kind, Z, y, learners, seed=seed), held_out[kind]


def _nonnegative(Z: Array, y: Int) -> tuple[Array, float]:
    """Non-negative logistic weights and an intercept, shrunk towards equal weights."""
    from scipy.optimize import minimize
    from scipy.special import expit

    n, k = Z.shape
    ridge = RIDGE / n

    def objective(theta: Array) -> tuple[float, Array]:
        weights, intercept = theta[:-1], theta[-1]
        z = Z @ weights + intercept
        deviation = weights - 1 / k
        loss = np.mean(logit_losses(y, z)) + ridge * (deviation @ deviation)
        residual = (expit(z) - y) / n
        return float(loss), np.r_[Z.T @ residual + 2 * ridge * deviation, residual.sum()]

    start = np.r_[np.full(k, 1 / k), 0.0]
    bounds = [(0.0, None)] * k + [(None, None)]
    theta = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return theta[:-1], float(theta[-1])


def _greedy(Z: Array, y: Int, seed: int) -> tuple[Array, float]:
    """Mean of the greedy weights over bags of rows; one bag of all rows where data is large.

    This differs from Caruana et al. 2004, section 2.3, whose bags are of models.
    """
    if len(y) >= LARGE_ROWS:
        return _greedy_weights(Z, y), 0.0
    rng = np.random.default_rng(seed)
    bags = [rng.integers(0, len(y), len(y)) for _ in range(GREEDY_BAGS)]
    return np.mean([_greedy_weights(Z[rows], y[rows]) for rows in bags], axis=0), 0.0


def _greedy_weights(Z: Array, y: Int) -> Array:
    """Add, at each step, the learner that lowers log loss most."""
    total, best_loss, best = np.zeros(len(Z)), np.inf, np.zeros(Z.shape[1])
    times = np.zeros(Z.shape[1])
    for step in range(1, GREEDY_STEPS + 1):
        means = (total[:, None] + Z) / step
        losses = np.mean(logit_losses(y[:, None], means), axis=0)
        chosen = int(np.argmin(losses))
        total = total + Z[:, chosen]
        times[chosen] += 1
        if losses[chosen] < best_loss:
            best_loss, best = float(losses[chosen]), times / step
    return best
