import itertools
import math

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from ensemble.learners import extra_trees
from ensemble.learners.additive import MAX_LOGIT
from ensemble.learners.base import LearnerSettings, bag_splits, settings_for
from ensemble.learners.kernel import product_shapley
from ensemble.learners.preprocess import Inputs, RankGauss, Standard
from ensemble.learners.registry import LATE_FUSIONS, default_settings, learner_kinds, load_learner
from ensemble.metrics import auc
from ensemble.training_set import Layout
from features.errors import InputError

KINDS = ("lightgbm", "lightgbm_full", "xgboost", "logistic", "kernel", "extra_trees", "mlp")


@pytest.fixture(scope="module")
def fitted(data, quick):
    rows = data.measured
    settings = quick()
    return {
        name: learner_kinds()[name](data.layout, settings[name]).fit(data.X[rows], data.y[rows], data.group[rows], 5)
        for name in KINDS
    }


def test_every_kind_is_tested():
    assert set(learner_kinds()) == {*KINDS, *LATE_FUSIONS}


@pytest.mark.parametrize("name", KINDS)
def test_finds_the_planted_cue_in_new_clips(fitted, make_table, name):
    from ensemble.training_set import training_set

    fresh = training_set(make_table(seed=9), "fresh")
    assert auc(fresh.y, fitted[name].predict_logit(fresh.X)) > 0.75


@pytest.mark.parametrize("name", KINDS)
def test_family_parts_add_up(fitted, data, name):
    parts = fitted[name].family_logits(data.X)
    assert parts.shape == (len(data), 4)
    assert np.abs(parts.sum(axis=1) - fitted[name].predict_logit(data.X)).max() < 1e-6


@pytest.mark.parametrize("name", KINDS)
def test_no_rows_have_no_log_odds(fitted, data, name):
    """Non-regression test: where nothing was measured in a whole fold, ``kernel`` ended the training in an error."""
    assert fitted[name].predict_logit(data.X[:0]).shape == (0,)


@pytest.mark.parametrize("name", KINDS)
def test_the_family_of_the_planted_cue_has_the_largest_parts(fitted, data, name):
    spread = fitted[name].family_logits(data.X[data.measured])[:, :3].std(axis=0)
    assert data.layout.family_names[int(np.argmax(spread))] == "eyes"


@pytest.mark.parametrize("name", KINDS)
def test_files_give_the_same_learner_bit_for_bit(fitted, data, name, tmp_path):
    names = fitted[name].save(tmp_path, "one_fold0")
    assert sorted(names) == sorted(file.name for file in tmp_path.iterdir())
    again = load_learner(name, tmp_path, "one_fold0", data.layout)
    assert np.array_equal(again.predict_logit(data.X), fitted[name].predict_logit(data.X))
    assert np.array_equal(again.family_logits(data.X), fitted[name].family_logits(data.X))


@pytest.mark.parametrize("name", KINDS)
def test_same_seed_same_learner(fitted, data, quick, name):
    rows = data.measured
    again = learner_kinds()[name](data.layout, quick()[name])
    again.fit(data.X[rows], data.y[rows], data.group[rows], 5)
    assert np.array_equal(again.predict_logit(data.X), fitted[name].predict_logit(data.X))


