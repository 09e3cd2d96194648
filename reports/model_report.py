"""The report of a trained model.

One HTML file that opens offline: data set, pipeline, model, evaluation, conclusion, references. Every number
comes from the table, the model's manifest and its out-of-fold predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ensemble.ablation import read_worth, verdict_of
from ensemble.metrics import Score
from ensemble.out_of_fold import OutOfFold, read_oof
from ensemble.store import load_model
from features.table import description, read_table
from reports import references
from reports.findings import findings, gain_over_constant
from reports.html import _write, render
from reports.subgroups import FACE_SIZE, SHARPNESS, dataset_facts, family_facts, one_sided, parts, thirds

if TYPE_CHECKING:
    from ensemble.model import Model
    from reports.plots import Picture

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
        What :func:`ensemble.ablation.read_worth` gives; may be empty.
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
    from reports import plots

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


def write_report(table_file: Path, folder: Path, out: Path, worth: Path | None = None) -> None:
    """Write the report of a model.

    Parameters
    ----------
    table_file, folder
        The model and the table that it was trained on.
    out
        HTML file.
    worth
        What :mod:`ensemble.ablation` wrote; by default ``worth.json`` in the model folder, where there is one.

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


def _score(one: Mapping[str, Any], key: str) -> Score:
    return Score(*(float("nan") if one.get(name) is None else float(one[name]) for name in (key, "low", "high")))
