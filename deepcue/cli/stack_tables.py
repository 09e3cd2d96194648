"""Stack feature tables of the same columns: all rows of the first, then those of the second, and so on.

The number of a table, counted from 0, is put in front of the filenames of its rows (`0/clip.mp4`, `1/clip.mp4`), so
that the same clip may be in several tables; the rows of a clip keep its group and thus share a fold. For example, a
model can be trained on clips and on re-encoded copies of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import flags
from ensemble.outputs import make_parent
from features import table
from training.stacked_tables import stacked

EXAMPLE = "deepcue stack-tables joint.parquet copies.parquet --out both.parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("tables", type=Path, nargs="+", metavar="TABLE", help="feature tables of the same columns")
    parser.add_argument("--out", type=flags.output_file, required=True, help="table to write")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    table.check_place(arguments.out)
    rows = stacked([table.read_table(file) for file in arguments.tables])
    make_parent(arguments.out)
    table.write_table(rows, arguments.out)
    print(f"{arguments.out}: {rows.num_rows} rows of {len(arguments.tables)} tables")
