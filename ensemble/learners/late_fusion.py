"""The networks' own log-odds: a few parameters where a free model would learn the sources of its clips.

Every family of a face network gives the mean logit of a person's faces. Their plain mean, with a slope and an
intercept fitted by maximum likelihood (Platt 1999), is the steadiest use of them where clips are few: weights of their
own, and their spreads and shares beside them, did not carry over better. The voice has a detector, slope and intercept
of its own. A clip is FAKE when its picture is forged or its voice is made, so the two meet as a noisy or (Pearl 1988):
a real voice is no alibi for a picture, as it would be in a sum.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ensemble.learners.additive import MAX_LOGIT, by_family, clipped
from ensemble.learners.base import Settings
from ensemble.training_set import Float, Int, Layout
from features.errors import InputError

Array = NDArray[np.float64]
SUFFIX = ".logit_mean"
VOICE = "forensic_voice.logit"
RARE_VOICE = -2.2  # log-odds of a made voice (1 in 10) and slope that the fit starts from and is held to
PULL = 2.0  # log units that it costs a voice parameter to be off by 1
LEAST_HEARD = -1.0  # no data set's habit of leaving sound out of one class may make more of it


@dataclass
class Parameters:
    """Slopes and intercepts of both parts, and what a voice, once heard, leaves of the picture's prior.

    ``heard`` is added to the picture's log-odds of clips with a voice: of those some are FAKE by the voice, so fewer by
    the picture.
    """

    slope: float = 0.0
    intercept: float = 0.0
    voice_slope: float = 0.0
    voice_intercept: float = -MAX_LOGIT
    heard: float = 0.0


class Networks:
    """Slope times the mean of the face networks' logits that are defined, plus an intercept; or else the voice."""

    name = "networks"

    def __init__(self, layout: Layout, settings: Settings) -> None:
        self.layout = layout
        self.columns = [number for number, column in enumerate(layout.columns) if column.endswith(SUFFIX)]
        self.voice_columns = [number for number, column in enumerate(layout.columns) if column == VOICE]
        if not self.columns:
            raise InputError(f"the learner {self.name!r} needs columns that end in {SUFFIX}; the table has none")
        self.parameters = Parameters()

    def fit(self, X: Float, y: Int, groups: Int, weights: Array, seed: int) -> Self:
        """Maximum likelihood on the rows given; a slope below 0, logits that mislead, counts as 0."""
        from scipy.optimize import minimize

        z, v = self._parts(X).sum(axis=1), self._voice(X)
        prior = float(np.average(y, weights=weights))

        def objective(theta: Array) -> float:
            odds = either(theta[0] * z + theta[1] + theta[4] * np.isfinite(v), theta[2] * v + theta[3])
            off = (theta[2] - 1.0) ** 2 + (theta[3] - RARE_VOICE) ** 2 + theta[4] ** 2
            return float(np.sum(weights * (np.logaddexp(0, odds) - y * odds)) + PULL * off)

        start = np.array([0.5, np.log(prior / (1 - prior)), 1.0, RARE_VOICE, 0.0])
        wide = (-MAX_LOGIT, MAX_LOGIT)
        bounds = [(0.0, None), wide, (0.0, None), wide, (LEAST_HEARD, 0.0)]
        found = minimize(objective, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12})
        self.parameters = Parameters(*(float(value) for value in found.x))
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE; the picture's intercept where no network saw a face and no voice was heard."""
        return np.clip(either(*self._both(X)), -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] each network's part; the intercept of the picture last.

        What picture and voice say together is split evenly between them (Shapley values of two players).
        """
        constant, moved = self.parameters.intercept, self.parameters.slope * self._parts(X)
        picture, voice = self._both(X)
        total = moved.sum(axis=1)
        together, alone = either(picture, voice), either(picture - total, voice)
        share = (total + together - alone) / 2
        scale = np.divide(share, total, out=np.zeros(len(X)), where=total != 0)
        columns = np.zeros((len(X), len(self.layout.columns) + 1))
        columns[:, self.columns] = moved * scale[:, None]
        spoken = np.where(np.isnan(voice), 0.0, (alone + together - total) / 2 - constant)
        columns[:, self.voice_columns] = spoken[:, None]
        columns[:, -1] = constant
        return clipped(by_family(columns, self.layout))

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.json``."""
        name = f"{stem}.json"
        (folder / name).write_text(json.dumps(asdict(self.parameters)), encoding="utf-8")
        return [name]

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read ``<stem>.json``."""
        state = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        result = cls(layout, Settings())
        result.parameters = Parameters(**{name: float(value) for name, value in state.items()})
        return result

    def _parts(self, X: Float) -> Array:
        """[n, n_networks] logits over the number of defined ones; 0 where undefined."""
        z = X[:, self.columns].astype(np.float64)
        known = np.isfinite(z)
        return np.where(known, z, 0.0) / np.maximum(known.sum(axis=1, keepdims=True), 1)

    def _voice(self, X: Float) -> Array:
        """[n] logits; NaN where no voice was heard."""
        return X[:, self.voice_columns[0]].astype(np.float64) if self.voice_columns else np.full(len(X), np.nan)

    def _both(self, X: Float) -> tuple[Array, Array]:
        """[n] log-odds of a forged picture, and of a made voice; the latter NaN where none was heard."""
        p, v = self.parameters, self._voice(X)
        picture = p.slope * self._parts(X).sum(axis=1) + p.intercept + p.heard * np.isfinite(v)
        return picture, p.voice_slope * v + p.voice_intercept


def either(a: Array, b: Array) -> Array:
    """[n] log-odds that at least one of two independent things holds, from those of each; ``a`` where ``b`` is NaN."""
    b = np.where(np.isnan(b), -np.inf, b)
    return np.logaddexp(np.logaddexp(a, b), a + b)
