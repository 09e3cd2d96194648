"""Base learners behind one small interface: they turn the cues of a clip into one log-odds.

``fit(X, y, groups, seed)`` learns from the given rows only; ``predict_logit(X)`` gives log-odds
of FAKE at the prior of those rows; ``family_logits(X)`` splits them exactly by cue family; ``save``/``load`` use the
libraries' text formats or JSON and arrays, never pickle. A learner that was neither fitted nor loaded raises
scikit-learn's ``NotFittedError``.

All settings follow the number of groups, not of rows: sixty clips of ten people say little more than ten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.grouped_splits import grouped_splits
from ensemble.training_set import Layout
from features.errors import InputError

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class LearnerSettings:
    """The settings of a learner that a search may change; :func:`settings_for` fits them to the size of the data.

    Boosters read all but ``l1_ratio``, ``logistic`` reads ``n_bags`` and ``l1_ratio``, ``kernel`` and ``mlp`` read
    ``n_bags``; the others read none.

    Raises
    ------
    InputError
        A value out of range.
    """

    n_bags: int = 4
    """Fits per model, each leaving out one n-th of the groups to stop by; 1 or more."""
    n_rounds: int = 250
    """Most trees; 1 or more."""
    patience: int = 20
    """Rounds without improvement after which growing stops; 1 or more."""
    learning_rate: float = 0.08
    """Above 0, at most 1."""
    n_leaves: int = 6
    """Of a tree; 2 or more."""
    min_leaf_rows: int = 5
    """1 or more."""
    column_share: float = 0.3
    """Fraction of the columns that a tree may use; above 0, at most 1."""
    row_share: float = 0.8
    """Fraction of the rows that a tree is grown on; above 0, at most 1."""
    l2: float = 5.0
    """Ridge penalty on leaf values; 0 or more."""
    max_bin: int = 63
    """Histogram bins of a column; 2 or more."""
    l1_ratio: float = 0.3
    """Of the elastic net: 0 is ridge, 1 is lasso."""
    device: str = "cpu"
    """``cpu`` or ``cuda``, for XGBoost."""

    def __post_init__(self) -> None:
        least = {"n_bags": 1, "n_rounds": 1, "patience": 1, "n_leaves": 2, "min_leaf_rows": 1, "max_bin": 2}
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
                raise InputError(f"setting {name}={value!r}: give a whole number of {low} or more")
        for name in ("learning_rate", "column_share", "row_share"):
            if not 0 < _number(name, getattr(self, name)) <= 1:
                raise InputError(f"setting {name}={getattr(self, name)!r}: give a number above 0, at most 1")
        if not 0 <= _number("l2", self.l2) < np.inf:
            raise InputError(f"setting l2={self.l2!r}: give a number of 0 or more")
        if not 0 <= _number("l1_ratio", self.l1_ratio) <= 1:
            raise InputError(f"setting l1_ratio={self.l1_ratio!r}: give a number from 0 to 1")
        if self.device not in DEVICES:
            raise InputError(f"device {self.device!r} is unknown; there are {' and '.join(DEVICES)}")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"setting {name}={value!r}: give a number")
    return float(value)


def check_fitted(fitted: bool, learner: Learner) -> None:
    """Refuse to use a learner that was neither fitted nor loaded.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Unless ``fitted``.
    """
    if not fitted:
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(f"this {type(learner).__name__} ({learner.name!r}) is not fitted; call fit first")


class Learner(Protocol):
    """A model of P(FAKE) given a row of the table."""

    name: str

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Learn from rows of both classes.

        Parameters
        ----------
        X : ndarray of shape (n, n_columns)
            The layout's columns; NaN where undefined.
        y, groups : ndarray of shape (n,)
            Label (1 FAKE); rows of a group are never split between fitting and stopping.
        seed
            Seed of every random draw.
        """
        ...

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE, within +-:data:`ensemble.learners.additive.MAX_LOGIT`."""
        ...

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] parts that add up to the log-odds; the last is the constant."""
        ...

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write files whose names begin with ``stem``; return the names."""
        ...

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read what :meth:`save` wrote."""
        ...


def settings_for(n_rows: int, n_groups: int) -> LearnerSettings:
    """Return settings whose regularisation follows the effective sample size of the table.

    The rows of a group are neither a single observation nor independent: a group counts as the cube root of its rows.
    Leaves grow with the square root of that effective size (6 at 282 rows of 144 groups, 8 at 18,000 of 40, 63 at
    16,000 of 16,000); bagging ends where the data is large and variance is low.
    """
    large = n_groups >= 5000
    effective = n_groups * np.cbrt(n_rows / n_groups)
    return LearnerSettings(
        n_bags=1 if large else (3 if n_groups >= 1000 else 8),
        n_rounds=250 if n_groups >= 1000 else 800,  # small trees of few groups need more of them
        patience=20,
        learning_rate=0.1 if large else 0.08,
        n_leaves=int(np.clip(np.sqrt(effective) / 2, 4, 63)),
        min_leaf_rows=int(np.clip(n_rows / 50, 3, 100)),
        row_share=1.0 if large else 0.8,
        l2=float(np.clip(100 / np.sqrt(effective), 1, 10)),
    )


def bag_splits(y: Int, groups: Int, n_bags: int, seed: int) -> Iterator[tuple[Int, Int]]:
    """Yield ``n_bags`` splits into rows to fit and rows for early stopping, with whole groups and balanced classes.

    A single bag stops by a tenth of the groups. There are no more bags than groups, nor than rows of the larger class.
    Splits in which a part lacks a class are left out; if none remains, all rows are used for both.

    Parameters
    ----------
    y, groups : ndarray of shape (n,)
        1 for FAKE, and the group of each row.
    n_bags
        1 or more.
    seed
        Seed of the shuffle.

    Yields
    ------
    fitted, stopped : ndarray
        Positions of the rows to fit, and of those for early stopping.
    """
    n_splits = min(n_bags if n_bags > 1 else 10, len(np.unique(groups)), int(np.bincount(y).max()))
    n_given = 0
    if n_splits > 1:
        for fitted, stopped in grouped_splits(y, groups, n_splits, seed=seed):
            if len(np.unique(y[fitted])) == 2 and len(np.unique(y[stopped])) == 2:
                n_given += 1
                yield fitted, stopped
            if n_given == n_bags:
                return
    if not n_given:
        everything = np.arange(len(y))
        yield everything, everything
