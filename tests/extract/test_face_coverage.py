"""Where faces were followed: shares, and a sheet to look at."""

import os
import shutil
from pathlib import Path

import cv2
import pytest
from measured_here import measure_here

from deepcue.cli.main import main as deepcue
from extract import face_coverage
from extract.entries import ClipEntry
from features.errors import InputError


@pytest.fixture(scope="module")
def observed(make_clip, tmp_path_factory):
    """A folder of two clips, one with a face, and their observations."""
    data = make_clip("cover/face.mp4", n=20).parent
    make_clip("cover/none.mp4", n=20, face=False)
    folder = tmp_path_factory.mktemp("observed")
    kept = folder / "kept"
    options = ["--families", "quality", "--observations", str(kept), "--quiet"]
    with pytest.MonkeyPatch.context() as patched:
        measure_here(patched)
        assert deepcue(["extract", str(data), "--out", str(folder / "t.parquet"), *options]) == 0
    return data, kept


def test_the_clip_without_a_face_comes_first_and_both_are_shown(observed, tmp_path, capsys):
    data, kept = observed
    out = tmp_path / "sheet.png"
    assert deepcue(["coverage", str(data), "--observations", str(kept), "--sheet", str(out)]) == 0
    output = capsys.readouterr().out.splitlines()
    assert "2 clips: a face in 50.0% of the frames" in output[0]
    assert [line.split() for line in output[1:3]] == [["0.0%", "none.mp4"], ["100.0%", "face.mp4"]]
    sheet = cv2.imread(str(out))
    assert sheet.shape == (2 * face_coverage.CELL_PX, face_coverage.FRAMES * face_coverage.CELL_PX, 3)
    green = (abs(sheet.astype(int) - face_coverage.GREEN[::-1]).sum(axis=2) < 60).sum(axis=1)
    assert green[: face_coverage.CELL_PX].sum() == 0  # nothing is drawn where nothing was found
    assert green[face_coverage.CELL_PX :].sum() > 0


def test_a_sheet_is_written_into_a_new_folder(observed, tmp_path):
    data, kept = observed
    out = tmp_path / "new" / "sheet.png"
    assert deepcue(["coverage", str(data), "--observations", str(kept), "--sheet", str(out), "--worst", "1"]) == 0
    assert cv2.imread(str(out)).shape[0] == face_coverage.CELL_PX


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--sheet", "x.foo"], "ends in .png"), (["--sheet", "file/x.png"], "is a file"), (["--worst", "0"], "above 0")],
)
def test_a_sheet_that_can_not_be_written_is_refused(observed, tmp_path, capsys, monkeypatch, options, message):
    data, kept = observed
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    capsys.readouterr()
    assert deepcue(["coverage", str(data), "--observations", str(kept), *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_clips_without_observations_are_refused(observed, tmp_path, capsys):
    assert deepcue(["coverage", str(observed[0]), "--observations", str(tmp_path / "empty")]) == 2
    assert "no observation of these clips" in capsys.readouterr().err


def test_the_observation_of_another_data_set_s_clip_is_left_out(observed, tmp_path, capsys, caplog):
    """Non-regression test: the frames of one clip were shown with what was found in another of its name."""
    (other := tmp_path / "other").mkdir()
    shutil.copy(observed[0] / "none.mp4", other / "face.mp4")
    assert deepcue(["coverage", str(other), "--observations", str(observed[1])]) == 2
    said = capsys.readouterr().err
    assert "1 of 1 observations are of other files, or of these before they changed; give the folder" in said
    assert "no observation of these clips" not in said, "there is one, and it would be replaced"
    (other / "face.mp4").unlink()
    for name in ("face.mp4", "none.mp4"):
        shutil.copy2(observed[0] / name, other / name)
    os.utime(other / "none.mp4")
    assert deepcue(["coverage", str(other), "--observations", str(observed[1])]) == 0
    assert "1 of 2 observations are of other files, or of these before they changed; their clips" in caplog.text


def test_observations_of_clips_by_path_and_by_url_are_the_same(observed):
    """Non-regression test: fsspec gives the time of change as another number, and all were of other files."""
    data, kept = observed
    assert len(face_coverage.coverage(data.as_uri(), kept)) == len(face_coverage.coverage(str(data), kept)) == 2


def test_the_folder_of_observations_may_be_a_url_of_this_machine(observed):
    data, kept = observed
    for place in (kept.as_uri(), Path(kept.as_uri())):  # a path has one slash fewer
        assert len(face_coverage.coverage(str(data), place)) == 2
    with pytest.raises(InputError, match="s3://bucket/kept: observations are read from a folder here"):
        face_coverage.coverage(str(data), "s3://bucket/kept")


def test_no_more_than_one_observation_is_held_at_a_time(observed):
    """Non-regression test: those of the whole data set were, some 5 MB a clip."""
    data, kept = observed
    for one in face_coverage.coverage(str(data), kept):
        assert {type(value) for value in vars(one).values()} == {ClipEntry, type(kept), float}
