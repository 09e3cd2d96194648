"""Scores of the speech detector's folds on voices that they were not trained on, with intervals over groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import metrics
from training.voice.data import Voice, systems
from training.voice.splits import Fold, fold_numbers

Array = NDArray[np.float64]

SURE = 2.1972  # logit of P = 0.9


def summary(voices: Sequence[Voice], folds: Sequence[Fold], logits: Mapping[str, Array]) -> dict[str, Any]:
    """Score the logits that each fold's model gave to the voices of the fold.

    Parameters
    ----------
    folds
        Folds from :mod:`training.voice.splits`.
    logits
        Name of a model or a part of it to its logits [n], NaN where nothing could be measured.

    Returns
    -------
    dict
        By name: ``n_synthetic``, ``n_bona_fide`` and ``n_groups`` that were scored; ``auc`` of all, across folds, and
        ``auc_within_folds``, the mean over folds that hold both classes, each with its 95 % interval over groups;
        fractions of ``bona_fide_over_half`` (P above 0.5), ``bona_fide_over_0.9`` and ``synthetic_over_half``; and by
        system ``n`` and ``auc`` against the bona fide voices of the same folds, with its interval.
    """
    return {name: _scores(voices, folds, values) for name, values in logits.items()}


def _scores(voices: Sequence[Voice], folds: Sequence[Fold], logits: Array) -> dict[str, Any]:
    """Return the scores of one model on the voices whose logits [n] are known."""
    known = np.isfinite(logits)
    y = np.array([voice.synthetic for voice in voices])[known].astype(int)
    group = np.unique(np.array([voice.group for voice in voices])[known], return_inverse=True)[1]
    system, fold, scores = systems(voices)[known], fold_numbers(folds)[known], logits[known]
    real, fake = y == 0, y == 1
    whole = {
        "auc": lambda w: metrics.auc(y, scores, w),
        "auc_within_folds": lambda w: within_folds(y, scores, fold, w),
    }
    return {
        "n_synthetic": int(fake.sum()),
        "n_bona_fide": int(real.sum()),
        "n_groups": len(np.unique(group)),
        **{name: _rounded(score.as_dict()) for name, score in metrics.with_intervals(whole, group).items()},
        "bona_fide_over_half": _share(scores[real] > 0),
        "bona_fide_over_0.9": _share(scores[real] > SURE),
        "synthetic_over_half": _share(scores[fake] > 0),
        "systems": {
            name: _system(y, scores, group, fold, system == name) for name in sorted(set(system[fake].tolist()))
        },
    }


def within_folds(y: NDArray[np.int64], scores: Array, fold: NDArray[np.int64], w: Array) -> float:
    """Return the mean of the AUCs of the folds that hold both classes: of ``y``, ``scores``, ``fold``, weights [n]."""
    inside = [fold == number for number in np.unique(fold)]
    values = [metrics.auc(y[rows], scores[rows], w[rows]) for rows in inside]
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _system(
    y: NDArray[np.int64], scores: Array, group: NDArray[np.int64], fold: NDArray[np.int64], of_system: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return number and AUC of one system's voices ``of_system`` [n], against the bona fide voices of their folds."""
    rows = of_system | ((y == 0) & np.isin(fold, fold[of_system]))
    y, scores, fold = y[rows], scores[rows], fold[rows]
    group = np.unique(group[rows], return_inverse=True)[1]
    result = metrics.with_intervals({"auc": lambda w: within_folds(y, scores, fold, w)}, group)
    return {"n": int(of_system.sum()), "auc": _rounded(result["auc"].as_dict())}


def _rounded(score: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 3) for name, value in score.items()}


def _share(is_so: NDArray[np.bool_]) -> float | None:
    return round(float(is_so.mean()), 3) if is_so.size else None
