"""In which clips a face was followed, and in how many of their frames.

For each clip with a kept observation: the fraction of its frames in which any face has landmarks. The sheet shows
frames of the clips with the least, with what was found drawn in, so that a person can judge whether a face was missed
or none was there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from extract.face_coverage import Coverage, coverage, sheet

EXAMPLE = "deepcue coverage train_videos --observations kept --sheet worst.png"

WORST = 10


def lines(found: Sequence[Coverage], worst: int) -> list[str]:
    """The printed summary."""
    fractions: Any = np.array([one.fraction for one in found])
    summary = [
        f"{len(found)} clips: a face in {fractions.mean():.1%} of the frames on average, "
        f"in every frame of {np.mean(fractions == 1):.1%} of the clips, in none of {np.mean(fractions == 0):.1%}"
    ]
    return summary + [f"  {one.fraction:6.1%}  {one.clip.filename}" for one in found[:worst]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("data", metavar="DATA", help="folder, manifest or URL of clips")
    parser.add_argument("--observations", type=Path, required=True, help="folder of kept observations")
    parser.add_argument("--sheet", type=Path, help="PNG of the clips that were followed least")
    parser.add_argument("--worst", type=int, default=WORST, help="how many to list and show (default %(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    found = coverage(arguments.data, arguments.observations)
    print("\n".join(lines(found, arguments.worst)))
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), sheet(found[: arguments.worst])[:, :, ::-1])
        print(f"sheet {arguments.sheet}")
