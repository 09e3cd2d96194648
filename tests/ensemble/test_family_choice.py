"""Families that a small table does not carry are left out of it, unless they help; large tables keep them."""

import dataclasses

import numpy as np
import pytest

from ensemble import family_choice
from ensemble.folds import assign_folds
from ensemble.learners.preprocess import Inputs
from ensemble.train import train_table
from ensemble.training_set import Layout, TrainingSet

N_EMBEDDING = 30


def data_of(n_groups, per_group, *, seed=0, embedded_signal=0.0, cue_signal=1.0):
    """A table of one cue and an embedding of 30 numbers, of which the first may tell the class; groups differ."""
    rng = np.random.default_rng(seed)
    n = n_groups * per_group
    group, y = np.repeat(np.arange(n_groups), per_group), np.arange(n) % 2
    X = rng.standard_normal((n, N_EMBEDDING + 1)) + rng.standard_normal((n_groups, N_EMBEDDING + 1))[group]
    X[:, 0] += cue_signal * y
    X[:, 1] += embedded_signal * y
    names = ("eyes.cue", *(f"cnn_embedding.c{k}" for k in range(N_EMBEDDING)))
    return TrainingSet(
        filename=[str(row) for row in range(n)],
        X=X.astype(np.float32),
        y=y,
        group=group,
        group_names=[str(one) for one in range(n_groups)],
        source=[""] * n,
        measured=np.ones(n, bool),
        layout=Layout(names, {"eyes": 1, "cnn_embedding": 1}),
    )


def suited(data):
    return family_choice.choose_families(data, assign_folds(data.y, data.group, n_folds=5))


def families(data):
    return data.layout.family_names


@pytest.mark.parametrize("seed", range(4))
def test_a_small_table_goes_without_a_family_that_tells_only_groups(seed):
    data = data_of(40, 6, seed=seed)
    found = suited(data)
    assert families(found) == ("eyes",)
    assert found.X.shape == (240, 1)
    assert found.layout.families == {"eyes": 1}
    assert (found.X[:, 0] == data.X[:, 0]).all()


def test_a_small_table_keeps_a_family_that_clearly_helps():
    data = data_of(40, 6, embedded_signal=2.5)
    assert suited(data) is data


def test_a_family_that_tells_known_sources_is_left_out():
    """Each source is of one class mostly: by folds of groups the embedding helps, on sources left out it does not."""
    data = data_of(60, 4, cue_signal=1.5)
    source = np.arange(60)[data.group] % 12
    rng = np.random.default_rng(5)
    y = (rng.random(len(data)) < np.where(source % 2, 0.95, 0.05)).astype(np.int64)
    data.X[:, 0] += 1.5 * (y - data.y)
    codes = rng.standard_normal((12, N_EMBEDDING))
    data.X[:, 1:] = codes[source] + 0.1 * rng.standard_normal((len(data), N_EMBEDDING))
    told = dataclasses.replace(data, y=y)
    assert suited(told) is told
    named = dataclasses.replace(told, source=[f"s{one}" for one in source])
    assert families(suited(named)) == ("eyes",)


def test_sources_are_parted_by_the_seed_of_the_training(make_table, monkeypatch):
    monkeypatch.setattr(family_choice, "MIN_ROWS", {"noise": 3000})
    seeds = []
    parts = family_choice.source_parts
    monkeypatch.setattr(
        family_choice, "source_parts", lambda data, *, seed: seeds.append(seed) or parts(data, seed=seed)
    )
    for chosen in ({"seed": 3}, {}):
        train_table(make_table(leak=True), learners=["logistic"], n_folds=3, **chosen)
    assert seeds == [3, 0]


def test_a_large_table_keeps_it_whatever_it_says():
    least = family_choice.MIN_ROWS["cnn_embedding"]
    data = data_of(least // 6, 6)
    assert len(data) == least
    assert suited(data) is data
    assert families(suited(data.rows(data.group < data.n_groups - 1))) == ("eyes",)


def test_what_is_alone_stays_and_what_is_not_listed_is_not_asked():
    data = data_of(40, 6)
    alone = family_choice.only(data, ["cnn_embedding"])
    assert suited(alone) is alone
    other = family_choice.only(data, ["eyes"])
    assert suited(other) is other


def test_rows_in_which_nothing_else_was_measured_do_not_decide():
    data = data_of(40, 6)
    data.X[:230, 0] = np.nan  # too few rows remain to compare
    assert families(suited(data)) == ("eyes",)


def test_the_model_neither_reads_nor_asks_for_a_family_that_was_left_out(make_table, monkeypatch):
    monkeypatch.setattr(family_choice, "MIN_ROWS", {"noise": 3000})
    table = make_table(leak=True)
    model, _ = train_table(table, learners=["logistic"], n_folds=3)
    assert model.layout.family_names == ("eyes", "lips")
    assert set(model.layout.families) == {"eyes", "lips"}
    assert model.manifest["left_out_families"] == ["noise"]
    assert np.isfinite(model.predict(table)).all()  # of a table that has it
    monkeypatch.setattr(family_choice, "MIN_ROWS", {"noise": 96})
    model, _ = train_table(table, learners=["logistic"], n_folds=3)
    assert "noise" in model.layout.families
    assert model.manifest["left_out_families"] == []


def test_no_fit_sees_a_group_that_it_judges(monkeypatch):
    """Groups reach over two parts each, as people over two sources."""
    data = data_of(30, 4)
    data.X[:, 0] = data.group
    part = (np.arange(len(data)) + 2) // 4 % 6
    number_of_group = Inputs.fit(data.X, data.layout.family_index).transform(data.X)[:, 0].astype(np.float64)
    ridge, losses_left_out, fitted, n_inner = family_choice._ridge, family_choice.losses_left_out, [], []

    def fit(Z, y, penalties):
        if len(penalties) == 1:  # a fit whose part is judged, not one among which the penalty is chosen
            fitted.append(Z[:, 0])
        return ridge(Z, y, penalties)

    def inner_losses(fit, Z, y, splits):
        for rows, left_out in splits:
            assert not np.isin(Z[rows, 0], Z[left_out, 0]).any()
            assert len(np.unique(Z[left_out, 0])) > 5
        n_inner.append(len(splits))
        return losses_left_out(fit, Z, y, splits)

    monkeypatch.setattr(family_choice, "_ridge", fit)
    monkeypatch.setattr(family_choice, "losses_left_out", inner_losses)
    loss = family_choice._losses(data, part, data.measured)
    assert np.isfinite(loss).all()
    assert n_inner == [family_choice.N_INNER] * 6
    for number, seen in zip(range(6), fitted, strict=True):
        judged = number_of_group[part == number]
        assert len(np.unique(judged)) > 5
        assert len(seen)
        assert not np.isin(seen, judged).any()
