"""Fit what the family face_contrast reads, without labels.

Writes face_contrast.safetensors into --out: the first layers of --base, a network on high-pass residuals that saw no
labelled clip (the phase residual of `deepcue train-faces`), and 32 principal axes of what these layers see in the
centre of a face against its edge and against what lies above it, of every labelled clip and picture.

The data are those of `deepcue train-faces`. Faces of clips are taken from --cache, a training's folder, or cut again.
A model that reads the family's columns was fitted to the axes of one file: new axes, new model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import common
from training.faces.contrast_fit import fit_contrast
from training.faces.data import Data, FaceTraining

EXAMPLE = (
    "deepcue fit-contrast --stills stills/ --faces faces.parquet --clips manifest.csv --cache artifacts/cnn "
    "--base artifacts/cnn/residual.safetensors --out my_weights"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    common.add_face_files(parser)
    parser.add_argument(
        "--cache", type=common.output_folder, default=Path("artifacts/cnn"), help="folder of a training (%(default)s)"
    )
    parser.add_argument(
        "--base", type=Path, required=True, help="weights of a residual network that saw no labelled clip"
    )
    parser.add_argument("--out", type=common.output_folder, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = Data(
        FaceTraining(
            stills=arguments.stills,
            faces=arguments.faces,
            clips=arguments.clips,
            crops=arguments.crops,
            out=arguments.cache,
        )
    )
    fit = fit_contrast(data.labelled, arguments.base, arguments.out)
    print(f"{fit.file}: {fit.n_clips} clips and pictures; {fit.explained:.0%} of the variance")
