"""Scores of logits: per method, within groups, and of the fold networks on cached faces."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepcue.cli.main import main as deepcue
from reports.results_page import read_results
from training.faces import index, scores, thumbnail_probe
from training.faces.trainer import UNINTERPOLATED


def test_scores_of_known_logits():
    fake = np.array([True, True, False, False])
    assert scores.binary_scores(np.float32([2, 1, -1, -2]), fake)[0] == 1
    assert scores.binary_scores(np.zeros(4, np.float32), fake) == (0.5, pytest.approx(np.log(2)))
    assert np.isnan(scores.binary_scores(np.float32([1, 2]), np.array([True, True]))[0])
    expected = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(1.0))) / 2
    assert scores.binary_scores(np.float32([2, 1]), np.array([True, False]))[1] == pytest.approx(expected)


def test_oracle_scaling_takes_back_logits_that_say_nothing_and_enlarges_those_that_are_right():
    fake = np.array([True, True, False, False])
    factor, loss = scores.oracle_scale(np.float32([3, -3, -3, 3]), fake)
    assert factor == pytest.approx(0, abs=1e-3)
    assert loss == pytest.approx(np.log(2), abs=1e-4)
    factor, loss = scores.oracle_scale(np.float32([3, 3, -3, -3]), fake)
    assert factor == pytest.approx(scores.MAX_SCALE, abs=1e-2)


def test_confident_false_positives_are_a_fraction_of_the_real_ones():
    found = scores.rounded(np.float32([9, 9, 0, -9, 9]), np.array([False, False, False, False, True]))
    assert found["confident_false_positives"] == 0.5


def test_summary_compares_within_groups():
    logits = np.array([1.0, -1.0, 0.5, 2.0, 9.0])
    fake = np.array([True, False, True, False, True])
    source = np.array(["m", "real", "n", "real", "n"], dtype=object)
    group = np.array(["a", "a", "b", "b", "c"], dtype=object)
    found = scores.summary(logits, fake, source, group)
    assert found["groups_ranked_correctly"] == [1.0, 2]
    assert {name: (one["n"], one["auc"][0]) for name, one in found["methods"].items()} == {
        "m": (1, 0.5),
        "n": (2, 0.75),
    }
    assert found["methods"]["m"]["own"][0] == 1.0  # against the REAL of its group alone
    assert found["methods"]["n"]["own"][0] == 0.5  # group c has no REAL: its fake is above, the other below
    assert found["median"]["real"] == 0.5
    lines = scores.summary_lines(found)
    assert "groups whose FAKE clips score above their REAL ones: 1 of 2" in lines
    assert any(line.split()[:3] == ["m", "1", "0.500"] and "own groups 1.000" in line for line in lines)


@pytest.fixture
def trained(fold_weights, index_table):
    """The folder of a training whose folds each left out two clips."""
    (fold_weights / "cache").mkdir()
    rows = [(f"c{i}", i % 2 == 1, f"g{i}", ["real_a", "loopy"][i % 2], "") for i in range(4) for _ in range(2)]
    for name in ("clips", "transcoded"):
        pq.write_table(index_table(rows), fold_weights / "cache" / f"{name}.parquet")
    (fold_weights / "clip_folds.csv").write_text("filename,fold\nc0,0\nc1,1\nc2,0\nc3,1\n")
    return fold_weights


def test_each_clip_is_scored_by_the_network_that_left_it_out(trained, capsys):
    assert deepcue(["face-scores", "--out", str(trained), "--frames", "1"]) == 0
    found = json.loads((trained / "scores.json").read_text())
    assert list(found) == ["fold"]
    assert list(found["fold"]) == ["original", "half size, CRF 32", "transcoded"]
    assert list(found["fold"]["original"]) == ["clips"]
    original = found["fold"]["original"]["clips"]
    assert original["logit"] == {"c0": 1.5, "c1": -2.5, "c2": 1.5, "c3": -2.5}
    assert original["all"]["auc"] == 0
    assert original["kinds"]["talking head"]["auc"][0] == 0
    assert original["false_positives"] == {"real_a": [2, 1.0, 0.0]}
    assert "4 clips: AUC 0.000" in capsys.readouterr().out


def test_networks_are_scored_by_their_mean_and_images_apart_from_clips(trained, index_table, capsys):
    rows = [("p0", False, "p0", "portraits", ""), ("p1", True, "p1", "stylegan2", "")]
    rows += [("k", True, "k", "EMO", "")] * 2
    table = index_table(rows)
    recut = pa.array([False, False, True, True])
    table = table.set_column(table.column_names.index("recut"), "recut", recut)
    pq.write_table(table, trained / "cache" / "crops.parquet")
    with (trained / "clip_folds.csv").open("a") as file:
        file.write("p0,0\np1,0\nk,1\n")
    assert deepcue(["face-scores", "--out", str(trained), "--networks", "fold,residual_fold"]) == 0
    scores = json.loads((trained / "scores.json").read_text())
    assert scores["residual_fold"]["original"]["pictures"]["logit"] == {"p0": 0.5, "p1": 0.5}
    found = scores["mean of the networks"]["original"]
    assert found["pictures"]["logit"] == {"p0": 1.0, "p1": 1.0}
    assert found["clips"]["logit"] == {"c0": 1.0, "c1": -1.5, "c2": 1.0, "c3": -1.5, "k": -1.5}
    assert found["clips not recut"]["logit"].keys() == {"c0", "c1", "c2", "c3"}
    assert found["pictures"]["kinds"] == {"whole-picture generation": found["pictures"]["methods"]["stylegan2"]}
    assert "mean of the networks, original: pictures" in capsys.readouterr().out


def test_a_probe_of_thumbnails_finds_what_colour_gives_away_and_nothing_else(index_table, trained, capsys):
    """Red is the label of these pools; grey faces give nothing away."""
    rows = [(f"k{i}", i % 2 == 1, f"k{i}", ["real", "gan"][i % 2], "") for i in range(60)]
    table = index_table(rows)
    pq.write_table(table, trained / "cache" / "crops.parquet")
    with (trained / "clip_folds.csv").open("a") as file:
        file.writelines(f"k{i},{i % 3}\n" for i in range(60))
    assert deepcue(["face-scores", "--out", str(trained), "--probe"]) == 0
    found = json.loads((trained / "probe_scores.json").read_text())["thumbnails"]["original"]
    assert found["pictures"]["all"]["auc"] > 0.99
    assert "thumbnails, original: pictures" in capsys.readouterr().out
    grey = np.random.default_rng(0).integers(0, 256, (60, 64, 64), dtype=np.uint8)
    jpegs = [index.encode_jpeg(np.repeat(image[:, :, None], 3, axis=2)) for image in grey]
    table = table.set_column(table.column_names.index("jpeg"), "jpeg", pa.array(jpegs, pa.binary()))
    pq.write_table(table, trained / "cache" / "crops.parquet")
    nothing = thumbnail_probe.probe_scores(trained)["pictures"]["all"]["auc"]
    assert 0.25 < nothing < 0.75


def test_scores_become_tables_of_the_page_of_results(trained, tmp_path):
    folder = tmp_path / "results"
    options = ["--networks", "fold,residual_fold", "--results", str(folder), "--data-set", "four clips"]
    assert deepcue(["face-scores", "--out", str(trained), *options]) == 0
    tables = read_results(folder)
    assert sorted(tables) == ["face_networks", "kinds", "real_sources"]
    assert {row[0] for row in tables["face_networks"].rows} == {
        "RGB network",
        "residual network",
        "mean of the networks",
    }
    (row,) = tables["kinds"].rows
    assert row[:3] == ["talking head, clips", "2", [0.0, 0.0, 0.0]]
    assert tables["kinds"].data == "four clips"
    assert (tables["kinds"].n_clips, tables["kinds"].n_groups) == (4, 4)
    assert tables["real_sources"].rows == []  # two clips of a source say nothing


def test_tables_name_the_options_that_their_scores_depend_on(trained, tmp_path):
    for file in trained.glob("fold?.safetensors"):
        shutil.copy(file, file.with_name(f"{file.stem}{UNINTERPOLATED}.safetensors"))
    options = ["--frames", "2", "--before-interpolation", "--results", str(tmp_path / "results")]
    assert deepcue(["face-scores", "--out", str(trained), *options]) == 0
    command = read_results(tmp_path / "results")["kinds"].command
    assert "--networks fold --frames 2 --before-interpolation --results results" in command


@pytest.mark.parametrize(
    "missing", ["clip_folds.csv", "cache/clips.parquet", "cache/transcoded.parquet", "fold1.safetensors"]
)
def test_a_folder_without_what_training_writes_is_refused(trained, capsys, missing):
    """Non-regression test: a folder without a cache ended in a traceback."""
    (trained / missing).unlink()
    assert deepcue(["face-scores", "--out", str(trained)]) == 2
    message = capsys.readouterr().err
    assert missing.rpartition("/")[2] in message
    assert "Traceback" not in message
