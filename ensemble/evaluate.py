"""Score the learners, the stack and a constant on held-out rows, which neither learners nor head were fitted on.

Three choices depend, to a small extent, on the held-out rows: the families, which are chosen once with all folds
(:mod:`ensemble.family_choice`); the two strengths of OOD shrinkage, which are chosen on rows of the other folds, but
from predictions of models that were fitted on rows of all folds (:func:`sources_left_out`); and the constant, which is
the fraction of FAKE among all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ensemble.arrays import Array, Bool, Int
from ensemble.calibrate import clip_bound, clip_logit, fit_calibration, fit_kind, logit, shift_prior
from ensemble.cross_fit import Fitted, leave_sources_out, source_parts
from ensemble.folds import FOLDS_FILE
from ensemble.learners.base import LearnerSettings
from ensemble.learners.registry import columns_read
from ensemble.metrics import Score, all_scores, prior_weights
from ensemble.model import EnsembleHead, Model
from ensemble.out_of_fold import CONSTANT, OOF_FILE, STACK, STACK_TARGET
from ensemble.selection import out_of_fold
from ensemble.shrinkage import LeftOut, Shrinkage, chosen_strengths
from ensemble.stack import fit_stack
from ensemble.training_set import TrainingSet, measured_rows

LEARNER_CLIP = 1e-6  # a single learner is scored without calibration, but its loss must stay finite
MAX_SOURCE_ROWS = 20_000  # a larger table is sampled: only two numbers are fitted on these rows


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Out-of-fold predictions of every labelled row, and their scores.

    Attributes
    ----------
    train, target
        Learner, ``stack`` and ``constant`` to log-odds of FAKE [n], at the training and at the target prior; the
        log-odds of the prior where no cue that the model reads was measured.
    scores
        The same names to scores: ``log_loss``, ``auc``, ...; each has a ``value``, and ``low`` and ``high`` of its 95 %
        interval over groups.
    models
        For each fold, a complete model fitted on the other folds; the module's docstring names the exceptions.
    clips
        For each row: filename, label, group, fold, and whether a cue that its fold's model reads was measured.
    left_out
        Log loss on left-out sources, without and with OOD shrinkage; empty without sources.
    """

    train: dict[str, Array]
    target: dict[str, Array]
    scores: dict[str, dict[str, Score]]
    models: list[Model]
    clips: pa.Table
    left_out: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        losses = (f"{name} {scores['log_loss'].value:.3f}" for name, scores in self.scores.items())
        return f"<Evaluation: log loss out of fold {', '.join(losses)}>"

    def tables(self) -> dict[str, pa.Table]:
        """Return the tables that a model folder keeps: ``folds.parquet`` and ``oof.parquet``, by name.

        ``oof.parquet`` has P(FAKE) out of fold (each learner and ``stack`` at the training prior, and ``stack_target``
        at the target prior), and ``measured``: whether a cue that the model reads was measured.
        """
        from scipy.special import expit

        oof = self.clips
        for name, z in [*self.train.items(), (STACK_TARGET, self.target[STACK])]:
            if name != CONSTANT:
                oof = oof.append_column(name, pa.array(expit(z)))
        return {FOLDS_FILE: self.clips.select(["filename", "group", "fold"]), OOF_FILE: oof}


def fit_head(
    Z: Array,
    y: Int,
    group: Int,
    fold: Int,
    *,
    learners: Sequence[str],
    target_prior: float | None,
    seed: int,
) -> EnsembleHead:
    """Fit stack, calibration and clip on out-of-fold log-odds.

    Parameters
    ----------
    Z : ndarray of shape (n, n_learners)
        Log-odds of each row by models that were not fitted on its fold.
    y, group, fold : ndarray of shape (n,)
        Label (1 FAKE), group, fold; two folds or more, both classes.
    learners
        Names of the columns of ``Z``.
    target_prior
        None keeps the training prior.
    seed
        Seed of the stack's random draws.
    """
    train_prior = float(y.mean())
    prior = train_prior if target_prior is None else target_prior
    stack, z = fit_stack(Z, y, group, fold, learners, seed=seed)
    calibration = fit_calibration(z, y, group, fold)
    # Out of fold: otherwise the bound would depend on each row's own label.
    held_out = out_of_fold(partial(fit_kind, calibration.kind), z, y, fold)
    at_target = shift_prior(held_out, train_prior, prior)
    bound = clip_bound(at_target, y, prior_weights(y, prior), len(np.unique(group)))
    return EnsembleHead(stack, calibration, train_prior, prior, bound)


