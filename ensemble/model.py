"""A trained ensemble in memory: table in, probabilities and their reasons out.

::

    table ─► learners ─► stack ─► calibration ─► OOD shrinkage ─► prior ─► clip ─► P(FAKE)
             (mean over fold models)

Every step after the learners is a monotone map of a single log-odds (:class:`EnsembleHead`). OOD shrinkage moves rows
unlike the training table towards the prior (:mod:`ensemble.shrinkage`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ensemble.arrays import Array, Bool, Float
from ensemble.calibrate import Calibration, clip_logit, logit, shift_prior
from ensemble.compatibility import check_layout
from ensemble.learners.additive import map_parts
from ensemble.learners.base import Learner
from ensemble.learners.registry import columns_read
from ensemble.shrinkage import Shrinkage
from ensemble.stack import Stack, weighed
from ensemble.training_set import Layout, layout_of, matrix, measured_rows
from features.table import check_table
from features.threads import algebra_on_one_thread


@dataclass(frozen=True)
class EnsembleHead:
    """The steps from the learners' log-odds to the final one."""

    stack: Stack
    calibration: Calibration
    train_prior: float
    target_prior: float
    clip: float
    """Lower bound of probabilities where a cue that is read was measured; the upper bound is its complement."""

    def calibrated(self, stacked: Array, factor: Array | float = 1.0) -> Array:
        """Calibrate the stack's log-odds [n] at the training prior.

        ``factor`` [n] is the shrinkage factor: the distance to the prior's log-odds is multiplied by it.
        """
        prior = logit(self.train_prior)
        return prior + factor * (self.calibration(stacked) - prior)

    def finish(self, stacked: Array, factor: Array | float = 1.0) -> Array:
        """Return the final log-odds [n] of the stack's: calibrated, shrunk, at the target prior, clipped."""
        return clip_logit(self.unclipped(stacked, factor), self.clip)

    def unclipped(self, stacked: Array, factor: Array | float = 1.0) -> Array:
        """As :meth:`finish`, before the clip."""
        return shift_prior(self.calibrated(stacked, factor), self.train_prior, self.target_prior)

    def columns_read(self, columns: Sequence[str]) -> set[str]:
        """Return the columns, of those of a table, that learners with a weight in the stack read."""
        learners = weighed(self.stack.learners, self.stack.weights) or self.stack.learners
        return columns_read(columns, learners)

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
    def from_dict(cls, state: dict[str, Any]) -> EnsembleHead:
        """Inverse of :meth:`as_dict`."""
        return cls(
            Stack.from_dict(state["stack"]),
            Calibration.from_dict(state["calibration"]),
            float(state["train_prior"]),
            float(state["target_prior"]),
            float(state["clip"]),
        )


@dataclass(frozen=True, eq=False)
class Explanation:
    """The parts of each prediction: ``base + sum(contributions) + limit == log_odds`` in every row.

    ``base`` [n] is the base value, the log-odds before any cue has contributed; ``contributions`` holds, for each
    family, [n] log-odds towards FAKE; ``log_odds`` [n] is the logit of the prediction, equal to that of
    :meth:`Model.predict` to rounding. ``limit`` [n] is what the head's clip takes away, 0 within it.
    """

    base: Array
    contributions: dict[str, Array]
    log_odds: Array
    limit: Array


