"""Fit the axes of the family face_contrast, without labels.

Writes face_contrast.safetensors into --out. The file holds the first layers of --base, a network on high-pass residuals
that saw no labelled clip (the phase residual of `deepcue train-faces`). It also holds 32 principal axes of the
contrasts that these layers measure in every labelled clip and image: the centre of a face against its edge, and against
the region above it.

The data are those of `deepcue train-faces`. Faces of clips are read from the cache of --cache, the folder of a
training, or are cut and cached there. A model that reads the family's columns depends on the axes: after a new fit,
retrain the model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import flags, terminal, training_data
from training.faces.contrast_fit import fit_contrast
from training.faces.data import FaceData

EXAMPLE = (
    "deepcue fit-contrast --stills stills/ --faces faces.parquet --clips manifest.csv --cache artifacts/cnn "
    "--base artifacts/cnn/residual.safetensors --out my_weights"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    training_data.add_face_files(parser)
    training_data.add_cache(parser)
    parser.add_argument(
        "--base", type=Path, required=True, help="weights of a residual network that saw no labelled clip"
    )
    parser.add_argument("--out", type=flags.output_folder, required=True, help="folder to write into")
    flags.add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    with terminal.stage_progress(quiet=arguments.quiet) as progress:
        data = FaceData(training_data.face_training(arguments, arguments.cache), progress)
        fit = fit_contrast(data.labelled, arguments.base, arguments.out, progress)
    print(f"{fit.file}: {fit.n_clips} clips and images; {fit.explained:.0%} of the variance")
