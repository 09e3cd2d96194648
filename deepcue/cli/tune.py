"""Search the hyper-parameters of the learners on a feature table."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from deepcue.cli import common
from ensemble.folds import N_FOLDS, assign_folds, check_folds
from ensemble.training_set import rows_of_groups, training_set
from ensemble.tune import SPACES, search
from features.table import read_table

EXAMPLE = "deepcue tune --table artifacts/features.parquet --out artifacts/tune"

MAX_ROWS = 20_000  # searched on a sample of groups; a setting's rank changes little beyond


BUDGET_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="feature table with labels")
    parser.add_argument("--out", type=Path, default=Path("artifacts/tune"), help="folder of journal and settings.json")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds, shared by the learners (default 600)")
    parser.add_argument("--trials", type=int, help="stop after this many trials a learner")
    parser.add_argument("--folds", type=int, default=N_FOLDS, help="number of folds (default: %(default)s)")
    common.add_seed(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    from threadpoolctl import threadpool_limits

    data = training_set(read_table(arguments.table), str(arguments.table))
    data = data.rows(rows_of_groups(data, MAX_ROWS, arguments.seed))
    fold = assign_folds(data.y, data.group, n_folds=arguments.folds, seed=arguments.seed)
    check_folds(data.y, fold)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    deadline = time.monotonic() + arguments.budget
    for left, name in zip(range(len(SPACES), 0, -1), SPACES, strict=True):
        share = max((deadline - time.monotonic()) / left, 1.0)
        print(f"searching {name} for {share:.0f} s", file=sys.stderr)
        with threadpool_limits(1):
            found[name] = search(
                data,
                fold,
                name,
                journal=arguments.out / f"{name}.journal",
                budget_s=share,
                n_trials=arguments.trials,
                seed=arguments.seed,
            )
        one = found[name]
        print(f"{name:9} log loss {one['default_log_loss']:.4f} -> {one['log_loss']:.4f} in {one['n_trials']} trials")
    file = arguments.out / "settings.json"
    file.write_text(
        json.dumps({"settings": {name: one["changes"] for name, one in found.items()}, "search": found}, indent=1),
        encoding="utf-8",
    )
    print(f"settings  {file}")
