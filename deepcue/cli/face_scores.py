"""Scores of the fold networks on the clips that each left out, pooled: as they are, re-encoded, and transcoded.

Prints a table; OUT/scores.json has the logit of every clip, too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import common
from training.faces.scores import FRAMES, scores_of_folds, summary_lines

EXAMPLE = "deepcue face-scores --out artifacts/cnn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out", type=common.output_folder, default=Path("artifacts/cnn"), help="folder that the training wrote"
    )
    parser.add_argument(
        "--networks", default="fold", help="name of the phases without the number (default: %(default)s)"
    )
    parser.add_argument(
        "--frames", type=common.positive_int, default=FRAMES, help="faces a clip (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    scores = scores_of_folds(arguments.out, arguments.networks, arguments.frames)
    for condition, summary in scores.items():
        print("\n".join([condition, *summary_lines(summary), ""]))
    (arguments.out / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
