"""Replace columns of the trained families by those of networks that never saw the clip's method or people.

A stack fitted on columns from a network that was trained on the same clips would trust them far too much. Each
clip of ``--folds`` is measured again, from its observation, with the networks of its fold; other clips keep
their columns, and so do families that are not of ``--families``: their networks saw no labelled clip. With several
``--folds`` and ``--weights``, for instance of runs that left out methods and of runs that left out people, every clip
comes once for each, as ``0/name``, ``1/name``: a stack fitted on both expects as many clips of known methods as of new
ones.

The voice's network has folds of its own: ``--families forensic_voice`` with the folder that its training wrote.
A table for each run may be given, too: so those of the face networks, with the voice's folds that go with each, become
one.

``--crops`` appends clips of which there are face crops alone (as `deepcue train-faces --crops` reads them), but for
single pictures and recut panels: of hand-crafted cues they have those that the late fusion reads, the rest is empty.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow as pa

from deepcue.cli import common
from features import table
from features.errors import DatasetError
from features.networks import projection
from training import folds
from training.faces import index
from training.oof_columns import FACES, FOLD_FILES, CuesOfClips, of_crops, out_of_fold, scores, stacked

EXAMPLE = (
    "deepcue oof --table features.parquet --observations kept --folds cnn/clip_folds.csv --weights cnn "
    "--out oof.parquet"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--table", type=Path, nargs="+", required=True, help="feature table: one, or one for each --folds"
    )
    parser.add_argument(
        "--observations", type=Path, required=True, help="folder that `deepcue extract --observations` wrote"
    )
    parser.add_argument(
        "--folds", type=Path, nargs="+", required=True, help="CSV of filename,fold that the training wrote"
    )
    parser.add_argument(
        "--weights", type=Path, nargs="+", required=True, help="folder with the networks of each fold, by the training"
    )
    parser.add_argument(
        "--families",
        nargs="+",
        choices=list(FOLD_FILES),
        default=list(FACES),
        help="whose network was trained on the clips (default: %(default)s; forensic_voice by itself, with what "
        "`deepcue train-voice` wrote)",
    )
    parser.add_argument("--crops", type=Path, help="folder of face crops of further clips, of the same training")
    parser.add_argument("--out", type=common.output_file, required=True, help="table to write")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    if len(arguments.folds) != len(arguments.weights):
        raise DatasetError("give as many --weights as --folds")
    tables = arguments.table * len(arguments.folds) if len(arguments.table) == 1 else arguments.table
    if len(tables) != len(arguments.folds):
        raise DatasetError("give one --table, or as many as --folds")
    if arguments.crops and "forensic_voice" in arguments.families:
        raise DatasetError("--crops: face crops have no speech; leave them out with --families forensic_voice")
    table.check_place(arguments.out)
    parts = []
    kept: CuesOfClips = {}
    for file, folds_file, weights in zip(tables, arguments.folds, arguments.weights, strict=True):
        source, assignments = table.read_table(file), folds.read(folds_file)
        fold_of = {name: assignment.fold for name, assignment in assignments.items()}
        part = out_of_fold(source, arguments.observations, fold_of, weights, arguments.families)
        if arguments.crops:
            crops = index.crops(arguments.crops)
            part = pa.concat_tables([part, of_crops(part, crops, fold_of, weights, arguments.families, kept=kept)])
        parts.append(part)
        if with_logit := [family for family in arguments.families if family != projection.FAMILY]:
            print(json.dumps(scores(part, assignments, with_logit[0])))
    common.make_parent(arguments.out)
    table.write_table(parts[0] if len(parts) == 1 else stacked(parts), arguments.out)
