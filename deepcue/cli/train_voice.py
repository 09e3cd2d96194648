"""Train the detector of synthetic speech: two linear models on measurements, and a small network.

Files in --out: `fold0.safetensors`.. are models that each leave out a page or a family of generators with all its
systems and people, or with --leave-out people one part of the people; `forensic_voice.safetensors` is trained on all
speech. `clip_folds.csv` has the fold of each clip, and `logits.json` the logit of each utterance by the model of its
fold. `scores.json` has the scores of each fold's model on the speech that it was not trained on; they are also printed.

--voices adds speech beyond the clips. In all files, a group name refers to the same group, and a system name to the
same system.

One of the linear models reads the responses of the first layers of a speech recogniser. By default these layers are
those of the shipped detector; --encoder takes them from the weights of another detector, or from Whisper (tiny or
tiny.en, `model.bin` in CTranslate2's format).

Every utterance is also used in versions that are altered by codecs, rooms, noise, splices and band limits. The same
data, encoder, steps, seed and --leave-out give the same weights. To resume an interrupted run, give the same command
again: finished models are kept. A folder that holds weights of another training is refused. Three hundred utterances of
4 s take about a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import flags, run_outcome, terminal, training_data
from training.folds import LEAVE_OUT
from training.voice.data import TABLE_COLUMNS, TABLE_CONTENT
from training.voice.encoder import SHIPPED
from training.voice.fit import STEPS, VoiceRecipe, train

EXAMPLE = "deepcue train-voice --clips manifest.csv --voices voices.parquet --out artifacts/voice"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    training_data.add_clips(parser)
    parser.add_argument(
        "--voices",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"Parquet files of further speech with the columns {', '.join(TABLE_COLUMNS)} ({TABLE_CONTENT})",
    )
    parser.add_argument(
        "--out",
        type=flags.output_folder,
        default=Path("artifacts/voice"),
        help="folder for weights and scores (default: %(default)s)",
    )
    parser.add_argument(
        "--encoder",
        type=Path,
        default=SHIPPED,
        metavar="FILE",
        help="weights that the first layers are taken from (default: those of the shipped detector)",
    )
    parser.add_argument(
        "--leave-out",
        choices=LEAVE_OUT,
        default=LEAVE_OUT[0],
        help="what a fold leaves out: people, or methods with their people (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=flags.positive_int, default=STEPS, help="steps of each network (default: %(default)s)"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="delete the weights in --out, of any run, and train all models again"
    )
    flags.add_jobs(parser)
    flags.add_seed(parser)
    flags.add_quiet(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what a stopped run keeps."""
    return run_outcome.goes_on(arguments.out, fresh=arguments.fresh)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    recipe = VoiceRecipe(arguments.leave_out, arguments.steps, arguments.seed, arguments.encoder)
    options = {name: getattr(arguments, name) for name in ("voices", "jobs", "fresh")}
    with terminal.stage_progress(quiet=arguments.quiet) as progress:
        scores = train(arguments.clips, arguments.out, recipe, **options, progress=progress)
    print(json.dumps(scores))
