"""Calibrate the stack's log-odds by the simplest monotone map that the data supports.

The candidates, from simple to flexible: identity, temperature, Platt (Platt 1999), beta (Kull et al. 2017), isotonic
(Zadrozny & Elkan 2002), Venn-Abers (Vovk & Petej 2014). Among those that have enough groups
(:data:`GROUPS_NEEDED`), the simplest is chosen whose log loss out of fold is within one standard error, over groups, of
the lowest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble.arrays import Array, Int
from ensemble.metrics import logit_losses
from ensemble.selection import out_of_fold, simplest

GROUPS_NEEDED = {"temperature": 20, "platt": 40, "beta": 60, "isotonic": 500, "venn_abers": 500}
"""Twenty groups for each parameter; free-form maps overfit below some hundreds (Niculescu-Mizil & Caruana 2005)."""
KINDS = ("identity", "temperature", "platt", "beta", "isotonic", "venn_abers")
CLIP_GRID = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
MAX_LOGIT = 30.0  # bound of a log-odds inside the fits: expit is exactly 0 or 1 further out
VENN_POINTS = 200  # scores at which Venn-Abers is evaluated; in between it is interpolated


@dataclass(frozen=True)
class Calibration:
    """A monotone map of log-odds.

    ``parameters`` holds ``a, b`` (linear kinds: ``a z + b``), ``a, b, c`` (beta: ``a ln p - b ln(1-p) + c``)
    or ``x, y`` (isotonic and Venn-Abers: points of a piecewise linear map, constant outside).
    """

    kind: str
    parameters: dict[str, Any]

    def __call__(self, z: Array) -> Array:
        """[n] log-odds to calibrated log-odds."""
        p = self.parameters
        if self.kind == "beta":
            return -p["a"] * np.logaddexp(0, -z) + p["b"] * np.logaddexp(0, z) + p["c"]
        if "x" in p:
            return np.interp(z, p["x"], p["y"])
        return p["a"] * z + p["b"]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "parameters": self.parameters}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Calibration:
        """Inverse of :meth:`as_dict`."""
        return cls(state["kind"], state["parameters"])


def fit_kind(kind: str, z: Array, y: Int) -> Calibration:
    """Fit one of :data:`KINDS` on all given rows, which must include both classes.

    Parameters
    ----------
    z, y : ndarray of shape (n,)
        Log-odds of rows that their model was not fitted on; label (1 FAKE).
    """
    return _FITTERS[kind](z, y)


def fit_calibration(z: Array, y: Int, group: Int, fold: Int) -> Calibration:
    """Fit the simplest kind whose log loss out of fold is within one standard error of the best.

    Parameters
    ----------
    z : ndarray of shape (n,)
        Log-odds by stacks that were not fitted on the row.
    y, group, fold : ndarray of shape (n,)
        Label (1 FAKE), group and fold of each row.
    """
    n_groups = len(np.unique(group))
    kinds = [kind for kind in KINDS if n_groups >= GROUPS_NEEDED.get(kind, 0)]
    losses = {kind: logit_losses(y, out_of_fold(_FITTERS[kind], z, y, fold)) for kind in kinds}
    return fit_kind(simplest(losses, group), z, y)


def shift_prior(z: Array, train_prior: float, target_prior: float) -> Array:
    """Return log-odds at another fraction of FAKE; the distribution of each class stays (Saerens et al. 2002).

    Parameters
    ----------
    z : ndarray of shape (n,)
        Log-odds at ``train_prior``.
    train_prior, target_prior
        Fractions of FAKE, between 0 and 1.

    Examples
    --------
    >>> shift_prior(np.array([0.0, 1.0]), 0.8, 0.8).tolist()
    [0.0, 1.0]
    """
    return z + logit(target_prior) - logit(train_prior)


def clip_bound(z: Array, y: Int, weights: Array, n_groups: int) -> float:
    """Choose the lower bound of predicted probabilities (the upper one is its complement) by expected log loss.

    An event that occurred in none of G groups gets the probability (0 + 1/2) / (G + 1), the estimate with the least
    regret in log loss (Krichevsky & Trofimov 1981). Above that floor, the bound with the lowest log loss on the given
    rows is taken.

    Parameters
    ----------
    z : ndarray of shape (n,)
        Held-out log-odds at the target prior.
    weights : ndarray of shape (n,)
        Weights under which the classes have the target prior.
    n_groups
        Number of independent groups among the rows.
    """
    floor = min(0.5 / (n_groups + 1), CLIP_GRID[-1])
    bounds = [floor, *(bound for bound in CLIP_GRID if bound > floor)]
    losses = [np.average(logit_losses(y, clip_logit(z, bound)), weights=weights) for bound in bounds]
    return float(bounds[int(np.argmin(losses))])


def clip_logit(z: Array, bound: float) -> Array:
    """Clip log-odds so that the probability is within [bound, 1 - bound]."""
    return np.clip(z, logit(bound), -logit(bound))


def logit(p: float) -> float:
    """Log-odds of a probability strictly between 0 and 1."""
    return float(np.log(p) - np.log1p(-p))


def prior_logit(y: Int) -> float:
    """Log-odds of the fraction of FAKE among labels [n] (1 FAKE), finite even where all are alike."""
    return logit((y.sum() + 0.5) / (len(y) + 1))


def _identity(z: Array, y: Int) -> Calibration:
    return Calibration("identity", {"a": 1.0, "b": 0.0})


def _temperature(z: Array, y: Int) -> Calibration:
    """Scale about the log-odds of the prior, which stays fixed."""
    centre = prior_logit(y)
    (a,) = _fit_linear([z - centre], y, [1.0], [(0, None)], offset=centre)
    return Calibration("temperature", {"a": float(a), "b": float((1 - a) * centre)})


def _platt(z: Array, y: Int) -> Calibration:
    a, b = _fit_linear([z, np.ones(len(z))], y, [1.0, 0.0], [(0, None), (None, None)])
    return Calibration("platt", {"a": float(a), "b": float(b)})


def _beta(z: Array, y: Int) -> Calibration:
    terms = [-np.logaddexp(0, -z), np.logaddexp(0, z), np.ones(len(z))]
    a, b, c = _fit_linear(terms, y, [1.0, 1.0, 0.0], [(0, None), (0, None), (None, None)])
    return Calibration("beta", {"a": float(a), "b": float(b), "c": float(c)})


def _isotonic(z: Array, y: Int) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    edge = 1 / (len(y) + 2)
    model = IsotonicRegression(y_min=edge, y_max=1 - edge).fit(z, y)
    return Calibration("isotonic", _points(model.X_thresholds_, model.y_thresholds_))


def _venn_abers(z: Array, y: Int) -> Calibration:
    """Inductive Venn-Abers: isotonic with the new clip as REAL and as FAKE, merged to ``p1 / (1 - p0 + p1)``."""
    from sklearn.isotonic import isotonic_regression

    x, position = np.unique(z, return_inverse=True)
    count = np.bincount(position).astype(np.float64)
    fakes = np.bincount(position, y).astype(np.float64)
    at = np.unique(np.quantile(z, np.linspace(0, 1, min(VENN_POINTS, len(x))), method="nearest"))
    x, count, fakes = _binned(x, count, fakes, at)
    p = np.empty(len(at))
    for number, point in enumerate(at):
        here = int(np.searchsorted(x, point))
        both = []
        for label in (0.0, 1.0):
            n, k = count.copy(), fakes.copy()
            n[here] += 1
            k[here] += label
            both.append(isotonic_regression(k / n, sample_weight=n)[here])
        p[number] = both[1] / (1 - both[0] + both[1])
    return Calibration("venn_abers", _points(at, np.maximum.accumulate(p)))


_FITTERS: dict[str, Callable[[Array, Int], Calibration]] = {
    "identity": _identity,
    "temperature": _temperature,
    "platt": _platt,
    "beta": _beta,
    "isotonic": _isotonic,
    "venn_abers": _venn_abers,
}


def _binned(x: Array, count: Array, fakes: Array, at: Array) -> tuple[Array, Array, Array]:
    """Counts moved to the nearest point at or below of ``at``."""
    bins = np.maximum(np.searchsorted(at, x, side="right") - 1, 0)
    return at, np.bincount(bins, count, len(at)).astype(float), np.bincount(bins, fakes, len(at)).astype(float)


def _points(x: Array, p: Array) -> dict[str, list[float]]:
    y = np.log(p) - np.log1p(-p)
    return {"x": np.asarray(x, dtype=np.float64).tolist(), "y": np.asarray(y, dtype=np.float64).tolist()}


def _fit_linear(
    terms: list[Array],
    y: Int,
    start: list[float],
    bounds: list[tuple[float | None, float | None]],
    *,
    offset: float = 0.0,
) -> Array:
    """Weights of the terms, [n] each, whose weighted sum and ``offset`` are the log-odds.

    By log loss with Platt's smoothed targets for ``y`` [n].
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    n_fake, n_real = int(y.sum()), int(len(y) - y.sum())
    target = np.where(y == 1, (n_fake + 1) / (n_fake + 2), 1 / (n_real + 2))  # Platt 1999, section 2.2

    def objective(theta: Array) -> tuple[float, Array]:
        log_odds = sum(weight * term for weight, term in zip(theta, terms, strict=True)) + offset
        z = np.clip(log_odds, -MAX_LOGIT, MAX_LOGIT)
        residual = (expit(z) - target) / len(y)
        return float(np.mean(logit_losses(target, z))), np.array([term @ residual for term in terms])

    return minimize(objective, np.array(start), jac=True, method="L-BFGS-B", bounds=bounds).x
