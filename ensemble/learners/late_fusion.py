"""Late fusion of the networks' log-odds by five parameters; a more flexible model would learn the sources of its clips.

Every family of a face network gives the mean logit of a person's faces. Their plain mean, with a slope and an intercept
fitted by penalised maximum likelihood (after Platt 1999), generalises best where clips are few: separate weights, or
their spreads and fractions as further inputs, did not generalise better. The speech detector has its own slope and
intercept. A clip is FAKE when its video is forged or its speech is synthetic, so the two scores are combined by a
noisy-OR (Pearl 1988): genuine speech does not offset image evidence, as it would in a sum. The presence of speech
lowers the video's log-odds by a constant, a prior correction (:class:`Parameters`).

Either of two faces may be the forged one, so the likelihood ratio of the video is the mean over both: a face that
scores above the main one raises the log-odds accordingly. A table holds the largest mean logit over all faces, but no
cues of other faces; their cues are assumed to equal those of the main face (docs/experiments/046).

``networks_and_cues`` adds hand-crafted cues that compare parts of one face to the video's log-odds: the texture of
its centre against that of its edge and of what lies above it, sharpness, noise and lightness of its core and of the
rest, one iris and the other. Camera and codec cancel in such a comparison, so these generalise to other sources
(docs/experiments/038, 041), while spectra and noise levels do not (030), nor do differences of colour and textures of
teeth (038); a penalty keeps each of them small.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.learners.additive import MAX_LOGIT, by_family, clipped
from ensemble.learners.base import LearnerSettings, check_fitted
from ensemble.learners.preprocess import MIN_RANGE, MIN_VALUES
from ensemble.metrics import logit_losses
from ensemble.training_set import Layout
from features.errors import InputError

LOGIT_SUFFIX = ".logit_mean"
ALL_FACES_SUFFIX = f"{LOGIT_SUFFIX}_max"  # the largest over all faces; undefined with fewer than two
VOICE = "forensic_voice.logit"
# Fitted on 329 recordings at a prior of 1 in 10: estimates are shrunk towards these.
SPEECH_SLOPE, SPEECH_INTERCEPT = 1.2, -1.9
RIDGE = 20.0  # nats: penalty of a speech parameter's deviation of 1; few clips of a table have synthetic speech
MIN_HEARD = -1.0  # of `heard`, in log-odds: a data set in which one class often lacks audio must not inflate it
CUES = (
    *(f"blending.{name}_core_rest_med" for name in ("ten", "lap", "noise", "lightness")),
    *(f"eyes_teeth.iris_{name}" for name in ("dh", "ds", "dv", "dlab", "hist_r", "hist_g", "hist_b")),
    *(f"face_contrast.c{k:02}_mean" for k in range(1, 33)),
)
"""The cues that are added to the video's log-odds; chosen in docs/experiments/038, 041 and 048."""
CUE_RIDGE = 100.0  # nats: penalty of a standardised cue's coefficient of 1; chosen for clips that count twice (042)
MAX_DEVIATION = 4.0  # standard deviations of a cue from its median: values further out carry no more evidence
MAX_CUES = 1.0  # log-odds of all cues together: they must not decide alone on images of an unknown kind


@dataclass
class Parameters:
    """Slopes and intercepts of both parts, and the prior correction for clips with speech.

    ``heard`` is added to the video's log-odds of clips with speech: some of these are FAKE because of their speech, so
    fewer because of their video. The field names are the keys of the stored files.
    """

    slope: float = 0.0
    intercept: float = 0.0
    voice_slope: float = 0.0
    voice_intercept: float = -MAX_LOGIT
    heard: float = 0.0


N_PARAMETERS = len(fields(Parameters))


@dataclass
class Cues:
    """A linear score of standardised cues.

    Four lists of one length: column numbers of the table, and the centre, scale and coefficient of each.
    """

    columns: list[int] = field(default_factory=list)
    centre: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    coefficients: list[float] = field(default_factory=list)

    @classmethod
    def standardised(cls, X: Float, columns: Sequence[int]) -> Cues:
        """Centres and scales over the rows of ``X`` [n, n_columns] of the ``columns`` that vary; coefficients are 0."""
        kept = [number for number in columns if _varies(X[np.isfinite(X[:, number]), number])]
        values = X[:, kept].astype(np.float64)
        centre, scale = np.nanmedian(values, axis=0), np.nanstd(values, axis=0)
        return cls(kept, centre.tolist(), scale.tolist(), [0.0] * len(kept))

    def transform(self, X: Float) -> Array:
        """[n, d] deviations from the medians, in standard deviations, bounded; 0 where a cue is undefined."""
        values = X[:, self.columns].astype(np.float64)
        deviations = (values - np.array(self.centre)) / np.array(self.scale)
        return np.nan_to_num(np.clip(deviations, -MAX_DEVIATION, MAX_DEVIATION))

    def contributions(self, X: Float) -> Array:
        """[n, d] log-odds of each cue; scaled down where their sum would be beyond +-:data:`MAX_CUES`."""
        terms = self.transform(X) * np.array(self.coefficients)
        total = np.abs(terms.sum(axis=1, keepdims=True))
        return terms * np.minimum(1.0, MAX_CUES / np.maximum(total, 1e-9))


