"""Late fusion of the networks' log-odds: five parameters, where a free model would learn the sources of its clips.

Every family of a face network gives the mean logit of a person's faces. Their plain mean, with a slope and an
intercept fitted by penalised maximum likelihood (after Platt 1999), generalises best where clips are few: separate
weights, or their spreads and fractions as further inputs, did not generalise better. The speech detector has its own
slope and intercept. A clip is FAKE when its picture is forged or its speech is synthetic, so the two scores are
combined by a noisy-OR (Pearl 1988): genuine speech does not offset image evidence, as it would in a sum.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.learners.additive import MAX_LOGIT, by_family, clipped
from ensemble.learners.base import Settings, check_fitted
from ensemble.metrics import logit_losses
from ensemble.training_set import Layout
from features.errors import InputError

SUFFIX = ".logit_mean"
VOICE = "forensic_voice.logit"
SPEECH_SLOPE, SPEECH_INTERCEPT = 1.2, -1.9  # those on 329 sounds, at a prior of 1 in 10: shrunk towards these
RIDGE = 20.0  # nats: penalty of a speech parameter's deviation of 1; few clips of a table have synthetic speech
LEAST_SHIFT = -1.0  # of `heard`: a data set in which one class often lacks sound must not inflate it


@dataclass
class Parameters:
    """Slopes and intercepts of both parts, and the prior correction for clips with speech.

    ``heard`` is added to the picture's log-odds of clips with speech: some of those are FAKE by their speech, so fewer
    by their picture. The names are those of the stored files.
    """

    slope: float = 0.0
    intercept: float = 0.0
    voice_slope: float = 0.0
    voice_intercept: float = -MAX_LOGIT
    heard: float = 0.0


class Networks:
    """Slope times the mean of the face networks' defined logits, plus an intercept; noisy-OR the speech detector's."""

    name = "networks"

    def __init__(self, layout: Layout, settings: Settings) -> None:
        self.layout = layout
        self.columns = [number for number, column in enumerate(layout.columns) if column.endswith(SUFFIX)]
        self.voice_columns = [number for number, column in enumerate(layout.columns) if column == VOICE]
        if not self.columns:
            raise InputError(f"the learner {self.name!r} needs columns that end in {SUFFIX}; the table has none")
        self.parameters: Parameters | None = None  # before fit or load

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Penalised maximum likelihood (ridge on the speech parameters); slopes are bounded below by 0.

        Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        from scipy.optimize import minimize

        z, v = self._parts(X).sum(axis=1), self._voice(X)
        prior = float(y.mean())

        def objective(theta: Array) -> float:
            odds = noisy_or(theta[0] * z + theta[1] + theta[4] * np.isfinite(v), theta[2] * v + theta[3])
            deviation = (theta[2] - SPEECH_SLOPE) ** 2 + (theta[3] - SPEECH_INTERCEPT) ** 2 + theta[4] ** 2
            return float(np.sum(logit_losses(y, odds)) + RIDGE * deviation)

        start = np.array([0.5, np.log(prior / (1 - prior)), SPEECH_SLOPE, SPEECH_INTERCEPT, 0.0])
        wide = (-MAX_LOGIT, MAX_LOGIT)
        bounds = [(0.0, None), wide, (0.0, None), wide, (LEAST_SHIFT, 0.0)]
        theta = minimize(objective, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12}).x
        self.parameters = Parameters(*(float(value) for value in theta))
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE; the picture's intercept where no network saw a face and no speech is present."""
        return np.clip(noisy_or(*self._both(X)), -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] each network's part; the intercept of the picture last.

        The joint effect of picture and speech is split evenly between them (Shapley values of two players).
        """
        parameters = self._fitted()
        constant, moved = parameters.intercept, parameters.slope * self._parts(X)
        picture, speech = self._both(X)
        total = moved.sum(axis=1)
        together, alone = noisy_or(picture, speech), noisy_or(picture - total, speech)
        value = (total + together - alone) / 2
        scale = np.divide(value, total, out=np.zeros(len(X)), where=total != 0)
        columns = np.zeros((len(X), len(self.layout.columns) + 1))
        columns[:, self.columns] = moved * scale[:, None]
        spoken = np.where(np.isnan(speech), 0.0, (alone + together - total) / 2 - constant)
        columns[:, self.voice_columns] = spoken[:, None]
        columns[:, -1] = constant
        return clipped(by_family(columns, self.layout))

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.json``."""
        name = f"{stem}.json"
        (folder / name).write_text(json.dumps(asdict(self._fitted())), encoding="utf-8")
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
        """[n] logits of the speech detector; NaN where no speech is present."""
        return X[:, self.voice_columns[0]].astype(np.float64) if self.voice_columns else np.full(len(X), np.nan)

    def _both(self, X: Float) -> tuple[Array, Array]:
        """[n] log-odds of a forged picture, and of synthetic speech; the latter NaN where no speech is present."""
        p, v = self._fitted(), self._voice(X)
        picture = p.slope * self._parts(X).sum(axis=1) + p.intercept + p.heard * np.isfinite(v)
        return picture, p.voice_slope * v + p.voice_intercept

    def _fitted(self) -> Parameters:
        check_fitted(self.parameters is not None, self)
        assert self.parameters is not None
        return self.parameters


def noisy_or(a: Array, b: Array) -> Array:
    """Log-odds that at least one of two independent events holds (Pearl 1988).

    Parameters
    ----------
    a, b : ndarray of shape (n,)
        Log-odds of each event; NaN in ``b`` leaves ``a``.

    Returns
    -------
    ndarray of shape (n,)

    Examples
    --------
    >>> noisy_or(np.array([0.0, 0.0]), np.array([0.0, np.nan])).round(3).tolist()  # odds of 3 in 4, of 1 in 2
    [1.099, 0.0]
    """
    b = np.where(np.isnan(b), -np.inf, b)
    return np.logaddexp(np.logaddexp(a, b), a + b)
