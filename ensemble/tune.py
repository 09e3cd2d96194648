"""Search the learners' settings with Optuna on grouped folds, resumable from its journal, within a time budget.

The result goes to ``settings.json``; ``deepcue train --settings`` uses it and reports that scores are biased by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.arrays import Int
from ensemble.cross_fit import fit_without
from ensemble.learners.base import Settings, settings_for
from ensemble.metrics import logit_losses
from ensemble.training_set import TrainingSet

if TYPE_CHECKING:
    import optuna


def boosted(trial: optuna.Trial) -> dict[str, Any]:
    """Settings of the boosters."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
        "n_leaves": trial.suggest_int("n_leaves", 3, 63, log=True),
        "min_leaf_rows": trial.suggest_int("min_leaf_rows", 2, 200, log=True),
        "column_share": trial.suggest_float("column_share", 0.05, 1.0, log=True),
        "row_share": trial.suggest_float("row_share", 0.5, 1.0),
        "l2": trial.suggest_float("l2", 0.1, 100.0, log=True),
    }


def linear(trial: optuna.Trial) -> dict[str, Any]:
    """Settings of the logistic regression; its penalty is chosen in each fit anyway."""
    return {"l1_ratio": trial.suggest_float("l1_ratio", 0.0, 1.0)}


SPACES: dict[str, Callable[[optuna.Trial], dict[str, Any]]] = {
    "lightgbm": boosted,
    "xgboost": boosted,
    "logistic": linear,
}


def mean_loss(data: TrainingSet, fold: Int, name: str, settings: Settings, seed: int) -> float:
    """Mean over folds of the log loss of each by a learner fitted on the others.

    ``fold`` [n] counts from 0; the rest as in :func:`ensemble.cross_fit.fit_without`.
    """
    losses = []
    for number in range(int(fold.max()) + 1):
        rows, z, _ = fit_without(data, fold, name, settings, (number,), seed)
        losses.append(np.mean(logit_losses(data.y[rows], z)))
    return float(np.mean(losses))


def fingerprint(data: TrainingSet, fold: Int, seed: int) -> str:
    """Hash of everything that a trial's loss depends on: losses of another table say nothing about this one."""
    import joblib

    return str(joblib.hash([data.layout.columns, data.filename, seed, data.X, data.y, fold]))


def search(
    data: TrainingSet, fold: Int, name: str, *, journal: Path, budget_s: float, n_trials: int | None, seed: int
) -> dict[str, Any]:
    """Search one learner's settings, resuming from the journal where that knows the same table and folds.

    Parameters
    ----------
    data, fold
        Labelled rows, and the fold of each [n].
    name
        Of :data:`SPACES`.
    journal
        Optuna's journal; made when it is not there.
    budget_s, n_trials
        The search ends with whichever is reached first.
    seed
        Of the sampler and of every fit.

    Returns
    -------
    dict
        ``changes`` (empty when nothing beats the defaults), ``log_loss``, ``default_log_loss``, ``n_trials``.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    base = settings_for(len(data), data.n_groups)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(
        storage=storage,
        study_name=f"{name} {fingerprint(data, fold, seed)}",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed),
    )

    def objective(trial: optuna.Trial) -> float:
        return mean_loss(data, fold, name, replace(base, **SPACES[name](trial)), seed)

    default = mean_loss(data, fold, name, base, seed)
    study.optimize(objective, timeout=budget_s, n_trials=n_trials, show_progress_bar=False)
    done = [trial for trial in study.trials if trial.value is not None]
    best = min(done, key=lambda trial: trial.value or np.inf) if done else None
    if best is None or best.value is None or best.value >= default:
        return {"changes": {}, "log_loss": default, "default_log_loss": default, "n_trials": len(done)}
    return {
        "changes": dict(best.params),
        "log_loss": best.value,
        "default_log_loss": default,
        "n_trials": len(done),
    }
