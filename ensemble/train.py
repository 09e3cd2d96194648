"""Train the ensemble: ``python -m ensemble.train --table features.parquet --out artifacts/model``.

Folds, learners out of fold, stack, calibration, prior, clip; a model folder and a table of honest scores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.evaluate import Evaluation, evaluate, fit_head, folds_table, ground_without, oof_table, sources_left_out
from ensemble.evidence import read_oof, score_parts
from ensemble.folds import folds_for, given_folds
from ensemble.importance import family_ablation, family_importance
from ensemble.learners import Settings, with_settings
from ensemble.matrix import Int, TrainingSet, training_set
from ensemble.model import Model
from ensemble.nested import cross_fit
from ensemble.registry import default_settings, learner_kinds
from ensemble.store import save_model
from features.errors import InputError
from features.table import read_table

TARGET_PRIOR = 0.5  # the challenge's test sets (Dolhansky et al. 2020)
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


def train(
    data: TrainingSet,
    fold: Int,
    *,
    target_prior: float | None = TARGET_PRIOR,
    settings: dict[str, Settings] | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Any = None,
) -> tuple[Model, Evaluation]:
    """Cross-fit, evaluate by nesting, and fit the final head on all out-of-fold log-odds.

    Parameters
    ----------
    data, fold
        Labelled rows, and the fold of each (0 .. K-1, K at least 3).
    target_prior
        Share of FAKE to predict for; None keeps the training set's.
    settings
        Learner name to settings; :func:`ensemble.registry.default_settings` by default.
    seed
        Of every random draw.
    jobs
        Fits side by side; changes no result.
    progress
        As in :func:`ensemble.nested.cross_fit`.

    Returns
    -------
    model
        With an empty manifest; :func:`manifest_of` describes it.
    evaluation
        Honest scores.
    """
    settings = default_settings(len(data), data.n_groups) if settings is None else settings
    fitted = cross_fit(data, fold, settings, seed=seed, jobs=jobs, progress=progress)
    left_out = sources_left_out(data, settings, target_prior=target_prior, seed=seed, jobs=jobs)
    evaluation = evaluate(data, fold, fitted, left_out, target_prior, seed)
    rows = data.measured
    Z = np.stack([fitted.outer[name][rows] for name in fitted.outer], axis=1)
    head = fit_head(
        Z, data.y[rows], data.group[rows], fold[rows], learners=list(fitted.outer), target_prior=target_prior
    )
    return Model(data.layout, fitted.models, head, ground_without(data, rows, left_out)), evaluation


def manifest_of(
    model: Model, data: TrainingSet, fold: Int, evaluation: Evaluation, *, seed: int, synthetic: bool, table: str
) -> dict[str, Any]:
    """Training summary, scores and what each family does, for the manifest."""
    n_fake = int(data.y.sum())
    return {
        "seed": seed,
        "n_groups": data.n_groups,
        "summary": {
            "n_clips": len(data),
            "n_real": len(data) - n_fake,
            "n_fake": n_fake,
            "n_groups": data.n_groups,
            "n_folds": int(fold.max()) + 1,
            "n_unmeasured": int((~data.measured).sum()),
            "synthetic": synthetic,
            "data": table,
        },
        "metrics": {
            name: {score: value.as_dict() for score, value in scores.items()}
            for name, scores in evaluation.scores.items()
        },
        "ground": evaluation.left_out,
        "importance": family_importance(model, data, fold, seed=seed),
        "ablation": family_ablation(model, data, fold, seed=seed),
    }


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


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m ensemble.train",
        description="Train the calibrated ensemble on a feature table.",
        epilog="example: python -m ensemble.train --table artifacts/features.parquet --out artifacts/model",
    )
    result.add_argument("--table", required=True, type=Path, help="features.parquet with labels")
    result.add_argument("--out", required=True, type=Path, help="the model folder to write")
    result.add_argument(
        "--target-prior", default=str(TARGET_PRIOR), help="share of FAKE to predict for, or 'train' (default 0.5)"
    )
    result.add_argument(
        "--folds", type=int, help="number of folds (default those of the fold file, else 5, or 10 for 50 to 500 groups)"
    )
    result.add_argument("--folds-file", type=Path, help="fold assignment to keep to (default OUT/folds.parquet)")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--jobs", type=int, default=1, help="fits side by side (default 1); changes no result")
    result.add_argument("--learners", help="comma-separated choice of learners (default: all that suit the size)")
    result.add_argument("--settings", type=Path, help="settings.json written by ensemble.tune")
    result.add_argument("--device", default="cpu", help="cpu or cuda, for XGBoost")
    result.add_argument("--synthetic", action="store_true", help="mark the scores as those of synthetic data")
    result.add_argument("--json", action="store_true", help="print the manifest's summary and metrics as JSON")
    result.add_argument("--quiet", action="store_true", help="no progress bar")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see :func:`parser`. Returns the exit status."""
    arguments = parser().parse_args(argv)
    try:
        _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(arguments: argparse.Namespace) -> None:
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


def chosen_settings(data: TrainingSet, learners: str | None, file: Path | None, device: str) -> dict[str, Settings]:
    """Settings of the learners named (None: the default ones), with a search's findings put over the defaults.

    Raises
    ------
    InputError
        Unknown learner, or a settings file that is none.
    """
    known = list(learner_kinds())
    defaults = default_settings(len(data), data.n_groups)
    names = list(defaults) if learners is None else [name.strip() for name in learners.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--learners: {unknown[0]!r} is unknown; there are {', '.join(known)}")
    names = [name for name in known if name in names]
    if not names:
        raise InputError(f"--learners: name at least one of {', '.join(known)}")
    base = with_settings(next(iter(defaults.values())), {"device": device})
    if file is None:
        return dict.fromkeys(names, base)
    try:
        changes = json.loads(file.read_text(encoding="utf-8"))["settings"]
        return {name: with_settings(base, changes.get(name, {})) for name in names}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: not the settings that `ensemble.tune` writes ({error})") from error


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


if __name__ == "__main__":
    sys.exit(main())
