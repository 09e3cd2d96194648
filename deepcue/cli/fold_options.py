"""Options that name the folds of a stage beside training, shared by the commands that fit learners on them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ensemble.arrays import Int
from ensemble.folds import stage_folds
from ensemble.store import LOCAL_MODEL
from ensemble.training_set import TrainingSet, training_set
from features.table import read_table


def add_folds(parser: argparse.ArgumentParser) -> None:
    """Declare ``--model``, ``--folds-file`` and ``--folds``: which folds to use, by default those of the training."""
    parser.add_argument(
        "--model",
        type=Path,
        help=f"model folder whose folds to use (default: {LOCAL_MODEL} if it was trained on this table)",
    )
    parser.add_argument("--folds-file", type=Path, help="file with the fold of each clip to use instead")
    parser.add_argument("--folds", type=int, help="number of folds, if new ones are made (default: as `deepcue train`)")


def table_and_folds(arguments: argparse.Namespace) -> tuple[TrainingSet, Int, str]:
    """The labelled rows of ``--table``, the fold of each [n] by the options of :func:`add_folds`, and their origin."""
    data = training_set(read_table(arguments.table), str(arguments.table))
    fold, origin = stage_folds(
        data,
        file=arguments.folds_file,
        model=arguments.model,
        local_model=LOCAL_MODEL,
        n_folds=arguments.folds,
        seed=arguments.seed,
    )
    return data, fold, origin
