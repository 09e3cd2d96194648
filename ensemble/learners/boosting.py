"""Gradient-boosted trees: LightGBM (Ke et al. 2017) and XGBoost (Chen & Guestrin 2016), bagged by groups.

Each bag leaves out one part of the groups. All bags grow in step, and stop where the log loss pooled over the left-out
rows is lowest. With few groups a single part is a noisy guide for early stopping; together the parts are a grouped
cross-validation, whose models are kept and averaged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.learners.additive import MAX_LOGIT, by_family, clipped
from ensemble.learners.base import LearnerSettings, bag_splits, check_fitted
from ensemble.training_set import Layout
from features.errors import InputError

FIXED_PARAMETERS = ("objective", "verbosity", "num_threads", "deterministic", "force_row_wise", "seed")
"""The parameters that :class:`FullLightGBM` sets; all others are the library's defaults."""


def grow_together(bags: list[Any], n_rounds: int, patience: int) -> int:
    """Grow all bags in step and return the best number of rounds, at least 1.

    Parameters
    ----------
    bags
        Each has ``n_stop``, the number of rows for early stopping, and ``grow()``, which adds a round and returns their
        log loss.
    n_rounds, patience
        Maximum number of rounds; rounds without improvement after which growing ends.
    """
    weights = np.array([bag.n_stop for bag in bags], dtype=np.float64)
    best, best_loss = 1, np.inf
    for number in range(1, n_rounds + 1):
        loss = float(np.average([bag.grow() for bag in bags], weights=weights))
        if loss < best_loss:
            best, best_loss = number, loss
        elif number - best >= patience:
            break
    return best


class _Boosted(ABC):
    """The parts that both libraries share: bags, the mean of their log-odds, and files."""

    name = ""
    suffix = ""

    def __init__(self, layout: Layout, settings: LearnerSettings) -> None:
        self.layout = layout
        self.settings = settings
        self.boosters: list[Any] = []  # none before fit or load

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Grow all bags in step; see the module.

        Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        splits = bag_splits(y, groups, self.settings.n_bags, seed)
        bags = [self._start(X, y, rows, stop, seed + number) for number, (rows, stop) in enumerate(splits)]
        best = grow_together(bags, self.settings.n_rounds, self.settings.patience)
        self.boosters = [self._finish(bag, best) for bag in bags]
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] mean of the bags' log-odds of FAKE."""
        check_fitted(bool(self.boosters), self)
        raw = np.mean([self._raw(booster, X) for booster in self.boosters], axis=0)
        return np.clip(raw, -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] TreeSHAP values by family, the constant last."""
        check_fitted(bool(self.boosters), self)
        columns = np.mean([self._shap(booster, X) for booster in self.boosters], axis=0)
        return clipped(by_family(columns, self.layout))

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>_bag<k>`` in the library's text format."""
        check_fitted(bool(self.boosters), self)
        names = [f"{stem}_bag{number}{self.suffix}" for number in range(len(self.boosters))]
        for name, booster in zip(names, self.boosters, strict=True):
            (folder / name).write_text(self._text(booster), encoding="utf-8")
        return names

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            The folder holds no booster of that stem, or a file that the library can't read.
        """
        result = cls(layout, LearnerSettings())
        number = 0
        while (file := folder / f"{stem}_bag{number}{cls.suffix}").is_file():
            result.boosters.append(cls._parse(file.read_text(encoding="utf-8")))
            number += 1
        if not number:
            raise ValueError(f"no booster {stem}_bag0{cls.suffix}")
        return result

    @abstractmethod
    def _start(self, X: Float, y: Int, rows: Int, stop: Int, seed: int) -> Any:
        """A bag for :func:`grow_together`, without a tree: fitted on ``rows`` [k], stopped by ``stop`` [m]."""

    @abstractmethod
    def _finish(self, bag: Any, n_rounds: int) -> Any:
        """The library's booster of a bag's first ``n_rounds`` trees, without its data."""

    @abstractmethod
    def _raw(self, booster: Any, X: Float) -> Array:
        """[n] log-odds."""

    @abstractmethod
    def _shap(self, booster: Any, X: Float) -> Array:
        """[n, n_columns + 1] TreeSHAP values, the constant last; they add up to the log-odds."""

    @abstractmethod
    def _text(self, booster: Any) -> str:
        """The booster in the library's own format."""

    @classmethod
    @abstractmethod
    def _parse(cls, text: str) -> Any:
        """Inverse of :meth:`_text`."""


