"""The feature table on disk: what made it, codes for what is missing, and tables that are refused."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import discovery, table
from features.errors import InputError, TableError
from features.reasons import Reason
from features.table import (
    METADATA_KEY,
    _location,
    build,
    description,
    feature_columns,
    read_table,
    row_reasons,
    schema,
    with_columns,
    write_table,
)


def small(**base):
    families = discovery.families(["blink"])
    n_columns = len(families[0].table_columns)
    base = {"filename": ["b.mp4", "a.mp4"], "label": ["FAKE", None], "group": ["g", "h"], "source": [None, None]} | base
    base |= {"status": ["ok"] * 2, "error": [""] * 2, "duration_s": [1.0] * 2, "n_frames": [25] * 2, "n_faces": [1] * 2}
    made_by = schema(families, extractor="3", weights={"forensic_cnn": "ab" * 32}, max_seconds=120.0)
    return build(base, np.zeros((2, n_columns), np.float32), made_by)


def test_a_table_says_what_made_it(tmp_path):
    write_table(small(), tmp_path / "t.parquet")
    made_by = description(read_table(tmp_path / "t.parquet"))
    assert made_by["extractor"] == "3"
    assert made_by["families"].keys() == {"blink"}
    assert made_by["weights"] == {"forensic_cnn": "ab" * 32}
    assert made_by["max_seconds"] == 120.0


def test_arrow_reads_no_file_of_pythons(tmp_path):
    """Non-regression test: its threads held the file when the program ended, and one run in ten was aborted."""
    file = tmp_path / "any"
    file.write_bytes(b"1")
    for place in (file, file.as_uri()):
        with table._opened(place) as stream:
            assert isinstance(stream, pa.NativeFile)
            assert stream.read() == b"1"


def test_reasons_keep_to_their_rows(tmp_path):
    write_table(small(reasons=[{"blink": Reason.NO_FACE, "observation": "damaged"}, {}]), tmp_path / "t.parquet")
    assert row_reasons(read_table(tmp_path / "t.parquet")) == [{}, {"blink": "no_face", "observation": "damaged"}]


def test_reasons_may_be_left_out():
    assert row_reasons(small()) == [{}, {}]


def test_a_table_of_an_earlier_version_is_refused_with_the_remedy(tmp_path):
    table = small().drop_columns("reasons")
    old = json.dumps(description(table) | {"schema": 1})
    write_table(table.replace_schema_metadata({METADATA_KEY: old}), tmp_path / "t.parquet")
    with pytest.raises(
        TableError, match=r"t\.parquet: a feature table of schema 1.*make it again with `deepcue extract"
    ):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["filename", "label"], "lacks the column 'group'"),
        (None, "lacks its description"),
    ],
)
def test_a_parquet_of_another_kind_is_refused(tmp_path, columns, message):
    table = small().replace_schema_metadata(None)
    pq.write_table(table.select(columns or table.column_names), tmp_path / "t.parquet")
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("group", pa.array([1, 2]), "the column 'group' holds int64; write text into it"),
        ("duration_s", pa.array(["1", "2"]), "the column 'duration_s' holds string; write numbers into it"),
    ],
)
def test_a_base_column_of_another_type_is_refused(tmp_path, column, values, message):
    """Non-regression test: groups that are numbers were a traceback."""
    table = small()
    table = table.set_column(table.column_names.index(column), column, values)
    write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "t.parquet")


def test_text_may_be_stored_as_pandas_and_others_do(tmp_path):
    table = small()
    for column, kind in {"group": pa.large_string(), "source": pa.dictionary(pa.int8(), pa.string())}.items():
        table = table.set_column(table.column_names.index(column), column, table[column].cast(kind))
    write_table(table, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["group"].to_pylist() == small()["group"].to_pylist()


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_text("filename,label")
    with pytest.raises(TableError, match="not a Parquet file"):
        read_table(tmp_path / "t.parquet")
    with pytest.raises(FileNotFoundError, match="no such table") as caught:
        read_table(tmp_path / "absent.parquet")
    assert isinstance(caught.value, TableError)
    assert not table.is_parquet("a\0b.mp4")


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(small(), Path("exp:1"))
    write_table(small(), "exp:2")
    assert read_table("exp:1").equals(read_table(Path("exp:2")))


def test_a_path_that_is_no_utf_8_is_read_as_it_was_written(tmp_path):
    """Non-regression test: a table of such a path was written, and ended in a traceback when it was read."""
    file = tmp_path / "caf\udce9" / "t.parquet"
    file.parent.mkdir()
    write_table(small(), file)
    assert read_table(file).equals(small())
    assert table.read_parquet(file).equals(small())


def test_what_cannot_be_read_is_not_to_be_made_again(tmp_path, monkeypatch):
    """Non-regression test: missing credentials were a traceback, a failing disk `not a Parquet file`."""
    write_table(small(), tmp_path / "t.parquet")
    with pytest.raises(
        TableError, match=r"s4://bucket/t.parquet: can't be read .*; check the path and your credentials"
    ):
        read_table(Path("s4://bucket/t.parquet"))

    def refuse(*_, **__):
        raise RuntimeError("no credentials")

    with monkeypatch.context() as patched:
        patched.setattr("fsspec.open", refuse)
        with pytest.raises(TableError, match="no credentials"):
            read_table("s3://bucket/t.parquet")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("features.table.pq.read_table", fail)
    with pytest.raises(TableError, match=r"can't be read \(.*Input/output error\); try again"):
        read_table(tmp_path / "t.parquet")


def test_a_full_disk_leaves_the_earlier_table(tmp_path, monkeypatch):
    """Non-regression test: the table was written in place, and a full disk destroyed the earlier one."""
    file = tmp_path / "t.parquet"
    write_table(small(), file)

    def full(built, stream, **_):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(table.pq, "write_table", full)
        with pytest.raises(OSError, match="No space left"):
            write_table(small(), file)
    assert read_table(file).num_rows == 2
    assert list(tmp_path.iterdir()) == [file]


def test_a_table_is_written_where_a_link_leads(tmp_path):
    (tmp_path / "link.parquet").symlink_to(tmp_path / "t.parquet")
    write_table(small(), tmp_path / "link.parquet")
    assert (tmp_path / "link.parquet").is_symlink()
    assert read_table(tmp_path / "t.parquet").num_rows == 2


@pytest.mark.parametrize("name", ["clips", "link", "./clips"])
def test_a_table_is_not_written_over_what_is_read(tmp_path, monkeypatch, name):
    """Non-regression test: `import-csv c.csv --out c.csv` and the like destroyed labels in silence."""
    monkeypatch.chdir(tmp_path)
    write_table(small(), "clips")
    (tmp_path / "link").symlink_to("clips")
    with pytest.raises(InputError, match="is read by this command, which would replace it"):
        table.check_place(name, inputs=["elsewhere", Path("clips")])
    table.check_place(name, inputs=["elsewhere"])  # an earlier table is replaced
    with pytest.raises(InputError, match="is read by this command"):
        table.check_place("s3://b/m", inputs=["s3://b/m"])


def test_a_table_that_is_not_there_yet_is_not_written_over_the_journal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is read by this command"):
        table.check_place("j", inputs=[tmp_path / "j"])


def test_a_table_replaces_tables_and_empty_files_alone(tmp_path):
    (file := tmp_path / "t").touch()
    table.check_place(file, inputs=[])
    pq.write_table(small().replace_schema_metadata({METADATA_KEY: b'{"schema": 1}'}), file)
    table.check_place(file, inputs=[])
    for content in (b"filename,label\n", b"PAR1 and more", b"PAR1"):
        file.write_bytes(content)
        with pytest.raises(InputError, match="exists and is not a feature table; remove it"):
            table.check_place(file, inputs=[])
    pq.write_table(pa.table({"video": ["a"]}), file)
    with pytest.raises(InputError, match="exists and is not a feature table"):
        table.check_place(file, inputs=[])


@pytest.mark.parametrize("name", ["f.csv", "s3://bucket/F.JSON", Path("f.xlsx")])
def test_a_table_is_not_called_as_another_kind_of_file(name):
    """Non-regression test: Parquet was written under that name, and no command could read it."""
    with pytest.raises(InputError, match=r"a table is written as Parquet, not as \..*; give a name that ends in"):
        table.check_place(name, inputs=[])


def test_a_base_column_that_is_there_twice_is_refused():
    """Non-regression test: it ended in a traceback."""
    twice = small().append_column("label", pa.array(["FAKE", "REAL"]))
    with pytest.raises(TableError, match="made: two columns are called 'label'; remove or rename one"):
        table.check_base_columns(twice, "made")


def test_a_table_in_memory_is_checked_as_one_of_a_file():
    """Non-regression: a KeyError, or the advice to extract the clips again."""
    made = small()
    with pytest.raises(TableError, match=r"the table: is a str; give a pyarrow\.Table.*deepcue\.predict also takes"):
        table.check_table("features.parquet", "the table")
    with pytest.raises(
        TableError, match=r"lost its description .* new\.replace_schema_metadata\(old\.schema\.metadata"
    ):
        table.check_table(made.replace_schema_metadata(None), "the table")
    with pytest.raises(TableError, match="the table: lacks the column 'source'"):
        table.check_table(made.drop_columns(["source"]), "the table", needed=["filename", "source"])
    nameless = made.set_column(0, "filename", pa.array([None, "b.mp4"]))
    with pytest.raises(TableError, match="a row has no filename"):
        table.check_table(nameless, "the table", needed=["filename"])
    table.check_table(made.drop_columns(["source"]), "the table", needed=["filename"])


@pytest.mark.parametrize("text", ["oops", "[]", '{"blink": 3}'])
def test_reasons_that_are_no_mapping_of_texts_are_refused(text):
    made = small()
    spoilt = made.set_column(made.column_names.index("reasons"), "reasons", pa.array([text, None]))
    with pytest.raises(TableError, match="its column 'reasons' holds"):
        table.row_reasons(spoilt)


def test_equal_tables_give_equal_bytes(tmp_path):
    for name in "ab":
        write_table(small(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert isinstance(read_table(tmp_path / "a"), pa.Table)


def test_numbers_are_written_without_a_dictionary_in_groups_of_rows(tmp_path, monkeypatch):
    """Non-regression test: dictionaries of numbers took two thirds of the time, and the table was compressed whole."""
    monkeypatch.setattr(table, "ROWS_PER_GROUP", 1)
    write_table(small(), tmp_path / "t.parquet")
    written = pq.ParquetFile(tmp_path / "t.parquet").metadata
    assert written.num_row_groups == 2
    columns = [written.row_group(0).column(number) for number in range(written.num_columns)]
    with_dictionary = {column.path_in_schema for column in columns if column.has_dictionary_page}
    assert with_dictionary == set(table.BASE_COLUMNS) - {"duration_s"}
    assert pq.read_table(tmp_path / "t.parquet").equals(small())


def test_sorted_values_of_one_column_after_the_other_are_not_copied():
    (blink,) = discovery.families(["blink"])
    values = np.zeros((2, len(blink.table_columns)), np.float32, order="F")
    base = {name: ["", ""] for name in table.BASE_COLUMNS[1:6]} | {"filename": ["a", "b"]}
    base |= {"duration_s": [1.0] * 2, "n_frames": [25] * 2, "n_faces": [1] * 2}
    built = build(base, values, schema([blink], extractor="3"))
    values[1, 0] = 7
    assert built.column("blink.count").to_pylist() == [0, 7]


def test_a_table_may_lie_at_a_url_also_when_it_went_through_a_path(tmp_path):
    write_table(small(), tmp_path / "t.parquet")
    url = (tmp_path / "t.parquet").as_uri()
    assert read_table(url).num_rows == 2
    assert read_table(Path(url)).num_rows == 2
    with pytest.raises(TableError, match="file:///"):
        read_table(Path((tmp_path / "none.parquet").as_uri()))


@pytest.mark.parametrize(
    ("given", "place"),
    [("s3://bucket/a.parquet", "s3://bucket/a.parquet"), ("a:/b", Path("a:/b")), ("x y/z", Path("x y/z"))],
)
def test_only_what_names_a_protocol_is_a_url(given, place):
    assert _location(given) == _location(Path(given)) == place


def of_family(name, filenames, value, **base):
    families = discovery.families([name])
    rows = {"filename": filenames, "label": ["FAKE"] * len(filenames), "group": ["g"] * len(filenames)} | base
    rows |= {"source": [None] * len(filenames), "status": ["ok"] * len(filenames), "error": [""] * len(filenames)}
    rows |= {"duration_s": [1.0] * len(filenames), "n_frames": [25] * len(filenames), "n_faces": [1] * len(filenames)}
    values = np.full((len(filenames), len(families[0].table_columns)), value, np.float32)
    return build(rows, values, schema(families, extractor="3", weights={name: f"of {value}"}))


def test_two_tables_become_one_of_the_clips_in_both():
    left = of_family("blink", ["c", "a", "b"], 1.0, group=["x", "y", "z"])
    right = of_family("forensic_cnn", ["d", "c", "b"], 2.0)
    joined = with_columns(left, right)
    assert joined["filename"].to_pylist() == ["b", "c"]
    assert joined["group"].to_pylist() == ["z", "x"]
    assert set(feature_columns(joined)) == {*feature_columns(left), *feature_columns(right)}
    assert joined["blink.valid_share"].to_pylist() == [1.0, 1.0]
    assert joined["forensic_cnn.logit_mean"].to_pylist() == [2.0, 2.0]
    assert description(joined)["families"].keys() == {"blink", "forensic_cnn"}
    assert description(joined)["weights"] == {"blink": "of 1.0", "forensic_cnn": "of 2.0"}


def test_of_a_family_in_both_tables_the_second_is_kept():
    older, newer = (of_family("blink", ["a", "b"], value) for value in (1.0, 2.0))
    joined = with_columns(older, newer)
    assert joined.schema.names == older.schema.names
    assert joined["blink.valid_share"].to_pylist() == [2.0, 2.0]
    assert description(joined)["weights"] == {"blink": "of 2.0"}


@pytest.mark.parametrize(("left", "right"), [(["a"], ["b"]), (["a", "a"], ["a"]), (["a"], ["a", "a"])])
def test_tables_with_no_clip_in_common_or_one_twice_are_not_joined(left, right):
    with pytest.raises(TableError, match="can be joined only if each has every clip once"):
        with_columns(of_family("blink", left, 1.0), of_family("blink", right, 1.0))


def test_columns_and_weights_of_a_family_s_other_version_go():
    """A family may have lost columns, and a network its weights."""
    older, newer = of_family("blink", ["a", "b"], 1.0), of_family("blink", ["a", "b"], 2.0)
    told = json.loads(older.schema.metadata[METADATA_KEY])
    told["columns"]["blink.gone"] = told["columns"]["blink.valid_share"]
    told["families"]["blink"] = 0
    older = older.append_column("blink.gone", pa.array([1.0, 1.0], pa.float32()))
    joined = with_columns(older.replace_schema_metadata({METADATA_KEY: json.dumps(told)}), newer)
    assert feature_columns(joined) == feature_columns(newer)
    assert "blink.gone" not in joined.column_names
    assert description(joined)["families"] == description(newer)["families"]


def test_weights_that_the_second_table_does_not_name_are_not_the_first_one_s():
    older, newer = (of_family("blink", ["a"], value) for value in (1.0, 2.0))
    told = json.loads(newer.schema.metadata[METADATA_KEY])
    told["weights"] = {}
    joined = with_columns(older, newer.replace_schema_metadata({METADATA_KEY: json.dumps(told)}))
    assert description(joined)["weights"] == {}
