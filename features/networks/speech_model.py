"""The speech detector: its inputs, its three parts, and its weights file.

A linear model reads the voice cues and the statistics of bands; a small network reads the log-mel spectrogram; a second
linear model reads the responses of a speech recogniser's first layers (:mod:`features.networks.speech_encoder`). The
logit is the mean of the three. They err differently: the network misses everything beyond its window of 1.28 s, the
first linear model everything that is not among its measures, and the second one levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.measures.speech_bands import STATISTICS, bands
from features.measures.voice_measures import CUES, cues
from features.networks.weights import read_arrays, save_arrays, unusable

if TYPE_CHECKING:
    from features.networks.speech_encoder import SpeechEncoder
    from features.networks.speech_net import SpeechScorer

MAX_LOGIT = 12.0
INPUTS = (*CUES, *STATISTICS)
"""Inputs of the first linear model, in order."""
PARTS = ("linear", "network", "encoded")
NETWORK, ENCODER, ENCODED = "network.", "encoder.", "encoded."  # prefixes of the arrays of each part in a weights file


@dataclass(frozen=True)
class SpeechMetadata:
    """The metadata in the header of a weights file."""

    inputs: tuple[str, ...] = INPUTS
    """Inputs that the first linear model's weights belong to, in order."""
    version: str = "3"
    logit_positive: str = "fake"


@dataclass(frozen=True)
class SpeechInputs:
    """The detector's inputs, measured on audio.

    Attributes
    ----------
    x : ndarray of shape (len(INPUTS),)
        Inputs of the first linear model; NaN where a cue is undefined.
    mel : ndarray of shape (64, n)
        Log-mel spectrogram of n frames: :func:`features.measures.speech_bands.bands`.
    encoded : ndarray of shape (768,)
        Result of :meth:`features.networks.speech_encoder.SpeechEncoder.statistics`.
    """

    x: NDArray[np.float64]
    mel: NDArray[np.float32]
    encoded: NDArray[np.float32]


def speech_inputs(
    audio: NDArray[np.float32], encoder: SpeechEncoder, values: Mapping[str, float] | None = None
) -> SpeechInputs | None:
    """Measure the detector's inputs on audio.

    Parameters
    ----------
    audio : ndarray of shape (k,)
        Mono audio at 16 kHz, of any level.
    encoder
        Encoder of the model that scores the audio.
    values
        Voice cues of the audio, if already known: :func:`features.measures.voice_measures.cues`.

    Returns
    -------
    SpeechInputs or None
        None with under 0.3 s of speech.
    """
    values = cues(audio) if values is None else values
    measured = bands(audio) if values else None
    if measured is None or not values:
        return None
    x = np.concatenate([[values[name] for name in CUES], measured.statistics])
    return SpeechInputs(x, measured.mel, encoder.statistics(audio))


@dataclass(frozen=True)
class LinearModel:
    """The linear model ``weight @ ((x - mean) / scale) + bias``; an undefined input counts as its mean."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: float

    def logit(self, x: NDArray[np.floating[Any]]) -> float:
        """Return the log-odds, clipped to +-12, that speech with these inputs [k] is synthetic."""
        return _clipped(float(np.nan_to_num((x - self.mean) / self.scale) @ self.weight) + self.bias)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the four parameters by name, for :meth:`of_arrays`."""
        return {"mean": self.mean, "scale": self.scale, "weight": self.weight, "bias": np.array([self.bias])}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> LinearModel:
        """Return the model with the parameters that :meth:`arrays` gives: three of shape [k], and the bias [1].

        Raises
        ------
        KeyError
            A parameter is missing.
        """
        return cls(arrays["mean"], arrays["scale"], arrays["weight"], float(arrays["bias"][0]))


@dataclass(frozen=True)
class VoiceModel:
    """The parts of the speech detector."""

    linear: LinearModel
    """Linear model of :data:`INPUTS`."""
    network: SpeechScorer
    encoder: SpeechEncoder
    encoded: LinearModel
    """Linear model of the encoder's statistics."""

    def inputs(self, audio: NDArray[np.float32], values: Mapping[str, float] | None = None) -> SpeechInputs | None:
        """Return the :func:`speech_inputs` of audio [k] at 16 kHz, with the model's own encoder."""
        return speech_inputs(audio, self.encoder, values)

    def logit(self, inputs: SpeechInputs) -> float:
        """Return the log-odds, within +-12, that the speech is synthetic: the mean of the three parts."""
        return float(np.mean(list(self.parts(inputs).values())))

    def parts(self, inputs: SpeechInputs) -> dict[str, float]:
        """Return the logit of each part by name, each clipped to +-12."""
        logits = (
            self.linear.logit(inputs.x),
            _clipped(self.network.logit(inputs.mel)),
            self.encoded.logit(inputs.encoded),
        )
        return dict(zip(PARTS, logits, strict=True))

    def save(self, file: Path) -> None:
        """Write a weights file."""
        arrays: dict[str, NDArray[Any]] = self.linear.arrays()
        for start, part in ((NETWORK, self.network), (ENCODER, self.encoder), (ENCODED, self.encoded)):
            arrays |= {f"{start}{name}": array for name, array in part.arrays().items()}
        save_arrays(arrays, file, SpeechMetadata())

    @classmethod
    def load(cls, file: Path) -> VoiceModel:
        """Read a weights file.

        Raises
        ------
        ModelError
            The file is missing, damaged, of another detector, or for inputs that this version does not measure.
        """
        from features.networks.speech_encoder import SpeechEncoder
        from features.networks.speech_net import SpeechScorer

        metadata, arrays = read_arrays(file, SpeechMetadata)
        if tuple(metadata.inputs) != INPUTS or metadata.logit_positive != "fake":
            raise unusable(file, "its inputs differ, or its logits are positive for genuine speech")
        try:
            return cls(
                LinearModel.of_arrays(arrays),
                SpeechScorer(_under(NETWORK, arrays)),
                SpeechEncoder(_under(ENCODER, arrays)),
                LinearModel.of_arrays(_under(ENCODED, arrays)),
            )
        except KeyError as error:
            raise unusable(file, f"it lacks {error}") from error
        except RuntimeError as error:
            raise unusable(file, error) from error


def _under(start: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with ``start``, by name without that prefix."""
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _clipped(logit: float) -> float:
    return float(np.clip(logit, -MAX_LOGIT, MAX_LOGIT))
