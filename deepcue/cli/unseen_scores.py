"""Score learners on manipulations and identities that neither networks nor learners were fitted on.

The table has out-of-fold network columns (`deepcue oof`); --folds-file was written by the networks' training. The
learner that scores a fold is trained without the clips of the fold and without all other clips of their groups. Scores
are at a prior of 0.5, with 95 % intervals over groups, and each log loss is compared with that of the first learner.

With --subset, only the clips of another table or manifest are scored; learners are still trained on all clips.

With --copies, learners are also trained on the rows of another table, such as re-encoded copies of the same clips,
except copies of groups that the scored fold leaves out. Copies are never scored; copies of groups that are absent from
the folds are ignored.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from deepcue.cli import flags
from deepcue.inputs import is_table
from ensemble.metrics import Score
from ensemble.training_set import training_set
from extract.dataset import find_clips
from features.errors import InputError
from features.table import read_table
from training import folds
from training.unseen_scores import UnseenResult, UnseenScores, scores

EXAMPLE = (
    "deepcue unseen-scores --table joint.parquet --folds-file cnn/clip_folds.csv --learners networks,networks_and_cues"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", type=Path, required=True, help="feature table with out-of-fold network columns")
    parser.add_argument(
        "--folds-file",
        type=Path,
        required=True,
        metavar="CSV",
        help="clip_folds.csv that the training wrote (filename,fold)",
    )
    parser.add_argument(
        "--learners",
        type=flags.names,
        default=["networks"],
        help="comma-separated list; the others are compared with the first (default: networks)",
    )
    parser.add_argument("--subset", type=Path, help="table or manifest: score only its clips")
    parser.add_argument("--copies", type=Path, help="table of copies of clips, in the same groups, to train on as well")
    flags.add_seed(parser)
    flags.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    data = training_set(read_table(arguments.table), str(arguments.table))
    fold_of = {name: assignment.fold for name, assignment in folds.read(arguments.folds_file).items()}
    rows = None
    if arguments.subset:
        wanted = _filenames(arguments.subset)
        rows = np.array([name in wanted for name in data.filename])
        if not rows.any():
            raise InputError(f"{arguments.subset}: none of its clips is in {arguments.table}")
    copies = training_set(read_table(arguments.copies), str(arguments.copies)) if arguments.copies else None
    result = scores(data, fold_of, arguments.learners, seed=arguments.seed, rows=rows, copies=copies)
    if arguments.json:
        print(json.dumps(_as_dict(result), indent=1))
        return
    of_copies = f"; {result.n_copies} of {result.n_copies_given} copies are trained on" if copies is not None else ""
    print(f"{result.n_clips} clips of {result.n_groups} groups are scored{of_copies}")
    print(f"constant: log loss {result.constant:.3f}")
    for name, learner in result.learners.items():
        above = ", ".join(f"{share:.1%} above {threshold:g}" for threshold, share in learner.false_positives.items())
        print(f"{name}: log loss {_text(learner.log_loss)}, AUC {_text(learner.auc)}; REAL clips with P: {above}")
        print(f"  log loss minus that of {arguments.learners[0]}: {_text(learner.difference)}")


def _text(score: Score) -> str:
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _as_dict(result: UnseenResult) -> dict[str, Any]:
    return {
        "n_clips": result.n_clips,
        "n_groups": result.n_groups,
        "copies": {"used": result.n_copies, "given": result.n_copies_given},
        "constant": {"log_loss": result.constant},
        "learners": {name: _learner_as_dict(learner) for name, learner in result.learners.items()},
    }


def _learner_as_dict(learner: UnseenScores) -> dict[str, Any]:
    scores = {name: getattr(learner, name).as_dict() for name in ("log_loss", "auc", "difference")}
    return scores | {"false_positives": {str(threshold): share for threshold, share in learner.false_positives.items()}}


def _filenames(file: Path) -> set[str]:
    """Return the filenames of the clips of a feature table, a manifest or a folder."""
    if is_table(file):
        return set(read_table(file)["filename"].to_pylist())
    return {clip.filename for clip in find_clips(str(file))}
