"""What each cue family adds: alone, and left out of all, out of fold by groups.

A drop-column ablation: the learners are fitted again without the family. See also the permutation importance in the
report, which fits nothing again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import common
from ensemble.ablation import LEARNERS, Judged, judge, write_worth
from ensemble.folds import N_FOLDS, assign_folds, check_folds, given_folds
from ensemble.learners.registry import learner_kinds
from ensemble.metrics import Score
from ensemble.training_set import training_set
from features.errors import InputError
from features.table import read_table

EXAMPLE = "deepcue ablate --table artifacts/features.parquet"


def table_lines(judged: Judged) -> list[str]:
    """The printed table, the most valuable family first."""
    rows = [("family", "columns", "measured", "log loss alone", "AUC alone", "log loss without it", "verdict")]
    ordered = sorted(judged.families, key=lambda one: -one.delta_log_loss.value)
    rows += [
        (
            one.family,
            str(one.n_columns),
            f"{one.measured_share:.0%}",
            _cell(one.log_loss),
            _cell(one.auc),
            _cell(one.delta_log_loss, sign="+"),
            one.verdict,
        )
        for one in ordered
    ]
    total = str(sum(one.n_columns for one in ordered))
    rows.append(("all", total, "", _cell(judged.everything["log_loss"]), _cell(judged.everything["auc"]), "", ""))
    rows.append(("constant", "0", "", _cell(judged.constant), "0.500", "", ""))
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="feature table with labels")
    parser.add_argument("--folds", type=int, help="number of folds (default 5, or those of the fold file)")
    parser.add_argument("--folds-file", type=Path, help="fold assignment to keep to (default: a new one)")
    parser.add_argument("--learners", default=",".join(LEARNERS), help="their mean is judged (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="write JSON here, too; `reports.model_report --worth` shows it")
    common.add_seed(parser)
    common.add_jobs(parser)
    common.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    learners = [name.strip() for name in arguments.learners.split(",") if name.strip()]
    known = learner_kinds()
    if not learners or (unknown := [name for name in learners if name not in known]):
        told = repr(unknown[0]) if learners else "nothing"
        raise InputError(f"--learners: {told} is no learner; there are {', '.join(known)}")
    data = training_set(read_table(arguments.table), str(arguments.table))
    if arguments.folds_file:
        groups = [data.group_names[one] for one in data.group]
        fold = given_folds(arguments.folds_file, data.filename, groups, data.y, n_folds=arguments.folds)
    else:
        fold = assign_folds(data.y, data.group, n_folds=arguments.folds or N_FOLDS, seed=arguments.seed)
        check_folds(data.y, fold)
    judged = judge(data, fold, learners=learners, seed=arguments.seed, jobs=arguments.jobs)
    if arguments.out:
        write_worth(judged, arguments.out)
    if arguments.json:
        print(json.dumps(judged.as_dict(), allow_nan=False))
        return
    print(
        f"{judged.n_clips} clips in {judged.n_groups} groups; out of fold, 95 % intervals over groups. Learners: "
        f"{', '.join(learners)}.\n"
    )
    print("\n".join(table_lines(judged)))
    print(
        f'\n"log loss without it" is the rise over all families: positive means that the family helps. Among '
        f"{len(judged.families)} families,\none in forty is expected to be called helpful, and one in forty harmful, "
        "by chance alone."
    )


def _cell(score: Score, sign: str = "") -> str:
    return f"{score.value:{sign}.3f} [{score.low:{sign}.3f}, {score.high:{sign}.3f}]"
