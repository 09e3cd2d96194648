import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble.folds import assign_folds, check_folds, given_folds, new_folds, read_folds, stage_folds
from ensemble.training_set import training_set
from features.errors import InputError, TableError


def made(n_groups=30, seed=0):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), rng.integers(1, 6, n_groups))
    return (rng.random(len(group)) < 0.7).astype(np.int64), group


def names(group):
    return [f"clip{row}" for row in range(len(group))], [f"group{number}" for number in group]


def write_folds(file, filename, group_names, fold):
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"filename": filename, "group": group_names, "fold": fold}), file)


def test_groups_stay_whole_and_every_row_has_a_fold():
    y, group = made()
    fold = assign_folds(y, group, n_folds=5)
    assert set(fold) == set(range(5))
    assert all(len(set(fold[group == one])) == 1 for one in np.unique(group))


def test_classes_are_balanced_over_folds():
    y, group = made(300)
    fold = assign_folds(y, group, n_folds=5)
    shares = [y[fold == one].mean() for one in range(5)]
    assert np.ptp(shares) < 0.06


def test_same_seed_same_folds_other_seed_other_folds():
    y, group = made()
    assert np.array_equal(assign_folds(y, group, seed=1), assign_folds(y, group, seed=1))
    assert not np.array_equal(assign_folds(y, group, seed=1), assign_folds(y, group, seed=2))


@pytest.mark.parametrize(
    ("n_groups", "rows_each", "expected"), [(40, 1, 5), (50, 1, 10), (144, 2, 10), (499, 11, 5), (500, 1, 5)]
)
def test_some_hundred_groups_get_ten_folds(n_groups, rows_each, expected):
    group = np.repeat(np.arange(n_groups), rows_each)
    assert len(np.unique(assign_folds(group % 2, group))) == expected


def test_fewer_groups_than_folds_names_the_remedy():
    with pytest.raises(InputError, match="4 groups, fewer than 5 folds; ask for 4 folds"):
        assign_folds(np.array([0, 1, 0, 1]), np.arange(4), n_folds=5)


def test_two_groups_ask_for_other_clips():
    with pytest.raises(InputError, match="2 groups, fewer than 5 folds; add clips"):
        assign_folds(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))


def test_a_class_in_too_few_groups_is_named():
    y = np.array([0, 0] + [1] * 10)
    with pytest.raises(InputError, match="only 2 groups hold REAL"):
        assign_folds(y, np.arange(12))


def test_fewer_clips_of_each_class_than_folds_names_the_remedy():
    y, group = np.array([0, 0, 0, 1, 1, 1]), np.arange(6)
    with pytest.raises(InputError, match="neither class has 5 clips, one for each fold; ask for 3 folds"):
        assign_folds(y, group, n_folds=5)
    assert set(assign_folds(y, group, n_folds=3)) == {0, 1, 2}


def test_two_folds_are_too_few():
    y, group = made()
    with pytest.raises(InputError, match=r"^folds 2: at least 3"):
        assign_folds(y, group, n_folds=2)


def test_folds_that_hold_a_class_in_two_places_are_refused():
    with pytest.raises(InputError, match="REAL clips fall into 2 of 5"):
        check_folds(np.array([0, 0, 1, 1, 1, 1, 1]), np.array([0, 1, 0, 1, 2, 3, 4]))


@pytest.mark.parametrize("given", [False, True])
def test_clips_in_which_nothing_was_measured_do_not_count_as_a_class(make_table, given, tmp_path):
    """REAL in three of twelve groups, two of them unreadable: learners would be fitted on a single class."""
    table = make_table(12, 4, unmeasured=range(8))
    label = ["REAL" if row < 12 else "FAKE" for row in range(48)]
    data = training_set(table.set_column(1, "label", pa.array(label)), "made")
    clips = (data.filename, data.names_of_groups, data.y)
    write_folds(tmp_path / "folds.parquet", *clips[:2], data.group % 3)
    with pytest.raises(InputError, match="measured REAL clips fall into 1 of 3"):
        stage_folds(data, file=tmp_path / "folds.parquet" if given else None, n_folds=3)
    assert np.array_equal(given_folds(tmp_path / "folds.parquet", *clips), data.group % 3)


def test_folds_are_read_by_name_from_a_file_or_a_table(tmp_path):
    y, group = made()
    filename, group_names = names(group)
    file = tmp_path / "folds.parquet"
    fold = assign_folds(y, group, n_folds=4, seed=7)
    write_folds(file, filename, group_names, fold)
    assert np.array_equal(given_folds(file, filename, group_names, y), fold)
    backwards = given_folds(file, filename[::-1], group_names[::-1], y[::-1])
    assert np.array_equal(backwards, fold[::-1])
    assert np.array_equal(given_folds(pq.read_table(file), filename, group_names, y), fold)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, g: (["stranger", *f[1:]], g), "other clips"),
        (lambda f, g: (f[:-1], g[:-1]), "the table has"),
        (lambda f, g: (f, ["elsewhere", *g[1:]]), "clip0 belongs to another group"),
    ],
)
def test_a_file_for_another_table_is_refused(tmp_path, change, message):
    y, group = made()
    filename, group_names = names(group)
    file = tmp_path / "folds.parquet"
    write_folds(file, filename, group_names, assign_folds(y, group))
    filename, group_names = change(filename, group_names)
    with pytest.raises(TableError, match=message):
        given_folds(file, filename, group_names, y[: len(filename)])


