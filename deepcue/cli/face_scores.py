"""Scores of the fold networks on the clips and pictures that each left out: as they are, re-encoded, and transcoded.

Prints tables; OUT/scores.json (of the probe, OUT/probe_scores.json) has the logit of every clip, too. Of several
networks (``--networks fold,residual_fold``) the mean of the logits is scored as well. ``--probe`` scores a linear model
of 32-px thumbnails in place of networks: what it reaches is what light, colour and framing give away. ``--results``
writes the tables of docs/results.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import deepcue
from deepcue.cli import common
from reports.face_tables import write_tables
from training.faces.fold_scores import scores_of_folds
from training.faces.scores import FRAMES, summary_lines
from training.faces.thumbnail_probe import probe_scores
from training.faces.trainer import UNINTERPOLATED

EXAMPLE = "deepcue face-scores --out artifacts/cnn --networks fold,residual_fold"


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
    parser.add_argument(
        "--results", type=common.output_folder, metavar="FOLDER", help="write tables for the page of results here, too"
    )
    parser.add_argument("--data-set", default="", help="with --results: what the clips are, in a few words")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    names, suffix = common.names(arguments.networks), UNINTERPOLATED if arguments.before_interpolation else ""
    if arguments.probe:
        scores = {"thumbnails": {"original": probe_scores(arguments.out)}}
    else:
        scores = scores_of_folds(arguments.out, names, arguments.frames, suffix=suffix)
    for name, conditions in scores.items():
        for condition, subsets in conditions.items():
            for subset, summary in subsets.items():
                print("\n".join([f"{name}, {condition}: {subset}", *summary_lines(summary), ""]))
    file = "probe_scores.json" if arguments.probe else "scores.json"
    (arguments.out / file).write_text(json.dumps(scores, indent=1), encoding="utf-8")
    if arguments.results and not arguments.probe:
        options = f"--out {arguments.out.name} --networks {arguments.networks} --frames {arguments.frames}"
        options += " --before-interpolation" if arguments.before_interpolation else ""
        write_tables(
            arguments.results,
            scores,
            command=f"deepcue face-scores {options} --results {arguments.results.name}",
            data=arguments.data_set,
            version=deepcue.__version__,
        )
