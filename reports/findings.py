"""The conclusion of a report: sentences that follow from the scores and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble.arrays import Array, Int
from ensemble.metrics import Score, log_loss, with_intervals

FEW_GROUPS = 100  # below that, intervals are wide enough to matter more than the values (own choice)
POOR_ECE = 0.1
LARGE_SOURCE_FRACTION = 0.95  # of clips whose source holds one class only


@dataclass(frozen=True)
class Finding:
    """One sentence of the conclusion; ``kind`` is ``good``, ``bad``, ``open`` or ``note``."""

    kind: str
    text: str


def gain_over_constant(y: Int, p: Array, group: Int, *, seed: int = 0) -> Score:
    """Log loss of the constant predictor (the fraction of FAKE), less that of ``p``, with its interval over groups.

    Parameters
    ----------
    y, group : ndarray of shape (n,)
        1 for FAKE; group counted from 0.
    p : ndarray of shape (n,)
        P(FAKE) at the training prior, out of fold. A positive gain is good.
    seed
        Of the interval.
    """
    constant = np.full(len(y), y.mean())
    return with_intervals({"gain": lambda w: log_loss(y, constant, w) - log_loss(y, p, w)}, group, seed=seed)["gain"]


def findings(
    manifest: Mapping[str, Any], gain: Score, one_sided: float, ablation: Mapping[str, Any] | None = None
) -> list[Finding]:
    """The conclusion, most important first.

    Parameters
    ----------
    manifest
        Of a model folder.
    gain
        See :func:`gain_over_constant`.
    one_sided
        Fraction of clips whose source holds one class only; NaN when sources are unknown.
    ablation
        Of :func:`ensemble.ablation.read_ablation`; without it families are judged by the manifest's permutation
        importance.
    """
    summary, stack = manifest["summary"], manifest["metrics"]["stack"]
    return [
        *_synthetic(summary),
        _against_constant(gain),
        *_ranking(stack),
        *_concordance(stack),
        *_calibration(stack),
        *_left_out_sources(manifest),
        *(_ablation(ablation) if ablation else _permutation(manifest.get("permutation_importance", {}))),
        *_cautions(summary, one_sided),
    ]


def _synthetic(summary: Mapping[str, Any]) -> list[Finding]:
    if not summary.get("synthetic"):
        return []
    return [
        Finding(
            "bad",
            "The data is synthetic: clips made from two portraits show that the full pipeline works. "
            "These numbers say nothing about real forgeries.",
        )
    ]


def _against_constant(gain: Score) -> Finding:
    low, high = (f"{bound:.3f}".replace("-", "−") for bound in (gain.low, gain.high))
    interval = f"(95 % interval {low} to {high})"
    if gain.low > 0:
        text = f"The model beats the constant predictor: its log loss is lower by {gain.value:.3f} {interval}."
        return Finding("good", text)
    if gain.high < 0:
        interval = f"(95 % interval {-gain.high:.3f} to {-gain.low:.3f})"
        text = (
            f"The model is worse than the constant predictor: its log loss is higher by {-gain.value:.3f} {interval}."
        )
        return Finding("bad", text)
    value = f"{gain.value:.3f}".replace("-", "−")
    return Finding(
        "open",
        f"It is not shown that the model beats the constant predictor: its log loss is lower by {value} {interval}, "
        "and the interval includes 0.",
    )


def _ranking(stack: Mapping[str, Any]) -> list[Finding]:
    area = stack.get("auc") or {}
    if area.get("value") is None or area.get("low") is None:
        return []
    score = f"AUC {area['value']:.3f} ({area['low']:.3f} to {area['high']:.3f})"
    if area["low"] > 0.5:
        fraction = f"in {100 * area['value']:.0f} % of random pairs the FAKE scores above the REAL"
        return [Finding("good", f"It ranks clips better than chance: {score}; {fraction}.")]
    return [Finding("open", f"Its ranking is not shown to be better than chance: {score}.")]


def _concordance(stack: Mapping[str, Any]) -> list[Finding]:
    score = stack.get("within_group_concordance") or {}
    if score.get("value") is None or score.get("low") is None:
        return []
    text = f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
    if score["low"] > 0.5:
        finding = f"Among clips of one group it separates FAKE from REAL: within-group concordance {text}."
        return [Finding("good", finding)]
    return [
        Finding(
            "open",
            f"Among clips of one group, which look alike, within-group concordance is {text}: not "
            "shown to be better than chance. The model may have learned the source and not the forgery.",
        )
    ]


def _calibration(stack: Mapping[str, Any]) -> list[Finding]:
    error = (stack.get("ece") or {}).get("value")
    if error is None:
        return []
    text = f"Predicted probabilities are off by {error:.3f} on average (ECE; above 0 even for a calibrated model)."
    return [Finding("bad" if error > POOR_ECE else "note", text)]


def _left_out_sources(manifest: Mapping[str, Any]) -> list[Finding]:
    shrinkage = manifest.get("shrinkage", {})
    if "log_loss_with" not in shrinkage:
        return []
    used = shrinkage["a"] or shrinkage["b"]
    loss, entropy = shrinkage["log_loss_with" if used else "log_loss_without"], _entropy(manifest["target_prior"])
    text = f"On sources that no part of the model had seen, log loss is {loss:.3f} at the target prior"
    if loss < entropy:
        return [Finding("note", f"{text}, below the {entropy:.3f} of the constant.")]
    return [Finding("bad", f"{text}, no better than the {entropy:.3f} of the constant: it does not generalise.")]


def _entropy(prior: float) -> float:
    """Log loss of predicting the prior, where it holds."""
    return float(-prior * np.log(prior) - (1 - prior) * np.log1p(-prior))


def _ablation(ablation: Mapping[str, Any]) -> list[Finding]:
    return _by_family(
        ablation,
        helps="Trained without these families, log loss rises",
        hurts="Trained without these families, log loss falls",
        neither="No evidence that these families add to the others",
    )


def _permutation(importance: Mapping[str, Any]) -> list[Finding]:
    return _by_family(
        importance,
        helps="Permuting these families raises log loss",
        hurts="Permuting these families lowers log loss; they mislead the model",
        neither="No evidence that the model gains from these families",
    )


def _by_family(rises: Mapping[str, Any], *, helps: str, hurts: str, neither: str) -> list[Finding]:
    """One finding for each kind of family that there is; the sentence before the colon, the families after it."""
    sentences = zip(("good", "bad", "open"), (helps, hurts, neither), _sorted_out(rises), strict=True)
    return [Finding(kind, f"{sentence}: {families}.") for kind, sentence, families in sentences if families]


def _sorted_out(rises: Mapping[str, Any]) -> tuple[str, str, str]:
    """Names of families whose interval lies above 0, below 0, or across it; those never measured (all 0) left out."""
    rises = {name: rise for name, rise in rises.items() if any((rise["delta_log_loss"], rise["low"], rise["high"]))}
    known = {name: rise for name, rise in rises.items() if rise["low"] is not None}
    helps = sorted(name for name, rise in known.items() if rise["low"] > 0)
    hurts = sorted(name for name, rise in known.items() if rise["high"] < 0)
    return ", ".join(helps), ", ".join(hurts), ", ".join(sorted(rises.keys() - set(helps) - set(hurts)))


def _cautions(summary: Mapping[str, Any], one_sided: float) -> list[Finding]:
    result = []
    if summary["n_groups"] < FEW_GROUPS:
        text = f"Only {summary['n_groups']} independent groups: read the intervals before the values."
        result.append(Finding("note", text))
    if one_sided > LARGE_SOURCE_FRACTION:
        text = (
            f"{100 * one_sided:.0f} % of the clips come from sources that hold one class only: a score over all clips "
            "together measures the source as much as the forgery."
        )
        result.append(Finding("note", text))
    if unmeasured := summary.get("n_unmeasured", 0):
        clips = "1 clip" if unmeasured == 1 else f"{unmeasured} clips"
        text = f"In {clips} nothing that the model reads could be measured: the prior is predicted for them."
        result.append(Finding("note", text))
    text = "Learners, stack and calibration were scored on groups that none of them was fitted on."
    return [*result, Finding("note", text)]
