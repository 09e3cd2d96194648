"""Scores of the fold networks on the clips and pictures that each left out: as they are, re-encoded, and transcoded.

Prints tables; OUT/scores.json (of the probe, OUT/probe_scores.json) has the logit of every clip, too. Of several
networks (``--networks fold,residual_fold``) the mean of the logits is scored. ``--probe`` scores a linear model of
32-px thumbnails in place of networks: what it reaches is what light, colour and framing give away.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import common
from training.faces.fold_scores import scores_of_folds
from training.faces.scores import FRAMES, summary_lines
from training.faces.thumbnail_probe import probe_scores
from training.faces.trainer import UNINTERPOLATED

EXAMPLE = "deepcue face-scores --out artifacts/cnn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out", type=common.output_folder, default=Path("artifacts/cnn"), help="folder that the training wrote"
    )
    parser.add_argument(
        "--networks", default="fold", help="names of the phases without the number, by comma (default: %(default)s)"
    )
    parser.add_argument(
        "--before-interpolation", action="store_true", help="score the weights as training left them (alpha = 0)"
    )
    parser.add_argument("--probe", action="store_true", help="score a probe of thumbnails in place of the networks")
    parser.add_argument(
        "--frames", type=common.positive_int, default=FRAMES, help="faces a clip (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    suffix = UNINTERPOLATED if arguments.before_interpolation else ""
    scores = (
        {"thumbnails": probe_scores(arguments.out)}
        if arguments.probe
        else scores_of_folds(arguments.out, common.names(arguments.networks), arguments.frames, suffix=suffix)
    )
    for condition, subsets in scores.items():
        for subset, summary in subsets.items():
            print("\n".join([f"{condition}: {subset}", *summary_lines(summary), ""]))
    name = "probe_scores.json" if arguments.probe else "scores.json"
    (arguments.out / name).write_text(json.dumps(scores, indent=1), encoding="utf-8")
