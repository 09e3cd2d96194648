"""Base learners behind one small interface, and how a clip's cues become one log-odds each.

``fit(X, y, groups, weights, seed)`` learns from the rows it is given and nothing else; ``predict_logit(X)``
gives log-odds of FAKE at the prior of those rows; ``family_logits(X)`` splits them exactly by cue family;
``save``/``load`` use the libraries' own text formats or JSON and arrays, never pickle.

All settings follow the number of groups, not of rows: sixty clips of ten people are ten facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from ensemble.learners.additive import Array
from ensemble.training_set import Float, Int, Layout


@dataclass(frozen=True)
class Settings:
    """What a search may change; the defaults follow the size of the data (:func:`settings_for`)."""

    n_bags: int = 4
    """Fits per model, each leaving out one n-th of the groups to stop by."""
    n_rounds: int = 250
    patience: int = 20
    learning_rate: float = 0.08
    n_leaves: int = 6
    min_leaf_rows: int = 5
    column_share: float = 0.3
    row_share: float = 0.8
    l2: float = 5.0
    max_bin: int = 63
    l1_ratio: float = 0.3
    device: str = "cpu"


class Learner(Protocol):
    """A model of P(FAKE) given a row of the table."""

    name: str

    def fit(self, X: Float, y: Int, groups: Int, weights: Array, seed: int) -> Self:
        """Learn from rows of both classes; rows of a group are never split between fitting and stopping."""
        ...

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE, within +-:data:`MAX_LOGIT`."""
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


def settings_for(n_rows: int, n_groups: int) -> Settings:
    """Regularisation that follows the independent facts in the table.

    Rows of a group are neither one fact nor so many: their number to the power of a third stands for them. Leaves grow
    with the square root of the facts (6 at 282 rows of 144 groups, 8 at 18,000 of 40, 63 at 16,000 of 16,000); bagging,
    which costs as much as it steadies, ends where the data is large.
    """
    large = n_groups >= 5000
    facts = n_groups * np.cbrt(n_rows / n_groups)
    return Settings(
        n_bags=1 if large else (3 if n_groups >= 1000 else 8),
        n_rounds=250 if n_groups >= 1000 else 800,  # small trees of few groups need more of them
        patience=20,
        learning_rate=0.1 if large else 0.08,
        n_leaves=int(np.clip(np.sqrt(facts) / 2, 4, 63)),
        min_leaf_rows=int(np.clip(n_rows / 50, 3, 100)),
        row_share=1.0 if large else 0.8,
        l2=float(np.clip(100 / np.sqrt(facts), 1, 10)),
    )


def bag_splits(y: Int, groups: Int, n_bags: int, seed: int) -> Iterator[tuple[Int, Int]]:
    """Rows to fit and rows to stop by, ``n_bags`` times, groups whole and classes balanced.

    One bag stops by a tenth of the groups. Splits that would leave a part with one class are left out; when
    none remains, the rows are fitted and stopped by themselves.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_splits = min(n_bags if n_bags > 1 else 10, len(np.unique(groups)))
    found = 0
    if n_splits > 1:
        splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
        for fitted, stopped in _quiet(splitter.split(np.zeros((len(y), 1)), y, groups)):
            if len(np.unique(y[fitted])) == 2 and len(np.unique(y[stopped])) == 2:
                found += 1
                yield fitted, stopped
            if found == n_bags:
                return
    if not found:
        everything = np.arange(len(y))
        yield everything, everything


def with_settings(settings: Settings, changes: dict[str, Any]) -> Settings:
    """``settings`` with some fields replaced, as a search found them."""
    return replace(settings, **changes)


def _quiet(splits: Iterator[Any]) -> Iterator[Any]:
    """Without scikit-learn's warning that a class has fewer members than there are splits."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield from list(splits)
