"""Splits of a table's rows that keep groups whole, with classes balanced as far as the groups allow."""

from __future__ import annotations

import numpy as np

from ensemble.arrays import Int
from features.threads import warnings_ignored

FEW_MEMBERS = "The least populated class"  # scikit-learn's warning about a class with fewer members than splits


def grouped_splits(y: Int, groups: Int, n_splits: int, *, seed: int) -> list[tuple[Int, Int]]:
    """Return scikit-learn's ``StratifiedGroupKFold`` splits, shuffled.

    A class may have fewer rows or groups than there are splits: some parts then lack it.

    Parameters
    ----------
    y, groups : ndarray of shape (n,)
        Class (1 FAKE) and group of each row.
    n_splits
        2 or more, at most the number of groups and of the rows of the larger class.
    seed
        Seed of the shuffle.

    Returns
    -------
    list of (ndarray, ndarray)
        For each split, the positions of the rows of the other parts, and of those of its own part.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    with warnings_ignored(UserWarning, FEW_MEMBERS):
        return list(splitter.split(np.zeros((len(y), 1)), y, groups))
