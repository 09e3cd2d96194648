"""Elastic-net logistic regression (Zou & Hastie 2005) on rank-Gaussian cues with missing indicators.

The strength of the penalty is chosen inside the fit by log loss on left-out parts of the groups.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.learners.additive import MAX_LOGIT, by_family, clipped
from ensemble.learners.base import LearnerSettings, bag_splits, check_fitted
from ensemble.learners.penalty_path import PenaltyPath, fit_path, losses_left_out
from ensemble.learners.preprocess import Inputs
from ensemble.training_set import Layout

PENALTIES = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015)  # per row, strongest first; at 1 every coefficient is 0
LARGE_ROWS = 20_000
PENALTIES_LARGE = (0.03, 0.003, 0.0003)
MAX_PASSES = 60  # over the data; a fit that has not converged by then is stopped early on purpose
MAX_PASSES_LARGE = 15
TOLERANCE = 2e-3


class Logistic:
    """One penalised linear model of the log-odds."""

    name = "logistic"

    def __init__(self, layout: Layout, settings: LearnerSettings) -> None:
        self.layout = layout
        self.settings = settings
        self.inputs: Inputs | None = None  # before fit or load
        self.coefficients: Array = np.empty(0)
        self.intercept = 0.0

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Choose the penalty by groups left out, then fit all rows with it.

        Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        self.inputs = Inputs.fit(X, self.layout.family_index)
        Z = self.inputs.transform(X)
        penalties = PENALTIES_LARGE if len(y) > LARGE_ROWS else PENALTIES
        splits = bag_splits(y, groups, self.settings.n_bags, seed)
        losses = losses_left_out(lambda Z, y: self._path(Z, y, penalties, seed), Z, y, splits)
        down_to_best = penalties[: int(np.argmin(losses)) + 1]
        self.coefficients, self.intercept = self._path(Z, y, down_to_best, seed)[-1]
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE."""
        raw = self._fitted().transform(X).astype(np.float64) @ self.coefficients + self.intercept
        return np.clip(raw, -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] sums of the terms of each family; the intercept last."""
        inputs = self._fitted()
        terms = inputs.transform(X) * self.coefficients
        columns = np.zeros((len(X), len(self.layout.columns) + 1))
        for number, column in enumerate(inputs.columns):
            columns[:, column] += terms[:, number]
        columns[:, -1] = self.intercept
        return clipped(by_family(columns, self.layout))

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.json``."""
        state = {
            "inputs": self._fitted().as_dict(),
            "coefficients": self.coefficients.tolist(),
            "intercept": self.intercept,
        }
        name = f"{stem}.json"
        (folder / name).write_text(json.dumps(state), encoding="utf-8")
        return [name]

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read ``<stem>.json``."""
        state = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        result = cls(layout, LearnerSettings())
        result.inputs = Inputs.from_dict(state["inputs"])
        result.coefficients = np.array(state["coefficients"], dtype=np.float64)
        result.intercept = float(state["intercept"])
        return result

    def _fitted(self) -> Inputs:
        check_fitted(self.inputs is not None, self)
        assert self.inputs is not None
        return self.inputs

    def _path(self, Z: Float, y: Int, penalties: tuple[float, ...], seed: int) -> PenaltyPath:
        """The elastic net at each penalty.

        Without an input (a handful of rows is too few to rank any column) the intercept is that of the prior.
        """
        from sklearn.linear_model import LogisticRegression

        if not Z.shape[1]:
            return [(np.empty(0), float(np.log(y.mean() / (1 - y.mean()))))] * len(penalties)
        model = LogisticRegression(
            solver="saga",
            l1_ratio=self.settings.l1_ratio,
            warm_start=True,
            max_iter=MAX_PASSES_LARGE if len(y) > LARGE_ROWS else MAX_PASSES,
            tol=TOLERANCE,
            random_state=seed,
        )
        return fit_path(model, Z, y, penalties, stops_early=True)
