"""Scores of a face network on stills of unseen identities, pooled over runs that held out different folds."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import metrics
from features.errors import DatasetError
from training.faces import pools, scores

COLUMNS = ("key", "group", "fake", "original", "logit")


def measure(
    predict: scores.Predict, pool: pools.Pool, rows: NDArray[np.int64], size: int, file: Path
) -> dict[str, float]:
    """Score the stills at ``rows`` [n] of a pool, and write their logits to a CSV file, for :func:`read`."""
    logits = predict(pools.crops_of(pool, rows, size))
    with file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(COLUMNS)
        for row, logit in zip(rows, logits, strict=True):
            table.writerow((pool.key[row], pool.group[row], int(pool.fake[row]), pool.original[row], f"{logit:.4f}"))
    result = scores.rounded(logits, pool.fake[rows])
    ranked = forgeries_ranked_correctly(pool.key[rows], pool.original[rows], pool.fake[rows], logits)
    return result | {
        "forgeries_ranked_correctly": round(float(np.nanmean(ranked)), 4) if np.isfinite(ranked).any() else float("nan")
    }


def summary_lines(columns: dict[str, NDArray[Any]]) -> list[str]:
    """Format AUC, log loss, Brier score, ECE, and forgeries ranked above their original, with 95 % intervals.

    Parameters
    ----------
    columns
        Result of :func:`read`.
    """
    z, y = columns["logit"], columns["fake"].astype(np.int64)
    p = scores.probabilities(z)
    number = np.unique(columns["group"], return_inverse=True)[1]
    ranked = forgeries_ranked_correctly(columns["key"], columns["original"], columns["fake"], z)
    paired = np.isfinite(ranked)
    measures: dict[str, Callable[[NDArray[np.float64]], float]] = {
        "AUC": lambda w: metrics.auc(y, z, w),
        "log loss": lambda w: metrics.log_loss(y, p, w),
        "Brier": lambda w: metrics.brier(y, p, w),
        "ECE": lambda w: metrics.ece(y, p, w),
        "ranked correctly": lambda w: (
            float(np.average(ranked[paired], weights=w[paired])) if w[paired].any() else float("nan")
        ),
    }
    result = metrics.with_intervals(measures, number)
    n_pairs = int(paired.sum())
    head = (
        f"{len(y)} stills ({int(y.sum())} FAKE) of {number.max() + 1} groups, {n_pairs} forgeries with their original"
    )
    return [
        head,
        *(f"{name:18s}{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]" for name, score in result.items()),
    ]


def read(files: Sequence[Path]) -> dict[str, NDArray[Any]]:
    """Read the files that :func:`measure` wrote, and return their stacked columns [n] by name.

    Raises
    ------
    DatasetError
        A file is missing or of another kind, or a still appears twice.
    """
    rows: list[tuple[str, ...]] = []
    for file in files:
        try:
            with file.open(newline="", encoding="utf-8") as text:
                rows += [tuple(row[name] for name in COLUMNS) for row in csv.DictReader(text)]
        except FileNotFoundError as error:
            raise DatasetError(f"{file}: no such file; give the PHASE.stills.csv of a training run") from error
        except (OSError, KeyError) as error:
            raise DatasetError(
                f"{file}: not a file of logits of stills ({error}); give the PHASE.stills.csv of a training run"
            ) from error
    if not rows:
        raise DatasetError(f"{files[0]}: has no stills; give the PHASE.stills.csv of a training run")
    key, group, fake, original, logit = (np.array(column, dtype=object) for column in zip(*rows, strict=True))
    if len(set(key)) < len(key):
        raise DatasetError(f"{files[-1]}: some stills are in two files; give runs that held out different folds")
    return {"key": key, "group": group.astype(str), "fake": fake == "1", "original": original} | {
        "logit": logit.astype(np.float64)
    }


def forgeries_ranked_correctly(
    key: NDArray[Any], original: NDArray[Any], fake: NDArray[np.bool_], logits: NDArray[Any]
) -> NDArray[np.float64]:
    """Return 1 where a forgery's logit exceeds its original's, else 0 [n]; NaN for REAL and for a missing original."""
    logit_of = dict(zip(key, logits, strict=True))
    above = [float(logit > logit_of.get(name, np.nan)) for name, logit in zip(original, logits, strict=True)]
    return np.where(fake & np.array([name in logit_of for name in original]), above, np.nan)
