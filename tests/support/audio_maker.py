"""Audio made on the spot: what a voice detector takes for speech, and WAVE files of any header."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

PCM, FLOAT = 1, 3  # codes of formats in a WAVE header


def speech(seconds: float, rate: int = 16000) -> np.ndarray:
    """Syllables of a buzzing voice with a formant at 600 Hz, over faint noise; float32, up to 0.3."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / rate
    voice = sum(np.sin(k * phase) / k * np.exp(-(((k * 120 - 600) / 900) ** 2)) for k in range(1, 28))
    syllables = np.clip(np.sin(2 * np.pi * 3 * t), 0, None) * (np.sin(2 * np.pi * 0.4 * t) > -0.5)
    faint = 0.001 * np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * voice * syllables / np.abs(voice).max() + faint).astype(np.float32)


def write_wave(path: Path, samples: np.ndarray, *, rate: int = 16000) -> Path:
    """Samples [n] or [n, channels] as a WAVE file: float32 as it is, anything else as 16 bits of full scale 1."""
    code = FLOAT if samples.dtype == np.float32 else PCM
    data = samples.tobytes() if code == FLOAT else (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    channels, width = (samples.shape[1] if samples.ndim > 1 else 1), (4 if code == FLOAT else 2)
    head = struct.pack(
        "<HHIIHH", code, channels, rate, rate * channels * width & 0xFFFFFFFF, channels * width, 8 * width
    )
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path
