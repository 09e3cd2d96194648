"""Search the hyper-parameters of the learners on a feature table; `deepcue train --settings` uses the result."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from deepcue.cli import common
from ensemble.arrays import Int
from ensemble.family_choice import choose_families
from ensemble.folds import check_folds, stage_folds
from ensemble.outputs import check_folder, write_text
from ensemble.store import LOCAL_MODEL
from ensemble.training_set import TrainingSet, sampled_rows, training_set
from ensemble.tune import SPACES, search, shared_budget
from features.errors import InputError
from features.table import read_table
from features.threads import algebra_on_one_thread

EXAMPLE = "deepcue tune --table artifacts/features.parquet --out artifacts/tune"

MAX_ROWS = 20_000  # larger tables are sampled; the ranking of settings changes little beyond
BUDGET_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="feature table with labels")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("artifacts/tune"),
        help="folder to write journals and settings.json to",
    )
    parser.add_argument(
        "--budget",
        type=common.positive_number,
        default=BUDGET_S,
        help="duration of the search in seconds, for all learners together",
    )
    parser.add_argument(
        "--trials", type=common.positive_int, help="stop after this many trials per learner (default: no limit)"
    )
    add_folds(parser)
    common.add_seed(parser)
    common.add_quiet(parser)


def add_folds(parser: argparse.ArgumentParser) -> None:
    """Declare ``--model``, ``--folds-file`` and ``--folds``: which folds to use, by default those of the training."""
    parser.add_argument(
        "--model",
        type=Path,
        help=f"model folder whose folds to use (default: {LOCAL_MODEL} if it was trained on this table)",
    )
    parser.add_argument("--folds-file", type=Path, help="file with the fold of each clip to use instead")
    parser.add_argument("--folds", type=int, help="number of folds, if new ones are made (default: as `deepcue train`)")


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what an interrupted run keeps."""
    return common.goes_on(arguments.out)


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


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    check_folder(arguments.out)
    data, fold = _searched(arguments)
    _make_folder(arguments.out)
    results = {
        name: _search_one(name, budget_s, data, fold, arguments)
        for name, budget_s in shared_budget(list(SPACES), arguments.budget)
    }
    file = arguments.out / "settings.json"
    settings = {name: result["changes"] for name, result in results.items()}
    write_text(file, json.dumps({"settings": settings, "search": results}, indent=1, allow_nan=False))
    print(f"settings  {file}")


def _searched(arguments: argparse.Namespace) -> tuple[TrainingSet, Int]:
    """The rows on which settings are searched, with the families that training would use, and their folds [n]."""
    data, fold, origin = table_and_folds(arguments)
    print(f"{int(fold.max()) + 1} folds ({origin})")
    data = choose_families(data, fold, seed=arguments.seed)
    chosen = sampled_rows(data.group, MAX_ROWS, arguments.seed)
    data, fold = data.rows(chosen), np.unique(fold[chosen], return_inverse=True)[1].astype(np.int64)
    check_folds(data.y, fold, data.measured)  # again: without a family, or in a sample, fewer clips may be measured
    return data, fold


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: can't be made ({error.strerror}); give another --out") from error


def _search_one(
    name: str, budget_s: float, data: TrainingSet, fold: Int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Search one learner's settings, and print the log loss before and after."""
    if not arguments.quiet:
        print(f"searching {name} for {budget_s:.0f} s", file=sys.stderr)
    journal = arguments.out / f"{name}.journal"
    with algebra_on_one_thread():
        result = search(
            data, fold, name, journal=journal, budget_s=budget_s, n_trials=arguments.trials, seed=arguments.seed
        )
    before, after = result["default_log_loss"], result["log_loss"]
    trials = "1 trial" if result["n_trials"] == 1 else f"{result['n_trials']} trials"
    print(f"{name:9} log loss {before:.4f} -> {after:.4f} in {trials}")
    return result
