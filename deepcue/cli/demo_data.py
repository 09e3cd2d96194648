"""Demo data: two portraits talk, some of it is forged, all of it in the challenge's layout.

Nothing is downloaded and nothing is copied: see :mod:`forge.demo.portrait`. The data is synthetic and easy; it
shows that the whole way works, and says nothing about real forgeries.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import common
from features.errors import InputError
from forge.demo.dataset import make_demo

EXAMPLE = "deepcue demo-data artifacts/demo/data --seed 0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("out", type=Path, help="folder to write; made if missing")
    common.add_seed(parser)
    parser.add_argument("--clips", type=int, default=60, help="training clips; the test set has a third of that")
    common.add_jobs(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    if arguments.clips < 6:
        raise InputError(f"--clips {arguments.clips}: must be at least 6")
    counts = make_demo(arguments.out, seed=arguments.seed, n_clips=arguments.clips, n_jobs=arguments.jobs)
    print(f"{arguments.out}: {counts[0]} training clips, {counts[1]} test clips (synthetic)")
