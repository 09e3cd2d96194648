"""Norms: how each cue is spread over genuine clips, to compare a clip with.

Quantiles over the REAL clips of a feature table, every source with the same total weight, since clips of one source
resemble each other. They show how usual a value is, and nothing about forgery: many sources differ more from each other
than a fake from its original. Columns of trained families must be out of fold (``deepcue oof``): a network gives the
clips that it learned from lower scores than genuine clips that it never saw.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from artifacts import PRETRAINED
from features.errors import TableError
from features.table import feature_columns, table_families

FILE = PRETRAINED / "norms.json"
SCHEMA_VERSION = 1
LEVELS = (0.0, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 1.0)
MIN_CLIPS = 20
"""A column that fewer genuine clips have is left out: its outer quantiles would be single clips."""
DIGITS = 6  # significant
MIN_TIE = 0.05
"""A value is stored as a tie if at least two clips have it, and so much of the weight."""


@dataclass(frozen=True)
class Norm:
    """The spread of one column over genuine clips.

    ``quantiles`` are at :data:`LEVELS`; ``n_clips`` have the column, of ``n_sources`` sources. ``ties`` are the values
    that many clips share: value, weight below it and weight of the value itself, both as fractions of 1. Files of
    earlier versions lack ties; there, repeated quantiles show how wide a tie is at least.
    """

    quantiles: tuple[float, ...]
    n_clips: int
    n_sources: int
    ties: tuple[tuple[float, float, float], ...] = ()

    def position(self, value: float) -> float:
        """Fraction of genuine clips below ``value``, 0 to 1, interpolated between the quantiles; NaN for NaN.

        Where many clips share a value, the middle of their fractions. 0 and 1 are of values outside all clips: within,
        a clip lies in the middle of its own fraction. Values are compared by the :data:`DIGITS` that quantiles have.

        >>> norm = Norm(tuple(10 * level for level in LEVELS), 100, 5)
        >>> norm.position(2.5), norm.position(0), norm.position(-1)
        (0.25, 0.005, 0.0)
        """
        if math.isnan(value):
            return math.nan
        q, value = np.asarray(self.quantiles), rounded(value)
        if not q[0] <= value <= q[-1]:
            return float(value > q[-1])
        half = 0.5 / self.n_clips
        return min(max(self._level(value), half), 1 - half)

    def _level(self, value: float) -> float:
        """The level of a value within the quantiles."""
        (q, levels), (first, last) = self._knots, self._tied(value)
        if first < last:
            return float(levels[first] + levels[last - 1]) / 2
        return float(np.interp(value, q[first - 1 : first + 1], levels[first - 1 : first + 1]))

    def same(self, value: float) -> float:
        """Fraction of genuine clips that have exactly this value, as far as :attr:`ties` or the quantiles show."""
        first, last = self._tied(rounded(value))
        return float(self._knots[1][last - 1] - self._knots[1][first]) if first < last else 0.0

    def is_tie(self, value: float) -> bool:
        """Whether :meth:`same` is exact; otherwise the fraction may be larger."""
        return rounded(value) in [tie[0] for tie in self.ties]

    def _tied(self, value: float) -> tuple[int, int]:
        q, _ = self._knots
        return int(np.searchsorted(q, value, "left")), int(np.searchsorted(q, value, "right"))

    @property
    def _knots(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Increasing values, and the level of each; a tied value appears with its lowest and its highest level."""
        knots = [(value, level) for value, below, equal in self.ties for level in (below, below + equal)]
        tied = {value for value, _ in knots}
        for q, level in zip(self.quantiles, LEVELS, strict=True):
            within = any(below <= level <= below + equal for _, below, equal in self.ties)
            if q not in tied and not within:  # an interpolated quantile within a tie may miss its value
                knots.append((q, level))
        q, levels = np.array(sorted(knots)).T
        return q, np.maximum.accumulate(levels)


