"""Nested cross-fitting: every score from rows that no stage was fitted on, at half the usual cost.

For each pair of folds (i, j) the learners are fitted without both. What they say of fold j serves the stack
that is judged on fold i, and the other way round: K(K-1)/2 inner fits in place of K(K-1). The K fits
without one fold give the out-of-fold log-odds that the final stack learns from, and are the final models.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.learners import Learner, Settings, learner_kinds
from ensemble.matrix import Int, TrainingSet

Array = NDArray[np.float64]
Excluded = tuple[int, ...]


@dataclass(frozen=True)
class Fitted:
    """What cross-fitting leaves behind.

    ``outer[name]`` [n]: log-odds of each row by the model fitted without its fold. ``inner[name][i]`` [n]:
    log-odds of each row of the other folds by a model fitted without that row's fold and without fold i;
    NaN in fold i and where nothing was measured. ``models[name][i]``: the model fitted without fold i.
    """

    outer: dict[str, Array] = field(default_factory=dict)
    inner: dict[str, list[Array]] = field(default_factory=dict)
    models: dict[str, list[Learner]] = field(default_factory=dict)


def cross_fit(
    data: TrainingSet,
    fold: Int,
    settings: dict[str, Settings],
    *,
    seed: int,
    jobs: int = 1,
    progress: Callable[[Iterator[Any], int], Iterator[Any]] | None = None,
) -> Fitted:
    """Fit every learner without each fold and without each pair of folds.

    Parameters
    ----------
    data
        Rows in which nothing was measured take no part.
    fold : ndarray of shape (n,)
        0 .. K-1, K at least 3.
    settings
        Learner name to settings; the learners that are fitted.
    jobs
        Fits side by side, one thread each; results do not depend on it.
    progress
        Wraps the iterator of finished fits, given their number.
    """
    from joblib import Parallel, delayed

    n_folds = int(fold.max()) + 1
    singles: list[Excluded] = [(one,) for one in range(n_folds)]
    pairs: list[Excluded] = list(itertools.combinations(range(n_folds), 2))
    tasks = [(name, excluded) for excluded in singles + pairs for name in settings]
    # Threads: the boosters and saga work outside Python's lock, and the table is not copied.
    results = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
        delayed(fit_without)(data, fold, name, settings[name], excluded, seed) for name, excluded in tasks
    )
    finished = progress(results, len(tasks)) if progress else results
    n = len(data)
    fitted = Fitted(
        {name: np.full(n, np.nan) for name in settings},
        {name: [np.full(n, np.nan) for _ in range(n_folds)] for name in settings},
        {name: [] for name in settings},
    )
    for (name, excluded), (rows, z, learner) in zip(tasks, finished, strict=True):
        if len(excluded) == 1:
            fitted.outer[name][rows] = z
            fitted.models[name].append(learner)
        else:
            for judged, serving in (excluded, excluded[::-1]):
                served = fold[rows] == serving
                fitted.inner[name][judged][rows[served]] = z[served]
    return fitted


def fit_without(
    data: TrainingSet, fold: Int, name: str, settings: Settings, excluded: Excluded, seed: int
) -> tuple[Int, Array, Learner]:
    """Fit one learner without some folds; its log-odds of their measured rows, and those rows."""
    out = np.isin(fold, excluded)
    fit_rows = np.flatnonzero(~out & data.measured)
    rows = np.flatnonzero(out & data.measured)
    learner = learner_kinds()[name](data.layout, settings)
    learner.fit(
        data.X[fit_rows], data.y[fit_rows], data.group[fit_rows], np.ones(len(fit_rows)), task_seed(seed, excluded)
    )
    return rows, learner.predict_logit(data.X[rows]), learner


def task_seed(seed: int, excluded: Sequence[int]) -> int:
    """A seed for one fit that depends on what it leaves out and on nothing else."""
    return int(np.random.SeedSequence([seed, *(one + 1 for one in excluded)]).generate_state(1)[0] % (2**31 - 1000))
