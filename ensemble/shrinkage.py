"""Out-of-distribution (OOD) shrinkage: rows outside the model's applicability domain are shrunk towards the prior.

The applicability domain is the region of the training rows. Two distances measure how far a row lies outside. The 90 %
quantile of the training rows' own distances is subtracted from each, so that a typical clip is not shrunk. The
distances never point to REAL or FAKE; they only lower confidence:

- **excess**: how far its cues lie outside the range (5 % to 95 %) of the training rows, in widths of that
  range, at most 3, averaged over the cues that it has;
- **missing**: the fraction of the usually measured cues that it lacks.

The distance of its calibrated log-odds to the prior's is multiplied by the shrinkage factor
``1 / (1 + a excess + b missing)``. The strengths a and b are those with the lowest log loss on left-out sources. They
stay 0, and nothing is shrunk, unless they lower log loss on sources that they were not chosen on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ensemble.arrays import Array, Bool, Float, Int
from ensemble.metrics import logit_losses
from ensemble.training_set import sampled_rows

EDGES = (0.05, 0.95)
TYPICAL = 0.9  # quantile of the distances of the training rows themselves
MAX_EXCESS = 3.0
STRENGTHS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)  # for both distances; 8 halves a row an eighth of a width outside
MAX_ROWS = 20_000  # rows of the training table that the ranges are computed from


@dataclass(frozen=True)
class Shrinkage:
    """The ranges of the training table, and how strongly confidence is lowered outside them."""

    low: Array
    """[n_columns] 5 % point of each column; NaN for a column that does not vary."""
    high: Array
    """[n_columns] 95 % point."""
    present: Array
    """[n_columns] fraction of training rows in which the column is defined."""
    typical: Array
    """[2] excess and missing that nine in ten training rows do not exceed."""
    a: float = 0.0
    b: float = 0.0

    @classmethod
    def of(cls, X: Float, *, seed: int = 0) -> Shrinkage:
        """Learn the ranges of training rows ``X`` [n, n_columns], or of a sample (by ``seed``) of many; strengths 0."""
        present = np.mean(~np.isnan(X), axis=0)  # of all rows: a sample may lack a column that few rows have
        X = X[sampled_rows(np.arange(len(X)), MAX_ROWS, seed)]
        low, high = np.full(X.shape[1], np.nan), np.full(X.shape[1], np.nan)
        for number in range(X.shape[1]):
            values = X[:, number][~np.isnan(X[:, number])].astype(np.float64)  # a float32 range may overflow
            if len(values) and np.ptp(values) > 0:
                edges = np.quantile(values, EDGES)
                if edges[1] > edges[0]:
                    low[number], high[number] = edges
        ranges = cls(low, high, present, np.zeros(2))
        return replace(ranges, typical=np.quantile(ranges.distances(X), TYPICAL, axis=0))

    def distances(self, X: Float) -> Array:
        """[n, 2] excess and missing of each row beyond the typical ones."""
        width = self.high - self.low
        outside = np.maximum(np.maximum(self.low - X, X - self.high), 0.0) / width
        defined = ~np.isnan(outside)
        excess = np.minimum(np.where(defined, outside, 0.0), MAX_EXCESS).sum(axis=1) / np.maximum(
            defined.sum(axis=1), 1
        )
        missing = np.isnan(X) @ self.present / max(float(self.present.sum()), 1e-12)
        return np.maximum(np.stack([excess, missing], axis=1) - self.typical, 0.0)

    def factor(self, X: Float) -> Array:
        """[n] shrinkage factor of each row, in (0, 1]; 1 leaves its log-odds as they are."""
        if self.a == self.b == 0:
            return np.ones(len(X))
        return factor(self.distances(X), self.a, self.b)

    def with_strengths(self, a: float, b: float) -> Shrinkage:
        """Return the same ranges with other strengths."""
        return replace(self, a=a, b=b)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; undefined ranges become None."""
        ranges = [
            None if np.isnan(low) else [low, high]
            for low, high in zip(self.low.tolist(), self.high.tolist(), strict=True)
        ]
        arrays = {"present": self.present.tolist(), "typical": self.typical.tolist()}
        return {"ranges": ranges, **arrays, "a": self.a, "b": self.b}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Shrinkage:
        """Inverse of :meth:`as_dict`."""
        ranges = np.array([(np.nan, np.nan) if edges is None else edges for edges in state["ranges"]], dtype=np.float64)
        ranges = ranges.reshape(-1, 2)
        present, typical = np.array(state["present"]), np.array(state["typical"])
        return cls(ranges[:, 0], ranges[:, 1], present, typical, float(state["a"]), float(state["b"]))


