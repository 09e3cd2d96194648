import tracemalloc

import numpy as np
import pytest
from sklearn import metrics as reference

from ensemble import metrics


@pytest.fixture
def scored(rng):
    y = (rng.random(400) < 0.6).astype(np.int64)
    p = np.clip(rng.normal(0.4 + 0.2 * y, 0.15), 0.01, 0.99).round(2)  # rounded: ties
    return y, p, rng.integers(1, 4, 400).astype(float)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.log_loss, lambda y, p, w: reference.log_loss(y, p, sample_weight=w)),
        (metrics.brier, lambda y, p, w: reference.brier_score_loss(y, p, sample_weight=w)),
        (metrics.auc, lambda y, p, w: reference.roc_auc_score(y, p, sample_weight=w)),
    ],
)
def test_agrees_with_scikit_learn(scored, ours, theirs):
    y, p, w = scored
    assert ours(y, p) == pytest.approx(theirs(y, p, None))
    assert ours(y, p, w) == pytest.approx(theirs(y, p, w))


@pytest.mark.parametrize("name", ["log_loss", "brier", "auc", "eer", "ece"])
def test_a_weight_of_two_is_a_row_twice(scored, name):
    y, p, w = scored
    score = getattr(metrics, name)
    times = w.astype(int)
    if name == "ece":  # the number of bins follows the rows
        y, p, times = y[:25], p[:25], np.full(25, 1)
    assert score(y, p, times.astype(float)) == pytest.approx(score(np.repeat(y, times), np.repeat(p, times)))


def test_chance_scores_log_two():
    y = np.array([0, 1, 1, 0])
    assert metrics.log_loss(y, np.full(4, 0.5)) == pytest.approx(np.log(2))


def test_certain_and_wrong_costs_much_and_stays_finite():
    assert 30 < metrics.log_loss(np.array([1]), np.array([0.0])) < 40


def test_equal_error_rate_of_known_scores():
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert metrics.eer(y, np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])) == 0
    assert metrics.eer(y, np.array([0.1, 0.2, 0.3, 0.65, 0.6, 0.7, 0.8, 0.9])) == pytest.approx(0.25)
    assert metrics.eer(y, np.full(8, 0.5)) == pytest.approx(0.5)
    assert metrics.eer(1 - y, np.arange(8) / 8) == pytest.approx(1.0)


def test_calibration_error_of_known_bins():
    y = np.repeat([1, 0, 1, 0], [40, 60, 90, 10])
    p = np.repeat([0.3, 0.9], [100, 100])
    assert metrics.ece(y, p) == pytest.approx(0.5 * 0.1 + 0.5 * 0.0)


def test_calibrated_scores_have_little_calibration_error(rng):
    p = rng.random(20_000)
    y = (rng.random(20_000) < p).astype(np.int64)
    assert metrics.ece(y, p) < 0.015
    assert metrics.ece(y, np.clip(p * 1.5, 0, 1)) > 0.1


def test_pairs_count_within_groups_only():
    y = np.array([1, 0, 1, 0, 1, 1])
    group = np.array([0, 0, 1, 1, 2, 2])
    p = np.array([0.2, 0.1, 0.8, 0.9, 0.5, 0.5])
    assert metrics.group_concordances(y, p, group).tolist() == [1.0, 0.0]
    assert metrics.group_concordances(y, np.full(6, 0.3), group).tolist() == [0.5, 0.5]
    assert len(metrics.group_concordances(np.ones(6, int), p, group)) == 0


def test_groups_count_alike_in_pairs_however_many_fakes_they_hold():
    y = np.array([0, 1, 1, 1, 1, 0, 1])
    group = np.array([0, 0, 0, 0, 0, 1, 1])
    p = np.array([0.5, 0.9, 0.9, 0.9, 0.9, 0.5, 0.1])
    assert metrics.group_concordances(y, p, group).mean() == 0.5
    score = metrics.all_scores(y, p, p, 0.5, group, n_resamples=5)["within_group_concordance"]
    assert score.value == 0.5


def test_pairs_of_a_large_group_take_no_square_of_its_memory(rng):
    """Non-regression test: they took 9 bytes for each pair, which 20,000 rows in a group did not have."""
    n = 20_000
    y, p, group = np.arange(n) % 2, rng.random(n).round(2), np.zeros(n, int)
    tracemalloc.start()
    found = metrics.group_concordances(y, p, group)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx(reference.roc_auc_score(y, p))
    assert peak < 20e6


def test_row_losses_of_log_odds_are_those_of_probabilities(scored):
    y, p, _ = scored
    z = np.log(p) - np.log1p(-p)
    assert metrics.logit_losses(y, z).mean() == pytest.approx(metrics.log_loss(y, p))
    assert metrics.logit_losses(np.array([0.5]), np.array([0.0])) == pytest.approx(np.log(2))
    assert np.isfinite(metrics.logit_losses(np.array([0, 1]), np.array([900.0, -900.0]))).all()


def test_prior_weights_move_the_share_and_keep_the_sum():
    y = np.array([1, 1, 1, 0])
    w = metrics.prior_weights(y, 0.5)
    assert w[y == 1].sum() == pytest.approx(w[y == 0].sum())
    assert w.sum() == pytest.approx(4)


