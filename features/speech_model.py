"""The speech detector: what it reads of a sound, its two parts, and its weights file.

A linear model reads the voice cues and the statistics of bands; a small network reads the log-mel spectrogram. The
logit is the mean of both. They err differently: the network is blind to what its window of 1.28 s does not hold, and
the linear model to all that nobody thought of measuring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.networks.weights import read_arrays, save_arrays, unusable
from features.speech_bands import STATISTICS, bands
from features.voice_measures import CUES, cues

if TYPE_CHECKING:
    from features.networks.speech_net import SpeechScorer

MAX_LOGIT = 12.0
INPUTS = (*CUES, *STATISTICS)
"""What the linear model reads, in order."""
NETWORK = "network."  # before the names of the network's arrays in a weights file


@dataclass(frozen=True)
class SpeechMetadata:
    """What a weights file says about itself."""

    inputs: tuple[str, ...] = INPUTS
    """What the linear weights belong to, in order."""
    version: str = "2"
    logit_positive: str = "fake"


@dataclass(frozen=True)
class SpeechInputs:
    """What the detector reads of a sound: ``x`` [len(INPUTS)], NaN where a cue is undefined; ``mel`` [64, n frames]."""

    x: NDArray[np.float64]
    mel: NDArray[np.float32]


def speech_inputs(sound: NDArray[np.float32], values: Mapping[str, float] | None = None) -> SpeechInputs | None:
    """Measure a sound.

    Parameters
    ----------
    sound : ndarray of shape (k,)
        Mono, 16 kHz, of any level.
    values
        Its voice cues, where they are known: :func:`features.voice_measures.cues`.

    Returns
    -------
    SpeechInputs or None
        None with under 0.3 s of speech.
    """
    values = cues(sound) if values is None else values
    found = bands(sound) if values else None
    if found is None or not values:
        return None
    return SpeechInputs(np.concatenate([[values[name] for name in CUES], found.statistics]), found.mel)


@dataclass(frozen=True)
class LinearModel:
    """``weight @ ((x - mean) / scale) + bias`` of :data:`INPUTS`; one that is undefined counts as its mean."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: float

    def logit(self, x: NDArray[np.float64]) -> float:
        """Log-odds, within +-12, that speech with these inputs [len(INPUTS)] is synthetic."""
        return _clipped(float(np.nan_to_num((x - self.mean) / self.scale) @ self.weight) + self.bias)


@dataclass(frozen=True)
class VoiceModel:
    """Both parts of the speech detector."""

    linear: LinearModel
    network: SpeechScorer

    def logit(self, inputs: SpeechInputs) -> float:
        """Log-odds, within +-12, that the speech is synthetic: the mean of both parts'."""
        return sum(self.parts(inputs)) / 2

    def parts(self, inputs: SpeechInputs) -> tuple[float, float]:
        """Logit of the linear model and of the network, each within +-12."""
        return self.linear.logit(inputs.x), _clipped(self.network.logit(inputs.mel))

    def save(self, file: Path) -> None:
        """Write a weights file."""
        linear = self.linear
        arrays: dict[str, NDArray[Any]] = {
            "mean": linear.mean,
            "scale": linear.scale,
            "weight": linear.weight,
            "bias": np.array([linear.bias]),
        }
        arrays |= {f"{NETWORK}{name}": one for name, one in self.network.arrays().items()}
        save_arrays(arrays, file, SpeechMetadata())

    @classmethod
    def load(cls, file: Path) -> VoiceModel:
        """Read a weights file.

        Raises
        ------
        ModelError
            It is missing, damaged, of another detector, or of other inputs than this version measures.
        """
        from features.networks.speech_net import SpeechScorer

        metadata, arrays = read_arrays(file, SpeechMetadata)
        if tuple(metadata.inputs) != INPUTS or metadata.logit_positive != "fake":
            raise unusable(file, "its inputs are others, or its logits are positive for genuine speech")
        state = {name.removeprefix(NETWORK): one for name, one in arrays.items() if name.startswith(NETWORK)}
        try:
            linear = LinearModel(arrays["mean"], arrays["scale"], arrays["weight"], float(arrays["bias"][0]))
            return cls(linear, SpeechScorer(state))
        except KeyError as error:
            raise unusable(file, f"it lacks {error}") from error
        except RuntimeError as error:
            raise unusable(file, error) from error


def _clipped(logit: float) -> float:
    return float(np.clip(logit, -MAX_LOGIT, MAX_LOGIT))
