"""The report of a model: ``python -m ensemble.report --table features.parquet --model artifacts/model --out FILE``.

One HTML file that opens offline: data set, pipeline, model, evaluation, conclusion, references. Every number
comes from the table, the model's manifest and its out-of-fold predictions.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ensemble import references
from ensemble.conclusion import findings, gain_over_constant
from ensemble.evidence import (
    FACE_SIZE,
    SHARPNESS,
    OutOfFold,
    dataset_facts,
    family_facts,
    one_sided,
    parts,
    read_oof,
    thirds,
)
from ensemble.metrics import Score
from ensemble.store import load_model
from ensemble.worth import read_worth, verdict_of
from features.errors import DatasetError, InputError
from features.spec import question
from features.table import description, read_table

if TYPE_CHECKING:
    from ensemble.model import Model
    from ensemble.plots import Picture
    from ensemble.verdict import Verdict

TEMPLATES = Path(__file__).resolve().parent / "templates"
SCORES = (
    ("log_loss", "Log loss", "lower is better; 0.693 is a coin"),
    ("log_loss_target_prior", "Log loss at target prior", "classes weighted to the target prior"),
    ("auc", "AUC", "0.5 is chance"),
    ("brier", "Brier", "lower is better"),
    ("ece", "ECE", "expected calibration error"),
    ("eer", "EER", "equal error rate"),
    ("paired_accuracy", "Paired accuracy", "within groups that hold both labels; 0.5 is chance"),
)
STACK, CONSTANT = "stack", "constant"
WORTH = "worth.json"  # looked for in the model folder
WORTH_CAPTION = (
    "What each family adds to the others: rise of the out-of-fold log loss when learners are trained without it, with "
    "95 % intervals over groups. An interval across 0 is no evidence of worth."
)
ABLATION_CAPTION = (
    "What the model leans on: rise of its out-of-fold log loss when a family's columns are exchanged between clips, "
    "with 95 % intervals over groups. Families that say the same cover for each other."
)
IMPORTANCE_CAPTION = (
    "What the model listens to: each family's share of all contributions to the log-odds, every clip explained by "
    "models that never saw its group. To be listened to is not to be right."
)


def model_context(
    table: pa.Table, model: Model, oof: OutOfFold, worth: Mapping[str, Any], about: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that the template of the model's report shows.

    Parameters
    ----------
    table
        The model's training table.
    worth
        What :func:`ensemble.worth.read_worth` gives; may be empty.
    about
        ``table``, ``model`` and ``extractor``, in words.
    """
    manifest = model.manifest
    gain = gain_over_constant(oof.y, oof.stack, oof.group)
    sources = parts(table, oof, "source")
    return {
        "manifest": manifest,
        "summary": manifest["summary"],
        "about": about,
        "gain": gain,
        "titles": score_titles(manifest["metrics"]),
        "scores": score_rows(manifest["metrics"]),
        "pictures": pictures(manifest, oof, worth),
        "families": family_facts(table, model.layout.families),
        "worth": rise_rows(worth),
        "ablation": rise_rows(manifest.get("ablation", {})),
        "dataset": dataset_facts(table, oof),
        "statuses": parts(table, oof, "status"),
        "sources": sources,
        "face_sizes": thirds(table, oof, FACE_SIZE, " px"),
        "sharpness": thirds(table, oof, SHARPNESS),
        "findings": findings(manifest, gain, one_sided(sources), worth),
        "cue_references": references.of_families(model.layout.families),
        "method_references": [references.METHODS[key] for key in sorted(references.METHODS)],
    }


