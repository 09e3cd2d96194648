"""A trained ensemble in memory: table in, probabilities and their reasons out.

::

    table ─► learners ─► stack ─► calibration ─► ground ─► prior ─► clip ─► P(FAKE)
             (mean over fold models)

Every step after the learners is a monotone map of one log-odds (:class:`Head`); ground draws rows unlike
the training table towards the prior.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.calibrate import Calibration, clip_logit, logit, shift_prior
from ensemble.learners.additive import carry
from ensemble.learners.base import Learner
from ensemble.shrinkage import Shrinkage
from ensemble.stack import Stack
from ensemble.training_set import Float, Layout, check_layout, layout_of, matrix, measured_rows

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """What turns the learners' log-odds into the final one."""

    stack: Stack
    calibration: Calibration
    train_prior: float
    target_prior: float
    clip: float
    """No probability below this, none above its complement."""

    def calibrated(self, stacked: Array, kept: Array | float = 1.0) -> Array:
        """[n] the stack's log-odds to calibrated ones at the training prior.

        ``kept`` [n] is the part of their distance to the prior's that is kept (:mod:`ensemble.shrinkage`).
        """
        prior = logit(self.train_prior)
        return prior + kept * (self.calibration(stacked) - prior)

    def finish(self, stacked: Array, kept: Array | float = 1.0) -> Array:
        """[n] the stack's log-odds to the final ones: calibrated, at the target prior, clipped."""
        z = shift_prior(self.calibrated(stacked, kept), self.train_prior, self.target_prior)
        return clip_logit(z, self.clip)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "stack": self.stack.as_dict(),
            "calibration": self.calibration.as_dict(),
            "train_prior": self.train_prior,
            "target_prior": self.target_prior,
            "clip": self.clip,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Head:
        """Inverse of :meth:`as_dict`."""
        return cls(
            Stack.from_dict(state["stack"]),
            Calibration.from_dict(state["calibration"]),
            float(state["train_prior"]),
            float(state["target_prior"]),
            float(state["clip"]),
        )


@dataclass(frozen=True)
class Explanation:
    """Why: ``base + sum(contributions) == log_odds`` of every row, to rounding.

    ``base`` [n] is the log-odds of a clip of which nothing is known but that it was measured; ``contributions``
    holds, for each family, [n] log-odds towards FAKE; ``log_odds`` [n] is the logit of the prediction.
    """

    base: Array
    contributions: dict[str, Array]
    log_odds: Array


@dataclass(frozen=True)
class Model:
    """What :func:`ensemble.store.load_model` returns.

    ``fold_models[name]`` are the learners of each kind, one a fold; their mean predicts.
    """

    layout: Layout
    fold_models: dict[str, list[Learner]]
    head: Head
    ground: Shrinkage
    manifest: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        learners = ", ".join(f"{len(models)} {name}" for name, models in self.fold_models.items())
        families = ", ".join(self.layout.family_names)
        return f"<Model: {learners}; {len(self.layout.columns)} columns of {families}>"

    def predict(self, table: pa.Table) -> Array:
        """[n] P(FAKE) at the target prior: finite, clipped, the prior itself where nothing was measured.

        Raises
        ------
        ModelError
            The table's families or columns are not the model's.
        """
        from scipy.special import expit

        return expit(self.log_odds(self.inputs(table)))

    def explain(self, table: pa.Table) -> Explanation:
        """The prediction's log-odds split exactly by cue family; raises as :meth:`predict`."""
        return self.explained(self.inputs(table))

    def explained(self, X: Float) -> Explanation:
        """As :meth:`explain`, of the model's inputs [n, n_columns]."""
        families = self.layout.family_names
        base = np.full(len(X), logit(self.head.target_prior))
        parts = np.zeros((len(X), len(families)))
        measured = measured_rows(X, self.layout)
        if measured.any():
            kept = self.ground.kept(X[measured])
            base[measured], parts[measured] = carry(
                self.stacked_parts(X[measured]), lambda z: self.head.finish(z, kept)
            )
        contributions = {name: parts[:, number] for number, name in enumerate(families)}
        return Explanation(base, contributions, self.log_odds(X))

    def stacked_parts(self, X: Float) -> Array:
        """[n, n_families + 1] parts of the stack's log-odds, the constant last."""
        stack = self.head.stack
        total = np.zeros((len(X), len(self.layout.family_names) + 1))
        for name, weight in zip(stack.learners, stack.weights, strict=True):
            if weight:
                parts = np.mean([one.family_logits(X) for one in self.fold_models[name]], axis=0)
                constant, contributions = carry(parts, stack.inputs)
                total += weight * np.column_stack([contributions, constant])
        total[:, -1] += stack.intercept
        return total

    def inputs(self, table: pa.Table) -> Float:
        """The model's columns of a table, after checking that they are what the model was trained on."""
        check_layout(layout_of(table), self.layout)
        return matrix(table, self.layout.columns)

    def learner_logits(self, X: Float) -> Array:
        """[n, n_learners] mean over the fold models, in the stack's order."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            means = [
                np.mean([one.predict_logit(X) for one in self.fold_models[name]], axis=0)
                for name in self.head.stack.learners
            ]
        return np.stack(means, axis=1)

    def log_odds(self, X: Float) -> Array:
        """[n] final log-odds."""
        result = np.full(len(X), logit(self.head.target_prior))
        measured = measured_rows(X, self.layout)
        if measured.any():
            rows = X[measured]
            result[measured] = self.head.finish(self.head.stack(self.learner_logits(rows)), self.ground.kept(rows))
        return result
