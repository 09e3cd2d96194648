"""Nested cross-fitting: score every row by learners and a stack that were not fitted on it, at half the usual cost.

For each pair of folds (i, j) the learners are fitted without both. Their predictions for fold j serve the stack that
is scored on fold i, and vice versa: K(K-1)/2 inner fits in place of K(K-1). The K fits without one fold give the
out-of-fold log-odds that the final stack learns from, and are the final models.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.arrays import Array, Int
from ensemble.grouped_splits import grouped_splits
from ensemble.learners.base import Learner, LearnerSettings
from ensemble.learners.registry import learner_kinds
from ensemble.training_set import TrainingSet, sampled_rows
from features.threads import algebra_on_one_thread

Excluded = tuple[int, ...]
Progress = Callable[[int, int], None]
"""Called after every fit with the number of fits done and the number of all fits."""
MIN_SOURCES = 4  # fewer do not show how well a model does on a source that was left out
SOURCE_PARTS = 5


@dataclass(frozen=True)
class Fitted:
    """Log-odds out of fold, and the fitted models.

    ``outer[name]`` [n]: log-odds of each row by the model fitted without its fold. ``inner[name][i]`` [n]:
    log-odds of each row of the other folds by a model fitted without that row's fold and without fold i;
    NaN in fold i and where nothing was measured. ``models[name][i]``: the model fitted without fold i.
    """

    outer: dict[str, Array]
    inner: dict[str, list[Array]]
    models: dict[str, list[Learner]]


def cross_fit(
    data: TrainingSet,
    fold: Int,
    settings: Mapping[str, LearnerSettings],
    *,
    seed: int,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Fitted:
    """Fit every learner without each fold and without each pair of folds.

    Parameters
    ----------
    data
        Rows in which nothing was measured are not used.
    fold : ndarray of shape (n,)
        0 .. K-1, K at least 3.
    settings
        Learner name to settings; the learners that are fitted.
    seed
        Of every random draw.
    jobs
        Number of parallel fits, one thread each; results do not depend on it.
    progress
        See :data:`Progress`.
    """
    from joblib import Parallel, delayed

    n_folds = int(fold.max()) + 1
    singles: list[Excluded] = [(number,) for number in range(n_folds)]
    pairs: list[Excluded] = list(itertools.combinations(range(n_folds), 2))
    tasks = [(name, excluded) for excluded in singles + pairs for name in settings]
    n = len(data)
    fitted = Fitted(
        {name: np.full(n, np.nan) for name in settings},
        {name: [np.full(n, np.nan) for _ in range(n_folds)] for name in settings},
        {name: [] for name in settings},
    )
    # Threads: boosters, saga and BLAS work outside Python's lock, and the table is not copied. One thread a
    # fit: those of OpenMP and BLAS spin when the machine is busy, at three times the CPU.
    with algebra_on_one_thread(), Parallel(n_jobs=jobs, prefer="threads", return_as="generator") as parallel:
        results = parallel(
            delayed(fit_without)(data, fold, name, settings[name], excluded, seed) for name, excluded in tasks
        )
        for done, ((name, excluded), (rows, z, learner)) in enumerate(zip(tasks, results, strict=True), start=1):
            _record(fitted, fold, name, excluded, rows, z, learner)
            if progress is not None:
                progress(done, len(tasks))
    return fitted


def _record(fitted: Fitted, fold: Int, name: str, excluded: Excluded, rows: Int, z: Array, learner: Learner) -> None:
    if len(excluded) == 1:
        fitted.outer[name][rows] = z
        fitted.models[name].append(learner)
        return
    for scored, other in (excluded, excluded[::-1]):
        inside = fold[rows] == other
        fitted.inner[name][scored][rows[inside]] = z[inside]


def source_parts(data: TrainingSet, *, seed: int, max_rows: int | None = None) -> Int:
    """[n] part of each row, with whole sources and balanced classes; all 0 where the sources don't allow it.

    There are at most :data:`SOURCE_PARTS` parts. Rows without a source, rows in which nothing was measured, and rows
    outside a sample of ``max_rows`` of the rest (:func:`ensemble.training_set.sampled_rows`) get -1.
    """
    known = np.array([bool(name) for name in data.source]) & data.measured
    if max_rows is not None:
        known[known] = sampled_rows(data.group[known], max_rows, seed)
    part = np.where(known, 0, -1)
    names, source = np.unique(np.array(data.source)[known], return_inverse=True)
    y = data.y[known]
    n_parts = min(SOURCE_PARTS, len(names), int(np.bincount(y, minlength=1).max()))
    if len(names) < MIN_SOURCES or n_parts < 2:
        return part
    for number, (_, out) in enumerate(grouped_splits(y, source, n_parts, seed=seed)):
        part[np.flatnonzero(known)[out]] = number
    return part


def leave_sources_out(
    data: TrainingSet, part: Int, settings: Mapping[str, LearnerSettings], *, seed: int, jobs: int = 1
) -> Iterator[tuple[str, Int, Int, Array]]:
    """Predict each part's rows by models that saw none of its sources and none of its groups.

    Parameters
    ----------
    part : ndarray of shape (n,)
        The result of :func:`source_parts`; rows with -1 are not used.
    settings, seed, jobs
        As in :func:`cross_fit`.

    Yields
    ------
    name : str
        Name of the learner.
    seen, rows : ndarray
        The rows it was fitted on, and those that were left out.
    z : ndarray
        Log-odds of ``rows``.
    """
    from joblib import Parallel, delayed

    tasks: list[tuple[str, Int, Int, int]] = []
    for number in range(int(part.max()) + 1):
        out = part == number
        seen = ~np.isin(data.group, data.group[out]) & (part >= 0)
        if len(np.unique(data.y[seen])) == 2:
            tasks += [(name, np.flatnonzero(seen), np.flatnonzero(out), number) for name in settings]
    with algebra_on_one_thread(), Parallel(n_jobs=jobs, prefer="threads", return_as="generator") as parallel:
        learners = parallel(
            delayed(fit_rows)(data, name, settings[name], seen, task_seed(seed, (1000 + number,)))
            for name, seen, _, number in tasks
        )
        for (name, fitted_on, rows, _), learner in zip(tasks, learners, strict=True):
            yield name, fitted_on, rows, learner.predict_logit(data.X[rows])


def fit_without(
    data: TrainingSet, fold: Int, name: str, settings: LearnerSettings, excluded: Excluded, seed: int
) -> tuple[Int, Array, Learner]:
    """Fit a learner without some folds.

    Parameters
    ----------
    data, fold
        Labelled rows, and the fold of each [n].
    name, settings
        A key of :func:`ensemble.learners.registry.learner_kinds`, and the settings of the fit.
    excluded
        The folds left out, at least one.
    seed
        The fit is seeded by :func:`task_seed` of this seed.

    Returns
    -------
    rows : ndarray
        Positions of the measured rows of the folds left out.
    z : ndarray
        Log-odds of ``rows``.
    learner : Learner
    """
    out = np.isin(fold, excluded)
    learner = fit_rows(data, name, settings, np.flatnonzero(~out & data.measured), task_seed(seed, excluded))
    rows = np.flatnonzero(out & data.measured)
    return rows, learner.predict_logit(data.X[rows]), learner


def fit_rows(data: TrainingSet, name: str, settings: LearnerSettings, rows: Int, seed: int) -> Learner:
    """Fit one learner on the rows at the positions ``rows`` [k]."""
    learner = learner_kinds()[name](data.layout, settings)
    return learner.fit(data.X[rows], data.y[rows], data.group[rows], seed)


def task_seed(seed: int, excluded: Sequence[int]) -> int:
    """Return a seed for one fit that depends only on ``seed`` and on the folds that the fit leaves out."""
    return int(
        np.random.SeedSequence([seed, *(number + 1 for number in excluded)]).generate_state(1)[0] % (2**31 - 1000)
    )
