"""Fit the projection of the face networks' embeddings that the family cnn_embedding reads, without labels.

Writes cnn_embedding.safetensors beside the networks in --weights: 32 principal axes of each network's embeddings of
development crops, and centres of clusters of genuine faces. It belongs to these weights: new weights, new projection.

--folds fits projections for the networks of a training's folds, too, with components aligned to these, so that
`deepcue oof` can make columns out of fold. --reference aligns those of --weights to an earlier projection. --phase is
for the network of a single phase in a training's folder, for `deepcue stills --networks`.

The data are those of `deepcue train-faces`, with the same --leave-out and --hold-out: crops of clips that a fold held
out take no part in its projection, held-out stills in none. Faces of clips are taken from --cache, a training's
folder, or cut again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import common
from training.faces.data import Data, FaceTraining
from training.faces.projections import N_CROPS, Fit, fit_projections

EXAMPLE = (
    "deepcue fit-projection --stills stills/ --faces faces.parquet --clips manifest.csv --cache artifacts/cnn "
    "--weights my_weights --folds artifacts/cnn"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    common.add_face_data(parser)
    parser.add_argument(
        "--cache", type=common.output_folder, default=Path("artifacts/cnn"), help="folder of a training (%(default)s)"
    )
    parser.add_argument(
        "--weights", type=Path, required=True, help="folder of forensic_cnn.safetensors, forensic_residual.safetensors"
    )
    parser.add_argument("--phase", default="", help="fit the network of this phase, <phase>.safetensors there, instead")
    parser.add_argument(
        "--reference", type=Path, help="folder of networks and their projection, to align components with"
    )
    parser.add_argument("--folds", type=Path, help="folder of a training: its fold networks and clip_folds.csv")
    parser.add_argument(
        "--n-crops", type=common.positive_int, default=N_CROPS, help="number of development crops (%(default)s)"
    )
    common.add_seed(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    settings = FaceTraining(
        stills=arguments.stills,
        faces=arguments.faces,
        clips=arguments.clips,
        crops=arguments.crops,
        out=arguments.cache,
        leave_out=arguments.leave_out,
        hold_out=arguments.hold_out,
    )
    fits = fit_projections(
        Data(settings),
        arguments.weights,
        phase=arguments.phase,
        reference=arguments.reference,
        fold_weights=arguments.folds,
        n_crops=arguments.n_crops,
        seed=arguments.seed,
    )
    for one in fits:
        print(_line(one))


def _line(one: Fit) -> str:
    parts = [f"{name} {share:.0%} of the variance" for name, share in one.explained.items()]
    parts += [f"{name} agrees with r = {r:.2f}" for name, r in one.agreement.items()]
    return f"{one.file}: {one.n_crops} crops; {', '.join(parts)}"
