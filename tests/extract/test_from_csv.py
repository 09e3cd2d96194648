"""Tables of numbers that were measured elsewhere."""

import argparse
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from deepcue.cli import import_csv
from deepcue.cli.main import main as deepcue
from extract.from_csv import feature_table, read_csv
from features import table
from features.errors import TableError

CSV = """filename,label,group,fold,sharp,"odd name"
b.mp4,FAKE,g1,1,0.5,2
a.mp4,REAL,g1,1,,1
c.mp4,REAL,,0,1.5,3
"""


@pytest.fixture
def csv(tmp_path):
    file = tmp_path / "cues.csv"
    file.write_text(CSV)
    return file


def test_cues_groups_and_folds_arrive(csv, tmp_path):
    out = tmp_path / "cues.parquet"
    assert deepcue(["import-csv", str(csv), "--out", str(out)]) == 0
    found = table.read_table(out)
    assert found["group"].to_pylist() == ["g1", "g1", "c.mp4"]
    assert table.feature_columns(found) == ["foreign.sharp", "foreign.odd name", "foreign.valid_share"]
    np.testing.assert_array_equal(found["foreign.sharp"].to_numpy(), np.float32([0.5, np.nan, 1.5]))
    np.testing.assert_array_equal(found["foreign.valid_share"].to_numpy(), np.float32([1, 0.5, 1]))
    assert pq.read_table(tmp_path / "cues.folds.parquet")["fold"].to_pylist() == [1, 1, 0]


def test_the_csv_is_not_replaced(csv, tmp_path, capsys):
    """Non-regression test: it was, by a table."""
    assert deepcue(["import-csv", str(csv), "--out", str(csv)]) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert csv.read_text() == CSV


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("label,x\nREAL,1\n", "lacks the column 'filename'"),
        ("filename,label,x\na,REAL,much\n", "column 'x' holds something that is not a number"),
        ("", "not a CSV"),
        ("filename,label,x\na,REAL,1\na,FAKE,2\n", "two rows of a"),
        ("filename,label,x\n,REAL,1\n", "a row without a filename"),
        ("filename,label,x\na,genuine,1\n", "label 'genuine' is not REAL or FAKE"),
        ("filename,label,fold,x\na,REAL,0,1\nb,FAKE,,1\n", "'fold' holds something that is not a whole number"),
        ("filename,label,fold,x\na,REAL,0.5,1\n", "'fold' holds something that is not a whole number"),
        ("filename,label,x,x\na,REAL,1,2\n", "two columns are called 'x'"),
        ("filename,Label,x,label\na,REAL,1,2\n", "two columns are called 'label'"),
        (",filename,label,x\n0,a,REAL,1\n", "column 1 has no name"),
        ("filename,Unnamed: 0,label,x\na,0,REAL,1\n", "column 2 has no name"),
        ("filename,label,valid_share\na,REAL,1\n", "can't be called 'valid_share'"),
        ("filename,label,group\na,REAL,g\n", "no cue in it"),
        ("filename,label,x\n", "no clip in it"),
        ('filename,label,"a\nb",x\na,REAL,1,2\n', "the name of the column 'a\\nb' has a line break; rename it"),
        ("\n\n", "it is empty"),
        ('filename,label,x,source\na,REAL,1,s\nb,REAL,2,"s\nc,REAL,3,t\n', "line 3: a quote is not closed"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, capsys, text, said):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    assert deepcue(["import-csv", str(file), "--out", str(tmp_path / "out.parquet")]) == 2
    assert said in capsys.readouterr().err


def test_labels_are_read_as_in_a_data_set(tmp_path):
    file, out = tmp_path / "cues.csv", tmp_path / "cues.parquet"
    file.write_text("filename,label,x\na,fake,1\nb,Real,2\nc,1.0,3\nd,0.0,4\ne,,5\nf,True,6\n")
    assert deepcue(["import-csv", str(file), "--out", str(out)]) == 0
    assert table.read_table(out)["label"].to_pylist() == ["FAKE", "REAL", "FAKE", "REAL", None, "FAKE"]


def test_headers_may_have_capitals_and_a_cue_that_is_empty_throughout_is_undefined(tmp_path):
    file, out = tmp_path / "cues.csv", tmp_path / "cues.parquet"
    file.write_text("\ufeffFilename, LABEL ,x,Empty\na,fake,1,\nb,real,2,\n", encoding="utf-8")
    assert deepcue(["import-csv", str(file), "--out", str(out)]) == 0
    found = table.read_table(out)
    assert table.feature_columns(found) == ["foreign.x", "foreign.Empty", "foreign.valid_share"]
    assert np.isnan(found["foreign.Empty"].to_numpy()).all()
    np.testing.assert_array_equal(found["foreign.valid_share"].to_numpy(), np.float32([0.5, 0.5]))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_may_come_before_the_header(tmp_path, end):
    """Non-regression test: the file was said to be empty."""
    file, out = tmp_path / "cues.csv", tmp_path / "cues.parquet"
    file.write_text(end.join(["", "", "filename,label,x", "a,FAKE,1", "", "b,REAL,2"]), newline="")
    assert deepcue(["import-csv", str(file), "--out", str(out)]) == 0
    found = table.read_table(out)
    assert found["filename"].to_pylist() == ["a", "b"]
    assert found["foreign.x"].to_pylist() == [1, 2]