def evaluate(
    data: TrainingSet,
    fold: Int,
    fitted: Fitted,
    left_out: LeftOut | None,
    *,
    target_prior: float | None,
    seed: int,
) -> Evaluation:
    """Score each learner, the stack and the constant.

    A row gets the prediction of its fold's model. If the row lacks every cue that the weighted learners of this model
    read, the prediction is the prior. The weights of the final head are not used here, since it was fitted on the row.

    Parameters
    ----------
    data
        The rows of ``fitted``; a row is measured if one of the learners reads a defined cue.
    fold : ndarray of shape (n,)
        0 .. K-1.
    left_out
        The result of :func:`sources_left_out`.
    target_prior
        None keeps the training prior.
    seed
        Seed of every random draw.
    """
    names = list(fitted.outer)
    n = len(data)
    train = {name: np.empty(n) for name in (*names, STACK, CONSTANT)}
    target = {name: np.empty(n) for name in train}
    learner_logits = np.stack([fitted.outer[name] for name in names], axis=1)
    known = {name: np.zeros(n, dtype=bool) for name in (*names, STACK)}
    models = []
    for number in range(int(fold.max()) + 1):
        out, rest = fold == number, (fold != number) & data.measured
        Z = np.stack([fitted.inner[name][number][rest] for name in names], axis=1)
        head = fit_head(
            Z, data.y[rest], data.group[rest], fold[rest], learners=names, target_prior=target_prior, seed=seed
        )
        shrinkage = shrinkage_without(data, rest, left_out, seed=seed)
        model = Model(data.layout, {name: [fitted.models[name][number]] for name in names}, head, shrinkage)
        models.append(model)
        stacked = head.calibrated(head.stack(learner_logits[out]), shrinkage.factor(data.X[out]))
        known[STACK][out] = model.measured(data.X[out])
        for name in names:
            read = columns_read(data.layout.columns, [name]) & model.trained_columns
            known[name][out] = measured_rows(data.X[out], data.layout, read)
        _fill(train, target, out, head, {**{name: fitted.outer[name][out] for name in names}, STACK: stacked}, known)
    prior = float(data.y.mean()) if target_prior is None else target_prior
    train[CONSTANT], target[CONSTANT] = np.full(n, logit(data.y.mean())), np.full(n, logit(prior))
    return Evaluation(
        train,
        target,
        _scores(data, train, target, prior, seed),
        models,
        _clips(data, fold, known[STACK]),
        {} if left_out is None else left_out.summary(),
    )


def sources_left_out(
    data: TrainingSet, settings: Mapping[str, LearnerSettings], *, target_prior: float | None, seed: int, jobs: int = 1
) -> LeftOut | None:
    """Predict each row by models that were not fitted on its source, stacked and calibrated on the other parts.

    Returns None if there are too few sources, or if a part lacks a class.

    Parameters
    ----------
    data, settings, seed, jobs
        As in :func:`ensemble.cross_fit.leave_sources_out`.
    target_prior
        None keeps the training prior.
    """
    part = source_parts(data, seed=seed, max_rows=MAX_SOURCE_ROWS)
    if part.max() < 2 or any(len(np.unique(data.y[part == number])) < 2 for number in range(int(part.max()) + 1)):
        return None
    Z, distances, trained = _without_sources(data, part, settings, seed=seed, jobs=jobs)
    rows = np.flatnonzero(np.isfinite(Z).all(axis=1))
    if len(np.unique(part[rows])) < 3:
        return None
    evidence = _evidence_of_parts(data, rows, part[rows], Z[rows], trained, learners=list(settings), seed=seed)
    y = data.y[rows]
    wanted = float(y.mean()) if target_prior is None else target_prior
    return LeftOut(rows, evidence, logit(wanted), y, distances[rows], part[rows], prior_weights(y, wanted))


