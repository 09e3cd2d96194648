"""Fit the projection of the face networks' embeddings that the family cnn_embedding reads, without labels.

Writes cnn_embedding.safetensors beside the networks in --weights: 32 principal axes of each network's embeddings of
development crops, and the centres of clusters of genuine faces. The projection belongs to these weights: fit it again
for new weights.

--training also fits a projection for the networks of each fold of a training, with components aligned to those of
--weights, so that `deepcue oof` can build out-of-fold columns. --reference aligns the components of --weights to an
earlier projection. --phase fits the network of a single phase in the folder of a training, for
`deepcue stills --networks`.

The data are those of `deepcue train-faces`, with the same --leave-out and --hold-out: the projection of a fold is
fitted without crops of the clips that the fold held out, and no projection is fitted on held-out stills. Faces of clips
are read from the cache of --cache, the folder of a training, or are cut and cached there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import flags, terminal, training_data
from training.faces.data import FaceData
from training.faces.projections import N_CROPS, Fit, fit_projections

EXAMPLE = (
    "deepcue fit-projection --stills stills/ --faces faces.parquet --clips manifest.csv --cache artifacts/cnn "
    "--weights my_weights --training artifacts/cnn"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    training_data.add_face_data(parser)
    training_data.add_cache(parser)
    parser.add_argument(
        "--weights", type=Path, required=True, help="folder of forensic_cnn.safetensors, forensic_residual.safetensors"
    )
    parser.add_argument(
        "--phase", default="", help="fit the network of this phase, <phase>.safetensors in --weights, instead"
    )
    parser.add_argument(
        "--reference", type=Path, help="folder of networks and their projection, to align the components with"
    )
    parser.add_argument(
        "--training",
        type=Path,
        metavar="DIR",
        help="folder of a training: also fit its fold networks, by its clip_folds.csv",
    )
    parser.add_argument("--folds", dest="training", type=Path, help=argparse.SUPPRESS)  # the earlier spelling
    parser.add_argument(
        "--n-crops",
        type=flags.positive_int,
        default=N_CROPS,
        help="number of development crops (default: %(default)s)",
    )
    flags.add_seed(parser)
    flags.add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    with terminal.stage_progress(quiet=arguments.quiet) as progress:
        fits = fit_projections(
            FaceData(training_data.face_training(arguments, arguments.cache), progress),
            arguments.weights,
            phase=arguments.phase,
            reference=arguments.reference,
            fold_weights=arguments.training,
            n_crops=arguments.n_crops,
            seed=arguments.seed,
            progress=progress,
        )
    for fit in fits:
        print(_line(fit))


def _line(fit: Fit) -> str:
    parts = [f"{name} {fraction:.0%} of the variance" for name, fraction in fit.explained.items()]
    parts += [f"{name} agrees with r = {r:.2f}" for name, r in fit.agreement.items()]
    return f"{fit.file}: {fit.n_crops} crops; {', '.join(parts)}"
