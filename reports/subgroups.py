"""The data behind a model: facts of the table, and scores of subgroups by out-of-fold predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ensemble.arrays import Bool, Int
from ensemble.metrics import auc, log_loss
from ensemble.missingness import unmeasured_families
from ensemble.out_of_fold import OutOfFold
from ensemble.training_set import family_of
from features.table import feature_columns
from reports.series_words import number

MIN_CLIPS = 2  # of each class, before an AUC is given for a subgroup
MAX_PARTS = 40  # rows of a table of subgroups, besides the one of all others
FACE_SIZE, SHARPNESS = "quality.iod_px", "quality.blur_lap_face_med"


def dataset_facts(table: pa.Table, oof: OutOfFold) -> list[tuple[str, str]]:
    """Title and text of the facts about the data set: clips, groups, lengths, face tracks."""
    n_groups = int(oof.group.max()) + 1
    fakes = np.bincount(oof.group, oof.y, n_groups)
    sizes = np.bincount(oof.group, minlength=n_groups)
    both = int(((fakes > 0) & (fakes < sizes)).sum())
    durations = np.array([x for x in table.column("duration_s").to_pylist() if x is not None and np.isfinite(x)])
    tracks = Counter(min(int(n or 0), 3) for n in table.column("n_faces").to_pylist())
    n_labelled, n_fake = len(oof.y), int(oof.y.sum())
    percent = 100 * n_fake / n_labelled
    facts = [
        ("Clips", f"{table.num_rows}"),
        ("with a label", f"{n_labelled}: {n_labelled - n_fake} REAL, {n_fake} FAKE ({percent:.0f} %)"),
        ("Groups that are never split", f"{n_groups}, of which {both} hold both labels"),
        ("Clips in the largest group", f"{int(sizes.max())}"),
    ]
    if len(durations):
        low, middle, high = np.quantile(durations, [0.05, 0.5, 0.95])
        facts.append(("Length (5 %, median, 95 %)", f"{low:.1f} s, {middle:.1f} s, {high:.1f} s"))
    names = {0: "none", 1: "one", 2: "two", 3: "three or more"}
    facts.append(("Face tracks in a clip", ", ".join(f"{names[n]} {tracks[n]}" for n in sorted(tracks))))
    return facts


def family_facts(table: pa.Table, families: Mapping[str, int]) -> list[dict[str, Any]]:
    """Version, number of columns, and fraction of clips measured, by label, of each family."""
    from features import discovery

    specs = {family.name: family for family in discovery.families()}
    absent = unmeasured_families(table)
    labels = table.column("label").to_pylist()
    columns = Counter(family_of(name) for name in feature_columns(table))
    facts = []
    for name, version in sorted(families.items()):
        known = specs.get(name)
        measured = [name not in missing for missing in absent]
        facts.append(
            {
                "name": name,
                "version": version,
                "n_columns": columns[name],
                "needs": sorted(known.needs) if known else [],
                "real": _fraction([m for m, label in zip(measured, labels, strict=True) if label == "REAL"]),
                "fake": _fraction([m for m, label in zip(measured, labels, strict=True) if label == "FAKE"]),
            }
        )
    return facts


def one_sided(table: pa.Table, oof: OutOfFold) -> float:
    """Fraction of clips that are of a source with one class only; NaN when sources are unknown."""
    names, number = _numbered(table, oof, "source")
    known = number >= 0
    n_clips = np.bincount(number[known], minlength=len(names))
    n_fake = np.bincount(number[known], oof.y[known], len(names))
    single = n_clips[(n_fake == 0) | (n_fake == n_clips)]
    return float(single.sum() / n_clips.sum()) if names else float("nan")


def parts(table: pa.Table, oof: OutOfFold, column: str) -> list[dict[str, Any]]:
    """Scores of the clips of each value of a base column.

    Of more than :data:`MAX_PARTS` values, such as sources that are single videos, those with the most clips have a part
    each, and the clips of all others have one together.

    Parameters
    ----------
    table, oof
        The model's training table, and the out-of-fold predictions matched with it.
    column
        Of text, as ``source`` or ``status``.

    Returns
    -------
    list of dict
        ``name, n_real, n_fake, n_groups, median, log_loss, auc, both_classes``. The AUC of a part of one class is
        against all clips of the other class (``both_classes`` is False); NaN with too few clips.
    """
    names, number = _numbered(table, oof, column)
    sizes = np.bincount(number[number >= 0], minlength=len(names))
    shown = np.sort(np.argsort(-sizes, kind="stable")[:MAX_PARTS])
    rows = [_part(names[value], number == value, oof) for value in shown]
    if n_others := len(names) - len(shown):
        rows.append(_part(f"{n_others} others", (number >= 0) & ~np.isin(number, shown), oof))
    return rows


def _numbered(table: pa.Table, oof: OutOfFold, column: str) -> tuple[list[str], Int]:
    """Return the values of a column of text, sorted, and [n] the position of each row's value; -1 without one."""
    values = np.array([value or "" for value in table.column(column).to_pylist()], dtype=object)[oof.row]
    names, number = np.unique(values, return_inverse=True)
    n_empty = int(names[:1].tolist() == [""])  # it is the first
    return [str(name) for name in names[n_empty:]], number.astype(np.int64) - n_empty


