"""A feature table from somebody else's numbers: ``python -m extract.from_csv cues.csv --out cues.parquet``.

The CSV has the columns ``filename`` and ``label``, and may have ``group``, ``source`` and ``fold``; every other
column is a cue, empty where undefined. The table trains and is judged like one that was extracted; a ``fold``
column becomes the fold file that ``ensemble.train --folds-file`` keeps to.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from features.errors import TableError
from features.table import BASE_COLUMNS, BASE_SCHEMA, METADATA_KEY, SCHEMA_VERSION

FAMILY = "foreign"
ABOUT = ("filename", "label", "group", "source", "fold")


def read_csv(file: Path) -> pa.Table:
    """The CSV, cues as float32.

    Raises
    ------
    TableError
        It is missing, lacks a column, a clip has no name or two rows, or a cue or fold is no number.
    """
    text = dict.fromkeys(("filename", "label", "group", "source"), pa.string())
    options = pyarrow.csv.ConvertOptions(column_types=text, strings_can_be_null=True)
    try:
        found = pyarrow.csv.read_csv(file, convert_options=options)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{file}: not a CSV that can be read ({error})") from error
    for name in ("filename", "label"):
        if name not in found.column_names:
            raise TableError(f"{file}: lacks the column {name!r}; cues need {name}, label and, best, group")
    cues = [name for name in found.column_names if name not in ABOUT]
    for name in cues:
        if not (pa.types.is_floating(found[name].type) or pa.types.is_integer(found[name].type)):
            raise TableError(f"{file}: column {name!r} holds something that is no number")
    if "fold" in found.column_names and (found["fold"].null_count or not pa.types.is_integer(found["fold"].type)):
        raise TableError(f"{file}: column 'fold' holds something that is no whole number")
    names = Counter(found["filename"].to_pylist())
    for name, times in names.items():
        if not name or times > 1:
            raise TableError(f"{file}: {'a row without a filename' if not name else f'two rows of {name}'}; mend it")
    return found


def feature_table(cues: pa.Table) -> pa.Table:
    """A feature table of one family; a clip without a group is a group of its own.

    Raises
    ------
    DatasetError
        A label is neither REAL nor FAKE.
    """
    from extract.dataset import label_of

    n, names = cues.num_rows, [name for name in cues.column_names if name not in ABOUT]
    filenames = cues["filename"].to_pylist()
    given = cues["group"].to_pylist() if "group" in cues.column_names else [None] * n
    base = {
        "filename": filenames,
        "label": [label_of(label, name) for label, name in zip(cues["label"].to_pylist(), filenames, strict=True)],
        "group": [group or name for group, name in zip(given, filenames, strict=True)],
        "source": cues["source"].to_pylist() if "source" in cues.column_names else [None] * n,
        "status": ["ok"] * n,
        "error": [""] * n,
        "reasons": ["{}"] * n,
        "duration_s": [0.0] * n,
        "n_frames": [0] * n,
        "n_faces": [0] * n,
    }
    columns = {f"{FAMILY}.{name}": cues[name].cast(pa.float32()).to_numpy() for name in names}
    columns[f"{FAMILY}.valid_share"] = np.mean([np.isfinite(values) for values in columns.values()], axis=0)
    description = {
        "schema": SCHEMA_VERSION,
        "extractor": FAMILY,
        "families": {FAMILY: 1},
        "columns": {name: {"unit": "1", "direction": "either", "family": FAMILY} for name in columns},
    }
    fields = [*BASE_SCHEMA, *(pa.field(name, pa.float32()) for name in columns)]
    schema = pa.schema(fields, metadata={METADATA_KEY: json.dumps(description)})
    arrays = [pa.array(base[name], BASE_SCHEMA.field(name).type) for name in BASE_COLUMNS]
    arrays += [pa.array(values, pa.float32(), from_pandas=False) for values in columns.values()]
    return pa.Table.from_arrays(arrays, schema=schema)
