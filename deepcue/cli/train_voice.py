"""Train the voice model: a logistic regression that tells made voices from recorded ones by the voice cues.

    python -m training.voice.fit --clips MANIFEST --out artifacts/voice

``fold0.safetensors``.. each leave out the people of one fold of the clips, and unless ``--leave-out people`` a family
of generators as well; ``clip_folds.csv`` says which clip is in which; ``forensic_voice.safetensors`` learned from all.
The scores of the folds on what they did not hear are printed and kept in ``scores.json``. A minute for a hundred clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import common
from training.voice.fit import train

EXAMPLE = "deepcue train-voice --clips manifest.csv --out artifacts/voice"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--clips", type=Path, required=True, help="CSV manifest of labelled clips, with fake_part")
    parser.add_argument("--out", type=Path, default=Path("artifacts/voice"), help="folder of weights and scores")
    parser.add_argument(
        "--leave-out", choices=("methods", "people"), default="methods", help="what a fold leaves out (default methods)"
    )
    common.add_jobs(parser)
    common.add_seed(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    print(json.dumps(train(arguments)))
