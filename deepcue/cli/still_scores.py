"""Score held-out stills, pooled over runs that held out different folds, with 95 % intervals over groups."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.faces.stills_scores import read, summary_lines

EXAMPLE = "deepcue still-scores run1/base.stills.csv run2/base.stills.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="CSV", help="PHASE.stills.csv from the folder of each training run"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    print("\n".join(summary_lines(read(arguments.files))))
