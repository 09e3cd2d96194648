"""The report of a trained model.

One HTML file that opens offline: data set, pipeline, model, evaluation, conclusion, references. Every number
comes from the table, the model's manifest and its out-of-fold predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ensemble.ablation import read_ablation, verdict_of
from ensemble.metrics import Score
from ensemble.out_of_fold import CONSTANT, STACK, OutOfFold, read_oof
from ensemble.outputs import check_file
from ensemble.store import load_model
from features.table import IMPORTED, description, read_table
from reports import references
from reports.findings import findings, gain_over_constant
from reports.html import write_page
from reports.subgroups import FACE_SIZE, SHARPNESS, dataset_facts, family_facts, one_sided, parts, terciles

if TYPE_CHECKING:
    from ensemble.model import Model
    from reports.plots import Chart

SCORES = (
    ("log_loss", "Log loss", "lower is better; 0.693 is chance at even classes"),
    ("log_loss_target_prior", "Log loss at target prior", "classes weighted to the target prior"),
    ("auc", "AUC", "0.5 is chance"),
    ("brier", "Brier", "lower is better"),
    ("ece", "ECE", "expected calibration error"),
    ("eer", "EER", "equal error rate"),
    (
        "within_group_concordance",
        "Within-group concordance",
        "fraction of FAKE and REAL pairs of a group ranked right, mean over groups; 0.5 is chance",
    ),
)
ABLATION = "ablation.json"  # looked for in the model folder
ABLATION_CAPTION = (
    "Leave-one-family-out ablation: rise of the out-of-fold log loss when learners are trained without the family, "
    "with 95 % intervals over groups. An interval across 0 is no evidence that the family adds to the others."
)
PERMUTATION_CAPTION = (
    "Permutation importance: rise of the model's out-of-fold log loss when a family's columns are permuted between "
    "clips, with 95 % intervals over groups. Correlated families substitute for each other."
)
ATTRIBUTION_CAPTION = (
    "Mean absolute attribution (SHAP) per family, as a fraction of all; each clip is explained by models that never "
    "saw its group. A large value does not mean that the family is right."
)


def model_context(
    table: pa.Table, model: Model, oof: OutOfFold, ablation: Mapping[str, Any], about: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that the template of the model's report shows.

    Parameters
    ----------
    table
        The model's training table.
    oof
        The model's out-of-fold predictions, matched with the table.
    ablation
        Of :func:`ensemble.ablation.read_ablation`; may be empty.
    about
        ``table``, ``model`` and ``extractor``, in words.
    """
    manifest = model.manifest
    gain = gain_over_constant(oof.y, oof.stack, oof.group, seed=manifest.get("seed", 0))
    return {
        "manifest": manifest,
        "summary": manifest["summary"],
        "about": about,
        "imported": about["extractor"] == IMPORTED,
        "gain": gain,
        "titles": score_titles(manifest["metrics"]),
        "scores": score_rows(manifest["metrics"]),
        "charts": charts(manifest, oof, ablation),
        "families": family_facts(table, model.layout.families),
        "ablation": rise_rows(ablation),
        "permutation": rise_rows(manifest.get("permutation_importance", {})),
        "dataset": dataset_facts(table, oof),
        "statuses": parts(table, oof, "status"),
        "sources": parts(table, oof, "source"),
        "face_sizes": terciles(table, oof, FACE_SIZE, " px"),
        "sharpness": terciles(table, oof, SHARPNESS),
        "findings": findings(manifest, gain, one_sided(table, oof), ablation),
        "cue_references": references.of_families(model.layout.families),
        "method_references": [references.METHODS[key] for key in sorted(references.METHODS, key=str.lower)],
    }


def score_rows(metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each learner, then the stack, then the constant: cells in the order of :func:`score_titles`."""
    order = [name for name in metrics if name not in {STACK, CONSTANT}] + [STACK, CONSTANT]
    titles = score_titles(metrics)
    return [
        {"name": name, "cells": [metrics[name].get(key) for key, _, _ in titles]} for name in order if name in metrics
    ]


def score_titles(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Key, title and explanation of the scores that the manifest has."""
    return [score for score in SCORES if score[0] in metrics.get(STACK, {})]


def rise_rows(rises: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Family, rise of log loss, interval and verdict; the largest rise first."""
    rows = []
    for name, rise in rises.items():
        score = _score(rise, "delta_log_loss")
        rows.append({"name": name, "score": score, "verdict": verdict_of(score)})
    return sorted(rows, key=lambda row: -row["score"].value)


def charts(manifest: Mapping[str, Any], oof: OutOfFold, ablation: Mapping[str, Any]) -> dict[str, Chart]:
    """The figures of the report, by name; those without data are absent.

    Parameters
    ----------
    manifest, oof, ablation
        As in :func:`model_context`.
    """
    from reports import plots

    result = {
        "reliability": plots.reliability(plots.reliability_bins(oof.y, oof.stack, oof.group)),
        "roc": plots.roc(oof.y, oof.p),
        "scores": plots.score_distribution(oof.y, oof.stack),
    }
    of_families = {
        "ablation": (ablation, "delta_log_loss", "rise of log loss, trained without the family", ABLATION_CAPTION),
        "permutation": (
            manifest.get("permutation_importance"),
            "delta_log_loss",
            "rise of log loss, family permuted between clips",
            PERMUTATION_CAPTION,
        ),
        "attribution": (
            manifest.get("attribution"),
            "fraction",
            "fraction of the mean absolute attribution",
            ATTRIBUTION_CAPTION,
        ),
    }
    for name, (values, key, label, caption) in of_families.items():
        if values:
            scores = {family: _score(value, key) for family, value in values.items()}
            result[name] = plots.family_bars(scores, label=label, caption=caption)
    return result


def write_report(table_file: Path, folder: Path, out: Path, ablation: Path | None = None) -> None:
    """Write the report of a model.

    Parameters
    ----------
    table_file, folder
        The model and the table that it was trained on.
    out
        HTML file.
    ablation
        JSON of ``deepcue ablate --out``; by default ``ablation.json`` in the model folder, where there is one.

    Raises
    ------
    InputError
        Table, model or ablation can't be used, or the file can't be written.
    """
    check_file(out)
    table, model = read_table(table_file), load_model(folder)
    oof = read_oof(folder, table)
    if ablation is None and (folder / ABLATION).is_file():
        ablation = folder / ABLATION
    rises = read_ablation(ablation) if ablation else {}
    about = {
        "table": table_file.name,
        "model": folder.name,
        "extractor": str(description(table).get("extractor", "unknown")),
    }
    write_page(out, "report.html.j2", model_context(table, model, oof, rises, about))


def _score(value: Mapping[str, Any], key: str) -> Score:
    return Score(*(float("nan") if value.get(name) is None else float(value[name]) for name in (key, "low", "high")))
