"""One streaming pass over a clip: frames with their times, upright; then its sound.

PyAV carries FFmpeg. Frames come one by one, so memory does not grow with the clip; a damaged packet costs
its own frames only. Budgets are checked before anything is decoded, and only container formats that can't
refer to other files are opened.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from features.errors import TooShortError, UnreadableError
from features.observation import AUDIO_RATE_HZ

MAX_PIXELS = 8192 * 8192  # a larger frame is refused unseen
MAX_REMOTE_BYTES = 1 << 30  # a remote clip is read into memory
MAX_DAMAGED_PACKETS = 1_000  # in a row, without a single frame in between
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,gif,h264,hevc,m4v,mxf,nut,ivf,"
    "dv,rm,swf,av1,obu,wtv,vob,apng,y4m,yuv4mpegpipe"
)
MIN_GAP_S, MAX_GAP_S = 0.04, 30.0  # of sound that is missing: less than a frame's time is not, more is a broken clock
MIN_SILENCE_S = 0.2  # that is worth a remark; a clock that runs a little fast leaves less
LUMA_FIRST = frozenset(
    {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv411p", "yuv410p", "yuva420p"}
    | {"nv12", "nv21", "gray", "yuv440p", "yuvj440p"}
)  # 8-bit formats whose first plane is the luma

LIMITED_LEVELS, FULL_LEVELS = (16, 235), (0, 255)
FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG


class Frame:
    """A decoded frame, upright. ``luma`` is a view where the format allows it; colour is made on demand.

    ``levels`` are the luma's black and white: 16 and 235 in ordinary video, 0 and 255 in full range.
    """

    def __init__(self, frame: av.VideoFrame, *, index: int, time_s: float) -> None:
        self.index = index
        self.time_s = time_s
        self._frame = frame
        self._rgb: NDArray[np.uint8] | None = None
        self._turns = round(frame.rotation / 90) % 4  # counter-clockwise quarter turns to upright
        self.luma: NDArray[np.uint8] = self._upright(_luma(frame))
        self.levels = FULL_LEVELS if _is_full_range(frame) else LIMITED_LEVELS

    def replace_luma(self, luma: NDArray[np.uint8]) -> None:
        """Give the frame another size, as when a stream changes its own on the way."""
        self.luma = luma
        self._rgb = cv2.resize(self.rgb(), (luma.shape[1], luma.shape[0]), interpolation=cv2.INTER_AREA)

    def rgb(self) -> NDArray[np.uint8]:
        """The whole frame as [h, w, 3], converted once."""
        if self._rgb is None:
            self._rgb = self._upright(self._frame.to_ndarray(format="rgb24"))
        return self._rgb

    def _upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.rot90(image, self._turns)) if self._turns else image


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    if frame.format.name not in LUMA_FIRST:
        return frame.to_ndarray(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _is_full_range(frame: av.VideoFrame) -> bool:
    name = frame.format.name
    if name not in LUMA_FIRST:  # converted
        return True
    return name.startswith("yuvj") or frame.color_range == FULL_RANGE or (name == "gray" and not frame.color_range)


@dataclass
class Damage:
    """What could not be decoded, for the row's message."""

    packets: int = 0
    first: str = ""

    def note(self, error: Exception) -> None:
        """Count a packet that could not be decoded."""
        self.packets += 1
        self.first = self.first or _reason(error)


@dataclass
class _SoundClock:
    """Where the sound stands by the length of its frames, to find what is missing between them."""

    silence_s: float = 0.0
    _first_s: float | None = None
    _sound_s: float = 0.0

    @property
    def start_s(self) -> float:
        """Time of the first sample."""
        return self._first_s or 0.0

    def gap_before(self, frame: av.AudioFrame, following: av.AudioFrame | None) -> float:
        """Seconds without sound before the frame; 0 for what rounding or a broken clock would explain.

        One late frame alone may be a damaged time: the ``following`` one has to come after it.
        """
        gap_s, length_s = 0.0, frame.samples / frame.sample_rate
        if frame.time is not None and self._first_s is None:
            self._first_s = float(frame.time) - self._sound_s
        elif frame.time is not None and following is not None and following.time is not None:
            late_s = float(frame.time) - self.start_s - self._sound_s - self.silence_s
            in_order = following.time - frame.time > length_s - MIN_GAP_S
            gap_s = late_s if MIN_GAP_S < late_s < MAX_GAP_S and in_order else 0.0
        self._sound_s += length_s
        self.silence_s += gap_s
        return gap_s


