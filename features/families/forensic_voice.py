"""forensic_voice: whether the speech sounds synthetic to a linear model trained on genuine and synthetic speech.

A logit, the log-odds of synthetic speech: the cues of :mod:`features.families.voice`, standardised and weighted by
logistic regression. It was trained on lip-to-speech and speech-to-speech translation, and on bona fide speech, both
through the same codecs, rooms and noises: see :mod:`training.voice` and docs/MODEL_CARD.md. It shares that family's
confounds; text-to-speech is unlike what it was trained on, and escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.evidence import Series
from features.families.voice import CUES
from features.networks.weights import kept_in_memory, read_arrays, save_arrays, unusable, weights_file
from features.observation import AUDIO_RATE_HZ, Observation, Track
from features.spec import EVERY_CHANGE, Column, family
from features.voice_measures import clip_cues, cues

NAME = "forensic_voice"
MAX_LOGIT = 12.0
WINDOW_S, HOP_S = 3.0, 1.0  # of the series; the cues of shorter sound say little
_SOURCE = "logistic regression on the voice cues, trained by training/voice"

COLUMNS = (
    Column(
        f"{NAME}.logit",
        range=(-MAX_LOGIT, MAX_LOGIT),
        reference=_SOURCE,
        direction="up",
        invariant_to=EVERY_CHANGE,
        description="The model's log-odds that the speech is synthetic; 0 is undecided.",
    ),
    Column(
        f"{NAME}.valid_share",
        range=(0.0, 1.0),
        direction="covariate",
        description="1 where the sound holds at least 0.3 s of speech and the weights are there, else 0.",
    ),
)


@dataclass(frozen=True)
class VoiceMetadata:
    """What a weights file says about itself."""

    cues: tuple[str, ...] = CUES
    """The cues that the weights belong to, in order."""
    version: str = "1"
    logit_positive: str = "fake"


@dataclass(frozen=True)
class VoiceModel:
    """``weight @ ((cues - mean) / scale) + bias``; a cue that is undefined counts as its mean."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: float

    def logit(self, values: Mapping[str, float]) -> float:
        """Log-odds, within +-12, that speech with these cues is synthetic."""
        x = (np.array([values[name] for name in CUES]) - self.mean) / self.scale
        return float(np.clip(np.nan_to_num(x) @ self.weight + self.bias, -MAX_LOGIT, MAX_LOGIT))

    def save(self, file: Path) -> None:
        """Write a weights file."""
        arrays = {"mean": self.mean, "scale": self.scale, "weight": self.weight, "bias": np.array([self.bias])}
        save_arrays(arrays, file, VoiceMetadata())

    @classmethod
    def load(cls, file: Path) -> VoiceModel:
        """Read a weights file.

        Raises
        ------
        ModelError
            It is missing, damaged, of another detector, or of other cues than this version measures.
        """
        metadata, arrays = read_arrays(file, VoiceMetadata)
        if tuple(metadata.cues) != CUES or metadata.logit_positive != "fake":
            raise unusable(file, "its cues are others, or its logits are positive for genuine speech")
        try:
            return cls(arrays["mean"], arrays["scale"], arrays["weight"], float(arrays["bias"][0]))
        except KeyError as error:
            raise unusable(file, f"it lacks {error}") from error


_model = kept_in_memory(VoiceModel.load)


def window_series(observation: Observation, track: Track | None) -> dict[str, Series]:
    """``forensic_voice.logit`` of windows of 3 s, every second; of the whole sound where that is shorter.

    NaN for a window with under 0.3 s of speech; empty where no window has more, and without weights. The column is the
    logit of the whole sound by the same model: one window as long as the sound.

    Raises
    ------
    ModelError
        The weights file is there but can't be used.
    """
    file, sound = weights_file(NAME), observation.audio
    if sound is None or not sound.size or not file.exists():
        return {}
    size, hop = round(WINDOW_S * AUDIO_RATE_HZ), round(HOP_S * AUDIO_RATE_HZ)
    starts = np.arange(0, max(len(sound) - size, 0) + 1, hop)
    windows = [sound[start : start + size] for start in starts]
    values = [_model(file).logit(found) if (found := cues(window)) else np.nan for window in windows]
    if not np.isfinite(values).any():
        return {}
    middles_s = (starts + np.array([len(window) for window in windows]) / 2) / AUDIO_RATE_HZ
    times_s = observation.audio_start_s + middles_s
    return {f"{NAME}.logit": Series(times_s, values, unit="log-odds", title="Speech model")}


@family(NAME, version=2, needs={"sound", "weights"}, columns=COLUMNS, series=window_series)
def measure(observation: Observation, track: Track | None) -> dict[str, float]:
    """Columns of the clip's sound, whoever speaks; NaN without sound, with under 0.3 s of speech, or without weights.

    Raises
    ------
    ModelError
        The weights file is there but can't be used.
    """
    file = weights_file(NAME)
    values = clip_cues(observation) if file.exists() else {}
    if not values:
        return {f"{NAME}.valid_share": 0.0}
    return {f"{NAME}.logit": _model(file).logit(values), f"{NAME}.valid_share": 1.0}
