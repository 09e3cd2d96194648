"""Train the ensemble: ``python -m ensemble.train --table features.parquet --out artifacts/model``.

Folds, learners out of fold, stack, calibration, prior, clip; a model folder and a table of honest scores.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.cross_fit import cross_fit
from ensemble.evaluate import Evaluation, evaluate, fit_head, ground_without, sources_left_out
from ensemble.importance import family_ablation, family_importance
from ensemble.learners.base import Settings, with_settings
from ensemble.learners.registry import default_settings, learner_kinds
from ensemble.model import Model
from ensemble.training_set import Int, TrainingSet
from features.errors import InputError

TARGET_PRIOR = 0.5  # the challenge's test sets (Dolhansky et al. 2020)


def train(
    data: TrainingSet,
    fold: Int,
    *,
    target_prior: float | None = TARGET_PRIOR,
    settings: dict[str, Settings] | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Any = None,
) -> tuple[Model, Evaluation]:
    """Cross-fit, evaluate by nesting, and fit the final head on all out-of-fold log-odds.

    Parameters
    ----------
    data, fold
        Labelled rows, and the fold of each (0 .. K-1, K at least 3).
    target_prior
        Share of FAKE to predict for; None keeps the training set's.
    settings
        Learner name to settings; :func:`ensemble.learners.registry.default_settings` by default.
    seed
        Of every random draw.
    jobs
        Fits side by side; changes no result.
    progress
        As in :func:`ensemble.cross_fit.cross_fit`.

    Returns
    -------
    model
        With an empty manifest; :func:`manifest_of` describes it.
    evaluation
        Honest scores.
    """
    settings = default_settings(len(data), data.n_groups) if settings is None else settings
    fitted = cross_fit(data, fold, settings, seed=seed, jobs=jobs, progress=progress)
    left_out = sources_left_out(data, settings, target_prior=target_prior, seed=seed, jobs=jobs)
    evaluation = evaluate(data, fold, fitted, left_out, target_prior, seed)
    rows = data.measured
    Z = np.stack([fitted.outer[name][rows] for name in fitted.outer], axis=1)
    head = fit_head(
        Z, data.y[rows], data.group[rows], fold[rows], learners=list(fitted.outer), target_prior=target_prior
    )
    return Model(data.layout, fitted.models, head, ground_without(data, rows, left_out)), evaluation


def manifest_of(
    model: Model, data: TrainingSet, fold: Int, evaluation: Evaluation, *, seed: int, synthetic: bool, table: str
) -> dict[str, Any]:
    """Training summary, scores and what each family does, for the manifest."""
    n_fake = int(data.y.sum())
    return {
        "seed": seed,
        "n_groups": data.n_groups,
        "summary": {
            "n_clips": len(data),
            "n_real": len(data) - n_fake,
            "n_fake": n_fake,
            "n_groups": data.n_groups,
            "n_folds": int(fold.max()) + 1,
            "n_unmeasured": int((~data.measured).sum()),
            "synthetic": synthetic,
            "data": table,
        },
        "metrics": {
            name: {score: value.as_dict() for score, value in scores.items()}
            for name, scores in evaluation.scores.items()
        },
        "ground": evaluation.left_out,
        "importance": family_importance(model, data, fold, seed=seed),
        "ablation": family_ablation(model, data, fold, seed=seed),
    }


def chosen_settings(data: TrainingSet, learners: str | None, file: Path | None, device: str) -> dict[str, Settings]:
    """Settings of the learners named (None: the default ones), with a search's findings put over the defaults.

    Raises
    ------
    InputError
        Unknown learner, or a settings file that is none.
    """
    known = list(learner_kinds())
    defaults = default_settings(len(data), data.n_groups)
    names = list(defaults) if learners is None else [name.strip() for name in learners.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--learners: {unknown[0]!r} is unknown; there are {', '.join(known)}")
    names = [name for name in known if name in names]
    if not names:
        raise InputError(f"--learners: name at least one of {', '.join(known)}")
    base = with_settings(next(iter(defaults.values())), {"device": device})
    if file is None:
        return dict.fromkeys(names, base)
    try:
        changes = json.loads(file.read_text(encoding="utf-8"))["settings"]
        return {name: with_settings(base, changes.get(name, {})) for name in names}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: not the settings that `ensemble.tune` writes ({error})") from error
