import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepcue.cli import tune as command
from deepcue.cli.main import main as deepcue
from ensemble import tune
from ensemble.folds import assign_folds
from ensemble.learners.base import settings_for
from ensemble.training_set import training_set
from features.errors import InputError
from features.table import write_table


def test_search_resumes_and_training_uses_its_result(make_table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "SPACES", {name: tune.SPACES[name] for name in ("lightgbm", "logistic")})
    table = tmp_path / "t.parquet"
    write_table(make_table(12, 4), table)
    common = ["--table", str(table), "--out", str(tmp_path / "tune"), "--folds", "3", "--budget", "60", "--quiet"]
    results = []
    for _ in range(2):
        assert deepcue(["tune", *common, "--trials", "1"]) == 0
        results.append(json.loads((tmp_path / "tune" / "settings.json").read_text())["search"])
    for name, second in results[1].items():
        first = results[0][name]
        assert (first["n_trials"], second["n_trials"]) == (1, 2)
        assert second["default_log_loss"] == first["default_log_loss"]
    settings = ["--settings", str(tmp_path / "tune" / "settings.json"), "--learners", "logistic", "--quiet"]
    assert deepcue(["train", "--table", str(table), "--out", str(tmp_path / "m"), "--folds", "3", *settings]) == 0
    assert "optimistically biased" in capsys.readouterr().out


def test_the_best_of_the_trials_is_kept_and_only_if_it_beats_the_default(make_table, tmp_path, monkeypatch):
    """With a loss known in advance: trials of l1_ratio r cost r, the default costs 0.5."""
    data = training_set(make_table(12, 4), "made")
    fold = assign_folds(data.y, data.group, n_folds=3)
    tried = []

    def loss(data, fold, name, settings, seed):
        if settings == settings_for(len(data), data.n_groups):
            return default
        tried.append(settings.l1_ratio)
        return settings.l1_ratio

    monkeypatch.setattr(tune, "mean_loss", loss)
    for default, number in ((0.5, 0), (-1.0, 1)):
        tried.clear()
        options = {"journal": tmp_path / f"{number}.journal", "budget_s": 60.0, "n_trials": 8, "seed": 0}
        result = tune.search(data, fold, "logistic", **options)
        assert len(tried) == result.n_trials == 8
        if min(tried) < default:
            assert result.changes == {"l1_ratio": min(tried)}
            assert result.log_loss == min(tried)
        else:
            assert result.changes == {}
            assert result.log_loss == default == result.default_log_loss


def test_a_search_that_goes_on_tries_other_settings(make_table, tmp_path, monkeypatch):
    data = training_set(make_table(12, 4), "made")
    tried = []
    monkeypatch.setattr(tune, "mean_loss", lambda *arguments: tried.append(arguments[3].l1_ratio) or 1.0)
    options = {"budget_s": 60.0, "n_trials": 3, "seed": 0}
    for journal in ("one", "one", "two"):
        tune.search(data, np.arange(48) % 3, "logistic", journal=tmp_path / f"{journal}.journal", **options)
    default, first, again, other = tried[0], tried[1:4], tried[5:8], tried[9:]
    assert len({default, *first, *again}) == 7
    assert other == first  # equal seeds still give equal trials


def test_an_interrupt_ends_the_search_without_a_traceback(make_table, tmp_path, monkeypatch, caplog, capsys):
    data = training_set(make_table(12, 4), "made")
    fold = assign_folds(data.y, data.group, n_folds=3)
    losses = iter([0.5, 0.4])  # of the default, and of the first trial

    def loss(*_):
        if (known := next(losses, None)) is None:
            raise KeyboardInterrupt
        return known

    monkeypatch.setattr(tune, "mean_loss", loss)
    options = {"journal": tmp_path / "j", "budget_s": 60.0, "n_trials": 8, "seed": 0}
    with pytest.raises(KeyboardInterrupt):
        tune.search(data, fold, "logistic", **options)
    assert "Traceback" not in caplog.text + capsys.readouterr().err
    monkeypatch.setattr(tune, "mean_loss", lambda *_: 0.5)
    assert tune.search(data, fold, "logistic", **(options | {"n_trials": 1})).n_trials == 2, "the first is kept"