def _without_sources(
    data: TrainingSet, part: Int, settings: Mapping[str, LearnerSettings], *, seed: int, jobs: int
) -> tuple[Array, Array, dict[int, set[str]]]:
    """Predict the rows of each part by models that saw none of its sources; parameters as in :func:`sources_left_out`.

    Returns
    -------
    Z : ndarray of shape (n, n_learners)
        Log-odds; NaN in the rows of no part.
    distances : ndarray of shape (n, 2)
        Distances of each row from those that its models saw: :meth:`ensemble.shrinkage.Shrinkage.distances`.
    trained : dict
        Part to the columns that its models were trained on.
    """
    Z = np.full((len(data), len(settings)), np.nan)
    distances = np.full((len(data), 2), np.nan)
    trained: dict[int, set[str]] = {}
    for name, seen, rows, z in leave_sources_out(data, part, settings, seed=seed, jobs=jobs):
        Z[rows, list(settings).index(name)] = z
        number = int(part[rows[0]])
        if number not in trained:  # all learners see the same rows
            shrinkage = Shrinkage.of(data.X[seen], seed=seed)
            distances[rows] = shrinkage.distances(data.X[rows])
            trained[number] = {data.layout.columns[k] for k in np.flatnonzero(shrinkage.present)}
    return Z, distances, trained


def _evidence_of_parts(
    data: TrainingSet,
    rows: Int,
    part: Int,
    Z: Array,
    trained: Mapping[int, set[str]],
    *,
    learners: Sequence[str],
    seed: int,
) -> Array:
    """Stack and calibrate each part's log-odds by a head that was fitted on the other parts.

    Parameters
    ----------
    rows, part : ndarray of shape (n,)
        Positions in ``data``, and the part of each.
    Z : ndarray of shape (n, n_learners)
        Log-odds by models that did not see the part.
    trained, learners
        Part to the columns that its models were trained on; names of the columns of ``Z``.

    Returns
    -------
    ndarray of shape (n,)
        Calibrated log-odds minus those of the prior; 0 where no cue that the head reads was measured.
    """
    y, group = data.y[rows], data.group[rows]
    result = np.empty(len(rows))
    for number in np.unique(part):
        out = part == number
        head = fit_head(Z[~out], y[~out], group[~out], part[~out], learners=learners, target_prior=None, seed=seed)
        evidence = head.calibrated(head.stack(Z[out])) - logit(head.train_prior)
        read = head.columns_read(data.layout.columns) & trained[int(number)]
        result[out] = np.where(measured_rows(data.X[rows[out]], data.layout, read), evidence, 0.0)
    return result


def shrinkage_without(data: TrainingSet, rest: Bool, left_out: LeftOut | None, *, seed: int = 0) -> Shrinkage:
    """Return the shrinkage fitted on the rows ``rest`` [n], with strengths chosen on those that ``left_out`` has."""
    shrinkage = Shrinkage.of(data.X[rest & data.measured], seed=seed)
    if left_out is None:
        return shrinkage
    return shrinkage.with_strengths(*chosen_strengths(left_out.subset(rest[left_out.rows])))


def _fill(
    train: dict[str, Array],
    target: dict[str, Array],
    out: Bool,
    head: EnsembleHead,
    calibrated: Mapping[str, Array],
    known: Mapping[str, Bool],
) -> None:
    """Write the log-odds of a fold's rows at both priors; rows not ``known`` [n] get those of the prior, unclipped."""
    for name, z in calibrated.items():
        bound = head.clip if name == STACK else LEARNER_CLIP
        at_target = shift_prior(z, head.train_prior, head.target_prior)
        for filled, log_odds, prior in ((train, z, head.train_prior), (target, at_target, head.target_prior)):
            filled[name][out] = np.where(known[name][out], clip_logit(log_odds, bound), logit(prior))


def _scores(
    data: TrainingSet, train: Mapping[str, Array], target: Mapping[str, Array], prior: float, seed: int
) -> dict[str, dict[str, Score]]:
    from scipy.special import expit

    return {
        name: all_scores(data.y, expit(train[name]), expit(target[name]), prior, data.group, seed=seed)
        for name in train
    }


def _clips(data: TrainingSet, fold: Int, measured: Bool) -> pa.Table:
    return pa.table(
        {
            "filename": data.filename,
            "label": ["FAKE" if fake else "REAL" for fake in data.y],
            "group": data.names_of_groups,
            "fold": fold,
            "measured": measured,
        }
    )
