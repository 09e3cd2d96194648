"""Train the calibrated ensemble on a feature table: folds, learners, stack, calibration; writes a model folder."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deepcue.cli import common
from ensemble.evaluate import folds_table, oof_table
from ensemble.folds import folds_for, given_folds
from ensemble.out_of_fold import read_oof
from ensemble.store import save_model
from ensemble.train import TARGET_PRIOR, chosen_settings, manifest_of, train
from ensemble.training_set import training_set
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
    ("paired_accuracy", "pairs"),
)


WITHOUT_INTERVAL = {"eer", "paired_accuracy"}  # in print; the manifest has them all


def score_lines(manifest: dict[str, Any]) -> list[str]:
    """The printed table: a line for each learner, the stack and the constant, with 95 % intervals."""
    used = [(key, title) for key, title in PRINTED if any(key in scores for scores in manifest["metrics"].values())]
    rows = [["", *(title for _, title in used)]]
    for name, scores in manifest["metrics"].items():
        rows.append([name, *(_cell(scores.get(key), key not in WITHOUT_INTERVAL) for key, _ in used)])
    widths = [max(len(row[number]) for row in rows) for number in range(len(used) + 1)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def summary_lines(manifest: dict[str, Any]) -> list[str]:
    """What the scores are of: numbers of clips and groups, priors, and whether the data is made."""
    s = manifest["summary"]
    lines = [
        f"{s['n_clips']} clips ({s['n_real']} REAL, {s['n_fake']} FAKE) in {s['n_groups']} groups, "
        f"{s['n_folds']} folds; out of fold, 95 % intervals over groups; target prior {manifest['target_prior']:.2f}"
    ]
    if s["n_unmeasured"]:
        lines.append(f"{s['n_unmeasured']} clips in which nothing could be measured count with the prior")
    ground = manifest["ground"]
    if "log_loss_without" in ground:
        lines.append(
            f"sources left out ({ground['n_clips']} clips): log loss at target {ground['log_loss_without']:.3f}, "
            f"drawn towards the prior {ground['log_loss_with']:.3f} "
            f"(kept: {'yes' if ground['a'] or ground['b'] else 'no'})"
        )
    if manifest.get("tuned"):
        lines.append("settings were searched for on clips like these: the scores are a little too good")
    if s["synthetic"]:
        lines.append("SYNTHETIC DATA: these numbers say nothing about real forgeries")
    return lines


def part_lines(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The stack's scores by part of the data; ``*`` marks an AUC against all clips of the other class."""
    rows = [["the stack by", "", "REAL", "FAKE", "groups", "log loss", "AUC"]]
    for title, some in found.items():
        for number, part in enumerate(some):
            counts = [str(part[key]) for key in ("n_real", "n_fake", "n_groups")]
            area = "-" if np.isnan(part["auc"]) else f"{part['auc']:.3f}{'' if part['own'] else '*'}"
            rows.append([title if number == 0 else "", part["name"], *counts, f"{part['log_loss']:.3f}", area])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", required=True, type=Path, help="features.parquet with labels")
    parser.add_argument("--out", required=True, type=Path, help="the model folder to write")
    parser.add_argument(
        "--target-prior", default=str(TARGET_PRIOR), help="share of FAKE to predict for, or 'train' (default 0.5)"
    )
    parser.add_argument(
        "--folds", type=int, help="number of folds (default those of the fold file, else 5, or 10 for 50 to 500 groups)"
    )
    parser.add_argument("--folds-file", type=Path, help="fold assignment to keep to (default OUT/folds.parquet)")
    common.add_seed(parser)
    common.add_jobs(parser)
    parser.add_argument("--learners", help="comma-separated choice of learners (default: all that suit the size)")
    parser.add_argument("--settings", type=Path, help="settings.json written by ensemble.tune")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for XGBoost")
    parser.add_argument("--synthetic", action="store_true", help="mark the scores as those of synthetic data")
    common.add_json(parser)
    common.add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    target_prior = parse_prior(arguments.target_prior)
    table = read_table(arguments.table)
    data = training_set(table, str(arguments.table))
    clips = (data.filename, [data.group_names[one] for one in data.group], data.y)
    if arguments.folds_file:
        fold = given_folds(arguments.folds_file, *clips, n_folds=arguments.folds)
    else:
        fold = folds_for(arguments.out / "folds.parquet", *clips, n_folds=arguments.folds, seed=arguments.seed)
    settings = chosen_settings(data, arguments.learners, arguments.settings, arguments.device)
    model, evaluation = train(
        data,
        fold,
        target_prior=target_prior,
        settings=settings,
        seed=arguments.seed,
        jobs=arguments.jobs,
        progress=None if arguments.quiet else progress_bar,
    )
    model.manifest.update(
        manifest_of(
            model,
            data,
            fold,
            evaluation,
            seed=arguments.seed,
            synthetic=arguments.synthetic,
            table=arguments.table.name,
        )
    )
    model.manifest["tuned"] = arguments.settings is not None
    tables = {"folds.parquet": folds_table(data, fold), "oof.parquet": oof_table(data, fold, evaluation)}
    manifest_file = save_model(model, arguments.out, tables)
    manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
    if arguments.json:
        shown = ("summary", "metrics", "stack", "calibration", "clip", "ground")
        print(json.dumps({key: manifest[key] for key in shown}))
        return
    print("\n".join([*summary_lines(manifest), "", *score_lines(manifest), ""]))
    if found := score_parts(table, read_oof(arguments.out, table)):
        print("\n".join([*part_lines(found), ""]))
    print(f"model  {arguments.out}")
    for name in tables:
        print(f"{Path(name).stem:5}  {arguments.out / name}")


def parse_prior(text: str) -> float | None:
    """``train`` to None, a number between 0 and 1 to itself.

    Raises
    ------
    InputError
        Anything else.
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


def progress_bar(finished: Iterator[Any], total: int) -> Iterator[Any]:
    """Wrap an iterator of finished fits in a bar on stderr, with rate and time left."""
    from tqdm import tqdm

    return iter(tqdm(finished, total=total, desc="fits", unit="fit", file=sys.stderr))


def _cell(score: dict[str, Any] | None, interval: bool) -> str:
    if score is None or score["value"] is None:
        return "-"
    if score["low"] is None or not interval:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
