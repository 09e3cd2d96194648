import json

import numpy as np
import pytest

from ensemble import calibrate, evaluate, selection
from ensemble.calibrate import KINDS, Calibration, fit_calibration, fit_kind
from ensemble.stack import fit_stack

GRID = np.linspace(-8, 8, 401)


def expit(z):
    return 1 / (1 + np.exp(-z))


def sample(n=4000, seed=0, spread=2.0):
    """True log-odds and labels drawn from them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.5, spread, n)
    return z, (rng.random(n) < expit(z)).astype(np.int64)


def loss(y, z):
    return np.mean(np.logaddexp(0, z) - y * z)


@pytest.mark.parametrize("kind", KINDS)
def test_leaves_calibrated_scores_alone(kind):
    z, y = sample()
    fresh, labels = sample(seed=1)
    fitted = fit_kind(kind, z, y)
    assert loss(labels, fitted(fresh)) < loss(labels, fresh) + 0.02


@pytest.mark.parametrize("kind", KINDS[1:])
def test_corrects_overconfidence(kind):
    z, y = sample()
    fresh, labels = sample(seed=1)
    fitted = fit_kind(kind, 3 * z, y)
    assert loss(labels, fitted(3 * fresh)) < loss(labels, fresh) + 0.02 < loss(labels, 3 * fresh)


@pytest.mark.parametrize("kind", KINDS[2:])
def test_corrects_a_shift(kind):
    z, y = sample()
    fitted = fit_kind(kind, z + 1.5, y)
    assert loss(y, fitted(z + 1.5)) < loss(y, z) + 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [12, 200])
def test_is_monotone_and_finite_everywhere(kind, n):
    z, y = sample(n)
    mapped = fit_kind(kind, z, y)(GRID)
    assert np.isfinite(mapped).all()
    assert (np.diff(mapped) >= -1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_separated_classes_do_not_make_it_certain(kind):
    z = np.array([-3.0, -2, -1, 1, 2, 3])
    mapped = fit_kind(kind, z, (z > 0).astype(np.int64))(np.array([-3.0, 3.0]))
    assert np.abs(mapped).max() < 12


@pytest.mark.parametrize("kind", KINDS)
def test_reversed_scores_are_not_reversed_back(kind):
    z, y = sample(500)
    mapped = fit_kind(kind, -z, y)(GRID)
    assert (np.diff(mapped) >= -1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_survives_json(kind):
    z, y = sample(200)
    fitted = fit_kind(kind, z, y)
    again = Calibration.from_dict(json.loads(json.dumps(fitted.as_dict())))
    assert np.array_equal(again(GRID), fitted(GRID))


def test_venn_abers_is_less_sure_of_few_rows():
    few, labels = sample(20)
    many, more = sample(5000)
    assert fit_kind("venn_abers", few, labels)(GRID).max() < fit_kind("venn_abers", many, more)(GRID).max()


def test_calibrated_scores_are_left_alone():
    z, y = sample(400)
    assert fit_calibration(z, y, np.arange(400), np.arange(400) % 5).kind == "identity"


def test_few_groups_get_no_free_map():
    z, y = sample(2000)
    group = np.arange(2000) % 15
    assert fit_calibration(4 * z, y, group, group % 5).kind == "identity"
    group = np.arange(2000) % 30
    assert fit_calibration(4 * z, y, group, group % 5).kind == "temperature"


def test_overconfidence_is_scaled_down():
    z, y = sample(2000)
    assert fit_calibration(4 * z, y, np.arange(2000), np.arange(2000) % 5).kind in {"temperature", "platt"}


def test_a_step_gets_a_free_map():
    rng = np.random.default_rng(0)
    z = rng.uniform(-4, 4, 6000)
    y = (rng.random(6000) < np.where(np.abs(z) < 2, 0.5, np.where(z > 0, 0.95, 0.05))).astype(np.int64)
    assert fit_calibration(z, y, np.arange(6000), np.arange(6000) % 5).kind in {"isotonic", "venn_abers"}


def test_standard_error_counts_groups():
    values = np.random.default_rng(0).standard_normal(300)
    alone = selection.group_error(values, np.arange(300))
    assert alone == pytest.approx(values.std(ddof=1) / np.sqrt(300), rel=1e-6)
    copied = selection.group_error(np.repeat(values, 4), np.repeat(np.arange(300), 4))
    assert copied == pytest.approx(alone)
    assert selection.group_error(values, np.zeros(300, int)) == np.inf


def test_within_one_standard_error_the_first_wins():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 100)
    losses = {"simple": noise + 0.01 * rng.standard_normal(100) + 0.0005, "rich": noise, "worse": noise + 0.5}
    assert selection.simplest(losses, np.arange(100)) == "simple"
    losses["simple"] = losses["simple"] + 0.5
    assert selection.simplest(losses, np.arange(100)) == "rich"


def test_prior_shift_is_that_of_bayes():
    likelihood_ratio = 3.0
    for train, target in [(0.83, 0.5), (0.2, 0.9)]:
        z = np.array([calibrate.logit(train) + np.log(likelihood_ratio)])
        expected = target * likelihood_ratio / (target * likelihood_ratio + 1 - target)
        assert expit(calibrate.shift_prior(z, train, target))[0] == pytest.approx(expected)


def test_the_clip_is_bounded_by_the_number_of_groups():
    z = np.where(np.arange(100) % 2, 20.0, -20.0)
    y = np.arange(100) % 2
    assert calibrate.clip_bound(z, y, np.ones(100), 9) == pytest.approx(0.05)
    assert calibrate.clip_bound(z, y, np.ones(100), 499) == pytest.approx(1e-3)


def test_the_clip_is_wider_when_confident_scores_are_wrong():
    z = np.where(np.arange(1000) % 2, 9.0, -9.0)
    y = np.arange(1000) % 2
    y[:100] = 1 - y[:100]
    bound = calibrate.clip_bound(z, y, np.ones(1000), 1000)
    assert bound in {0.08, 0.12}
    assert np.abs(calibrate.clip_logit(z, bound)).max() == pytest.approx(-calibrate.logit(bound))


@pytest.mark.parametrize("kind", ["identity", "isotonic"])
def test_the_bound_is_chosen_on_rows_that_the_calibration_was_not_fitted_on(monkeypatch, kind):
    """Labels of noise: an isotonic map is sure, and right, of the rows it was fitted on, and would need no bound."""
    rng = np.random.default_rng(0)
    Z, y, group = rng.normal(size=(200, 1)), rng.integers(0, 2, 200), np.arange(200)
    monkeypatch.setattr(evaluate, "fit_calibration", lambda z, y, group, fold: fit_kind(kind, z, y))
    head = evaluate.fit_head(Z, y, group, group % 4, learners=["one"], target_prior=None, seed=0)
    _, z = fit_stack(Z, y, group, group % 4, ["one"])
    on_its_rows = calibrate.clip_bound(fit_kind(kind, z, y)(z), y, np.ones(200), 200)
    assert head.clip == on_its_rows if kind == "identity" else head.clip > 10 * on_its_rows


def test_temperature_keeps_the_log_odds_of_the_prior():
    rng = np.random.default_rng(0)
    z = rng.normal(2.0, 1.0, 3000)
    y = (rng.random(3000) < expit(z)).astype(np.int64)
    found = fit_kind("temperature", 2 + 3 * (z - 2), y)
    centre = calibrate.logit((y.sum() + 0.5) / 3001)
    assert found.parameters["a"] < 0.6
    assert found(np.array([centre]))[0] == pytest.approx(centre)


def test_isotonic_ends_at_the_rule_of_succession():
    z = np.arange(10.0)
    found = fit_kind("isotonic", z, (z > 4).astype(np.int64))(np.array([-9.0, 99.0]))
    assert expit(found) == pytest.approx([1 / 12, 11 / 12])


def test_venn_abers_of_six_separated_rows():
    z = np.array([-3.0, -2, -1, 1, 2, 3])
    lowest, highest = expit(fit_kind("venn_abers", z, (z > 0).astype(np.int64))(np.array([-3.0, 3.0])))
    assert lowest == pytest.approx(0.25 / (1 - 0 + 0.25))  # as FAKE: 1 of 4 rows pooled; as REAL: none
    assert highest == pytest.approx(1 - lowest)


def test_free_maps_need_five_hundred_groups():
    rng = np.random.default_rng(0)
    z = rng.uniform(-4, 4, 6000)
    y = (rng.random(6000) < np.where(np.abs(z) < 2, 0.5, np.where(z > 0, 0.95, 0.05))).astype(np.int64)
    for n_groups, free in ((499, False), (500, True)):
        group = np.arange(6000) % n_groups
        kind = fit_calibration(z, y, group, group % 5).kind
        assert (kind in {"isotonic", "venn_abers"}) == free, n_groups


def test_kinds_of_calibration_are_compared_by_groups(monkeypatch):
    given = []
    monkeypatch.setattr(
        calibrate, "simplest", lambda losses, group: given.append((sorted(losses), group)) or "identity"
    )
    group = np.repeat(np.arange(30), 10)
    rng = np.random.default_rng(0)
    fit_calibration(rng.normal(size=300), rng.integers(0, 2, 300), group, group % 5)
    assert given[0][0] == ["identity", "temperature"]
    assert np.array_equal(given[0][1], group)


def test_the_bound_weighs_the_classes_as_given():
    z, y = np.repeat([4.0, 4.0], [990, 10]), np.repeat([1, 0], [990, 10])  # sure of FAKE, wrong in each REAL
    even = np.where(y == 1, 500 / 990, 500 / 10)
    assert calibrate.clip_bound(z, y, np.ones(1000), 1000) < 0.03
    assert calibrate.clip_bound(z, y, even, 1000) == 0.2
