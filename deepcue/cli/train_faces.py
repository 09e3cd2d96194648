"""Train the networks that judge faces: a base without labelled clips, then fine-tuning on frames of clips.

Phases: ``base``, and ``residual``, which goes on from it on high-pass residuals, see no labelled clip; ``fold0``.. and
``residual_fold0``.. go on from them and each leave one fold of the clips out (unseen manipulations and identities; with
``--leave-out people``, unseen identities); ``final`` and ``residual_final`` see all. The weights of these are
interpolated with those that they started from (WiSE-FT). ``labels`` learns mostly from the labelled stills, at 160 px:
a specialist of the data set that they are from. Each phase prints its scores on what it did not see;
``<out>/<phase>.scores.json`` has them by method, source and clip.

The manifest of ``--clips`` needs the columns filename, label and group, and of FAKE clips method (what made it; what
stands before its first underscore is its family) and fake_part (picture, voice, or picture and voice). Clips lie beside
the manifest, or in a folder files, videos or clips there. ``--crops`` adds face crops of further clips and single
pictures: ``clips.parquet`` and ``images.parquet``, with the columns key, frame, label, method, source, group, original,
box, recut and image. A group's name means the same group in both.

``--minutes`` estimates how many steps each phase gets from a few timed ones, and says the number; ``--steps`` sets it:
the same steps, data and seed give the same weights. The same command again goes on with an interrupted run as if it
had not stopped, and leaves out phases that are done; weights of other data, steps or start are refused. Progress goes
to stderr and to ``<out>/<phase>.csv``.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from deepcue.cli import common
from training.faces.data import FaceTraining
from training.faces.schedule import MINUTES, PHASE_NAMES, train

EXAMPLE = "deepcue train-faces --stills stills/ --faces faces.parquet --clips manifest.csv --out artifacts/cnn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    common.add_face_data(parser)
    parser.add_argument(
        "--out", type=common.output_folder, default=Path("artifacts/cnn"), help="folder of weights, logs and cache"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=common.positive_number,
        default=MINUTES,
        help="about how long all phases together may take (default: %(default)g)",
    )
    length.add_argument("--steps", type=common.positive_int, help="steps of each phase, in place of --minutes")
    parser.add_argument("--phases", default=",".join(PHASE_NAMES), help="comma-separated, of: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of the training (default: cpu)")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches (default 0: this one)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="train only what is missing in --out (the default)")
    start.add_argument("--fresh", action="store_true", help="train every phase again; what is there of it is deleted")
    common.add_seed(parser)
    parser.add_argument("--start", type=Path, help="weights that the base starts from (default: those of ImageNet)")


def stopped(arguments: argparse.Namespace) -> str:
    """What is kept of a run that is stopped."""
    return common.goes_on(arguments.out, fresh=arguments.fresh)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    logging.getLogger("training").setLevel(logging.INFO)  # how many steps fit into the minutes
    settings = FaceTraining(
        stills=arguments.stills,
        faces=arguments.faces,
        clips=arguments.clips,
        crops=arguments.crops,
        out=arguments.out,
        leave_out=arguments.leave_out,
        hold_out=arguments.hold_out,
        start=arguments.start,
        seed=arguments.seed,
        device=arguments.device,
        workers=arguments.workers,
        resume=not arguments.fresh,
    )
    phases = common.names(arguments.phases)
    for result in train(settings, phases=phases, minutes=arguments.minutes, steps=arguments.steps):
        print(json.dumps({name: _overall(value) for name, value in result.items()}), flush=True)


def _overall(value: Any) -> Any:
    """Of scores by clip and method, those over all."""
    return value.get("all", value) if isinstance(value, dict) else value
