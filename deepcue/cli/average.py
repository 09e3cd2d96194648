"""Average several networks of one kind in weight space into one (a model soup)."""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import flags
from ensemble.outputs import make_parent
from training.faces.weight_space import average_weights

EXAMPLE = "deepcue average run0/final.safetensors run1/final.safetensors --out mean.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("weights", type=Path, nargs="+", metavar="FILE", help="weights files that a training wrote")
    parser.add_argument("--out", type=flags.output_file, required=True, help="weights file to write")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    make_parent(arguments.out)
    average_weights(arguments.weights, arguments.out)
    print(f"weights {arguments.out}: mean of {len(arguments.weights)} networks")