def _varies(values: Float) -> bool:
    """Whether there are enough values, and they differ by more than rounding."""
    return len(values) >= MIN_VALUES and float(np.ptp(values.astype(np.float64))) > MIN_RANGE


class Networks:
    """Slope times the mean of the face networks' defined logits, plus an intercept; noisy-OR the speech detector's."""

    name = "networks"
    cue_names: tuple[str, ...] = ()
    """Columns that join the video's log-odds."""

    def __init__(self, layout: Layout, settings: LearnerSettings) -> None:
        self.layout = layout
        self.columns = [number for number, column in enumerate(layout.columns) if column.endswith(LOGIT_SUFFIX)]
        numbers = {column: number for number, column in enumerate(layout.columns)}
        self.all_faces_columns = {
            number: numbers[all_faces]
            for number in self.columns
            if (all_faces := layout.columns[number].removesuffix(LOGIT_SUFFIX) + ALL_FACES_SUFFIX) in numbers
        }
        """Of a network's column of the main face: that of all faces."""
        self.voice_columns = [number for number, column in enumerate(layout.columns) if column == VOICE]
        if not self.columns:
            raise InputError(f"the learner {self.name!r} needs columns that end in {LOGIT_SUFFIX}; the table has none")
        self.parameters: Parameters | None = None  # before fit or load
        self.cues = Cues()

    @classmethod
    def reads(cls, columns: Iterable[str]) -> set[str]:
        """Return the columns, of those of a table, that change its predictions."""
        logits = (LOGIT_SUFFIX, ALL_FACES_SUFFIX)
        return {name for name in columns if name.endswith(logits) or name == VOICE or name in cls.cue_names}

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Fit by penalised maximum likelihood (ridge on the parameters of speech and cues), with slopes of 0 or more.

        Only the main face is fitted. Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        from scipy.optimize import minimize

        self.cues = Cues.standardised(X, self._cue_columns())
        z, v, S = _mean_terms(X[:, self.columns]).sum(axis=1), self._speech_logit(X), self.cues.transform(X)
        prior, n_cues = float(y.mean()), S.shape[1]
        start = np.array([0.5, np.log(prior / (1 - prior)), SPEECH_SLOPE, SPEECH_INTERCEPT, 0.0, *[0.0] * n_cues])
        any_logit = (-MAX_LOGIT, MAX_LOGIT)
        bounds = [(0.0, None), any_logit, (0.0, None), any_logit, (MIN_HEARD, 0.0), *[any_logit] * n_cues]
        theta = minimize(
            _penalised_loss, start, (z, v, S, y), "L-BFGS-B", jac=True, bounds=bounds, options={"ftol": 1e-12}
        ).x
        self.parameters = Parameters(*(float(value) for value in theta[:N_PARAMETERS]))
        self.cues.coefficients = theta[N_PARAMETERS:].tolist()
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE; the video's intercept where no column that the learner reads was measured."""
        return np.clip(noisy_or(*self._video_and_speech(X)), -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] the part of each family; the intercept of the video last.

        The joint effect of video and speech is split evenly between them (Shapley values of two players).
        """
        constant = self._fitted().intercept
        terms = self._video_terms(X)
        evidence = terms.sum(axis=1)
        video, speech = self._video_and_speech(X)
        together, speech_alone = noisy_or(video, speech), noisy_or(video - evidence, speech)
        of_video = (evidence + together - speech_alone) / 2
        scale = np.divide(of_video, evidence, out=np.zeros(len(X)), where=evidence != 0)
        columns = np.zeros((len(X), len(self.layout.columns) + 1))
        columns[:, :-1] = terms * scale[:, None]
        of_speech = np.where(np.isnan(speech), 0.0, (speech_alone + together - evidence) / 2 - constant)
        columns[:, self.voice_columns] = of_speech[:, None]
        columns[:, -1] = constant
        return clipped(by_family(columns, self.layout))

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.json``."""
        name = f"{stem}.json"
        state = asdict(self._fitted()) | ({"cues": asdict(self.cues)} if self.cue_names else {})
        (folder / name).write_text(json.dumps(state), encoding="utf-8")
        return [name]

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read ``<stem>.json``."""
        state = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        result = cls(layout, LearnerSettings())
        result.cues = Cues(**state.pop("cues", {}))
        result.parameters = Parameters(**{name: float(value) for name, value in state.items()})
        return result

    def _cue_columns(self) -> list[int]:
        """Numbers of the table's columns that :attr:`cue_names` names."""
        return [number for number, column in enumerate(self.layout.columns) if column in self.cue_names]

    def _speech_logit(self, X: Float) -> Array:
        """[n] logits of the speech detector; NaN where no speech is present."""
        return X[:, self.voice_columns[0]].astype(np.float64) if self.voice_columns else np.full(len(X), np.nan)

    def _video_terms(self, X: Float) -> Array:
        """[n, n_columns] what each column adds to the video's log-odds."""
        terms = np.zeros((len(X), len(self.layout.columns)))
        terms[:, self.columns] = self._fitted().slope * _mean_terms(X[:, self.columns])
        terms[:, self.cues.columns] = self.cues.contributions(X)
        terms[:, list(self.all_faces_columns.values())] = self._other_face_terms(X)
        return terms

    def _other_face_terms(self, X: Float) -> Array:
        """[n, k] what each column of all faces adds: 0 with one face, or where the main face's logits are largest."""
        of_main, of_all = list(self.all_faces_columns), list(self.all_faces_columns.values())
        main, largest = X[:, of_main].astype(np.float64), X[:, of_all].astype(np.float64)
        known = np.isfinite(largest)
        gap = _mean_terms(largest - np.nan_to_num(main)).sum(axis=1)
        added = np.logaddexp(0.0, self._fitted().slope * np.maximum(gap, 0.0)) - np.log(2)
        return known * (added / np.maximum(known.sum(axis=1), 1))[:, None]

    def _video_and_speech(self, X: Float) -> tuple[Array, Array]:
        """[n] log-odds of a forged video, and of synthetic speech; the latter NaN where no speech is present."""
        p, v = self._fitted(), self._speech_logit(X)
        video = self._video_terms(X).sum(axis=1) + p.intercept + p.heard * np.isfinite(v)
        return video, p.voice_slope * v + p.voice_intercept

    def _fitted(self) -> Parameters:
        check_fitted(self.parameters is not None, self)
        assert self.parameters is not None
        return self.parameters


