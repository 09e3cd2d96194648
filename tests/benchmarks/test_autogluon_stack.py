"""The runner of AutoGluon, without it: its environment is another."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import autogluon_stack


@pytest.fixture
def table():
    """Nine rows with two cues; what is known of the clip itself is no cue."""
    rows = range(9)
    return pa.table(
        {
            "filename": [f"{row}.mp4" for row in rows],
            "label": [("REAL", "FAKE")[row % 2] for row in rows],
            "n_frames": [300 + row for row in rows],
            "blink.rate": pa.array([float(row) for row in rows], pa.float32()),
            "quality.blur": pa.array([None, *(float(row) for row in rows[1:])], pa.float32()),
        }
    )


@pytest.fixture
def folds(table):
    """Folds of all rows but the first, in reverse order."""
    names = table["filename"].to_pylist()[:0:-1]
    return pa.table({"filename": names, "fold": [row % 3 for row in range(len(names))]})


def test_rows_are_those_in_the_folds_and_columns_are_cues(table, folds):
    names, columns = autogluon_stack.training_columns(table, folds)
    assert names == table["filename"].to_pylist()[1:]
    assert columns["fold"] == folds["fold"].to_pylist()[::-1]
    assert columns["label"] == [int(label == "FAKE") for label in table["label"].to_pylist()[1:]]
    assert set(columns) == {"blink.rate", "quality.blur", "label", "fold"}


def test_predictions_are_written_as_compare_reads_them(table, folds, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(autogluon_stack, "out_of_fold", lambda columns, **_: ([0.25] * len(columns["fold"]), 7))
    pq.write_table(table, tmp_path / "t.parquet")
    pq.write_table(folds, tmp_path / "folds.parquet")
    out = tmp_path / "autogluon.csv"
    assert autogluon_stack.main([str(tmp_path / "t.parquet"), str(tmp_path / "folds.parquet"), "--out", str(out)]) == 0
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["filename"] for row in rows] == table["filename"].to_pylist()[1:]
    assert {float(row["label"]) for row in rows} == {0.25}
    assert json.loads(capsys.readouterr().out)["models"] == 7
