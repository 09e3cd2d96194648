"""Clips made on the spot: a portrait that drifts over a background, with a tone, in any shape and size."""

from __future__ import annotations

import fractions
from pathlib import Path

import av
import cv2
import numpy as np


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A textured background without a face."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 160, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def frames_of(face: np.ndarray | None, n: int, size: tuple[int, int], *, at: tuple[float, float] = (0.5, 0.5)) -> list:
    """``n`` RGB frames [h, w, 3] of a portrait that moves a little; without one, of background alone."""
    width, height = size
    background = noise(width, height)
    out = []
    for t in range(n):
        frame = background.copy()
        if face is not None:
            side = min(width, height)
            scaled = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
            dx = int((width - side) * at[0] + 3 * np.sin(t / 5))
            dy = int((height - side) * at[1])
            dx, dy = np.clip(dx, 0, width - side), np.clip(dy, 0, height - side)
            frame[dy : dy + side, dx : dx + side] = scaled
        out.append(frame)
    return out


def write_clip(
    path: Path,
    frames: list[np.ndarray],
    *,
    fps: float = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    tone_s: float | None = None,
    times_s: list[float] | None = None,
    rotation: int = 0,
    tone_start_s: float = 0.0,
    x264: str = "",
) -> Path:
    """Encode RGB frames, and a 440 Hz tone of ``tone_s`` seconds; ``times_s`` for a variable rate."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fractions.Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if codec == "libx264":
            stream.options = {"preset": "veryfast", "crf": "18", "x264-params": x264}
        if rotation:
            stream.set_display_rotation(rotation)
        audio = container.add_stream("aac", rate=44100, layout="mono") if tone_s else None
        base = fractions.Fraction(1, 90000) if times_s else 1 / fractions.Fraction(fps).limit_denominator(1001)
        stream.time_base = stream.codec_context.time_base = base
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = round(times_s[number] * 90000) if times_s else number
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            t = np.arange(int(tone_s * 44100)) / 44100
            samples = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, round(tone_start_s * 44100)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path
