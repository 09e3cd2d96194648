"""How the trained ensemble uses each cue family, on held-out rows, with intervals over groups.

- **attribution**: the family's fraction of the mean absolute contribution (SHAP values summed by family;
  :meth:`ensemble.model.Model.explain`);
- **permutation importance**: how much log loss rises when the family's columns are permuted between clips, all of
  them together (Breiman 2001; grouped as in Gregorutti et al. 2015). It measures what the trained models rely on;
  :mod:`ensemble.ablation` measures what a family adds, by refitting without it.

Both use, for each row, the whole model (learners, stack, calibration, OOD shrinkage) that never saw the row's fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.metrics import Score, logit_losses, with_intervals
from ensemble.model import Model
from ensemble.training_set import TrainingSet, sampled_rows

MAX_ROWS = 2_000  # explained and permuted; more rows would only narrow the intervals


def family_attribution(
    models: Sequence[Model], data: TrainingSet, fold: Int, *, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """Fraction of the mean absolute contribution to the final log-odds, by family.

    Parameters
    ----------
    models
        ``models[i]`` never saw fold i: :attr:`ensemble.evaluate.Evaluation.models`.
    data, fold
        Labelled rows, and the fold of each [n].
    seed
        Seed of the sample of rows and of the intervals.

    Returns
    -------
    dict
        Family to ``fraction``, ``low``, ``high``; fractions add up to 1, and are None when nothing contributes.
    """
    rows = _sample(data, seed)
    names = data.layout.family_names

    def contributions(model: Model, X: Float) -> Array:
        explanation = model.explain_inputs(X)
        return np.abs(np.stack([explanation.contributions[name] for name in names], axis=1))

    parts = _by_fold(models, data.X[rows], fold[rows], contributions)

    def fraction(number: int, w: Array) -> float:
        total = float(w @ parts.sum(axis=1))
        return float(w @ parts[:, number]) / total if total > 0 else float("nan")

    scores = with_intervals(
        {name: partial(fraction, number) for number, name in enumerate(names)}, _counted(data.group[rows]), seed=seed
    )
    return _named(scores, "fraction")


def permutation_importance(
    models: Sequence[Model], data: TrainingSet, fold: Int, *, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """Rise of log loss, at the training prior, when a family's columns are permuted between clips.

    Parameters
    ----------
    models, data, fold
        As in :func:`family_attribution`.
    seed
        Seed of the sample of rows, the permutations and the intervals.

    Returns
    -------
    dict
        Family to ``delta_log_loss``, ``low``, ``high``.
    """
    rows = _sample(data, seed)
    X, y, folds = data.X[rows], data.y[rows], fold[rows]
    family = data.layout.family_index
    at_train_prior = [replace(model, head=replace(model.head, target_prior=model.head.train_prior)) for model in models]

    def losses(X: Float) -> Array:
        return logit_losses(y, _by_fold(at_train_prior, X, folds, Model.log_odds))

    unpermuted = losses(X)
    rng = np.random.default_rng(seed)
    rises = {}
    for number, name in enumerate(data.layout.family_names):
        permuted = X.copy()
        columns = np.flatnonzero(family == number)
        permuted[:, columns] = X[rng.permutation(len(X))][:, columns]
        rises[name] = losses(permuted) - unpermuted
    scores = with_intervals(
        {name: partial(_weighted_mean, rise) for name, rise in rises.items()}, _counted(data.group[rows]), seed=seed
    )
    return _named(scores, "delta_log_loss")


def _by_fold(models: Sequence[Model], X: Float, fold: Int, function: Callable[[Model, Float], Array]) -> Array:
    """``function(model, rows)`` of each fold's rows by the model that never saw them, in the order of ``X``."""
    numbers = np.unique(fold)
    values = [function(models[number], X[fold == number]) for number in numbers]
    result = np.empty((len(X), *values[0].shape[1:]))
    for number, part in zip(numbers, values, strict=True):
        result[fold == number] = part
    return result


def _sample(data: TrainingSet, seed: int) -> Int:
    """Return all measured rows, or a random sample of them."""
    measured = np.flatnonzero(data.measured)
    return measured[sampled_rows(data.group[measured], MAX_ROWS, seed)]


def _weighted_mean(values: Array, w: Array) -> float:
    return float(np.average(values, weights=w))


def _counted(group: Int) -> Int:
    """Return the groups [n] counted from 0: those of a sample have gaps."""
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def _named(scores: Mapping[str, Score], key: str) -> dict[str, dict[str, float | None]]:
    states = {name: score.as_dict() for name, score in scores.items()}
    return {name: {key: state["value"], "low": state["low"], "high": state["high"]} for name, state in states.items()}
