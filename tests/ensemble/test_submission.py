import csv
import json
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from toy_model import FAMILIES, toy_model, toy_table

from deepcue.cli import submit
from deepcue.cli.main import main as deepcue
from ensemble import submission
from ensemble.store import load_model
from extract.run.sandbox import Limits
from features.errors import DatasetError
from features.table import write_table


def write_sample(file, names, header="filename,label"):
    file.write_text("\n".join([header, *(f"{name},0.5" for name in names)]) + "\n", encoding="utf-8")
    return file


def read_rows(file):
    with file.open(newline="") as stream:
        return list(csv.reader(stream))


def test_the_sample_keeps_its_order(tmp_path):
    assert submission.read_sample(write_sample(tmp_path / "s.csv", ["b.mp4", "a.mp4"])) == ["b.mp4", "a.mp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line"),
        ("name,p\na.mp4,0.5\n", "first line"),
        ("filename,label\n", "names no clip"),
        ("filename,label\na.mp4,1\na.mp4,0\n", "a.mp4 more than once"),
        ("filename,label\n,0.5\n", "row 1 has no filename"),
    ],
    ids=["empty", "header", "no_rows", "twice", "blank"],
)
def test_a_bad_sample_is_one_sentence_that_names_the_file(tmp_path, text, message):
    file = tmp_path / "sample.csv"
    file.write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        submission.read_sample(file)
    assert str(file) in str(caught.value)


def test_a_sample_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DatasetError, match="not a CSV file"):
        submission.read_sample(tmp_path / "s.csv")
    with pytest.raises(DatasetError, match="no such file"):
        submission.read_sample(tmp_path / "gone.csv")


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    (tmp_path / "s.csv").write_bytes(b"\xef\xbb\xbffilename,label\r\na.mp4,0.5\r\n")
    assert submission.read_sample(tmp_path / "s.csv") == ["a.mp4"]


def test_a_sample_is_read_as_spreadsheets_write_it(tmp_path):
    (tmp_path / "s.csv").write_text("\n;\nFilename;Label\na.mp4;0,5\n\nb.mp4;0,5\n;\n")
    assert submission.read_sample(tmp_path / "s.csv") == ["a.mp4", "b.mp4"]


def test_disagreement_names_files_count_examples_and_remedy():
    wanted, present = [f"{n}.mp4" for n in "abcdef"], ["a.mp4", "z.mp4"]
    with pytest.raises(DatasetError) as caught:
        submission.check_agreement(wanted, present, "sample.csv", "test_videos")
    message = str(caught.value)
    for part in ("sample.csv", "test_videos", "5 of 6", "b.mp4, c.mp4, d.mp4, ...", "--allow-missing"):
        assert part in message
    with pytest.raises(DatasetError, match=r"1 of 2 clips .* \(z.mp4\)"):
        submission.check_agreement(["a.mp4"], present, "sample.csv", "test_videos")
    submission.check_agreement(["z.mp4", "a.mp4"], present, "sample.csv", "test_videos")


@pytest.mark.parametrize("p", [0.5, 1 / 3, 1e-6, 0.999999, 0.0123456789])
def test_numbers_keep_six_significant_digits_and_no_exponent(p):
    text = submission.number(p)
    assert float(text) == pytest.approx(p, rel=1e-7)
    assert "e" not in text
    assert len(text.lstrip("0.").replace(".", "")) >= 6


