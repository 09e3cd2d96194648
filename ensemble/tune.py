"""Search the learners' settings with Optuna on grouped folds, resumable from its journal, within a time budget.

The result goes to ``settings.json``; ``deepcue train --settings`` uses it and reports that scores are biased by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.arrays import Int
from ensemble.cross_fit import fit_without
from ensemble.learners.base import LearnerSettings, settings_for
from ensemble.metrics import logit_losses
from ensemble.training_set import TrainingSet
from features.errors import InputError

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


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search for the settings of one learner."""

    changes: dict[str, Any]
    """Setting to value, where it differs from the default; empty when nothing beats the defaults."""
    log_loss: float
    """Mean over folds with these changes."""
    default_log_loss: float
    """The same with the default settings."""
    n_trials: int
    """Trials in the journal, those of earlier runs included."""


def mean_loss(data: TrainingSet, fold: Int, name: str, settings: LearnerSettings, seed: int) -> float:
    """Return the mean over folds of the log loss of a learner that was fitted on the other folds.

    ``fold`` [n] counts from 0; a fold in which nothing was measured is left out. The other parameters are those of
    :func:`ensemble.cross_fit.fit_without`.
    """
    losses = []
    for number in np.unique(fold[data.measured]).tolist():
        rows, z, _ = fit_without(data, fold, name, settings, (number,), seed)
        losses.append(np.mean(logit_losses(data.y[rows], z)))
    return float(np.mean(losses))


def fingerprint(data: TrainingSet, fold: Int, seed: int) -> str:
    """Hash everything that the loss of a trial depends on: losses on another table are not comparable.

    ``fold`` [n] is the fold of each row of ``data``; ``seed`` is that of the fits.
    """
    import joblib

    return str(joblib.hash([data.layout.columns, data.filename, seed, data.X, data.y, data.group, fold]))


def shared_budget(names: Sequence[str], budget_s: float) -> Iterator[tuple[str, float]]:
    """Yield each name with an equal share, in seconds, of the remaining budget; at least 1 s.

    Time that a search does not use goes to the following ones.
    """
    deadline = time.monotonic() + budget_s
    for n_done, name in enumerate(names):
        yield name, max((deadline - time.monotonic()) / (len(names) - n_done), 1.0)


def search(
    data: TrainingSet, fold: Int, name: str, *, journal: Path, budget_s: float, n_trials: int | None, seed: int
) -> SearchResult:
    """Search one learner's settings, resuming where the journal has trials on the same table and folds.

    Parameters
    ----------
    data, fold
        Labelled rows, and the fold of each [n].
    name
        A key of :data:`SPACES`.
    journal
        Optuna's journal; created if necessary.
    budget_s, n_trials
        The search ends when either is reached.
    seed
        Seed of every fit and, together with the number of trials in the journal, of the sampler.

    Raises
    ------
    InputError
        The log loss of the defaults is not finite, so that no trial can be compared with it.
    """
    import optuna

    base = settings_for(len(data), data.n_groups)
    study = _study(f"{name} {fingerprint(data, fold, seed)}", journal, seed)
    interrupts: list[KeyboardInterrupt] = []

    def objective(trial: optuna.Trial) -> float:
        try:
            return mean_loss(data, fold, name, replace(base, **SPACES[name](trial)), seed)
        except KeyboardInterrupt as stop:  # Optuna would print a traceback for it
            interrupts.append(stop)
            trial.study.stop()
            raise optuna.TrialPruned from stop

    default = mean_loss(data, fold, name, base, seed)
    if not np.isfinite(default):
        raise InputError(
            f"{name}: the log loss of the default settings is {default}; look for cues that are not finite or very "
            "large in the table, or give other folds"
        )
    study.optimize(objective, timeout=budget_s, n_trials=n_trials, show_progress_bar=False)
    if interrupts:
        raise interrupts[0]
    losses = [(trial.value, trial.params) for trial in study.trials if trial.value is not None]
    loss, changes = min(losses, key=lambda trial: trial[0], default=(np.inf, {}))
    if loss >= default:
        loss, changes = default, {}
    return SearchResult(dict(changes), loss, default, len(losses))


def _study(name: str, journal: Path, seed: int) -> optuna.Study:
    """Return the study of this name in the journal, or a new one.

    The sampler is seeded by ``seed`` and the number of trials: a resumed search must not repeat the first trials.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    drawn = np.random.SeedSequence([seed, len(study.trials)]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(drawn[0]))
    return study