def terciles(table: pa.Table, oof: OutOfFold, column: str, unit: str = "") -> list[dict[str, Any]]:
    """Scores of the clips in each tercile of a column, and of those without a value.

    Parameters
    ----------
    table, oof
        As in :func:`parts`.
    column, unit
        Numeric column, and what follows its values in the names of the parts.

    Returns
    -------
    list of dict
        As :func:`parts`. Empty when the table lacks the column, or it takes too few values to have terciles.
    """
    if column not in table.column_names:
        return []
    values = table.column(column).to_numpy().astype(np.float64)[oof.row]
    known = np.isfinite(values)
    if not known.any():
        return []
    low, high = np.quantile(values[known], [1 / 3, 2 / 3])
    if not values[known].min() < low < high:
        return []
    named = {
        f"up to {number(low)}{unit}": known & (values <= low),
        f"to {number(high)}{unit}": known & (values > low) & (values <= high),
        f"above {number(high)}{unit}": known & (values > high),
        "not measured": ~known,
    }
    return [_part(name, inside, oof) for name, inside in named.items() if inside.any()]


def score_parts(table: pa.Table, oof: OutOfFold) -> dict[str, list[dict[str, Any]]]:
    """Scores by face size, sharpness, source or method, and status; those with a single part are left out."""
    result = {
        "inter-ocular distance": terciles(table, oof, FACE_SIZE, " px"),
        "sharpness of the face": terciles(table, oof, SHARPNESS),
        "source or method": parts(table, oof, "source"),
        "status": parts(table, oof, "status"),
    }
    return {name: rows for name, rows in result.items() if len(rows) > 1}


def _part(name: str, inside: Bool, oof: OutOfFold) -> dict[str, Any]:
    y, p = oof.y[inside], oof.stack[inside]
    n_fake = int(y.sum())
    n_real = len(y) - n_fake
    both_classes = min(n_real, n_fake) >= MIN_CLIPS
    against = inside if both_classes else inside | (oof.y == int(n_fake == 0))
    enough = both_classes or (min(n_real, n_fake) == 0 and max(n_real, n_fake) >= MIN_CLIPS)
    return {
        "name": name,
        "n_real": n_real,
        "n_fake": n_fake,
        "n_groups": len(np.unique(oof.group[inside])),
        "median": float(np.median(p)),
        "log_loss": log_loss(y, p),
        "auc": auc(oof.y[against], oof.stack[against]) if enough else float("nan"),
        "both_classes": both_classes,
    }


def _fraction(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else float("nan")
