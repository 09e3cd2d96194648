"""The trained stack beside scikit-learn's StackingClassifier: ``python -m ensemble.compare --table T --model M``.

Both are judged on the folds that the model folder kept. The reference is what a user would write in ten lines:
LightGBM, XGBoost, logistic regression and an SVM at their libraries' settings under a logistic stacker, its inner
folds by group as well; missing values filled with medians where a learner needs it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ensemble.evidence import read_oof
from ensemble.folds import given_folds
from ensemble.matrix import Int, TrainingSet, training_set
from ensemble.metrics import all_scores
from ensemble.train import score_lines
from features.errors import InputError
from features.table import read_table

INNER_FOLDS = 4
SVM_ROWS = 4_000  # above, an SVM's cost grows beyond all others together
REFERENCE = "sklearn"


def stacking(n_rows: int, inner: list[tuple[Int, Int]], seed: int) -> Any:
    """scikit-learn's stack with the usual learners; ``inner`` are its folds."""
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


def reference(data: TrainingSet, fold: Int, *, seed: int = 0) -> NDArray[np.float64]:
    """[n] out-of-fold P(FAKE) of scikit-learn's stack."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    p = np.full(len(data), data.y.mean())
    for number in range(int(fold.max()) + 1):
        out, fitted = fold == number, np.flatnonzero((fold != number) & data.measured)
        X, y = data.X[fitted], data.y[fitted]
        splitter = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")
            model = stacking(len(y), list(splitter.split(X, y, data.group[fitted])), seed).fit(X, y)
            rows = np.flatnonzero(out & data.measured)
            p[rows] = model.predict_proba(data.X[rows])[:, 1]
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ensemble.compare", description=__doc__.split("\n\n")[0])
    parser.add_argument("--table", required=True, type=Path, help="features.parquet with labels")
    parser.add_argument("--model", required=True, type=Path, help="model folder that was trained on it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    try:
        print("\n".join(compared(arguments.table, arguments.model, arguments.seed)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def compared(table_file: Path, folder: Path, seed: int) -> list[str]:
    """The printed table: each learner, the stack, scikit-learn's stack; log loss at the training prior."""
    table = read_table(table_file)
    data, oof = training_set(table, str(table_file)), read_oof(folder, table)
    folds = folder / "folds.parquet"
    groups = [data.group_names[one] for one in data.group]
    fold = given_folds(folds, data.filename, groups, data.y)
    started = time.process_time()
    own = dict(zip(pq.read_table(folder / "oof.parquet")["filename"].to_pylist(), range(len(oof.y)), strict=True))
    order = np.array([own[name] for name in data.filename])
    p = {name: values[order] for name, values in oof.p.items()} | {REFERENCE: reference(data, fold, seed=seed)}
    prior = float(data.y.mean())
    p["constant"] = np.full(len(data), prior)
    scores = {
        name: {key: one.as_dict() for key, one in all_scores(data.y, v, v, prior, data.group, seed=seed).items()}
        for name, v in p.items()
    }
    for one in scores.values():
        del one["log_loss_target_prior"]  # the reference knows no target prior
    remark = f"{len(data)} clips, {data.n_groups} groups; {REFERENCE}: StackingClassifier, {{:.0f}} CPU s"
    return [remark.format(time.process_time() - started), *score_lines({"metrics": scores})]


if __name__ == "__main__":
    sys.exit(main())
