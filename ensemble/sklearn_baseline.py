"""scikit-learn's StackingClassifier on the folds of a trained model, as a reference.

Both are scored on the folds that the model folder keeps. The reference is what a user would write in ten lines:
LightGBM, XGBoost, logistic regression and an SVM at their libraries' defaults under a logistic stacker, with inner
folds by group and missing values imputed where a learner needs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ensemble.arrays import Array, Int
from ensemble.grouped_splits import grouped_splits
from ensemble.training_set import TrainingSet
from features.threads import algebra_on_one_thread

INNER_FOLDS = 4
SVM_ROWS = 4_000  # above this, an SVM costs more than all other learners together


def stacking(n_rows: int, inner: list[tuple[Int, Int]], seed: int) -> Any:
    """scikit-learn's stack with the usual learners.

    Parameters
    ----------
    n_rows
        Number of rows to fit; an SVM is left out of large tables.
    inner
        Rows to fit and rows to predict in each inner fold.
    seed
        Seed of the learners.
    """
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import StackingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    def filled(last: Any) -> Any:
        return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), last)

    learners = [
        ("lightgbm", LGBMClassifier(random_state=seed, n_jobs=1, verbose=-1)),
        ("xgboost", XGBClassifier(random_state=seed, n_jobs=1)),
        ("logistic", filled(LogisticRegression(max_iter=1000))),
    ]
    if n_rows <= SVM_ROWS:
        learners.append(("svm", filled(SVC(probability=True, random_state=seed))))
    return StackingClassifier(learners, LogisticRegression(), cv=inner)


def reference(data: TrainingSet, fold: Int, *, seed: int = 0) -> Array:
    """Out-of-fold P(FAKE) of scikit-learn's stack.

    Parameters
    ----------
    data, fold
        Labelled rows, and the fold of each [n].
    seed
        Seed of the learners and of the inner folds.

    Returns
    -------
    ndarray of shape (n,)
        The fraction of FAKE where nothing was measured.
    """
    import warnings

    p = np.full(len(data), data.y.mean())
    for number in range(int(fold.max()) + 1):
        out, fitted = fold == number, np.flatnonzero((fold != number) & data.measured)
        X, y = data.X[fitted], data.y[fitted]
        n_inner = min(INNER_FOLDS, int(np.bincount(y).max()))
        inner = grouped_splits(y, data.group[fitted], n_inner, seed=seed)
        with warnings.catch_warnings(), algebra_on_one_thread():
            warnings.simplefilter("ignore")
            model = stacking(len(y), inner, seed).fit(X, y)
            rows = np.flatnonzero(out & data.measured)
            p[rows] = model.predict_proba(data.X[rows])[:, 1]
    return p
