"""The trained model beside scikit-learn's StackingClassifier, on the same table and folds."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from deepcue.cli import common
from deepcue.cli.train import score_lines
from ensemble.folds import FOLDS_FILE, given_folds
from ensemble.metrics import all_scores
from ensemble.out_of_fold import read_oof
from ensemble.sklearn_baseline import reference
from ensemble.training_set import training_set
from features.table import read_table

EXAMPLE = "deepcue compare --table artifacts/features.parquet --model artifacts/model"

REFERENCE = "sklearn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="features.parquet with labels")
    parser.add_argument("--model", required=True, type=Path, help="model folder that was trained on it")
    common.add_seed(parser)
    common.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    started = time.process_time()
    metrics = compared(arguments.table, arguments.model, arguments.seed)
    if arguments.json:
        print(json.dumps(metrics))
        return
    print(
        f"{REFERENCE}: StackingClassifier, on the folds of {arguments.model}; {time.process_time() - started:.0f} CPU s"
    )
    print("\n".join(score_lines(metrics)))


def compared(table_file: Path, folder: Path, seed: int) -> dict[str, dict[str, Any]]:
    """Scores at the training prior of each learner, the stack, scikit-learn's stack and the constant.

    Parameters
    ----------
    table_file, folder
        The model and the table that it was trained on.
    seed
        Of the reference and of the intervals.

    Returns
    -------
    dict
        Name to score to ``value, low, high``.
    """
    table = read_table(table_file)
    data, oof = training_set(table, str(table_file)), read_oof(folder, table)
    fold = given_folds(folder / FOLDS_FILE, data.filename, data.names_of_groups, data.y)
    names = np.array(table.column("filename").to_pylist(), dtype=object)[oof.row]
    position = {name: number for number, name in enumerate(names)}
    order = np.array([position[name] for name in data.filename])
    p = {name: values[order] for name, values in oof.p.items()} | {REFERENCE: reference(data, fold, seed=seed)}
    prior = float(data.y.mean())
    p["constant"] = np.full(len(data), prior)
    return {
        name: {
            key: score.as_dict()
            for key, score in all_scores(data.y, values, values, prior, data.group, seed=seed).items()
            if key != "log_loss_target_prior"  # the reference knows no target prior
        }
        for name, values in p.items()
    }
