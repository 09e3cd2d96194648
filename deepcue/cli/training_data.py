"""Options that name the data which networks are trained on, shared by the commands that train them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcue.cli import flags

if TYPE_CHECKING:
    from training.faces.data import FaceTraining


def add_clips(parser: argparse.ArgumentParser) -> None:
    """Declare ``--clips``: the manifest of clips to train on."""
    from training.manifest import COLUMNS

    parser.add_argument(
        "--clips", type=Path, required=True, help=f"CSV manifest of labelled clips with the columns {COLUMNS}"
    )


def add_face_files(parser: argparse.ArgumentParser) -> None:
    """Declare the files of the training data of face networks."""
    from training.faces.found_faces import FACES_COLUMNS
    from training.faces.labelled_images import CROPS_COLUMNS, CROPS_FILES, STILLS_COLUMNS

    parser.add_argument(
        "--stills",
        type=Path,
        required=True,
        help=f"folder of Parquet files of labelled stills with the columns {', '.join(STILLS_COLUMNS)} (label: REAL or "
        "FAKE; jpeg: the bytes of the image)",
    )
    parser.add_argument(
        "--faces",
        type=Path,
        required=True,
        help=f"Parquet file of genuine faces with the columns {', '.join(FACES_COLUMNS)} (set: the data set); a person "
        "with the name of a group of --clips or --crops is held out with this group",
    )
    add_clips(parser)
    parser.add_argument(
        "--crops",
        type=Path,
        help=f"folder of labelled face crops of further clips and single images: {' and/or '.join(CROPS_FILES)} with "
        f"the columns {', '.join(CROPS_COLUMNS)}",
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cache``."""
    parser.add_argument(
        "--cache",
        type=flags.output_folder,
        default=Path("artifacts/cnn"),
        help="folder of a training, for its cached faces (default: %(default)s)",
    )


def face_training(arguments: argparse.Namespace, out: Path, **settings: Any) -> FaceTraining:
    """Return the settings of a training of face networks.

    Parameters
    ----------
    arguments
        With the options of :func:`add_face_files` or :func:`add_face_data`.
    out
        Folder of the training.
    settings
        Further fields of :class:`training.faces.data.FaceTraining`.
    """
    from training.faces.data import FaceTraining

    options = ("stills", "faces", "clips", "crops", "leave_out", "hold_out")
    given = {name: getattr(arguments, name) for name in options if hasattr(arguments, name)}
    return FaceTraining(out=out, **given, **settings)


def add_face_data(parser: argparse.ArgumentParser) -> None:
    """Declare the training data of face networks, and which part of it each network must not see."""
    from training.folds import LEAVE_OUT

    add_face_files(parser)
    parser.add_argument(
        "--leave-out",
        choices=LEAVE_OUT,
        default=LEAVE_OUT[0],
        help="what no two folds may share: people, or methods and people (default: %(default)s)",
    )
    parser.add_argument(
        "--hold-out",
        type=_fold,
        metavar="K/N",
        help="hold out fold K of N of the stills' identities, instead of the usual few; N runs give a cross-validated "
        "score",
    )


def _fold(text: str) -> tuple[int, int]:
    """Parse ``"1/3"`` to (1, 3)."""
    fold, _, folds = text.partition("/")
    if not (fold.isdigit() and folds.isdigit() and 1 <= int(fold) <= int(folds) >= 2):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, such as 1/3")
    return int(fold), int(folds)