@dataclass(frozen=True, eq=False)
class Model:
    """A trained ensemble, as returned by ``deepcue.train`` and ``deepcue.load_model`` and kept in a model folder.

    ``predict(table)`` gives P(FAKE) [n] of a feature table's rows, ``explain(table)`` their log-odds by cue family.

    Attributes
    ----------
    layout
        The feature columns that it reads, and the families with their versions.
    fold_models
        Learner to its models, one for each fold; the mean of their log-odds predicts.
    head, shrinkage
        The steps from the learners' log-odds to the final one.
    manifest
        What the model was trained on, and its scores, as in ``manifest.json``.
    """

    layout: Layout
    fold_models: dict[str, list[Learner]]
    head: EnsembleHead
    shrinkage: Shrinkage
    manifest: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        learners = ", ".join(f"{len(models)} {name}" for name, models in self.fold_models.items())
        families = ", ".join(self.layout.family_names)
        return f"<Model: {learners}; {len(self.layout.columns)} columns of {families}>"

    @property
    def trained_columns(self) -> set[str]:
        """The columns that are defined in at least one training row."""
        return {name for name, share in zip(self.layout.columns, self.shrinkage.present, strict=True) if share > 0}

    @property
    def untrained_columns(self) -> set[str]:
        """The columns that a learner would read, but that no training row had."""
        return self.head.columns_read(self.layout.columns) - self.trained_columns

    @property
    def columns_read(self) -> set[str]:
        """The columns that count as evidence: read by a learner that has a weight in the stack, and trained on.

        No learner knows a value of a column that no training row had; its presence alone must not move a prediction.
        """
        return self.head.columns_read(self.layout.columns) & self.trained_columns

    def measured(self, X: Float) -> Bool:
        """[n] True where a cue of :attr:`columns_read` is defined; elsewhere the prediction is the target prior."""
        return measured_rows(X, self.layout, self.columns_read)

    def predict(self, table: pa.Table) -> Array:
        """Return P(FAKE) at the target prior of each row of a feature table.

        Parameters
        ----------
        table
            The result of :func:`features.table.read_table`; labels are ignored.

        Returns
        -------
        ndarray of shape (n,)
            Finite and within the head's clip; the target prior, unclipped, where no cue of :attr:`columns_read` was
            measured.

        Raises
        ------
        ModelError
            The table's families or columns differ from the model's.
        TableError
            ``table`` is not a feature table, such as a path, or has lost its description.
        """
        from scipy.special import expit

        return expit(self.log_odds(self.inputs(table)))

    def explain(self, table: pa.Table) -> Explanation:
        """Split the log-odds of each prediction exactly by cue family; raises as :meth:`predict`."""
        return self.explain_inputs(self.inputs(table))

    def explain_inputs(self, X: Float) -> Explanation:
        """As :meth:`explain`, for the model's inputs ``X`` [n, n_columns]."""
        families = self.layout.family_names
        base = np.full(len(X), logit(self.head.target_prior))
        parts, limit = np.zeros((len(X), len(families))), np.zeros(len(X))
        measured = self.measured(X)
        if measured.any():
            factor = self.shrinkage.factor(X[measured])
            base[measured], parts[measured] = map_parts(
                self.stacked_parts(X[measured]), lambda z: self.head.unclipped(z, factor)
            )
            z = base[measured] + parts[measured].sum(axis=1)
            limit[measured] = clip_logit(z, self.head.clip) - z
        contributions = {name: parts[:, number] for number, name in enumerate(families)}
        return Explanation(base, contributions, base + parts.sum(axis=1) + limit, limit)

    def stacked_parts(self, X: Float) -> Array:
        """[n, n_families + 1] parts of the stack's log-odds, the constant last."""
        stack = self.head.stack
        total = np.zeros((len(X), len(self.layout.family_names) + 1))
        for name, weight in zip(stack.learners, stack.weights, strict=True):
            if weight:
                parts = np.mean([learner.family_logits(X) for learner in self.fold_models[name]], axis=0)
                constant, contributions = map_parts(parts, stack.inputs)
                total += weight * np.column_stack([contributions, constant])
        total[:, -1] += stack.intercept
        return total

    def inputs(self, table: pa.Table) -> Float:
        """Return the model's columns of a table, [n, n_columns]; raises as :meth:`predict` where they are missing."""
        check_table(table, "the table")
        check_layout(layout_of(table), self.layout)
        return matrix(table, self.layout.columns)

    def learner_logits(self, X: Float) -> Array:
        """[n, n_learners] mean over the fold models, in the stack's order."""
        with algebra_on_one_thread():
            means = [
                np.mean([learner.predict_logit(X) for learner in self.fold_models[name]], axis=0)
                for name in self.head.stack.learners
            ]
        return np.stack(means, axis=1)

    def log_odds(self, X: Float) -> Array:
        """[n] final log-odds of inputs ``X`` [n, n_columns]."""
        result = np.full(len(X), logit(self.head.target_prior))
        measured = self.measured(X)
        if measured.any():
            rows = X[measured]
            stacked = self.head.stack(self.learner_logits(rows))
            result[measured] = self.head.finish(stacked, self.shrinkage.factor(rows))
        return result
