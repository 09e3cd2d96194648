"""Manipulations of the audio: shifts, other voices, changed voices."""

from __future__ import annotations

import contextlib
from typing import Any

import av
import numpy as np

from forge.clips.clip import RATE_HZ, EditableClip, Waveform
from forge.clips.registry import Parameters, kind

STRETCHED_SHARE = 0.5  # fraction of desyncs that also drift


def _sample_desync(rng: np.random.Generator) -> dict[str, Any]:
    shift_s = float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.6))
    rate = float(rng.choice([-1, 1]) * rng.uniform(0.04, 0.12)) + 1.0
    return {"shift_s": shift_s, "rate": rate if rng.random() < STRETCHED_SHARE else 1.0}


@kind("desync", part="sound", needs={"sound"}, sample=_sample_desync)
def desync(
    clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
) -> EditableClip:
    """The audio shifted against the video, and in half of the clips played at another speed.

    Positive ``shift_s`` delays the audio; samples that leave at one end return at the other. ``rate`` above 1 is
    faster, at the same pitch.
    """
    assert clip.audio is not None
    audio = clip.audio
    if parameters["rate"] != 1.0:
        audio = np.resize(_at_tempo(audio, parameters["rate"]), clip.audio.size)
    return clip.with_audio(np.roll(audio, round(parameters["shift_s"] * RATE_HZ)))


def _sample_dub(rng: np.random.Generator) -> dict[str, Any]:
    return {"voice": str(rng.choice(["donor", "synthetic"], p=[0.7, 0.3])), "seed": int(rng.integers(2**31))}


@kind("dub", part="sound", needs={"sound"}, sample=_sample_dub)
def dub(
    clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
) -> EditableClip:
    """Another voice with other words: the donor's, or a synthesised one (also where there is no donor)."""
    assert clip.audio is not None
    if donor is not None and donor.audio is not None and parameters["voice"] == "donor":
        return clip.with_audio(matched_level(np.resize(donor.audio, clip.audio.size), clip.audio))
    from forge.speech_synthesis import Speaker, speak

    speaking = np.random.default_rng(parameters["seed"])
    speech = speak(clip.duration_s, Speaker.sample(speaking), speaking)
    return clip.with_audio(matched_level(speech.audio, clip.audio))


def matched_level(audio: Waveform, model: Waveform) -> Waveform:
    """Scale ``audio`` [n] to the loudness (RMS) of ``model`` [k], clipped to -1 to 1; silence stays silence."""
    level, wanted = float(np.sqrt(np.mean(audio**2))), float(np.sqrt(np.mean(model**2)))
    return np.clip(audio * (wanted / level if level > 0 else 0.0), -1, 1).astype(np.float32)


def _sample_conversion(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "pitch_semitones": float(rng.choice([-1, 1]) * rng.uniform(2.0, 6.0)),
        "formant_ratio": float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.06, 0.20))),
    }


@kind("voice_conversion", part="sound", needs={"sound"}, sample=_sample_conversion)
def voice_conversion(
    clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
) -> EditableClip:
    """The same words in another voice: pitch and formants are shifted independently."""
    assert clip.audio is not None
    # A pitch shift by resampling also shifts the formants: they are moved back, then shifted as requested.
    shift = 2.0 ** (parameters["pitch_semitones"] / 12)
    shifted = np.resize(_at_tempo(clip.audio, 1 / shift, sped_up=shift), clip.audio.size)
    moved = warp_formants(shifted, parameters["formant_ratio"] / shift)
    return clip.with_audio(matched_level(moved, clip.audio))


LEAD = 160  # samples by which FFmpeg's atempo is early at 16 kHz; at the end it drops up to its window of 512


def _at_tempo(audio: Waveform, rate: float, *, sped_up: float = 1.0) -> Waveform:
    """Return audio [n] at another tempo and the same pitch, from the same start; [n / (rate * sped_up)].

    ``sped_up`` first plays it faster, which raises the pitch. FFmpeg's tempo filter (waveform similarity overlap-add)
    takes a ``rate`` from 0.5 to 100. It reads silence around the audio, so that it drops nothing else.
    """
    faster = [("asetrate", str(round(RATE_HZ * sped_up))), ("aresample", str(RATE_HZ))] if sped_up != 1.0 else []
    lead = round(LEAD * sped_up)
    stretched = _filtered(np.pad(audio, (lead, 8 * lead)), [*faster, ("atempo", repr(rate))])
    return stretched[: round(audio.size / (rate * sped_up))]


def _filtered(audio: Waveform, filters: list[tuple[str, str]]) -> Waveform:
    """Return mono audio at 16 kHz after FFmpeg's filters, each a name and its arguments; the length may change."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE_HZ, format="fltp", layout="mono")
    nodes = [source, *(graph.add(name, arguments) for name, arguments in filters), graph.add("abuffersink")]
    graph.link_nodes(*nodes).configure()
    frame = av.AudioFrame.from_ndarray(audio[np.newaxis].astype(np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = RATE_HZ, 0
    graph.push(frame)
    graph.push(None)
    parts = []
    with contextlib.suppress(av.error.EOFError):
        while True:
            parts.append(graph.pull().to_ndarray()[0])
    return np.concatenate(parts)


FRAME = 512  # 32 ms
LIFTER_S = 0.0022  # the cepstrum is the vocal tract below this, and the voice (pitch under 450 Hz) above
MAX_GAIN = 30.0  # largest correction of the envelope


def warp_formants(audio: Waveform, ratio: float) -> Waveform:
    """Stretch the spectral envelope by ``ratio`` along frequency, without changing pitch.

    The envelope is the cepstrum's smooth part (Oppenheim 1969); each short-time spectrum is divided by its
    envelope and multiplied by the stretched one.

    Parameters
    ----------
    audio
        Mono [k] at 16 kHz.
    ratio
        A ratio above 1 moves formants up, like a shorter vocal tract.
    """
    from scipy.signal import istft, stft

    if audio.size < FRAME:
        return audio
    _, _, spectrum = stft(audio, RATE_HZ, nperseg=FRAME, noverlap=FRAME * 3 // 4)
    cepstrum = np.fft.irfft(np.log(np.abs(spectrum) + 1e-8), axis=0)
    keep = round(LIFTER_S * RATE_HZ)
    cepstrum[keep : len(cepstrum) - keep + 1] = 0.0
    envelope = np.fft.rfft(cepstrum, axis=0).real
    bins = np.arange(len(envelope))
    source = np.clip(bins / ratio, 0, bins[-1])
    low, part = np.floor(source).astype(int), source % 1
    stretched = envelope[low] * (1 - part[:, None]) + envelope[np.minimum(low + 1, bins[-1])] * part[:, None]
    gain = np.clip(np.exp(stretched - envelope), 1 / MAX_GAIN, MAX_GAIN)
    _, warped = istft(spectrum * gain, RATE_HZ, nperseg=FRAME, noverlap=FRAME * 3 // 4)
    return np.resize(warped[: audio.size], audio.size).astype(np.float32)
