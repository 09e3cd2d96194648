"""Encode and decode audio with codecs of uploads, messengers and calls."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from forge.clips.clip import RATE_HZ, Waveform

FRAME = 1024


@dataclass(frozen=True)
class Codec:
    """FFmpeg's encoder and container, sampling rate in Hz, and bits per second."""

    encoder: str
    container: str
    rate_hz: int
    bps: int


CODECS = (
    Codec("libopus", "ogg", 48_000, 16_000),
    Codec("libopus", "ogg", 48_000, 32_000),
    Codec("libopus", "ogg", 48_000, 64_000),
    Codec("aac", "adts", 16_000, 24_000),
    Codec("aac", "adts", 44_100, 64_000),
    Codec("aac", "adts", 48_000, 128_000),
    Codec("libmp3lame", "mp3", 16_000, 32_000),
    Codec("libmp3lame", "mp3", 44_100, 64_000),
    Codec("mp2", "mp2", 44_100, 128_000),
)


def compressed(audio: Waveform, codec: Codec) -> Waveform:
    """Encode and decode audio [k] at 16 kHz; the result may be a few samples longer or shorter."""
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as container:
        stream: Any = container.add_stream(codec.encoder, rate=codec.rate_hz)
        stream.bit_rate, stream.layout = codec.bps, "mono"
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=codec.rate_hz)
        for start in range(0, audio.size, FRAME):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio[None, start : start + FRAME]), "flt", "mono")
            frame.sample_rate, frame.pts = RATE_HZ, start
            for piece in resampler.resample(frame):
                container.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    file.seek(0)
    return read_audio(file)


def read_audio(file: Any) -> Waveform:
    """Read mono audio at 16 kHz from a path or an open file, up to the first damage.

    Raises
    ------
    av.FFmpegError
        The file can't be opened as audio.
    """
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    pieces = []
    with av.open(file) as container:
        for frame in container.decode(audio=0):
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32) if pieces else np.empty(0, np.float32)
