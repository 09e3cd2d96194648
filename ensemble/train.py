"""Train the ensemble: ``python -m ensemble.train --table features.parquet --out artifacts/model``.

Folds, learners out of fold, stack, calibration, prior, clip; a model folder and a table of honest scores.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.calibrate import clip_bound, clip_logit, fit_calibration, shift_prior
from ensemble.calibrate import logit as logit_of
from ensemble.folds import folds_for
from ensemble.learners import Settings, learner_kinds, settings_for, with_settings
from ensemble.matrix import Int, TrainingSet, training_set
from ensemble.metrics import Score, all_scores, prior_weights
from ensemble.model import Head, Model
from ensemble.nested import Fitted, cross_fit
from ensemble.stack import fit_stack
from ensemble.store import save_model
from features.errors import InputError
from features.table import read_table

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
TARGET_PRIOR = 0.5  # the challenge's test sets (Dolhansky et al. 2020)
STACK, CONSTANT = "stack", "constant"
PRINTED = (
    ("log_loss", "log loss"),
    ("log_loss_target_prior", "log loss at target"),
    ("auc", "AUC"),
    ("brier", "Brier"),
    ("ece", "ECE"),
)


@dataclass(frozen=True)
class Evaluation:
    """Out-of-fold log-odds of every labelled row: of the learners, and of the stack judged by nesting.

    ``train`` is at the training prior, ``target`` at the target prior; both hold ``stack`` and ``constant``.
    """

    train: dict[str, Array]
    target: dict[str, Array]
    scores: dict[str, dict[str, Score]]


def fit_head(Z: Array, y: Int, group: Int, fold: Int, *, learners: Sequence[str], target_prior: float | None) -> Head:
    """Stack, calibration and clip from out-of-fold log-odds.

    Parameters
    ----------
    Z : ndarray of shape (n, n_learners)
        Each row by models that never saw its fold.
    y, group, fold : ndarray of shape (n,)
        Label (1 FAKE), group, fold; two folds or more, both classes.
    target_prior
        None keeps the training prior.
    """
    from ensemble.stack import FITTERS, held_out

    train_prior = float(y.mean())
    prior = train_prior if target_prior is None else target_prior
    stack = fit_stack(Z, y, group, fold, learners)
    z = held_out(FITTERS[stack.kind], Z, y, group, fold)
    calibration = fit_calibration(z, y, group, fold)
    at_target = shift_prior(calibration(z), train_prior, prior)
    bound = clip_bound(at_target, y, prior_weights(y, prior), len(np.unique(group)))
    return Head(stack, calibration, train_prior, prior, bound)


def evaluate(data: TrainingSet, fold: Int, fitted: Fitted, target_prior: float | None, seed: int) -> Evaluation:
    """Judge each learner, the stack and the constant on rows that nothing they use was fitted on."""
    names = list(fitted.outer)
    n = len(data)
    train = {name: np.empty(n) for name in (*names, STACK, CONSTANT)}
    target = {name: np.empty(n) for name in train}
    for number in range(int(fold.max()) + 1):
        out, rest = fold == number, (fold != number) & data.measured
        Z = np.stack([fitted.inner[name][number][rest] for name in names], axis=1)
        head = fit_head(Z, data.y[rest], data.group[rest], fold[rest], learners=names, target_prior=target_prior)
        known = {name: fitted.outer[name] for name in names}
        known[STACK] = head.calibrated(head.stack(np.stack([fitted.outer[name] for name in names], axis=1)))
        known[CONSTANT] = np.full(n, logit_of(head.train_prior))
        for name, z in known.items():
            filled = np.where(data.measured, z, logit_of(head.train_prior))[out]
            bound = head.clip if name == STACK else 1e-6
            train[name][out] = clip_logit(filled, bound)
            target[name][out] = clip_logit(shift_prior(filled, head.train_prior, head.target_prior), bound)
    prior = float(data.y.mean()) if target_prior is None else target_prior
    scores = {
        name: all_scores(data.y, _expit(train[name]), _expit(target[name]), prior, data.group, seed=seed)
        for name in train
    }
    return Evaluation(train, target, scores)


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
    target_prior
        Share of FAKE to predict for; None keeps the training set's.
    settings
        Learner name to settings; by default those of :func:`ensemble.learners.settings_for` for every learner.
    progress
        As in :func:`ensemble.nested.cross_fit`.

    Returns
    -------
    model
        With an empty summary; see :func:`manifest_of`.
    evaluation
        Honest scores.
    """
    if settings is None:
        settings = dict.fromkeys(learner_kinds(), settings_for(len(data), data.n_groups))
    fitted = cross_fit(data, fold, settings, seed=seed, jobs=jobs, progress=progress)
    evaluation = evaluate(data, fold, fitted, target_prior, seed)
    rows = data.measured
    Z = np.stack([fitted.outer[name][rows] for name in fitted.outer], axis=1)
    head = fit_head(
        Z, data.y[rows], data.group[rows], fold[rows], learners=list(fitted.outer), target_prior=target_prior
    )
    return Model(data.layout, fitted.models, head), evaluation