def norms_of(table: pa.Table) -> dict[str, Norm]:
    """The norm of every column that at least :data:`MIN_CLIPS` REAL clips of a feature table have.

    Raises
    ------
    TableError
        The table has no REAL clip.
    """
    real = table.filter(pa.compute.equal(table["label"], "REAL"))
    if not real.num_rows:
        raise TableError("the table has no REAL clip: norms are of genuine clips; give a table with labels")
    source = np.array([str(name) for name in real["source"].to_pylist()])
    norms = {}
    for name in feature_columns(real):
        values = np.asarray(real[name].to_numpy(), np.float64)
        defined = np.isfinite(values)
        if defined.sum() >= MIN_CLIPS:
            sources = source[defined]
            weights = _balanced(sources)
            quantiles, ties = weighted_quantiles(values[defined], weights), ties_of(values[defined], weights)
            norms[name] = Norm(quantiles, int(defined.sum()), len(set(sources)), ties)
    return norms


def _balanced(sources: NDArray[np.str_]) -> NDArray[np.float64]:
    """[n] weights that give every source the same total."""
    n = Counter(sources.tolist())
    return np.array([1.0 / n[name] for name in sources.tolist()])


def weighted_quantiles(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, ...]:
    """Quantiles at :data:`LEVELS` of values [n] with weights [n], each value at the middle of its weight."""
    order = np.argsort(values, kind="stable")
    middle = np.cumsum(weights[order]) - weights[order] / 2
    at = np.interp(LEVELS, middle / weights.sum(), values[order])
    at[0], at[-1] = values.min(), values.max()
    return tuple(rounded(float(value)) for value in at)


def ties_of(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    """Values [n] that many clips share, as in :attr:`Norm.ties`; values are compared by their :data:`DIGITS`.

    >>> ties_of(np.array([0.0, 0.0, 1.0, 2.0]), np.ones(4))
    ((0.0, 0.0, 0.5),)
    """
    distinct, which, n = np.unique([rounded(float(v)) for v in values], return_inverse=True, return_counts=True)
    equal = np.bincount(which, weights) / weights.sum()
    below = np.cumsum(equal) - equal
    tied = np.flatnonzero((n > 1) & (equal >= MIN_TIE))
    return tuple((float(distinct[k]), rounded(float(below[k])), rounded(float(equal[k]))) for k in tied)


def rounded(value: float) -> float:
    """A value with the digits that norms have."""
    return float(f"{value:.{DIGITS}g}")


def write_norms(table: pa.Table, file: Path) -> dict[str, Norm]:
    """Write the norms of a table, with the versions of its families, and return them."""
    norms = norms_of(table)
    content = {
        "schema": SCHEMA_VERSION,
        "families": table_families(table),
        "levels": LEVELS,
        "columns": {name: _entry(norm) for name, norm in sorted(norms.items())},
    }
    file.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    return norms


def _entry(norm: Norm) -> dict[str, Any]:
    return {key: value for key, value in asdict(norm).items() if key != "ties" or value}


def read_norms(families: Mapping[str, int], file: Path = FILE) -> dict[str, Norm]:
    """Norms of the columns whose family is measured in the version that the norms were made from.

    Parameters
    ----------
    families
        Family to version, as :func:`features.table.table_families` gives them.

    Raises
    ------
    TableError
        The file is missing or is not one of norms.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA_VERSION or tuple(content["levels"]) != LEVELS:
            raise KeyError("schema")
        same = {name for name, version in content["families"].items() if families.get(name) == version}
        return {
            name: Norm(
                tuple(entry["quantiles"]),
                int(entry["n_clips"]),
                int(entry["n_sources"]),
                tuple((float(value), float(below), float(equal)) for value, below, equal in entry.get("ties", ())),
            )
            for name, entry in content["columns"].items()
            if name.split(".", 1)[0] in same
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{file}: can't be read as norms ({error}); make them with `deepcue norms`") from error
