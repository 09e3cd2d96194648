"""Train the detector of synthetic speech: two linear models of what is measured, and a small network.

``fold0.safetensors``.. each leave out a page or family of generators with all its systems and people, or with
``--leave-out people`` one part of the people; ``forensic_voice.safetensors`` is trained on all. ``clip_folds.csv``
says which clip is in which fold, ``logits.json`` what its model gave each sound, ``scores.json`` how well the folds
tell what they were not trained on; these scores are printed.

The manifest of ``--clips`` needs the columns filename, label and group, and of FAKE clips method (what made it; what
stands before its first underscore is its family) and fake_part (picture, voice, or picture and voice). ``--voices``
adds sounds from Parquet files with the columns key, label (REAL or FAKE, of the sound), method, source (its page or
data set), group and flac (mono, 16 kHz). A group's name means the same group in all of them, a system's name the same
system.

One of the linear models reads how the first layers of a speech recogniser respond. They are those of the shipped
detector; ``--encoder`` takes them from another detector's weights, or from Whisper's own (tiny or tiny.en,
``model.bin`` in CTranslate2's format).

Every sound is also used as codecs, rooms, noise, joints and band limits leave it. The same data,
encoder, steps, seed and ``--leave-out`` give the same weights. The same command again goes on with an interrupted run:
what is trained is left out. A folder that holds weights of another training is refused. Three hundred sounds of 4 s
take about a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import common
from training.voice.encoder import SHIPPED
from training.voice.fit import LEAVE_OUT, STEPS, VoiceRecipe, train

EXAMPLE = "deepcue train-voice --clips manifest.csv --voices voices.parquet --out artifacts/voice"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--clips", type=Path, required=True, help="CSV manifest of labelled clips; see above")
    parser.add_argument(
        "--voices", type=Path, nargs="+", default=[], metavar="FILE", help="Parquet files of further sounds; see above"
    )
    parser.add_argument(
        "--out", type=common.output_folder, default=Path("artifacts/voice"), help="folder of weights and scores"
    )
    parser.add_argument(
        "--encoder",
        type=Path,
        default=SHIPPED,
        metavar="FILE",
        help="where the first layers are from (default: shipped)",
    )
    parser.add_argument(
        "--leave-out",
        choices=LEAVE_OUT,
        default=LEAVE_OUT[0],
        help="what a fold leaves out: people, or methods with their people (default)",
    )
    parser.add_argument(
        "--steps", type=common.positive_int, default=STEPS, help="steps of each network (default: %(default)s)"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="delete the weights that --out holds, of whatever run, and train all again"
    )
    common.add_jobs(parser)
    common.add_seed(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """What is kept of a run that is stopped."""
    return common.goes_on(arguments.out, fresh=arguments.fresh)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    recipe = VoiceRecipe(arguments.leave_out, arguments.steps, arguments.seed, arguments.encoder)
    options = {name: getattr(arguments, name) for name in ("voices", "jobs", "fresh")}
    print(json.dumps(train(arguments.clips, arguments.out, recipe, **options)))
