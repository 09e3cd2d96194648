"""Open a media file and choose the streams to analyse.

Headers may be wrong or incomplete (a browser's recording has no duration, a cover image may come first). So the packets
are read once without decoding, at a hundredth of the cost of decoding. They tell the number and the times of the
frames, and which stream carries the video.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import av
from av.error import FFmpegError, InvalidDataError

from extract.clip.clock import Packet, Timeline
from extract.clip.wave_header import announced_share
from features.errors import UnreadableError
from features.places import check_has_no_keys, check_is_one_file, check_is_regular, read_to

MAX_PIXELS = 8192 * 8192  # a larger frame is refused before decoding
MAX_REMOTE_BYTES = 1 << 30  # remote clips are read into memory
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,gif,h264,hevc,m4v,mxf,nut,ivf,"
    "dv,rm,swf,av1,obu,wtv,vob,apng,y4m,yuv4mpegpipe,wav,mp3,aac,flac,caf,aiff,amr,au,mjpeg"
)
JPEG = b"\xff\xd8\xff"
NO_TIMES = frozenset({"avi"})  # formats with decoding timestamps but no presentation timestamps
IMAGES = (JPEG, b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")  # first bytes of JPEG, PNG and TIFF
INCOMPLETE = "an MP4 or MOV file whose index (moov) is missing or damaged, as after an interrupted recording or copy"
START_BYTES = 21  # read to name the kind of a file that FFmpeg does not open
MOTION_JPEG = (".mjpeg", ".mjpg")
MACHINE_ERRORS = frozenset(
    {errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.EBUSY}
    | {errno.ENODEV, errno.ENXIO, errno.ECONNRESET, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH}
    | {errno.ENOTCONN, errno.EHOSTDOWN, errno.EREMOTEIO}
)
"""Errors of the disk, the network or the permissions: they say nothing about the file and may not recur."""
ATTACHED_PICTURE, DEFAULT = 0x0400, 0x0001  # AV_DISPOSITION_ATTACHED_PIC and _DEFAULT
MIN_BYTES = 0.15  # a video stream with a smaller fraction of the largest one's bytes is empty: black or frozen
MAX_MISSING, MAX_MISSING_S = 0.1, 1.0  # a missing end is reported above a tenth of the length and one second


@dataclass(frozen=True)
class Streams:
    """The chosen streams of a file, by index, and what their packets tell.

    ``video`` is None in an audio-only file; the values for the video then refer to the first audio track.
    ``video_number`` counts the video streams from 1; ``audio_tracks`` are the audio tracks in order of preference.
    ``n_frames`` is the number of video packets within the analysed duration, ``start_s`` the time of the first frame,
    and ``missing_s`` how much earlier than announced the video ends.
    """

    video: int | None
    video_number: int
    audio_tracks: tuple[int, ...]
    n_videos: int
    n_frames: int
    timeline: Timeline
    start_s: float
    missing_s: float
    length_s: float

    def track_number(self, number: int) -> int:
        """Return the position in the file, from 1, of the ``number``-th audio track in order of preference."""
        return sorted(self.audio_tracks).index(self.audio_tracks[number]) + 1


def source_of(path: str, storage_options: Mapping[str, Any]) -> str | bytes:
    """Return what FFmpeg reads: an absolute path, or the content of a remote file.

    Raises
    ------
    UnreadableError
        It is a pipe, a device or a folder, or a remote file that is too large.
    OSError
        The file is missing or inaccessible, or a remote file ends before the size that its store announced.
    """
    if "://" not in path:
        check_is_regular(path)
        return os.path.abspath(path)  # absolute, so that no name is taken for a protocol
    import fsspec

    check_is_one_file(path)
    check_has_no_keys(path)
    with fsspec.open(path, "rb", **storage_options) as file:
        content = read_to(file, MAX_REMOTE_BYTES + 1)
        announced = getattr(file, "size", None)
    if len(content) > MAX_REMOTE_BYTES:
        raise UnreadableError(f"larger than {MAX_REMOTE_BYTES >> 20} MB; copy it to a local disk first")
    if isinstance(announced, int) and len(content) < announced:
        raise OSError(f"only {len(content)} of {announced} bytes arrived")
    return content


@contextlib.contextmanager
def opened(source: str | bytes) -> Iterator[Any]:
    """Open the container of a source.

    Raises
    ------
    UnreadableError
        FFmpeg can open it neither as video nor as audio.
    OSError
        The disk, the network or the permissions prevent reading it.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS, "max_pixels": str(MAX_PIXELS)}
    try:  # tags may be in any encoding and are not used
        container = av.open(
            io.BytesIO(source) if isinstance(source, bytes) else source,
            format=_format_by_name(source),
            options=options,
            metadata_errors="replace",
        )
    except (FFmpegError, OSError, ValueError, UnicodeError) as error:
        if is_of_the_machine(error) or isinstance(error, FileNotFoundError):  # there a moment ago
            raise OSError(getattr(error, "errno", None), reason(error)) from error
        raise UnreadableError(f"no video or audio that FFmpeg can open: {_why_refused(source, error)}") from error
    with container:
        yield container