def test_a_resample_without_a_class_does_not_count_at_the_target_prior():
    """One REAL group of three, judged wrongly: a third of the resamples lack it and would have no loss at all."""
    y, p, group = np.array([0, 1, 1]), np.array([0.9, 0.9, 0.9]), np.arange(3)
    score = metrics.all_scores(y, p, p, 0.5, group)["log_loss_target_prior"]
    both = -(np.log(0.1) + np.log(0.9)) / 2  # in every resample that holds both classes
    assert (score.value, score.low, score.high) == pytest.approx((both, both, both))
    assert np.isnan(metrics.mean_at_prior(np.ones(3), y, 0.5, np.array([0.0, 1.0, 2.0])))


@pytest.mark.parametrize("score", [metrics.auc, metrics.eer])
def test_one_class_is_undefined(score):
    assert np.isnan(score(np.ones(3, int), np.array([0.1, 0.5, 0.9])))


@pytest.mark.parametrize("score", [metrics.log_loss, metrics.brier, metrics.auc, metrics.eer, metrics.ece])
def test_no_rows_are_undefined(score):
    assert np.isnan(score(np.empty(0, int), np.empty(0)))


def test_interval_is_wider_when_rows_come_in_groups(scored):
    y, p, _ = scored
    score = {"log_loss": lambda w: metrics.log_loss(y, p, w)}
    alone = metrics.with_intervals(score, np.arange(400))["log_loss"]
    loss = -np.log(np.where(y == 1, p, 1 - p))
    alike = np.empty(400, int)
    alike[np.argsort(loss)] = np.arange(400) // 20  # groups of equal difficulty: 20 facts instead of 400
    grouped = metrics.with_intervals(score, alike)["log_loss"]
    assert alone.low < alone.value < alone.high
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_interval_of_a_mean_is_that_of_theory(rng):
    values = rng.standard_normal(500)
    score = metrics.with_intervals({"mean": lambda w: float(np.average(values, weights=w))}, np.arange(500))["mean"]
    assert score.high - score.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(500), rel=0.12)


def test_all_scores_do_not_depend_on_the_order_of_rows(scored, rng):
    y, p, _ = scored
    group = np.arange(400) // 4
    order = rng.permutation(400)
    first = metrics.all_scores(y, p, p, 0.5, group, n_resamples=20)
    second = metrics.all_scores(y[order], p[order], p[order], 0.5, group[order], n_resamples=20)
    for name in first:
        assert first[name].value == pytest.approx(second[name].value)
        assert first[name].low == pytest.approx(second[name].low)


def test_target_prior_reweights_the_classes(scored):
    y, p, _ = scored
    loss = metrics.all_scores(y, p, p, 0.5, np.arange(400), n_resamples=5)["log_loss_target_prior"].value
    by_class = [metrics.log_loss(y[y == one], p[y == one]) for one in (0, 1)]
    assert loss == pytest.approx(np.mean(by_class))


def test_target_prior_scores_the_probabilities_at_that_prior():
    y, group = np.array([0, 0, 1, 1]), np.arange(4)
    p, p_target = np.full(4, 0.9), np.full(4, 0.5)
    scores = metrics.all_scores(y, p, p_target, 0.5, group, n_resamples=5)
    assert scores["log_loss_target_prior"].value == pytest.approx(np.log(2))
    assert scores["log_loss"].value == pytest.approx(-(np.log(0.9) + np.log(0.1)) / 2)


def test_interval_holds_the_same_share_on_either_side():
    low, high = metrics._interval(np.arange(1001.0))
    assert (low, high) == pytest.approx((25.0, 975.0))


def test_the_interval_of_the_calibration_error_holds_its_value():
    rng = np.random.default_rng(0)
    p = rng.random(600)
    y = (rng.random(600) < p).astype(np.int64)  # calibrated: a resample's error is larger by chance alone
    score = metrics.all_scores(y, p, p, 0.5, np.arange(600), n_resamples=200)["ece"]
    assert 0 <= score.low < score.value < score.high
    assert (score.low + score.high) / 2 == pytest.approx(score.value, abs=0.25 * (score.high - score.low))


def test_the_interval_of_the_calibration_error_is_not_below_0():
    y, p = np.repeat([1, 0, 1, 0], [30, 70, 70, 30]), np.repeat([0.3, 0.7], 100)  # exactly calibrated
    score = metrics.all_scores(y, p, p, 0.5, np.arange(200), n_resamples=100)["ece"]
    assert score.value == pytest.approx(0, abs=1e-9)
    assert score.low == 0


def test_bins_of_the_calibration_error_hold_equal_weight():
    p = np.linspace(0.01, 0.99, 30)  # two bins, 15 rows each
    _, _, weight = metrics.reliability(np.zeros(30, int), p)
    assert weight == pytest.approx([0.5, 0.5])


def test_resamples_are_drawn_one_at_a_time():
    """Non-regression test: 300 resamples of a million groups took 2.4 GB."""
    resamples = metrics.group_weights(np.arange(1000), 10**12, seed=0)
    assert [int(next(resamples).sum()) for _ in range(2)] == [1000, 1000]
