import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble import shrinkage
from ensemble.shrinkage import LeftOut, Shrinkage, best_strengths, chosen_strengths, loss, nested_loss
from ensemble.training_set import sampled_rows


def left_out(*, overconfident, n=1200, seed=0):
    """Three parts of rows; those at a distance have log-odds three times too large when ``overconfident``."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 1.5, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-true))).astype(np.int64)
    distance = np.where(rng.random(n) < 0.5, 0.25, 0.0)
    z = true * np.where(overconfident & (distance > 0), 3.0, 1.0)
    distances = np.stack([distance, np.zeros(n)], axis=1)
    return LeftOut(np.arange(n), z, 0.0, y, distances, np.arange(n) % 3, np.ones(n))


def test_rows_like_the_training_rows_are_not_shrunk():
    X = np.random.default_rng(0).standard_normal((500, 20)).astype(np.float32)
    ranges = Shrinkage.of(X).with_strengths(8.0, 8.0)
    others = np.random.default_rng(1).standard_normal((500, 20)).astype(np.float32)
    inside = ranges.factor(others)
    outside = ranges.factor(X * 6).mean()
    lost = X.copy()
    lost[:, :15] = np.nan
    assert (inside == 1).mean() > 0.8
    assert inside.min() > 0.3
    assert outside < 0.3
    assert ranges.factor(lost).max() < 0.2


@pytest.mark.parametrize("n_rows", [399, 400])
def test_ranges_of_a_large_table_are_of_a_sample_that_does_not_go_by_the_order_of_rows(monkeypatch, n_rows):
    """Non-regression test: of just under twice the limit all rows counted, of twice the limit every second one."""
    monkeypatch.setattr(shrinkage, "MAX_ROWS", 200)
    X = np.zeros((n_rows, 1), np.float32)
    X[1::2] = 1.0
    taken = []
    monkeypatch.setattr(shrinkage, "sampled_rows", lambda *given: taken.append(sampled_rows(*given)) or taken[-1])
    ranges = Shrinkage.of(X)
    assert (ranges.low[0], ranges.high[0]) == (0.0, 1.0)
    assert taken[0].sum() == 200


def test_a_column_that_few_rows_of_a_large_table_have_counts_as_present(monkeypatch):
    """Non-regression test: it was counted in a sample, and by chance called one that no training row had."""
    monkeypatch.setattr(shrinkage, "MAX_ROWS", 50)
    X = np.full((500, 500), np.nan, np.float32)
    np.fill_diagonal(X, 1.0)
    assert (Shrinkage.of(X).present == 1 / 500).all()


def test_without_strengths_nothing_is_shrunk():
    X = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    assert (Shrinkage.of(X).factor(X * 100) == 1).all()


def test_columns_without_values_or_variation_do_not_count():
    X = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    X[:, 1], X[:, 2] = np.nan, 4.0
    far = np.array([[0.0, 1e9, -1e9]], dtype=np.float32)
    assert Shrinkage.of(X).distances(far)[0].tolist() == [0.0, 0.0]


def test_what_is_usually_missing_is_not_missed():
    X = np.random.default_rng(0).standard_normal((100, 2)).astype(np.float32)
    X[1:, 1] = np.nan
    row = np.array([[0.0, np.nan]], dtype=np.float32)
    assert Shrinkage.of(X).distances(row)[0, 1] < 0.02


def test_strength_is_chosen_where_distance_means_overconfidence():
    rows = left_out(overconfident=True)
    a, b = chosen_strengths(rows)
    assert a == 8.0  # a factor of a third at a distance of a quarter
    assert b == 0.0
    assert loss(rows, a, b).mean() < loss(rows, 0, 0).mean() - 0.05
    assert nested_loss(rows).mean() < loss(rows, 0, 0).mean() - 0.05


def test_no_strength_where_distance_means_nothing():
    assert best_strengths(left_out(overconfident=False)) == (0.0, 0.0)
    assert chosen_strengths(left_out(overconfident=False)) == (0.0, 0.0)


@pytest.mark.parametrize(("gain", "used"), [(0.25, False), (1.0, True)])
def test_a_gain_counts_beyond_one_standard_error(monkeypatch, gain, used):
    """Four parts that gain ``gain`` +- 1: the error of their mean is 1 / sqrt(3)."""
    rows = replace(left_out(overconfident=True), part=np.arange(1200) % 4)
    of_part = np.array([gain + 1.0, gain - 1.0, gain + 1.0, gain - 1.0]) / 300
    monkeypatch.setattr(shrinkage, "nested_loss", lambda rows: loss(rows, 0.0, 0.0) - of_part[rows.part])
    assert (chosen_strengths(rows) != (0.0, 0.0)) == used


def test_strengths_that_do_not_generalise_to_other_parts_are_not_used():
    rows = left_out(overconfident=True)
    only_one = LeftOut(rows.rows, rows.z, rows.prior, rows.y, rows.distances, np.zeros(1200, int), rows.weights)
    assert chosen_strengths(only_one) == (0.0, 0.0)


def test_survives_json():
    X = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    X[:, 1] = 4.0
    shrinkage = Shrinkage.of(X).with_strengths(2.0, 4.0)
    again = Shrinkage.from_dict(json.loads(json.dumps(shrinkage.as_dict(), allow_nan=False)))
    assert np.array_equal(again.factor(X * 3), shrinkage.factor(X * 3))


def test_sources_left_out_never_share_a_group_or_source(make_table, quick, monkeypatch):
    """A fake has another source than the real clip of its group: without its source, rows of its group are left."""
    from ensemble import cross_fit
    from ensemble.training_set import training_set

    data = training_set(make_table(40, 4, n_sources=8), "made")
    source = np.array([f"{name}{' (forger)' if fake else ''}" for name, fake in zip(data.source, data.y, strict=True)])
    data = replace(data, source=source.tolist())
    part = cross_fit.source_parts(data, seed=0)
    assert part.max() >= 2
    assert any(len(set(part[data.group == group])) > 1 for group in set(data.group))
    for name, seen, rows, z in cross_fit.leave_sources_out(data, part, quick(["logistic"]), seed=0):
        assert name == "logistic"
        assert len(z) == len(rows)
        assert not set(source[seen]) & set(source[rows])
        assert not set(data.group[seen]) & set(data.group[rows])


def test_sources_are_left_out_of_a_sample_of_a_large_table_of_few_groups(make_table, quick, monkeypatch):
    """Non-regression test: groups larger than the sample left it empty, and no source was left out."""
    from ensemble import evaluate
    from ensemble.training_set import training_set

    monkeypatch.setattr(evaluate, "MAX_SOURCE_ROWS", 60)
    data = training_set(make_table(8, 30, n_sources=4), "made")
    found = evaluate.sources_left_out(data, quick(["logistic"]), target_prior=0.5, seed=0)
    assert found is not None
    assert found.summary()["n_clips"] == 60
    assert found.summary()["n_parts"] == 4


@pytest.mark.parametrize("n_sources", [0, 2])
def test_few_or_no_sources_leave_nothing_out(make_table, n_sources):
    from ensemble import cross_fit
    from ensemble.training_set import training_set

    data = training_set(make_table(n_sources=n_sources), "made")
    assert cross_fit.source_parts(data, seed=0).max() <= 0


def test_sources_of_few_clips_of_each_class_make_fewer_parts(make_table):
    from ensemble import cross_fit
    from ensemble.training_set import training_set

    data = training_set(make_table(6, 1, n_sources=6), "made")  # 3 of each class
    assert set(cross_fit.source_parts(data, seed=0)) == {0, 1, 2}


def made_left_out(**more):
    n = 300
    rng = np.random.default_rng(0)
    told = dict(
        rows=np.arange(n),
        z=rng.normal(size=n),
        prior=0.0,
        y=rng.integers(0, 2, n),
        distances=np.full((n, 2), 0.25),
        part=np.arange(n) % 3,
        weights=np.ones(n),
    )
    return LeftOut(**(told | more))


def test_shrunk_to_nothing_is_the_prior_and_weighs_as_its_row():
    rows = made_left_out(prior=1.0, y=np.ones(300, int), weights=np.full(300, 3.0))
    assert loss(rows, 1e12, 0.0) == pytest.approx(3.0 * np.log1p(np.exp(-1.0)))


def test_strengths_of_a_part_are_those_of_the_others(monkeypatch):
    seen = []
    monkeypatch.setattr(shrinkage, "best_strengths", lambda rows: seen.append(set(rows.part.tolist())) or (0.0, 0.0))
    nested_loss(made_left_out())
    assert seen == [{1, 2}, {0, 2}, {0, 1}]


def test_strength_against_missing_cues_counts_alone():
    X = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
    lost = np.array([[0.0, np.nan, np.nan, np.nan]], np.float32)
    ranges = Shrinkage.of(X)
    assert ranges.distances(lost)[0, 1] == pytest.approx(0.75)
    assert ranges.with_strengths(0.0, 4.0).factor(lost) == pytest.approx(1 / (1 + 4 * 0.75))


def test_a_column_far_outside_counts_as_three_widths():
    X = np.linspace(0, 1, 101, dtype=np.float32)[:, None]
    ranges = Shrinkage.of(X)
    assert ranges.distances(np.array([[1e6]], np.float32))[0, 0] == pytest.approx(3.0 - ranges.typical[0])


def test_a_cue_that_is_usually_missing_weighs_little_when_missing():
    X = np.random.default_rng(0).standard_normal((100, 2)).astype(np.float32)
    X[10:, 1] = np.nan
    ranges = replace(Shrinkage.of(X), typical=np.zeros(2))
    found = ranges.distances(np.array([[0.0, np.nan], [np.nan, 0.0]], np.float32))[:, 1]
    assert found == pytest.approx([0.1 / 1.1, 1 / 1.1])
