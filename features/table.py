"""The feature table: one row a clip, Parquet, with its schema inside.

Nothing about the container (codec, bit rate, name, size, date) is a feature. The base columns describe the
clip and the run; learners see only the columns that :func:`feature_columns` names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import TableError
from features.spec import Family

SCHEMA_VERSION = 1
METADATA_KEY = b"deepfake"
STATUSES = ("ok", "partial", "no_face", "no_audio", "unreadable", "too_short", "timeout", "crashed")
LABELS = ("REAL", "FAKE")
BASE_SCHEMA = pa.schema(
    [
        ("filename", pa.string()),
        ("label", pa.string()),
        ("group", pa.string()),
        ("source", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("duration_s", pa.float64()),
        ("n_frames", pa.int64()),
        ("n_faces", pa.int64()),
    ]
)
BASE_COLUMNS = tuple(BASE_SCHEMA.names)


def schema(families: Iterable[Family], *, extractor: str) -> pa.Schema:
    """Arrow schema of a table with these families; units, directions and versions in its metadata."""
    families = tuple(families)
    columns = [column for one in families for column in one.table_columns]
    description = {
        "schema": SCHEMA_VERSION,
        "extractor": extractor,
        "families": {one.name: one.version for one in families},
        "columns": {c.name: {"unit": c.unit, "direction": c.direction, "family": c.family} for c in columns},
    }
    fields = [pa.field(column.name, pa.float32()) for column in columns]
    return pa.schema([*BASE_SCHEMA, *fields], metadata={METADATA_KEY: json.dumps(description)})


def build(base: Mapping[str, Sequence[Any]], values: NDArray[np.float32], table_schema: pa.Schema) -> pa.Table:
    """A table from base columns (each of length n) and feature values [n, columns], sorted by filename."""
    names = [name for name in table_schema.names if name not in BASE_COLUMNS]
    order = np.argsort(np.array(base["filename"], dtype=object), kind="stable")
    arrays = [pa.array([base[name][i] for i in order], type=table_schema.field(name).type) for name in BASE_COLUMNS]
    arrays += [pa.array(values[order, number], type=pa.float32(), from_pandas=False) for number in range(len(names))]
    return pa.Table.from_arrays(arrays, schema=table_schema)


def write_table(table: pa.Table, file: str | Path | BinaryIO) -> None:
    """Write as Parquet; equal tables give equal bytes."""
    pq.write_table(table, file, compression="zstd")


def read_table(file: str | Path) -> pa.Table:
    """Read a feature table and check that it is one.

    Raises
    ------
    TableError
        The file is missing, is not Parquet, or lacks the base columns or the description.
    """
    path = Path(file)
    if not path.is_file():
        raise TableError(f"{path}: no such table; make one with `python extract/extract_all.py DATA --out {path}`")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: not a Parquet file ({error}); extract it anew") from error
    missing = [name for name in BASE_COLUMNS if name not in table.column_names]
    if missing:
        raise TableError(f"{path}: not a feature table, it lacks the column {missing[0]!r}; extract it anew")
    found = description(table).get("schema")
    if found != SCHEMA_VERSION:
        raise TableError(f"{path}: table schema {found}, this version reads {SCHEMA_VERSION}; extract it anew")
    return table


def description(table: pa.Table) -> dict[str, Any]:
    """What the table's metadata says of its families, columns and extractor; empty for a foreign table."""
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    return json.loads(raw) if raw else {}


def table_families(table: pa.Table) -> dict[str, int]:
    """Family name to version."""
    return dict(description(table).get("families", {}))


def feature_columns(table: pa.Table) -> list[str]:
    """Names of the columns that learners may see, in the table's order."""
    declared = description(table).get("columns", {})
    return [name for name in table.column_names if name in declared]
