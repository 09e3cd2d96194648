"""Leave-one-family-out ablation: what each cue family adds to the others, and scores alone, out of fold by groups.

The learners are refitted without the family, which measures what the family adds. The permutation importance in the
report refits nothing and measures what the trained model relies on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import flags, terminal
from deepcue.cli.fold_options import add_folds, table_and_folds
from ensemble.ablation import LEARNERS, Ablation, ablate, write_ablation
from ensemble.metrics import Score

EXAMPLE = "deepcue ablate --table artifacts/features.parquet --out artifacts/model/ablation.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="feature table with labels")
    add_folds(parser)
    parser.add_argument(
        "--learners",
        type=flags.names,
        default=list(LEARNERS),
        help="comma-separated learners; the mean of their log-odds is scored",
    )
    parser.add_argument(
        "--out",
        type=flags.output_file,
        help="JSON file to write as well; `deepcue report` shows MODEL/ablation.json, or the file of its --ablation",
    )
    flags.add_seed(parser)
    flags.add_jobs(parser)
    flags.add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    data, fold, origin = table_and_folds(arguments)
    ablation = ablate(data, fold, learners=arguments.learners, seed=arguments.seed, jobs=arguments.jobs)
    if arguments.out:
        write_ablation(ablation, arguments.out)
    if arguments.json:
        print(json.dumps(ablation.as_dict(), allow_nan=False))
        return
    print(
        f"{ablation.n_clips} clips in {ablation.n_groups} groups, {int(fold.max()) + 1} folds ({origin}); out of fold, "
        f"95 % intervals over groups. Learners: {', '.join(arguments.learners)}.\n"
    )
    print("\n".join(ablation_lines(ablation)))
    print(
        '\n"rise without it" is the rise of log loss over that of all families: positive means that the family helps.\n'
        f"Among {len(ablation.families)} families, one in forty is expected to be called helpful, and one in forty "
        "harmful, by chance alone."
    )


def ablation_lines(ablation: Ablation) -> list[str]:
    """Return the lines of the printed table, sorted by the rise of log loss without the family, highest first."""
    rows = [("family", "columns", "measured", "log loss alone", "AUC alone", "rise without it", "verdict")]
    ordered = sorted(ablation.families, key=lambda family: -family.delta_log_loss.value)
    rows += [
        (
            family.family,
            str(family.n_columns),
            f"{family.measured_fraction:.0%}",
            _cell(family.log_loss),
            _cell(family.auc),
            _cell(family.delta_log_loss, sign="+"),
            family.verdict,
        )
        for family in ordered
    ]
    total = str(sum(family.n_columns for family in ordered))
    together = ablation.all_families
    rows.append(("all", total, "", _cell(together["log_loss"]), _cell(together["auc"]), "", ""))
    rows.append(("constant", "0", "", _cell(ablation.constant), "0.500", "", ""))
    return terminal.table_lines(rows)


def _cell(score: Score, sign: str = "") -> str:
    return f"{score.value:{sign}.3f} [{score.low:{sign}.3f}, {score.high:{sign}.3f}]"
