"""Scale cues, put missing values at the centre, and add indicators of missingness.

Rank-based Gaussian ("rank-gauss", van der Waerden 1952) makes a linear model or a kernel indifferent to
units, tails and monotone distortions of a cue. A network learns such maps itself and does better with cues that keep
their shape: standardised, with bounded tails. Parameters are plain arrays, so that they are stored without pickle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ensemble.arrays import Array, Float, Int

N_KNOTS = 64  # points of each empirical distribution that are kept
MIN_VALUES = 5  # fewer do not describe a distribution
TAIL = 0.01  # fraction of the values at either end that is moved to the edge of the rest
MIN_RANGE = 1e-9  # without the tails; a smaller range is rounding of equal values
MAX_DEVIATION = 4.0  # standard deviations: bounds a cue that is 0 in almost all rows


@dataclass(frozen=True)
class RankGauss:
    """Monotone, piecewise linear maps of columns to a standard normal, fitted on the rows given.

    Unlike scikit-learn's ``QuantileTransformer(64, output_distribution="normal")`` it maps the extremes of n values to
    the normal scores of their mid-ranks, ``1 / (2 n)`` and its complement (-2.6 and 2.6 at 100 rows), not to -5.2 and
    5.2: there a clip at the edge of a small table would be an outlier that dominates a linear model. Ties get their
    middle rank, and the parameters are plain arrays.
    """

    key: ClassVar[str] = "ranks"  # in files

    columns: Int
    """[d] positions of the columns that vary, in the table's matrix."""
    knots: tuple[Array, ...]
    """d increasing arrays of values."""
    scores: tuple[Array, ...]
    """d arrays, the normal score of each knot."""

    @classmethod
    def fit(cls, X: Float) -> RankGauss:
        """Learn the distribution of every column of ``X`` [n, n_columns] that varies; NaN is left out."""
        from scipy.special import ndtri

        columns: list[int] = []
        knots: list[Array] = []
        scores: list[Array] = []
        for number in range(X.shape[1]):
            values = X[:, number]
            values = np.sort(values[~np.isnan(values)].astype(np.float64))
            if len(values) < MIN_VALUES or values[0] == values[-1]:
                continue
            ranks = np.linspace(0.5, len(values) - 0.5, min(N_KNOTS, len(values))) / len(values)
            at = np.quantile(values, ranks, method="hazen")
            distinct, where = np.unique(at, return_inverse=True)
            tied = np.bincount(where, ranks) / np.bincount(where)
            columns.append(number)
            knots.append(_short(distinct))
            scores.append(ndtri(tied))
        return cls(np.array(columns, dtype=np.int64), tuple(knots), tuple(scores))

    def transform(self, X: Float) -> Float:
        """[n, d] normal scores, constant outside the range seen; NaN stays."""
        result = np.empty((len(X), len(self.columns)), dtype=np.float32)
        for number, column in enumerate(self.columns):
            result[:, number] = np.interp(X[:, column], self.knots[number], self.scores[number])
        return result

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "columns": self.columns.tolist(),
            "knots": [knots.tolist() for knots in self.knots],
            "scores": [scores.tolist() for scores in self.scores],
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> RankGauss:
        """Inverse of :meth:`as_dict`."""
        return cls(
            np.array(state["columns"], dtype=np.int64),
            tuple(np.array(knots, dtype=np.float64) for knots in state["knots"]),
            tuple(np.array(scores, dtype=np.float64) for scores in state["scores"]),
        )


