"""Scores of learners on manipulations and identities that neither the networks nor the learners were fitted on.

The folds are those of the networks' training: the table already has out-of-fold network columns
(:mod:`training.oof_columns`), and the learner that scores a fold is fitted without the rows of the fold and without all
other rows of their groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.arrays import Array, Bool, Int
from ensemble.calibrate import clip_logit, shift_prior
from ensemble.learners import registry
from ensemble.learners.base import settings_for
from ensemble.metrics import Score
from ensemble.training_set import TrainingSet, joined
from features.errors import InputError

PRIOR = 0.5
THRESHOLDS = (0.5, 0.9)  # a REAL clip with a probability above counts as a false positive
BOUND = 0.03  # of probabilities, as in the shipped model; the scale of its log-odds is not applied here


@dataclass(frozen=True)
class UnseenScores:
    """Scores of one learner at a prior of 0.5, each with its 95 % interval."""

    log_loss: Score
    auc: Score
    difference: Score
    """The log loss minus that of the first learner."""
    false_positives: dict[float, float]
    """Threshold (0.5, 0.9) to the fraction of REAL clips whose probability of FAKE exceeds it; without interval."""


@dataclass(frozen=True)
class UnseenResult:
    """The number of scored clips, and the scores by learner."""

    n_clips: int
    n_groups: int
    """Groups of the scored clips."""
    n_copies: int
    """Copies that could be fitted on, because clips of the folds are in their groups."""
    n_copies_given: int
    constant: float
    """Log loss of a constant probability equal to the prior."""
    learners: dict[str, UnseenScores]


def predictions(
    data: TrainingSet, fold: Int, learner: str, *, seed: int = 0, copies: TrainingSet | None = None
) -> Array:
    """Predict bounded log-odds [n] at a prior of 0.5, each row by a learner that was fitted without its fold.

    Parameters
    ----------
    data
        Learners are fitted on the rows in which at least one cue was measured.
    fold : ndarray of shape (n,)
        Number of the fold of each row, from 0; a group may be in several folds.
    learner
        Name from :func:`ensemble.learners.registry.learner_kinds`.
    copies
        Rows of the same clips in another form, such as re-encoded, with the same columns and group names: learners are
        also fitted on the copies whose groups are allowed, but do not score them.

    Raises
    ------
    InputError
        The learner is unknown, the copies have other columns, or a class is missing without a fold and its groups.
    """
    registry.check_learners([learner])
    if copies is not None and copies.layout.columns != data.layout.columns:
        raise InputError("the copies have other columns than the table; extract both with the same families")
    shown = data if copies is None else joined(data, copies)
    z = np.full(len(data), np.nan)
    for number in np.unique(fold):
        scored = fold == number
        fitted_on = shown.measured & ~np.isin(shown.group, data.group[scored])
        y, group = shown.y[fitted_on], np.unique(shown.group[fitted_on], return_inverse=True)[1]
        if len(np.unique(y)) < 2:
            raise InputError(f"without fold {number} and its groups, one of the classes is missing; give more groups")
        fitted = registry.learner_kinds()[learner](data.layout, settings_for(len(y), int(group.max()) + 1))
        fitted.fit(shown.X[fitted_on], y, group.astype(np.int64), seed)
        z[scored] = shift_prior(fitted.predict_logit(data.X[scored]), float(y.mean()), PRIOR)
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
    """Score learners, with 95 % intervals over groups.

    Parameters
    ----------
    data
        Training set; rows of clips that are not in ``fold_of`` are ignored.
    fold_of
        Filename to fold, as the networks' training wrote it.
    learners
        One or more names; the others are compared with the first.
    rows : ndarray of shape (n,), optional
        True for the rows to score; learners are fitted on all rows.
    copies
        As for :func:`predictions`; copies of groups that are absent from the folds are ignored.

    Raises
    ------
    InputError
        No clip is in the folds, no learner is named, a learner is unknown, no copy is left, or a class is missing:
        without a fold and its groups, or among the scored rows.
    """
    registry.check_learners(learners)
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
    """Return the copies whose groups are in the data: for other groups, it is unknown what the networks saw."""
    is_known = np.isin(copies.names_of_groups, data.group_names)
    if not is_known.any():
        raise InputError(
            f"no copy is of a group of these clips (the copies have {copies.group_names[0]}, the clips "
            f"{data.group_names[0]}); give the copies the groups of their clips"
        )
    return copies.rows(is_known)


def _scores(y: Int, z: Array, first: Array, group: Int, seed: int) -> UnseenScores:
    """Return the scores of log-odds ``z`` [n], and the difference to the log loss of the ``first`` learner [n]."""
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
