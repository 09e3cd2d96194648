"""The stack beside scikit-learn's, on the same folds."""

import re

import numpy as np
import pytest

from deepcue.cli.main import main as deepcue
from ensemble.folds import assign_folds
from ensemble.sklearn_baseline import reference
from ensemble.training_set import training_set
from features.table import write_table


@pytest.fixture
def table_file(table, tmp_path):
    file = tmp_path / "features.parquet"
    write_table(table, file)
    return file


def test_the_reference_is_judged_on_the_folds_of_the_model(table_file, tmp_path, capsys):
    folder = tmp_path / "model"
    few = ["--learners", "logistic", "--folds", "3", "--quiet"]
    assert deepcue(["train", "--table", str(table_file), "--out", str(folder), *few]) == 0
    capsys.readouterr()
    assert deepcue(["compare", "--table", str(table_file), "--model", str(folder)]) == 0
    printed = capsys.readouterr().out
    losses = {name: float(loss) for name, loss in re.findall(r"^(\w+) +(\d\.\d+) \[", printed, re.MULTILINE)}
    assert set(losses) == {"logistic", "stack", "sklearn", "constant"}
    assert losses["sklearn"] < losses["constant"]


def test_a_folder_without_predictions_is_refused(table_file, tmp_path, capsys):
    assert deepcue(["compare", "--table", str(table_file), "--model", str(tmp_path)]) == 2
    assert "no out-of-fold predictions" in capsys.readouterr().err


def test_the_reference_of_a_few_clips_has_fewer_inner_folds(make_table):
    data = training_set(make_table(10, 1), "made")  # 5 of each class
    p = reference(data, assign_folds(data.y, data.group, n_folds=3), seed=0)
    assert np.isfinite(p).all()
