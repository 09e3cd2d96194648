"""Kernel logistic regression: smooth, non-linear in all cues at once, unlike trees of a few leaves.

A Gaussian kernel on rank-Gaussian cues and missing indicators; at most :data:`MAX_CENTRES` rows are its
centres (Nyström's method; Williams & Seeger 2001), all of them when there are no more. Width and penalty are chosen
inside the fit by log loss on left-out parts of the groups.

The kernel is a product over families, so that the Shapley value of a family is an integral of a polynomial
(:func:`product_shapley`), exact by Gauss-Legendre quadrature.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.learners.additive import MAX_LOGIT, clipped
from ensemble.learners.base import LearnerSettings, bag_splits, check_fitted
from ensemble.learners.penalty_path import PenaltyPath, fit_path, losses_left_out
from ensemble.learners.preprocess import Inputs
from ensemble.training_set import Layout

MAX_CENTRES = 600
WIDTHS = (0.3, 1.0)  # exponent at the median squared distance between rows
PENALTIES = (0.03, 0.01, 0.003, 0.001, 0.0003)  # per row, strongest first
MAX_RANK = 200  # directions of the centres that are kept: the penalty leaves little of those after them
EIGEN_FLOOR = 1e-6  # share of the largest eigenvalue below which a direction is rounding
BLOCK_ROWS = 256  # explained at a time: memory


class KernelMachine:
    """One kernel logistic regression."""

    name = "kernel"

    def __init__(self, layout: Layout, settings: LearnerSettings) -> None:
        self.layout = layout
        self.settings = settings
        self.inputs: Inputs | None = None  # before fit or load
        self.centres: Float = np.empty((0, 0), dtype=np.float32)
        self.weights: Array = np.empty(0)
        self.gamma = 1.0
        self.intercept = 0.0

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Choose width and penalty by groups left out, then fit all rows with them.

        Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        self.inputs = Inputs.fit(X, self.layout.family_index)
        Z = self.inputs.transform(X)
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(len(Z))[:MAX_CENTRES])
        self.centres = Z[chosen]
        squared = _squared_distances(Z, self.centres)
        typical = float(np.median(squared[squared > 0])) if np.any(squared > 0) else 1.0
        splits = list(bag_splits(y, groups, self.settings.n_bags, seed))
        best_loss = np.inf
        for width in WIDTHS:
            kernel = np.exp(-width / typical * squared)
            whiten = _whitening(kernel[chosen])
            basis = kernel @ whiten
            losses = losses_left_out(lambda Z, y: _path(Z, y, PENALTIES), basis, y, splits)
            number = int(np.argmin(losses))
            if losses[number] < best_loss:
                best_loss, self.gamma = losses[number], width / typical
                coefficients, self.intercept = _path(basis, y, PENALTIES[: number + 1])[-1]
                self.weights = whiten @ coefficients
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE."""
        squared = _squared_distances(self._fitted().transform(X), self.centres)
        raw = np.exp(-self.gamma * squared) @ self.weights + self.intercept
        return np.clip(raw, -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] Shapley values against the centres as background; the constant last."""
        inputs = self._fitted()
        family = self.layout.family_index[inputs.columns]
        n_families = len(self.layout.family_names)
        Z = inputs.transform(X)
        parts = np.zeros((len(X), n_families + 1))
        background = self._factors(self.centres, family, n_families).mean(axis=1, keepdims=True)
        for start in range(0, len(X), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            values = product_shapley(self._factors(Z[rows], family, n_families), background)
            parts[rows, :-1] = (values @ self.weights).T
        parts[:, -1] = self.intercept + float(np.prod(background, axis=0)[0] @ self.weights)
        return clipped(parts)

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.json`` and the arrays to ``<stem>.safetensors``."""
        from safetensors.numpy import save

        state = {"inputs": self._fitted().as_dict(), "gamma": self.gamma, "intercept": self.intercept}
        names = [f"{stem}.json", f"{stem}.safetensors"]
        (folder / names[0]).write_text(json.dumps(state), encoding="utf-8")
        arrays: dict[str, Any] = {"centres": np.ascontiguousarray(self.centres), "weights": self.weights}
        (folder / names[1]).write_bytes(save(arrays))
        return names

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        state = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / f"{stem}.safetensors")
        result = cls(layout, LearnerSettings())
        result.inputs = Inputs.from_dict(state["inputs"])
        result.gamma, result.intercept = float(state["gamma"]), float(state["intercept"])
        result.centres, result.weights = arrays["centres"], arrays["weights"]
        return result

    def _fitted(self) -> Inputs:
        check_fitted(self.inputs is not None, self)
        assert self.inputs is not None
        return self.inputs

    def _factors(self, Z: Float, family: Int, n_families: int) -> Array:
        """[n_families, n, n_centres] the kernel's factor of each family."""
        return np.stack(
            [
                np.exp(-self.gamma * _squared_distances(Z[:, family == number], self.centres[:, family == number]))
                for number in range(n_families)
            ]
        )


def product_shapley(present: Array, absent: Array) -> Array:
    """Exact Shapley values of games whose value is a product of one factor per player.

    The value of a coalition is the product of ``present`` over its members and of ``absent`` over the rest.
    The Shapley weights are Beta integrals, so that the Shapley value of player f is ``(present_f - absent_f)`` times
    the integral over t in [0, 1] of the product over the others of ``(1 - t) absent + t present``.

    Parameters
    ----------
    present, absent : ndarray of shape (n_players, ...)
        Positive; of shapes that broadcast.

    Returns
    -------
    ndarray of shape (n_players, ...)
        Adds up, over players, to the value of all less the value of none.
    """
    n_players = len(present)
    points, weights = np.polynomial.legendre.leggauss((n_players + 1) // 2)  # exact to degree n_players - 1
    total = np.zeros(np.broadcast_shapes(present.shape, absent.shape))
    for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
        mixed = (1 - t) * absent + t * present
        total += weight * np.prod(mixed, axis=0) / mixed
    return (present - absent) * total


def _squared_distances(A: Float, B: Float) -> Array:
    """[n, m] in float64; 0 for rows without inputs, as those of a family whose columns never vary; n may be 0."""
    from sklearn.metrics.pairwise import euclidean_distances

    if not A.size:
        return np.zeros((len(A), len(B)))
    return euclidean_distances(A.astype(np.float64), B.astype(np.float64), squared=True)


def _whitening(kernel: Array) -> Array:
    """[m, r] W such that ``kernel @ W`` has the kernel as its inner products.

    scikit-learn's ``Nystroem`` keeps all m directions, those of rounding included, and chooses its centres itself;
    here the leading :data:`MAX_RANK` stay, which bounds the cost of the fits that follow.
    """
    from scipy.linalg import eigh

    values, vectors = eigh(kernel, subset_by_index=(max(len(kernel) - MAX_RANK, 0), len(kernel) - 1))
    above = values > EIGEN_FLOOR * values[-1]
    return vectors[:, above] / np.sqrt(values[above])


def _path(basis: Array, y: Int, penalties: tuple[float, ...]) -> PenaltyPath:
    """A ridge regression on the basis [n, r] at each penalty."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="newton-cholesky", warm_start=True, max_iter=100)
    return fit_path(model, basis, y, penalties)
