"""Honest scores: what the learners, the stack and a constant are worth on rows that nothing was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble import shrinkage as grounds
from ensemble.calibrate import clip_bound, clip_logit, fit_calibration, logit, shift_prior
from ensemble.cross_fit import Fitted, leave_sources_out, source_parts
from ensemble.learners.base import Settings
from ensemble.metrics import Score, all_scores, prior_weights
from ensemble.model import Head
from ensemble.shrinkage import LeftOut, Shrinkage
from ensemble.stack import fit_stack, held_out
from ensemble.training_set import Int, TrainingSet, rows_of_groups

Array = NDArray[np.float64]
STACK, CONSTANT = "stack", "constant"
LEARNER_CLIP = 1e-6  # a single learner is judged as it is, short of infinity
MAX_SOURCE_ROWS = 20_000  # of a large table, by whole groups: two numbers are learnt from them


@dataclass(frozen=True)
class Evaluation:
    """Out-of-fold log-odds of every labelled row: of the learners, and of the stack judged by nesting.

    ``train`` is at the training prior, ``target`` at the target prior; both hold ``stack`` and ``constant``.
    """

    train: dict[str, Array]
    target: dict[str, Array]
    scores: dict[str, dict[str, Score]]
    left_out: dict[str, Any] = field(default_factory=dict)
    """Log loss on sources left out, without and with drawing towards the prior; empty without sources."""

    def __repr__(self) -> str:
        losses = (f"{name} {scores['log_loss'].value:.3f}" for name, scores in self.scores.items())
        return f"<Evaluation: log loss out of fold {', '.join(losses)}>"


def fit_head(Z: Array, y: Int, group: Int, fold: Int, *, learners: Sequence[str], target_prior: float | None) -> Head:
    """Stack, calibration and clip from out-of-fold log-odds.

    Parameters
    ----------
    Z : ndarray of shape (n, n_learners)
        Each row by models that never saw its fold.
    y, group, fold : ndarray of shape (n,)
        Label (1 FAKE), group, fold; two folds or more, both classes.
    target_prior
        None keeps the training prior.
    """
    train_prior = float(y.mean())
    prior = train_prior if target_prior is None else target_prior
    stack = fit_stack(Z, y, group, fold, learners)
    z = held_out(stack.kind, Z, y, fold)
    calibration = fit_calibration(z, y, group, fold)
    at_target = shift_prior(calibration(z), train_prior, prior)
    bound = clip_bound(at_target, y, prior_weights(y, prior), len(np.unique(group)))
    return Head(stack, calibration, train_prior, prior, bound)


def evaluate(
    data: TrainingSet, fold: Int, fitted: Fitted, left_out: LeftOut | None, target_prior: float | None, seed: int
) -> Evaluation:
    """Judge each learner, the stack and the constant.

    Parameters
    ----------
    data
        The rows that ``fitted`` is of.
    left_out
        Of :func:`sources_left_out` with ``rows``; strengths for fold i are chosen on the rows of other folds.
    """
    names = list(fitted.outer)
    n = len(data)
    train = {name: np.empty(n) for name in (*names, STACK, CONSTANT)}
    target = {name: np.empty(n) for name in train}
    for number in range(int(fold.max()) + 1):
        out, rest = fold == number, (fold != number) & data.measured
        Z = np.stack([fitted.inner[name][number][rest] for name in names], axis=1)
        head = fit_head(Z, data.y[rest], data.group[rest], fold[rest], learners=names, target_prior=target_prior)
        ground = ground_without(data, rest, left_out)
        known = {name: fitted.outer[name] for name in names}
        stacked = head.stack(np.stack([fitted.outer[name] for name in names], axis=1))
        known[STACK] = head.calibrated(stacked, ground.kept(data.X))
        known[CONSTANT] = np.full(n, logit(data.y.mean()))
        for name, z in known.items():
            bound = head.clip if name == STACK else LEARNER_CLIP
            filled = np.where(data.measured, z, logit(head.train_prior))[out]
            train[name][out] = clip_logit(filled, bound)
            target[name][out] = clip_logit(shift_prior(filled, head.train_prior, head.target_prior), bound)
    prior = float(data.y.mean()) if target_prior is None else target_prior
    train[CONSTANT], target[CONSTANT] = np.full(n, logit(data.y.mean())), np.full(n, logit(prior))
    scores = {
        name: all_scores(data.y, _expit(train[name]), _expit(target[name]), prior, data.group, seed=seed)
        for name in train
    }
    return Evaluation(train, target, scores, {} if left_out is None else left_out_summary(left_out))


def sources_left_out(
    data: TrainingSet, settings: dict[str, Settings], *, target_prior: float | None, seed: int, jobs: int = 1
) -> LeftOut | None:
    """What models that never saw a row's source say of it, stacked and calibrated on the other parts.

    None where there are too few sources, or parts without both classes.
    """
    chosen = rows_of_groups(data, MAX_SOURCE_ROWS, seed)
    part = np.where(chosen, source_parts(data, seed=seed), -1)
    if part.max() < 2 or any(len(np.unique(data.y[part == one])) < 2 for one in range(int(part.max()) + 1)):
        return None
    Z = np.full((len(data), len(settings)), np.nan)
    distances = np.full((len(data), 2), np.nan)
    for name, seen, rows, z in leave_sources_out(data, part, settings, seed=seed, jobs=jobs):
        Z[rows, list(settings).index(name)] = z
        if name == next(iter(settings)):
            distances[rows] = Shrinkage.of(data.X[seen]).distances(data.X[rows])
    rows = np.flatnonzero(np.isfinite(Z).all(axis=1))
    part = part[rows]
    if len(np.unique(part)) < 3:
        return None
    y, prior = data.y[rows], float(data.y[rows].mean())
    calibrated = np.empty(len(rows))
    for number in np.unique(part):
        out = part == number
        head = fit_head(
            Z[rows][~out], y[~out], data.group[rows][~out], part[~out], learners=list(settings), target_prior=None
        )
        calibrated[out] = head.calibrated(head.stack(Z[rows][out])) - logit(head.train_prior)
    wanted = prior if target_prior is None else target_prior
    return LeftOut(rows, calibrated, logit(wanted), y, distances[rows], part, prior_weights(y, wanted))


def ground_without(data: TrainingSet, rest: NDArray[np.bool_], left_out: LeftOut | None) -> Shrinkage:
    """The ground of the rows ``rest``, with strengths chosen on those of them that are in ``left_out``."""
    ground = Shrinkage.of(data.X[rest & data.measured])
    if left_out is None:
        return ground
    return ground.with_strengths(*grounds.choose(left_out.subset(rest[left_out.rows])))


def left_out_summary(left_out: LeftOut) -> dict[str, Any]:
    """Log loss at the target prior on sources left out: as it is, and drawn towards the prior by nested strengths."""
    weight = left_out.weights.mean()
    return {
        "n_clips": len(left_out.y),
        "n_parts": len(np.unique(left_out.part)),
        "log_loss_without": float(grounds.loss(left_out, 0.0, 0.0).mean() / weight),
        "log_loss_with": float(grounds.nested_loss(left_out).mean() / weight),
    }


def oof_table(data: TrainingSet, fold: Int, evaluation: Evaluation) -> pa.Table:
    """Out-of-fold P(FAKE) of every labelled row.

    Columns filename, label, group, fold; each learner and ``stack`` at the training prior; ``stack_target``.
    """
    columns: dict[str, Any] = {
        "filename": data.filename,
        "label": ["FAKE" if one else "REAL" for one in data.y],
        "group": [data.group_names[one] for one in data.group],
        "fold": fold,
    }
    columns |= {name: _expit(z) for name, z in evaluation.train.items() if name != CONSTANT}
    columns["stack_target"] = _expit(evaluation.target[STACK])
    return pa.table(columns)


def folds_table(data: TrainingSet, fold: Int) -> pa.Table:
    """Which clip was held out when: filename, group, fold."""
    return pa.table({"filename": data.filename, "group": [data.group_names[one] for one in data.group], "fold": fold})


def _expit(z: Array) -> Array:
    from scipy.special import expit

    return expit(z)
