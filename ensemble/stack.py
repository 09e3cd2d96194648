"""From one log-odds a learner to one: a weighted sum with weights that are never negative.

Three ways, from steady to free:

- ``bounded``: logistic regression with non-negative weights (Breiman 1996, "Stacked regressions") on the learners'
  probabilities: one learner's great certainty moves the sum no more than it can bear;
- ``nonnegative``: the same on their log-odds, which data in plenty supports;
- ``greedy``: selection with replacement (Caruana et al. 2004) on the log-odds.

The first two draw the weights towards the plain mean of the learners by a penalty that fades as rows grow: a free stack
of few facts loses to the mean. The first is kept unless a later one is better by more than two standard errors over
groups, by log loss on folds left out. All see out-of-fold log-odds only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.calibrate import row_losses, simplest

Array = NDArray[np.float64]
Int = NDArray[np.int64]
GREEDY_STEPS = 30
GREEDY_BAGS = 10
LARGE_ROWS = 10_000
PULL = 2.0  # of the penalty towards the mean: a weight that is off by 1 costs two log units, once
ERRORS = 2.0  # standard errors by which a freer stack must be better


@dataclass(frozen=True)
class Stack:
    """``weights @ inputs + intercept``; ``kind`` says how they were found and what the inputs are."""

    kind: str
    learners: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float

    def __call__(self, Z: Array) -> Array:
        """[n, n_learners] log-odds to [n]."""
        return self.inputs(Z) @ np.array(self.weights) + self.intercept

    def inputs(self, Z: Array) -> Array:
        """What the weights apply to: log-odds of any shape, or their bounded form."""
        return bounded(Z) if self.kind == "bounded" else Z

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind,
            "learners": list(self.learners),
            "weights": list(self.weights),
            "intercept": self.intercept,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Stack:
        """Inverse of :meth:`as_dict`."""
        return cls(state["kind"], tuple(state["learners"]), tuple(state["weights"]), float(state["intercept"]))


def bounded(Z: Array) -> Array:
    """Probabilities on a scale that equals the log-odds near 0: 4 (p - 1/2), within [-2, 2]."""
    return 2.0 * np.tanh(Z / 2)


def fit_bounded(Z: Array, y: Int) -> tuple[Array, float]:
    """:func:`fit_nonnegative` on bounded log-odds."""
    return fit_nonnegative(bounded(Z), y)


def fit_nonnegative(Z: Array, y: Int) -> tuple[Array, float]:
    """Non-negative logistic weights and an intercept, drawn towards the mean of the learners."""
    from scipy.optimize import minimize
    from scipy.special import expit

    n, k = Z.shape
    pull = PULL / n

    def objective(theta: Array) -> tuple[float, Array]:
        weights, intercept = theta[:-1], theta[-1]
        z = Z @ weights + intercept
        away = weights - 1 / k
        loss = np.mean(np.logaddexp(0, z) - y * z) + pull * (away @ away)
        residual = (expit(z) - y) / n
        return float(loss), np.r_[Z.T @ residual + 2 * pull * away, residual.sum()]

    start = np.r_[np.full(k, 1 / k), 0.0]
    bounds = [(0.0, None)] * k + [(None, None)]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x[:-1], float(found.x[-1])


def fit_greedy(Z: Array, y: Int) -> tuple[Array, float]:
    """At each step the learner whose addition lowers log loss most; mean of the weights over bagged rows.

    Bagging (section 2.3 there) ends where data is large.
    """
    n_bags = GREEDY_BAGS if len(y) < LARGE_ROWS else 1
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(y), len(y)) for _ in range(n_bags)] if n_bags > 1 else [np.arange(len(y))]
    return np.mean([_greedy_weights(Z[rows], y[rows]) for rows in drawn], axis=0), 0.0


def _greedy_weights(Z: Array, y: Int) -> Array:
    total, best_loss, best = np.zeros(len(Z)), np.inf, np.zeros(Z.shape[1])
    times = np.zeros(Z.shape[1])
    for step in range(1, GREEDY_STEPS + 1):
        each = (total[:, None] + Z) / step
        losses = np.mean(np.logaddexp(0, each) - y[:, None] * each, axis=0)
        chosen = int(np.argmin(losses))
        total = total + Z[:, chosen]
        times[chosen] += 1
        if losses[chosen] < best_loss:
            best_loss, best = float(losses[chosen]), times / step
    return best


Fitter = Callable[[Array, Int], tuple[Array, float]]
FITTERS: dict[str, Fitter] = {
    "bounded": fit_bounded,
    "nonnegative": fit_nonnegative,
    "greedy": fit_greedy,
}


def fit_stack(Z: Array, y: Int, group: Int, fold: Int, learners: Sequence[str]) -> Stack:
    """The stack on all rows given; of the kind that folds left out speak for. One learner's log-odds stay unbounded.

    Parameters
    ----------
    Z : ndarray of shape (n, n_learners)
        Out-of-fold log-odds.
    y, group, fold : ndarray of shape (n,)
        Label (1 FAKE), group and fold of each row; two folds or more.
    learners
        Names of the columns of ``Z``.
    """
    kinds = list(FITTERS) if Z.shape[1] > 1 else ["nonnegative"]
    losses = {kind: row_losses(y, held_out(kind, Z, y, fold)) for kind in kinds}
    kind = simplest(losses, group, errors=ERRORS)
    weights, intercept = FITTERS[kind](Z, y)
    return Stack(kind, tuple(learners), tuple(float(w) for w in weights), intercept)


def held_out(kind: str, Z: Array, y: Int, fold: Int) -> Array:
    """[n] log-odds of each fold by a stack of one kind that was fitted on the others."""
    z = np.empty(len(y))
    for number in np.unique(fold):
        out = fold == number
        weights, intercept = FITTERS[kind](Z[~out], y[~out])
        z[out] = Stack(kind, (), tuple(weights), intercept)(Z[out])
    return z
