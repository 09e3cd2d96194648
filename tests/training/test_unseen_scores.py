"""Learners scored on folds of the networks' training, without any row of the groups that a fold touches."""

import csv
import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from deepcue.cli.main import main as deepcue
from ensemble.learners import registry
from ensemble.training_set import training_set
from features import discovery, table
from features.errors import InputError
from training import unseen_scores


def made(n=120, seed=0):
    """A network that knows something; clips 0 and 60 share a group over two folds. Folds to read, by filename."""
    rng = np.random.default_rng(seed)
    fake = np.arange(n) % 2
    families = discovery.families(["forensic_cnn", "blending"])
    schema = table.schema(families, extractor="test")
    names = [name for name in schema.names if name not in table.BASE_COLUMNS]
    values = rng.standard_normal((n, len(names))).astype(np.float32)
    values[:, names.index("forensic_cnn.logit_mean")] += 2 * fake
    clips = [f"{number:03}.mp4" for number in range(n)]
    group = [f"g{0 if number == 60 else number}" for number in range(n)]
    base = dict(filename=clips, label=[table.LABELS[one] for one in fake], group=group, source=[None] * n)
    base |= dict(status=["ok"] * n, error=[""] * n, duration_s=[1.0] * n, n_frames=[9] * n, n_faces=[1] * n)
    return table.build(base, values, schema), {name: number * 3 // n for number, name in enumerate(clips)}


@pytest.fixture
def seen(monkeypatch):
    """Rows [n, d] and groups [n] of each fit of the learner ``spy``."""
    fits = []

    class Spy:
        def __init__(self, layout, settings):
            pass

        def fit(self, X, y, groups, seed):
            fits.append((X, groups))
            return self

        def predict_logit(self, X):
            return np.zeros(len(X))

    monkeypatch.setattr(registry, "learner_kinds", lambda: {"spy": Spy})
    return fits


def test_no_learner_sees_a_group_that_its_fold_touches(seen):
    source, fold_of = made()
    data = training_set(source)
    fold = np.array([fold_of[name] for name in data.filename])
    unseen_scores.predictions(data, fold, "spy")
    assert [len(X) for X, _ in seen] == [79, 79, 80]  # without the other clip of the shared group
    assert not (seen[0][0] == data.X[60]).all(axis=1).any()
    assert not (seen[1][0] == data.X[0]).all(axis=1).any()


def test_copies_are_fitted_on_where_their_clips_may_be_and_are_not_judged(seen):
    source, fold_of = made()
    data, copies = training_set(source), training_set(made(seed=1)[0].slice(20, 90))
    fold = np.array([fold_of[name] for name in data.filename])
    z = unseen_scores.predictions(data, fold, "spy", copies=copies)
    assert len(z) == len(data)
    of_copies = set(copies.X[:, 0].tolist())
    for number, (X, groups) in enumerate(seen):
        judged = {data.filename[row] for row in np.flatnonzero(fold == number)}
        groups_judged = {data.names_of_groups[row] for row in np.flatnonzero(fold == number)}
        allowed = {row for row in range(len(copies)) if copies.names_of_groups[row] not in groups_judged}
        assert len(of_copies & set(X[:, 0].tolist())) == len(allowed)
        assert len(np.unique(groups)) <= len(data) - len(judged)  # a clip and its copy are one group
    other = dataclasses.replace(copies, layout=dataclasses.replace(copies.layout, columns=copies.layout.columns[1:]))
    with pytest.raises(InputError, match="other columns"):
        unseen_scores.predictions(data, fold, "spy", copies=other)


def test_resamples_without_a_class_are_left_out_of_the_intervals():
    y, z = np.array([0, 1, 1]), np.full(3, 2.0)  # every resample with both classes has the same mean at a prior of 0.5
    found = unseen_scores._scores(y, z, np.zeros(3), np.arange(3), seed=0)
    for score in (found.log_loss, found.difference):
        assert (score.low, score.high) == pytest.approx((score.value, score.value))


def test_a_known_score_and_no_difference_to_itself():
    source, fold_of = made(n=600)
    found = unseen_scores.scores(training_set(source), fold_of, ["networks", "networks_and_cues"]).learners
    assert found["networks"].auc.value == pytest.approx(0.921, abs=0.03)  # of two normals, two apart
    assert found["networks"].auc.low < found["networks"].auc.value < found["networks"].auc.high
    assert (found["networks"].difference.low, found["networks"].difference.high) == (0, 0)
    less = found["networks_and_cues"]
    assert 0.05 < found["networks"].false_positives[0.5] < 0.3  # of a normal a unit below the middle: 0.16
    assert found["networks"].false_positives[0.9] < found["networks"].false_positives[0.5]
    assert less.difference.value == pytest.approx(less.log_loss.value - found["networks"].log_loss.value)


def test_probabilities_are_bounded_as_a_user_gets_them():
    source, fold_of = made()
    data = training_set(source)
    z = unseen_scores.predictions(data, np.array([fold_of[name] for name in data.filename]), "networks")
    assert np.abs(z).max() <= np.log((1 - unseen_scores.BOUND) / unseen_scores.BOUND) + 1e-9


def test_only_rows_of_the_folds_take_part_and_a_subset_is_scored():
    source, fold_of = made()
    data = training_set(source)
    part = {name: fold for name, fold in fold_of.items() if int(name[:3]) < 90}
    whole = unseen_scores.scores(data, part, ["networks"]).learners["networks"]
    some = unseen_scores.scores(data, part, ["networks"], rows=np.arange(len(data)) < 45).learners["networks"]
    assert some.log_loss.value != whole.log_loss.value
    with pytest.raises(InputError, match="no clip of the table is in the folds"):
        unseen_scores.scores(data, {"other.mp4": 0}, ["networks"])
    for scored in (np.arange(len(data)) >= 90, np.arange(len(data)) % 2 == 1):  # none of the folds; FAKE clips alone
        with pytest.raises(InputError, match="that are scored, one of the classes is missing"):
            unseen_scores.scores(data, part, ["networks"], rows=scored)


@pytest.fixture
def files(tmp_path):
    source, fold_of = made()
    table.write_table(source, tmp_path / "t.parquet")
    lines = ["filename,fold,fake", *(f"{name},{fold},{int(name[:3]) % 2}" for name, fold in fold_of.items())]
    (tmp_path / "folds.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_command_prints_scores_of_a_subset(files, capsys):
    with (files / "some.csv").open("w", newline="") as text:
        csv.writer(text).writerows([["filename"], *[[f"{number:03}.mp4"] for number in range(50)]])
    command = ["unseen-scores", "--table", str(files / "t.parquet"), "--folds", str(files / "folds.csv")]
    assert deepcue([*command, "--learners", "networks,networks_and_cues", "--subset", str(files / "some.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["50 clips of 50 groups are scored", "constant: log loss 0.693"]
    assert [line.split(":")[0] for line in lines[2::2]] == ["networks", "networks_and_cues"]
    table.write_table(renamed(made(seed=1)[0], of_others=40), files / "copies.parquet")
    assert deepcue([*command, "--copies", str(files / "copies.parquet")]) == 0
    with_copies = capsys.readouterr().out.splitlines()
    assert with_copies[0] == "120 clips of 119 groups are scored; 80 of 120 copies are trained on"
    assert deepcue([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["learners"]["networks"]["auc"]["value"] > 0.8
    assert f"log loss {found['learners']['networks']['log_loss']['value']:.3f}" not in with_copies[2]
    assert (found["n_clips"], found["n_groups"], found["copies"]) == (120, 119, {"used": 0, "given": 0})
    assert found["constant"]["log_loss"] == pytest.approx(np.log(2))


def renamed(source, of_others):
    """The table, its last ``of_others`` rows in groups of other names."""
    groups = source["group"].to_pylist()
    groups[-of_others:] = [f"other {name}" for name in groups[-of_others:]]
    field = source.schema.field("group")
    return source.set_column(source.column_names.index("group"), field, pa.array(groups, field.type))


def test_copies_of_other_groups_alone_are_refused():
    """Non-regression test: they were left out without a word."""
    source, fold_of = made()
    copies = training_set(renamed(source, of_others=len(source)))
    with pytest.raises(InputError, match=r"no copy is of a group of these clips \(the copies have other g0, the clips"):
        unseen_scores.scores(training_set(source), fold_of, ["networks"], copies=copies)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--learners", ","], "learners: name at least one of lightgbm"),
        (["--learners", "wizard"], "learners: 'wizard' is unknown; there are lightgbm"),
        (["--subset", "none.csv"], "no such folder or manifest"),
    ],
)
def test_what_is_wrong_is_said(files, capsys, monkeypatch, more, message):
    monkeypatch.chdir(files)
    assert deepcue(["unseen-scores", "--table", "t.parquet", "--folds", "folds.csv", *more]) == 2
    assert message in capsys.readouterr().err


def test_scores_are_at_a_prior_of_one_half_whatever_the_table_has():
    """Of four times as many FAKE clips: the same log loss, and no more false positives, than of as many."""
    source, fold_of = made(n=1200)
    few = [row for row in range(1200) if row % 2 or row % 8 == 0]
    found = [
        unseen_scores.scores(training_set(rows), fold_of, ["networks"]).learners["networks"]
        for rows in (source, source.take(few))
    ]
    assert found[1].log_loss.value == pytest.approx(found[0].log_loss.value, abs=0.04)
    assert found[1].false_positives[0.5] == pytest.approx(found[0].false_positives[0.5], abs=0.08)


def test_rows_in_which_nothing_was_measured_are_not_fitted_on():
    source, fold_of = made()
    data = training_set(source)
    fold = np.array([fold_of[name] for name in data.filename])
    empty = np.arange(len(data)) % 6 == 1  # FAKE, all of them
    X = data.X.copy()
    X[empty] = np.nan
    told = dataclasses.replace(data, X=X, measured=~empty)
    less = dataclasses.replace(told, y=np.where(empty, 0, data.y))  # what they are called says nothing
    z = [unseen_scores.predictions(one, fold, "networks") for one in (told, less)]
    np.testing.assert_array_equal(z[0], z[1])