def test_losses_of_other_groups_are_not_reused(make_table):
    data = training_set(make_table(12, 4), "made")
    other = replace(data, group=data.group[::-1].copy())
    fold = np.arange(48) % 3
    assert tune.fingerprint(data, fold, 0) == tune.fingerprint(replace(data, group=data.group.copy()), fold, 0)
    assert tune.fingerprint(data, fold, 0) != tune.fingerprint(other, fold, 0)


def test_the_loss_is_the_mean_over_folds_of_a_learner_fitted_on_the_others(make_table, monkeypatch):
    """Known log-odds: P(label) is 1/2 in fold 0, 1/4 in fold 1 and 9/10 in fold 2, which has half the rows."""
    data = training_set(make_table(12, 4), "made")
    fold = np.repeat([0, 1, 2], [12, 12, 24])
    odds_of_label = {0: 1.0, 1: 1 / 3, 2: 9.0}

    def fit_without(data, fold, name, settings, excluded, seed):
        rows = np.flatnonzero(np.isin(fold, excluded))
        return rows, np.where(data.y[rows] == 1, 1, -1) * np.log(odds_of_label[excluded[0]]), None

    monkeypatch.setattr(tune, "fit_without", fit_without)
    loss = tune.mean_loss(data, fold, "logistic", settings_for(len(data), data.n_groups), 0)
    assert loss == pytest.approx((np.log(2) + np.log(4) + np.log(10 / 9)) / 3)


def test_a_fold_in_which_nothing_was_measured_does_not_count(make_table, monkeypatch):
    """Non-regression test: the loss was NaN, and the settings that were written no JSON."""
    data = training_set(make_table(12, 4, unmeasured=tuple(range(12))), "made")
    fold = np.repeat([0, 1, 2, 3], 12)

    def fit_without(data, fold, name, settings, excluded, seed):
        rows = np.flatnonzero(np.isin(fold, excluded) & data.measured)
        return rows, np.zeros(len(rows)), None

    monkeypatch.setattr(tune, "fit_without", fit_without)
    loss = tune.mean_loss(data, fold, "logistic", settings_for(len(data), data.n_groups), 0)
    assert loss == pytest.approx(np.log(2))


def test_a_loss_that_is_not_finite_is_refused(make_table, tmp_path, monkeypatch):
    data = training_set(make_table(12, 4), "made")
    monkeypatch.setattr(tune, "mean_loss", lambda *_: np.nan)
    with pytest.raises(InputError, match=r"the default settings is nan; look for .* other folds$"):
        tune.search(data, np.arange(48) % 3, "logistic", journal=tmp_path / "j", budget_s=1.0, n_trials=1, seed=0)


