"""Train the model that judges speech: a logistic regression that tells synthetic from bona fide speech by voice cues.

``fold0.safetensors``.. each leave out the people of one fold of the clips, and unless ``--leave-out people`` a family
of generators as well; ``clip_folds.csv`` says which clip is in which; ``forensic_voice.safetensors`` is trained on all.
The scores of the folds on what they were not trained on are printed and kept in ``scores.json``. A minute for a hundred
clips.

The manifest of ``--clips`` needs the columns filename, label and group, and of FAKE clips method (what made it; what
stands before its first underscore is its family) and fake_part (picture, voice, or picture and voice).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import common
from training.voice.fit import LEAVE_OUT, train

EXAMPLE = "deepcue train-voice --clips manifest.csv --out artifacts/voice"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--clips", type=Path, required=True, help="CSV manifest of labelled clips; see above")
    parser.add_argument(
        "--out", type=common.output_folder, default=Path("artifacts/voice"), help="folder of weights and scores"
    )
    parser.add_argument(
        "--leave-out", choices=LEAVE_OUT, default=LEAVE_OUT[0], help="what a fold leaves out (default: %(default)s)"
    )
    common.add_jobs(parser)
    common.add_seed(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    options = {name: getattr(arguments, name) for name in ("leave_out", "jobs", "seed")}
    print(json.dumps(train(arguments.clips, arguments.out, **options)))