class LightGBM(_Boosted):
    """Leaf-wise trees; files are LightGBM's own text."""

    name = "lightgbm"
    suffix = ".txt"

    def _parameters(self, seed: int) -> dict[str, Any]:
        settings = self.settings
        return {
            "objective": "binary",
            "metric": "binary_logloss",
            "verbosity": -1,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": seed,
            "learning_rate": settings.learning_rate,
            "num_leaves": settings.n_leaves,
            "min_data_in_leaf": settings.min_leaf_rows,
            "min_sum_hessian_in_leaf": 1e-3,
            "feature_fraction": settings.column_share,
            "bagging_fraction": settings.row_share,
            "bagging_freq": int(settings.row_share < 1),
            "lambda_l2": settings.l2,
            "max_bin": settings.max_bin,
            "min_data_in_bin": 3,
        }

    def _start(self, X: Float, y: Int, rows: Int, stop: Int, seed: int) -> Any:
        import lightgbm

        parameters = self._parameters(seed)
        data = lightgbm.Dataset(X[rows], y[rows], params=parameters)
        held = lightgbm.Dataset(X[stop], y[stop], reference=data, params=parameters)
        booster = lightgbm.Booster(parameters, data)
        booster.add_valid(held, "stop")
        return _GrowingLightGBM(booster, len(stop))

    def _finish(self, bag: Any, n_rounds: int) -> Any:
        return self._parse(bag.booster.model_to_string(num_iteration=n_rounds))

    def _raw(self, booster: Any, X: Float) -> Array:
        return booster.predict(X, raw_score=True, num_threads=1)

    def _shap(self, booster: Any, X: Float) -> Array:
        return booster.predict(X, pred_contrib=True, num_threads=1)

    def _text(self, booster: Any) -> str:
        return booster.model_to_string(num_iteration=-1)

    @classmethod
    def _parse(cls, text: str) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=text)


class FullLightGBM(LightGBM):
    """LightGBM at its defaults, grown to the end on every row: overconfident, but with different errors.

    Alone it has a worse log loss than the booster that stops early. A stack that bounds the contribution of each
    learner still gains from it: the overfitting averages out, the interactions remain.
    """

    name = "lightgbm_full"

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Learn from all rows; no group is left out to stop by.

        Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        import lightgbm

        data = lightgbm.Dataset(X, y)
        fixed = {key: self._parameters(seed)[key] for key in FIXED_PARAMETERS}
        self.boosters = [self._parse(lightgbm.train(fixed, data).model_to_string())]
        return self


class XGBoost(_Boosted):
    """Depth-wise trees on histograms; files are XGBoost's own JSON."""

    name = "xgboost"
    suffix = ".json"

    def _parameters(self, prior: float, seed: int) -> dict[str, Any]:
        settings = self.settings
        return {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "verbosity": 0,
            "nthread": 1,
            "device": settings.device,
            "tree_method": "hist",
            "seed": seed,
            "base_score": prior,
            "eta": settings.learning_rate,
            "max_depth": max(2, round(np.log2(settings.n_leaves))),
            "min_child_weight": settings.min_leaf_rows / 4,  # Hessian of a row is at most 1/4
            "colsample_bytree": settings.column_share,
            "subsample": settings.row_share,
            "lambda": settings.l2,
            "max_bin": settings.max_bin,
        }

    def _start(self, X: Float, y: Int, rows: Int, stop: Int, seed: int) -> Any:
        import xgboost

        device = self.settings.device
        if device != "cpu" and not xgboost.build_info().get("USE_CUDA"):
            raise InputError(
                f"--device {device}: this XGBoost is built for the CPU; install xgboost instead of xgboost-cpu"
            )
        parameters = self._parameters(float(y[rows].mean()), seed)
        data = xgboost.QuantileDMatrix(X[rows], y[rows], max_bin=self.settings.max_bin, nthread=1)
        held = xgboost.DMatrix(X[stop], y[stop], nthread=1)
        return _GrowingXGBoost(xgboost.Booster(parameters, [data, held]), data, held, len(stop))

    def _finish(self, bag: Any, n_rounds: int) -> Any:
        return self._parse(bytes(bag.booster[:n_rounds].save_raw("json")).decode())

    def _raw(self, booster: Any, X: Float) -> Array:
        import xgboost

        return booster.predict(xgboost.DMatrix(X, nthread=1), output_margin=True).astype(np.float64)

    def _shap(self, booster: Any, X: Float) -> Array:
        import xgboost

        data = xgboost.DMatrix(X, nthread=1)
        parts = booster.predict(data, pred_contribs=True).astype(np.float64)
        parts[:, -1] += self._raw(booster, X) - parts.sum(axis=1)  # float32 sums: the constant takes the rounding
        return parts

    def _text(self, booster: Any) -> str:
        return bytes(booster.save_raw("json")).decode()

    @classmethod
    def _parse(cls, text: str) -> Any:
        import xgboost

        booster = xgboost.Booster({"nthread": 1, "verbosity": 0})
        booster.load_model(bytearray(text.encode()))
        return booster


class _GrowingLightGBM:
    def __init__(self, booster: Any, n_stop: int) -> None:
        self.booster = booster
        self.n_stop = n_stop

    def grow(self) -> float:
        self.booster.update()
        return float(self.booster.eval_valid()[0][2])


class _GrowingXGBoost:
    def __init__(self, booster: Any, data: Any, held: Any, n_stop: int) -> None:
        self.booster = booster
        self.data = data
        self.held = held
        self.n_stop = n_stop
        self.round = 0

    def grow(self) -> float:
        self.booster.update(self.data, self.round)
        self.round += 1
        return float(self.booster.eval(self.held).rsplit(":", 1)[1])
