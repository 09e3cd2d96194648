"""Tables as text: as programs and spreadsheets write them."""

import io

import pytest

from features.text_table import read_header, read_rows


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("filename,label\na.mp4,REAL\nb.mp4,FAKE\n", [2, 3]),
        ("filename;label\na.mp4;REAL\nb.mp4;FAKE\n", [2, 3]),
        ("Filename\tLabel\na.mp4\tREAL\nb.mp4\tFAKE\n", [2, 3]),
        ("filename,label\ra.mp4,REAL\rb.mp4,FAKE\r", [2, 3]),
        ("\n,,\nfilename , label\n\na.mp4,REAL\nb.mp4,FAKE\n,,\n , ,\n,,,,\n", [5, 6]),
        ("sep=;\nfilename;label\na.mp4;REAL\nb.mp4;FAKE\n", [3, 4]),
        ("SEP=,\r\n\r\nfilename,label\r\na.mp4,REAL\r\nb.mp4,FAKE\r\n", [4, 5]),
        ("sep=\t\nfilename\tlabel\na.mp4\tREAL\nb.mp4\tFAKE\n", [3, 4]),
    ],
    ids=["commas", "semicolons", "tabs", "carriage_returns", "blank", "excel_semicolon", "excel_comma", "excel_tab"],
)
def test_delimiters_line_ends_and_blank_lines_change_nothing(text, lines):
    stream = io.StringIO(text, newline="")
    header = read_header(stream, "filename")
    assert [name.lower() for name in header.names] == ["filename", "label"]
    rows = list(read_rows(stream, header))
    assert rows == [(lines[0], ["a.mp4", "REAL"]), (lines[1], ["b.mp4", "FAKE"])]


def test_without_the_column_the_comma_divides():
    stream = io.StringIO("name;kind\na;b\n", newline="")
    assert read_header(stream, "filename").names == ["name;kind"]


def test_a_row_of_several_lines_is_known_by_its_first():
    stream = io.StringIO('filename,note\n\na.mp4,"two\nlines"\nb.mp4,"to the end\n\n', newline="")
    assert [line for line, _ in read_rows(stream, read_header(stream, "filename"))] == [3, 5]