def manifest_of(data: TrainingSet, fold: Int, evaluation: Evaluation, **about: Any) -> dict[str, Any]:
    """Training summary and metrics for the manifest."""
    n_fake = int(data.y.sum())
    summary = {
        "n_clips": len(data),
        "n_real": len(data) - n_fake,
        "n_fake": n_fake,
        "n_groups": data.n_groups,
        "n_folds": int(fold.max()) + 1,
        "n_unmeasured": int((~data.measured).sum()),
        "synthetic": bool(about.pop("synthetic", False)),
        "data": about.pop("table", ""),
    }
    metrics = {
        name: {score: value.as_dict() for score, value in scores.items()} for name, scores in evaluation.scores.items()
    }
    return {"summary": summary, "n_groups": data.n_groups, "metrics": metrics, **about}


def oof_table(data: TrainingSet, fold: Int, evaluation: Evaluation) -> pa.Table:
    """Out-of-fold P(FAKE) of every labelled row.

    Columns filename, label, group, fold; each learner and ``stack`` at the training prior; ``stack_target``.
    """
    columns: dict[str, Any] = {
        "filename": data.filename,
        "label": ["FAKE" if one else "REAL" for one in data.y],
        "group": [data.group_names[one] for one in data.group],
        "fold": fold,
    }
    columns |= {name: _expit(z) for name, z in evaluation.train.items() if name != CONSTANT}
    columns["stack_target"] = _expit(evaluation.target[STACK])
    return pa.table(columns)


def folds_table(data: TrainingSet, fold: Int) -> pa.Table:
    """Which clip was held out when: filename, group, fold."""
    return pa.table({"filename": data.filename, "group": [data.group_names[one] for one in data.group], "fold": fold})


def score_lines(manifest: dict[str, Any]) -> list[str]:
    """The printed table: a line for each learner, the stack and the constant, with 95 % intervals."""
    head = ["", *(title for _, title in PRINTED)]
    rows = [head]
    for name, scores in manifest["metrics"].items():
        rows.append([name, *(_cell(scores[key]) for key, _ in PRINTED)])
    widths = [max(len(row[number]) for row in rows) for number in range(len(head))]
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
    if s["synthetic"]:
        lines.append("SYNTHETIC DATA: these numbers say nothing about real forgeries")
    return lines


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
    result.add_argument("--folds", type=int, help="number of folds (default 5, or those of the fold file)")
    result.add_argument("--folds-file", type=Path, help="fold assignment to keep to (default OUT/folds.parquet)")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--jobs", type=int, default=1, help="fits side by side (default 1); changes no result")
    result.add_argument("--learners", help="comma-separated choice of learners (default all)")
    result.add_argument("--settings", type=Path, help="settings.json written by ensemble.tune")
    result.add_argument("--device", default="cpu", help="cpu or cuda, for the boosters that can")
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
    data = training_set(read_table(arguments.table), str(arguments.table))
    folds_file = arguments.folds_file or arguments.out / "folds.parquet"
    groups = [data.group_names[one] for one in data.group]
    fold = folds_for(folds_file, data.filename, groups, data.y, n_folds=arguments.folds, seed=arguments.seed)
    settings = chosen_settings(data, arguments.learners, arguments.settings, arguments.device)
    model, evaluation = train(
        data,
        fold,
        target_prior=target_prior,
        settings=settings,
        seed=arguments.seed,
        jobs=arguments.jobs,
        progress=None if arguments.quiet else _bar,
    )
    about = manifest_of(
        data, fold, evaluation, seed=arguments.seed, synthetic=arguments.synthetic, table=arguments.table.name
    )
    model.manifest.update(about)
    tables = {"folds.parquet": folds_table(data, fold), "oof.parquet": oof_table(data, fold, evaluation)}
    manifest_file = save_model(model, arguments.out, tables)
    manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
    if arguments.json:
        print(json.dumps({key: manifest[key] for key in ("summary", "metrics", "stack", "calibration", "clip")}))
        return
    print("\n".join([*summary_lines(manifest), "", *score_lines(manifest), ""]))
    print(f"model  {arguments.out}")
    print(f"folds  {arguments.out / 'folds.parquet'}")
    print(f"oof    {arguments.out / 'oof.parquet'}")


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
    """Settings of the learners named (None: all), with a search's findings from ``file`` put over the defaults.

    Raises
    ------
    InputError
        Unknown learner, or a settings file that is none.
    """
    known = list(learner_kinds())
    names = known if learners is None else [name.strip() for name in learners.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--learners: {unknown[0]!r} is unknown; there are {', '.join(known)}")
    if not names:
        raise InputError(f"--learners: name at least one of {', '.join(known)}")
    defaults = with_settings(settings_for(len(data), data.n_groups), {"device": device})
    changes: dict[str, dict[str, Any]] = {}
    if file is not None:
        try:
            changes = json.loads(file.read_text(encoding="utf-8"))["settings"]
            return {name: with_settings(defaults, changes.get(name, {})) for name in names}
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: not the settings that `ensemble.tune` writes ({error})") from error
    return dict.fromkeys(names, defaults)


def _bar(finished: Iterator[Any], total: int) -> Iterator[Any]:
    from tqdm import tqdm

    return iter(tqdm(finished, total=total, desc="fits", unit="fit", file=sys.stderr))


def _cell(score: dict[str, Any]) -> str:
    if score["value"] is None:
        return "-"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def _expit(z: Array) -> Array:
    from scipy.special import expit

    return expit(z)


if __name__ == "__main__":
    sys.exit(main())