def test_another_number_of_folds_is_refused(tmp_path):
    y, group = made()
    file = tmp_path / "folds.parquet"
    write_folds(file, *names(group), assign_folds(y, group))
    with pytest.raises(TableError, match="holds 5 folds, not 4; ask for 5"):
        given_folds(file, *names(group), y, n_folds=4)


def test_a_file_that_was_asked_for_must_be_there(tmp_path):
    y, group = made()
    with pytest.raises(TableError, match="no such fold file"):
        given_folds(tmp_path / "typo.parquet", *names(group), y)


def test_folds_may_be_numbered_from_anywhere(tmp_path):
    y, group = made()
    fold = assign_folds(y, group)
    write_folds(tmp_path / "folds.parquet", *names(group), 10 * fold + 1)
    assert np.array_equal(given_folds(tmp_path / "folds.parquet", *names(group), y, n_folds=5), fold)


def test_a_group_in_two_folds_is_refused(tmp_path):
    y, group = made()
    fold = assign_folds(y, group)
    row = int(np.flatnonzero(np.diff(group) == 0)[0])
    fold[row] = (fold[row] + 1) % 5
    write_folds(tmp_path / "folds.parquet", *names(group), fold)
    with pytest.raises(TableError, match=f"group{group[row]} is in folds"):
        given_folds(tmp_path / "folds.parquet", *names(group), y)


def test_a_clip_without_a_fold_is_refused(tmp_path):
    y, group = made()
    fold = [None, *assign_folds(y, group)[1:].tolist()]
    write_folds(tmp_path / "folds.parquet", *names(group), fold)
    with pytest.raises(TableError, match="clip0 has no fold"):
        given_folds(tmp_path / "folds.parquet", *names(group), y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fold: [fold[0] / 2 + 0.25, *fold[1:].tolist()], "the fold of clip0 is .*; give it a whole number"),
        (lambda fold: [f"fold{one}" for one in fold], "the fold of clip0 is 'fold.'; give it a whole number"),
        (lambda fold: [np.inf, *fold[1:].tolist()], "the fold of clip0 is inf; give it a whole number"),
        (lambda fold: [np.nan, *fold[1:].tolist()], "clip0 has no fold"),
    ],
    ids=["half", "text", "infinite", "nan"],
)
def test_a_fold_that_is_no_whole_number_is_refused(change, message):
    """Non-regression test: halves were cut off, NaN became a fold, and text ended in a traceback."""
    y, group = made()
    filename, group_names = names(group)
    fold = change(assign_folds(y, group))
    with pytest.raises(TableError, match=message):
        given_folds(pa.table({"filename": filename, "group": group_names, "fold": fold}), filename, group_names, y)


def test_whole_numbers_may_be_stored_as_pandas_does():
    y, group = made()
    filename, group_names = names(group)
    fold = assign_folds(y, group)
    stored = pa.table({"filename": filename, "group": group_names, "fold": fold.astype(float)})
    assert np.array_equal(given_folds(stored, filename, group_names, y), fold)


def test_a_clip_that_is_there_twice_is_refused():
    """Non-regression test: the last of its folds counted."""
    y, group = made()
    filename, group_names = names(group)
    fold = assign_folds(y, group)
    table = pa.table({"filename": filename, "group": group_names, "fold": fold})
    twice = pa.concat_tables([table.slice(0, 1).set_column(2, "fold", pa.array([(fold[0] + 1) % 5])), table])
    with pytest.raises(TableError, match="clip0 appears twice; give each clip one fold"):
        given_folds(twice, filename, group_names, y)


def test_another_kind_of_file_is_refused(tmp_path):
    file = tmp_path / "folds.parquet"
    with pytest.raises(TableError, match="no such fold file"):
        read_folds(file)
    file.write_bytes(b"not parquet")
    with pytest.raises(TableError, match="not a fold file"):
        read_folds(file)


@pytest.fixture
def stage(make_table, tmp_path):
    """A training set, and a model folder whose folds are of its clips."""
    data = training_set(make_table(), "made")
    fold = assign_folds(data.y, data.group, n_folds=4, seed=9)
    write_folds(tmp_path / "model" / "folds.parquet", data.filename, data.names_of_groups, fold)
    return data, fold, tmp_path / "model"


@pytest.mark.parametrize("name", ["model", "local_model"])
def test_a_stage_beside_training_uses_the_models_folds(stage, name):
    data, fold, model = stage
    given, origin = stage_folds(data, **{name: model})
    assert np.array_equal(given, fold)
    assert origin == str(model / "folds.parquet")


def test_a_fold_file_comes_before_the_model(stage, tmp_path):
    data, fold, model = stage
    write_folds(tmp_path / "mine.parquet", data.filename, data.names_of_groups, 3 - fold)
    given, _ = stage_folds(data, file=tmp_path / "mine.parquet", model=model)
    assert np.array_equal(given, 3 - fold)


def test_a_model_of_another_table_is_refused_when_named_and_passed_over_when_not(stage, make_table):
    _, _, model = stage
    other = training_set(make_table(20, 4), "other")
    with pytest.raises(TableError, match="made for"):
        stage_folds(other, model=model)
    given, origin = stage_folds(other, local_model=model, seed=3)
    assert np.array_equal(given, new_folds(other, seed=3))
    assert "are not of this table" in origin


def test_without_a_model_a_stage_makes_as_many_folds_as_training(make_table, tmp_path):
    data = training_set(make_table(60, 2), "made")
    given, origin = stage_folds(data, local_model=tmp_path / "gone")
    assert given.max() + 1 == 10  # 50 to 500 groups
    assert origin == "new folds"
    assert stage_folds(data, n_folds=4)[0].max() + 1 == 4
