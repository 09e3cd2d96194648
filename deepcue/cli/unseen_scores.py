"""Scores of learners on manipulations and identities that neither networks nor learners were fitted on.

The table has network columns out of fold (`deepcue oof`); --folds is what the networks' training wrote. The learner
that judges a fold sees no clip of it, nor any of the groups that the fold touches. Scores are at a prior of 0.5, with
95 % intervals over groups, and each log loss is compared with that of the first learner. With --subset, only the clips
of another table or manifest are scored; all are trained on. With --copies, learners are trained on the rows of another
table as well, of the same clips encoded once more, say, where the fold that they judge allows it; these are not scored,
and those whose group no clip of the folds has are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from deepcue.cli import common
from ensemble.metrics import Score
from ensemble.training_set import training_set
from features.errors import InputError
from features.table import read_table
from training import folds
from training.unseen_scores import UnseenResult, UnseenScores, scores

EXAMPLE = "deepcue unseen-scores --table joint.parquet --folds cnn/clip_folds.csv --learners networks,networks_and_cues"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", type=Path, required=True, help="feature table with out-of-fold network columns")
    parser.add_argument("--folds", type=Path, required=True, help="CSV of filename,fold that the training wrote")
    parser.add_argument(
        "--learners",
        type=common.names,
        default=["networks"],
        help="comma-separated; the others are compared with the first (default: networks)",
    )
    parser.add_argument("--subset", type=Path, help="table or manifest: only its clips are scored")
    parser.add_argument("--copies", type=Path, help="table of copies of clips, in the same groups, to train on too")
    common.add_seed(parser)
    common.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    data = training_set(read_table(arguments.table), str(arguments.table))
    fold_of = {name: assignment.fold for name, assignment in folds.read(arguments.folds).items()}
    rows = None
    if arguments.subset:
        wanted = _names(arguments.subset)
        rows = np.array([name in wanted for name in data.filename])
        if not rows.any():
            raise InputError(f"{arguments.subset}: none of its clips is in {arguments.table}")
    copies = training_set(read_table(arguments.copies), str(arguments.copies)) if arguments.copies else None
    found = scores(data, fold_of, arguments.learners, seed=arguments.seed, rows=rows, copies=copies)
    if arguments.json:
        print(json.dumps(_as_dict(found), indent=1))
        return
    of_copies = f"; {found.n_copies} of {found.n_copies_given} copies are trained on" if copies is not None else ""
    print(f"{found.n_clips} clips of {found.n_groups} groups are scored{of_copies}")
    print(f"constant: log loss {found.constant:.3f}")
    for name, one in found.learners.items():
        above = ", ".join(f"{share:.1%} above {threshold:g}" for threshold, share in one.false_positives.items())
        print(f"{name}: log loss {_text(one.log_loss)}, AUC {_text(one.auc)}; REAL clips with P: {above}")
        print(f"  log loss minus that of {arguments.learners[0]}: {_text(one.difference)}")


def _text(score: Score) -> str:
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _as_dict(found: UnseenResult) -> dict[str, Any]:
    return {
        "n_clips": found.n_clips,
        "n_groups": found.n_groups,
        "copies": {"used": found.n_copies, "given": found.n_copies_given},
        "constant": {"log_loss": found.constant},
        "learners": {name: _of_learner(one) for name, one in found.learners.items()},
    }


def _of_learner(one: UnseenScores) -> dict[str, Any]:
    scores = {name: getattr(one, name).as_dict() for name in ("log_loss", "auc", "difference")}
    return scores | {"false_positives": {str(threshold): share for threshold, share in one.false_positives.items()}}


def _names(file: Path) -> set[str]:
    """Filenames of a feature table or a CSV manifest."""
    if file.suffix == ".parquet":
        return set(read_table(file)["filename"].to_pylist())
    import csv

    try:
        with file.open(newline="", encoding="utf-8") as text:
            return {row["filename"] for row in csv.DictReader(text)}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: no list of filenames ({error}); give a table, or a CSV with the column") from error
