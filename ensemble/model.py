"""A trained ensemble in memory: table in, probabilities and their reasons out.

::

    table ─► learners ─► stack ─► calibration ─► prior ─► clip ─► P(FAKE)
             (mean over fold models)

Every step after the learners is a monotone map of one log-odds (:class:`Head`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.calibrate import Calibration, clip_logit, logit, shift_prior
from ensemble.learners import Learner
from ensemble.matrix import Float, Layout, check_layout, layout_of, matrix, measured_rows
from ensemble.stack import Stack

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

    def calibrated(self, stacked: Array) -> Array:
        """[n] the stack's log-odds to calibrated ones at the training prior."""
        return self.calibration(stacked)

    def finish(self, stacked: Array) -> Array:
        """[n] the stack's log-odds to the final ones: calibrated, at the target prior, clipped."""
        return clip_logit(shift_prior(self.calibrated(stacked), self.train_prior, self.target_prior), self.clip)

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
    manifest: dict[str, Any] = field(default_factory=dict)

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
        from ensemble.explain import explain

        return explain(self, self.inputs(table))

    def inputs(self, table: pa.Table) -> Float:
        """The model's columns of a table, after checking that they are what the model was trained on."""
        check_layout(layout_of(table), self.layout)
        return matrix(table, self.layout.columns)

    def learner_logits(self, X: Float) -> Array:
        """[n, n_learners] mean over the fold models, in the stack's order."""
        return np.stack(
            [
                np.mean([one.predict_logit(X) for one in self.fold_models[name]], axis=0)
                for name in self.head.stack.learners
            ],
            axis=1,
        )

    def log_odds(self, X: Float) -> Array:
        """[n] final log-odds."""
        result = np.full(len(X), logit(self.head.target_prior))
        measured = measured_rows(X, self.layout)
        if measured.any():
            result[measured] = self.head.finish(self.head.stack(self.learner_logits(X[measured])))
        return result
