"""Write the report of a trained model: one HTML file that opens offline.

Data set, pipeline, model architecture, evaluation, conclusion, references. Every number comes from the table, the
model's manifest and its out-of-fold predictions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import flags
from reports.model_report import ABLATION, write_report

EXAMPLE = "deepcue report --table artifacts/features.parquet --model artifacts/model --out report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="feature table that the model was trained on")
    parser.add_argument("--model", required=True, type=Path, help="model folder")
    parser.add_argument("--out", required=True, type=flags.output_file, help="HTML file to write")
    parser.add_argument(
        "--ablation", type=Path, help=f"JSON file of `deepcue ablate --out` (default: MODEL/{ABLATION} if it exists)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    write_report(arguments.table, arguments.model, arguments.out, arguments.ablation)
    print(f"report {arguments.out}")
