import numpy as np
import pytest

from ensemble.metrics import log_loss
from ensemble.stack import FITTERS, Stack, fit_stack, held_out


def expit(z):
    return 1 / (1 + np.exp(-z))


@pytest.fixture
def rows():
    """600 rows in 150 groups and 5 folds; log-odds that are true, twice too sure, and noise."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(150), 4)
    true = rng.normal(0, 1.5, 600)
    y = (rng.random(600) < expit(true)).astype(np.int64)
    Z = np.stack([true, 2 * true + 0.5 * rng.standard_normal(600), rng.standard_normal(600)], axis=1)
    return Z, y, group, group % 5


@pytest.mark.parametrize("kind", list(FITTERS))
def test_weights_are_never_negative_and_noise_gets_little(rows, kind):
    Z, y, _, _ = rows
    Z = np.c_[Z, -Z[:, 0]]
    few, many = (FITTERS[kind](Z, y, n_groups)[0] for n_groups in (150, 15_000))
    assert (few >= 0).all()
    assert few[2:].sum() < 0.2
    assert many[2:].sum() < 0.1
    assert (many >= 0).all()


@pytest.mark.parametrize("kind", list(FITTERS))
def test_better_than_every_learner_when_their_errors_differ(kind):
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 2, 2000)
    y = (rng.random(2000) < expit(truth)).astype(np.int64)
    Z = truth[:, None] + rng.normal(0, 1.5, (2000, 3))
    fold = np.arange(2000) % 5
    stacked = log_loss(y, expit(held_out(FITTERS[kind], Z, y, np.arange(2000), fold)))
    assert stacked < min(log_loss(y, expit(Z[:, one])) for one in range(3)) - 0.02


@pytest.mark.parametrize("seed", range(5))
def test_never_worse_than_the_best_learner_beyond_noise(seed):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(40), 3)
    truth = rng.normal(0, 1.5, 120)
    y = (rng.random(120) < expit(truth)).astype(np.int64)
    Z = np.stack([truth, *rng.normal(0, 1, (3, 120))], axis=1)
    fold = group % 5
    z = np.empty(120)
    for number in range(5):
        out = fold == number
        z[out] = fit_stack(Z[~out], y[~out], group[~out], fold[~out], list("abcd"))(Z[out])
    excess = np.logaddexp(0, z) - y * z - (np.logaddexp(0, truth) - y * truth)
    assert excess.mean() < 2 * excess.std() / np.sqrt(40) + 0.02


def test_few_groups_keep_the_weights_near_the_mean():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((12, 2))
    y = (Z[:, 0] > 0).astype(np.int64)
    few, _ = FITTERS["nonnegative"](Z, y, 4)
    many, _ = FITTERS["nonnegative"](Z, y, 4000)
    assert abs(few[0] - few[1]) < 1.0 < abs(many[0] - many[1])


def test_the_steadier_is_kept_unless_greedy_selection_is_clearly_better(rows):
    Z, y, group, fold = rows
    assert fit_stack(Z, y, group, fold, list("abc")).kind == "greedy"  # one learner is true, the others are not
    alike = Z[:, :1] + np.random.default_rng(1).normal(0, 0.5, (600, 3))
    assert fit_stack(alike, y, group, fold, list("abc")).kind == "nonnegative"


def test_stack_is_linear_and_survives_json(rows):
    Z, y, group, fold = rows
    stack = fit_stack(Z, y, group, fold, ["a", "b", "c"])
    assert Stack.from_dict(stack.as_dict()) == stack
    assert stack(Z[:2] + Z[2:4]) + stack(np.zeros((2, 3))) == pytest.approx(stack(Z[:2]) + stack(Z[2:4]))


def test_one_learner_stays_itself():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, 400)
    y = (rng.random(400) < expit(z)).astype(np.int64)
    stack = fit_stack(z[:, None], y, np.arange(400), np.arange(400) % 5, ["only"])
    assert stack.weights[0] == pytest.approx(1.0, abs=0.25)
