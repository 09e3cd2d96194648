"""Search the hyper-parameters of the learners on a feature table; `deepcue train --settings` uses the result."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from deepcue.cli import flags, run_outcome
from deepcue.cli.fold_options import add_folds, table_and_folds
from ensemble.arrays import Int
from ensemble.family_choice import choose_families
from ensemble.folds import check_folds
from ensemble.outputs import check_folder, write_text
from ensemble.training_set import TrainingSet, sampled_rows
from ensemble.tune import SPACES, SearchResult, search, shared_budget
from features.errors import InputError
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
        type=flags.positive_number,
        default=BUDGET_S,
        help="duration of the search in seconds, for all learners together",
    )
    parser.add_argument(
        "--trials", type=flags.positive_int, help="stop after this many trials per learner (default: no limit)"
    )
    add_folds(parser)
    flags.add_seed(parser)
    flags.add_quiet(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what an interrupted run keeps."""
    return run_outcome.goes_on(arguments.out)


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
    settings = {name: result.changes for name, result in results.items()}
    searches = {name: asdict(result) for name, result in results.items()}
    write_text(file, json.dumps({"settings": settings, "search": searches}, indent=1, allow_nan=False))
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
) -> SearchResult:
    """Search one learner's settings, and print the log loss before and after."""
    if not arguments.quiet:
        print(f"searching {name} for {budget_s:.0f} s", file=sys.stderr)
    journal = arguments.out / f"{name}.journal"
    with algebra_on_one_thread():
        result = search(
            data, fold, name, journal=journal, budget_s=budget_s, n_trials=arguments.trials, seed=arguments.seed
        )
    trials = "1 trial" if result.n_trials == 1 else f"{result.n_trials} trials"
    print(f"{name:9} log loss {result.default_log_loss:.4f} -> {result.log_loss:.4f} in {trials}")
    return result
