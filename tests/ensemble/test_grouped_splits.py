import warnings

import numpy as np

from ensemble.grouped_splits import grouped_splits


def test_groups_stay_whole_and_every_row_is_held_out_once():
    group = np.random.default_rng(0).integers(0, 12, 60)
    y = (group % 2).astype(np.int64)
    splits = grouped_splits(y, group, 3, seed=0)
    assert sorted(np.concatenate([own for _, own in splits]).tolist()) == list(range(60))
    for others, own in splits:
        assert not set(group[others]) & set(group[own])
        assert set(y[own]) == {0, 1}


def test_a_class_with_fewer_rows_than_splits_is_no_warning():
    y, group = np.array([1, 0, 0, 0, 0, 0]), np.arange(6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = grouped_splits(y, group, 3, seed=0)
    assert [int(y[own].sum()) for _, own in splits].count(1) == 1
