"""Find out whether browsers can play a clip, and make a small H.264 copy if not, in a child process.

python -m serve.preview        # a child of serve.measuring
"""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.clip import container as containers
from extract.clip.decode import ClipReader
from extract.clip.frame import Frame
from extract.run.child import serve
from extract.run.messages import Tell
from extract.run.worker import MAX_SECONDS, Result, Settings
from features.errors import ClipError
from features.observation import AUDIO_RATE_HZ
from serve.folder import PREVIEW

MP4, WEBM = "video/mp4", "video/webm"
PLAYED = {
    MP4: ({"h264", "av1", "vp9"}, {"aac", "mp3", "mp3float", "opus"}),
    WEBM: ({"vp8", "vp9", "av1", "libdav1d"}, {"opus", "vorbis"}),
}
"""Media type to the video and audio codecs that every current browser plays in it."""
FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2": MP4, "matroska,webm": WEBM}
PIXELS = {"yuv420p", "yuvj420p"}
MAX_START_S = 0.1  # players count time from the start of the file, series from the first frame
LONGEST_PX, MAX_FPS = 720, 31
TICK = Fraction(1, 90_000)
TELL_EVERY_S = 0.5
VIDEO = {"preset": "veryfast", "crf": "28", "threads": "1"}
STAGE = "making a preview that browsers play"


def media_type(path: str) -> tuple[str, float]:
    """Return the media type under which browsers play a file as it was measured, and the timeline's time at its start.

    The type is empty if browsers can't play the file. Timelines and previews count time from the first frame.

    Raises
    ------
    UnreadableError
        The file is not a video.
    """
    source = containers.source_of(path, {})
    with containers.opened(source) as container:
        streams = containers.look_through(container, MAX_SECONDS, source)
        if streams.video is None:
            return "", 0.0
        kind = FORMATS.get(container.format.name, "")
        video_codecs, audio_codecs = PLAYED.get(kind, (set(), set()))
        video = container.streams[streams.video]
        plays = (
            video.codec_context.name in video_codecs
            and video.codec_context.pix_fmt in PIXELS
            and all(container.streams[number].codec_context.name in audio_codecs for number in streams.audio_tracks)
            and streams.n_videos == 1
            and not streams.timeline.n_jumps
            and abs(streams.start_s) <= MAX_START_S
        )
    return (kind, -streams.start_s) if plays else ("", 0.0)


def make(path: str, out: Path, progress: Callable[[float], None] = lambda _: None) -> None:
    """Write the measured part of a clip as a small MP4 that begins with the first frame.

    Parameters
    ----------
    path, out
        The clip, and the file to write, which appears whole or not at all.
    progress
        Called with the fraction done, from 0 to 1.

    Raises
    ------
    ClipError
        The clip can't be read.
    """
    import av

    temporary = out.with_name(f"{out.name}.part")
    try:
        with (
            ClipReader(path, max_seconds=MAX_SECONDS) as clip,
            av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as target,
        ):
            _write(clip, target, progress)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def _write(clip: ClipReader, target: Any, progress: Callable[[float], None]) -> None:
    video = target.add_stream("libx264", rate=MAX_FPS, options=VIDEO)
    video.pix_fmt, video.time_base, video.codec_context.time_base = "yuv420p", TICK, TICK
    audio = target.add_stream("aac", rate=AUDIO_RATE_HZ, layout="mono") if clip.has_audio else None
    first_s = last_s = None
    for frame in clip.frames():
        if last_s is not None and frame.time_s - last_s < 1 / MAX_FPS:
            continue
        if first_s is None:
            first_s = frame.time_s
            video.width, video.height = _size(frame)
        last_s = frame.time_s
        target.mux(video.encode(_shown(frame, (video.width, video.height), frame.time_s - first_s)))
        progress(min(1.0, frame.index / max(clip.frames_expected, 1)))
    target.mux(video.encode(None))
    samples, start_s = clip.audio() if audio is not None else (None, 0.0)
    if audio is not None and samples is not None:
        target.mux(audio.encode(_heard(samples, start_s - (first_s or 0.0))))
        target.mux(audio.encode(None))


def _size(frame: Frame) -> tuple[int, int]:
    """Return width and height of the preview in pixels: even numbers, the longer side at most ``LONGEST_PX``."""
    height, width = frame.luma.shape
    scale = min(1.0, LONGEST_PX / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _shown(frame: Frame, size: tuple[int, int], time_s: float) -> Any:
    import av
    import cv2

    image = av.VideoFrame.from_ndarray(cv2.resize(frame.rgb(), size, interpolation=cv2.INTER_AREA), format="rgb24")
    image.pts, image.time_base = round(time_s / TICK), TICK
    return image


def _heard(samples: NDArray[np.float32], start_s: float) -> Any:
    """Return the audio as one frame, without what lies before the first video frame."""
    import av

    early = max(0, round(-start_s * AUDIO_RATE_HZ))
    frame = av.AudioFrame.from_ndarray(np.clip(samples[early:], -1, 1)[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = AUDIO_RATE_HZ, max(0, round(start_s * AUDIO_RATE_HZ))
    frame.time_base = Fraction(1, AUDIO_RATE_HZ)
    return frame


def _prepared(_settings: Settings, tell: Tell) -> Callable[[str, str], Result]:
    """Return the function that handles a clip: it sends the media type, and writes a preview if there is none."""
    last = [0.0]

    def progress(share: float) -> None:
        if time.monotonic() - last[0] > TELL_EVERY_S:
            last[0] = time.monotonic()
            tell({"stage": STAGE, "share": share})

    def answer(filename: str, path: str) -> Result:
        nothing = np.empty(0, np.float32)
        try:
            kind, start_s = media_type(path)
            tell({"media_type": kind, "start_s": start_s})
            if not kind:
                make(path, Path(path).with_name(PREVIEW), progress)
        except (ClipError, OSError, ValueError) as error:
            return Result(filename, "unreadable", str(error), nothing)
        return Result(filename, "ok", "", nothing)

    return answer


if __name__ == "__main__":
    serve(_prepared)
