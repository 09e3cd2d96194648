"""Read a CSV of cues that were measured elsewhere into a feature table."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from extract.entries import ClipEntry, label_of, named, slashed
from extract.groups import grouped
from extract.manifest import COLUMNS
from features.errors import TableError
from features.table import BASE_COLUMNS, BASE_SCHEMA, IMPORTED, METADATA_KEY, SCHEMA_VERSION
from features.text_table import Header, read_header

logger = logging.getLogger(__name__)

FAMILY = IMPORTED
TEXT = ("filename", "label", "group", "original", "source")
ABOUT = (*TEXT, "fold")
UNUSED = COLUMNS - set(
    ABOUT
)  # of a manifest: they describe how a clip was made, so that a model of them learns the label
FEWEST_ROWS = 3  # of two rows with different labels any cue separates them
ADVICE = (
    "a table of cues has the columns filename and label, optionally group, original, source and fold, and one column "
    "for each cue"
)


def read_csv(file: Path) -> pa.Table:
    """Read ``filename``, ``label``, ``group``, ``original``, ``source``, ``fold`` and a number for each cue.

    Only filename, label and one cue are required. The names of these columns may have capitals and surrounding spaces.
    A group, original or source that programs write for a missing value (``NA``, ``null``) is null, as in a manifest.
    Cues are float32, null or NaN where the cell is empty.

    Raises
    ------
    TableError
        The file can't be read, a required column is missing, a column has no name or a name that appears twice, a
        column describes how a clip was made (``method``, ``kind``, ``part``, ``fake_part``), a clip has no name or
        two rows, a cue or fold is not a number, or there is no cue.
    """
    header = _header(file)
    names = header.names
    table = _cells(file, header)
    for name in TEXT:
        if name in names:
            cells = table[name].to_pylist()
            read = [cell.strip() if name == "filename" else named(cell) or None for cell in cells]
            table = table.set_column(names.index(name), name, pa.array(read, pa.string()))
    _check_rows(file, table)
    for place, name in enumerate(names):
        if name not in ABOUT:
            table = table.set_column(place, name, _numbers(file, name, table[name]))
    return table


def _header(file: Path) -> Header:
    """Read the header; the names of columns that are not cues are in lower case."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            header = read_header(opened, "filename")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{file}: not a CSV that can be read ({error})") from error
    names = [name.lower() if name.lower() in {*ABOUT, *UNUSED} else name for name in header.names]
    if not names:
        raise TableError(f"{file}: not a CSV that can be read (it is empty); {ADVICE}")
    _check_names(file, names)
    return header._replace(names=names)


def _cells(file: Path, header: Header) -> pa.Table:
    """Parse the rows; in a file that is separated by semicolons, a column may use decimal commas."""
    try:
        rows = _rows(file, header)
        if not rows:
            raise TableError(f"{file}: no clip in it, the table ends after its header")
        table = _parsed(rows, header, decimal_point=".")
        text = _text_cues(table)
        if header.delimiter == ";" and text:
            with_commas = _parsed(rows, header, decimal_point=",")
            for name in set(text) - set(_text_cues(with_commas)):
                table = table.set_column(header.names.index(name), name, with_commas[name])
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{file}: not a CSV that can be read ({error})") from error
    return table


def _rows(file: Path, header: Header) -> bytes:
    """Return the lines below the header without blank ones, which would turn a column of numbers into text."""
    signs = f'{header.delimiter}" \t\r\n'.encode()
    lines = file.read_bytes().splitlines(keepends=True)
    kept, opened_in = [], 0  # the line of a quote that is still open: the following lines belong to its cell
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


def _cues(rows: pa.Table) -> list[str]:
    return [name for name in rows.column_names if name not in ABOUT]


def _text_cues(rows: pa.Table) -> list[str]:
    return [name for name in _cues(rows) if pa.types.is_string(rows[name].type)]


