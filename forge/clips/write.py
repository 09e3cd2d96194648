"""Write clips: H.264 and AAC through PyAV, and the challenge's folder layout."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from features.errors import InputError
from forge.clips.clip import RATE_HZ, EditableClip

CLOCK = Fraction(1, 90_000)  # time base of the video
AAC_FRAME = 1024
PARTIAL = ".partial"  # suffix of an incomplete file


@dataclass(frozen=True)
class Encoder:
    """Settings of the compression of a clip; a forgery and its original have the same settings.

    ``crf`` is 0 (lossless) to 51, ``gop`` the number of frames between key frames, ``audio_bps`` the AAC bit rate.
    """

    crf: int = 23
    preset: str = "superfast"
    gop: int = 60
    audio_bps: int = 96_000

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Encoder:
        """Sample settings that phones and sites use."""
        return cls(
            crf=int(rng.integers(18, 29)),
            gop=int(rng.choice([12, 30, 60, 120])),
            audio_bps=int(rng.choice([48_000, 64_000, 96_000])),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings for the manifest, with the codec and the version of PyAV."""
        return {**asdict(self), "codec": "libx264 aac", "av": av.__version__}


def check_writable(folder: Path) -> None:
    """Make a folder, if it is missing, and check that files can be written to it.

    Raises
    ------
    InputError
        The path is a file, lies below one, or can't be written.
    """
    probe = folder / f".write{PARTIAL}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error.strerror}); give another folder") from error


def write_clip(clip: EditableClip, path: Path, encoder: Encoder) -> None:
    """Encode ``clip`` to ``path`` (mp4). The same clip and encoder give the same bytes.

    The file is written atomically.

    Raises
    ------
    ValueError
        The clip has no frame.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        _encode(clip, partial, encoder)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _encode(clip: EditableClip, path: Path, encoder: Encoder) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        video = None
        audio = None
        for number, frame in enumerate(clip.frames):
            if video is None:
                video = _video_stream(container, frame.shape, encoder)
                audio = _audio_stream(container, encoder) if clip.audio is not None else None
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)  # BT.601, 16-235
            video_frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            video_frame.pts = round(float(clip.times_s[number]) / CLOCK)
            video_frame.time_base = CLOCK
            container.mux(video.encode(video_frame))
        if video is None:
            raise ValueError(f"{clip.name}: a clip without frames can't be written")
        container.mux(video.encode(None))
        if audio is not None and clip.audio is not None:
            _write_audio(container, audio, clip.audio)


def _video_stream(container: Any, shape: tuple[int, ...], encoder: Encoder) -> Any:
    stream = container.add_stream("libx264", rate=30)  # nominal: presentation times are explicit
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = CLOCK
    stream.codec_context.thread_count = 1  # the same bytes on any machine
    stream.codec_context.gop_size = encoder.gop
    # macroblock-tree rate control is off: its vector code in PyAV's libx264 reads undefined memory on some processors,
    # so that the same frames gave different bytes in different runs
    stream.options = {"crf": str(encoder.crf), "preset": encoder.preset, "x264-params": "mbtree=0"}
    return stream


def _audio_stream(container: Any, encoder: Encoder) -> Any:
    stream = container.add_stream("aac", rate=RATE_HZ, layout="mono")
    stream.bit_rate = encoder.audio_bps
    return stream


def _write_audio(container: Any, stream: Any, audio: np.ndarray) -> None:
    for start in range(0, audio.size, AAC_FRAME):
        block = np.ascontiguousarray(audio[None, start : start + AAC_FRAME], np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_metadata(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``metadata.json`` of one part, sorted by name."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: dict(entries[name]) for name in sorted(entries)}, indent=1)
    (folder / "metadata.json").write_text(text + "\n", encoding="utf-8")


def write_labels(file: Path, rows: Sequence[tuple[str, float | str]]) -> None:
    """Write a CSV file ``filename,label`` in the challenge's format, sorted by name."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["filename", "label"])
        writer.writerows(sorted(rows))


def random_name(rng: np.random.Generator) -> str:
    """Return ten random letters and ``.mp4``, like the challenge's names of clips."""
    return "".join(map(chr, rng.integers(ord("a"), ord("z") + 1, 10))) + ".mp4"
