"""One streaming pass over a clip: frames with their times, upright, with square pixels; then its audio.

PyAV bundles FFmpeg. Frames are yielded one by one, so memory does not grow with the length of the clip; a damaged
packet costs only its own frames. Budgets are checked before decoding starts, and only container formats that can't
refer to other files are opened.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from extract.clip import container as containers
from extract.clip.audio import AudioClock, read_mono
from extract.clip.clock import Packet, VideoClock
from extract.clip.frame import Frame, Orientation, is_stretched
from features.errors import UnreadableError
from features.observation import AUDIO_RATE_HZ

MAX_DAMAGED_PACKETS = 1_000  # in a row, without a single frame in between
PRIMED = frozenset({"aac", "mp3", "mp3float"})  # codecs whose encoder delay only some containers mark
MAX_PRIMING_S = 0.1  # their audio that starts at most this much before the video is encoder delay
HDR_CURVES = {16: "PQ", 18: "HLG"}  # FFmpeg's AVCOL_TRC_SMPTE2084 and _ARIB_STD_B67
MAX_FRAMES = 14_400  # two minutes at 120 frames a second; more would exceed the time limit of a clip
MAX_PIXELS = 32_000_000_000  # two minutes of 4K at 30 frames a second
MIN_SILENCE_S = 0.2  # worth a warning; slightly fast timestamps leave shorter gaps


@dataclass
class Damage:
    """Packets that could not be decoded, for the row's message."""

    packets: int = 0
    first: str = ""

    def note(self, error: Exception) -> None:
        """Count a packet that could not be decoded."""
        self.packets += 1
        self.first = self.first or containers.reason(error)


@dataclass(frozen=True)
class _AudioTrack:
    """The samples of an audio track. ``mixed`` is False where one channel was taken because the mix cancels out."""

    samples: NDArray[np.float32]
    start_s: float
    silence_s: float
    damage: Damage
    mixed: bool = True


