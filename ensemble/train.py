"""Train the ensemble: choice of families, folds, learners out of fold, stack, calibration, OOD shrinkage, prior, clip.

:func:`train_table` does all of this on a feature table, without files::

    from ensemble.store import save_model
    from ensemble.train import train_table
    from features.table import read_table

    model, evaluation = train_table(read_table("features.parquet"))
    evaluation.scores["stack"]["log_loss"].value
    save_model(model, "my_model", evaluation.tables())
"""

from __future__ import annotations

import json
import numbers
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ensemble.arrays import Int
from ensemble.compatibility import warn_of_other_versions
from ensemble.cross_fit import Progress, cross_fit
from ensemble.evaluate import Evaluation, evaluate, fit_head, shrinkage_without, sources_left_out
from ensemble.family_choice import choose_families
from ensemble.folds import check_folds, given_folds, new_folds
from ensemble.importance import family_attribution, permutation_importance
from ensemble.learners.base import LearnerSettings
from ensemble.learners.registry import check_learners, columns_read, default_settings, learner_kinds
from ensemble.model import Model
from ensemble.training_set import TrainingSet, read_by, training_set
from features.errors import InputError, TableError
from features.table import description

TARGET_PRIOR = 0.5  # the challenge's test sets (Dolhansky et al. 2020)


