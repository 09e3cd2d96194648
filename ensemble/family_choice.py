"""Leave families out of tables that are too small for them, unless they help there.

``cnn_embedding`` has 133 columns, most of which describe camera, compression and person. In a table of a few hundred
clips a learner recognises the sources by them. A family of :data:`MIN_ROWS` is therefore left out of a table with fewer
labelled rows, and out of the model's layout, so that prediction need not measure it. It stays where a ridge regression
with it has a lower log loss on held-out rows than one without it, by more than two standard errors over groups. Whole
sources are held out where the table names enough of them, since the family recognises known sources too well
(docs/experiments/026); otherwise folds. Penalties are chosen inside each fit, so that the number of columns gives
neither side an advantage.
"""

from __future__ import annotations

import numpy as np

from ensemble.arrays import Array, Bool, Int
from ensemble.cross_fit import source_parts
from ensemble.learners.penalty_path import PenaltyPath, fit_path, losses_left_out
from ensemble.learners.preprocess import Inputs
from ensemble.metrics import logit_losses
from ensemble.selection import simplest
from ensemble.training_set import TrainingSet, only

MIN_ROWS = {"cnn_embedding": 3000}
"""Family to the number of labelled rows from which on it is always used."""
ERRORS = 2.0  # standard errors by which it must help in a smaller table: by chance, once in forty tables
PENALTIES = (1.0, 0.3, 0.1, 0.03)  # ridge penalty per row, strongest first
N_INNER = 3  # inner folds, by which a penalty is chosen
WITHOUT, WITH = "without", "with"


def choose_families(data: TrainingSet, fold: Int, *, seed: int = 0) -> TrainingSet:
    """Return the rows without the families that need a larger table and do not help in this one.

    Parameters
    ----------
    data
        Labelled rows.
    fold : ndarray of shape (n,)
        0 .. K-1, K at least 3; groups whole. Used where the table names too few sources.
    seed
        Seed of the parts in which sources are held out.

    Returns
    -------
    TrainingSet
        The same rows; ``data`` itself if every family stays.
    """
    for family, min_rows in MIN_ROWS.items():
        others = [name for name in data.layout.family_names if name != family]
        if len(data) >= min_rows or not others or family not in data.layout.family_names:
            continue
        reduced = only(data, others)
        sources = source_parts(data, seed=seed)
        part = sources if sources.max() > 0 else fold
        rows = reduced.measured & (part >= 0)
        if not rows.any():
            continue
        losses = {name: _losses(candidate, part, rows) for name, candidate in ((WITHOUT, reduced), (WITH, data))}
        if simplest(losses, data.group[rows], errors=ERRORS) == WITHOUT:
            data = reduced
    return data


def _losses(data: TrainingSet, part: Int, rows: Bool) -> Array:
    """Log loss [n_rows] of each of the ``rows`` [n] by a ridge regression that saw neither its part nor its group."""
    X, y, group, part = data.X[rows], data.y[rows], data.group[rows], part[rows]
    Z = Inputs.fit(X, data.layout.family_index).transform(X).astype(np.float64)  # ranks, which use no label
    loss = np.empty(len(y))
    for number in np.unique(part):
        held_out = part == number
        known = ~np.isin(group, group[held_out])
        penalty = _best_penalty(Z[known], y[known], group[known], part[known] % N_INNER)
        (w, b), *_ = _ridge(Z[known], y[known], (penalty,))
        loss[held_out] = logit_losses(y[held_out], Z[held_out] @ w + b)
    return loss


def _best_penalty(Z: Array, y: Int, group: Int, inner: Int) -> float:
    """Return the penalty with the lowest log loss on inner folds [n], each predicted without the groups in it."""
    splits = []
    for number in np.unique(inner):
        held_out = inner == number
        known = ~np.isin(group, group[held_out])
        splits.append((np.flatnonzero(known), np.flatnonzero(held_out)))
    return PENALTIES[int(np.argmin(losses_left_out(lambda Z, y: _ridge(Z, y, PENALTIES), Z, y, splits)))]


def _ridge(Z: Array, y: Int, penalties: tuple[float, ...]) -> PenaltyPath:
    """Fit a ridge regression on ``Z`` [n, d] at each penalty; with one class alone, its smoothed prior."""
    if len(np.unique(y)) < 2:
        prior = float(np.log((y.sum() + 0.5) / (len(y) - y.sum() + 0.5)))
        return [(np.zeros(Z.shape[1]), prior)] * len(penalties)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="lbfgs", warm_start=True, max_iter=200, tol=1e-4)
    return fit_path(model, Z, y, penalties, stops_early=True)
