"""Compare a trained model with other tools by out-of-fold predictions of the same clips on the same folds."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ensemble import metrics
from ensemble.arrays import Array
from ensemble.out_of_fold import CONSTANT, STACK, OutOfFold
from ensemble.submission import HEADER
from features.errors import DatasetError
from features.text_table import read_header, read_rows


def read_predictions(file: Path) -> dict[str, float]:
    """Read P(FAKE) by filename from a CSV file ``filename,label``, the format of submissions.

    As in a sample submission, the delimiter may be a semicolon or tab, and names may have capitals and surrounding
    blanks. With semicolons, probabilities may have decimal commas.

    Raises
    ------
    DatasetError
        The file can't be read, lacks the header or names a clip twice, or a value is not a probability.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            header = read_header(stream, HEADER[0])
            rows = [cells for _, cells in read_rows(stream, header)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file}: can't be read as CSV ({error}); give a file `filename,label`") from error
    if [name.lower() for name in header.names] != HEADER:
        raise DatasetError(f"{file}: its first line is not `filename,label`; give P(FAKE) of each clip as label")
    predictions: dict[str, float] = {}
    for row in rows:
        name, value = row[0].strip(), _probability(row, header.delimiter)
        if value is None:
            raise DatasetError(f"{file}: {name!r} has no probability from 0 to 1 in its second column; correct it")
        if name in predictions:
            raise DatasetError(f"{file}: {name!r} appears twice; remove one of the rows")
        predictions[name] = value
    return predictions


def _probability(row: list[str], delimiter: str) -> float | None:
    try:
        value = float(row[1].replace(",", ".") if delimiter == ";" else row[1])
    except (IndexError, ValueError):
        return None
    return value if 0 <= value <= 1 else None


def in_order(predictions: Mapping[str, float], filenames: np.ndarray, file: Path) -> Array:
    """Return the predictions [n] of the named clips.

    Raises
    ------
    DatasetError
        A clip has no prediction: a mean over the other clips would not be the same comparison.
    """
    if lacking := [name for name in filenames if name not in predictions]:
        raise DatasetError(
            f"{file}: {len(lacking)} of {len(filenames)} clips of the model have no prediction ({lacking[0]}, ...); "
            "predict every row of its folds.parquet"
        )
    return np.array([predictions[name] for name in filenames], dtype=np.float64)


def compare(oof: OutOfFold, others: Mapping[str, Array], *, seed: int = 0) -> dict[str, dict[str, metrics.Score]]:
    """Score each learner, the stack, the others and the constant at the training prior.

    Parameters
    ----------
    oof
        Out-of-fold predictions of the model.
    others
        Name to P(FAKE) [n] of each row of ``oof``.
    seed
        Seed of the intervals.

    Returns
    -------
    dict
        Name to scores. ``difference`` is the log loss of the stack minus that of the named tool on the same clips; the
        stack is better where it is below 0. As it is paired, its interval is narrower than those of the two suggest.
    """
    prior = float(oof.y.mean())
    p = {**oof.p, **others, CONSTANT: np.full(len(oof.y), prior)}
    results = {}
    for name, values in p.items():
        scores = metrics.all_scores(oof.y, values, values, prior, oof.group, seed=seed)
        del scores["log_loss_target_prior"]  # the others know no target prior
        results[name] = scores if name == STACK else scores | {"difference": _difference(oof, values, seed)}
    return results


def _difference(oof: OutOfFold, p: Array, seed: int) -> metrics.Score:
    """Log loss of the stack minus that of ``p`` [n], with its interval over groups."""
    scores = {"difference": lambda w: metrics.log_loss(oof.y, oof.stack, w) - metrics.log_loss(oof.y, p, w)}
    return metrics.with_intervals(scores, oof.group, seed=seed)["difference"]
