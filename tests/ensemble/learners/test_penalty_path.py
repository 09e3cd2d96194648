"""Fits along a path of penalties, and the loss on rows left out that a penalty is chosen by."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ensemble.learners.penalty_path import fit_path, losses_left_out

PENALTIES = (1.0, 0.1, 0.01)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((80, 3))
    return Z, (Z[:, 0] + rng.standard_normal(80) > 0).astype(np.int64)


def model(**changes):
    return LogisticRegression(**{"warm_start": True, "tol": 1e-10, "max_iter": 1000} | changes)


def test_a_step_of_the_path_is_the_fit_at_its_penalty_alone(rows):
    path = fit_path(model(), *rows, PENALTIES)
    for penalty, (w, b) in zip(PENALTIES, path, strict=True):
        alone = LogisticRegression(C=1 / (80 * penalty), tol=1e-10).fit(*rows)
        assert w == pytest.approx(alone.coef_[0], abs=1e-6)
        assert b == pytest.approx(alone.intercept_[0], abs=1e-6)
    sizes = [np.linalg.norm(w) for w, _ in path]
    assert sizes == sorted(sizes)


def test_penalties_are_per_row(rows):
    Z, y = rows
    once, twice = (fit_path(model(), np.tile(Z, (n, 1)), np.tile(y, n), PENALTIES) for n in (1, 2))
    for (w, b), (w2, b2) in zip(once, twice, strict=True):
        assert np.r_[w, b] == pytest.approx(np.r_[w2, b2], abs=1e-6)


def test_only_a_fit_that_is_meant_to_stop_early_does_so_quietly(rows):
    short = model(max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        fit_path(short, *rows, PENALTIES, stops_early=True)
    with pytest.warns(ConvergenceWarning):
        fit_path(model(max_iter=1), *rows, PENALTIES)


def test_the_loss_is_the_sum_over_the_rows_left_out_of_every_split():
    """Odds of 1 and of 3 to 1 for FAKE: log 2 a row; log 4 a REAL, log 4/3 a FAKE."""
    y = np.array([1, 0, 0, 1])
    seen = []

    def fit(Z, y):
        seen.append((Z.ravel().tolist(), y.tolist()))
        return [(np.zeros(1), 0.0), (np.zeros(1), np.log(3))]

    splits = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 1, 2]), np.array([3]))]
    losses = losses_left_out(fit, np.arange(4.0)[:, None], y, splits)
    assert losses == pytest.approx([3 * np.log(2), np.log(4) + 2 * np.log(4 / 3)])
    assert seen == [([2.0, 3.0], [0, 1]), ([0.0, 1.0, 2.0], [1, 0, 0])]
