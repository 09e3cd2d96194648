"""Replace network columns by those of networks that never saw the clip's method or people.

A stack overestimates the columns of a network that was trained on the same clips. `oof` therefore re-measures each clip
of --folds-file, from its observation, with the network of its fold. Other clips keep their columns, and so do families
outside --families, whose networks saw no labelled clip.

Give several --folds-file and --weights to combine training runs, for example one that left out methods and one that
left out people. The result then has one row per clip and run, named 0/name, 1/name; a stack fitted on it expects as
many clips of known methods as of new ones. You can also give one --table per run, for example to combine the face
networks' tables with the matching speech folds.

The speech network has its own folds: use --families forensic_voice with the folder that `deepcue train-voice` wrote.

--crops appends rows for clips that exist only as face crops (in the format of `deepcue train-faces --crops`), without
single images and recut panels. These rows hold only those hand-crafted cues that the late fusion reads; the other
columns are empty.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow as pa

from deepcue.cli import flags, terminal
from ensemble.outputs import make_parent
from features import table
from features.errors import DatasetError
from features.networks import projection
from training import folds
from training.crop_columns import CuesOfClips, of_crops
from training.faces import labelled_images
from training.fold_networks import FACES
from training.folds import FOLD_FILES
from training.oof_columns import of_clips, scores
from training.stacked_tables import stacked

EXAMPLE = (
    "deepcue oof --table features.parquet --observations kept --folds-file cnn/clip_folds.csv --weights cnn "
    "--out oof.parquet"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--table", type=Path, nargs="+", required=True, help="feature table: one, or one per --folds-file"
    )
    parser.add_argument(
        "--observations", type=Path, required=True, help="folder that `deepcue extract --observations` wrote"
    )
    parser.add_argument(
        "--folds-file",
        type=Path,
        nargs="+",
        required=True,
        metavar="CSV",
        help="clip_folds.csv that the training wrote (filename,fold)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folder of a training, with the network of each fold; one per --folds-file",
    )
    parser.add_argument(
        "--families",
        action=flags.NameList,
        known=list(FOLD_FILES),
        default=list(FACES),
        help=f"comma-separated list of families whose networks were trained on the clips (default: {','.join(FACES)}); "
        f"known: {', '.join(FOLD_FILES)}",
    )
    parser.add_argument("--crops", type=Path, help="folder of face crops of further clips of the same training")
    parser.add_argument("--out", type=flags.output_file, required=True, help="table to write")
    flags.add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    n_runs = len(arguments.folds_file)
    if n_runs != len(arguments.weights):
        raise DatasetError("give as many --weights as --folds-file")
    tables = arguments.table * n_runs if len(arguments.table) == 1 else arguments.table
    if len(tables) != n_runs:
        raise DatasetError("give one --table, or as many as --folds-file")
    if arguments.crops and "forensic_voice" in arguments.families:
        raise DatasetError("--crops: face crops have no speech; omit --crops with --families forensic_voice")
    table.check_place(arguments.out)
    parts = []
    kept: CuesOfClips = {}
    for file, folds_file, networks in zip(tables, arguments.folds_file, arguments.weights, strict=True):
        source, assignments = table.read_table(file), folds.read(folds_file)
        fold_of = {name: assignment.fold for name, assignment in assignments.items()}
        with terminal.stage_progress(quiet=arguments.quiet) as progress:
            part = of_clips(source, arguments.observations, fold_of, networks, arguments.families, progress)
        if arguments.crops:
            crops = labelled_images.crops(arguments.crops)
            part = pa.concat_tables([part, of_crops(part, crops, fold_of, networks, arguments.families, kept=kept)])
        parts.append(part)
        if with_logit := [family for family in arguments.families if family != projection.FAMILY]:
            print(json.dumps(scores(part, assignments, with_logit[0])))
    make_parent(arguments.out)
    table.write_table(parts[0] if len(parts) == 1 else stacked(parts), arguments.out)
