"""Extremely randomised trees (Geurts et al. 2006): deep trees split at random, whose mean is smooth.

scikit-learn grows them. It has no file format but pickle, so they are kept as LightGBM's own text; LightGBM then
predicts and gives TreeSHAP values as for its own trees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.learners.additive import by_family, map_parts
from ensemble.learners.base import LearnerSettings, check_fitted
from ensemble.training_set import Layout

N_TREES = 200
COLUMN_SHARE = 0.2  # of the cues that a split may choose from
LEAF_SHARE = 1 / 500  # of the rows, at least: the time to explain a row grows with the leaves
MIN_LEAF_ROWS = 2
MIN_P = 1e-3  # all trees may agree, which is not certainty
NAN_MISSING, DEFAULT_LEFT = 8, 2  # bits of LightGBM's decision types


class ExtraTrees:
    """One forest: the mean over trees of the fraction of FAKE in a row's leaf."""

    name = "extra_trees"

    def __init__(self, layout: Layout, settings: LearnerSettings) -> None:
        self.layout = layout
        self.settings = settings
        self.forest: Any = None  # before fit or load

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Learn from all rows; nothing is chosen by held-out loss, so no group is left out.

        Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        from sklearn.ensemble import ExtraTreesClassifier

        model = ExtraTreesClassifier(
            N_TREES,
            min_samples_leaf=max(MIN_LEAF_ROWS, round(LEAF_SHARE * len(y))),
            max_features=COLUMN_SHARE,
            random_state=seed,
        ).fit(X, y)
        self.forest = _read(_model_text([tree.tree_ for tree in model.estimators_], X.shape[1]))
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE."""
        check_fitted(self.forest is not None, self)
        return _log_odds(self.forest.predict(X, num_threads=1))

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] TreeSHAP values of the probability, mapped to log-odds; the constant last."""
        check_fitted(self.forest is not None, self)
        parts = by_family(self.forest.predict(X, pred_contrib=True, num_threads=1), self.layout)
        constant, contributions = map_parts(parts, _log_odds)
        return np.column_stack([contributions, constant])

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.txt``."""
        check_fitted(self.forest is not None, self)
        name = f"{stem}.txt"
        (folder / name).write_text(self.forest.model_to_string(num_iteration=-1), encoding="utf-8")
        return [name]

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read what :meth:`save` wrote."""
        result = cls(layout, LearnerSettings())
        result.forest = _read((folder / f"{stem}.txt").read_text(encoding="utf-8"))
        return result


def _log_odds(p: Array) -> Array:
    from scipy.special import logit

    return logit(np.clip(p, MIN_P, 1 - MIN_P))


def _read(text: str) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=text)


def _model_text(trees: list[Any], n_columns: int) -> str:
    """scikit-learn's trees as a LightGBM model whose sum is the mean of their fractions of FAKE."""
    names = [f"Column_{number}" for number in range(n_columns)]
    head = {
        "version": "v4",
        "num_class": 1,
        "num_tree_per_iteration": 1,
        "label_index": 0,
        "max_feature_idx": n_columns - 1,
        "objective": "regression",
        "feature_names": " ".join(names),
        "feature_infos": " ".join(["none"] * n_columns),
    }
    parts = ["tree", *_lines(head), ""]
    for number, tree in enumerate(trees):
        parts += [f"Tree={number}", *_lines(_tree(tree, 1 / len(trees))), "", ""]
    return "\n".join([*parts, "end of trees", ""])


def _tree(tree: Any, weight: float) -> dict[str, Any]:
    """The fields of one tree. There splits and leaves are numbered separately; a leaf's reference is negative."""
    fraction = weight * tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1)
    split = np.flatnonzero(tree.children_left >= 0)
    leaf = np.flatnonzero(tree.children_left < 0)
    if not len(split):
        return {"num_leaves": 1, "num_cat": 0, "leaf_value": fraction[0], "is_linear": 0, "shrinkage": 1}
    number = np.empty(tree.node_count, dtype=np.int64)
    number[split], number[leaf] = np.arange(len(split)), -np.arange(len(leaf)) - 1
    return {
        "num_leaves": len(leaf),
        "num_cat": 0,
        "split_feature": tree.feature[split],
        "split_gain": np.zeros(len(split), dtype=np.int64),
        "threshold": tree.threshold[split],
        "decision_type": NAN_MISSING + DEFAULT_LEFT * tree.missing_go_to_left[split].astype(np.int64),
        "left_child": number[tree.children_left[split]],
        "right_child": number[tree.children_right[split]],
        "leaf_value": fraction[leaf],
        "leaf_weight": tree.weighted_n_node_samples[leaf],
        "leaf_count": tree.n_node_samples[leaf],
        "internal_value": fraction[split],
        "internal_weight": tree.weighted_n_node_samples[split],
        "internal_count": tree.n_node_samples[split],
        "is_linear": 0,
        "shrinkage": 1,
    }


def _lines(fields: dict[str, Any]) -> list[str]:
    return [
        f"{name}={' '.join(map(repr, value.tolist())) if isinstance(value, np.ndarray) else value}"
        for name, value in fields.items()
    ]
