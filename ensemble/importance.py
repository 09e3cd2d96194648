"""What each cue family does for the ensemble as it stands, on held-out rows, with intervals over groups.

- **importance**: the family's mean share of the absolute contributions (:mod:`ensemble.explain`);
- **ablation**: how much worse log loss gets when the family's columns are exchanged between clips, all of
  them together (grouped permutation importance; Breiman 2001, Gregorutti et al. 2015). It tells what the
  trained models lean on; what a cue could add to others is :mod:`ensemble.ablation`'s matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.metrics import with_intervals
from ensemble.model import Model
from ensemble.training_set import Float, Int, TrainingSet, rows_of_groups

Array = NDArray[np.float64]
MAX_ROWS = 2_000  # explained and permuted; more rows narrow the intervals and nothing else
N_RESAMPLES = 500


def family_importance(
    model: Model, data: TrainingSet, fold: Int, *, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """Family to its share of the absolute contributions: ``share, low, high``; shares add up to 1."""
    rows = _sample(data, seed)
    parts = np.abs(_by_fold(model, data.X[rows], fold[rows], _parts)[:, :-1])
    group = _dense(data.group[rows])

    def share(number: int, w: Array) -> float:
        total = float(w @ parts.sum(axis=1))
        return float(w @ parts[:, number]) / total if total > 0 else float("nan")

    names = model.layout.family_names
    scores = with_intervals(
        {name: lambda w, n=number: share(n, w) for number, name in enumerate(names)},  # type: ignore[misc]
        group,
        seed=seed,
        n_resamples=N_RESAMPLES,
    )
    return {name: {"share": one["value"], "low": one["low"], "high": one["high"]} for name, one in _dicts(scores)}


def family_ablation(model: Model, data: TrainingSet, fold: Int, *, seed: int = 0) -> dict[str, dict[str, float | None]]:
    """Family to the rise of log loss without it: ``delta_log_loss, low, high``."""
    rows = _sample(data, seed)
    X, y, folds = data.X[rows], data.y[rows], fold[rows]
    family = model.layout.family_index
    whole = _losses(model, X, y, folds)
    rng = np.random.default_rng(seed)
    rises = {}
    for number, name in enumerate(model.layout.family_names):
        mixed = X.copy()
        columns = np.flatnonzero(family == number)
        mixed[:, columns] = X[rng.permutation(len(X))][:, columns]
        rises[name] = _losses(model, mixed, y, folds) - whole
    scores = with_intervals(
        {name: lambda w, r=rise: float(np.average(r, weights=w)) for name, rise in rises.items()},  # type: ignore[misc]
        _dense(data.group[rows]),
        seed=seed,
        n_resamples=N_RESAMPLES,
    )
    return {
        name: {"delta_log_loss": one["value"], "low": one["low"], "high": one["high"]} for name, one in _dicts(scores)
    }


def _losses(model: Model, X: Float, y: Int, fold: Int) -> Array:
    z = model.head.calibrated(_by_fold(model, X, fold, _stacked)[:, 0])
    return np.logaddexp(0, z) - y * z


def _by_fold(model: Model, X: Float, fold: Int, function: Any) -> Array:
    """``function(model of the fold, its rows)``, so that no row meets a model that was fitted on it."""
    result: Array | None = None
    for number in np.unique(fold):
        out = fold == number
        single = Model(
            model.layout,
            {name: [models[number]] for name, models in model.fold_models.items()},
            model.head,
            model.ground,
        )
        values = function(single, X[out])
        if result is None:
            result = np.empty((len(X), values.shape[1]))
        result[out] = values
    assert result is not None
    return result


def _parts(model: Model, X: Float) -> Array:
    return model.stacked_parts(X)


def _stacked(model: Model, X: Float) -> Array:
    return model.head.stack(model.learner_logits(X))[:, None]


def _sample(data: TrainingSet, seed: int) -> Int:
    """Measured rows, all of them or those of random groups."""
    return np.flatnonzero(rows_of_groups(data, MAX_ROWS, seed) & data.measured)


def _dense(group: Int) -> Int:
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def _dicts(scores: dict[str, Any]) -> list[tuple[str, dict[str, float | None]]]:
    return [(name, score.as_dict()) for name, score in scores.items()]
