"""Score the fold networks of a training on the clips and images that each left out.

Clips are scored as they are, re-encoded, and transcoded. Prints tables; OUT/scores.json also has the logit of every
clip (with --probe, OUT/probe_scores.json). For several networks (`--networks fold,residual_fold`) the mean of the
logits is scored as well. --probe scores a linear model of 32-px thumbnails instead of networks: its scores measure how
much light, colour and framing give away. --results writes the tables of docs/results.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import deepcue
from deepcue.cli import flags
from features.errors import InputError
from reports.face_tables import write_tables
from training.faces.fold_scores import scores_of_folds
from training.faces.scores import FRAMES, summary_lines
from training.faces.thumbnail_probe import probe_scores
from training.faces.trainer import UNINTERPOLATED

EXAMPLE = "deepcue face-scores --training artifacts/cnn --networks fold,residual_fold"
TRAINING = Path("artifacts/cnn")
OF_NETWORKS = {
    "networks": "fold",
    "before_interpolation": False,
    "frames": FRAMES,
    "results": None,
    "data_set": "",
}
"""Options that the probe does not have, and their defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--training",
        type=Path,
        metavar="DIR",
        help=f"folder of a finished `deepcue train-faces` run (default: that of --out, else {TRAINING})",
    )
    parser.add_argument(
        "--out",
        type=flags.output_folder,
        metavar="DIR",
        help="folder for the scores (default: that of --training)",
    )
    parser.add_argument("--probe", action="store_true", help="score a probe of thumbnails instead of the networks")
    parser.add_argument(
        "--networks", help="comma-separated names of phases, without the number of the fold (default: %(default)s)"
    )
    parser.add_argument(
        "--before-interpolation", action="store_true", help="score the weights before interpolation (alpha = 0)"
    )
    parser.add_argument("--frames", type=flags.positive_int, help="faces per clip (default: %(default)s)")
    parser.add_argument(
        "--results",
        type=flags.output_folder,
        metavar="DIR",
        help="also write tables for the results page here",
    )
    parser.add_argument("--data-set", help="with --results: a few words that describe the clips")
    parser.set_defaults(**OF_NETWORKS)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    if arguments.probe:
        _check_no_network_options(arguments)
    training = arguments.training or arguments.out or TRAINING
    out = arguments.out or training
    if arguments.probe:
        scores = {"thumbnails": {"original": probe_scores(training)}}
    else:
        suffix = UNINTERPOLATED if arguments.before_interpolation else ""
        scores = scores_of_folds(training, flags.names(arguments.networks), arguments.frames, suffix=suffix)
    for name, conditions in scores.items():
        for condition, subsets in conditions.items():
            for subset, summary in subsets.items():
                print("\n".join([f"{name}, {condition}: {subset}", *summary_lines(summary), ""]))
    out.mkdir(parents=True, exist_ok=True)
    file = out / ("probe_scores.json" if arguments.probe else "scores.json")
    file.write_text(json.dumps(scores, indent=1), encoding="utf-8")
    if arguments.results:
        options = f"--training {training.name} --networks {arguments.networks} --frames {arguments.frames}"
        options += " --before-interpolation" if arguments.before_interpolation else ""
        write_tables(
            arguments.results,
            scores,
            command=f"deepcue face-scores {options} --results {arguments.results.name}",
            data=arguments.data_set,
            version=deepcue.__version__,
        )


def _check_no_network_options(arguments: argparse.Namespace) -> None:
    """Refuse options that the probe would ignore."""
    given = [
        f"--{name.replace('_', '-')}" for name, default in OF_NETWORKS.items() if getattr(arguments, name) != default
    ]
    if given:
        raise InputError(f"--probe can't be combined with {', '.join(given)}: it scores no networks; leave them out")