class Clip:
    """An opened clip. Use as a context manager; ``path`` is local or any URL that fsspec reads.

    Raises
    ------
    UnreadableError
        The file can't be opened as a video, holds no picture stream, or breaks a budget.
    """

    def __init__(self, path: str, *, max_seconds: float, storage_options: dict[str, Any] | None = None) -> None:
        self.path = path
        self.max_seconds = max_seconds
        self.damage = Damage()
        self.truncated = False
        self.silence_s = 0.0  # put where sound is missing
        self._source = _source(path, storage_options or {})
        with self._opened() as container:
            _check(container)
            self.frames_expected = _frames_expected(container, max_seconds)
            self.has_audio = bool(container.streams.audio)

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *_: object) -> None:
        self._source = ""

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        source = io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source
        options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS, "max_pixels": str(MAX_PIXELS)}
        try:
            container = av.open(source, options=options)
        except (FFmpegError, OSError, ValueError, UnicodeError) as error:
            raise UnreadableError(f"not a video that FFmpeg can open: {_reason(error)}") from error
        with container:
            yield container

    def frames(self) -> Iterator[Frame]:
        """Upright frames in order of presentation, times increasing; at most ``max_seconds`` of them.

        Raises
        ------
        TooShortError
            Not a single frame could be decoded.
        """
        index = -1
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            step = float(1 / stream.average_rate) if stream.average_rate else 1 / 30
            first = last = float("nan")
            for frame in self._decoded(container, stream):
                time_s = _time(frame, after=last, step=step)
                first = time_s if index < 0 else first
                if time_s - first > self.max_seconds:
                    self.truncated = True
                    break
                last, index = time_s, index + 1
                yield Frame(frame, index=index, time_s=time_s)
        if index < 0:
            raise TooShortError(f"no frame could be decoded{': ' + self.damage.first if self.damage.first else ''}")

    def audio(self) -> tuple[NDArray[np.float32] | None, float]:
        """Mono sound at 16 kHz and the time of its first sample; (None, NaN) without sound."""
        if not self.has_audio:
            return None, float("nan")
        resampler = av.AudioResampler(format="flt", layout="mono", rate=AUDIO_RATE_HZ)
        pieces: list[NDArray[np.float32]] = []
        clock, decoded, wanted = _SoundClock(), 0, int(self.max_seconds * AUDIO_RATE_HZ)
        with self._opened() as container:
            stream = container.streams.audio[0]
            try:
                for frame, following in itertools.pairwise(itertools.chain(self._decoded(container, stream), [None])):
                    silence = np.zeros(round(clock.gap_before(frame, following) * AUDIO_RATE_HZ), np.float32)
                    fresh = [silence, *(piece.to_ndarray()[0] for piece in resampler.resample(frame))]
                    pieces += fresh
                    decoded += sum(map(len, fresh))
                    if decoded >= wanted:
                        break
                pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
            except (FFmpegError, ValueError) as error:
                self.damage.note(error)
        if not pieces or not (sound := np.concatenate(pieces)[:wanted]).size:
            return None, float("nan")
        self.silence_s = clock.silence_s
        return np.nan_to_num(sound.astype(np.float32), posinf=0.0, neginf=0.0), clock.start_s

    def warnings(self) -> tuple[str, ...]:
        """What went wrong while reading, in words; empty for a sound clip read to its end."""
        said = []
        if self.damage.packets:
            said.append(f"{self.damage.packets} damaged packets left out ({self.damage.first})")
        if self.silence_s >= MIN_SILENCE_S:
            said.append(f"{self.silence_s:.2f} s of sound are missing in between")
        if self.truncated:
            said.append(f"only the first {self.max_seconds:g} s were looked at")
        return tuple(said)

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """Frames of a stream; a packet that can't be decoded is noted and left out."""
        bad_in_a_row = 0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
                frames = packet.decode()
                bad_in_a_row = 0 if frames else bad_in_a_row
            except StopIteration:
                return
            except (FFmpegError, ValueError) as error:
                self.damage.note(error)
                bad_in_a_row += 1
                if isinstance(error, EOFError) or bad_in_a_row > MAX_DAMAGED_PACKETS:
                    return
                continue
            yield from frames


def _source(path: str, storage_options: dict[str, Any]) -> str | bytes:
    if "://" not in path:
        return os.path.abspath(path)  # absolute, so that no name is taken for a protocol
    import fsspec

    with fsspec.open(path, "rb", **storage_options) as file:
        content = file.read(MAX_REMOTE_BYTES + 1)
    if len(content) > MAX_REMOTE_BYTES:
        raise UnreadableError(f"larger than {MAX_REMOTE_BYTES >> 20} MB; copy it to a local disk first")
    return bytes(content)


def _check(container: Any) -> None:
    if not container.streams.video:
        raise UnreadableError("no picture stream in the file")
    context = container.streams.video[0].codec_context
    if context is None:
        raise UnreadableError("the picture is coded in a way that this FFmpeg does not know")
    if context.width * context.height > MAX_PIXELS:
        raise UnreadableError(f"frames of {context.width}x{context.height} px are above the limit of {MAX_PIXELS} px")


def _frames_expected(container: Any, max_seconds: float) -> int:
    """The header's word on the number of frames, for spreading crops only; 0 when it has none."""
    stream = container.streams.video[0]
    rate = float(stream.average_rate or 30)
    seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / av.time_base
    seconds = min(seconds, max_seconds) if seconds > 0 else max_seconds
    return int(min(stream.frames or seconds * rate, seconds * rate, 1e6)) if rate > 0 else 0


def _time(frame: Any, *, after: float, step: float) -> float:
    """Presentation time; a missing or backward one goes a step on from the frame before."""
    time_s = float(frame.time) if frame.time is not None else float("nan")
    if not np.isfinite(time_s):
        return 0.0 if np.isnan(after) else after + step
    return after + step if time_s <= after else time_s


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
