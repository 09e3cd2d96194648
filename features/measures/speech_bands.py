"""How the bands of speech move, and its log-mel spectrogram: what the speech detector reads beside the voice cues.

Both come from one spectrogram of the audio without digital silence, of frames of 20 ms every 10 ms. A band's mean level
is taken out of either, so that a microphone, a room's colour or a codec's band limit, which a page of samples shares,
says little; and a floor below the audio's mean power hides how clean the pauses are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.compiled_code import import_librosa
from features.measures import short_time
from features.measures.voice_measures import HOP, MIN_SPEECH, N_FFT, SPEECH_DB, spectrogram, without_silence

N_MEL, MEL_HZ = 64, (60.0, 7800.0)
MEL_FLOOR = 1e-5  # of the mean power
N_WIDE, BINS_NARROW = 16, 4  # bands of 500 Hz, summed from narrow ones of 125 Hz
WIDE_FLOOR = 10**-4.5
LAGS = (1, 2, 4, 8)  # frames of 10 ms
LEAST = 1e-10  # of a power, at unit RMS: no logarithm of zero
LEAST_SPREAD = 1e-6

STATISTICS = tuple(
    f"band{band:02}_{name}" for name in ("log_std", "skewness", "log_kurtosis", *(f"lag{lag}" for lag in LAGS))
    for band in range(N_WIDE)
)  # fmt: skip
"""Names of what :func:`band_statistics` gives, in order."""


@dataclass(frozen=True)
class Bands:
    """Levels of speech over time.

    Attributes
    ----------
    mel : ndarray of shape (N_MEL, n)
        log10 power of triangular mel bands, each less its mean over the speech; n frames of 10 ms.
    statistics : ndarray of shape (len(STATISTICS),)
        See :func:`band_statistics`.
    """

    mel: NDArray[np.float32]
    statistics: F64


def bands(audio: NDArray[np.float32]) -> Bands | None:
    """Measure how the bands of speech in audio move.

    Parameters
    ----------
    audio : ndarray of shape (k,)
        Mono, 16 kHz, of any level.

    Returns
    -------
    Bands or None
        None with under 0.3 s of speech.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    >>> bands(noise).mel.shape, bands(noise[:4000])
    ((64, 101), None)
    """
    audio = without_silence(audio)
    if audio.size < MIN_SPEECH * HOP:
        return None
    power = spectrogram(audio)
    narrow = np.add.reduceat(power[: N_FFT // 2], np.arange(0, N_FFT // 2, BINS_NARROW))
    speech = _loud(narrow)
    mel = mel_filters() @ power
    speech_of_mel = _loud(mel)
    if min(speech.sum(), speech_of_mel.sum()) < MIN_SPEECH:
        return None
    level = np.log10(mel + MEL_FLOOR * mel.mean())
    level -= level[:, speech_of_mel].mean(axis=1, keepdims=True)
    return Bands(level.astype(np.float32), band_statistics(narrow, speech))


def _loud(power: F64) -> NDArray[np.bool_]:
    """[n] frames whose mean level over bands of a power [bands, n] is within 15 dB of the loud ones.

    Their power weights what is loud, as in :func:`features.measures.voice_measures.speech_frames`.
    """
    level = np.log10(power + LEAST).mean(axis=0)
    return np.asarray(level > np.average(level, weights=power.sum(axis=0)) - SPEECH_DB / 10)


@functools.cache
def mel_filters() -> F64:
    """[N_MEL, N_FFT / 2 + 1] triangles of height 1 (Slaney's mel scale)."""
    low, high = MEL_HZ
    edges = import_librosa().mel_frequencies(N_MEL + 2, fmin=low, fmax=high)
    widths = edges[2:] - edges[:-2]
    return short_time.mel_filters(N_MEL, n_fft=N_FFT, low_hz=low, high_hz=high) * (widths / 2)[:, None]


def band_statistics(narrow: F64, speech: NDArray[np.bool_]) -> F64:
    """How the levels of 16 bands of 500 Hz are spread over the speech, and how slowly they change.

    Speech that a network generated regresses towards a mean: its levels are spread less, and change more smoothly, than
    a speaker's.

    Parameters
    ----------
    narrow : ndarray of shape (64, n)
        Power of bands of 125 Hz.
    speech : ndarray of shape (n,)
        True for the frames that count, at least :data:`MIN_SPEECH`; what lies between them is closed up.

    Returns
    -------
    ndarray of shape (len(STATISTICS),)
        By band logarithm of the standard deviation, skewness, logarithm of the kurtosis, autocorrelations at the
        :data:`LAGS`; those of a band that does not move at all are those of a spread of 1e-6. All finite.
    """
    wide = narrow.reshape(N_WIDE, -1, narrow.shape[1]).mean(axis=1)
    level = np.log10(wide + WIDE_FLOOR * narrow.mean())[:, speech]
    level -= level.mean(axis=1, keepdims=True)
    spread = level.std(axis=1) + LEAST_SPREAD
    z = level / spread[:, None]
    moments = [np.log(spread), (z**3).mean(axis=1), np.log((z**4).mean(axis=1) + LEAST_SPREAD)]
    return np.concatenate([*moments, *((z[:, lag:] * z[:, :-lag]).mean(axis=1) for lag in LAGS)])
