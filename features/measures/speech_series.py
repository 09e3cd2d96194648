"""The audio as series every 10 ms, to be compared with the mouth's: loudness, bands, cepstrum, where there is speech.

Windows of 25 ms (Hann) every 10 ms, frame k centred on 10 k ms. The audio is first scaled to unit deviation, and what
lies below 60 Hz (rumble, a DC offset) is filtered out, so nothing here depends on level, polarity or an offset.

For *when* somebody speaks and how loudness and spectrum change (family ``lip_sync``). *What* a voice sounds like over a
whole clip, whatever its timing, is another front end with other windows and bands:
:mod:`features.measures.voice_measures`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from features.arrays import F64
from features.measures import short_time
from features.observation import AUDIO_RATE_HZ

GRID_HZ = 100.0
N_FFT, WINDOW, HOP = 512, 400, 160  # 32, 25 and 10 ms at 16 kHz
RANGE_DB = 60.0  # the floor lies so far under the clip's peak
SPEECH_DB = 12.0  # louder than the 10 % quantile by this much is speech, and so is what lies within it of loud frames
RUMBLE_HZ = 60.0
DIGITAL_SILENCE = 1e-5  # of the loudest frame's range, or of an offset; less than a recorder's noise
SPEECH_GAP_S = 0.08
MIN_PAUSES, LONGEST_PAUSE_S = 3, 1.0  # of digital silence in a voice that was gated
MIN_PAUSE_SHARE = 0.1  # above it the 10 % quantile of the whole audio lies in digital silence: no noise is heard
LOW_PASS_HZ = 10.0
VOICE_BAND_HZ, CLOSURE_BAND_HZ = (300.0, 1000.0), (300.0, 4000.0)
N_MFCC, N_MELS = 13, 40
MFCC_RANGE_DB = 80.0  # of the mel spectrum, as librosa has it


def short_time_series(audio: NDArray[Any]) -> dict[str, F64]:
    """Loudness and spectrum of the audio every 10 ms; frame k is centred on 10 k ms.

    Parameters
    ----------
    audio : ndarray of shape (s,)
        Mono, 16 kHz, any level.

    Returns
    -------
    dict
        ``rms`` dB [n] (floor 60 dB under the peak), ``onset`` its positive difference, ``band`` log10 power of
        300-1000 Hz, all low-passed at 10 Hz; ``mfcc`` [n, 13], low-passed; ``closure`` dB [n] of 300-4000 Hz and
        ``level`` dB [n], as they are, the latter NaN in digital silence. Empty for silence (one constant value), and
        below 1 s.
    """
    y = np.asarray(audio, dtype=np.float64)
    size, peak = (float(y.std()), float(np.abs(y).max())) if y.size else (0.0, 0.0)
    if not size > DIGITAL_SILENCE * peak or y.size < AUDIO_RATE_HZ:
        return {}
    y = y / size
    frames = short_time.windowed_frames(without_rumble(y), n_fft=N_FFT, width=WINDOW, hop=HOP, window="hann")
    parts = [_block(block) for block in frames]
    energy, voice, closure, mel = (np.concatenate(blocks) for blocks in zip(*parts, strict=True))
    rms = _decibel(energy)
    return {
        "rms": low_pass(rms),
        "onset": low_pass(np.maximum(0.0, np.diff(rms, prepend=rms[:1]))),
        "band": low_pass(_decibel(voice) / 10.0),
        "mfcc": low_pass(_mfcc(mel)),
        "closure": _decibel(closure),
        "level": np.where(_audible(y), rms, np.nan),
    }


def without_rumble(y: F64) -> F64:
    """Audio [n] without what lies below 60 Hz (Butterworth, forwards): an offset from the first sample on is gone."""
    from scipy import signal

    sos = signal.butter(4, RUMBLE_HZ, "highpass", fs=AUDIO_RATE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sos, y, zi=signal.sosfilt_zi(sos) * y[0])[0], np.float64)


def _audible(y: F64) -> NDArray[np.bool_]:
    """Frames [n] of the audio, not yet filtered, in which it is no digital silence: one value, whatever the offset."""
    padded = np.pad(y, (0, HOP), mode="edge")
    highest, lowest = ndimage.maximum_filter1d(padded, WINDOW), ndimage.minimum_filter1d(padded, WINDOW)
    span = (highest - lowest)[::HOP][: y.size // HOP + 1]
    return np.asarray(span > DIGITAL_SILENCE * span.max(), np.bool_)


def _block(frames: F64) -> tuple[F64, F64, F64, F64]:
    """Mean square [n], power of the two bands [n], mel spectrum [n, N_MELS] of some frames."""
    power = short_time.power(frames)
    hertz = np.arange(power.shape[1]) * AUDIO_RATE_HZ / N_FFT
    voice, closure = (
        power[:, (hertz >= low) & (hertz <= high)].sum(axis=1) for low, high in (VOICE_BAND_HZ, CLOSURE_BAND_HZ)
    )
    mel = np.einsum("tf,mf->tm", power, _mel_filters(), optimize=True)
    return (frames**2).mean(axis=1), voice, closure, mel


@functools.cache
def _mel_filters() -> F64:
    return short_time.mel_filters(N_MELS, n_fft=N_FFT)


def _decibel(power: F64, range_db: float = RANGE_DB) -> F64:
    top = max(float(power.max()), np.finfo(float).tiny)
    return 10.0 * np.log10(np.maximum(power, top * 10.0 ** (-range_db / 10.0)))


def low_pass(x: F64) -> F64:
    """Series [n, ...] on the 100 Hz grid without what changes faster than 10 Hz (Butterworth, no delay)."""
    from scipy import signal

    sos = signal.butter(2, LOW_PASS_HZ, fs=GRID_HZ, output="sos")
    return signal.sosfiltfilt(sos, x, axis=0)


def _mfcc(mel: F64) -> F64:
    """13 MFCC [n, 13] (c0 kept) of a mel spectrum [n, 40], as ``librosa.feature.mfcc`` defines them."""
    decibel = _decibel(mel, MFCC_RANGE_DB)
    return np.asarray(fft.dct(decibel - decibel.max(), axis=1, norm="ortho")[:, :N_MFCC], np.float64)


def speech_mask(level_db: F64) -> NDArray[np.bool_]:
    """Frames [n] that are louder than the 10 % quantile of ``level_db`` [n] by 12 dB, gaps up to 80 ms closed.

    Frames within 12 dB of the mean power are speech, too: where somebody speaks without pauses, the quantile itself
    is that of speech. Noise that is less than 12 dB below the speech therefore counts as speech.

    Digital silence, NaN in ``level_db``, is no speech and says nothing of the noise that speech is louder than. Where
    it is in the pauses of a voice (a gate, a conference, a synthesis), there is no such noise: all that is heard is
    speech.
    """
    audible = np.isfinite(level_db)
    if _is_gated(audible):
        loud = audible
    else:
        mean_db = 10.0 * np.log10(np.mean(10.0 ** (level_db[audible] / 10.0)))
        loud = level_db > min(np.nanquantile(level_db, 0.1) + SPEECH_DB, mean_db - SPEECH_DB)
    size = round(SPEECH_GAP_S * GRID_HZ) + 1
    return ndimage.binary_closing(np.pad(loud, size), np.ones(size, bool))[size:-size]


def _is_gated(audible: NDArray[np.bool_]) -> bool:
    """Whether the frames [n] that are not heard are pauses of a voice, and not one or two places that were muted."""
    runs, n_runs = ndimage.label(~audible)
    lengths = np.bincount(runs.ravel(), minlength=n_runs + 1)[1:]
    pauses = lengths[lengths < LONGEST_PAUSE_S * GRID_HZ]
    return len(pauses) >= MIN_PAUSES and pauses.sum() >= MIN_PAUSE_SHARE * len(audible)
