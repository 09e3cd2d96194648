"""Search the learners' settings: ``python -m ensemble.tune --table features.parquet --out artifacts/tune``.

Optuna on grouped folds, resumable from its journal, within a time budget. The findings go to
``settings.json``; ``python -m ensemble.train --settings`` uses them, and says that its scores were tuned for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.cross_fit import fit_without
from ensemble.learners.base import Settings, settings_for, with_settings
from ensemble.metrics import log_loss
from ensemble.training_set import Int, TrainingSet

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


def fold_losses(data: TrainingSet, fold: Int, name: str, settings: Settings, seed: int) -> list[float]:
    """Log loss of each fold by a learner fitted on the others."""
    from scipy.special import expit

    losses = []
    for number in range(int(fold.max()) + 1):
        rows, z, _ = fit_without(data, fold, name, settings, (number,), seed)
        losses.append(log_loss(data.y[rows], expit(z)))
    return losses


def fingerprint(data: TrainingSet, fold: Int, seed: int) -> str:
    """Of everything that a trial's loss hangs on: losses of another table say nothing about this one."""
    about = json.dumps([data.layout.columns, data.filename, seed])
    return hashlib.sha256(b"".join([about.encode(), *(one.tobytes() for one in (data.X, data.y, fold))])).hexdigest()


def search(
    data: TrainingSet, fold: Int, name: str, *, journal: Path, budget_s: float, n_trials: int | None, seed: int
) -> dict[str, Any]:
    """Search one learner's settings, going on from the journal where that knows the same table and folds.

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
        settings = with_settings(base, SPACES[name](trial))
        return float(np.mean(fold_losses(data, fold, name, settings, seed)))

    default = float(np.mean(fold_losses(data, fold, name, base, seed)))
    study.optimize(objective, timeout=budget_s, n_trials=n_trials, show_progress_bar=False)
    done = [trial for trial in study.trials if trial.value is not None]
    best = min(done, key=lambda trial: trial.value or np.inf) if done else None
    better = best is not None and best.value is not None and best.value < default
    return {
        "changes": dict(best.params) if best is not None and better else {},
        "log_loss": best.value if best is not None and better else default,
        "default_log_loss": default,
        "n_trials": len(done),
    }
