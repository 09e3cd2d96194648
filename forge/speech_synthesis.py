"""Synthesise speech in syllables, glottal pulses filtered by formants, with matching movements of the mouth.

Source-filter synthesis (Fant 1960; Klatt 1980, "Software for a cascade/parallel formant synthesizer"): a pulse
train with a spectral slope of -12 dB per octave, aspiration noise, and formant resonances that glide from
vowel to vowel. The speech is babble: it is meant to move a mouth, not to be
understood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.observation import AUDIO_RATE_HZ

RATE_HZ = AUDIO_RATE_HZ
MOUTH_HZ = 100  # rate of the mouth tracks
LEVEL_RMS = 0.08  # level of the speech; full scale is 1
# Vowels: F1, F2, F3 in Hz (Peterson & Barney 1952, women), opening and width of the mouth.
VOWELS = (
    (850, 1220, 2810, 1.00, 0.05),  # a
    (610, 2330, 2990, 0.60, 0.10),  # e
    (310, 2790, 3310, 0.30, 0.12),  # i
    (590, 920, 2710, 0.55, -0.15),  # o
    (370, 950, 2670, 0.28, -0.22),  # u
    (860, 2050, 2850, 0.85, 0.06),  # ae
)
CLOSED = ("m", "b")  # onsets that shut the lips
ONSETS = ("m", "b", "s", "t", "", "")
BANDWIDTHS_HZ = (80.0, 110.0, 160.0)


@dataclass(frozen=True)
class Speaker:
    """Properties of a voice: pitch in Hz, vocal tract length relative to the average, syllables per second."""

    pitch_hz: float
    tract: float
    syllables_hz: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Speaker:
        """Sample an adult."""
        return cls(float(rng.uniform(105, 235)), float(rng.uniform(0.92, 1.15)), float(rng.uniform(3.4, 4.8)))


@dataclass(frozen=True)
class Speech:
    """Audio [k] float32 at :data:`RATE_HZ`, and the mouth at :data:`MOUTH_HZ`: opening 0-1, width -1 to 1."""

    audio: NDArray[np.float32]
    opening: NDArray[np.float64]
    width: NDArray[np.float64]


def speak(duration_s: float, speaker: Speaker, rng: np.random.Generator) -> Speech:
    """Babble for ``duration_s`` seconds.

    Parameters
    ----------
    duration_s
        Length in seconds, > 0.5.
    speaker
        Voice.
    rng
        Draws syllables, pauses and noise.
    """
    n = round(duration_s * MOUTH_HZ)
    gain, hiss, opening, width = (np.zeros(n) for _ in range(4))
    formants = np.tile(np.array(VOWELS[1][:3], float), (n, 1))
    pitch = np.full(n, speaker.pitch_hz)
    start = int(rng.uniform(0.1, 0.4) * MOUTH_HZ)
    while start < n - 8:
        for _ in range(int(rng.integers(3, 8))):
            length = max(10, int(MOUTH_HZ / speaker.syllables_hz * rng.uniform(0.7, 1.35)))
            _syllable(slice(start, min(n, start + length)), rng, gain, hiss, opening, width, formants)
            start += length
        start += int(rng.uniform(0.25, 0.6) * MOUTH_HZ)
    smooth = np.hanning(9) / np.hanning(9).sum()
    gain, hiss, opening, width = (np.convolve(x, smooth, "same") for x in (gain, hiss, opening, width))
    formants = np.stack([np.convolve(np.pad(f, 4, "edge"), smooth, "valid") for f in formants.T], axis=1)
    drift = np.cumsum(rng.standard_normal(n)) * 0.004
    pitch = pitch * (1.0 + 0.12 * np.convolve(gain, np.ones(30) / 30, "same") + drift - drift.mean())
    audio = _waveform(gain, hiss, pitch, formants / speaker.tract, rng, round(duration_s * RATE_HZ))
    return Speech(audio, np.clip(opening, 0.0, 1.0), np.clip(width, -1.0, 1.0))


def _syllable(
    span: slice,
    rng: np.random.Generator,
    *tracks: NDArray[np.float64],
) -> None:
    """Write one syllable into the tracks gain, hiss, opening, width, formants."""
    gain, hiss, opening, width, formants = tracks
    length = span.stop - span.start
    if length < 4:
        return
    onset = ONSETS[int(rng.integers(len(ONSETS)))]
    *peaks, open_, wide = VOWELS[int(rng.integers(len(VOWELS)))]
    stress = rng.uniform(0.6, 1.0)
    t = np.linspace(0.0, 1.0, length)
    attack = {"m": 0.30, "b": 0.25, "s": 0.30, "t": 0.22, "": 0.05}[onset]
    body = np.where(t < attack, 0.0, np.sin(np.pi * np.clip((t - attack) / (1.02 - attack), 0, 1)) ** 0.7)
    gain[span] = stress * (0.45 + 0.55 * open_) * np.maximum(body, 0.12 if onset == "m" else 0.0)
    hiss[span] = np.where(t < attack, {"s": 0.5, "t": 0.35}.get(onset, 0.0), 0.0)
    opening[span] = stress * open_ * np.maximum(body, 0.0 if onset in CLOSED else 0.12)
    width[span] = wide * body
    formants[span] = peaks


def _waveform(
    gain: NDArray[np.float64],
    hiss: NDArray[np.float64],
    pitch: NDArray[np.float64],
    formants: NDArray[np.float64],
    rng: np.random.Generator,
    n_samples: int,
) -> NDArray[np.float32]:
    from scipy.signal import istft, stft

    grid = np.arange(n_samples) / RATE_HZ * MOUTH_HZ
    ticks = np.arange(gain.size)
    phase = np.cumsum(np.interp(grid, ticks, pitch)) / RATE_HZ
    pulses = np.diff(np.floor(phase), prepend=0.0)
    breath = rng.standard_normal(n_samples)
    voiced = np.interp(grid, ticks, gain) * (pulses * 8.0 + 0.05 * breath)
    noise = np.interp(grid, ticks, hiss) * breath * 0.25
    freq, when, spectrum = stft(voiced, RATE_HZ, nperseg=400, noverlap=300, nfft=512)
    at = [np.interp(when * MOUTH_HZ, ticks, f) for f in formants.T]
    tract = np.prod([_resonance(freq[:, None], f[None], b) for f, b in zip(at, BANDWIDTHS_HZ, strict=True)], axis=0)
    slope = 1.0 / (1.0 + (freq[:, None] / 400.0) ** 2) ** 0.5  # lips' +6 dB on the glottis' -12 dB an octave
    _, speech = istft(spectrum * tract * slope, RATE_HZ, nperseg=400, noverlap=300, nfft=512)
    _, _, hissing = stft(noise, RATE_HZ, nperseg=400, noverlap=300, nfft=512)
    _, sibilant = istft(hissing * (freq[:, None] > 3500), RATE_HZ, nperseg=400, noverlap=300, nfft=512)
    speech = _fit(speech, n_samples)
    speech /= np.sqrt(np.mean(speech**2)) + 1e-9
    return np.clip(LEVEL_RMS * speech + 0.3 * _fit(sibilant, n_samples), -0.99, 0.99).astype(np.float32)


def _fit(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.pad(x[:n], (0, max(0, n - x.size)))


def _resonance(freq: NDArray[np.float64], centre: NDArray[np.float64], width_hz: float) -> NDArray[np.float64]:
    """Magnitude of a second-order resonance of unit gain at 0 Hz."""
    return centre**2 / np.sqrt((centre**2 - freq**2) ** 2 + (width_hz * freq) ** 2)
