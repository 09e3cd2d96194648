"""Train the calibrated ensemble (folds, learners, stack, calibration) on a feature table and write a model folder."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepcue.cli import flags, terminal
from ensemble.family_choice import MIN_ROWS
from ensemble.folds import FOLDS_FILE
from ensemble.out_of_fold import read_oof
from ensemble.outputs import check_folder
from ensemble.store import save_model
from ensemble.train import TARGET_PRIOR, read_settings, train_table
from features.errors import InputError
from features.table import read_table
from reports.subgroups import score_parts

EXAMPLE = "deepcue train --table artifacts/features.parquet --out artifacts/model"

PRINTED = (
    ("log_loss", "log loss"),
    ("log_loss_target_prior", "log loss at target"),
    ("auc", "AUC"),
    ("brier", "Brier"),
    ("ece", "ECE"),
    ("eer", "EER"),
    ("within_group_concordance", "concordance"),
)
WITHOUT_INTERVAL = {"eer", "within_group_concordance"}  # in print; the manifest has every interval


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="feature table with labels")
    parser.add_argument("--out", required=True, type=Path, help="model folder to write")
    parser.add_argument(
        "--target-prior",
        default=str(TARGET_PRIOR),
        help="fraction of FAKE clips to predict for, or 'train' for that of the table",
    )
    parser.add_argument(
        "--folds",
        type=int,
        help="number of folds (default: that of the fold file, else 10 for 50 to 499 groups with at most 5,000 clips, "
        "else 5)",
    )
    parser.add_argument(
        "--folds-file",
        type=Path,
        help=f"file with the fold of each clip to use (default: OUT/{FOLDS_FILE} if it exists)",
    )
    parser.add_argument(
        "--learners",
        type=flags.names,
        help="comma-separated learners (default: all that suit the size of the table)",
    )
    parser.add_argument("--settings", type=Path, help="settings.json written by `deepcue tune`")
    parser.add_argument(
        "--device", default="cpu", help="cpu, or cuda for XGBoost, if the package xgboost replaces xgboost-cpu"
    )
    parser.add_argument("--synthetic", action="store_true", help="mark the scores as those of synthetic data")
    flags.add_seed(parser)
    flags.add_jobs(parser)
    flags.add_json(parser)
    flags.add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    target_prior = parse_prior(arguments.target_prior)
    check_folder(arguments.out)
    table = read_table(arguments.table)
    folds = arguments.folds_file or arguments.out / FOLDS_FILE
    with terminal.stage_progress(quiet=arguments.quiet) as progress:
        model, evaluation = train_table(
            table,
            folds=folds if arguments.folds_file or folds.is_file() else None,
            n_folds=arguments.folds,
            target_prior=target_prior,
            learners=arguments.learners,
            settings=read_settings(arguments.settings) if arguments.settings else None,
            device=arguments.device,
            seed=arguments.seed,
            jobs=arguments.jobs,
            progress=functools.partial(progress, "fits"),
            name=str(arguments.table),
            synthetic=arguments.synthetic,
        )
    tables = evaluation.tables()
    manifest = json.loads(save_model(model, arguments.out, tables).read_text(encoding="utf-8"))
    if arguments.json:
        shown = ("summary", "metrics", "stack", "calibration", "clip", "shrinkage")
        print(json.dumps({key: manifest[key] for key in shown}))
        return
    print("\n".join([*summary_lines(manifest), "", *score_lines(manifest["metrics"]), ""]))
    if parts := score_parts(table, read_oof(arguments.out, table)):
        print("\n".join([*part_lines(parts), ""]))
    print(f"model  {arguments.out}")
    for name in tables:
        print(f"{Path(name).stem:5}  {arguments.out / name}")


def summary_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Return the lines above the scores: numbers of clips and groups, priors, and whether the data is synthetic."""
    summary, shrinkage = manifest["summary"], manifest["shrinkage"]
    lines = [
        f"{summary['n_clips']} clips ({summary['n_real']} REAL, {summary['n_fake']} FAKE) in {summary['n_groups']} "
        f"groups, {summary['n_folds']} folds; out of fold, 95 % intervals over groups; target prior "
        f"{manifest['target_prior']:.2f}"
    ]
    if summary["n_unmeasured"]:
        lines.append(
            f"{summary['n_unmeasured']} clips in which nothing that the model reads could be measured are scored with "
            "the prior"
        )
    if "log_loss_without" in shrinkage:
        lines.append(
            f"leave-source-out ({shrinkage['n_clips']} clips): log loss {shrinkage['log_loss_without']:.3f} at the "
            f"target prior; with OOD shrinkage {shrinkage['log_loss_with']:.3f} "
            f"({'used' if shrinkage['a'] or shrinkage['b'] else 'not used'})"
        )
    for family in manifest.get("left_out_families", ()):
        lines.append(
            f"{family} is not used: in tables of fewer than {MIN_ROWS[family]:,} clips it must improve predictions of "
            "held-out sources or folds, and here it does not"
        )
    if manifest.get("tuned"):
        lines.append("hyper-parameters were tuned on this table: scores are optimistically biased")
    if summary["synthetic"]:
        lines.append("SYNTHETIC DATA: these numbers say nothing about real forgeries")
    return lines


def score_lines(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return one line each for the learners, the stack and the constant predictor, with 95 % intervals.

    Parameters
    ----------
    metrics
        The ``metrics`` of a manifest: name to score to ``value, low, high``.
    """
    used = [(key, title) for key, title in PRINTED if any(key in scores for scores in metrics.values())]
    rows = [["", *(title for _, title in used)]]
    for name, scores in metrics.items():
        rows.append([name, *(_cell(scores.get(key), interval=key not in WITHOUT_INTERVAL) for key, _ in used)])
    return terminal.table_lines(rows)


def part_lines(parts: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Return the stack's scores by part of the data; ``*`` marks an AUC against all clips of the other class."""
    rows = [["the stack by", "", "REAL", "FAKE", "groups", "log loss", "AUC"]]
    for title, scores in parts.items():
        for number, part in enumerate(scores):
            counts = [str(part[key]) for key in ("n_real", "n_fake", "n_groups")]
            area = "-" if np.isnan(part["auc"]) else f"{part['auc']:.3f}{'' if part['both_classes'] else '*'}"
            rows.append([title if number == 0 else "", part["name"], *counts, f"{part['log_loss']:.3f}", area])
    return terminal.table_lines(rows)


def parse_prior(text: str) -> float | None:
    """Parse ``train`` as None, and a number between 0 and 1.

    Raises
    ------
    InputError
        The text is anything else.
    """
    if text == "train":
        return None
    try:
        prior = float(text)
    except ValueError:
        prior = float("nan")
    if not 0 < prior < 1:
        raise InputError(f"--target-prior {text}: give a number between 0 and 1, or 'train'")
    return prior


def _cell(score: Mapping[str, Any] | None, *, interval: bool) -> str:
    if score is None or score["value"] is None:
        return "-"
    if score["low"] is None or not interval:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
