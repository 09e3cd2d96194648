"""A model beside other tools' out-of-fold predictions."""

import numpy as np
import pytest

from deepcue.cli.main import main as deepcue
from ensemble.comparison import compare, in_order, read_predictions
from ensemble.out_of_fold import OutOfFold
from features.errors import DatasetError
from features.table import write_table


def out_of_fold(p, y, group):
    return OutOfFold(y=np.array(y), group=np.array(group), row=np.arange(len(y)), p={"stack": np.array(p)})


def test_the_difference_of_log_loss_is_paired():
    """0.8 against 0.4 for every label: log(0.8 / 0.4) less for the stack, in every resample of the groups."""
    y = np.tile([0, 1], 20)
    oof = out_of_fold(np.where(y == 1, 0.8, 0.2), y, np.arange(40) // 4)
    found = compare(oof, {"other": np.where(y == 1, 0.4, 0.6)})["other"]["difference"]
    assert (found.value, found.low, found.high) == pytest.approx((-np.log(2),) * 3)


def test_the_stack_has_no_difference_to_itself_and_the_constant_has_the_prior():
    y = np.tile([0, 1, 1, 1], 10)
    found = compare(out_of_fold(np.full(40, 0.75), y, np.arange(40) // 4), {})
    assert "difference" not in found["stack"]
    assert found["constant"]["difference"].value == pytest.approx(0)


def test_predictions_are_brought_into_the_order_of_the_model(tmp_path):
    file = tmp_path / "other.csv"
    file.write_text("filename,label\nb.mp4,0.25\na.mp4,1\n")
    assert in_order(read_predictions(file), np.array(["a.mp4", "b.mp4"]), file).tolist() == [1, 0.25]


@pytest.mark.parametrize(
    "text", ["Filename; Label\n a.mp4 ;0,84\nb.mp4;1\n;\n", "sep=;\nfilename;label\na.mp4;0,84\nb.mp4;1e0\n"]
)
def test_predictions_saved_by_a_german_excel_are_read(text, tmp_path):
    (tmp_path / "other.csv").write_text(text, encoding="utf-8-sig")
    assert read_predictions(tmp_path / "other.csv") == {"a.mp4": 0.84, "b.mp4": 1.0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "first line"),
        ("name,p\na.mp4,0.5\n", "first line"),
        ("filename,label\na.mp4,0.5\na.mp4,0.6\n", "appears twice"),
        ("filename,label\na.mp4,1.5\n", "no probability"),
        ("filename,label\na.mp4,nan\n", "no probability"),
        ("filename,label\na.mp4,FAKE\n", "no probability"),
        ("filename,label\na.mp4\n", "no probability"),
    ],
)
def test_predictions_that_cannot_be_compared_are_refused(text, told, tmp_path):
    file = tmp_path / "other.csv"
    file.write_text(text)
    with pytest.raises(DatasetError, match=told):
        read_predictions(file)


def test_a_clip_without_a_prediction_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"1 of 2 clips of the model have no prediction \(b.mp4"):
        in_order({"a.mp4": 0.5}, np.array(["a.mp4", "b.mp4"]), tmp_path / "other.csv")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="can't be read"):
        read_predictions(tmp_path / "none.csv")


def test_the_command_compares_with_predictions_of_another_tool(table, tmp_path, capsys):
    file, folder = tmp_path / "features.parquet", tmp_path / "model"
    write_table(table, file)
    train = ["train", "--table", str(file), "--out", str(folder), "--learners", "logistic", "--quiet"]
    assert deepcue(train) == 0
    names, labels = (table.column(name).to_pylist() for name in ("filename", "label"))
    other = tmp_path / "oracle.csv"
    rows = [f"{name},{0.999 if label == 'FAKE' else 0.001}" for name, label in zip(names, labels, strict=True)]
    other.write_text("\n".join(["filename,label", *rows]))
    capsys.readouterr()
    arguments = ["compare", "--table", str(file), "--model", str(folder), "--against"]
    assert deepcue([*arguments, str(other)]) == 0
    printed = capsys.readouterr().out
    assert "log loss of the stack minus that of oracle: +0." in printed
    assert "sklearn" not in printed
    assert deepcue([*arguments, str(other), str(other)]) == 2
    assert "already called oracle" in capsys.readouterr().err


def test_intervals_of_a_comparison_are_over_groups():
    y = np.array([0, 1, 1, 1, 0, 1])  # one group: every resample is the table itself
    p = {"stack": np.array([0.1, 0.9, 0.6, 0.7, 0.4, 0.2])}
    found = compare(OutOfFold(y, np.zeros(6, int), np.arange(6), p), {"other": np.full(6, 0.6)})
    for score in (found["stack"]["log_loss"], found["other"]["difference"]):
        assert score.low == score.value == score.high
