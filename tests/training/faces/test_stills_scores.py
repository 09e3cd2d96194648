"""Scores of held-out stills, pooled over runs."""

import csv

import numpy as np
import pytest

from deepcue.cli.main import main as deepcue
from training.faces import stills_scores


def written(file, rows):
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([stills_scores.COLUMNS, *rows])
    return str(file)


@pytest.fixture
def parts(tmp_path):
    """Ten groups of a real still and two forgeries of it, one of which looks more real than it."""
    rows = []
    for group in range(10):
        rows += [
            (f"r{group}", group, 0, f"r{group}", 0.0),
            (f"a{group}", group, 1, f"r{group}", 2.0),
            (f"b{group}", group, 1, f"r{group}", -1.0),
        ]
    return [written(tmp_path / f"{n}.csv", rows[15 * n : 15 * (n + 1)]) for n in range(2)]


def test_runs_are_scored_together(parts, capsys):
    assert deepcue(["still-scores", *parts]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0] == "30 stills (20 FAKE) of 10 groups, 20 forgeries with their original"
    scores = {line.split()[0]: line for line in output[1:]}
    assert "0.500 [0.500, 0.500]" in scores["AUC"]  # half above, half below
    assert "0.500 [0.500, 0.500]" in scores["ranked"]
    expected = (np.log(2) + np.logaddexp(0, -2.0) + np.logaddexp(0, 1.0)) / 3
    assert f"{expected:.3f}" in scores["log"]


def test_a_still_that_two_runs_held_out_is_refused(parts, capsys):
    assert deepcue(["still-scores", parts[0], parts[0]]) == 2
    assert "two files" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "key,logit\na,1\n", ",".join(stills_scores.COLUMNS) + "\n"])
def test_a_file_of_something_else_is_refused(tmp_path, text, capsys):
    file = tmp_path / "other.csv"
    file.write_text(text)
    assert deepcue(["still-scores", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


def test_forgeries_are_compared_with_their_original():
    key = np.array(["r", "a", "b", "c"], object)
    original = np.array(["r", "r", "r", "gone"], object)  # data sets name a REAL as its own original, or nothing
    fake = np.array([False, True, True, True])
    right = stills_scores.forgeries_ranked_correctly(key, original, fake, np.array([0.5, 1.0, 0.0, 3.0]))
    np.testing.assert_array_equal(right, [np.nan, 1.0, 0.0, np.nan])