@dataclass(frozen=True)
class Standard:
    """Columns without their tails, at mean 0 and standard deviation 1, fitted on the rows given."""

    key: ClassVar[str] = "standard"  # in files

    columns: Int
    """[d] positions, in the table's matrix, of the columns that vary without their tails."""
    low: Array
    """[d] smaller values are moved here."""
    high: Array
    """[d] larger values are moved here."""
    mean: Array
    """[d] of the values then."""
    deviation: Array
    """[d] standard deviation then; above 0."""

    @classmethod
    def fit(cls, X: Float) -> Standard:
        """Learn tails, mean and deviation of every column of ``X`` [n, n_columns] that varies; NaN is left out."""
        columns: list[int] = []
        parameters: list[tuple[float, ...]] = []
        for number in range(X.shape[1]):
            values = X[:, number]
            values = values[~np.isnan(values)].astype(np.float64)
            if len(values) < MIN_VALUES:
                continue
            low, high = np.quantile(values, (TAIL, 1 - TAIL))
            if high - low > MIN_RANGE:
                inside = np.clip(values, low, high)
                columns.append(number)
                parameters.append((low, high, inside.mean(), inside.std()))
        return cls(np.array(columns, dtype=np.int64), *np.array(parameters, dtype=np.float64).reshape(-1, 4).T)

    def transform(self, X: Float) -> Float:
        """[n, d] deviations from the mean, within +-:data:`MAX_DEVIATION`; NaN stays."""
        values = np.clip(X[:, self.columns], self.low, self.high)
        return np.clip((values - self.mean) / self.deviation, -MAX_DEVIATION, MAX_DEVIATION).astype(np.float32)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name).tolist() for name in ("columns", "low", "high", "mean", "deviation")}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Standard:
        """Inverse of :meth:`as_dict`."""
        parameters = (np.array(state[name], dtype=np.float64) for name in ("low", "high", "mean", "deviation"))
        return cls(np.array(state["columns"], dtype=np.int64), *parameters)


Scale = RankGauss | Standard


@dataclass(frozen=True)
class Inputs:
    """The design matrix of learners without trees: scaled cues (missing at 0) and missing indicators.

    Columns of a family that go missing together share one indicator, which belongs to that family.
    """

    scale: Scale
    indicators: Int
    """[k] position, in the table's matrix, of one column of each pattern of missingness."""
    shares: Array
    """[k] fraction of rows in which it was missing: what is subtracted from the indicator."""

    @classmethod
    def fit(cls, X: Float, family_index: Int, min_rows: int = MIN_VALUES, kind: type[Scale] = RankGauss) -> Inputs:
        """Learn from training rows.

        Parameters
        ----------
        X : ndarray of shape (n, n_columns)
            NaN where undefined.
        family_index : ndarray of shape (n_columns,)
            Family of each column.
        min_rows
            A pattern of missingness gets an indicator when at least this many rows have it and as many lack it.
        kind
            Kind of scale.
        """
        missing = np.isnan(X)
        times = missing.sum(axis=0)
        chosen: dict[tuple[int, bytes], int] = {}
        for number in np.flatnonzero((times >= min_rows) & (times <= len(X) - min_rows)):
            chosen.setdefault((int(family_index[number]), np.packbits(missing[:, number]).tobytes()), int(number))
        indicators = np.array(sorted(chosen.values()), dtype=np.int64)
        return cls(kind.fit(X), indicators, times[indicators] / max(len(X), 1))

    def transform(self, X: Float) -> Float:
        """[n, d + k] float32 without NaN."""
        scores = np.nan_to_num(self.scale.transform(X), copy=False)
        absent = np.isnan(X[:, self.indicators]) - self.shares
        return np.hstack([scores, absent.astype(np.float32)])

    @property
    def columns(self) -> Int:
        """[d + k] the table's column that each design column comes from."""
        return np.concatenate([self.scale.columns, self.indicators])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            self.scale.key: self.scale.as_dict(),
            "indicators": self.indicators.tolist(),
            "shares": self.shares.tolist(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Inputs:
        """Inverse of :meth:`as_dict`."""
        kind: type[Scale] = Standard if Standard.key in state else RankGauss
        return cls(
            kind.from_dict(state[kind.key]),
            np.array(state["indicators"], dtype=np.int64),
            np.array(state["shares"], dtype=np.float64),
        )


def _short(values: NDArray[np.floating]) -> Array:
    """The shortest decimal that distinguishes each value from its neighbours in float32, the table's precision."""
    return np.array([float(str(value)) for value in values.astype(np.float32)])
