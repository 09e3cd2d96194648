"""A feature table of numbers that were measured elsewhere."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from extract.entries import label_of, named
from features.errors import TableError
from features.table import BASE_COLUMNS, BASE_SCHEMA, IMPORTED, METADATA_KEY, SCHEMA_VERSION
from features.text_table import Header, read_header

logger = logging.getLogger(__name__)

FAMILY = IMPORTED
TEXT = ("filename", "label", "group", "source")
ABOUT = (*TEXT, "fold")
ADVICE = "a table of cues has the columns filename and label, perhaps group, source and fold, and a column for each cue"


def read_csv(file: Path) -> pa.Table:
    """The CSV: ``filename``, ``label``, perhaps ``group``, ``source`` and ``fold``, and a number for each cue.

    Names of these columns may have capitals and spaces around them. A group or source that is what programs write for
    nothing is null, as in a manifest. Cues are float32, NaN where they are empty.

    Raises
    ------
    TableError
        It is missing, a column lacks or has no name of its own, a clip has no name or two rows, a cue or fold is no
        number, or there is no cue.
    """
    header = _header(file)
    names = header.names
    found = _cells(file, header)
    for name in TEXT:
        if name in names:
            cells = found[name].to_pylist()
            read = [cell.strip() if name == "filename" else named(cell) or None for cell in cells]
            found = found.set_column(names.index(name), name, pa.array(read, pa.string()))
    _check_rows(file, found)
    for place, name in enumerate(names):
        if name not in ABOUT:
            found = found.set_column(place, name, _numbers(file, name, found[name]))
    return found


def _header(file: Path) -> Header:
    """The header, with those names in lower case that are of no cues."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            header = read_header(opened, "filename")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{file}: not a CSV that can be read ({error})") from error
    names = [name.lower() if name.lower() in ABOUT else name for name in header.names]
    if not names:
        raise TableError(f"{file}: not a CSV that can be read (it is empty); {ADVICE}")
    _check_names(file, names)
    return header._replace(names=names)


def _cells(file: Path, header: Header) -> pa.Table:
    """The rows as they are written; beside semicolons, the numbers of a column may have a decimal comma."""
    try:
        rows = _rows(file, header)
        if not rows:
            raise TableError(f"{file}: no clip in it, the table ends after its header")
        found = _parsed(rows, header, decimal_point=".")
        text = _text_cues(found)
        if header.delimiter == ";" and text:
            with_commas = _parsed(rows, header, decimal_point=",")
            for name in set(text) - set(_text_cues(with_commas)):
                found = found.set_column(header.names.index(name), name, with_commas[name])
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{file}: not a CSV that can be read ({error})") from error
    return found


def _rows(file: Path, header: Header) -> bytes:
    """The lines below the header that say something: a blank in a column of numbers would make it one of words."""
    signs = f'{header.delimiter}" \t\r\n'.encode()
    lines = file.read_bytes().splitlines(keepends=True)
    kept, opened_in = [], 0  # the line of a quote that is still open: what follows is of its cell
    for number, line in enumerate(lines[header.n_lines :], header.n_lines + 1):
        if opened_in or line.strip(signs):
            kept.append(line)
        if line.count(b'"') % 2:
            opened_in = 0 if opened_in else number
    if opened_in:
        raise TableError(f"{file}, line {opened_in}: a quote is not closed")
    return b"".join(kept)


def _parsed(rows: bytes, header: Header, decimal_point: str) -> pa.Table:
    return pyarrow.csv.read_csv(
        io.BytesIO(rows),
        read_options=pyarrow.csv.ReadOptions(column_names=header.names),
        parse_options=pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(TEXT, pa.string()), strings_can_be_null=False, decimal_point=decimal_point
        ),
    )


def _cues(found: pa.Table) -> list[str]:
    return [name for name in found.column_names if name not in ABOUT]


def _text_cues(found: pa.Table) -> list[str]:
    return [name for name in _cues(found) if pa.types.is_string(found[name].type)]


