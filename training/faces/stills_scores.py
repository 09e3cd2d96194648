"""Scores of the forensic network on stills of people whom it never saw; parts that several runs held out are pooled."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import metrics
from features.errors import DatasetError
from training.faces import batches, scores

COLUMNS = ("key", "group", "fake", "original", "logit")


def measure(
    predict: scores.Predict, pool: batches.Pool, rows: NDArray[np.int64], size: int, file: Path
) -> dict[str, float]:
    """Scores of some stills of a pool; their logits go to a CSV file, for :func:`main`."""
    logits = predict(batches.crops_of(pool, rows, size))
    with file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(COLUMNS)
        for row, logit in zip(rows, logits, strict=True):
            table.writerow((pool.key[row], pool.group[row], int(pool.fake[row]), pool.original[row], f"{logit:.4f}"))
    found = scores.rounded(logits, pool.fake[rows])
    right = _right_order(pool.key[rows], pool.original[rows], pool.fake[rows], logits)
    return found | {"paired": round(float(np.nanmean(right)), 4) if np.isfinite(right).any() else float("nan")}


def lines(columns: dict[str, NDArray[Any]]) -> list[str]:
    """AUC, log loss, Brier score, ECE, and pairs in the right order: a FAKE with its original."""
    from scipy.special import expit

    z, y = columns["logit"], columns["fake"].astype(np.int64)
    p = expit(z)
    number = np.unique(columns["group"], return_inverse=True)[1]
    right = _right_order(columns["key"], columns["original"], columns["fake"], z)
    paired = np.isfinite(right)
    scores: dict[str, Callable[[NDArray[np.float64]], float]] = {
        "AUC": lambda w: metrics.auc(y, z, w),
        "log loss": lambda w: metrics.log_loss(y, p, w),
        "Brier": lambda w: metrics.brier(y, p, w),
        "ECE": lambda w: metrics.ece(y, p, w),
        "pairs": lambda w: float(np.average(right[paired], weights=w[paired])) if w[paired].any() else float("nan"),
    }
    found = metrics.with_intervals(scores, number)
    head = f"{len(y)} stills ({int(y.sum())} FAKE) of {number.max() + 1} groups, {int(paired.sum())} pairs"
    return [head, *(f"{name:10s}{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]" for name, s in found.items())]


def _read(files: Sequence[Path]) -> dict[str, NDArray[Any]]:
    rows: list[tuple[str, ...]] = []
    for file in files:
        try:
            with file.open(newline="", encoding="utf-8") as text:
                rows += [tuple(row[name] for name in COLUMNS) for row in csv.DictReader(text)]
        except (OSError, KeyError) as error:
            raise DatasetError(f"{file}: no logits of stills ({error}); give what a training run wrote") from error
    if not rows:
        raise DatasetError(f"{files[0]}: no stills in it; give what a training run wrote")
    key, group, fake, original, logit = (np.array(one, dtype=object) for one in zip(*rows, strict=True))
    if len(set(key)) < len(key):
        raise DatasetError(f"{files[-1]}: some stills are in two files; give runs that held out different people")
    return {"key": key, "group": group.astype(str), "fake": fake == "1", "original": original} | {
        "logit": logit.astype(np.float64)
    }


def _right_order(
    key: NDArray[Any], original: NDArray[Any], fake: NDArray[np.bool_], logits: NDArray[Any]
) -> NDArray[np.float64]:
    """[n] 1 where a forgery's logit is above its original's, else 0; NaN for a REAL and where no original is here."""
    of = dict(zip(key, logits, strict=True))
    above = [float(logit > of.get(one, np.nan)) for one, logit in zip(original, logits, strict=True)]
    return np.where(fake & np.array([one in of for one in original]), above, np.nan)
