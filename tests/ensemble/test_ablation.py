import json

import numpy as np
import pytest
from toy_model import FAMILIES, toy_table

from deepcue.cli.main import main as deepcue
from ensemble import ablation
from ensemble.folds import assign_folds
from ensemble.metrics import Score
from ensemble.training_set import training_set
from features.errors import InputError
from features.table import write_table


@pytest.fixture(scope="module")
def data():
    return training_set(toy_table(16, 4, without_cues=[9], without_sound=[4, 5]), "toy")


@pytest.fixture(scope="module")
def judged(data):
    return ablation.judge(data, assign_folds(data.y, data.group, n_folds=4), learners=["logistic"])


def test_the_planted_family_helps_and_noise_does_not(judged):
    found = {one.family: one for one in judged.families}
    assert set(found) == set(FAMILIES)
    assert found["blink"].verdict == "helps"
    assert found["blink"].auc.low > 0.7
    assert found["blink"].delta_log_loss.value > 0.1
    for name in ("lip_sync", "quality"):
        assert found[name].verdict != "helps"
        assert found[name].log_loss.value > judged.everything["log_loss"].value


def test_the_constant_is_about_a_coin_and_counts_are_right(judged, data):
    assert judged.constant.value == pytest.approx(np.log(2), abs=0.01)
    assert (judged.n_clips, judged.n_groups) == (64, 16)
    found = {one.family: one for one in judged.families}
    assert found["lip_sync"].measured_share == pytest.approx(61 / 64)
    assert sum(one.n_columns for one in judged.families) == len(data.layout.columns)


def test_jobs_change_nothing(data, judged):
    fold = assign_folds(data.y, data.group, n_folds=4)
    assert ablation.judge(data, fold, learners=["logistic"], jobs=2) == judged


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (Score(0.1, 0.01, 0.2), "helps"),
        (Score(0.1, -0.01, 0.2), "no evidence"),
        (Score(-0.1, -0.2, -0.01), "hurts"),
        (Score(0.1, float("nan"), float("nan")), "no evidence"),
    ],
)
def test_the_verdict_is_the_intervals(score, verdict):
    assert ablation.verdict_of(score) == verdict


def test_only_keeps_the_columns_of_a_family_and_who_was_measured(data):
    part = ablation.only(data, ("lip_sync",))
    assert {column.split(".")[0] for column in part.layout.columns} == {"lip_sync"}
    assert part.X.shape == (64, len(part.layout.columns))
    assert sorted(np.flatnonzero(~part.measured)) == [4, 5, 9]
    assert ablation.only(data, ()).measured.sum() == 0


def test_a_family_never_measured_scores_as_the_constant(data):
    fold = assign_folds(data.y, data.group, n_folds=4)
    blind = ablation.only(data, ())
    z = ablation._held_out(blind, fold, "logistic", ablation.settings_for(64, 16), 0, 0)
    assert 1 / (1 + np.exp(-z)) == pytest.approx(data.y[fold != 0].mean())


def test_the_command_prints_a_table_and_writes_what_the_report_reads(tmp_path, capsys):
    write_table(toy_table(8, 4), tmp_path / "toy.parquet")
    options = ["--table", str(tmp_path / "toy.parquet"), "--folds", "3", "--learners", "logistic"]
    out = tmp_path / "below" / "worth.json"
    assert deepcue(["ablate", *options, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "32 clips in 8 groups" in told
    assert [line.split()[0] for line in told.splitlines() if line.startswith(("blink", "all", "constant"))]
    read = ablation.read_worth(out)
    assert set(read) == set(FAMILIES)
    assert (
        json.loads(out.read_text())["families"]["blink"]["delta_log_loss"]["value"] == read["blink"]["delta_log_loss"]
    )


def test_bad_input_is_one_sentence_and_status_2(tmp_path, capsys):
    table = tmp_path / "toy.parquet"
    write_table(toy_table(8, 4), table)
    assert deepcue(["ablate", "--table", str(tmp_path / "gone.parquet")]) == 2
    assert deepcue(["ablate", "--table", str(table), "--learners", "oracle"]) == 2
    write_table(toy_table(2, 4), table)
    assert deepcue(["ablate", "--table", str(table)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert "no such table" in told[0]
    assert "oracle" in told[1]
    assert "groups" in told[2]
    with pytest.raises(InputError, match="not a table of worth"):
        ablation.read_worth(table)
