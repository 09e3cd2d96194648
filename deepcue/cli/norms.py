"""Compute how each cue is distributed over the genuine clips of a feature table: the norms of a clip's page.

Every source of clips has the same weight. The shipped norms are in artifacts/pretrained/norms.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import flags
from features.errors import InputError
from features.table import read_table
from reports.norms import write_norms

EXAMPLE = "deepcue norms --table artifacts/features.parquet --out norms.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="feature table with labels and sources")
    parser.add_argument("--out", required=True, type=flags.output_file, help="JSON file to write")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    table = read_table(arguments.table)
    try:
        norms = write_norms(table, arguments.out)
    except OSError as error:
        raise InputError(f"{arguments.out}: can't be written ({error}); give another --out") from error
    n_real = table["label"].to_pylist().count("REAL")
    print(f"norms  {arguments.out}: {len(norms)} of the table's columns, over {n_real} REAL clips")