def test_the_line_by_which_excel_notes_the_delimiter_is_skipped(tmp_path):
    (tmp_path / "cues.csv").write_text("sep=;\nfilename;label;x\na;FAKE;1,5\nb;REAL;2\n")
    assert read_csv(tmp_path / "cues.csv")["x"].to_pylist() == [1.5, 2]


@pytest.mark.parametrize(("start", "warns"), [(1_700_000_000, True), (0, False), (0.1, False)])
def test_a_cue_whose_values_float32_makes_equal_is_named(tmp_path, caplog, start, warns):
    rows = "".join(f"{n},REAL,{start + n},\n" for n in range(300))
    (tmp_path / "cues.csv").write_text(f"filename,label,counter,empty\n{rows}")
    read_csv(tmp_path / "cues.csv")
    assert ("column 'counter': 300 different values are 3 as float32" in caplog.text) == warns
    assert len(caplog.records) == warns


@pytest.mark.parametrize("quoted", ['"s\n"', '"s\n\n ""t"""', '"\n"'])
@pytest.mark.parametrize("after", ["", ",u"])
def test_a_cell_may_end_in_a_line_break(tmp_path, quoted, after):
    """Non-regression test: the line with its last quote was left out as blank, and the rows after it with it."""
    columns = "source" + (",group" if after else "")
    rows = f"a,REAL,0,{quoted}{after}\nb,REAL,1,v{after}\nc,REAL,2,w{after}\n"
    (tmp_path / "t.csv").write_text(f"filename,label,x,{columns}\n{rows}")
    table = read_csv(tmp_path / "t.csv")
    assert table["filename"].to_pylist() == ["a", "b", "c"]
    assert table["x"].to_pylist() == [0, 1, 2]


def test_folds_are_of_the_labelled_clips(tmp_path):
    file = tmp_path / "cues.csv"
    file.write_text("filename,label,fold,x\na,REAL,0,1\nb,,1,2\nc,FAKE,2,3\n")
    assert deepcue(["import-csv", str(file), "--out", str(tmp_path / "cues.parquet")]) == 0
    assert pq.read_table(tmp_path / "cues.folds.parquet")["filename"].to_pylist() == ["a", "c"]


