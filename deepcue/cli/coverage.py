"""Show how much of each clip has a tracked face.

For each clip with a kept observation, print the fraction of its frames in which any face has landmarks. The sheet shows
frames of the clips with the lowest fraction, with the detected faces drawn in, so that a person can see whether a face
was missed or the clip has none.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deepcue.cli import flags
from ensemble.outputs import make_parent
from extract.face_coverage import Coverage, coverage, sheet
from features.errors import InputError
from features.file_names import printable

EXAMPLE = "deepcue coverage train_videos --observations kept --sheet worst.png"

WORST = 10


def summary_lines(clips: Sequence[Coverage], worst: int) -> list[str]:
    """Return the printed summary: a line for all clips, and one for each of the first ``worst`` clips."""
    fractions: Any = np.array([clip.fraction for clip in clips])
    summary = [
        f"{len(clips)} clips: a face in {fractions.mean():.1%} of the frames on average, "
        f"in every frame of {np.mean(fractions == 1):.1%} of the clips, in none of {np.mean(fractions == 0):.1%}"
    ]
    return summary + [f"  {clip.fraction:6.1%}  {printable(clip.clip.filename)}" for clip in clips[:worst]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("data", help="folder, manifest or URL of clips")
    parser.add_argument("--observations", type=Path, required=True, help="folder of kept observations")
    parser.add_argument(
        "--sheet", type=flags.output_file, help="PNG file to write, of the clips with the lowest fraction"
    )
    parser.add_argument("--worst", type=flags.positive_int, default=WORST, help="number of clips to list and show")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    if arguments.sheet and arguments.sheet.suffix.lower() != ".png":
        raise InputError(f"--sheet {arguments.sheet}: give a file name that ends in .png")
    clips = coverage(arguments.data, arguments.observations)
    print("\n".join(summary_lines(clips, arguments.worst)))
    if arguments.sheet:
        _write_sheet(arguments.sheet, clips[: arguments.worst])
        print(f"sheet {arguments.sheet}")


def _write_sheet(file: Path, clips: Sequence[Coverage]) -> None:
    _, image = cv2.imencode(".png", sheet(clips)[:, :, ::-1])
    try:
        make_parent(file)
        file.write_bytes(image.tobytes())
    except OSError as error:
        raise InputError(f"{file}: can't be written ({error.strerror}); give another --sheet") from error
