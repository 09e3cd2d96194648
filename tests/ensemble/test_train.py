import contextlib
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepcue.cli.main import main as deepcue
from ensemble import importance, outputs
from ensemble.cross_fit import cross_fit
from ensemble.evaluate import LEARNER_CLIP, clip_logit
from ensemble.folds import assign_folds
from ensemble.metrics import auc
from ensemble.out_of_fold import read_oof
from ensemble.shrinkage import Shrinkage
from ensemble.store import load_model, save_model
from ensemble.train import choose_settings, train, train_table
from ensemble.training_set import _labelled_and_sorted, sampled_rows, training_set
from ensemble.verdict import NOTHING, judge
from features.errors import InputError, ModelError, TableError
from features.table import write_table

FAST = ["--learners", "logistic,lightgbm", "--folds", "3", "--quiet"]


@pytest.fixture(scope="module")
def commanded(make_table, tmp_path_factory):
    """A table, the model that the command made of it, and what it printed; tests that write to it take a copy."""
    folder = tmp_path_factory.mktemp("commanded")
    write_table(make_table(), folder / "t.parquet")
    places = ["--table", str(folder / "t.parquet"), "--out", str(folder / "model")]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert deepcue(["train", *places, "--synthetic", "--jobs", "1", *FAST]) == 0
    return folder / "t.parquet", folder / "model", printed.getvalue()


def honest(table, quick, seed=0, names=("lightgbm", "logistic")):
    data = training_set(table, "made")
    fold = assign_folds(data.y, data.group, n_folds=3, seed=seed)
    return data, train(data, fold, settings=quick(names), seed=seed)[1]


def test_the_planted_cue_is_found_and_no_learner_beats_the_stack_beyond_noise(trained):
    _, evaluation = trained
    losses = {name: scores["log_loss"].value for name, scores in evaluation.scores.items()}
    assert losses["stack"] < losses["constant"] - 0.05
    best = min(losses[name] for name in losses if name not in {"stack", "constant"})
    assert losses["stack"] < best + 0.03


def test_every_score_has_an_interval_and_the_constant_beside_it(trained):
    _, evaluation = trained
    kinds = {"lightgbm", "lightgbm_full", "xgboost", "logistic", "kernel", "extra_trees", "mlp"}
    assert set(evaluation.scores) == {*kinds, "stack", "constant"}
    for scores in evaluation.scores.values():
        for name in ("log_loss", "log_loss_target_prior", "auc", "brier", "ece", "eer"):
            assert scores[name].low <= scores[name].value <= scores[name].high
    assert evaluation.scores["constant"]["auc"].value == 0.5


@pytest.mark.parametrize("seed", range(2))
def test_labels_shuffled_within_groups_score_at_chance(make_table, quick, seed):
    """A leak of a group's rows between any two stages would show here: the rows of a group are alike."""
    table = make_table(30, 4, signal=0.0, seed=seed)
    rng = np.random.default_rng(seed)
    labels = np.array(table.column("label").to_pylist()).reshape(30, 4)
    shuffled = rng.permuted(labels, axis=1).ravel().tolist()
    table = table.set_column(1, "label", pa.array(shuffled))
    _, evaluation = honest(table, quick, seed)
    stack = evaluation.scores["stack"]
    assert stack["auc"].low < 0.5  # a little under it is usual: each group holds as many of either label
    assert stack["log_loss"].value > evaluation.scores["constant"]["log_loss"].value - 0.02