@dataclass(frozen=True)
class LeftOut:
    """Left-out sources: predictions by models that saw nothing of a row's source and group.

    ``rows`` [n] are positions in the training set; ``z`` [n] log-odds minus those of the prior; ``distances`` [n, 2]
    from the rows that the models saw; ``part`` [n] the left-out part of each row; ``weights`` [n] bring the classes to
    the target prior.
    """

    rows: Int
    z: Array
    prior: float
    """Log-odds of the prior, which ``z`` is relative to."""
    y: Int
    distances: Array
    part: Int
    weights: Array

    def subset(self, rows: Bool) -> LeftOut:
        """The rows where the mask ``rows`` [n] is True."""
        return LeftOut(
            self.rows[rows],
            self.z[rows],
            self.prior,
            self.y[rows],
            self.distances[rows],
            self.part[rows],
            self.weights[rows],
        )

    def summary(self) -> dict[str, Any]:
        """Return the log loss at the target prior, unshrunk and shrunk by strengths chosen on the other parts."""
        weight = self.weights.mean()
        return {
            "n_clips": len(self.y),
            "n_parts": len(np.unique(self.part)),
            "log_loss_without": float(loss(self, 0.0, 0.0).mean() / weight),
            "log_loss_with": float(nested_loss(self).mean() / weight),
        }


def factor(distances: Array, a: float, b: float) -> Array:
    """[n] ``1 / (1 + a excess + b missing)`` of ``distances`` [n, 2]."""
    return 1 / (1 + distances @ np.array([a, b]))


def chosen_strengths(left_out: LeftOut) -> tuple[float, float]:
    """Return the strengths with the lowest log loss; (0, 0) unless the gain on other sources exceeds a standard error.

    The standard error is that of the summed gain over the left-out parts, which are independent of each other.
    """
    parts, part = np.unique(left_out.part, return_inverse=True)
    if len(parts) < 2:
        return 0.0, 0.0
    gains = np.bincount(part, loss(left_out, 0.0, 0.0) - nested_loss(left_out))
    if not gains.sum() > np.sqrt(len(parts)) * gains.std(ddof=1):
        return 0.0, 0.0
    return best_strengths(left_out)


def best_strengths(left_out: LeftOut) -> tuple[float, float]:
    """Return the strengths with the lowest log loss on the given rows; of equal ones, the weaker."""
    grid = [(a, b) for a in STRENGTHS for b in STRENGTHS]
    return grid[int(np.argmin([loss(left_out, a, b).mean() for a, b in grid]))]


def nested_loss(left_out: LeftOut) -> Array:
    """[n] weighted loss of each row, by strengths chosen on the other parts."""
    losses = loss(left_out, 0.0, 0.0)
    for part in np.unique(left_out.part):
        out = left_out.part == part
        if not out.all():
            a, b = best_strengths(left_out.subset(~out))
            losses[out] = loss(left_out.subset(out), a, b)
    return losses


def loss(left_out: LeftOut, a: float, b: float) -> Array:
    """[n] weighted log loss of each row after shrinkage with these strengths."""
    z = left_out.prior + left_out.z * factor(left_out.distances, a, b)
    return left_out.weights * logit_losses(left_out.y, z)