def _format_by_name(source: str | bytes) -> str | None:
    """Return ``mjpeg`` for a sequence of JPEGs, by the file's name; else None, for FFmpeg to detect the format.

    FFmpeg takes a sequence of JPEGs above some 2 kB for one image, as photographs that hold several JPEGs are.

    Raises
    ------
    OSError
        The file can't be read.
    """
    is_named = isinstance(source, str) and source.lower().endswith(MOTION_JPEG)
    return "mjpeg" if is_named and _start(source).startswith(JPEG) else None


def _why_refused(source: str | bytes, error: Exception) -> str:
    """Return the reason as text; for a format outside :data:`CONTAINERS`, FFmpeg says only "Invalid argument"."""
    start = _start(source)
    if not start:
        return "the file is empty"
    if _is_animated_webp(start):
        return "an animated WebP, which deepcue does not read; convert it to MP4"
    if isinstance(error, InvalidDataError):
        return INCOMPLETE if start[4:8] == b"ftyp" else "damaged, or neither video nor audio"
    if getattr(error, "errno", None) != errno.EINVAL:
        return reason(error)
    return "an image, not a video" if _is_image(start) else "a kind of file that deepcue does not read"


def _start(source: str | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:START_BYTES]
    with open(source, "rb") as file:
        return file.read(START_BYTES)


def _is_image(start: bytes) -> bool:
    is_bmp = start[:2] == b"BM" and start[6:10] == bytes(4)
    return start.startswith(IMAGES) or _is_webp(start) or is_bmp


def _is_webp(start: bytes) -> bool:
    return start[:4] == b"RIFF" and start[8:12] == b"WEBP"


def _is_animated_webp(start: bytes) -> bool:
    """Whether the flags of an extended WebP, at byte 20, say that it is animated."""
    return _is_webp(start) and start[12:16] == b"VP8X" and bool(start[20:21]) and bool(start[20] & 0x02)


def is_of_the_machine(error: Exception) -> bool:
    """Return whether an error says nothing about the file."""
    return getattr(error, "errno", None) in MACHINE_ERRORS


def reason(error: Exception) -> str:
    """Return an error as text, without FFmpeg's error numbers."""
    if isinstance(error, InvalidDataError):
        return "invalid data"
    return str(getattr(error, "strerror", None) or error)


def look_through(container: Any, max_seconds: float, source: str | bytes) -> Streams:
    """Choose the streams, and read the packets of the first ``max_seconds`` without decoding them.

    Streams with a single frame or almost no data are not chosen for the video; among the others the default stream
    comes first, then the largest. The order of preference of the audio tracks is the default one, then file order. A
    file with only audio has no video; a file whose only video is a cover image, or can't be decoded, is refused.
    ``source`` is what the container was opened from, to read headers that FFmpeg corrects.

    Raises
    ------
    UnreadableError
        A video stream can't be decoded, the file has neither video nor audio, or frames are too large.
    """
    videos = [stream for stream in container.streams.video if stream.codec_context is not None]
    videos = [stream for stream in videos if not stream.disposition & ATTACHED_PICTURE]
    audio_tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not videos and (container.streams.video or not audio_tracks):
        raise UnreadableError(_why_no_video(container.streams.video))
    audio_tracks.sort(key=lambda stream: (not stream.disposition & DEFAULT, stream.index))
    timeline = Timeline(max_seconds)
    n_cut = _read_packets(container, [*videos, *audio_tracks], timeline)
    if not videos:
        return _of_audio_only(container, audio_tracks, timeline, source)
    video = _video(videos, timeline)
    timeline.resolve(video=video.index, audio=[stream.index for stream in audio_tracks])
    context = video.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise UnreadableError(f"frames of {context.width}x{context.height} px are above the limit of {MAX_PIXELS} px")
    announced_s = _announced_s(video, n_cut[video.index])
    length_s = timeline.length_s(video.index)
    if not announced_s:  # only the length of the file is known: from the first start of its streams to their last end
        announced_s = _file_length_s(container)
        length_s = timeline.length_s(video.index, *(stream.index for stream in audio_tracks))
    missing_s = announced_s - length_s
    if timeline.full or timeline.n_jumps or missing_s < max(MAX_MISSING_S, MAX_MISSING * announced_s):
        missing_s = 0.0
    return Streams(
        video=video.index,
        video_number=videos.index(video) + 1,
        audio_tracks=tuple(stream.index for stream in audio_tracks),
        n_videos=len(videos),
        n_frames=timeline.n_within(video.index),
        timeline=timeline,
        start_s=timeline.start_s(video.index),
        missing_s=missing_s,
        length_s=length_s,
    )


