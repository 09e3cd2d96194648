"""Spectra of short frames of audio, and mel filters: the front end of every family that listens.

``librosa.stft`` computes the same spectra. Its first call imports functions that numba compiles, whether used or not:
25 CPU s in a new installation, and in every process where compiled code can't be kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from scipy import fft

from features.arrays import F64
from features.compiled_code import import_librosa
from features.observation import AUDIO_RATE_HZ

BLOCK = 2_000  # frames, 20 s


def windowed_frames(
    audio: F64, *, n_fft: int, width: int, hop: int, window: str, pad_mode: Literal["constant", "reflect"] = "constant"
) -> Iterator[F64]:
    """Yield blocks [at most ``BLOCK``, n_fft] of windowed frames, so that memory does not grow with the clip.

    Parameters
    ----------
    audio : ndarray of shape (s,)
        Samples; the k-th frame is centred on sample ``k * hop``, and the last one on the last such sample.
    n_fft, width
        Samples of a frame, and of the window in its middle; both even.
    window
        Name of the window, periodic, as ``scipy.signal.get_window`` takes it.
    pad_mode
        What precedes and follows the audio, as ``numpy.pad`` takes it.
    """
    from scipy import signal

    weights = np.zeros(n_fft)
    weights[(n_fft - width) // 2 : (n_fft + width) // 2] = signal.get_window(window, width)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, n_fft // 2, mode=pad_mode), n_fft)[::hop]
    for first in range(0, len(frames), BLOCK):
        yield frames[first : first + BLOCK] * weights


def power(frames: F64) -> F64:
    """Return the power [n, n_fft / 2 + 1] of frames [n, n_fft] at frequencies from 0 to half the sampling rate.

    >>> power(np.ones((1, 4))).tolist()
    [[16.0, 0.0, 0.0]]
    """
    return np.asarray(np.abs(fft.rfft(frames, axis=1)) ** 2, np.float64)


def power_spectrogram(
    audio: F64, *, n_fft: int, width: int, hop: int, window: str, pad_mode: Literal["constant", "reflect"] = "constant"
) -> F64:
    """Return the power [n_fft / 2 + 1, s // hop + 1] of the :func:`windowed_frames` of audio [s]."""
    blocks = windowed_frames(audio, n_fft=n_fft, width=width, hop=hop, window=window, pad_mode=pad_mode)
    return np.concatenate([power(block) for block in blocks]).T


def mel_filters(n_mels: int, *, n_fft: int, low_hz: float = 0.0, high_hz: float = AUDIO_RATE_HZ / 2) -> F64:
    """Return mel filters [n_mels, n_fft / 2 + 1] for audio at 16 kHz, by librosa.

    They are triangles of equal area, equally wide on Slaney's mel scale between the two frequencies.
    """
    mel = import_librosa().filters.mel
    filters = mel(sr=AUDIO_RATE_HZ, n_fft=n_fft, n_mels=n_mels, fmin=low_hz, fmax=high_hz, dtype=np.float64)
    return np.asarray(filters, np.float64)
