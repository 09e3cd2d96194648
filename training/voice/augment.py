"""Augment speech with the effects of distribution: speed, splices, rooms, microphones, noise, level, bands, codecs.

Bona fide and synthetic speech get the same augmentation: a codec, a room or a page must not reveal the class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.observation import AUDIO_RATE_HZ
from forge.clips.audio_codec import Codec, compressed

Waveform = NDArray[np.float32]

SHORTEST_S, LONGEST_S = 0.8, 4.0  # length of the excerpt, which is cut out first
SPEED = 0.08  # largest change of speed, which also changes vocal tract length and pitch
FADE = 80  # samples (5 ms) of the fade at a splice or a change of level
TELEPHONE_HZ = (300.0, 3400.0)

KBPS = 1000
CODECS = (
    *(Codec("libmp3lame", "mp3", 16_000, rate * KBPS) for rate in (16, 24, 32, 48, 64)),
    *(Codec("libmp3lame", "mp3", 22_050, rate * KBPS) for rate in (24, 32, 48, 64)),
    *(Codec("libmp3lame", "mp3", 44_100, rate * KBPS) for rate in (48, 64, 96, 128)),
    *(Codec("aac", "adts", 16_000, rate * KBPS) for rate in (16, 24, 32)),
    *(Codec("aac", "adts", 44_100, rate * KBPS) for rate in (32, 64, 96)),
    Codec("aac", "adts", 48_000, 128 * KBPS),
    *(Codec("libopus", "ogg", 48_000, rate * KBPS) for rate in (12, 16, 24, 32, 64)),
    Codec("mp2", "mp2", 44_100, 128 * KBPS),
    Codec("pcm_mulaw", "wav", 8_000, 64 * KBPS),
)
"""Codecs by encoder; an encoder is drawn first, with equal probability, then one of its codecs."""


def version(audio: Waveform, other: Waveform, rng: np.random.Generator) -> Waveform:
    """Return an augmented excerpt of audio [k]; ``other`` may be mixed in as background speech."""
    out = cut(audio, rng)
    if rng.random() < 0.3:
        out = at_speed(out, 1 + rng.uniform(-SPEED, SPEED))
    if rng.random() < 0.2:
        out = joined(out, rng)
    if rng.random() < 0.25:
        out = through_codec(out, rng)
    if rng.random() < 0.8:
        out = damaged(out, other, rng)
    if rng.random() < 0.2:
        out = levelled(out, rng)
    if rng.random() < 0.7:
        out = through_codec(out, rng)
    return out


def cut(audio: Waveform, rng: np.random.Generator) -> Waveform:
    """Return an excerpt of 0.8 to 4 s of audio [k], or all of shorter audio."""
    size = min(int(rng.uniform(SHORTEST_S, LONGEST_S) * AUDIO_RATE_HZ), audio.size)
    start = int(rng.integers(audio.size - size + 1))
    return audio[start : start + size]


def at_speed(audio: Waveform, factor: float) -> Waveform:
    """Play audio [k] ``factor`` times as fast, which shifts pitch and formants: about ``k / factor`` samples."""
    from scipy import fft

    size = fft.next_fast_len(audio.size, real=True)
    spectrum = fft.rfft(np.pad(audio, (0, size - audio.size)))
    n = round(size / factor)
    out = fft.irfft(spectrum[: n // 2 + 1], n) * (n / size)
    return np.asarray(out[: round(audio.size / factor)], np.float32)


def joined(audio: Waveform, rng: np.random.Generator) -> Waveform:
    """Cut audio [k] into two to four pieces and splice them in random order, with short fades or none."""
    at = np.sort(rng.integers(1, max(audio.size, 2), rng.integers(1, 4)))
    pieces = [piece.copy() for piece in np.split(audio, at)]
    if rng.random() < 0.5:
        for piece in pieces:
            n = min(FADE, piece.size // 2)
            ramp = np.linspace(0, 1, n, dtype=np.float32)
            piece[:n] *= ramp
            piece[piece.size - n :] *= ramp[::-1]
    return np.concatenate([pieces[number] for number in rng.permutation(len(pieces))])


def levelled(audio: Waveform, rng: np.random.Generator) -> Waveform:
    """Clip audio [k], compress its dynamic range, or change its level from some moment on."""
    kind = rng.integers(3)
    peak = float(np.abs(audio).max(initial=1e-9))
    if kind == 0:
        return np.clip(audio, -peak * rng.uniform(0.3, 0.9), peak * rng.uniform(0.3, 0.9)).astype(np.float32)
    if kind == 1:
        window = np.ones(FADE * 2) / (FADE * 2)
        smooth = np.convolve(np.abs(audio), window, "same")[: audio.size] + 0.01 * peak  # "same" as the longer one
        return np.asarray(audio * (smooth / peak) ** -rng.uniform(0.1, 0.5), np.float32)
    gain = np.interp(np.arange(audio.size), np.sort(rng.uniform(0, audio.size, 2)), [1, 10 ** rng.uniform(-0.6, 0.6)])
    return np.asarray(audio * gain, np.float32)


def through_codec(audio: Waveform, rng: np.random.Generator) -> Waveform:
    """Encode and decode audio [k] with one of :data:`CODECS`, at a random level; adds or removes a few samples.

    Returns the audio unchanged if the decoder returns a quarter of a second or less.
    """
    encoders = sorted({codec.encoder for codec in CODECS})
    encoder = encoders[rng.integers(len(encoders))]
    fitting = [codec for codec in CODECS if codec.encoder == encoder]
    codec = fitting[rng.integers(len(fitting))]
    level = float(rng.uniform(0.1, 0.95)) / max(float(np.abs(audio).max(initial=0.0)), 1e-6)
    out = compressed(np.asarray(audio * level, np.float32), codec)
    return out if out.size > AUDIO_RATE_HZ // 4 else audio


def damaged(audio: Waveform, other: Waveform, rng: np.random.Generator) -> Waveform:
    """Add effects of rooms, microphones, noise and band limits to audio [k]; ``other`` may be the background speech."""
    from scipy import fft

    size = fft.next_fast_len(audio.size, real=True)
    spectrum = fft.rfft(audio, size)
    frequency = np.linspace(0, 1, spectrum.size)  # as a fraction of half the sampling rate
    if rng.random() < 0.35:
        spectrum = spectrum * fft.rfft(_room(rng), size)
    if rng.random() < 0.5:
        gain_db = np.interp(frequency, np.linspace(0, 1, 6), rng.normal(0, 5, 6))
        spectrum = spectrum * 10 ** (gain_db / 20)
    out = fft.irfft(spectrum, size)[: audio.size]
    if rng.random() < 0.6:
        noise = np.resize(other, audio.size) if rng.random() < 0.3 else _coloured_noise(audio.size, rng)
        level = np.sqrt(np.mean(out**2) / max(float(np.mean(noise**2)), 1e-12)) * 10 ** (-rng.uniform(8, 50) / 20)
        out = out + level * noise
    if rng.random() < 0.3:
        out = fft.irfft(fft.rfft(out, size) * _band(frequency, rng), size)[: audio.size]
    return np.asarray(out, np.float32)


def _band(frequency: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the gain at frequencies (fractions of half the sampling rate): low-pass, in a third of cases telephone."""
    if rng.random() > 1 / 3:
        return 1 / (1 + (frequency / rng.uniform(0.43, 0.98)) ** 20)
    low, high = (2 * hertz / AUDIO_RATE_HZ for hertz in TELEPHONE_HZ)
    return 1 / (1 + (frequency / high) ** 20) / (1 + (low / np.maximum(frequency, 1e-6)) ** 6)


def _room(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the impulse response of a room: the direct sound and a tail of noise that decays by 60 dB."""
    size = int(rng.uniform(0.05, 0.4) * AUDIO_RATE_HZ)
    tail = rng.standard_normal(size) * np.exp(-6.9 * np.arange(size) / size)
    tail *= rng.uniform(0.1, 0.8) / np.linalg.norm(tail)
    tail[0] = 1.0
    return tail


def _coloured_noise(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return noise whose amplitude falls with frequency, from white to 1/f."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    return np.fft.irfft(spectrum / np.arange(1, spectrum.size + 1) ** rng.uniform(0, 1), size)
