"""Late fusion of the networks' log-odds: five parameters, where a free model would learn the sources of its clips.

Every family of a face network gives the mean logit of a person's faces. Their plain mean, with a slope and an
intercept fitted by penalised maximum likelihood (after Platt 1999), generalises best where clips are few: separate
weights, or their spreads and fractions as further inputs, did not generalise better. The speech detector has its own
slope and intercept. A clip is FAKE when its picture is forged or its speech is synthetic, so the two scores are
combined by a noisy-OR (Pearl 1988): genuine speech does not offset image evidence, as it would in a sum.

``networks_and_cues`` adds hand-crafted cues that compare parts of one face (its core with the rest, one iris with the
other, teeth with skin) to the picture's log-odds. Camera and codec cancel there, so these carry over to other sources,
where spectra and noise levels do not (experiment 030); a penalty keeps each of them small.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
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
CUE_FAMILIES = ("blending", "eyes_teeth")
CUE_RIDGE = 125.0  # nats: penalty of a standardised cue's coefficient of 1
MAX_DEVIATION = 4.0  # standard deviations of a cue from its median: further out it says no more
MAX_CUES = 1.0  # log-odds by all cues together: a picture of an unknown kind must not be judged by them alone


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


N_PARAMETERS = len(fields(Parameters))


@dataclass
class Cues:
    """A linear score of standardised cues: columns of the table, and of each its centre, scale and coefficient."""

    columns: list[int] = field(default_factory=list)
    centre: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    coefficients: list[float] = field(default_factory=list)

    @classmethod
    def standardised(cls, X: Float, columns: Sequence[int]) -> Cues:
        """Of the ``columns`` that vary, median and standard deviation over the rows of ``X`` [n, n_columns]."""
        kept = [number for number in columns if np.unique(X[np.isfinite(X[:, number]), number]).size > 1]
        values = X[:, kept].astype(np.float64)
        centre, scale = np.nanmedian(values, axis=0), np.nanstd(values, axis=0)
        return cls(kept, centre.tolist(), scale.tolist(), [0.0] * len(kept))

    def transform(self, X: Float) -> Array:
        """[n, d] deviations from the medians, in standard deviations, bounded; 0 where a cue is undefined."""
        values = X[:, self.columns].astype(np.float64)
        deviations = (values - np.array(self.centre)) / np.array(self.scale)
        return np.nan_to_num(np.clip(deviations, -MAX_DEVIATION, MAX_DEVIATION))

    def parts(self, X: Float) -> Array:
        """[n, d] log-odds of each cue; their sum is within +-:data:`MAX_CUES`."""
        parts = self.transform(X) * np.array(self.coefficients)
        return parts * np.minimum(1.0, MAX_CUES / np.maximum(np.abs(parts.sum(axis=1, keepdims=True)), 1e-9))


class Networks:
    """Slope times the mean of the face networks' defined logits, plus an intercept; noisy-OR the speech detector's."""

    name = "networks"
    cue_families: tuple[str, ...] = ()
    """Families whose columns, but for covariates, join the picture's log-odds."""

    def __init__(self, layout: Layout, settings: Settings) -> None:
        self.layout = layout
        self.columns = [number for number, column in enumerate(layout.columns) if column.endswith(SUFFIX)]
        self.voice_columns = [number for number, column in enumerate(layout.columns) if column == VOICE]
        if not self.columns:
            raise InputError(f"the learner {self.name!r} needs columns that end in {SUFFIX}; the table has none")
        self.parameters: Parameters | None = None  # before fit or load
        self.cues = Cues()

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Penalised maximum likelihood (ridge on the parameters of speech and cues); slopes are bounded below by 0.

        Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        from scipy.optimize import minimize

        self.cues = Cues.standardised(X, self._cue_columns())
        z, v, S = self._parts(X).sum(axis=1), self._voice(X), self.cues.transform(X)
        prior = float(y.mean())
        start = np.array([0.5, np.log(prior / (1 - prior)), SPEECH_SLOPE, SPEECH_INTERCEPT, 0.0, *[0.0] * S.shape[1]])
        wide = (-MAX_LOGIT, MAX_LOGIT)
        bounds = [(0.0, None), wide, (0.0, None), wide, (LEAST_SHIFT, 0.0), *[wide] * S.shape[1]]
        theta = minimize(
            _penalised_loss, start, (z, v, S, y), "L-BFGS-B", jac=True, bounds=bounds, options={"ftol": 1e-12}
        ).x
        self.parameters = Parameters(*(float(value) for value in theta[:N_PARAMETERS]))
        self.cues.coefficients = theta[N_PARAMETERS:].tolist()
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE; the picture's intercept where no network saw a face and no speech is present."""
        return np.clip(noisy_or(*self._both(X)), -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] each family's part; the intercept of the picture last.

        The joint effect of picture and speech is split evenly between them (Shapley values of two players).
        """
        constant = self._fitted().intercept
        moved = self._moved(X)
        picture, speech = self._both(X)
        total = moved.sum(axis=1)
        together, alone = noisy_or(picture, speech), noisy_or(picture - total, speech)
        value = (total + together - alone) / 2
        scale = np.divide(value, total, out=np.zeros(len(X)), where=total != 0)
        columns = np.zeros((len(X), len(self.layout.columns) + 1))
        columns[:, :-1] = moved * scale[:, None]
        spoken = np.where(np.isnan(speech), 0.0, (alone + together - total) / 2 - constant)
        columns[:, self.voice_columns] = spoken[:, None]
        columns[:, -1] = constant
        return clipped(by_family(columns, self.layout))

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.json``."""
        name = f"{stem}.json"
        state = asdict(self._fitted()) | ({"cues": asdict(self.cues)} if self.cue_families else {})
        (folder / name).write_text(json.dumps(state), encoding="utf-8")
        return [name]

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read ``<stem>.json``."""
        state = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        result = cls(layout, Settings())
        result.cues = Cues(**state.pop("cues", {}))
        result.parameters = Parameters(**{name: float(value) for name, value in state.items()})
        return result

    def _cue_columns(self) -> list[int]:
        """Numbers of the table's columns that are cues of :attr:`cue_families`: no covariates."""
        from features import spec

        names = set(self.cue_families) & set(self.layout.family_names)
        declared = (column for family in spec.families(names) for column in family.table_columns)
        cues = {column.name for column in declared if column.direction != "covariate"}
        return [number for number, column in enumerate(self.layout.columns) if column in cues]

    def _parts(self, X: Float) -> Array:
        """[n, n_networks] logits over the number of defined ones; 0 where undefined."""
        z = X[:, self.columns].astype(np.float64)
        known = np.isfinite(z)
        return np.where(known, z, 0.0) / np.maximum(known.sum(axis=1, keepdims=True), 1)

    def _voice(self, X: Float) -> Array:
        """[n] logits of the speech detector; NaN where no speech is present."""
        return X[:, self.voice_columns[0]].astype(np.float64) if self.voice_columns else np.full(len(X), np.nan)

    def _moved(self, X: Float) -> Array:
        """[n, n_columns] what each column adds to the picture's log-odds."""
        moved = np.zeros((len(X), len(self.layout.columns)))
        moved[:, self.columns] = self._fitted().slope * self._parts(X)
        moved[:, self.cues.columns] = self.cues.parts(X)
        return moved

    def _both(self, X: Float) -> tuple[Array, Array]:
        """[n] log-odds of a forged picture, and of synthetic speech; the latter NaN where no speech is present."""
        p, v = self._fitted(), self._voice(X)
        picture = self._moved(X).sum(axis=1) + p.intercept + p.heard * np.isfinite(v)
        return picture, p.voice_slope * v + p.voice_intercept

    def _fitted(self) -> Parameters:
        check_fitted(self.parameters is not None, self)
        assert self.parameters is not None
        return self.parameters