def score_rows(metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each learner, then the stack, then the constant: cells in the order of :func:`score_titles`."""
    order = [name for name in metrics if name not in {STACK, CONSTANT}] + [STACK, CONSTANT]
    titles = score_titles(metrics)
    return [
        {"name": name, "cells": [metrics[name].get(key) for key, _, _ in titles]} for name in order if name in metrics
    ]


def score_titles(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Key, title and remark of the scores that the manifest has."""
    return [one for one in SCORES if one[0] in metrics.get(STACK, {})]


def rise_rows(rises: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Family, rise of log loss, interval and verdict; the most valuable first."""
    rows = []
    for name, one in rises.items():
        score = _score(one, "delta_log_loss")
        rows.append({"name": name, "score": score, "verdict": verdict_of(score)})
    return sorted(rows, key=lambda row: -row["score"].value)


def pictures(manifest: Mapping[str, Any], oof: OutOfFold, worth: Mapping[str, Any]) -> dict[str, Picture]:
    """The figures of the report, by name; those without data are absent."""
    from ensemble import plots

    drawn = {
        "reliability": plots.reliability(plots.reliability_bins(oof.y, oof.stack, oof.group)),
        "roc": plots.roc(oof.y, oof.p),
        "scores": plots.score_distribution(oof.y, oof.stack),
    }
    of_families = {
        "worth": (worth, "delta_log_loss", "rise of log loss, trained without the family", WORTH_CAPTION),
        "ablation": (
            manifest.get("ablation"),
            "delta_log_loss",
            "rise of log loss, family exchanged between clips",
            ABLATION_CAPTION,
        ),
        "importance": (manifest.get("importance"), "share", "share of all contributions", IMPORTANCE_CAPTION),
    }
    for name, (values, key, label, caption) in of_families.items():
        if values:
            scores = {family: _score(one, key) for family, one in values.items()}
            drawn[name] = plots.family_bars(scores, label=label, caption=caption)
    return drawn


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template of this package; what is undefined is an error, and all values are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["interval"] = _interval
    environment.filters["signed"] = _signed
    environment.filters["question"] = question
    return environment.get_template(template).render(context)


def write_report(table_file: Path, folder: Path, out: Path, worth: Path | None = None) -> None:
    """Write the report of a model.

    Parameters
    ----------
    table_file, folder
        The model and the table that it was trained on.
    out
        HTML file.
    worth
        What :mod:`ensemble.worth` wrote; by default ``worth.json`` in the model folder, where there is one.

    Raises
    ------
    InputError
        Table, model or worth can't be used, or the file can't be written.
    """
    table, model = read_table(table_file), load_model(folder)
    oof = read_oof(folder, table)
    if worth is None and (folder / WORTH).is_file():
        worth = folder / WORTH
    told = read_worth(worth) if worth else {}
    about = {
        "table": table_file.name,
        "model": folder.name,
        "extractor": str(description(table).get("extractor", "unknown")),
    }
    _write(out, render("report.html.j2", model_context(table, model, oof, told, about)))


def write_clip_report(out: Path, verdicts: Sequence[Verdict], manifest: Mapping[str, Any], folder: Path) -> None:
    """Write what a model says of clips, one page for all of them.

    Raises
    ------
    InputError
        The file can't be written.
    """
    from ensemble.verdict import LIKELY_FAKE_ABOVE, LIKELY_REAL_BELOW, NOTHING, model_line

    context = {
        "verdicts": verdicts,
        "manifest": manifest,
        "model_line": model_line(dict(manifest), folder),
        "low": LIKELY_REAL_BELOW,
        "high": LIKELY_FAKE_ABOVE,
        "nothing": NOTHING,
    }
    _write(out, render("clip.html.j2", context))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 the user's input can't be used."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    one = argparse.ArgumentParser(
        prog="python -m ensemble.report",
        description="Write the report of a trained model: one HTML file that opens offline.",
        epilog="example: python -m ensemble.report --table artifacts/features.parquet --model artifacts/model "
        "--out report.html",
    )
    one.add_argument("--table", required=True, type=Path, help="feature table that the model was trained on")
    one.add_argument("--model", required=True, type=Path, help="model folder")
    one.add_argument("--out", required=True, type=Path, help="HTML file to write")
    one.add_argument("--worth", type=Path, help=f"what `ensemble.worth --out` wrote (default: MODEL/{WORTH})")
    arguments = one.parse_args(argv)
    try:
        write_report(arguments.table, arguments.model, arguments.out, arguments.worth)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"report {arguments.out}")
    return 0


def _score(one: Mapping[str, Any], key: str) -> Score:
    return Score(*(float("nan") if one.get(name) is None else float(one[name]) for name in (key, "low", "high")))


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _interval(score: Mapping[str, Any] | Score | None, digits: int = 3) -> str:
    low, high = (score.low, score.high) if isinstance(score, Score) else ((score or {}).get(k) for k in ("low", "high"))
    if low is None or high is None or not np.isfinite([low, high]).all():
        return ""
    return f"{_number(low, digits)} to {_number(high, digits)}"


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{out}: can't be written ({error}); give another file") from error


if __name__ == "__main__":
    sys.exit(main())
