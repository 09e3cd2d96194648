"""Make a demo data set: clips of two talking portraits, some of them forged, in the challenge's layout.

Nothing is downloaded: the portraits come with scikit-image and Matplotlib (:mod:`forge.demo.portrait`). The data is
synthetic and easy; it shows that the full pipeline works, and says nothing about real forgeries.
"""

from __future__ import annotations

import argparse

from deepcue.cli import flags, terminal
from forge.demo.dataset import make_demo

EXAMPLE = "deepcue demo-data artifacts/demo/data --seed 0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("out", type=flags.output_folder, help="folder to write; created if missing")
    flags.add_seed(parser)
    parser.add_argument(
        "--clips", type=flags.positive_int, default=60,
        help="number of training clips; the test set has a third of that",
    )  # fmt: skip
    flags.add_jobs(parser)
    flags.add_quiet(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what an interrupted run keeps."""
    return f"finished clips stay in {arguments.out}; the same command makes all clips again"


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    with terminal.clip_progress(quiet=arguments.quiet) as progress:
        n_train, n_test = make_demo(
            arguments.out, seed=arguments.seed, n_clips=arguments.clips, jobs=arguments.jobs, progress=progress
        )
    print(f"{arguments.out}: {n_train} training clips, {n_test} test clips (synthetic)")