@pytest.mark.parametrize("p", [0.999999999, 1 - 1e-12])
def test_a_probability_next_to_one_stays_below_it(tmp_path, p):
    """Non-regression test: it was written as 1.0000000, and refused as a fault of the program."""
    submission.write_submission(tmp_path / "s.csv", ["a.mp4", "b.mp4"], {"a.mp4": p, "b.mp4": 1 - p}, 0.5)
    (_, fake), (_, real) = read_rows(tmp_path / "s.csv")[1:]
    assert 1 - float(fake) == pytest.approx(1 - p, rel=1e-3)
    assert float(real) == pytest.approx(1 - p, rel=1e-7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,label\na.mp4,nan\n", "not a probability"),
        ("filename,label\na.mp4,1.0\n", "not a probability"),
        ("filename,label\nb.mp4,0.5\n", "rows are not those"),
        ("filename,label\n", "rows are not those"),
        ("name,label\na.mp4,0.5\n", "header"),
    ],
)
def test_reading_back_finds_a_wrong_file(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        submission.check_submission(tmp_path / "s.csv", ["a.mp4"])


def test_a_wrong_probability_leaves_the_earlier_file_alone(tmp_path):
    out = tmp_path / "s.csv"
    out.write_text("earlier")
    with pytest.raises(ValueError, match="not a probability"):
        submission.write_submission(out, ["a.mp4"], {"a.mp4": float("nan")}, 0.5)
    assert out.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [out]


def test_two_runs_that_write_one_submission_leave_a_whole_one(tmp_path, monkeypatch):
    """Non-regression test: both wrote `s.csv.part`, the first to end removed the other's, and none was left."""
    out, check = tmp_path / "s.csv", submission.check_submission

    def meanwhile(file, sample):
        monkeypatch.setattr(submission, "check_submission", check)
        submission.write_submission(out, ["b.mp4"], {"b.mp4": 0.25}, 0.5)
        check(file, sample)

    monkeypatch.setattr(submission, "check_submission", meanwhile)
    submission.write_submission(out, ["a.mp4"], {"a.mp4": 0.75}, 0.5)
    assert read_rows(out)[1:] == [["a.mp4", "0.75000000"]]
    assert list(tmp_path.iterdir()) == [out]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("submission") / "model"
    toy_model(toy_table(), folder)
    return folder


@pytest.fixture
def prepared(tmp_path, model_folder):
    """A table of four test clips, one unreadable, and the options that all runs share."""
    table = toy_table(1, 4, seed=3, labelled=False, without_cues=[2])
    write_table(table, tmp_path / "test.parquet")
    out = tmp_path / "out" / "submission.csv"
    options = ["--test", "unused", "--table", str(tmp_path / "test.parquet"), "--model", str(model_folder)]
    return table, out, [*options, "--out", str(out)]


def test_every_row_of_the_sample_gets_the_models_probability(tmp_path, prepared, model_folder, capsys):
    table, out, options = prepared
    names = [f"clip{row:03d}.mp4" for row in (3, 0, 2, 1)]
    sample = write_sample(tmp_path / "sample.csv", names)
    assert deepcue(["submit", *options, "--sample", str(sample)]) == 0
    header, *rows = read_rows(out)
    assert header == ["filename", "label"]
    assert [name for name, _ in rows] == names
    model = load_model(model_folder)
    assert [float(p) for _, p in rows] == pytest.approx(model.predict(table)[[3, 0, 2, 1]], rel=1e-7)
    assert float(dict(rows)["clip002.mp4"]) == pytest.approx(model.head.target_prior)
    line, model_line = capsys.readouterr().out.splitlines()
    assert line == f"{out}: 4 rows (3 ok, 1 unreadable)"
    assert model_line.startswith(f"model {model_folder}: trained on 48 SYNTHETIC clips")


def test_a_missing_clip_stops_the_run_unless_allowed(tmp_path, prepared, capsys):
    _, out, options = prepared
    sample = write_sample(tmp_path / "sample.csv", ["clip001.mp4", "gone.mp4"])
    assert deepcue(["submit", *options, "--sample", str(sample)]) == 2
    assert "gone.mp4" in capsys.readouterr().err
    assert not out.exists()
    assert deepcue(["submit", *options, "--sample", str(sample), "--allow-missing", "--json"]) == 0
    rows = dict(read_rows(out)[1:])
    assert list(rows) == ["clip001.mp4", "gone.mp4"]
    assert float(rows["gone.mp4"]) == pytest.approx(0.5)
    assert json.loads(capsys.readouterr().out)["status"] == {"missing": 1, "ok": 1}


def test_a_clip_that_the_sample_lacks_stops_the_run(tmp_path, prepared, capsys):
    _, _, options = prepared
    sample = write_sample(tmp_path / "sample.csv", [f"clip{row:03d}.mp4" for row in range(3)])
    assert deepcue(["submit", *options, "--sample", str(sample)]) == 2
    assert "clip003.mp4" in capsys.readouterr().err


def test_extraction_runs_beside_the_output_with_the_models_families(tmp_path, model_folder, monkeypatch, capsys):
    calls = {}

    def extract(data, *, progress, **options):
        calls.update(options, data=[clip.filename for clip in data])
        return toy_table(1, 2, labelled=False)

    monkeypatch.setattr(submit, "extract", extract)
    folder = tmp_path / "test_videos"
    folder.mkdir()
    for row in range(2):
        (folder / f"clip{row:03d}.mp4").write_bytes(b"")
    sample = write_sample(tmp_path / "sample.csv", ["clip000.mp4", "clip001.mp4"])
    out = tmp_path / "submission.csv"
    options = ["--test", str(folder), "--sample", str(sample), "--out", str(out), "--model", str(model_folder)]
    limits = ["--timeout", "9", "--max-memory", "900", "--max-seconds", "5"]
    assert deepcue(["submit", *options, "--jobs", "2", *limits]) == 0
    work = tmp_path / "submission.csv.work" / "features.parquet"
    given = {"limits": Limits(timeout_s=9, memory_mb=900), "max_seconds": 5}
    clips = ["clip000.mp4", "clip001.mp4"]
    assert calls == {"data": clips, "out": work, "families": sorted(FAMILIES), "jobs": 2, **given}
    (folder / "clip001.mp4").unlink()
    calls.clear()
    assert deepcue(["submit", *options]) == 2
    assert not calls  # refused before the work, not after it
    (folder / "other.mp4").write_bytes(b"")
    assert deepcue(["submit", *options, "--allow-missing"]) == 0
    assert calls["data"] == ["clip000.mp4"], "what the sample does not name is not measured"
    calls.clear()
    (folder / "clip000.mp4").unlink()
    assert deepcue(["submit", *options, "--allow-missing"]) == 2
    assert f"{folder}: none of its clips is in {sample}" in capsys.readouterr().err
    assert not calls


def test_a_file_that_the_sample_names_is_a_clip_whatever_its_ending(tmp_path, model_folder, monkeypatch):
    """Non-regression test: the folder was said to lack it."""
    monkeypatch.setattr(submit, "extract", lambda *_, **__: toy_table(1, 1, labelled=False))
    folder, out = tmp_path / "clips", tmp_path / "s.csv"
    folder.mkdir()
    (folder / "clip000.xyz").touch()
    sample = write_sample(tmp_path / "sample.csv", ["clip000.xyz"])
    options = ["--test", str(folder), "--sample", str(sample), "--out", str(out), "--model", str(model_folder)]
    assert deepcue(["submit", *options]) == 0


@pytest.mark.parametrize(("states", "ends_with"), [(["timeout", "crashed"], 2), (["timeout", "unreadable"], 0)])
def test_a_submission_of_nothing_but_the_prior_is_no_success(
    tmp_path, model_folder, monkeypatch, capsys, states, ends_with
):
    """Non-regression test: where every clip ran out of time, it ended with exit status 0."""
    table = toy_table(1, 2, labelled=False, without_cues=[0, 1])
    table = table.set_column(table.schema.get_field_index("status"), "status", [states])
    monkeypatch.setattr(submit, "extract", lambda *_, **__: table)
    folder, out = tmp_path / "clips", tmp_path / "s.csv"
    folder.mkdir()
    for row in range(2):
        (folder / f"clip{row:03d}.mp4").touch()
    sample = write_sample(tmp_path / "sample.csv", ["clip000.mp4", "clip001.mp4"])
    options = ["--test", str(folder), "--sample", str(sample), "--out", str(out), "--model", str(model_folder)]
    assert deepcue(["submit", *options]) == ends_with
    assert [p for _, p in read_rows(out)[1:]] == ["0.50000000"] * 2, "the file is written all the same"
    printed = capsys.readouterr()
    assert f"{out}: 2 rows" in printed.out
    assert ("nothing was measured: all 2 clips are crashed or timeout" in printed.err) == (ends_with == 2)


def test_a_clip_that_is_twice_in_the_table_is_refused(tmp_path, prepared, capsys):
    """Non-regression test: the last row counted, without a word."""
    table, out, options = prepared
    sample = write_sample(tmp_path / "sample.csv", [f"clip{row:03d}.mp4" for row in range(4)])
    write_table(pa.concat_tables([table, table.slice(1, 1)]), tmp_path / "test.parquet")
    assert deepcue(["submit", *options, "--sample", str(sample)]) == 2
    assert "clip001.mp4 appears twice; give each clip one row" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("of_table", "of_sample"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_found_however_its_letters_are_spelled(tmp_path, prepared, of_table, of_sample):
    """Non-regression test: a Mac's spelling of accents was another clip."""
    table, out, options = prepared
    position = table.column_names.index("filename")
    spelled = [unicodedata.normalize(of_table, name.replace("clip", "café")) for name in table["filename"].to_pylist()]
    table = table.set_column(position, table.schema.field(position), pa.array(spelled))
    write_table(table, tmp_path / "test.parquet")
    names = [unicodedata.normalize(of_sample, name) for name in spelled[::-1]]
    assert deepcue(["submit", *options, "--sample", str(write_sample(tmp_path / "sample.csv", names))]) == 0
    assert [name for name, _ in read_rows(out)[1:]] == names


def test_two_files_that_differ_in_spelling_alone_stay_two():
    both = [unicodedata.normalize(form, "é.mp4") for form in ("NFC", "NFD")]
    assert submit._as_in(both[:1], both) == both
    assert submit._as_in(both[:1], both[1:]) == both[:1]


def test_a_table_of_other_clips_is_refused_also_where_clips_may_be_missing(tmp_path, prepared, capsys):
    _, out, options = prepared
    sample = write_sample(tmp_path / "sample.csv", ["videos/clip000.mp4"])
    assert deepcue(["submit", *options, "--sample", str(sample), "--allow-missing"]) == 2
    assert "none of its clips is in" in capsys.readouterr().err
    assert not out.exists()


def test_the_order_of_the_table_does_not_matter(tmp_path, prepared):
    table, out, options = prepared
    sample = write_sample(tmp_path / "sample.csv", [f"clip{row:03d}.mp4" for row in range(4)])
    deepcue(["submit", *options, "--sample", str(sample)])
    first = out.read_bytes()
    write_table(table.take(np.array([2, 0, 3, 1])), tmp_path / "test.parquet")
    deepcue(["submit", *options, "--sample", str(sample)])
    assert out.read_bytes() == first


def test_filenames_of_a_sample_are_without_blanks(tmp_path):
    (tmp_path / "s.csv").write_text("filename,label\n a.mp4 ,0.5\n")
    assert submission.read_sample(tmp_path / "s.csv") == ["a.mp4"]


def test_a_submission_byte_for_byte(tmp_path):
    submission.write_submission(tmp_path / "s.csv", ["b.mp4", "a.mp4"], {"a.mp4": 0.25}, 0.5)
    assert (tmp_path / "s.csv").read_bytes() == b"filename,label\nb.mp4,0.50000000\na.mp4,0.25000000\n"