def _of_audio_only(container: Any, audio_tracks: Sequence[Any], timeline: Timeline, source: str | bytes) -> Streams:
    """Return the streams of an audio-only file: the first audio track leads the timeline."""
    first, *others = audio_tracks
    timeline.resolve(video=first.index, audio=[stream.index for stream in others])
    length_s = timeline.length_s(first.index)
    announced_s = float(first.duration * first.time_base) if first.duration else _file_length_s(container)
    if container.format.name == "wav":
        announced_s = length_s * announced_share(source)
    missing_s = announced_s - length_s
    if timeline.full or timeline.n_jumps or missing_s < max(MAX_MISSING_S, MAX_MISSING * announced_s):
        missing_s = 0.0
    return Streams(
        video=None,
        video_number=0,
        audio_tracks=tuple(stream.index for stream in audio_tracks),
        n_videos=0,
        n_frames=0,
        timeline=timeline,
        start_s=timeline.start_s(first.index),
        missing_s=missing_s,
        length_s=length_s,
    )


def _why_no_video(streams: Sequence[Any]) -> str:
    if not streams:
        return "no video stream in the file"
    if all(stream.disposition & ATTACHED_PICTURE for stream in streams):
        return "no video stream in the file but a cover image"
    return "this FFmpeg has no decoder for the video"


def _read_packets(container: Any, streams: list[Any], timeline: Timeline) -> Counter[int]:
    """Read the packets of all streams; damage is ignored here and reported when they are decoded.

    Returns
    -------
    Counter
        Number of packets of each stream that an edit list hides.
    """
    n_cut: Counter[int] = Counter()
    guessed = container.format.name in NO_TIMES
    with contextlib.suppress(FFmpegError, ValueError):
        for packet in container.demux(streams):
            stream, base = packet.stream.index, float(packet.time_base)
            at = packet.pts if packet.pts is not None else packet.dts
            length_s = (packet.duration or 0) * base
            if packet.is_discard:
                n_cut[stream] += 1
            elif packet.size and at is None:
                timeline.add_untimed(stream, length_s)
            elif packet.size:
                decode_s = None if packet.dts is None else packet.dts * base
                time_s = decode_s if guessed and decode_s is not None else at * base
                timeline.add(stream, Packet(at, time_s, length_s, packet.size, decode_s))
            if timeline.full:
                break
    return n_cut


def _video(videos: list[Any], timeline: Timeline) -> Any:
    largest = max(timeline.n_bytes(stream.index) for stream in videos)

    def rank(stream: Any) -> tuple[Any, ...]:
        context = stream.codec_context
        return (
            timeline.n_packets(stream.index) > 1,
            timeline.n_bytes(stream.index) >= MIN_BYTES * largest,
            bool(stream.disposition & DEFAULT),
            context.width * context.height,
            timeline.n_packets(stream.index),
            -stream.index,
        )

    return max(videos, key=rank)


def _announced_s(video: Any, n_cut: int) -> float:
    """Return the length of the video by the header, 0 where unknown; ``n_cut`` of its frames are hidden."""
    rate = float(video.average_rate or 0)
    if video.frames and rate:
        return float((video.frames - n_cut) / rate)
    if video.duration:
        return float(video.duration * video.time_base)
    return 0.0


def _file_length_s(container: Any) -> float:
    """Return the length of the file by the header, 0 where unknown.

    Some formats count it from the first timestamp, others from 0 (Matroska): the shorter reading is used.
    """
    if not container.duration:
        return 0.0
    length, start = container.duration / av.time_base, (container.start_time or 0) / av.time_base
    return length - start if 0 < start < length else length
