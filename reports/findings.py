"""What may be concluded from the scores, in sentences that follow from the numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.metrics import Score, log_loss, with_intervals

Array = NDArray[np.float64]
Int = NDArray[np.int64]
FEW_GROUPS = 100  # below that, intervals are wide enough to matter more than the values (own choice)
POOR_ECE = 0.1
LARGE_SOURCE_SHARE = 0.95  # of clips whose source holds one class only


@dataclass(frozen=True)
class Finding:
    """One sentence of the conclusion; ``kind`` is ``good``, ``bad``, ``open`` or ``note``."""

    kind: str
    text: str


def gain_over_constant(y: Int, p: Array, group: Int, *, seed: int = 0) -> Score:
    """Log loss of always saying the share of FAKE, less that of ``p``, with its interval over groups.

    Parameters
    ----------
    y, group : ndarray of shape (n,)
        1 for FAKE; group counted from 0.
    p : ndarray of shape (n,)
        P(FAKE) at the training prior, out of fold. A positive gain is good.
    """
    constant = np.full(len(y), y.mean())
    return with_intervals({"gain": lambda w: log_loss(y, constant, w) - log_loss(y, p, w)}, group, seed=seed)["gain"]


def findings(
    manifest: Mapping[str, Any], gain: Score, one_sided: float, worth: Mapping[str, Any] | None = None
) -> list[Finding]:
    """The conclusion, most important first.

    Parameters
    ----------
    manifest
        Of a model folder.
    worth
        What :func:`ensemble.ablation.read_worth` gives; without it families are judged by the manifest's ablation.
    gain
        See :func:`gain_over_constant`.
    one_sided
        Share of clips whose source holds one class only; NaN when sources are unknown.
    """
    summary, stack = manifest["summary"], manifest["metrics"]["stack"]
    return [
        *_synthetic(summary),
        _against_constant(gain),
        *_ranking(stack),
        *_pairs(stack),
        *_calibration(stack),
        *_left_out_sources(manifest),
        *(_worth(worth) if worth else _leanings(manifest.get("ablation", {}))),
        *_cautions(summary, one_sided),
    ]


def _synthetic(summary: Mapping[str, Any]) -> list[Finding]:
    if not summary.get("synthetic"):
        return []
    return [
        Finding(
            "bad",
            "The data is synthetic: clips made from two portraits show that the whole way works. "
            "These numbers say nothing about forgeries met in the world.",
        )
    ]


def _against_constant(gain: Score) -> Finding:
    low, high = (f"{bound:.3f}".replace("-", "−") for bound in (gain.low, gain.high))
    told = f"(95 % interval {low} to {high})"
    if gain.low > 0:
        text = f"The model knows something: its log loss is lower than the constant's by {gain.value:.3f} {told}."
        return Finding("good", text)
    if gain.high < 0:
        low, high = f"{-gain.high:.3f}", f"{-gain.low:.3f}"
        told = f"(95 % interval {low} to {high})"
        return Finding("bad", f"The model does harm: its log loss is above the constant's by {-gain.value:.3f} {told}.")
    value = f"{gain.value:.3f}".replace("-", "−")
    return Finding(
        "open",
        f"It is not shown that the model beats the constant predictor: its log loss is lower by {value} {told}, "
        "and no difference at all lies within the interval.",
    )


def _ranking(stack: Mapping[str, Any]) -> list[Finding]:
    area = stack.get("auc") or {}
    if area.get("value") is None or area.get("low") is None:
        return []
    told = f"AUC {area['value']:.3f} ({area['low']:.3f} to {area['high']:.3f})"
    if area["low"] > 0.5:
        share = f"in {area['value']:.0%} of random pairs the FAKE scores above the REAL"
        return [Finding("good", f"It ranks clips better than chance: {told}; {share}.")]
    return [Finding("open", f"Its ranking is not shown to be better than chance: {told}.")]


def _pairs(stack: Mapping[str, Any]) -> list[Finding]:
    paired = stack.get("paired_accuracy") or {}
    if paired.get("value") is None or paired.get("low") is None:
        return []
    told = f"{paired['value']:.3f} ({paired['low']:.3f} to {paired['high']:.3f})"
    if paired["low"] > 0.5:
        return [Finding("good", f"Among clips of one original it tells FAKE from REAL: paired accuracy {told}.")]
    return [
        Finding(
            "open",
            f"Among clips of one original, where only the forgery differs, paired accuracy is {told}: not shown to "
            "be better than a coin. What it knows may be of the source and not of the forgery.",
        )
    ]


def _calibration(stack: Mapping[str, Any]) -> list[Finding]:
    error = (stack.get("ece") or {}).get("value")
    if error is None:
        return []
    text = f"Predicted probabilities are off by {error:.3f} on average (ECE; even perfect ones give more than 0)."
    return [Finding("bad" if error > POOR_ECE else "note", text)]


def _left_out_sources(manifest: Mapping[str, Any]) -> list[Finding]:
    ground = manifest.get("ground", {})
    if "log_loss_with" not in ground:
        return []
    pays = ground["a"] or ground["b"]  # else the model draws nothing towards the prior
    loss, coin = ground["log_loss_with" if pays else "log_loss_without"], _entropy(manifest["target_prior"])
    told = f"On sources that no part of the model had seen, log loss is {loss:.3f} at the target prior"
    if loss < coin:
        return [Finding("note", f"{told}, below the {coin:.3f} of the constant.")]
    return [Finding("bad", f"{told}, no better than the {coin:.3f} of the constant: it does not carry over.")]


def _entropy(prior: float) -> float:
    """Log loss of always saying the prior, where it holds."""
    return float(-prior * np.log(prior) - (1 - prior) * np.log1p(-prior))


def _worth(worth: Mapping[str, Any]) -> list[Finding]:
    helps, hurts, rest = _sorted_out(worth)
    said = []
    if helps:
        said.append(Finding("good", f"Trained without these families, log loss rises: {helps}."))
    if hurts:
        said.append(Finding("bad", f"Trained without these families, log loss falls: {hurts}."))
    if rest:
        said.append(Finding("open", f"No evidence that these families add to the others: {rest}."))
    return said


def _leanings(ablation: Mapping[str, Any]) -> list[Finding]:
    helps, hurts, rest = _sorted_out(ablation)
    said = []
    if helps:
        said.append(Finding("good", f"The model leans, rightly, on these families: {helps}."))
    if hurts:
        said.append(Finding("bad", f"The model leans on these families and is misled by them: {hurts}."))
    if rest:
        said.append(Finding("open", f"No evidence that it gains from these families: {rest}."))
    return said


def _sorted_out(rises: Mapping[str, Any]) -> tuple[str, str, str]:
    """Names of families whose interval lies above 0, below 0, or across it; those never measured (all 0) left out."""
    rises = {name: one for name, one in rises.items() if any((one["delta_log_loss"], one["low"], one["high"]))}
    known = {name: one for name, one in rises.items() if one["low"] is not None}
    helps = sorted(name for name, one in known.items() if one["low"] > 0)
    hurts = sorted(name for name, one in known.items() if one["high"] < 0)
    return ", ".join(helps), ", ".join(hurts), ", ".join(sorted(rises.keys() - set(helps) - set(hurts)))


def _cautions(summary: Mapping[str, Any], one_sided: float) -> list[Finding]:
    said = []
    if summary["n_groups"] < FEW_GROUPS:
        text = f"Only {summary['n_groups']} independent groups: read the intervals before the values."
        said.append(Finding("note", text))
    if one_sided > LARGE_SOURCE_SHARE:
        text = (
            f"{one_sided:.0%} of the clips come from sources that hold one class only: a score over all clips "
            "together measures the source as much as the forgery."
        )
        said.append(Finding("note", text))
    if unmeasured := summary.get("n_unmeasured", 0):
        clips = "1 clip" if unmeasured == 1 else f"{unmeasured} clips"
        said.append(Finding("note", f"In {clips} nothing could be measured: the prior stands in."))
    said.append(
        Finding("note", "Learners, stack and calibration were judged on groups that none of them was fitted on.")
    )
    return said