@pytest.mark.parametrize("name", KINDS)
def test_missing_constant_and_huge_columns_do_no_harm(quick, name):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5)).astype(np.float32)
    y = (X[:, 0] + 0.3 * rng.standard_normal(60) > 0).astype(np.int64)
    X[:, 1], X[:, 2], X[::3, 3] = np.nan, 7.0, np.nan
    X[:, 4] *= np.float32(1e30)
    layout = Layout(tuple(f"a.q{number}" for number in range(5)), {"a": 1})
    learner = learner_kinds()[name](layout, quick()[name]).fit(X, y, np.arange(60) // 3, 0)
    X[0] = np.nan
    X[1] = np.float32(3e38)
    z = learner.predict_logit(X)
    assert np.isfinite(z).all()
    assert np.abs(z).max() <= MAX_LOGIT
    assert auc(y[2:], z[2:]) > 0.9


@pytest.mark.parametrize("name", [*KINDS, *LATE_FUSIONS])
def test_a_learner_that_is_not_fitted_says_so(name, tmp_path):
    layout = Layout(("a.logit_mean", "a.other"), {"a": 1})
    learner = learner_kinds()[name](layout, LearnerSettings())
    for use in (learner.predict_logit, learner.family_logits, lambda X: learner.save(tmp_path, "one")):
        with pytest.raises(NotFittedError, match=f"{name}.* is not fitted"):
            use(np.zeros((3, 2), np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"n_bags": 0},
        {"n_rounds": 2.5},
        {"n_leaves": 1},
        {"min_leaf_rows": True},
        {"learning_rate": 0.0},
        {"column_share": 1.1},
        {"row_share": float("nan")},
        {"l2": -1.0},
        {"l1_ratio": "0.5"},
        {"device": "abacus"},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(InputError, match=next(iter(change))):
        LearnerSettings(**change)


def test_regularisation_follows_groups_not_rows():
    few, many = settings_for(10_000, 30), settings_for(10_000, 3_000)
    assert few.n_leaves < many.n_leaves
    assert few.l2 > many.l2
    assert settings_for(119_146, 19_154).n_leaves == 63


@pytest.mark.parametrize("name", ["kernel", "lightgbm_full", "extra_trees"])
def test_what_suits_small_tables_leaves_large_ones_alone(name):
    assert name in default_settings(300, 100)
    assert name not in default_settings(100_000, 20_000)


def test_the_perceptron_waits_for_a_large_table():
    small = ["lightgbm", "lightgbm_full", "xgboost", "logistic", "kernel", "extra_trees"]
    assert list(default_settings(2_999, 300)) == small
    assert list(default_settings(3_000, 300)) == [*small, "mlp"]
    assert "mlp" in default_settings(119_146, 19_154)


def test_the_full_booster_is_grown_on_every_row_without_a_stop(data, quick):
    rows = data.measured
    learner = learner_kinds()["lightgbm_full"](data.layout, quick()["lightgbm_full"])
    learner.fit(data.X[rows], data.y[rows], data.group[rows], 0)
    assert [booster.num_trees() for booster in learner.boosters] == [100]


def test_a_forest_says_what_scikit_learn_says_of_it():
    from sklearn.ensemble import ExtraTreesClassifier

    rng = np.random.default_rng(2)
    X = rng.standard_normal((90, 6)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 5] = rng.standard_normal(90)  # missing in none of the rows that it learns from
    y = (np.nan_to_num(X[:, 0]) > 0).astype(np.int64)
    layout = Layout(tuple(f"a.q{number}" for number in range(6)), {"a": 1})
    settings = default_settings(90, 30)["extra_trees"]
    z = learner_kinds()["extra_trees"](layout, settings).fit(X, y, np.arange(90) // 3, 4)
    model = ExtraTreesClassifier(
        extra_trees.N_TREES,
        min_samples_leaf=extra_trees.MIN_LEAF_ROWS,
        max_features=extra_trees.COLUMN_SHARE,
        random_state=4,
    ).fit(X, y)
    fresh = rng.standard_normal((200, 6)).astype(np.float32)
    fresh[rng.random(fresh.shape) < 0.2] = np.nan
    p = np.clip(model.predict_proba(fresh)[:, 1], extra_trees.MIN_P, 1 - extra_trees.MIN_P)
    np.testing.assert_allclose(z.predict_logit(fresh), np.log(p / (1 - p)), rtol=1e-9)


def test_a_forest_of_trees_without_a_split_gives_the_prior():
    layout = Layout(("a.q0",), {"a": 1})
    y = np.array([0, 1, 1])
    learner = learner_kinds()["extra_trees"](layout, default_settings(90, 30)["extra_trees"])
    learner.fit(np.zeros((3, 1), np.float32), y, y, 0)
    assert learner.predict_logit(np.zeros((2, 1), np.float32)) == pytest.approx(np.log(2))
    assert learner.family_logits(np.zeros((1, 1), np.float32)) == pytest.approx(np.array([[0, np.log(2)]]))


def test_bags_keep_groups_whole_and_both_classes():
    groups = np.repeat(np.arange(12), 5)
    y = np.arange(60) % 2
    seen = []
    for fitted_rows, stop in bag_splits(y, groups, 4, 0):
        assert not set(groups[fitted_rows]) & set(groups[stop])
        assert set(y[stop]) == {0, 1}
        seen += stop.tolist()
    assert sorted(seen) == list(range(60))


def test_a_table_with_fewer_clips_of_each_class_than_bags_has_fewer_bags():
    y, groups = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.arange(8)
    splits = list(bag_splits(y, groups, 8, 0))
    assert len(splits) == 4
    assert all(set(y[rows]) == {0, 1} for split in splits for rows in split)


def test_bags_of_a_single_group_fall_back_to_all_rows():
    ((fitted_rows, stop),) = bag_splits(np.array([0, 1, 0, 1]), np.zeros(4, int), 4, 0)
    assert np.array_equal(fitted_rows, stop)
    assert len(stop) == 4


def test_product_shapley_equals_its_definition():
    rng = np.random.default_rng(0)
    present, absent = rng.random(5), rng.random(5)
    for player in range(5):
        others = [one for one in range(5) if one != player]
        value = 0.0
        for size in range(5):
            for coalition in itertools.combinations(others, size):
                weight = math.factorial(size) * math.factorial(4 - size) / math.factorial(5)
                inside = np.isin(np.arange(5), coalition)
                rest = np.prod(np.where(inside, present, absent)[others])
                value += weight * (present[player] - absent[player]) * rest
        assert product_shapley(present, absent)[player] == pytest.approx(value)


@pytest.mark.parametrize("n_players", [1, 2, 3, 8, 15])
def test_product_shapley_adds_up(n_players):
    rng = np.random.default_rng(1)
    present, absent = rng.random((n_players, 4)) + 1e-6, rng.random((n_players, 4)) + 1e-6
    total = product_shapley(present, absent).sum(axis=0)
    assert total == pytest.approx(np.prod(present, axis=0) - np.prod(absent, axis=0))


def test_rank_gauss_is_standard_normal_whatever_the_scale():
    X = np.exp(3 * np.random.default_rng(0).standard_normal((2000, 1))).astype(np.float32)
    z = RankGauss.fit(X).transform(X)
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(1, abs=0.03)


def test_rank_gauss_is_blind_to_monotone_distortion():
    X = np.random.default_rng(0).standard_normal((50, 1)).astype(np.float32)
    plain, bent = RankGauss.fit(X).transform(X), RankGauss.fit(np.exp(X)).transform(np.exp(X))
    assert np.abs(plain - bent).max() < 1e-3


def test_rank_gauss_keeps_nan_and_stays_within_what_was_seen():
    X = np.arange(100, dtype=np.float32)[:, None]
    ranks = RankGauss.fit(X)
    z = ranks.transform(np.array([[np.nan], [-1e9], [0], [1e9]], dtype=np.float32))[:, 0]
    assert np.isnan(z[0])
    assert z[1] == z[2] == -z[3]


def test_rank_gauss_gives_ties_their_middle_rank():
    X = np.repeat([0.0, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0], 10).astype(np.float32)[:, None]
    z = RankGauss.fit(X).transform(np.array([[1.0]], dtype=np.float32))
    from scipy.stats import norm

    assert z[0, 0] == pytest.approx(norm.ppf(20 / 70), abs=0.02)


def test_columns_that_go_missing_together_share_an_indicator_within_their_family():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4)).astype(np.float32)
    X[:10] = np.nan
    inputs = Inputs.fit(X, np.array([0, 0, 1, 1]))
    assert inputs.indicators.tolist() == [0, 2]
    design = inputs.transform(X)
    assert design.shape == (40, 6)
    assert design[0, 4:].tolist() == pytest.approx([0.75, 0.75])
    assert not np.isnan(design).any()


@pytest.mark.parametrize("kind", [RankGauss, Standard])
def test_inputs_survive_json(kind):
    import json

    X = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    X[:8, 1] = np.nan
    inputs = Inputs.fit(X, np.zeros(3, int), kind=kind)
    again = Inputs.from_dict(json.loads(json.dumps(inputs.as_dict())))
    assert isinstance(again.scale, kind)
    assert np.array_equal(again.transform(X), inputs.transform(X))


def test_standard_keeps_the_shape_and_nan_but_not_the_tails():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 1)).astype(np.float32) * 7 + 3
    plain = Standard.fit(X)
    X[:3] = 1e30
    tails = Standard.fit(X)
    assert tails.mean == pytest.approx(plain.mean, abs=0.1)
    z = tails.transform(X)[:, 0]
    assert z.mean() == pytest.approx(0, abs=1e-6)
    assert z.std() == pytest.approx(1, abs=1e-6)
    inside = (X[:, 0] > tails.low) & (X[:, 0] < tails.high)
    assert np.corrcoef(X[inside, 0], z[inside])[0, 1] == pytest.approx(1)
    assert np.isnan(tails.transform(np.array([[np.nan]], np.float32))).all()


