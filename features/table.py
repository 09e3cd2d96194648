"""The feature table: one row per clip, in Parquet, with its schema inside.

Nothing about the container (codec, bit rate, name, size, date) is a feature. The base columns describe the clip and the
run; learners see only the columns that :func:`feature_columns` names. The metadata is a JSON object that describes how
the table was made: ``schema``, the version of this layout; ``extractor``, the version of observations; ``families``,
name to version; ``weights``, the SHA-256 of the weights of learned families; ``max_seconds``, the analysed duration of
each clip; and ``columns``, the unit, direction and family of each column.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import InputError, MissingTableError, TableError, UnreadableError
from features.places import (
    as_path,
    cause_to_show,
    check_has_no_keys,
    check_is_no_input,
    check_is_regular,
    file_to_write,
    in_place_of,
    is_of_the_store,
    url_of,
    words,
)
from features.spec import Family

SCHEMA_VERSION = 2  # 2: the column reasons; weights and max_seconds in the metadata
METADATA_KEY = b"deepfake"
IMPORTED = "foreign"  # family, and extractor in the metadata, of numbers that were measured elsewhere
LABELS = ("REAL", "FAKE")
ROWS_PER_GROUP = 16_384  # in Parquet: all columns of so many rows are compressed in memory at a time
MAGIC = b"PAR1"  # first and last bytes of a Parquet file
OTHER_KINDS = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".xlsx", ".feather", ".arrow", ".html"})
"""Suffixes that a table may not have, because programs would take it for another kind of file."""
BASE_SCHEMA = pa.schema(
    [
        ("filename", pa.string()),
        ("label", pa.string()),
        ("group", pa.string()),
        ("source", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("reasons", pa.string()),
        ("duration_s", pa.float64()),
        ("n_frames", pa.int64()),
        ("n_faces", pa.int64()),
    ]
)
BASE_COLUMNS = tuple(BASE_SCHEMA.names)


def schema(
    families: Iterable[Family],
    *,
    extractor: str,
    weights: Mapping[str, str] | None = None,
    max_seconds: float | None = None,
) -> pa.Schema:
    """Arrow schema of a table with these families, and in its metadata what made it.

    Parameters
    ----------
    families
        Whose columns the table has, in this order.
    extractor
        Version of the observations that were measured.
    weights
        SHA-256 of the weights of learned families, by family.
    max_seconds
        Seconds of each clip that were analysed; None if that has no meaning.
    """
    families = tuple(families)
    columns = [column for family in families for column in family.table_columns]
    description = {
        "schema": SCHEMA_VERSION,
        "extractor": extractor,
        "families": {family.name: family.version for family in families},
        "weights": dict(weights or {}),
        "max_seconds": max_seconds,
        "columns": {c.name: {"unit": c.unit, "direction": c.direction, "family": c.family} for c in columns},
    }
    fields = [pa.field(column.name, pa.float32()) for column in columns]
    return pa.schema([*BASE_SCHEMA, *fields], metadata={METADATA_KEY: json.dumps(description)})


def build(base: Mapping[str, Sequence[Any]], values: NDArray[np.float32], table_schema: pa.Schema) -> pa.Table:
    """A table from base columns (each of length n) and feature values [n, columns], sorted by filename.

    ``reasons`` is a mapping for each row (see :mod:`features.reasons`), and may be left out. The table shares the
    memory of values that are in this order already and in Fortran order (one column after the other).
    """
    n = len(base["filename"])
    base = {**base, "reasons": [_reasons_text(row_reasons) for row_reasons in base.get("reasons", [{}] * n)]}
    names = [name for name in table_schema.names if name not in BASE_COLUMNS]
    order = np.argsort(np.array(base["filename"], dtype=object), kind="stable")
    arrays = [pa.array([base[name][i] for i in order], type=table_schema.field(name).type) for name in BASE_COLUMNS]
    ordered = values if np.array_equal(order, np.arange(n)) else np.asfortranarray(values[order])
    arrays += [pa.array(ordered[:, number], type=pa.float32(), from_pandas=False) for number in range(len(names))]
    return pa.Table.from_arrays(arrays, schema=table_schema)


def check_place(file: str | Path, *, inputs: Iterable[str | Path] = ()) -> None:
    """Check, before the work, that a table may be written here: over no other kind of file, and with a fitting suffix.

    Parameters
    ----------
    file
        Path or URL to write; the content of a URL is not checked.
    inputs
        Files that the command reads.

    Raises
    ------
    InputError
        The file is one of the inputs, exists and is not a feature table, has the suffix of another kind of file, or
        can't be written.
    """
    check_is_no_input(file, inputs)
    suffix = os.path.splitext(file)[1].lower()
    if suffix in OTHER_KINDS:
        raise InputError(f"{file}: a table is written as Parquet, not as {suffix}; give a name that ends in .parquet")
    local = as_path(url_of(file) or str(file))
    if url_of(local):
        return
    path = file_to_write(local)
    if path.is_file() and path.stat().st_size and not _is_described(path):
        raise InputError(f"{file}: exists and is not a feature table; remove it, or give another name to write to")


def _is_described(file: Path) -> bool:
    """Whether a file is a readable feature table, of any version."""
    try:
        with _local(file) as stream:
            return METADATA_KEY in (pq.read_schema(stream).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def is_parquet(file: str | Path) -> bool:
    """Whether a file of this machine begins as Parquet does, whatever it is called."""
    try:
        check_is_regular(os.fspath(file))
        with open(file, "rb") as opened:
            return opened.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError, UnreadableError):  # ValueError: a null byte in the path
        return False


def write_table(table: pa.Table, file: str | Path | BinaryIO) -> None:
    """Write as Parquet; equal tables give equal bytes.

    The file of a path is written whole or not at all: what was there stays until the new one is complete. A link is
    followed.

    Raises
    ------
    InputError
        The path is a URL, a folder or a device.
    OSError
        It can't be written.
    """
    if not isinstance(file, (str, Path)):
        texts = [column.name for column in table.schema if not pa.types.is_floating(column.type)]
        # a dictionary of numbers that hardly repeat takes time and room
        pq.write_table(table, file, compression="zstd", use_dictionary=texts, row_group_size=ROWS_PER_GROUP)
        return
    # a stream, as Arrow would take a colon in a name for a protocol
    with in_place_of(file_to_write(file)) as temporary, temporary.open("wb") as stream:
        write_table(table, stream)


def _location(file: str | Path) -> str | Path:
    """A path, or the URL that was given."""
    return url_of(file) or Path(file)


def _opened(place: str | Path) -> pa.NativeFile:
    """A file of this machine, or the content of a remote one.

    Arrow's own, as threads of Arrow that still hold a file of Python's when the program ends abort it.

    Raises
    ------
    TableError
        It can't be read.
    """
    try:
        if isinstance(place, Path):
            return _local(place)
        import fsspec

        check_has_no_keys(place)
        with fsspec.open(place, "rb") as stream:
            return pa.BufferReader(stream.read())
    except Exception as error:
        if not is_of_the_store(error, place):
            raise
        raise TableError(
            f"{place}: can't be read ({words(error)}); check the path and your credentials"
        ) from cause_to_show(error, str(place))


def _local(file: Path) -> pa.OSFile:
    """A file of this machine by its bytes: Arrow refuses text of a path that is no UTF-8."""
    return pa.OSFile(os.fsencode(file.absolute()))


def read_parquet(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file of this machine, whatever it is called: Arrow takes a colon in a path for a protocol.

    Of ``columns`` those that the file has are read; None reads all.

    Raises
    ------
    OSError
        It can't be read.
    pyarrow.ArrowInvalid
        It is not Parquet.
    """
    with _local(file) as stream:
        return pq.read_table(stream, columns=None if columns is None else list(columns))


