"""The first two convolutions of Whisper, and statistics of how their outputs vary over speech.

Whisper (Radford et al. 2022, "Robust speech recognition via large-scale weak supervision") was trained to recognise
speech through every kind of microphone, room and codec. Its first layers are a bank of 384 small patterns of a
spectrogram that reaches down to 80 dB under its loudest cell. At these low levels a recording still holds the noise of
a room, while a generator adds nothing of its own. Two numbers are kept for each pattern: how much its strength varies
over the audio, and how much it changes from one frame to the next. Levels are not kept, because they depend on room and
microphone. Later layers encode what is said, and detect synthetic speech of unseen systems less well; the same holds
for a higher floor (docs/experiments/044).

The use of Whisper's first layers follows Kawa et al. 2023, "Improved DeepFake detection using Whisper features". The
weights are those of Whisper tiny.en, in half precision, and are stored in the speech detector's own file. Importing
this module does not import torch.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.measures import short_time
from features.measures.voice_measures import without_silence

N_FFT, HOP, N_MEL = 400, 160, 80  # as Whisper was trained: Hann windows of 25 ms, every 10 ms
RANGE = 8.0  # log10 of power: distance of the floor from the loudest cell
PEAK = 2.5  # log10 power to which the loudest cell is set, that of loud speech: 0 to 2.5 work equally well
CHANNELS = 384
SHAPES = {
    "conv1.weight": (CHANNELS, N_MEL, 3),
    "conv1.bias": (CHANNELS,),
    "conv2.weight": (CHANNELS, CHANNELS, 3),
    "conv2.bias": (CHANNELS,),
}
"""Arrays of an encoder by name, with their shapes."""
STATISTICS = tuple(f"{name}{channel:03}" for name in ("spread", "change") for channel in range(CHANNELS))
"""Names of the values that :meth:`SpeechEncoder.statistics` returns, in order."""


class SpeechEncoder:
    """The two convolutions, ready to run on one thread.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Weights, with the names and shapes of :data:`SHAPES`; rounded to half precision, as in the file.

    Raises
    ------
    RuntimeError
        An array is missing, or has another shape.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.floating]]) -> None:
        import torch

        for name, shape in SHAPES.items():
            if name not in arrays or arrays[name].shape != shape:
                raise RuntimeError(f"{name} of the encoder is missing or of another shape")
        self._weights = {name: torch.from_numpy(arrays[name].astype(np.float16).astype(np.float32)) for name in SHAPES}

    @property
    def digest(self) -> str:
        """SHA-256 of the weights in half precision, in hexadecimal."""
        return hashlib.sha256(b"".join(array.tobytes() for array in self.arrays().values())).hexdigest()

    def arrays(self) -> dict[str, NDArray[np.float16]]:
        """Return the weights by name, in half precision."""
        return {name: array.numpy().astype(np.float16) for name, array in self._weights.items()}

    def statistics(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return statistics of how the patterns vary over the audio.

        Parameters
        ----------
        audio : ndarray of shape (k,)
            Mono audio at 16 kHz, of any level. Digital silence is cut out; at least 0.1 s must remain.

        Returns
        -------
        ndarray of shape (len(STATISTICS),)
            By channel, the standard deviation over the frames (one every 20 ms), then the standard deviation of the
            differences between neighbouring frames.
        """
        import torch
        from torch.nn.functional import conv1d, gelu

        from features.threads import torch_on_one_thread

        weights = self._weights
        seen = (log_mel(without_silence(audio)) + PEAK + 4.0) / 4.0
        with torch_on_one_thread(), torch.inference_mode():
            x = torch.from_numpy(seen.astype(np.float32))[None]
            x = gelu(conv1d(x, weights["conv1.weight"], weights["conv1.bias"], padding=1))
            x = gelu(conv1d(x, weights["conv2.weight"], weights["conv2.bias"], stride=2, padding=1))
        strength = x[0].numpy()
        return np.concatenate([strength.std(axis=1), np.diff(strength, axis=1).std(axis=1)])


def log_mel(audio: NDArray[np.float32]) -> F64:
    """Return Whisper's spectrogram of audio, normalised to its loudest cell.

    Parameters
    ----------
    audio : ndarray of shape (k,)
        Mono audio at 16 kHz, longer than a window, not silent.

    Returns
    -------
    ndarray of shape (80, n)
        log10 power of mel bands; the loudest cell is 0, the floor -8; one frame every 10 ms.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    >>> log_mel(noise).shape, float(log_mel(noise).max())
    ((80, 100), 0.0)
    """
    spectrogram = short_time.power_spectrogram(
        audio.astype(np.float64), n_fft=N_FFT, width=N_FFT, hop=HOP, window="hann", pad_mode="reflect"
    )
    power = mel_filters() @ spectrogram[:, :-1]  # Whisper leaves the last frame out
    return np.asarray(np.log10(np.maximum(power / power.max(), 10.0**-RANGE)))


@functools.cache
def mel_filters() -> F64:
    """Return the mel filters [80, 201]: triangles of equal area on Slaney's mel scale."""
    return short_time.mel_filters(N_MEL, n_fft=N_FFT)
