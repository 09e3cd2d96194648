"""Scores of learners on unseen manipulations and identities: no stage was fitted on them, neither networks nor fusion.

The folds are those of the networks' training: the table's network columns are out of fold already
(:mod:`training.oof_columns`), and the learner that judges a fold sees no row of it, nor of any group that it touches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.arrays import Array, Bool, Int
from ensemble.calibrate import clip_logit, shift_prior
from ensemble.learners.base import settings_for
from ensemble.learners.registry import learner_kinds
from ensemble.metrics import Score
from ensemble.training_set import TrainingSet, joined
from features.errors import InputError

PRIOR = 0.5
THRESHOLDS = (0.5, 0.9)  # of probabilities that count as false positives
BOUND = 0.03  # of probabilities, as in the shipped model, whose scale of log-odds is not applied here


@dataclass(frozen=True)
class UnseenScores:
    """Scores of one learner at a prior of 0.5, each with its 95 % interval."""

    log_loss: Score
    auc: Score
    difference: Score
    """The log loss minus that of the first learner."""
    false_positives: dict[float, float]
    """Threshold (0.5, 0.9) to the fraction of REAL clips whose probability of FAKE is above it; without interval."""


@dataclass(frozen=True)
class UnseenResult:
    """What was scored, and the scores by learner."""

    n_clips: int
    n_groups: int
    """Of the clips that are scored."""
    n_copies: int
    """Copies whose groups the clips of the folds have: these alone could be fitted on."""
    n_copies_given: int
    constant: float
    """Log loss of the constant probability that is the prior."""
    learners: dict[str, UnseenScores]


def predictions(
    data: TrainingSet, fold: Int, learner: str, *, seed: int = 0, copies: TrainingSet | None = None
) -> Array:
    """[n] log-odds at a prior of 0.5, bounded, of each row by a learner that saw nothing of its fold.

    Parameters
    ----------
    data
        Rows in which something was measured are fitted on.
    fold : ndarray of shape (n,)
        Counted from 0; a group may be in several.
    learner
        Of :func:`ensemble.learners.registry.learner_kinds`.
    copies
        Rows of such clips in another form, as encoded once more, with the same columns and names of groups: fitted on
        beside ``data`` where their groups may be, not judged.

    Raises
    ------
    InputError
        No such learner, the copies have other columns, or without a fold and its groups a class is missing.
    """
    kinds = learner_kinds()
    if learner not in kinds:
        raise InputError(f"no learner is called {learner!r}; known are {', '.join(kinds)}")
    if copies is not None and copies.layout.columns != data.layout.columns:
        raise InputError("the copies have other columns than the table; measure both in the same way")
    shown = data if copies is None else joined(data, copies)
    z = np.full(len(data), np.nan)
    for number in np.unique(fold):
        judged = fold == number
        fitted_on = shown.measured & ~np.isin(shown.group, data.group[judged])
        y, group = shown.y[fitted_on], np.unique(shown.group[fitted_on], return_inverse=True)[1]
        if len(np.unique(y)) < 2:
            raise InputError(f"without fold {number} and its groups, one of the classes is missing; give more groups")
        fitted = kinds[learner](data.layout, settings_for(len(y), int(group.max()) + 1))
        fitted.fit(shown.X[fitted_on], y, group.astype(np.int64), seed)
        z[judged] = shift_prior(fitted.predict_logit(data.X[judged]), float(y.mean()), PRIOR)
    return clip_logit(z, BOUND)


def scores(
    data: TrainingSet,
    fold_of: Mapping[str, int],
    learners: Sequence[str],
    *,
    seed: int = 0,
    rows: Bool | None = None,
    copies: TrainingSet | None = None,
) -> UnseenResult:
    """Scores with 95 % intervals over groups, by learner.

    Parameters
    ----------
    data
        Rows that ``fold_of`` lacks take no part.
    fold_of
        Filename to fold, as training wrote it.
    learners
        One or more; the first is what the others are compared with.
    rows : ndarray of shape (n,), optional
        True for the rows that are scored; all are fitted on.
    copies
        As for :func:`predictions`; those of groups that no clip of the folds has are left out.

    Raises
    ------
    InputError
        No clip is in the folds, no learner is named or there is none of the name, no copy is left, or a class is
        missing: without a fold and its groups, or among the rows that are scored.
    """
    if not learners:
        raise InputError("no learner is named; give one or more")
    known = np.array([name in fold_of for name in data.filename])
    scored = np.ones(len(data), bool) if rows is None else rows
    data, scored = data.rows(known), scored[known]
    if not len(data):
        raise InputError("no clip of the table is in the folds; give the folds of the networks' training")
    if len(np.unique(data.y[scored])) < 2:
        raise InputError("of the clips that are scored, one of the classes is missing; give more of those in the folds")
    used = None if copies is None else _copies_of(copies, data)
    fold = np.array([fold_of[name] for name in data.filename], dtype=np.int64)
    z = {learner: predictions(data, fold, learner, seed=seed, copies=used)[scored] for learner in learners}
    y, group = data.y[scored], np.unique(data.group[scored], return_inverse=True)[1]
    return UnseenResult(
        n_clips=len(y),
        n_groups=int(group.max()) + 1,
        n_copies=0 if used is None else len(used),
        n_copies_given=0 if copies is None else len(copies),
        constant=metrics.mean_at_prior(metrics.logit_losses(y, np.zeros(len(y))), y, PRIOR),
        learners={learner: _scores(y, z[learner], z[learners[0]], group, seed) for learner in learners},
    )


def _copies_of(copies: TrainingSet, data: TrainingSet) -> TrainingSet:
    """The copies whose groups the data has: of what no fold holds, nobody knows what its networks saw."""
    found = np.isin(copies.names_of_groups, data.group_names)
    if not found.any():
        raise InputError(
            f"no copy is of a group of these clips (the copies have {copies.group_names[0]}, the clips "
            f"{data.group_names[0]}); give the copies the groups of their clips"
        )
    return copies.rows(found)


def _scores(y: Int, z: Array, first: Array, group: Int, seed: int) -> UnseenScores:
    """Scores of log-odds ``z`` [n], and the difference to those of the ``first`` learner [n]."""
    losses = metrics.logit_losses(y, z)
    differences = losses - metrics.logit_losses(y, first)
    measures = {
        "log_loss": lambda w: metrics.mean_at_prior(losses, y, PRIOR, w),
        "auc": lambda w: metrics.auc(y, z, w),
        "difference": lambda w: metrics.mean_at_prior(differences, y, PRIOR, w),
    }
    p_real = 1 / (1 + np.exp(-z[y == 0]))
    false_positives = {threshold: float(np.mean(p_real > threshold)) for threshold in THRESHOLDS}
    return UnseenScores(**metrics.with_intervals(measures, group, seed=seed), false_positives=false_positives)