def read_table(file: str | Path) -> pa.Table:
    """Read a feature table, from a path or a URL that fsspec knows, and check that it is one.

    Raises
    ------
    TableError
        The file is missing (then a :class:`MissingTableError`), can't be read, is not Parquet, lacks the base columns
        or has them of another type, or was made by another version.
    """
    path = _location(file)
    if isinstance(path, Path) and not path.is_file():
        raise MissingTableError(f"{path}: no such table; make one with `deepcue extract DATA --out {path}`")
    with _opened(path) as stream:
        try:
            table = pq.read_table(stream)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            if getattr(error, "errno", None):  # of the disk; Arrow's own have no number
                raise TableError(f"{path}: can't be read ({error}); try again, or copy it to another disk") from error
            raise TableError(f"{path}: not a Parquet file ({error}); make it again with `deepcue extract`") from error
    version = description(table).get("schema", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise TableError(
            f"{path}: a feature table of schema {version}, this version reads {SCHEMA_VERSION}; make it again with "
            f"`deepcue extract DATA --out {path}` (kept observations spare the decoding)"
        )
    missing = [name for name in BASE_COLUMNS if name not in table.column_names]
    if missing or not description(table):
        what = f"the column {missing[0]!r}" if missing else "its description"
        raise TableError(f"{path}: not a feature table, it lacks {what}; make one with `deepcue extract`")
    check_base_columns(table, str(path))
    return table


def check_table(table: object, where: str, needed: Iterable[str] = ()) -> None:
    """Check that a value is a feature table with its description; a table in memory may come from anywhere.

    Parameters
    ----------
    table
        The value to check.
    where
        Name of the table in messages.
    needed
        Base columns that the table must have.

    Raises
    ------
    TableError
        It is not a ``pyarrow.Table``, has lost its metadata, lacks a needed column, has a base column twice or of the
        wrong type, or a row has no filename.
    """
    if not isinstance(table, pa.Table):
        raise TableError(
            f"{where}: is a {type(table).__name__}; give a pyarrow.Table, as deepcue.extract returns it "
            "(deepcue.predict also takes clips and files)"
        )
    if not description(table):
        raise TableError(
            f"{where}: has lost its description (the schema's metadata), which says which columns are cues; put it "
            "back with new.replace_schema_metadata(old.schema.metadata), old being the extracted table"
        )
    if missing := [name for name in needed if name not in table.column_names]:
        raise TableError(f"{where}: lacks the column {missing[0]!r}; keep all base columns of the extracted table")
    check_base_columns(table, where)
    if "filename" in needed and not all(table.column("filename").to_pylist()):
        raise TableError(f"{where}: a row has no filename; name every clip")


def check_base_columns(table: pa.Table, where: str) -> None:
    """Check that no base column appears twice, or holds numbers instead of text or text instead of numbers.

    Raises
    ------
    TableError
        A column is wrong; the message names it, and the table by ``where``.
    """
    for wanted in BASE_SCHEMA:
        if wanted.name not in table.column_names:
            continue
        if table.column_names.count(wanted.name) > 1:
            raise TableError(f"{where}: two columns are called {wanted.name!r}; remove or rename one")
        kind = table.schema.field(wanted.name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        if not pa.types.is_null(kind) and is_text != pa.types.is_string(wanted.type):
            what = "text" if pa.types.is_string(wanted.type) else "numbers"
            raise TableError(f"{where}: the column {wanted.name!r} holds {kind}; write {what} into it")


def description(table: pa.Table) -> dict[str, Any]:
    """Return the table's description from its metadata: its origin and columns; empty for any other Parquet file."""
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    return json.loads(raw) if raw else {}


def table_families(table: pa.Table) -> dict[str, int]:
    """Return the version of each family by name."""
    return dict(description(table).get("families", {}))


def row_reasons(table: pa.Table) -> list[dict[str, str]]:
    """Return, for each row, codes of :class:`features.reasons.Reason` by family, ``clip`` or ``observation``.

    Raises
    ------
    TableError
        A row's text is not a JSON object of texts.
    """
    return [_reasons_of(text) for text in table.column("reasons").to_pylist()]


def _reasons_of(text: str | None) -> dict[str, str]:
    try:
        codes = json.loads(text or "{}")
    except ValueError:
        codes = None
    if not (isinstance(codes, dict) and all(isinstance(code, str) for code in codes.values())):
        raise TableError(f"the table: its column 'reasons' holds {text!r}; write a JSON object of texts, or nothing")
    return codes


def with_reasons(table: pa.Table, reasons: Sequence[Mapping[str, str]]) -> pa.Table:
    """The table with other reasons, one mapping for each row: see :func:`row_reasons`."""
    texts = pa.array([_reasons_text(row_reasons) for row_reasons in reasons], BASE_SCHEMA.field("reasons").type)
    position = table.column_names.index("reasons")
    return table.set_column(position, table.schema.field("reasons"), texts)


def _reasons_text(reasons: Mapping[str, str]) -> str:
    return json.dumps(dict(reasons), sort_keys=True)


def feature_columns(table: pa.Table) -> list[str]:
    """Names of the columns that learners may see, in the table's order."""
    declared = description(table).get("columns", {})
    return [name for name in table.column_names if name in declared]


def with_columns(source: pa.Table, other: pa.Table) -> pa.Table:
    """Return the clips that are in both ``source`` and ``other``, with the feature columns of both.

    A family that is in both tables is taken from ``other``; the base columns (label, group, status) from ``source``.

    Raises
    ------
    TableError
        A clip appears twice in a table, or the tables have no clip in common.
    """
    names, place = source["filename"].to_pylist(), {name: row for row, name in enumerate(other["filename"].to_pylist())}
    kept = [row for row, name in enumerate(names) if name in place]
    if not kept or len(place) < other.num_rows or len(set(names)) < len(names):
        raise TableError("two tables can be joined only if each has every clip once and some clips are in both")
    source, other = source.take(kept), other.take([place[names[row]] for row in kept])
    merged = _merged(description(source), description(other))
    arrays = {name: source[name] for name in BASE_COLUMNS}
    newer = set(feature_columns(other))
    arrays |= {name: (other if name in newer else source)[name] for name in merged["columns"]}
    return pa.table(arrays).replace_schema_metadata({METADATA_KEY: json.dumps(merged)})


def without_weights(table: pa.Table, families: Iterable[str]) -> pa.Table:
    """Return the table without the weights of these families, which were measured with several: one for each fold."""
    known = description(table)
    if "weights" not in known:
        return table
    left = {name: digest for name, digest in known["weights"].items() if name not in set(families)}
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(known | {"weights": left})})


def _merged(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the descriptions of two tables; families of ``newer`` replace those of ``older``."""
    replaced = newer["families"]
    columns = {name: column for name, column in older["columns"].items() if column["family"] not in replaced}
    of_families = {
        key: {family: value for family, value in older[key].items() if family not in replaced} | newer[key]
        for key in ("families", "weights")
    }
    return {**older, **of_families, "columns": columns | newer["columns"]}
