import json

import numpy as np
import pytest
from scipy.special import expit
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
    return training_set(toy_table(16, 4, without_cues=[9], without_audio=[4, 5]), "toy")


@pytest.fixture(scope="module")
def result(data):
    return ablation.ablate(data, assign_folds(data.y, data.group, n_folds=3), learners=["logistic"])


def test_the_planted_family_helps_and_noise_does_not(result):
    by_name = {family.family: family for family in result.families}
    assert set(by_name) == set(FAMILIES)
    assert by_name["blink"].verdict == "helps"
    assert by_name["blink"].auc.low > 0.7
    assert by_name["blink"].delta_log_loss.value > 0.1
    for name in ("lip_sync", "quality"):
        assert by_name[name].verdict != "helps"
        assert by_name[name].log_loss.value > result.all_families["log_loss"].value


def test_the_constant_is_at_chance_and_counts_are_right(result, data):
    assert result.constant.value == pytest.approx(np.log(2), abs=0.01)
    assert (result.n_clips, result.n_groups) == (64, 16)
    by_name = {family.family: family for family in result.families}
    assert by_name["lip_sync"].measured_fraction == pytest.approx(61 / 64)
    assert sum(family.n_columns for family in result.families) == len(data.layout.columns)


def test_jobs_change_nothing():
    few = ablation.only(training_set(toy_table(8, 4), "toy"), ("blink", "quality"))
    fold = assign_folds(few.y, few.group, n_folds=3)
    one, two = (ablation.ablate(few, fold, learners=["logistic"], jobs=jobs) for jobs in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (Score(0.1, 0.01, 0.2), "helps"),
        (Score(0.1, -0.01, 0.2), "no evidence"),
        (Score(-0.1, -0.2, -0.01), "hurts"),
        (Score(0.1, float("nan"), float("nan")), "no evidence"),
    ],
)
def test_the_verdict_follows_the_interval(score, verdict):
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
    out = tmp_path / "below" / "ablation.json"
    assert deepcue(["ablate", *options, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "32 clips in 8 groups, 3 folds (new folds)" in printed
    assert [line.split()[0] for line in printed.splitlines() if line.startswith(("blink", "all", "constant"))]
    read = ablation.read_ablation(out)
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
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "no such table" in errors[0]
    assert "oracle" in errors[1]
    assert "groups" in errors[2]
    with pytest.raises(InputError, match="not an ablation"):
        ablation.read_ablation(table)


def test_the_mean_of_the_learners_is_scored(monkeypatch):
    data = training_set(toy_table(4, 4), "toy")
    told = {"logistic": 1.0, "lightgbm": -3.0}
    monkeypatch.setattr(
        ablation, "_held_out", lambda data, fold, name, s, k, seed: np.full((fold == k).sum(), told[name])
    )
    monkeypatch.setattr(ablation, "_scored", lambda data, p, seed: p)
    p = ablation.ablate(data, data.group % 4, learners=list(told))
    assert p[data.layout.family_names] == pytest.approx(expit(-1.0))


def test_intervals_of_an_ablation_are_over_groups_and_its_bound_too():
    data = training_set(toy_table(2, 20), "toy")
    assert ablation._probability(np.array([50.0]), data) == pytest.approx(1 - min(1 / 4, ablation.MAX_BOUND))
    alike = np.where(data.group == 0, 0.5, 0.6)
    names = data.layout.family_names
    keys = [names, *((n,) for n in names), *(ablation._all_but(n, names) for n in names)]
    p = {key: np.where(data.y == 1, alike, 1 - alike) for key in keys}
    score = ablation._scored(data, p, 0).all_families["log_loss"]
    assert (score.low, score.high) == pytest.approx((-np.log(0.6), -np.log(0.5)))  # either group alone is drawn
