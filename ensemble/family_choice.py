"""Which families a table is large enough for: some are left out of smaller ones, unless they help there.

``cnn_embedding`` has 133 columns, most of which describe the picture: camera, compression, person. Of a table of some
hundred clips a learner recognises the sources by them. A family of :data:`LEAST_ROWS` is therefore left out of a table
with fewer labelled rows, from the model's layout as well, so that prediction need not measure it. It stays where a
ridge regression with it has a lower log loss on what was left out than one without, by more than two standard errors
over groups: whole sources are left out where the table names enough of them, since known sources are what it tells too
well (docs/experiments/026), else folds. Penalties are chosen inside each fit, so that neither has an advantage by its
number of columns.
"""

from __future__ import annotations

import warnings

import numpy as np

from ensemble.arrays import Array, Bool, Int
from ensemble.cross_fit import source_parts
from ensemble.learners.preprocess import Inputs
from ensemble.metrics import logit_losses
from ensemble.selection import simplest
from ensemble.training_set import TrainingSet, only

LEAST_ROWS = {"cnn_embedding": 3000}
"""Family to the labelled rows from which on it is always used."""
ERRORS = 2.0  # standard errors by which it must help below: chance does it once in forty tables
PENALTIES = (1.0, 0.3, 0.1, 0.03)  # ridge penalty per row
N_INNER = 3  # parts of what is left, by which a penalty is chosen
WITHOUT, WITH = "without", "with"


def suited(data: TrainingSet, fold: Int) -> TrainingSet:
    """The rows with the families that a table of their number carries.

    Parameters
    ----------
    data
        Labelled rows.
    fold : ndarray of shape (n,)
        0 .. K-1, K at least 3; groups whole.

    Returns
    -------
    TrainingSet
        The same rows; ``data`` itself where every family stays.
    """
    for family, least in LEAST_ROWS.items():
        others = [name for name in data.layout.family_names if name != family]
        if len(data) >= least or not others or family not in data.layout.family_names:
            continue
        rest = only(data, others)
        part = source_parts(data, seed=0)
        part = part if part.max() > 0 else fold
        rows = rest.measured & (part >= 0)
        if not rows.any():
            continue
        losses = {name: _losses(one, part, rows) for name, one in ((WITHOUT, rest), (WITH, data))}
        if simplest(losses, data.group[rows], errors=ERRORS) == WITHOUT:
            data = rest
    return data


def _losses(data: TrainingSet, part: Int, rows: Bool) -> Array:
    """Log loss of each of the ``rows`` [n] by a ridge regression that saw neither its part nor its group."""
    X, y, group, part = data.X[rows], data.y[rows], data.group[rows], part[rows]
    Z = Inputs.fit(X, data.layout.family_index).transform(X).astype(np.float64)  # ranks: no label takes part
    inner = part % N_INNER
    loss = np.empty(len(y))
    for number in np.unique(part):
        out = part == number
        rest = ~np.isin(group, group[out])
        total = np.zeros(len(PENALTIES))
        for k in np.unique(inner[rest]):
            held = rest & (inner == k)
            fitted = rest & ~np.isin(group, group[held])
            total += [logit_losses(y[held], z).sum() for z in _ridge(Z[fitted], y[fitted], Z[held], PENALTIES)]
        best = PENALTIES[int(np.argmin(total))]
        loss[out] = logit_losses(y[out], _ridge(Z[rest], y[rest], Z[out], (best,))[0])
    return loss


def _ridge(Z: Array, y: Int, Z_new: Array, penalties: tuple[float, ...]) -> list[Array]:
    """Log-odds of new rows for each penalty, strongest first; those of the prior where one class alone is known."""
    if len(np.unique(y)) < 2:
        return [np.full(len(Z_new), float(np.log((y.sum() + 0.5) / (len(y) - y.sum() + 0.5))))] * len(penalties)
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="lbfgs", warm_start=True, max_iter=200, tol=1e-4)
    found = []
    for penalty in penalties:
        model.C = 1 / (penalty * len(y))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(Z, y)
        found.append(np.asarray(model.decision_function(Z_new)))
    return found