def test_such_a_table_trains(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = [
        f"{n}.mp4,{'FAKE' if n % 2 else 'REAL'},g{n // 4},{n // 4 % 3},{rng.normal() + 2 * (n % 2):.4f}"
        for n in range(60)
    ]
    file, out = tmp_path / "cues.csv", tmp_path / "cues.parquet"
    file.write_text("\n".join(["filename,label,group,fold,x", *rows]))
    assert deepcue(["import-csv", str(file), "--out", str(out)]) == 0
    folds = tmp_path / "cues.folds.parquet"
    options = ["--folds-file", str(folds), "--out", str(tmp_path / "m"), "--learners", "logistic", "--quiet"]
    assert deepcue(["train", "--table", str(out), *options]) == 0
    assert "3 folds" in capsys.readouterr().out
    capsys.readouterr()
    assert deepcue(["predict", str(out), "--model", str(tmp_path / "m"), "--json"]) == 0
    clips = json.loads(capsys.readouterr().out)["clips"]
    assert {clip["duration_s"] for clip in clips} == {None}, "nobody said how long they are"
    assert not any("audio" in note for clip in clips for note in clip["notes"]), "nor that they hold no video"


@pytest.mark.parametrize(
    "text",
    [
        "filename;label;x\na;REAL;0,5\nb;FAKE;1,5\n",
        "filename;label;x\na;REAL;0.5\nb;FAKE;1.5\n",
        "filename\tlabel\tx\na\tREAL\t0.5\nb\tFAKE\t1.5\n",
        "filename,label,x\ra,REAL,0.5\rb,FAKE,1.5\r",
        ",,\nfilename,label,x\na,REAL,0.5\n\nb,FAKE,1.5\n,,\n,,,,\n",
        'filename,label,x\na,REAL,0.5\n , ,\n\t, , \n"","",""\nb,FAKE,1.5\n \n , ,,\n',
        " ; ;\nfilename;label;x\na;REAL;0,5\n ; ; \nb;FAKE;1,5",
    ],
    ids=["decimal_commas", "semicolons", "tabs", "carriage_returns", "blank", "spaces", "spaces_and_decimal_commas"],
)
def test_tables_are_read_as_spreadsheets_write_them(tmp_path, text):
    (tmp_path / "cues.csv").write_bytes(text.encode())
    found = read_csv(tmp_path / "cues.csv")
    assert found["filename"].to_pylist() == ["a", "b"]
    assert found["x"].to_pylist() == [0.5, 1.5]


def test_beside_semicolons_each_column_has_its_own_decimal_point(tmp_path):
    (tmp_path / "cues.csv").write_text("filename;label;point;comma\na;REAL;0.5;0,5\nb;FAKE;1.5;2\n")
    found = read_csv(tmp_path / "cues.csv")
    assert found["point"].to_pylist() == [0.5, 1.5]
    assert found["comma"].to_pylist() == [0.5, 2.0]


@pytest.mark.parametrize("cells", ["0.5;oops", "0,5;oops", "0.5;1,5 m", "0,5;1.5 m"])
def test_beside_semicolons_the_column_that_is_no_number_is_named(tmp_path, cells):
    """Non-regression test: a column of decimal points was named where another one was text."""
    (tmp_path / "cues.csv").write_text(f"filename;label;a;note\nx;REAL;{cells}\ny;FAKE;{cells[:3]};1\n")
    with pytest.raises(TableError, match="column 'note' holds something that is not a number"):
        read_csv(tmp_path / "cues.csv")


def test_truth_values_are_numbers(tmp_path):
    (tmp_path / "cues.csv").write_text("filename,label,x\na,REAL,True\nb,FAKE,false\nc,FAKE,\n")
    assert read_csv(tmp_path / "cues.csv")["x"].to_pylist() == [1, 0, None]


def test_a_cue_that_is_the_label_is_said_to_be_it(tmp_path, caplog):
    """Non-regression test: a model learned it alone, and nobody was told."""
    rows = "a,REAL,0,1,0\nb,FAKE,1,0,0\nc,,1,1,1\nd,FAKE,1,0,1\n"
    (tmp_path / "cues.csv").write_text(f"filename,label,is_fake,genuine,x\n{rows}")
    feature_table(read_csv(tmp_path / "cues.csv"))
    said = [record.message.split(" is the label")[0] for record in caplog.records]
    assert said == ["column 'is_fake'", "column 'genuine'"]


def test_a_fake_shares_the_group_of_its_numbered_original(tmp_path):
    """Non-regression test: the column `original` became a cue, defined for FAKE clips alone (AUC 1 on noise)."""
    rows = "".join(f"{n:03d}.mp4,REAL,,{n}.5\n{n:03d}_{n + 1:03d}.mp4,FAKE,{n:03d},{n}.25\n" for n in range(5))
    (tmp_path / "cues.csv").write_text(f"filename,label,Original,x\n{rows}")
    found = feature_table(read_csv(tmp_path / "cues.csv"))
    assert table.feature_columns(found) == ["foreign.x", "foreign.valid_share"]
    groups = dict(zip(found["filename"].to_pylist(), found["group"].to_pylist(), strict=True))
    assert all(groups[f"{n:03d}.mp4"] == groups[f"{n:03d}_{n + 1:03d}.mp4"] for n in range(5))
    assert len(set(groups.values())) == 5


@pytest.mark.parametrize("name", ["method", "Kind", "fake_part", "part"])
def test_a_column_that_describes_how_a_clip_was_made_is_refused(tmp_path, name):
    """Non-regression test: codes of methods, which FAKE clips alone have, became a cue."""
    (tmp_path / "cues.csv").write_text(f"filename,label,{name},x\na,REAL,,1\nb,FAKE,2,2\n")
    with pytest.raises(TableError, match=f"the column '{name.lower()}' describes a clip"):
        read_csv(tmp_path / "cues.csv")


def test_a_cue_that_separates_the_labels_is_reported_whatever_its_values(tmp_path, caplog):
    """Non-regression test: only 0 and 1 were compared with the labels."""
    rows = "a,REAL,-1,,0.5,2\nb,FAKE,1,0.1,0.5,2\nc,FAKE,1,0.3,0.5,3\nd,REAL,-1,,0.5,\n"
    (tmp_path / "cues.csv").write_text(f"filename,label,target,only_fake,constant,x\n{rows}")
    feature_table(read_csv(tmp_path / "cues.csv"))
    assert [record.message.split(";")[0] for record in caplog.records] == [
        "column 'target' is the label in every row",
        "column 'only_fake' is defined for every clip of one label and for none of the other",
    ]


def test_the_help_names_every_column_that_is_no_cue():
    parser = argparse.ArgumentParser()
    import_csv.add_arguments(parser)
    for column in ("filename", "label", "group", "original", "source", "fold"):
        assert column in parser.format_help()