def _check_names(file: Path, names: list[str]) -> None:
    """Reject a header that lacks a required column or has one that a table of cues can't have."""
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
        if name in UNUSED:
            raise TableError(f"{file}: the column {name!r} describes a clip and can't be a cue; remove or rename it")
        if name == "valid_share":
            raise TableError(f"{file}: a cue can't be called 'valid_share', which is made from all of them; rename it")
    if not set(names) - set(ABOUT):
        raise TableError(f"{file}: no cue in it; {ADVICE}")


def _numbers(file: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert a cue to float32, and warn where most of its values become equal; an empty column stays undefined."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.float32())
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise TableError(f"{file}: column {name!r} holds something that is not a number")
    rounded = column.cast(pa.float32(), safe=False)
    before, after = len(column.unique()), len(rounded.unique())
    if 2 * after < before:
        logger.warning(
            "column %r: %d different values are %d as float32 (7 digits); subtract its smallest value, or remove it",
            name,
            before,
            after,
        )
    return rounded


def _check_rows(file: Path, rows: pa.Table) -> None:
    """Reject folds that are not whole numbers, and clips without a name or with two rows."""
    if "fold" in rows.column_names and (rows["fold"].null_count or not pa.types.is_integer(rows["fold"].type)):
        raise TableError(f"{file}: column 'fold' holds something that is not a whole number")
    for name, times in Counter(rows["filename"].to_pylist()).items():
        if not name or times > 1:
            raise TableError(f"{file}: {'a row without a filename' if not name else f'two rows of {name}'}; fix it")


def feature_table(cues: pa.Table) -> pa.Table:
    """Build a feature table of one family, ``foreign``.

    Clips that share a group or an original share a group in the result; every other clip is a group by itself. Cues
    that separate the labels exactly are logged as warnings.

    Parameters
    ----------
    cues
        The result of :func:`read_csv`.

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
    """Return the base columns; every status is ``ok``, as nothing is measured here that could fail."""
    n = cues.num_rows
    given: dict[str, list[Any]] = {
        name: cues[name].to_pylist() if name in cues.column_names else [None] * n for name in TEXT
    }
    labels = [label_of(label, name) for label, name in zip(given["label"], given["filename"], strict=True)]
    return {
        **{name: given[name] for name in ("filename", "source")},
        "label": labels,
        "group": _groups(given, labels),
        "status": ["ok"] * n,
        "error": [""] * n,
        "reasons": ["{}"] * n,
        "duration_s": [math.nan] * n,  # unknown: a clip of a known length without a frame holds only audio
        **{name: [0] * n for name in ("n_frames", "n_faces")},
    }


def _groups(given: Mapping[str, Sequence[str | None]], labels: Sequence[str | None]) -> list[str]:
    """Return the group of each clip: given groups and originals joined, as in a data set."""
    rows = zip(given["filename"], labels, given["group"], given["original"], strict=True)
    clips = [
        ClipEntry(name or "", path="", label=label, group=group or "", original=slashed(original or ""))
        for name, label, group, original in rows
    ]
    if any(clip.original for clip in clips):
        clips = grouped(clips, "the table of cues")
    return [clip.group or clip.filename for clip in clips]


def _warn_of_labels(cues: pa.Table, labels: Sequence[str | None]) -> None:
    """Warn of cues that have one value for each label, or that are defined for one label only."""
    labelled = np.array([label is not None for label in labels], dtype=bool)
    fake = np.array([label == "FAKE" for label in labels], dtype=bool)[labelled]
    if len(fake) < FEWEST_ROWS or fake.all() or not fake.any():
        return
    for name in _cues(cues):
        values = cues[name].to_numpy()[labelled]
        missing = np.isnan(values)
        in_real, in_fake = np.unique(values[~fake]), np.unique(values[fake])
        if len(in_real) == len(in_fake) == 1 and not np.array_equal(in_real, in_fake, equal_nan=True):
            logger.warning("column %r is the label in every row; remove it, or a model learns nothing else", name)
        elif np.array_equal(missing, fake) or np.array_equal(missing, ~fake):
            logger.warning(
                "column %r is defined for every clip of one label and for none of the other; remove it, or a model "
                "learns nothing else",
                name,
            )
