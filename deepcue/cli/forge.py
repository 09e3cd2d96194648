"""Forgeries made of your own real clips, in the challenge's layout with a manifest beside it.

Every clip found (any layout that extraction reads; clips labelled FAKE are left out) is written anew as REAL,
and forged in the kinds asked for by the same encoder, so that compression is not the label. The kind
``reencode`` sends the real clip and each of its forgeries on once more, both classes alike.

Donors of faces and voices come from a clip's own club: a few groups of people that stay together in any split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import common
from features.errors import InputError
from forge.clips.generate import Recipe, make
from forge.clips.read import MAX_SECONDS, MAX_SIDE_PX
from forge.clips.registry import Kind, kinds

EXAMPLE = "deepcue forge my_clips artifacts/forged --kinds face_swap,self_blend,dub --seed 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("real", help="folder, challenge layout or CSV manifest of real clips")
    parser.add_argument("out", type=Path, help="folder to write; made if missing")
    parser.add_argument("--kinds", default="all", help=f"comma-separated, of: {', '.join(kinds())} (default: all)")
    parser.add_argument("--per-clip", type=int, default=0, help="forgeries a clip, kinds in turn (default: each kind)")
    common.add_seed(parser)
    common.add_jobs(parser)
    parser.add_argument("--limit", type=int, default=0, help="stop after so many real clips (default: all)")
    parser.add_argument("--max-seconds", type=float, default=MAX_SECONDS, help="length kept of each clip")
    parser.add_argument("--max-side", type=int, default=MAX_SIDE_PX, help="longer side in px; larger is reduced")
    parser.add_argument("--voices", type=Path, help="folder of sound or video files that dubs may take voices from")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    chosen = _chosen(arguments.kinds, kinds())
    recipe = Recipe(chosen, arguments.per_clip, arguments.seed, arguments.max_seconds, arguments.max_side,
                    _voices(arguments.voices))  # fmt: skip
    n_real, n_fake = make(arguments.real, arguments.out, recipe, limit=arguments.limit, n_jobs=arguments.jobs)
    print(f"{arguments.out}: {n_real} REAL and {n_fake} FAKE clips; manifest: {arguments.out / 'manifest.csv'}")


def _chosen(text: str, known: dict[str, Kind]) -> tuple[str, ...]:
    names = tuple(known) if text == "all" else tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--kinds: {unknown[0]!r} is no kind of forgery; there are {', '.join(known)}")
    if not names:
        raise InputError(f"--kinds: nothing named; there are {', '.join(known)}")
    return names


def _voices(folder: Path | None) -> tuple[str, ...]:
    if folder is None:
        return ()
    found = tuple(sorted(str(file) for file in folder.iterdir() if file.is_file())) if folder.is_dir() else ()
    if not found:
        raise InputError(f"--voices: {folder} holds no file; give a folder of sound or video files")
    return found
