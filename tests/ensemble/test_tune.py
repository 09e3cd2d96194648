import json

from deepcue.cli.main import main as deepcue
from features.table import write_table


def test_search_goes_on_where_it_stopped_and_training_uses_it(make_table, tmp_path, capsys):
    table = tmp_path / "t.parquet"
    write_table(make_table(12, 4), table)
    common = ["--table", str(table), "--out", str(tmp_path / "tune"), "--folds", "3", "--budget", "60"]
    assert deepcue(["tune", *common, "--trials", "1"]) == 0
    first = json.loads((tmp_path / "tune" / "settings.json").read_text())
    assert deepcue(["tune", *common, "--trials", "1"]) == 0
    second = json.loads((tmp_path / "tune" / "settings.json").read_text())
    for name, one in second["search"].items():
        assert one["n_trials"] == first["search"][name]["n_trials"] + 1 == 2
        assert one["log_loss"] <= first["search"][name]["log_loss"] <= one["default_log_loss"]
    settings = ["--settings", str(tmp_path / "tune" / "settings.json"), "--learners", "logistic"]
    assert (
        deepcue(["train", "--table", str(table), "--out", str(tmp_path / "m"), "--folds", "3", "--quiet", *settings])
        == 0
    )
    assert "a little too good" in capsys.readouterr().out


def test_losses_of_another_table_are_not_taken_over(make_table, tmp_path, capsys):
    common = ["--out", str(tmp_path / "tune"), "--folds", "3", "--budget", "60", "--trials", "1"]
    for seed in (0, 1):
        write_table(make_table(12, 4, seed=seed), tmp_path / f"{seed}.parquet")
        assert deepcue(["tune", "--table", str(tmp_path / f"{seed}.parquet"), *common]) == 0
    found = json.loads((tmp_path / "tune" / "settings.json").read_text())["search"]
    assert {one["n_trials"] for one in found.values()} == {1}


def test_a_table_without_labels_is_status_2(tmp_path, capsys):
    assert deepcue(["tune", "--table", str(tmp_path / "no.parquet"), "--out", str(tmp_path)]) == 2
    assert "no such table" in capsys.readouterr().err
