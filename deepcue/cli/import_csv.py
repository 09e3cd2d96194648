"""Build a feature table from a CSV of cues that were measured elsewhere.

The CSV has the columns ``filename`` and ``label``, and may have ``group``, ``original``, ``source`` and ``fold``. Every
other column is a cue, empty where undefined. A FAKE clip shares a group with its original. Use the result like an
extracted table. A ``fold`` column is written to a fold file, for ``deepcue train --folds-file``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from deepcue.cli import flags
from ensemble.outputs import make_parent
from extract.from_csv import feature_table, read_csv
from features.table import BASE_COLUMNS, check_place, write_table

EXAMPLE = "deepcue import-csv cues.csv --out artifacts/cues.parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "csv",
        type=Path,
        help="CSV file with the columns filename and label, optionally group, original, source and fold, and cues",
    )
    parser.add_argument("--out", type=flags.output_file, required=True, help="feature table to write (Parquet)")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    check_place(arguments.out)
    cues = read_csv(arguments.csv)
    table = feature_table(cues)
    make_parent(arguments.out)
    write_table(table, arguments.out)
    print(f"table  {arguments.out}: {table.num_rows} rows, {table.num_columns - len(BASE_COLUMNS)} columns")
    if "fold" in cues.column_names:
        folds = arguments.out.with_suffix(".folds.parquet")
        chosen = pa.table({**{name: table[name] for name in ("filename", "group")}, "fold": cues["fold"]})
        write_table(chosen.filter(table["label"].is_valid()), folds)  # only labelled clips can be trained on
        print(f"folds  {folds}")