class ClipReader:
    """Read the frames and the audio of a clip. Use as a context manager; ``path`` is a local path or an fsspec URL.

    Raises
    ------
    UnreadableError
        The file can't be opened as video or audio, holds neither, or breaks a budget.
    OSError
        The disk, the network or the permissions prevent reading it.
    """

    def __init__(self, path: str, *, max_seconds: float, storage_options: dict[str, Any] | None = None) -> None:
        self.path = path
        self.max_seconds = max_seconds
        self.damage = Damage()
        self.truncated = False
        self.silence_s = 0.0  # seconds of silence inserted where audio is missing
        self._notes: list[str] = []
        self._source = containers.source_of(path, storage_options or {})
        with containers.opened(self._source) as container:
            self._streams = containers.look_through(container, max_seconds, self._source)
            self.pixel_aspect: Fraction | None = None
            self._max_frames = MAX_FRAMES
            if self._streams.video is not None:
                video = container.streams[self._streams.video]
                self.pixel_aspect = video.sample_aspect_ratio
                self._max_frames = max(1, min(MAX_FRAMES, MAX_PIXELS // max(1, video.width * video.height)))
        self.has_video = self._streams.video is not None
        self._video_s: float | None = None  # seconds analysed, where the clip has more frames than the limit
        self.frames_expected = min(self._streams.n_frames, self._max_frames)
        seen_s = min(self._streams.length_s, max_seconds)
        self.frames_per_second = self._streams.n_frames / seen_s if seen_s > 0 else 0.0
        self.has_audio = bool(self._streams.audio_tracks)
        if self._streams.n_videos > 1:
            self._notes.append(f"{self._streams.n_videos} video streams, number {self._streams.video_number} was used")
        if self.pixel_aspect is not None and is_stretched(self.pixel_aspect):
            width, height = self.pixel_aspect.as_integer_ratio()
            self._notes.append(f"pixels of {width}:{height} were made square")
        if self._streams.timeline.n_jumps:
            self._notes.append("the file's timestamps jump; they were joined")
        self._n_notes = len(self._notes)

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._source = ""

    def frames(self) -> Iterator[Frame]:
        """Yield upright frames in presentation order with increasing times, for at most ``max_seconds``.

        An audio-only file yields none. Beyond :data:`MAX_FRAMES` frames or :data:`MAX_PIXELS` pixels the iterator
        stops, so that a long or large clip has a row instead of a timeout.

        Raises
        ------
        UnreadableError
            Not a single frame could be decoded.
        """
        if self._streams.video is None:
            return
        self.damage, self._notes = Damage(), self._notes[: self._n_notes]  # as before any pass
        index, first = -1, float("nan")
        with containers.opened(self._source) as container:
            stream = container.streams[self._streams.video]
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            rate_s = float(1 / stream.average_rate) if stream.average_rate else 1 / 30  # a default for raw streams
            step_s = self._streams.timeline.untimed_s(stream.index) or rate_s
            n_leading, known_s = self._untimed_start(stream.index)
            clock = VideoClock(
                self._streams.timeline.reader(stream.index), step_s, n_leading=n_leading, known_s=known_s
            )
            packets = self._streams.timeline.packets(stream.index)
            shown_s = _OrderOfDecoding(packets) if container.format.name in containers.NO_TIMES else _time_of_showing
            aspect, orientation, kind = _PixelAspect(self.pixel_aspect), Orientation(), _KindOfVideo()
            for frame in self._decoded(container, stream, self.damage):
                time_s = clock.time_s(frame.pts, shown_s(frame))
                first = time_s if index < 0 else first
                if time_s - first > self.max_seconds:
                    self.truncated = True
                    break
                if index + 1 >= self._max_frames:
                    self._video_s = time_s - first
                    break
                index += 1
                kind.see(frame)
                shape = aspect.of(frame, stream.codec_context)
                yield Frame(frame, index=index, time_s=time_s, pixel_aspect=shape, orientation=orientation)
            if aspect.changed:
                self._notes.append("the pixel aspect ratio changes midway; pixels were made square")
            if n_leading:
                leading = "frame has" if n_leading == 1 else f"{n_leading} frames have"
                self._notes.append(f"the first {leading} no timestamp; times are counted back from the first timestamp")
            self._notes += kind.notes()
        if index < 0:
            why = f": {self.damage.first}" if self.damage.first else ""
            raise UnreadableError(f"no frame could be decoded{why}")

    def _untimed_start(self, index: int) -> tuple[int, float]:
        """Return the number of frames before the first with a timestamp, and its time on the clip's timeline.

        The frames are counted by decoding, since packets come in another order. (0, NaN) for any well-formed file.
        """
        if not self._streams.timeline.starts_untimed(index):
            return 0, float("nan")
        with containers.opened(self._source) as container:
            frames = self._decoded(container, container.streams[index], Damage())
            for n_untimed, frame in enumerate(itertools.islice(frames, self._max_frames)):
                if frame.time is not None:
                    return n_untimed, float(frame.time) + self._streams.timeline.reader(index).offset(frame.pts)
        return 0, float("nan")

    def audio(self) -> tuple[NDArray[np.float32] | None, float]:
        """Return mono audio at 16 kHz and the time of its first sample; (None, NaN) without audio.

        Raises
        ------
        UnreadableError
            The file holds only audio, and none of it could be decoded.
        """
        samples, start_s = self._first_audible()
        if not self.has_video:
            if samples is None:
                why = f": {self.damage.first}" if self.damage.first else ""
                raise UnreadableError(f"no video stream in the file, and no audio could be decoded{why}")
            self.truncated = self._streams.length_s > self.max_seconds
        return samples, start_s

    def _first_audible(self) -> tuple[NDArray[np.float32] | None, float]:
        """Return the first audio track, in the order of preference, that is not silent throughout."""
        read = [(number, self._read(index)) for number, index in enumerate(self._streams.audio_tracks[:1])]
        for number, index in list(enumerate(self._streams.audio_tracks))[1:]:
            if read[-1][1].samples.any():
                break
            read.append((number, self._read(index)))
        number, audio = next(((n, track) for n, track in reversed(read) if track.samples.any()), (0, None))
        if audio is None:  # silence throughout, on every track
            number, audio = next(((n, track) for n, track in read if track.samples.size), (0, None))
        if audio is None:
            for _, track in read[:1]:
                self._count(track.damage)
            return None, float("nan")
        self._count(audio.damage)
        self.silence_s = audio.silence_s
        self._tell_of_tracks(number)
        if not audio.mixed:
            self._notes.append("the channels cancel each other; the louder one was used")
        return audio.samples, audio.start_s

    def _read(self, index: int) -> _AudioTrack:
        """Read an audio track mixed to mono, or its loudest channel where the channels cancel each other."""
        audio, cancelled = self._read_channel(index, None)
        return audio if cancelled is None else self._read_channel(index, cancelled)[0]

    def _read_channel(self, index: int, channel: int | None) -> tuple[_AudioTrack, int | None]:
        damage, clock = Damage(), AudioClock(self._streams.timeline.reader(index))
        wanted = int(self.max_seconds * AUDIO_RATE_HZ)
        with containers.opened(self._source) as container:
            stream = container.streams[index]
            primed = stream.codec_context.name in PRIMED
            frames = self._decoded(container, stream, damage)
            try:
                samples, cancelled = read_mono(frames, clock, wanted, channel=channel)
            except (FFmpegError, ValueError) as error:
                if isinstance(error, MemoryError) or containers.is_of_the_machine(error):
                    raise
                damage.note(error)
                samples, cancelled = np.zeros(0, np.float32), None
        start_s, lead_s = clock.start_s, self._streams.start_s - clock.start_s
        if primed and 0 < lead_s <= MAX_PRIMING_S:
            samples, start_s = samples[round(lead_s * AUDIO_RATE_HZ) :], self._streams.start_s
        return _AudioTrack(samples, start_s, clock.silence_s, damage, mixed=channel is None), cancelled

    def _tell_of_tracks(self, number: int) -> None:
        n = len(self._streams.audio_tracks)
        if n > 1:
            why = ", since those before it are silent" if number else ""
            self._notes.append(f"{n} audio tracks, number {self._streams.track_number(number)} was used{why}")

    def _count(self, damage: Damage) -> None:
        self.damage.packets += damage.packets
        self.damage.first = self.damage.first or damage.first

    def notes(self) -> tuple[str, ...]:
        """Decisions taken while reading, one sentence each."""
        return tuple(self._notes)

    def warnings(self) -> tuple[str, ...]:
        """Faults met while reading, one sentence each; empty for a clip that was read to its end without damage."""
        lines = []
        if self.damage.packets:
            lines.append(f"{self.damage.packets} damaged packets left out ({self.damage.first})")
        if self._streams.missing_s and not self.truncated:
            length_s = self._streams.length_s
            lines.append(f"ends at {length_s:.2f} of {length_s + self._streams.missing_s:.2f} s: the rest is missing")
        if self.silence_s >= MIN_SILENCE_S:
            lines.append(f"{self.silence_s:.2f} s of audio are missing in between")
        if self.truncated:
            lines.append(f"only the first {self.max_seconds:g} s were analysed")
        if self._video_s is not None:
            lines.append(f"only the first {self._video_s:.1f} s of the video were analysed: it has too many frames")
        return tuple(lines)

    def _decoded(self, container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
        """Yield the frames of a stream; a packet that can't be decoded is counted and skipped."""
        bad_in_a_row = 0
        packets = container.demux(stream)
        while True:
            packet = None
            try:
                packet = next(packets)
                frames = packet.decode()
                bad_in_a_row = 0 if frames else bad_in_a_row
            except StopIteration:
                return
            except (FFmpegError, ValueError) as error:
                if packet is None and containers.is_of_the_machine(error):  # reading failed; decoders raise these also
                    raise OSError(getattr(error, "errno", None), containers.reason(error)) from error
                damage.note(error)
                bad_in_a_row += 1
                if isinstance(error, EOFError) or bad_in_a_row > MAX_DAMAGED_PACKETS:
                    return
                continue
            yield from frames


def _time_of_showing(frame: Any) -> float | None:
    return None if frame.time is None else float(frame.time)


class _PixelAspect:
    """Pixel aspect ratio of each frame: the container's, until the stream itself changes it midway."""

    def __init__(self, aspect: Fraction | None) -> None:
        self._aspect = aspect
        self._coded: Fraction | None = None
        self._started = self.changed = False

    def of(self, frame: Any, context: Any) -> Fraction | None:
        coded = context.sample_aspect_ratio or Fraction(1)
        if not self._started:
            self._coded, self._started = coded, True
        elif coded != self._coded and (frame.width, frame.height) == (context.width, context.height):
            self._coded = self._aspect = coded  # a frame of another size still has the old parameters
            self.changed = True
        return self._aspect


class _KindOfVideo:
    """Detect HDR and interlaced video, which are measured like other video but give values that are not comparable."""

    def __init__(self) -> None:
        self._n = self._n_interlaced = 0
        self._curve = ""

    def see(self, frame: Any) -> None:
        self._n += 1
        self._n_interlaced += bool(frame.interlaced_frame)
        self._curve = self._curve or HDR_CURVES.get(int(frame.color_trc), "")

    def notes(self) -> list[str]:
        """Return one sentence each; a clip is interlaced when more than half of its frames are."""
        lines = []
        if self._curve:
            lines.append(f"HDR video ({self._curve}): colours and contrast are not comparable with ordinary video")
        if 2 * self._n_interlaced > self._n:
            lines.append("interlaced video: lines of two moments are mixed")
        return lines


class _OrderOfDecoding:
    """Presentation times for formats without them: the n-th frame shown has the n-th decoding time.

    FFmpeg gives a frame the decoding time of the packet that was read last. With B-frames that packet is later than
    the frame's own, by a number of packets that the first frame tells, since its packet is known by its timestamp.
    """

    def __init__(self, packets: Sequence[Packet]) -> None:
        self._decoded_s = [packet.decode_s for packet in packets]
        self._number = {time_s: number for number, time_s in enumerate(self._decoded_s)}
        self._own = {packet.pts: number for number, packet in enumerate(packets)}
        self._n_read, self._n_later = 0, -1

    def __call__(self, frame: Any) -> float | None:
        base = float(frame.time_base)
        read = self._n_read if frame.dts is None else self._number.get(frame.dts * base)  # None: after the last packet
        if read is None:
            return None
        if self._n_later < 0:
            self._n_later = max(0, read - self._own.get(frame.pts, read))
        self._n_read = read + 1
        number = max(0, read - self._n_later)
        decoded_s = self._decoded_s[number] if number < len(self._decoded_s) else None
        return None if decoded_s is None else float(round(decoded_s / base) * frame.time_base)