def test_a_column_that_identifies_the_group_adds_nothing(make_table, quick):
    table = make_table(30, 4, signal=0.0, leak=True)
    whole = ["FAKE" if group % 2 else "REAL" for group in range(30) for _ in range(4)]
    table = table.set_column(1, "label", pa.array(whole))
    data, evaluation = honest(table, quick)
    stack = evaluation.scores["stack"]
    assert stack["log_loss"].value > evaluation.scores["constant"]["log_loss"].value - 0.03
    known = data.X[:, data.layout.columns.index("noise.cue0")]
    assert auc(data.y, (known // 10 % 2).astype(float)) == 1.0  # the leak was there to be used


def test_no_stage_of_a_score_saw_the_row(data, folds, quick):
    """Inverting the labels of a fold changes no prediction of the models that excluded it."""
    settings = quick(["logistic"])
    first = cross_fit(data, folds, settings, seed=1)
    turned = data.rows(np.ones(len(data), bool))
    turned.y[folds == 2] = 1 - turned.y[folds == 2]
    second = cross_fit(turned, folds, settings, seed=1)
    held_out = folds == 2
    assert np.array_equal(first.outer["logistic"][held_out], second.outer["logistic"][held_out], equal_nan=True)
    assert np.array_equal(first.inner["logistic"][2], second.inner["logistic"][2], equal_nan=True)
    assert not np.array_equal(first.outer["logistic"], second.outer["logistic"], equal_nan=True)


def test_inner_log_odds_cover_every_measured_row_of_the_other_folds(data, folds, quick):
    fitted = cross_fit(data, folds, quick(["logistic"]), seed=1)
    for number in range(4):
        expected = (folds != number) & data.measured
        assert np.array_equal(np.isfinite(fitted.inner["logistic"][number]), expected)


def test_number_of_jobs_changes_nothing(trained, data, folds, quick):
    _, evaluation = trained  # by one job
    two = cross_fit(data, folds, quick(), seed=3, jobs=2)
    for name in quick():
        clipped = clip_logit(two.outer[name][data.measured], LEARNER_CLIP)
        assert np.array_equal(evaluation.train[name][data.measured], clipped)


def test_a_clip_with_nothing_measured_gets_exactly_the_target_prior(trained, data, table):
    model, evaluation = trained
    assert np.array_equal(np.flatnonzero(~data.measured), [3, 40])
    assert (model.predict(table)[[3, 40]] == 0.5).all()
    assert np.allclose(evaluation.target["stack"][[3, 40]], 0.0, atol=1e-12)


def test_predictions_are_finite_and_clipped(trained, make_table):
    model, _ = trained
    p = model.predict(make_table(seed=5, signal=30.0))
    assert np.isfinite(p).all()
    assert p.min() >= model.head.clip - 1e-12
    assert p.max() <= 1 - model.head.clip + 1e-12


def test_target_prior_moves_the_log_odds_by_its_own(data, folds, quick, table):
    settings = quick(["logistic"])
    half, rare = (train(data, folds, settings=settings, target_prior=prior)[0] for prior in (0.5, 0.2))
    inside = slice(0, 3)
    z_half, z_rare = (model.log_odds(model.inputs(table))[inside] for model in (half, rare))
    free = np.abs(z_half) < 1.0
    assert free.any()
    assert (z_half - z_rare)[free] == pytest.approx(np.log(4), abs=1e-9)
    assert rare.predict(table)[3] == pytest.approx(0.2)


def test_held_out_models_are_those_that_the_scores_are_of(trained, data, folds):
    """Head and shrinkage of each fold's model included: predictions out of fold can be made from them again."""
    _, evaluation = trained
    assert len(evaluation.models) == 4
    for number, model in enumerate(evaluation.models):
        out = folds == number
        assert model.log_odds(data.X[out]) == pytest.approx(evaluation.target["stack"][out], abs=1e-9)


def test_importance_is_measured_with_shrinkage_by_models_that_never_saw_the_fold(trained, data, folds):
    _, evaluation = trained
    strong = [replace(one, shrinkage=one.shrinkage.with_strengths(1e9, 1e9)) for one in evaluation.models]
    plain, shrunk = (importance.permutation_importance(models, data, folds) for models in (evaluation.models, strong))
    assert shrunk["eyes"]["delta_log_loss"] != pytest.approx(plain["eyes"]["delta_log_loss"], rel=0.01)
    turned = [evaluation.models[0]] * 4  # saw the other folds, and does better there than it may
    assert importance.permutation_importance(turned, data, folds) != plain
    fractions = importance.family_attribution(evaluation.models, data, folds)
    assert sum(value["fraction"] for value in fractions.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("sizes", [[300] * 4, [300] * 4 + [20], [5] * 200, [300, *[5] * 200]])
def test_a_sample_is_of_many_groups_however_large_they_are(sizes):
    """Non-regression test: groups that were larger than the sample left it empty, or with one small group."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    chosen = sampled_rows(group, 250, seed=0)
    assert 225 <= chosen.sum() <= 250
    assert len(np.unique(group[chosen])) >= 4
    assert np.array_equal(chosen, sampled_rows(group, 250, seed=0))
    assert not np.array_equal(chosen, sampled_rows(group, 250, seed=1))
    if max(sizes) == 5:
        assert set(np.bincount(group[chosen])) <= {0, 5}, "small groups stay whole"


def test_a_large_table_of_few_groups_has_importances(make_table, quick, monkeypatch):
    """Non-regression test: the first group drawn was too large, nothing was sampled and the training was lost."""
    monkeypatch.setattr(importance, "MAX_ROWS", 20)
    data, evaluation = honest(make_table(4, 24, unmeasured=range(24)), quick)
    fold = assign_folds(data.y, data.group, n_folds=3, seed=0)
    fractions = importance.family_attribution(evaluation.models, data, fold)
    assert sum(value["fraction"] for value in fractions.values()) == pytest.approx(1.0)
    rises = importance.permutation_importance(evaluation.models, data, fold)
    assert rises["eyes"]["delta_log_loss"] is not None


def test_a_table_is_trained_on_without_files_as_by_the_command(make_table, commanded, tmp_path):
    table, (_, out, _) = make_table(), commanded
    model, evaluation = train_table(table, learners=["logistic", "lightgbm"], n_folds=3)
    assert np.array_equal(model.predict(table), load_model(out).predict(table))
    manifest = json.loads((out / "manifest.json").read_text())
    assert model.manifest["metrics"] == manifest["metrics"]
    save_model(model, tmp_path / "again", evaluation.tables())
    for name in ("folds.parquet", "oof.parquet", "head.json"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()
    kept, _ = train_table(table, learners=["logistic"], folds=evaluation.tables()["folds.parquet"], seed=7)
    assert kept.manifest["summary"]["n_folds"] == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target_prior": 1.5}, InputError, "target prior 1.5"),
        ({"target_prior": "0.5"}, InputError, "target prior '0.5': give a number"),
        ({"learners": ["oracle"]}, InputError, "'oracle' is unknown"),
        ({"learners": []}, InputError, "name at least one"),
        ({"settings": {"logistic": {"spin": 1}}, "learners": ["logistic"]}, InputError, "spin"),
        ({"settings": {"logistic": {"n_bags": 0}}, "learners": ["logistic"]}, InputError, "n_bags=0"),
        ({"device": "tpu"}, InputError, "'tpu' is unknown"),
        ({"folds": "gone.parquet"}, TableError, "no such fold file"),
        ({"n_folds": 2}, InputError, "at least 3"),
        ({"n_folds": 3.0}, InputError, "folds = 3.0: must be a whole number, a file or a table"),
        ({"seed": -1}, InputError, "seed = -1: must be a whole number from 0 to 4294967295"),
        ({"seed": 1.5}, InputError, "seed = 1.5: must be a whole number"),
        ({"jobs": 0}, InputError, "jobs = 0: must be a whole number above 0"),
    ],
)
def test_options_of_the_library_are_refused_in_one_sentence_before_the_first_fit(
    make_table, monkeypatch, options, error, message
):
    monkeypatch.setattr("ensemble.train.choose_families", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(error, match=message) as caught:
        train_table(make_table(), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rows", [range(96), range(0, 96, 2)], ids=["of both classes", "of one class"])
def test_a_table_in_which_nothing_was_measured_is_refused(make_table, rows):
    with pytest.raises(TableError, match="in all clips of one class nothing was measured"):
        train_table(make_table(unmeasured=tuple(rows)), learners=["logistic"], n_folds=3)


def test_a_search_s_changes_are_put_over_the_defaults(data):
    chosen = choose_settings(data, ["xgboost", "logistic"], {"xgboost": {"n_leaves": 17}})
    assert list(chosen) == ["xgboost", "logistic"]
    assert chosen["xgboost"].n_leaves == 17 != chosen["logistic"].n_leaves


@pytest.mark.parametrize("changes", [{"leafs": 3}, {"n_leaves": 1}], ids=["unknown", "out of range"])
def test_settings_of_a_learner_that_is_not_trained_are_checked(data, changes):
    """Non-regression test: they were taken, and refused only when the learner was added."""
    with pytest.raises(InputError, match=r"leafs|n_leaves"):
        choose_settings(data, ["logistic"], {"xgboost": changes})


@pytest.mark.parametrize("out", ["taken", "taken/below"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(make_table, tmp_path, capsys, monkeypatch, out):
    write_table(make_table(), tmp_path / "t.parquet")
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setattr("ensemble.train.cross_fit", lambda *_, **__: pytest.fail("the work was begun"))
    assert deepcue(["train", "--table", str(tmp_path / "t.parquet"), "--out", str(tmp_path / out), *FAST]) == 2
    error = capsys.readouterr().err
    assert "is a file" in error
    assert error.count("\n") == 1


def test_a_read_only_folder_is_refused_before_the_work(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ensemble.outputs.tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        outputs.check_folder(tmp_path / "new" / "model")
    with pytest.raises(InputError, match="Permission denied"):
        outputs.check_file(tmp_path / "report.html")
    assert not (tmp_path / "new").exists()


def test_command_writes_a_model_and_prints_its_scores(commanded):
    _, out, printed = commanded
    assert "SYNTHETIC DATA" in printed
    assert str(out / "oof.parquet") in printed
    lines = {line.split()[0]: line for line in printed.splitlines() if line.startswith(("stack", "constant"))}
    manifest = json.loads((out / "manifest.json").read_text())
    assert f"{manifest['metrics']['stack']['log_loss']['value']:.3f} [" in lines["stack"]
    assert manifest["summary"]["synthetic"] is True
    assert manifest["summary"]["n_groups"] == 24
    assert set(manifest["attribution"]) == set(manifest["permutation_importance"]) == {"eyes", "lips", "noise"}
    assert manifest["attribution"]["eyes"]["fraction"] > 0.5
    assert manifest["permutation_importance"]["eyes"]["low"] > 0
    oof = pq.read_table(out / "oof.parquet")
    assert oof.column_names == [
        "filename", "label", "group", "fold", "measured", "lightgbm", "logistic", "stack", "stack_target",
    ]  # fmt: skip
    folds = pq.read_table(out / "folds.parquet")
    assert folds.column("fold").to_pylist() == oof.column("fold").to_pylist()


def test_same_seed_same_model_bit_for_bit(commanded, tmp_path, capsys):
    table, first, _ = commanded  # of one job
    arguments = ["--table", str(table), "--out", str(tmp_path / "again"), "--synthetic", "--jobs", "2", *FAST]
    assert deepcue(["train", *arguments]) == 0
    one, two = (json.loads((out / "manifest.json").read_text()) for out in (first, tmp_path / "again"))
    assert one == two  # checksums of every file included


def test_training_again_keeps_the_folds_and_leaves_no_stale_file(commanded, tmp_path, capsys):
    table, made, _ = commanded
    shutil.copytree(made, tmp_path / "model")
    assert list((tmp_path / "model").glob("lightgbm*"))
    common = ["--table", str(table), "--out", str(tmp_path / "model"), "--quiet", "--jobs", "1"]
    (tmp_path / "model" / "report.html").write_text("mine")
    folds = (tmp_path / "model" / "folds.parquet").read_bytes()
    assert deepcue(["train", *common, "--learners", "logistic", "--seed", "5"]) == 0
    assert (tmp_path / "model" / "folds.parquet").read_bytes() == folds
    assert not list((tmp_path / "model").glob("lightgbm*"))
    assert (tmp_path / "model" / "report.html").read_text() == "mine"
    load_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.set_column(1, "label", pa.nulls(len(t), pa.string())), "no clip has a label"),
        (lambda t: t.set_column(1, "label", pa.array(["FAKE"] * len(t))), "every labelled clip is FAKE"),
        (lambda t: t.set_column(2, "group", pa.array(["a", "b"] * (len(t) // 2))), "2 groups, fewer than"),
        (lambda t: t.slice(0, 0), "no clip has a label"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_one_sentence_and_status_2(make_table, tmp_path, capsys, spoil, message):
    file = tmp_path / "t.parquet"
    write_table(spoil(make_table()), file)
    assert deepcue(["train", "--table", str(file), "--out", str(tmp_path / "m"), *FAST]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--target-prior", "1.5"], "--target-prior 1.5"),
        (["--target-prior", "half"], "--target-prior half"),
        (["--learners", "oracle"], "'oracle' is unknown"),
        (["--settings", "nowhere.json"], "nowhere.json"),
        (["--learners", "xgboost", "--device", "cuda"], "built for the CPU"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence_and_status_2(make_table, tmp_path, capsys, option, message):
    write_table(make_table(), tmp_path / "t.parquet")
    common = ["--table", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "m"), "--quiet", "--folds", "4"]
    assert deepcue(["train", *common, *option]) == 2
    assert message in capsys.readouterr().err


def test_missing_table_is_status_2(tmp_path, capsys):
    assert deepcue(["train", "--table", str(tmp_path / "no.parquet"), "--out", str(tmp_path / "m")]) == 2
    assert "no such table" in capsys.readouterr().err


def test_labels_may_be_missing_for_some_rows(make_table, quick):
    table = make_table()
    labels = table.column("label").to_pylist()
    labels[:4] = [None] * 4
    data = training_set(table.set_column(1, "label", pa.array(labels, pa.string())), "made")
    assert len(data) == 92
    assert data.n_groups == 23


def test_a_table_as_extraction_writes_it_is_not_copied(make_table):
    """Non-regression test: its rows were copied once to have labels only, and once to be sorted."""
    table = make_table()
    table = table.take(np.argsort(table["filename"].to_pylist(), kind="stable"))
    assert _labelled_and_sorted(table, "made") is table
    turned = table.take(list(range(table.num_rows))[::-1])
    assert _labelled_and_sorted(turned, "made")["filename"].equals(table["filename"])


def test_a_cue_of_text_or_twice_is_refused(make_table):
    """Non-regression test: both ended in tracebacks."""
    table = make_table()
    position = table.column_names.index("eyes.cue0")
    text = table.set_column(position, "eyes.cue0", pa.array(["much"] * table.num_rows))
    with pytest.raises(TableError, match=r"made: the column 'eyes\.cue0' holds string; write numbers into it"):
        training_set(text, "made")
    with pytest.raises(TableError, match=r"made: two columns are called 'eyes\.cue0'; remove or rename one"):
        training_set(table.append_column("eyes.cue0", table["eyes.cue0"]), "made")


def test_cues_may_be_stored_as_other_numbers(make_table):
    table = make_table()
    position = table.column_names.index("eyes.cue0")
    for kind in (pa.float64(), pa.null()):
        values = table["eyes.cue0"].cast(kind) if kind != pa.null() else pa.nulls(table.num_rows)
        expected = table["eyes.cue0"].to_numpy() if kind != pa.null() else np.full(table.num_rows, np.nan)
        found = training_set(table.set_column(position, "eyes.cue0", values), "made")
        np.testing.assert_array_equal(found.X[:, list(found.layout.columns).index("eyes.cue0")], expected)


def test_base_columns_are_no_inputs(make_table, quick, data, folds):
    table = make_table(unmeasured=(3, 40))
    telling = pa.array([float(one == "FAKE") for one in table.column("label").to_pylist()])
    spoilt = table.set_column(table.column_names.index("duration_s"), "duration_s", telling)
    assert np.array_equal(training_set(spoilt, "made").X, data.X, equal_nan=True)


@pytest.mark.parametrize("label", ["fake", "FAKE ", "1"])
def test_a_label_that_is_none_is_refused_and_not_left_out(make_table, label):
    """Non-regression test: such rows took no part, without a word."""
    table = make_table(12, 4)
    labels = table["label"].to_pylist()
    labels[3] = labels[5] = label
    table = table.set_column(table.column_names.index("label"), "label", pa.array(labels))
    with pytest.raises(TableError, match=rf"made: label {label!r} of clip0003\.mp4 \(and 1 more\) is not REAL or FAKE"):
        training_set(table, "made")


def test_training_does_not_depend_on_the_order_of_rows(make_table):
    """Non-regression test: a shuffled table moved P(FAKE) by up to 0.1; `train` and `compare` drew other groups."""
    made = make_table(unmeasured=(3,))
    shuffled = made.take(np.random.default_rng(0).permutation(made.num_rows))
    data, other = training_set(made), training_set(shuffled)
    for name in ("X", "y", "group", "measured"):
        np.testing.assert_array_equal(getattr(other, name), getattr(data, name))
    for name in ("filename", "group_names", "source"):
        assert getattr(other, name) == getattr(data, name)
    numbers = np.unique(other.names_of_groups, return_inverse=True)[1]
    np.testing.assert_array_equal(other.group, numbers)  # as in `ensemble.out_of_fold`


def silenced(table, family, rows):
    """The table with a family that is undefined in ``rows``."""
    for number, name in enumerate(table.column_names):
        if name.startswith(f"{family}."):
            values = table[name].to_numpy().copy()
            values[rows] = 0.0 if name.endswith("valid_share") else np.nan
            table = table.set_column(number, table.schema.field(name), pa.array(values, pa.float32()))
    return table


def test_a_column_that_no_training_clip_had_is_no_evidence(make_table, quick):
    """Non-regression test: P(FAKE) was 0.8 for a clip with audio only, by a model trained on silent clips."""
    made = make_table()
    every = np.arange(made.num_rows)
    data = training_set(silenced(made, "noise", every))
    data.X[data.y == 1, :5] = np.nan  # missing more often in FAKE: the indicators alone would say FAKE
    fold = assign_folds(data.y, data.group, n_folds=3, seed=0)
    model, evaluation = train(data, fold, settings=quick(["logistic"]), target_prior=0.3)
    assert model.columns_read == {name for name in data.layout.columns if not name.startswith("noise.cue")}
    only_noise = silenced(silenced(made, "eyes", every), "lips", every)
    assert model.predict(only_noise) == pytest.approx(0.3)
    assert model.explain(only_noise).log_odds == pytest.approx(np.log(0.3 / 0.7))
    assert judge(model, only_noise.slice(0, 1))[0].verdict == NOTHING
    for fold_model in evaluation.models:
        assert fold_model.predict(only_noise) == pytest.approx(0.3)


def test_out_of_fold_a_column_that_the_other_folds_lack_is_no_evidence(make_table, quick):
    made = make_table()
    data = training_set(made)
    fold = assign_folds(data.y, data.group, n_folds=3, seed=0)
    rows = np.flatnonzero(fold == 0)[:4]
    table = silenced(made, "noise", np.setdiff1d(np.arange(len(data)), rows))
    data = training_set(silenced(silenced(table, "eyes", rows), "lips", rows))
    _, evaluation = train(data, fold, settings=quick(["logistic"]), target_prior=0.3)
    assert not evaluation.clips["measured"].to_numpy()[rows].any()
    for name in ("logistic", "stack"):
        assert evaluation.target[name][rows] == pytest.approx(np.log(0.3 / 0.7))


def test_values_near_the_limit_of_float32_train_without_a_warning(recwarn):
    """Non-regression test: numpy's overflow warning, with a path of site-packages, was printed."""
    X = np.array([[3e38], [-3e38], [0.0], [1.0]], np.float32)
    assert np.isfinite(Shrinkage.of(X).distances(X)).all()
    assert not [warning for warning in recwarn if "overflow" in str(warning.message)]


@pytest.mark.parametrize("column", ["label", "group"])
def test_predictions_of_a_table_that_has_changed_are_refused(commanded, column):
    """Non-regression test: `compare` scored scikit-learn by the new labels and the stack by the old ones."""
    file, folder, _ = commanded
    table = pq.read_table(file)
    values = table[column].to_pylist()
    values[:2] = ["FAKE", "REAL"] if column == "label" else ["another", "another"]
    changed = table.set_column(table.column_names.index(column), column, pa.array(values))
    assert len(read_oof(folder, table).y) == table.num_rows
    with pytest.raises(ModelError, match=rf"{column}s of 2 of 96 clips have changed .*train it again"):
        read_oof(folder, changed)
