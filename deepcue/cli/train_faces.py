"""Train the networks that score faces: a base without labelled clips, then fine-tuning on frames of clips.

Phases: `base` sees no labelled clip, nor does `residual`, which continues from it on high-pass residuals. `fold0`.. and
`residual_fold0`.. continue from these two; each leaves out one fold of the clips (unseen manipulations and identities;
with --leave-out people, unseen identities). `final` and `residual_final` see all clips. The weights of these phases are
interpolated with the weights that they started from (WiSE-FT). `labels` learns mostly from the labelled stills, at
160 px: a specialist for the data set of the stills. Each phase prints its scores on held-out data;
<out>/<phase>.scores.json has them by method, source and clip.

The clips must be beside the manifest of --clips, or in a folder named files, videos or clips there. A group name refers
to the same group in the manifest and in --crops.

With --minutes, the number of steps of each phase is estimated from a few timed ones, and logged. With --steps, the
number is fixed: the same steps, data and seed give the same weights. To resume an interrupted run, give the same
command again: finished phases are skipped, and the weights are those of an uninterrupted run. A folder with weights
from other data, steps or starting weights is refused. Progress is shown on stderr and logged in <out>/<phase>.csv.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from deepcue.cli import flags, run_outcome, terminal, training_data
from training.faces.schedule import MINUTES, PHASE_NAMES, train

EXAMPLE = "deepcue train-faces --stills stills/ --faces faces.parquet --clips manifest.csv --out artifacts/cnn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    training_data.add_face_data(parser)
    parser.add_argument(
        "--out",
        type=flags.output_folder,
        default=Path("artifacts/cnn"),
        help="folder for weights, logs and cached faces (default: %(default)s)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=flags.positive_number,
        default=MINUTES,
        help="approximate minutes for all phases together (default: %(default)g)",
    )
    length.add_argument("--steps", type=flags.positive_int, help="steps of each phase, instead of --minutes")
    parser.add_argument(
        "--phases", default=",".join(PHASE_NAMES), help="comma-separated list of phases to train (default: %(default)s)"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="device to train on (default: %(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=flags.count,
        default=0,
        help="processes that make batches and generate faces; 0: the training process does (default: %(default)s)",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)  # the default, for scripts that say so
    start.add_argument(
        "--fresh",
        action="store_true",
        help="delete the phases in --out and train them all again, not only those that it lacks",
    )
    flags.add_seed(parser)
    parser.add_argument("--start", type=Path, help="weights that the base starts from (default: those of ImageNet)")
    flags.add_quiet(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what a stopped run keeps."""
    return run_outcome.goes_on(arguments.out, fresh=arguments.fresh)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    if not arguments.quiet:
        logging.getLogger("training").setLevel(logging.INFO)  # how many steps fit into the minutes
    settings = training_data.face_training(
        arguments,
        arguments.out,
        start=arguments.start,
        seed=arguments.seed,
        device=arguments.device,
        workers=arguments.workers,
        resume=not arguments.fresh,
    )
    phases = flags.names(arguments.phases)
    with terminal.stage_progress(quiet=arguments.quiet) as progress:
        for result in train(
            settings, phases=phases, minutes=arguments.minutes, steps=arguments.steps, progress=progress
        ):
            print(json.dumps({name: _overall(value) for name, value in result.items()}), flush=True)


def _overall(value: Any) -> Any:
    """Return the scores over all clips, from scores by clip and method; any other value as it is."""
    return value.get("all", value) if isinstance(value, dict) else value