@pytest.mark.parametrize("n_groups", [3, 6, 48])
def test_a_sample_keeps_every_fold_however_large_the_groups_are(make_table, tmp_path, monkeypatch, n_groups):
    """Non-regression test: folds that the sample lost gave losses of NaN, and success was reported."""
    write_table(make_table(n_groups, 240 // n_groups), tmp_path / "t.parquet")
    monkeypatch.setattr("deepcue.cli.tune.MAX_ROWS", 100)
    used = []

    def search(data, fold, *_, **__):
        used.append((len(data), np.unique(fold).tolist()))
        return tune.SearchResult({}, 1.0, 1.0, 0)

    monkeypatch.setattr("deepcue.cli.tune.search", search)
    arguments = ["--table", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "tune"), "--folds", "3", "--quiet"]
    assert deepcue(["tune", *arguments]) == 0
    assert used == [(100, [0, 1, 2])] * 3


def test_what_one_search_leaves_over_goes_to_the_others_and_each_gets_a_second(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(tune.time, "monotonic", lambda: clock[0])
    shares = []
    for (name, budget_s), took_s in zip(tune.shared_budget(["a", "b", "c"], 60.0), (10.0, 100.0, 0.0), strict=True):
        shares.append((name, budget_s))
        clock[0] += took_s
    assert shares == [("a", 20.0), ("b", 25.0), ("c", 1.0)]


@pytest.mark.parametrize("command", ["tune", "ablate"])
def test_folds_are_those_of_the_model_of_this_table(make_table, tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write_table(make_table(12, 4), tmp_path / "t.parquet")
    data = training_set(make_table(12, 4), "made")
    fold = assign_folds(data.y, data.group, n_folds=4, seed=5)
    folds = pa.table({"filename": data.filename, "group": data.names_of_groups, "fold": fold})
    (tmp_path / "artifacts" / "model").mkdir(parents=True)
    pq.write_table(folds, tmp_path / "artifacts" / "model" / "folds.parquet")
    used = []
    work = {"tune": ("deepcue.cli.tune.search", tune.SearchResult({}, 1.0, 1.0, 0))}
    work["ablate"] = ("deepcue.cli.ablate.ablate", None)

    def stand_in(data, fold, *_, **__):
        used.append(fold)
        if command == "ablate":
            raise KeyboardInterrupt
        return work["tune"][1]

    monkeypatch.setattr(work[command][0], stand_in)
    deepcue([command, "--table", str(tmp_path / "t.parquet")])
    assert np.array_equal(used[0], fold)
    write_table(make_table(16, 4), tmp_path / "other.parquet")
    deepcue([command, "--table", str(tmp_path / "other.parquet")])
    assert len(used[-1]) == 64
    assert used[-1].max() + 1 == 5
    assert deepcue([command, "--table", str(tmp_path / "other.parquet"), "--model", "artifacts/model"]) == 2
    assert "made for" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tune", "train"])
def test_rows_that_only_a_family_left_out_measures_do_not_count_in_folds(
    make_table, tmp_path, capsys, monkeypatch, command
):
    write_table(make_table(12, 4), tmp_path / "t.parquet")
    module = {"tune": "deepcue.cli.tune", "train": "ensemble.train"}[command]
    monkeypatch.setattr(
        f"{module}.choose_families", lambda data, fold, *, seed: replace(data, measured=(data.y == 1) | (fold == 0))
    )
    arguments = [command, "--table", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "out"), "--folds", "3"]
    assert deepcue([*arguments, "--quiet"]) == 2
    assert "measured REAL clips fall into 1 of 3 folds" in capsys.readouterr().err


def test_losses_of_another_table_are_not_reused(make_table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tune, "mean_loss", lambda *_: 0.5)
    common = ["--out", str(tmp_path / "tune"), "--folds", "3", "--budget", "60", "--trials", "1"]
    for seed in (0, 1):
        write_table(make_table(12, 4, seed=seed), tmp_path / f"{seed}.parquet")
        assert deepcue(["tune", "--table", str(tmp_path / f"{seed}.parquet"), *common]) == 0
    results = json.loads((tmp_path / "tune" / "settings.json").read_text())["search"]
    assert {result["n_trials"] for result in results.values()} == {1}


def test_a_missing_table_is_status_2(tmp_path, capsys):
    assert deepcue(["tune", "--table", str(tmp_path / "no.parquet"), "--out", str(tmp_path)]) == 2
    assert "no such table" in capsys.readouterr().err


def test_a_table_without_labels_is_status_2(make_table, tmp_path, capsys):
    table = make_table(12, 4)
    position = table.column_names.index("label")
    nothing = pa.array([None] * table.num_rows, table.schema.field(position).type)
    write_table(table.set_column(position, table.schema.field(position), nothing), tmp_path / "t.parquet")
    assert deepcue(["tune", "--table", str(tmp_path / "t.parquet"), "--out", str(tmp_path)]) == 2
    assert "no clip has a label" in capsys.readouterr().err
