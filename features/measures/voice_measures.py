"""Measures of speech: cepstra of linear bands (LFCC), spectral shape, and the change of bands over time.

The families :mod:`features.families.voice` and :mod:`features.families.forensic_voice` read these numbers, and so does
the training of the latter. Spectra use frames of 20 ms, every 10 ms; nothing depends on the level of the audio.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, MutableMapping

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.measures import short_time
from features.observation import AUDIO_RATE_HZ, Observation

PRE_EMPHASIS = 0.97
N_FFT, WINDOW, HOP = 512, 320, 160  # 32, 20 and 10 ms
N_BANDS = 20  # linear, 0 to 8 kHz; as many cepstra
SPEECH_DB = 15.0
DIGITAL_SILENCE, MIN_SILENCE = 1e-5, 800  # of the peak, less than a recorder's own noise; 50 ms, also of one value
MIN_SPEECH = 30  # frames: 0.3 s
# Steady audio, see is_steady: hum, tones and stationary noises have a spread of 0 to 1.2 dB, as recorded or after AAC,
# MP3 and Opus; of 356 audio tracks of clips and speech samples, the lowest has 1.8 (no speech), speech 3.5 and more.
STEADY_DB, STEADY_RANGE_DB, STEADY_FRAMES, STEADY_MARGIN = 1.4, 20.0, 10, 20
MIN_STEADY_S = 2.5  # a shorter sound may be one long vowel
SLOPE_FRAMES = 9
ROLLOFF = 0.85
FLOOR = 1e-10
BAND_GROUPS = ((0, 5), (5, 10), (10, 15), (15, 20))  # bands of 0-2, 2-4, 4-6 and 6-8 kHz
SYLLABIC_HZ, FAST_HZ, VERY_FAST_HZ = 1.0, 8.0, 16.0  # speech modulates its loudness mostly below 8 Hz


def _names() -> Iterator[str]:
    for number in range(N_BANDS):
        if number:  # the first cepstrum's mean is the level
            yield f"lfcc{number:02}_mean"
        yield from (f"lfcc{number:02}_std", f"dlfcc{number:02}_std")
    yield from ("flatness_med", "centroid_med_hz", "rolloff_med_hz", "flux_med", "hf_share_db", "bw99_hz")
    yield from ("bands_near_corr", "bands_all_corr")
    for number in range(len(BAND_GROUPS)):
        yield from (f"fast{number}_share", f"very_fast{number}_share")


CUES = tuple(_names())
"""Names of the values that :func:`cues` measures, in the order of the speech detector's weights."""

_measured: MutableMapping[Observation, dict[str, float]] = weakref.WeakKeyDictionary()


def clip_cues(observation: Observation) -> dict[str, float]:
    """Return the :func:`cues` of a clip's audio, computed once for all families; empty without audio or if steady."""
    if (values := _measured.get(observation)) is None:
        audio = observation.audio
        values = {} if audio is None or is_steady(audio) else cues(audio)
        _measured[observation] = values
    return dict(values)


def cues(audio: NDArray[np.float32]) -> dict[str, float]:
    """Measure the voice cues of audio that holds speech.

    Parameters
    ----------
    audio : ndarray of shape (k,)
        Mono audio at 16 kHz, full scale 1.

    Returns
    -------
    dict
        Values by the names of :data:`CUES`, and ``speech_share``; empty with under 0.3 s of speech.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    >>> round(cues(noise)["speech_share"], 2), cues(noise[:4000])
    (1.0, {})
    """
    from scipy import fft

    audio = without_silence(audio)
    if audio.size < MIN_SPEECH * HOP:
        return {}
    power = spectrogram(audio)
    bands = np.log10(band_filters() @ power + FLOOR)
    speech = speech_frames(bands)
    if speech.sum() < MIN_SPEECH:
        return {}
    cepstra = fft.dct(bands, axis=0, type=2, norm="ortho")
    values = {
        **_cepstral(cepstra, speech),
        **_spectral(power[:, speech]),
        **_common_motion(bands[:, speech]),
        **_modulation(bands),
        "speech_share": speech.mean(),
    }
    return {name: float(value) for name, value in values.items()}


def is_steady(audio: NDArray[np.float32]) -> bool:
    """Whether the audio [k] goes on unchanged, as mains hum, a tone or steady noise does, so that nobody speaks in it.

    Speech raises and lowers the level of its bands with every syllable. Steady means that no strong band, smoothed over
    0.1 s, spreads over time by more than 1.4 dB (standard deviation). Digital silence and 0.2 s at either end, where
    codecs fade in and out, are left out; audio of less than 2.5 s without silence is never steady.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    >>> is_steady(noise), is_steady(noise * (1 + np.sin(np.arange(48_000) / 1000)).astype(np.float32))
    (True, False)
    """
    audio = without_silence(audio)
    if audio.size < MIN_STEADY_S * AUDIO_RATE_HZ:
        return False
    power = (band_filters() @ spectrogram(audio))[:, STEADY_MARGIN:-STEADY_MARGIN]
    summed = np.cumsum(np.pad(power, ((0, 0), (1, 0))), axis=1)
    smooth = (summed[:, STEADY_FRAMES:] - summed[:, :-STEADY_FRAMES]) / STEADY_FRAMES
    level_db = 10 * np.log10(np.maximum(smooth, 0.0) + FLOOR)
    strong = level_db.max(axis=1) > level_db.max() - STEADY_RANGE_DB
    return bool(level_db[strong].std(axis=1).max() <= STEADY_DB)


