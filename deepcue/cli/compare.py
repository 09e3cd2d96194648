"""The trained model beside scikit-learn's StackingClassifier, on the same table and folds."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from deepcue.cli import common
from deepcue.cli.train import score_lines
from ensemble.folds import given_folds
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


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    print("\n".join(compared(arguments.table, arguments.model, arguments.seed)))


def compared(table_file: Path, folder: Path, seed: int) -> list[str]:
    """The printed table: each learner, the stack, scikit-learn's stack; log loss at the training prior."""
    table = read_table(table_file)
    data, oof = training_set(table, str(table_file)), read_oof(folder, table)
    folds = folder / "folds.parquet"
    groups = [data.group_names[one] for one in data.group]
    fold = given_folds(folds, data.filename, groups, data.y)
    started = time.process_time()
    own = dict(zip(pq.read_table(folder / "oof.parquet")["filename"].to_pylist(), range(len(oof.y)), strict=True))
    order = np.array([own[name] for name in data.filename])
    p = {name: values[order] for name, values in oof.p.items()} | {REFERENCE: reference(data, fold, seed=seed)}
    prior = float(data.y.mean())
    p["constant"] = np.full(len(data), prior)
    scores = {
        name: {key: one.as_dict() for key, one in all_scores(data.y, v, v, prior, data.group, seed=seed).items()}
        for name, v in p.items()
    }
    for one in scores.values():
        del one["log_loss_target_prior"]  # the reference knows no target prior
    remark = f"{len(data)} clips, {data.n_groups} groups; {REFERENCE}: StackingClassifier, {{:.0f}} CPU s"
    return [remark.format(time.process_time() - started), *score_lines({"metrics": scores})]