class NetworksAndCues(Networks):
    """As :class:`Networks`, with a penalised linear score of cues added to the networks' mean."""

    name = "networks_and_cues"
    cue_names = CUES


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

    has_speech, voice = np.isfinite(v), np.nan_to_num(v)
    video = theta[0] * z + theta[1] + theta[4] * has_speech + S @ theta[N_PARAMETERS:]
    speech = np.where(has_speech, theta[2] * voice + theta[3], np.nan)
    odds = noisy_or(video, speech)
    target = np.zeros(len(theta))
    target[2:4] = SPEECH_SLOPE, SPEECH_INTERCEPT
    ridge = np.array([0.0, 0.0, RIDGE, RIDGE, RIDGE, *[CUE_RIDGE] * S.shape[1]])
    deviation = theta - target
    # p = 1 - (1 - p_video)(1 - p_speech), so the log-odds move by p_video / p for each unit of the video's
    p = expit(odds)
    by_video = (p - y) * expit(video) / p
    by_speech = np.where(has_speech, (p - y) * expit(np.nan_to_num(speech)) / p, 0.0)
    gradient = np.concatenate(
        [
            [by_video @ z, by_video.sum(), by_speech @ voice, by_speech.sum(), by_video @ has_speech],
            S.T @ by_video,
        ]
    )
    loss = logit_losses(y, odds).sum() + (ridge * deviation**2).sum()
    return float(loss), gradient + 2 * ridge * deviation


def _mean_terms(logits: Float | Array) -> Array:
    """[n, k] what each of the logits [n, k] adds to the mean of the defined ones; 0 where undefined."""
    z = logits.astype(np.float64)
    known = np.isfinite(z)
    return np.where(known, z, 0.0) / np.maximum(known.sum(axis=1, keepdims=True), 1)


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