def test_standard_leaves_out_columns_that_do_not_vary_without_their_tails():
    X = np.zeros((1000, 5), np.float32)
    X[:, 0] = np.arange(1000)
    X[:5, 1] = 1.0  # fewer than one in a hundred
    X[:30, 2] = 1.0
    X[:, 3] = np.nan
    X[:, 4] = np.random.default_rng(0).random(1000) * 1e-16  # rounding
    standard = Standard.fit(X)
    assert standard.columns.tolist() == [0, 2]
    assert standard.transform(X)[0, 1] == pytest.approx(4.0)  # 5.7 deviations, bounded


def test_standard_of_no_column_is_empty():
    X = np.full((6, 2), np.nan, np.float32)
    standard = Standard.from_dict(Standard.fit(X).as_dict())
    assert standard.transform(X).shape == (6, 0)


def test_knots_of_a_short_column_are_its_values():
    scale = RankGauss.fit(np.arange(50, dtype=np.float32)[:, None])
    assert scale.knots[0] == pytest.approx(np.arange(50))
    assert scale.scores[0][[0, -1]] == pytest.approx([-2.3263, 2.3263], abs=1e-3)


def test_families_that_go_missing_together_have_an_indicator_each_around_0():
    X = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    X[:25] = np.nan
    inputs = Inputs.fit(X, np.array([0, 0, 1]))
    assert inputs.indicators.tolist() == [0, 2]
    assert inputs.transform(X)[[0, 99], 3:] == pytest.approx(np.array([[0.75, 0.75], [-0.25, -0.25]]))
