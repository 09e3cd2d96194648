"""Compare the trained model with other tools on the same table and folds: scores and the difference of log loss.

By default the other tool is scikit-learn's StackingClassifier, which this command fits. ``--against`` gives out-of-fold
predictions of other tools instead, each as a CSV file ``filename,label`` (P(FAKE), as in a submission), made on the
folds of ``MODEL/folds.parquet``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deepcue.cli import flags
from deepcue.cli.train import score_lines
from ensemble.arrays import Array
from ensemble.comparison import compare, in_order, read_predictions
from ensemble.folds import FOLDS_FILE, given_folds
from ensemble.metrics import Score
from ensemble.out_of_fold import STACK, read_oof
from ensemble.sklearn_baseline import reference
from ensemble.training_set import training_set
from features.errors import InputError
from features.table import read_table

EXAMPLE = "deepcue compare --table artifacts/features.parquet --model artifacts/model"

REFERENCE = "sklearn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="feature table with labels")
    parser.add_argument("--model", required=True, type=Path, help="folder of the model that was trained on the table")
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="CSV files of out-of-fold predictions of other tools; the printed table shows their file names",
    )
    flags.add_seed(parser)
    flags.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    started = time.process_time()
    metrics = compared(arguments.table, arguments.model, arguments.seed, against=arguments.against or ())
    if arguments.json:
        print(json.dumps({name: {key: s.as_dict() for key, s in scores.items()} for name, scores in metrics.items()}))
        return
    if not arguments.against:
        seconds = time.process_time() - started
        print(f"{REFERENCE}: StackingClassifier, on the folds of {arguments.model}; {seconds:.0f} CPU s")
    print("\n".join(score_lines({name: {k: s.as_dict() for k, s in of.items()} for name, of in metrics.items()})))
    for name, scores in metrics.items():
        if gap := scores.get("difference"):
            print(f"log loss of the {STACK} minus that of {name}: {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")


def compared(
    table_file: Path, folder: Path, seed: int, *, against: Sequence[Path] = ()
) -> Mapping[str, Mapping[str, Score]]:
    """Return the scores of :func:`ensemble.comparison.compare`.

    Parameters
    ----------
    table_file, folder
        The model and the table that it was trained on.
    seed
        Random seed of the reference and of the intervals.
    against
        Predictions of other tools; if there are none, scikit-learn's stack is fitted.

    Raises
    ------
    InputError
        Two of the files have the same name, or a file has the name of a learner.
    """
    table = read_table(table_file)
    oof = read_oof(folder, table)
    names = np.array(table.column("filename").to_pylist(), dtype=object)[oof.row]
    others: dict[str, Array] = {}
    for file in against:
        if file.stem in {*others, *oof.p}:
            raise InputError(f"{file}: another score is already called {file.stem}; rename the file")
        others[file.stem] = in_order(read_predictions(file), names, file)
    if not others:
        data = training_set(table, str(table_file))
        fold = given_folds(folder / FOLDS_FILE, data.filename, data.names_of_groups, data.y, measured=data.measured)
        p = dict(zip(data.filename, reference(data, fold, seed=seed), strict=True))
        others[REFERENCE] = np.array([p[name] for name in names])
    return compare(oof, others, seed=seed)
