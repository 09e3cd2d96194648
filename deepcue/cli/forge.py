"""Make labelled forgeries of your own real clips, in the challenge's layout with a manifest beside it.

The input may have any layout that extraction reads; clips labelled FAKE are skipped. Every other clip is re-encoded as
REAL and forged in the requested kinds, all with the same encoder, so that compression does not reveal the label. The
kind ``reencode`` transcodes the real clip and each of its forgeries once more, both classes alike.

Donors of faces and voices come from the clip's donor pool: up to four groups that stay together in any split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import flags, terminal
from features.errors import InputError
from forge.clips.donors import voice_files
from forge.clips.generate import make
from forge.clips.read import MAX_SECONDS, MAX_SIDE_PX
from forge.clips.recipe import ForgeryRecipe
from forge.clips.registry import kinds

EXAMPLE = "deepcue forge my_clips artifacts/forged --kinds face_swap,self_blend,dub --seed 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    width = max(map(len, kinds()))
    listed = [f"  {name:<{width}}  {kind.description}" for name, kind in kinds().items()]
    parser.description = "\n".join([parser.description or "", "", "kinds:", *listed])
    parser.add_argument("real", help="folder, challenge layout or CSV manifest of real clips")
    parser.add_argument("out", type=Path, help="new folder to write, outside the folder of the real clips")
    parser.add_argument("--kinds", default="all", help="comma-separated kinds, listed above")
    parser.add_argument(
        "--per-clip",
        type=flags.positive_int,
        help="number of forgeries of each clip, taking the kinds in turn (default: one of each kind)",
    )
    flags.add_seed(parser)
    flags.add_jobs(parser)
    parser.add_argument("--limit", type=flags.positive_int, help="use only this many real clips (default: all)")
    parser.add_argument(
        "--max-seconds", type=flags.positive_number, default=MAX_SECONDS,
        help="keep at most this many seconds of each clip",
    )  # fmt: skip
    parser.add_argument(
        "--max-side", type=flags.positive_int, default=MAX_SIDE_PX,
        help="longer side of the frames in px; larger frames are scaled down",
    )  # fmt: skip
    parser.add_argument("--voices", type=Path, help="folder of audio or video files that dubs take voices from")
    flags.add_quiet(parser)
    flags.add_json(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what an interrupted run keeps."""
    return f"finished clips stay in {arguments.out}, without labels; give another folder to start again"


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    chosen = () if arguments.kinds == "all" else tuple(flags.names(arguments.kinds))
    if arguments.kinds != "all" and not chosen:
        raise InputError(f"--kinds: names no kind; there are {', '.join(kinds())}")
    recipe = ForgeryRecipe(
        kinds=chosen,
        per_clip=arguments.per_clip or 0,
        seed=arguments.seed,
        max_seconds=arguments.max_seconds,
        max_side=arguments.max_side,
        voices=voice_files(arguments.voices) if arguments.voices else (),
    )
    with terminal.clip_progress(quiet=arguments.quiet) as progress:
        made = make(
            arguments.real, arguments.out, recipe, limit=arguments.limit, jobs=arguments.jobs, progress=progress
        )
    if arguments.json:
        counts = {"real": made.n_real, "fake": made.n_fake, "left_out": made.n_left_out}
        print(json.dumps({"out": str(arguments.out), "manifest": str(made.manifest), **counts}))
    else:
        print(f"{arguments.out}: {made.n_real} REAL and {made.n_fake} FAKE clips; manifest: {made.manifest}")