def train_table(  # noqa: PLR0913 - the options of a training, all by keyword
    table: pa.Table,
    *,
    folds: str | Path | pa.Table | None = None,
    n_folds: int | None = None,
    target_prior: float | None = TARGET_PRIOR,
    learners: Sequence[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "cpu",
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
    name: str = "the table",
    synthetic: bool = False,
) -> tuple[Model, Evaluation]:
    """Train on the labelled rows of a feature table, as ``deepcue train`` does, without files.

    Parameters
    ----------
    table
        The result of :func:`features.table.read_table`; rows without a label are ignored.
    folds
        Fold assignment to use: a ``folds.parquet``, or a table with filename, group and fold such as
        ``evaluation.tables()["folds.parquet"]`` of another training. None makes a new one from ``seed``.
    n_folds
        3 or more. None takes the number of ``folds``, or :func:`ensemble.folds.usual_folds`.
    target_prior
        Fraction of FAKE clips to predict for, between 0 and 1; None keeps that of the table.
    learners
        Keys of :func:`ensemble.learners.registry.learner_kinds`; None takes those that suit the size of the table.
    settings
        Learner name to changes of its default :class:`~ensemble.learners.base.LearnerSettings`, as ``deepcue tune``
        finds them.
    device
        ``"cpu"`` or ``"cuda"``, for XGBoost.
    seed
        Seed of every random draw; equal seeds give equal models.
    jobs
        Number of parallel fits; results do not depend on it.
    progress
        Called after every fit with the number of fits done and the number of all fits.
    name
        Name of the table in messages; the manifest keeps its last part.
    synthetic
        Mark the scores as those of synthetic data.

    Returns
    -------
    model
        With a complete manifest; :func:`ensemble.store.save_model` writes it.
    evaluation
        Scores on rows that neither learners nor head were fitted on, and the predictions behind them.

    Raises
    ------
    TableError
        No labels, one class only, a clip that appears twice, no feature column, nothing measured in a class, or folds
        of another table.
    InputError
        Too few groups, an unknown learner, or an option out of range.
    """
    _check_options(target_prior, n_folds, seed, jobs)
    target_prior = None if target_prior is None else float(target_prior)  # JSON holds no numpy scalar
    data = training_set(table, name)
    warn_of_other_versions(data.layout, name)
    chosen = choose_settings(data, learners, settings, device)  # refuses what is wrong before the first fit
    if len(np.unique(data.y[data.measured])) < 2:
        raise TableError(
            f"{name}: in all clips of one class nothing was measured; extract them again, see column error"
        )
    if folds is None:
        fold = new_folds(data, n_folds=n_folds, seed=seed)
    else:
        folds = folds if isinstance(folds, pa.Table) else Path(folds)
        clips = (data.filename, data.names_of_groups, data.y)
        fold = given_folds(folds, *clips, measured=data.measured, n_folds=n_folds)
    given, data = data, choose_families(data, fold, seed=seed)
    model, evaluation = train(
        data, fold, target_prior=target_prior, settings=chosen, seed=seed, jobs=jobs, progress=progress
    )
    model.manifest.update(
        manifest_of(model, data, fold, evaluation, seed=seed, synthetic=bool(synthetic), table=Path(name).name),
        tuned=settings is not None,
        extractor=description(table).get("extractor"),
        left_out_families=sorted(given.layout.families.keys() - data.layout.families.keys()),
    )
    return model, evaluation


def _check_options(target_prior: float | None, n_folds: int | None, seed: int, jobs: int) -> None:
    if target_prior is not None and not (isinstance(target_prior, numbers.Real) and 0 < target_prior < 1):
        raise InputError(f"target prior {target_prior!r}: give a number between 0 and 1")
    if n_folds is not None and not isinstance(n_folds, numbers.Integral):
        raise InputError(f"folds = {reprlib.repr(n_folds)}: must be a whole number, a file or a table")
    if not (isinstance(seed, numbers.Integral) and 0 <= seed < 2**32):
        raise InputError(f"seed = {seed!r}: must be a whole number from 0 to {2**32 - 1}")
    if not (isinstance(jobs, numbers.Integral) and (jobs >= 1 or jobs == -1)):
        raise InputError(f"jobs = {jobs!r}: must be a whole number above 0, or -1 for every core")


def train(
    data: TrainingSet,
    fold: Int,
    *,
    target_prior: float | None = TARGET_PRIOR,
    settings: Mapping[str, LearnerSettings] | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[Model, Evaluation]:
    """Cross-fit, evaluate by nesting, and fit the final head on all out-of-fold log-odds.

    Rows in which no cue that a learner reads was measured are left out of the fits: the model predicts the prior for
    them, whatever else was measured.

    Parameters
    ----------
    data, fold
        Labelled rows, and the fold of each [n] (0 .. K-1, K at least 3).
    target_prior
        Fraction of FAKE clips to predict for; None keeps that of the training set.
    settings
        Learner name to settings; :func:`ensemble.learners.registry.default_settings` by default.
    seed
        Seed of every random draw.
    jobs
        Number of parallel fits; results do not depend on it.
    progress
        As in :func:`ensemble.cross_fit.cross_fit`.

    Returns
    -------
    model
        With an empty manifest; :func:`manifest_of` describes it.
    evaluation
        Scores on rows that neither learners nor head were fitted on: :mod:`ensemble.evaluate`.

    Raises
    ------
    InputError
        A learner can't read the table, or measured rows of a class are in too few folds.
    """
    settings = default_settings(len(data), data.n_groups) if settings is None else settings
    for name, chosen in settings.items():
        learner_kinds()[name](data.layout, chosen)  # refuses a table without the columns that it needs
    data = read_by(data, columns_read(data.layout.columns, settings))
    check_folds(data.y, fold, data.measured)  # again: fewer rows may be measured in the columns that are read
    fitted = cross_fit(data, fold, settings, seed=seed, jobs=jobs, progress=progress)
    left_out = sources_left_out(data, settings, target_prior=target_prior, seed=seed, jobs=jobs)
    evaluation = evaluate(data, fold, fitted, left_out, target_prior=target_prior, seed=seed)
    rows = data.measured
    Z = np.stack([fitted.outer[name][rows] for name in fitted.outer], axis=1)
    head = fit_head(
        Z, data.y[rows], data.group[rows], fold[rows], learners=list(fitted.outer), target_prior=target_prior, seed=seed
    )
    return Model(data.layout, fitted.models, head, shrinkage_without(data, rows, left_out, seed=seed)), evaluation


def manifest_of(
    model: Model, data: TrainingSet, fold: Int, evaluation: Evaluation, *, seed: int, synthetic: bool, table: str
) -> dict[str, Any]:
    """Return training summary, scores and the importance of each family, for the manifest.

    Parameters
    ----------
    model, evaluation
        The result of :func:`train` on ``data`` and ``fold``.
    seed, synthetic, table
        Seed of the training; whether the clips are synthetic; name of the table.
    """
    n_fake = int(data.y.sum())
    measured = evaluation.clips["measured"].to_numpy()
    data = replace(data, measured=measured)
    return {
        "seed": int(seed),
        "n_groups": data.n_groups,
        "summary": {
            "n_clips": len(data),
            "n_real": len(data) - n_fake,
            "n_fake": n_fake,
            "n_groups": data.n_groups,
            "n_folds": int(fold.max()) + 1,
            "n_unmeasured": int((~model.measured(data.X)).sum()),
            "synthetic": synthetic,
            "data": table,
        },
        "metrics": {
            name: {score: value.as_dict() for score, value in scores.items()}
            for name, scores in evaluation.scores.items()
        },
        "shrinkage": {**evaluation.left_out, "a": model.shrinkage.a, "b": model.shrinkage.b},
        "attribution": family_attribution(evaluation.models, data, fold, seed=seed),
        "permutation_importance": permutation_importance(evaluation.models, data, fold, seed=seed),
    }


def choose_settings(
    data: TrainingSet,
    learners: Sequence[str] | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "cpu",
) -> dict[str, LearnerSettings]:
    """Return the settings of the named learners, in the order of the registry.

    Parameters
    ----------
    learners
        None takes those that suit the size of the data.
    changes
        Learner name to changes of the default settings.
    device
        ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    InputError
        No learner, an unknown learner, also in ``changes``, or a setting that is unknown or out of range, also one of
        a learner that is not named.
    """
    defaults = default_settings(len(data), data.n_groups)
    names = list(defaults) if learners is None else list(learners)
    check_learners(names)
    if unknown := [name for name in changes or {} if name not in learner_kinds()]:
        raise InputError(f"settings: no learner is called {unknown[0]!r}; there are {', '.join(learner_kinds())}")
    base = replace(next(iter(defaults.values())), device=device)
    try:
        changed = {name: replace(base, **(changes or {}).get(name, {})) for name in learner_kinds()}
    except TypeError as error:
        known = ", ".join(field.name for field in fields(LearnerSettings))
        raise InputError(f"settings: {error}; there are {known}") from error
    return {name: settings for name, settings in changed.items() if name in names}


def read_settings(file: Path) -> dict[str, dict[str, Any]]:
    """Read the changes of settings by learner from the ``settings.json`` that ``deepcue tune`` writes.

    Raises
    ------
    InputError
        The file is missing or of another kind.
    """
    try:
        changes = json.loads(file.read_text(encoding="utf-8"))["settings"]
        return {name: dict(values) for name, values in changes.items()}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: not the settings that `deepcue tune` writes ({error})") from error