def _check_names(file: Path, names: list[str]) -> None:
    """Refuse a header that lacks a column, or has one that no table of cues can have."""
    for name in ("filename", "label"):
        if name not in names:
            raise TableError(f"{file}: lacks the column {name!r}; {ADVICE}")
    for name, times in Counter(names).items():
        if times > 1:
            raise TableError(f"{file}: two columns are called {name!r}; remove or rename one")
        if not name.strip() or name.startswith("Unnamed:"):
            raise TableError(
                f"{file}: column {names.index(name) + 1} has no name, as the row numbers that pandas writes; remove it "
                "(to_csv(index=False)), or a model learns from the order of the rows"
            )
        if name.splitlines() != [name]:
            raise TableError(f"{file}: the name of the column {name!r} has a line break; rename it")
        if name == "valid_share":
            raise TableError(f"{file}: a cue can't be called 'valid_share', which is made from all of them; rename it")
    if not set(names) - set(ABOUT):
        raise TableError(f"{file}: no cue in it; {ADVICE}")


def _numbers(file: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A cue as float32; a column that is empty throughout is undefined throughout."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.float32())
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise TableError(f"{file}: column {name!r} holds something that is no number")
    return column.cast(pa.float32(), safe=False)


def _check_rows(file: Path, found: pa.Table) -> None:
    """Folds are whole numbers; each clip has a name and one row."""
    if "fold" in found.column_names and (found["fold"].null_count or not pa.types.is_integer(found["fold"].type)):
        raise TableError(f"{file}: column 'fold' holds something that is no whole number")
    for name, times in Counter(found["filename"].to_pylist()).items():
        if not name or times > 1:
            raise TableError(f"{file}: {'a row without a filename' if not name else f'two rows of {name}'}; fix it")


def feature_table(cues: pa.Table) -> pa.Table:
    """A feature table of one family, ``foreign``; a clip without a group is a group of its own.

    Parameters
    ----------
    cues
        What :func:`read_csv` returns.

    Raises
    ------
    DatasetError
        A label is neither REAL nor FAKE.
    """
    columns = {
        f"{FAMILY}.{name}": cues[name].to_numpy().astype(np.float32) for name in cues.column_names if name not in ABOUT
    }
    columns[f"{FAMILY}.valid_share"] = np.mean([np.isfinite(values) for values in columns.values()], axis=0)
    description = {
        "schema": SCHEMA_VERSION,
        "extractor": FAMILY,
        "families": {FAMILY: 1},
        "columns": {name: {"unit": "1", "direction": "either", "family": FAMILY} for name in columns},
    }
    fields = [*BASE_SCHEMA, *(pa.field(name, pa.float32()) for name in columns)]
    schema = pa.schema(fields, metadata={METADATA_KEY: json.dumps(description)})
    base = _base_columns(cues)
    _warn_of_labels(cues, base["label"])
    arrays = [pa.array(base[name], BASE_SCHEMA.field(name).type) for name in BASE_COLUMNS]
    arrays += [pa.array(values, pa.float32(), from_pandas=False) for values in columns.values()]
    return pa.Table.from_arrays(arrays, schema=schema)


def _base_columns(cues: pa.Table) -> dict[str, list[Any]]:
    """What a feature table says of every clip; nothing was measured here that could fail."""
    n = cues.num_rows
    given: dict[str, list[Any]] = {
        name: cues[name].to_pylist() if name in cues.column_names else [None] * n for name in TEXT
    }
    filenames = given["filename"]
    return {
        **given,
        "label": [label_of(label, name) for label, name in zip(given["label"], filenames, strict=True)],
        "group": [group or name for group, name in zip(given["group"], filenames, strict=True)],
        "status": ["ok"] * n,
        "error": [""] * n,
        "reasons": ["{}"] * n,
        "duration_s": [math.nan] * n,  # unknown: a clip of a known length without a frame is one of sound alone
        **{name: [0] * n for name in ("n_frames", "n_faces")},
    }


def _warn_of_labels(cues: pa.Table, labels: Sequence[str | None]) -> None:
    """Say which cues are the label itself, in every row that has one: a model of them learns nothing else."""
    labelled = np.array([label is not None for label in labels], dtype=bool)
    fake = np.array([label == "FAKE" for label in labels], dtype=np.float32)[labelled]
    if not 0 < fake.sum() < len(fake):
        return
    for name in _cues(cues):
        values = cues[name].to_numpy()[labelled]
        if np.array_equal(values, fake) or np.array_equal(values, 1 - fake):
            logger.warning("column %r is the label in every row; remove it, or a model learns nothing else", name)