class NetworksAndCues(Networks):
    """As :class:`Networks`, with a penalised linear score of cues beside the networks' mean."""

    name = "networks_and_cues"
    cue_families = CUE_FAMILIES


def _penalised_loss(theta: Array, z: Array, v: Array, S: Array, y: Int) -> tuple[float, Array]:
    """Penalised log loss in nats and its gradient, for :meth:`Networks.fit`.

    Parameters
    ----------
    theta
        [5 + d] the fields of :class:`Parameters`, then coefficients of the cues.
    z, v
        [n] mean logit of the face networks; logit of the speech detector, NaN without speech.
    S
        [n, d] standardised cues.
    y
        [n] 1 for FAKE.
    """
    from scipy.special import expit

    heard, voice = np.isfinite(v), np.nan_to_num(v)
    picture = theta[0] * z + theta[1] + theta[4] * heard + S @ theta[N_PARAMETERS:]
    speech = np.where(heard, theta[2] * voice + theta[3], np.nan)
    odds = noisy_or(picture, speech)
    target = np.zeros(len(theta))
    target[2:4] = SPEECH_SLOPE, SPEECH_INTERCEPT
    ridge = np.array([0.0, 0.0, RIDGE, RIDGE, RIDGE, *[CUE_RIDGE] * S.shape[1]])
    deviation = theta - target
    # p = 1 - (1 - p_picture)(1 - p_speech), so the log-odds move by p_picture / p for each unit of the picture's
    p = expit(odds)
    by_picture = (p - y) * expit(picture) / p
    by_speech = np.where(heard, (p - y) * expit(np.nan_to_num(speech)) / p, 0.0)
    gradient = np.concatenate(
        [
            [by_picture @ z, by_picture.sum(), by_speech @ voice, by_speech.sum(), by_picture @ heard],
            S.T @ by_picture,
        ]
    )
    loss = logit_losses(y, odds).sum() + (ridge * deviation**2).sum()
    return float(loss), gradient + 2 * ridge * deviation


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
