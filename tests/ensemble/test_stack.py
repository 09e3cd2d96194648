import numpy as np
import pytest

from ensemble.metrics import log_loss
from ensemble.selection import out_of_fold
from ensemble.stack import ERRORS, KINDS, Stack, bounded, fit_kind, fit_stack


def expit(z):
    return 1 / (1 + np.exp(-z))


def weights_of(kind, Z, y):
    return np.array(fit_kind(kind, Z, y, ["x"] * Z.shape[1], seed=0).weights)


def held_out(kind, Z, y, fold):
    return out_of_fold(lambda Z, y: fit_kind(kind, Z, y, ["x"] * Z.shape[1], seed=0), Z, y, fold)


@pytest.fixture
def rows():
    """600 rows in 150 groups and 5 folds; log-odds that are true, twice too large, and noise."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(150), 4)
    true = rng.normal(0, 1.5, 600)
    y = (rng.random(600) < expit(true)).astype(np.int64)
    Z = np.stack([true, 2 * true + 0.5 * rng.standard_normal(600), rng.standard_normal(600)], axis=1)
    return Z, y, group, group % 5


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_never_negative_and_noise_gets_little(rows, kind):
    Z, y, _, _ = rows
    Z = np.c_[Z, -Z[:, 0]]
    few, many = (weights_of(kind, np.tile(Z, (times, 1)), np.tile(y, times)) for times in (1, 25))
    assert (few >= 0).all()
    assert few[2:].sum() < 0.2
    assert many[2:].sum() < 0.1
    assert (many >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_better_than_every_learner_when_their_errors_differ(kind):
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 2, 2000)
    y = (rng.random(2000) < expit(truth)).astype(np.int64)
    Z = truth[:, None] + rng.normal(0, 1.5, (2000, 3))
    fold = np.arange(2000) % 5
    stacked = log_loss(y, expit(held_out(kind, Z, y, fold)))
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
        z[out] = fit_stack(Z[~out], y[~out], group[~out], fold[~out], list("abcd"))[0](Z[out])
    excess = np.logaddexp(0, z) - y * z - (np.logaddexp(0, truth) - y * truth)
    assert excess.mean() < 2 * excess.std() / np.sqrt(40) + 0.02


@pytest.mark.parametrize("kind", ["bounded", "nonnegative"])
def test_few_rows_keep_the_weights_near_the_mean(kind):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((12, 2))
    y = (Z[:, 0] > 0).astype(np.int64)
    few = weights_of(kind, Z, y)
    many = weights_of(kind, np.tile(Z, (1000, 1)), np.tile(y, 1000))
    assert abs(few[0] - few[1]) < 1.0 < abs(many[0] - many[1])


def test_the_constrained_kind_is_kept_unless_a_freer_one_is_clearly_better():
    rng = np.random.default_rng(2)
    sure = rng.normal(0, 5, 20_000)  # bounded, its best rows would count for less than they know
    y = (rng.random(20_000) < expit(sure)).astype(np.int64)
    Z = sure[:, None] + rng.normal(0, 0.3, (20_000, 3))
    group = np.arange(20_000)
    assert fit_stack(Z, y, group, group % 5, list("abc"))[0].kind == "nonnegative"
    assert fit_stack(Z[:200], y[:200], group[:200], group[:200] % 5, list("abc"))[0].kind == "bounded"


def test_false_certainty_costs_less_when_bounded():
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 1, 300)
    y = (rng.random(300) < expit(truth)).astype(np.int64)
    wild = np.where(rng.random((300, 3)) < 0.1, rng.normal(0, 10, (300, 3)), 0)
    Z = truth[:, None] + rng.normal(0, 0.5, (300, 3)) + wild
    fold = np.arange(300) % 5
    losses = {kind: log_loss(y, expit(held_out(kind, Z, y, fold))) for kind in ("bounded", "nonnegative")}
    assert losses["bounded"] < losses["nonnegative"] - 0.01


def test_bounded_log_odds_are_probabilities_on_a_scale_of_their_own():
    z = np.linspace(-40, 40, 81)
    assert bounded(z) == pytest.approx(4 * (expit(z) - 0.5))
    assert bounded(np.array([1e-3])) == pytest.approx([1e-3], rel=1e-5)


def test_evidence_is_bounded_alike_towards_both_classes():
    """Non-regression test: at 84 % FAKE the bound was just above the prior for FAKE and far from it for REAL."""
    centre = np.log(0.84 / 0.16)
    assert bounded(np.array([-60.0, centre, 60.0]), centre) == pytest.approx([centre - 2, centre, centre + 2])


def fake_heavy(n_fake, seed=0):
    """100 rows, of which ``n_fake`` are FAKE, and the calibrated log-odds of three learners."""
    rng = np.random.default_rng(seed)
    y = (np.arange(100) < n_fake).astype(np.int64)
    evidence = 4 * (y - 0.5) + 2 * rng.standard_normal(100)
    return evidence[:, None] + rng.standard_normal((100, 3)) + np.log(n_fake / (100 - n_fake)), y


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_labels_give_mirrored_log_odds(kind):
    Z, y = fake_heavy(84)
    one, mirrored = (fit_kind(kind, sign * Z, labels, list("abc"), seed=0) for sign, labels in ((1, y), (-1, 1 - y)))
    assert mirrored(-Z) == pytest.approx(-one(Z), abs=1e-3)
    assert one.centre == pytest.approx(-mirrored.centre)
    assert Stack.from_dict(one.as_dict()) == one


@pytest.mark.parametrize("n_fake", [16, 50, 84])
def test_limitless_evidence_moves_the_stack_alike_towards_both_classes(n_fake):
    Z, y = (np.concatenate(parts) for parts in zip(*(fake_heavy(n_fake, seed) for seed in range(10)), strict=True))
    prior = np.log(n_fake / (100 - n_fake))
    real, fake = fit_kind("bounded", Z, y, list("abc"), seed=0)(np.array([[-60.0] * 3, [60.0] * 3])) - prior
    assert fake == pytest.approx(-real, rel=0.25)


def test_the_stack_of_a_balanced_table_is_centred_on_0():
    Z, y = fake_heavy(50)
    stack = fit_kind("bounded", Z, y, list("abc"), seed=0)
    assert stack.centre == 0
    assert np.array_equal(stack.inputs(Z), 2 * np.tanh(Z / 2))


def test_a_stack_saved_before_it_had_a_centre_predicts_the_same():
    Z, _ = fake_heavy(84)
    state = {"kind": "bounded", "learners": ["a", "b", "c"], "weights": [0.5, 0.2, 0.1], "intercept": 0.3}
    assert np.array_equal(Stack.from_dict(state)(Z), 2 * np.tanh(Z / 2) @ np.array([0.5, 0.2, 0.1]) + 0.3)


def test_stack_is_a_weighted_sum_and_survives_json(rows):
    Z, y, group, fold = rows
    stack, z = fit_stack(Z, y, group, fold, ["a", "b", "c"])
    assert np.array_equal(z, held_out(stack.kind, Z, y, fold))
    assert Stack.from_dict(stack.as_dict()) == stack
    assert stack(Z) == pytest.approx(stack.inputs(Z) @ stack.weights + stack.intercept)
    assert np.array_equal(stack.inputs(Z), bounded(Z, stack.centre)) == (stack.kind == "bounded")


def test_the_bags_of_the_greedy_kind_follow_the_seed(rows):
    Z, y, _, _ = rows
    first, again, other = (fit_kind("greedy", Z, y, list("abc"), seed=seed).weights for seed in (1, 1, 2))
    assert first == again != other


def test_one_learner_stays_itself():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, 400)
    y = (rng.random(400) < expit(z)).astype(np.int64)
    stack, _ = fit_stack(z[:, None], y, np.arange(400), np.arange(400) % 5, ["only"])
    assert stack.kind == "nonnegative"
    assert stack.weights[0] == pytest.approx(1.0, abs=0.25)


def test_kinds_of_stack_are_compared_by_groups(monkeypatch):
    given = []
    monkeypatch.setattr(
        "ensemble.stack.simplest", lambda losses, group, errors: given.append((group, errors)) or "bounded"
    )
    rng, group = np.random.default_rng(0), np.repeat(np.arange(10), 6)
    fit_stack(rng.normal(size=(60, 2)), rng.integers(0, 2, 60), group, group % 5, list("ab"))
    assert np.array_equal(given[0][0], group)
    assert given[0][1] == ERRORS


@pytest.mark.parametrize("kind", ["bounded", "nonnegative"])
def test_without_evidence_the_weights_are_equal(kind):
    found = fit_kind(kind, np.zeros((10, 4)), np.arange(10) % 2, list("abcd"), seed=0)
    assert found.weights == pytest.approx([0.25] * 4)