def without_silence(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the audio [n] without stretches of digital silence, [k]: a mute or a gap is no property of the speech.

    Digital silence is 50 ms or more of values near 0, or of one constant value (a mute in audio with a DC offset).
    """
    loudness = np.abs(audio)
    values = np.where(loudness <= DIGITAL_SILENCE * loudness.max(initial=0.0), 0.0, audio)
    starts = np.flatnonzero(np.diff(values, prepend=np.nan))  # of runs of one value
    lengths = np.diff(starts, append=audio.size)
    return audio[np.repeat(lengths < MIN_SILENCE, lengths)]


def spectrogram(audio: NDArray[np.float32]) -> F64:
    """Return the power [N_FFT / 2 + 1, n] of frames every 10 ms of the audio, scaled to unit RMS and pre-emphasised."""
    y = audio.astype(np.float64)
    y /= np.sqrt(np.mean(y**2))
    y = np.append(y[0], y[1:] - PRE_EMPHASIS * y[:-1])
    return short_time.power_spectrogram(y, n_fft=N_FFT, width=WINDOW, hop=HOP, window="hamming")


def band_filters() -> F64:
    """Return triangular filters [N_BANDS, N_FFT / 2 + 1] of equal width, each reaching to its neighbours' middles."""
    edges = np.linspace(0, N_FFT / 2, N_BANDS + 2)
    bins = np.arange(N_FFT // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.clip(np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)), 0, None)


def speech_frames(bands: F64) -> NDArray[np.bool_]:
    """Mark the frames [n] whose log10 band powers [N_BANDS, n] are within 15 dB of the loud frames.

    Levels are means over bands, so that the few strong bands of a vowel do not dominate. The level of the loud frames
    is weighted by power, so that it does not depend on the length of pauses.
    """
    level = bands.mean(axis=0)
    loud = np.average(level, weights=np.sum(10.0**bands, axis=0))
    return np.asarray(level > loud - SPEECH_DB / 10)


def _cepstral(cepstra: F64, speech: NDArray[np.bool_]) -> dict[str, float]:
    from scipy import signal

    slopes = signal.savgol_filter(cepstra, SLOPE_FRAMES, polyorder=1, deriv=1, axis=-1)[:, speech]
    cepstra = cepstra[:, speech]
    values = {f"lfcc{number:02}_mean": cepstra[number].mean() for number in range(1, N_BANDS)}
    values |= {f"lfcc{number:02}_std": cepstra[number].std() for number in range(N_BANDS)}
    return values | {f"dlfcc{number:02}_std": slopes[number].std() for number in range(N_BANDS)}


def _spectral(power: F64) -> dict[str, float]:
    """Return medians over the frames of a power spectrum [bins, n], and fractions of its total energy.

    The spectrum, and thus every value, is that of the pre-emphasised audio. The frames contain only speech: the frames
    before and after a pause are neighbours.
    """
    magnitude, total = np.sqrt(power), power.sum(axis=1)
    hertz = np.arange(len(power)) * AUDIO_RATE_HZ / N_FFT
    unit = magnitude / np.maximum(magnitude.sum(axis=0), FLOOR)
    return {
        "flatness_med": np.median(_flatness(magnitude)),
        "centroid_med_hz": np.median((hertz[:, None] * unit).sum(axis=0)),
        "rolloff_med_hz": np.median(_rolloff(magnitude, hertz)),
        "flux_med": np.median(np.abs(np.diff(unit, axis=1)).sum(axis=0)),
        "hf_share_db": 10 * np.log10(max(total[hertz > 4000].sum() / total.sum(), FLOOR)),
        "bw99_hz": hertz[np.searchsorted(np.cumsum(total), 0.99 * total.sum())],
    }


def _flatness(magnitude: F64) -> F64:
    """Return the geometric over the arithmetic mean of the power of each frame of a spectrum [bins, n]."""
    power = np.maximum(magnitude**2, FLOOR)
    return np.asarray(np.exp(np.log(power).mean(axis=0)) / power.mean(axis=0))


def _rolloff(magnitude: F64, hertz: F64) -> F64:
    """Return the frequency below which 85 % of the magnitude of each frame of a spectrum [bins, n] lie."""
    below = np.cumsum(magnitude, axis=0)
    return np.asarray(hertz[np.argmax(below >= ROLLOFF * below[-1], axis=0)])


def _common_motion(bands: F64) -> dict[str, float]:
    """Return correlations of the bands' levels over time; NaN if a band's level is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.asarray(np.corrcoef(bands))
    return {"bands_near_corr": np.diag(r, 1).mean(), "bands_all_corr": r[np.triu_indices(N_BANDS, 1)].mean()}


def _modulation(bands: F64) -> dict[str, float]:
    """Return the fraction of fast changes among all changes of the level of each group of bands; NaN if constant."""
    hertz = np.fft.rfftfreq(bands.shape[1], HOP / AUDIO_RATE_HZ)
    values = {}
    for number, (low, high) in enumerate(BAND_GROUPS):
        level = bands[low:high].mean(axis=0)
        power = np.abs(np.fft.rfft(level - level.mean())) ** 2
        total = power[hertz > SYLLABIC_HZ].sum()
        fast = power[(hertz > FAST_HZ) & (hertz <= VERY_FAST_HZ)].sum()
        values[f"fast{number}_share"] = fast / total if total > 0 else np.nan
        values[f"very_fast{number}_share"] = power[hertz > VERY_FAST_HZ].sum() / total if total > 0 else np.nan
    return values
