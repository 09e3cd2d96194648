"""Measure the bias of a data set with a linear probe that sees only thumbnails of the faces.

At 32 px no trace of a forgery is left, only light, colour, framing and pose. The scores of the probe on unseen folds
are therefore the leak that is contained in any score on these clips (compare Torralba & Efros 2011, "Unbiased look at
dataset bias").
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import folds
from training.faces import fold_scores, pools

SIDE_PX = 32
FRAMES = 6  # thumbnails per clip, which are averaged
COMPONENTS = 64  # principal components


def probe_scores(out: Path) -> dict[str, dict[str, Any]]:
    """Score the probe on the cached faces of a training, by subset as in :func:`fold_scores.scores_of_folds`.

    Raises
    ------
    DatasetError
        The cached faces or the folds are missing from the folder.
    """
    pool = fold_scores.cached_faces(out, ("clips", "crops"))
    fold_of = {name: assignment.fold for name, assignment in folds.read(out / folds.FILE).items()}
    logit = out_of_fold_logits(pool, {key: fold_of[key] for key in sorted(set(pool.key) & fold_of.keys())})
    return fold_scores.summaries(pool, logit)


def out_of_fold_logits(pool: pools.Pool, fold_of: Mapping[str, int]) -> dict[str, float]:
    """Map each clip to the logit of a probe that was fitted without the clip's fold and its groups."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    keys = sorted(fold_of)
    rows = pools.rows_by_key(pool)
    first = np.array([rows[key][0] for key in keys])
    X = np.stack([thumbnail(pool, key) for key in keys])
    y, group = pool.fake[first].astype(int), pool.group[first]
    fold = np.array([fold_of[key] for key in keys])
    logits = np.zeros(len(keys))
    for number in np.unique(fold):
        tested = fold == number
        taught = ~np.isin(group.astype(str), np.unique(group[tested].astype(str)))
        n_components = min(COMPONENTS, int(taught.sum()))
        probe = make_pipeline(
            StandardScaler(),
            PCA(n_components, random_state=0),
            StandardScaler(),
            LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
        )
        logits[tested] = probe.fit(X[taught], y[taught]).decision_function(X[tested])
    return dict(zip(keys, logits.tolist(), strict=True))


def thumbnail(pool: pools.Pool, key: str) -> NDArray[np.float64]:
    """Return the mean of a clip's thumbnails as a vector [3 * 32 * 32]."""
    crops = pools.crops_of(pool, pools.spread_rows(pool, key, FRAMES), SIDE_PX)
    return np.asarray(crops.mean(axis=0).ravel(), np.float64)
