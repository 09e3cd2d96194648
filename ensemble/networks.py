"""The networks' own log-odds, averaged: two parameters where a free model would learn the sources of its clips.

Every family of a face network gives the mean logit of a person's faces. Their plain mean, with a slope and an
intercept fitted by maximum likelihood (Platt 1999), is the steadiest use of them where clips are few: weights of their
own, and their spreads and shares beside them, did not carry over better.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ensemble.learners import MAX_LOGIT, Settings, by_family, clipped
from ensemble.matrix import Float, Int, Layout
from features.errors import InputError

Array = NDArray[np.float64]
SUFFIX = ".logit_mean"


class Networks:
    """Slope times the mean of the networks' logits that are defined, plus an intercept."""

    name = "networks"

    def __init__(self, layout: Layout, settings: Settings) -> None:
        self.layout = layout
        self.columns = [number for number, column in enumerate(layout.columns) if column.endswith(SUFFIX)]
        if not self.columns:
            raise InputError(f"the learner {self.name!r} needs columns that end in {SUFFIX}; the table has none")
        self.slope, self.intercept = 0.0, 0.0

    def fit(self, X: Float, y: Int, groups: Int, weights: Array, seed: int) -> Self:
        """Maximum likelihood on the rows given; a slope below 0, logits that mislead, counts as 0."""
        from sklearn.linear_model import LogisticRegression

        z = self._parts(X).sum(axis=1)
        model = LogisticRegression(C=np.inf).fit(z[:, None], y, sample_weight=weights)
        self.slope, self.intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
        if self.slope < 0:
            prior = float(np.average(y, weights=weights))
            self.slope, self.intercept = 0.0, float(np.log(prior / (1 - prior)))
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE; the intercept where no network saw a face."""
        return np.clip(self.slope * self._parts(X).sum(axis=1) + self.intercept, -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] each network's part; the intercept last."""
        columns = np.zeros((len(X), len(self.layout.columns) + 1))
        columns[:, self.columns] = self.slope * self._parts(X)
        columns[:, -1] = self.intercept
        return clipped(by_family(columns, self.layout))

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.json``."""
        name = f"{stem}.json"
        (folder / name).write_text(json.dumps({"slope": self.slope, "intercept": self.intercept}), encoding="utf-8")
        return [name]

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read ``<stem>.json``."""
        state = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        result = cls(layout, Settings())
        result.slope, result.intercept = float(state["slope"]), float(state["intercept"])
        return result

    def _parts(self, X: Float) -> Array:
        """[n, n_networks] logits over the number of defined ones; 0 where undefined."""
        z = X[:, self.columns].astype(np.float64)
        known = np.isfinite(z)
        return np.where(known, z, 0.0) / np.maximum(known.sum(axis=1, keepdims=True), 1)
