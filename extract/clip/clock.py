"""The clip's timeline: a continuous time for each frame, also where the file's timestamps are discontinuous.

Recordings are paused, joined and cut, so timestamps may jump an hour ahead or back to 0, while video and audio were
still recorded together. The same rule corrects both. A step between two video packets is a discontinuity if it goes
back, if no audio fills it although there is audio before and after, or if it is longer than :data:`MAX_STEP_S` and no
audio fills it. After a discontinuity the video continues one frame later, and the audio is shifted by the same amount.
If one stream pauses while the other continues, as with a muted microphone, the pause is real and is kept.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MAX_STEP_S = 5.0
"""A longer step between packets of one stream is a discontinuity, unless another stream's packets fill it."""
MIN_JUMP_S = 1.0  # frame rates and frame reordering explain shorter steps, ahead or back
FILLED = 0.5  # in a filled pause, the other stream's longest gap is at most this fraction of it and MAX_STEP_S
USUAL_STEP_S = 1 / 25  # assumed where a single packet gives no step


class Packet(NamedTuple):
    """Timestamp of a packet in the stream's units and in seconds, with its duration and size in bytes.

    ``decode_s`` is the decoding timestamp: unlike presentation timestamps, it increases in file order.
    """

    pts: int
    time_s: float
    duration_s: float
    size: int
    decode_s: float | None = None


class Timeline:
    """The packets of a file's streams and their times on the clip's timeline.

    Parameters
    ----------
    max_seconds
        Packets are read until a stream has lasted this long.

    Examples
    --------
    A recording that was paused for a minute:

    >>> timeline = Timeline(120)
    >>> for pts in (0, 1, 2, 63, 64):
    ...     timeline.add(0, Packet(pts, float(pts), 1.0, 100, float(pts)))
    >>> timeline.resolve(video=0, audio=[])
    >>> timeline.n_jumps, timeline.length_s(0)
    (1, 5.0)
    >>> timeline.reader(0).offset(63)
    -60.0
    """

    def __init__(self, max_seconds: float) -> None:
        self.max_seconds = max_seconds
        self.n_jumps = 0
        self.full = False
        """True when a stream exceeds the analysed duration; later packets are not read."""
        self._packets: dict[int, list[Packet]] = defaultdict(list)
        self._runs: dict[int, list[list[int]]] = defaultdict(list)
        self._latest_s: dict[int, float] = {}
        self._progress_s: dict[int, float] = defaultdict(float)
        self._n_untimed: Counter[int] = Counter()
        self._untimed_s: dict[int, float] = {}
        self._starts_untimed: set[int] = set()
        self._offsets: dict[int, list[float]] = {}

    def add(self, stream: int, packet: Packet) -> None:
        """Add a packet, in file order."""
        packets, runs, at = self._packets[stream], self._runs[stream], packet.decode_s
        latest_s = self._latest_s.get(stream)
        if not runs or (at is not None and latest_s is not None and at < latest_s - MIN_JUMP_S):  # timestamps went back
            runs.append([])
            latest_s = None
        self._go_on(stream, packet.duration_s if at is None or latest_s is None else max(0.0, at - latest_s))
        if at is not None:  # presentation timestamps don't tell, since they are in another order
            self._latest_s[stream] = at if latest_s is None else max(at, latest_s)
        runs[-1].append(len(packets))
        packets.append(packet)

    def add_untimed(self, stream: int, duration_s: float) -> None:
        """Add a packet without a timestamp, as in a raw stream."""
        self._go_on(stream, duration_s)
        self._n_untimed[stream] += self._progress_s[stream] <= self.max_seconds
        self._untimed_s[stream] = duration_s
        if not self._packets[stream]:
            self._starts_untimed.add(stream)

    def _go_on(self, stream: int, step_s: float) -> None:
        self._progress_s[stream] += min(step_s, MAX_STEP_S)
        self.full = self.full or self._progress_s[stream] > self.max_seconds + MAX_STEP_S

    def resolve(self, *, video: int, audio: Sequence[int]) -> None:
        """Find the discontinuities, in the video first, and place every packet on one timeline."""
        known = [0.0]
        audio_fillers = _Fillers(self._spans(stream) for stream in audio)
        self._place(video, known, audio_fillers, leads=True)
        video_fillers = _Fillers([self._spans(video)])
        for stream in audio:
            self._place(stream, known, video_fillers, leads=False)
        self.n_jumps = len(known) - 1

    def _spans(self, stream: int) -> list[tuple[float, float]]:
        """Return start and length of every packet; a length above :data:`MIN_JUMP_S` is replaced by the usual step."""
        usual_s = self._usual_step_s(stream)
        return [
            (packet.time_s, packet.duration_s if 0 < packet.duration_s <= MIN_JUMP_S else usual_s)
            for packet in self._packets[stream]
        ]

    def _usual_step_s(self, stream: int) -> float:
        times = sorted(packet.time_s for packet in self._packets[stream])
        steps = [after - before for before, after in itertools.pairwise(times)]
        return statistics.median([step for step in steps if 0 < step <= MAX_STEP_S] or [USUAL_STEP_S])

    def _place(self, stream: int, known: list[float], fillers: _Fillers, *, leads: bool) -> None:
        """Choose each packet's offset in presentation order: a known one, or a new one after a discontinuity."""
        spans = self._spans(stream)
        end_s, offsets = math.nan, [0.0] * len(spans)
        for run in self._runs[stream]:
            for number in sorted(run, key=lambda number: spans[number]):
                time_s, length_s = spans[number]
                offset = offsets[number] = _offset(time_s, end_s, known, fillers, leads=leads)
                if offset not in known:
                    known.append(offset)
                end = time_s + offset + length_s
                end_s = end if math.isnan(end_s) or abs(end - end_s) > MIN_JUMP_S else max(end_s, end)
        self._offsets[stream] = offsets

    def reader(self, stream: int) -> OffsetReader:
        """Return a reader of the frames' offsets, for one pass over a stream."""
        by_pts: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for number, (packet, offset) in enumerate(zip(self._packets[stream], self._offsets[stream], strict=True)):
            by_pts[packet.pts].append((number, offset))
        return OffsetReader(by_pts)

    def packets(self, stream: int) -> Sequence[Packet]:
        """Return the packets of a stream that have timestamps, in file order."""
        return self._packets[stream]

    def untimed_s(self, stream: int) -> float:
        """Duration of a packet in seconds, for a stream in which some packets have no timestamp; 0 where unknown."""
        return self._untimed_s.get(stream, 0.0)

    def starts_untimed(self, stream: int) -> bool:
        """True when packets without a timestamp precede the first that has one; False where no packet has one."""
        return stream in self._starts_untimed and bool(self._packets[stream])

    def n_packets(self, stream: int) -> int:
        """Number of packets of a stream."""
        return len(self._packets[stream]) + self._n_untimed[stream]

    def n_bytes(self, stream: int) -> int:
        """Bytes of a stream without its largest packet, which holds headers and the first key frame."""
        sizes = [packet.size for packet in self._packets[stream]]
        return sum(sizes) - max(sizes, default=0)

    def _times(self, stream: int) -> list[float]:
        return [
            packet.time_s + offset for packet, offset in zip(self._packets[stream], self._offsets[stream], strict=True)
        ]

    def n_within(self, stream: int) -> int:
        """Number of packets of a stream within the analysed duration."""
        times = self._times(stream)
        start_s = min(times, default=0.0)
        return self._n_untimed[stream] + sum(time - start_s <= self.max_seconds for time in times)

    def start_s(self, stream: int) -> float:
        """Time of the first packet of a stream; 0 without packets."""
        return min(self._times(stream), default=0.0)

    def length_s(self, *streams: int) -> float:
        """Seconds from the first to the end of the last packet of the streams."""
        times = [time for stream in streams for time in self._times(stream)]
        packets = [packet for stream in streams for packet in self._packets[stream]]
        ends = [time + packet.duration_s for time, packet in zip(times, packets, strict=True)]
        return max(ends) - min(times) if times else 0.0


class _Fillers:
    """The times at which other streams have packets, in the file's timestamps."""

    def __init__(self, spans: Iterable[list[tuple[float, float]]]) -> None:
        self._spans = sorted(span for stream in spans for span in stream)

    def fill(self, start_s: float, end_s: float) -> bool:
        """Return whether packets fill the interval, apart from gaps that are much shorter than it."""
        reached_s, longest_s = start_s, 0.0
        for at_s, length_s in self._spans[bisect.bisect_left(self._spans, (start_s, -math.inf)) :]:
            if at_s >= end_s:
                break
            longest_s = max(longest_s, at_s - reached_s)
            reached_s = max(reached_s, at_s + length_s)
        return max(longest_s, end_s - reached_s) <= min(FILLED * (end_s - start_s), MAX_STEP_S)

    def surround(self, start_s: float, end_s: float) -> bool:
        """Return whether there are packets both before and after the interval."""
        return bool(self._spans) and self._spans[0][0] < start_s and self._spans[-1][0] >= end_s - MIN_JUMP_S


def _offset(time_s: float, end_s: float, known: Sequence[float], fillers: _Fillers, *, leads: bool) -> float:
    """Return the latest fitting offset: seconds to add to a packet's time, when its stream has lasted until ``end_s``.

    ``leads`` is True for the stream whose discontinuities are found first: the video.
    """
    if math.isnan(end_s):
        return known[0]
    nearest = min(reversed(known), key=lambda offset: abs(time_s + offset - end_s))
    step_s = time_s + nearest - end_s
    if abs(step_s) <= MIN_JUMP_S:
        return nearest
    if abs(step_s) <= MAX_STEP_S and not (leads and _is_jump(end_s - nearest, time_s, fillers)):
        return nearest
    for offset in reversed(known):
        if time_s + offset > end_s and fillers.fill(end_s - offset, time_s):
            return offset
    return end_s - time_s


def _is_jump(start_s: float, end_s: float, fillers: _Fillers) -> bool:
    """Return whether a short step is a discontinuity: it goes back, or no other stream continued meanwhile."""
    return end_s < start_s or (fillers.surround(start_s, end_s) and not fillers.fill(start_s, end_s))


class OffsetReader:
    """Offsets of the frames of one stream, requested in their order.

    A timestamp that occurs twice, as after a clock was set back, has the offset of its position in the file.

    Parameters
    ----------
    offsets
        Maps a timestamp in the stream's units to the position in the file and the offset of each packet with it.
    """

    def __init__(self, offsets: Mapping[int, list[tuple[int, float]]]) -> None:
        self._offsets = offsets
        self._next = 0
        self._last = next(iter(offsets.values()))[0][1] if offsets else 0.0

    def offset(self, pts: int | None) -> float:
        """Return the seconds to add to a frame's timestamp; the previous frame's for a timestamp that no packet has."""
        if pts is not None and (known := self._offsets.get(pts)):
            number, self._last = min(known, key=lambda candidate: abs(candidate[0] - self._next))
            self._next = number + 1
        return self._last


class VideoClock:
    """Increasing times of the video frames, on the clip's timeline.

    A frame whose timestamp is missing, or the same as that of the frame before, is placed one mean step after it. From
    a timestamp on that does not come after the previous frame's time, frames are placed half a step apart, until they
    have their own times again: a frame that comes late delays the few that follow, not the whole rest.
    Frames without a timestamp at the start of the stream are counted back from the first frame that has one.

    Parameters
    ----------
    offsets
        Offsets of the video stream.
    step_s
        Seconds between frames by the header, used until a step is known.
    n_leading
        Number of frames before the first with a timestamp.
    known_s
        Time of the first frame with a timestamp, on the clip's timeline.
    """

    def __init__(self, offsets: OffsetReader, step_s: float, *, n_leading: int = 0, known_s: float = 0.0) -> None:
        self._offsets = offsets
        self._step_s = step_s
        self._start_s = known_s - n_leading * step_s if n_leading else 0.0
        self._first_s = self._last_s = self._stamp_s = math.nan
        self._n_steps = 0
        self._delayed = False

    def time_s(self, pts: int | None, time_s: float | None) -> float:
        """Return the time of the next frame, given its timestamp in the stream's units and in seconds."""
        at = math.nan if time_s is None else float(time_s) + self._offsets.offset(pts)
        stamp_s, self._stamp_s = self._stamp_s, self._stamp_s if math.isnan(at) else at
        if math.isnan(self._last_s):
            self._first_s = self._last_s = self._start_s if math.isnan(at) else at
            return self._last_s
        mean_s = (self._last_s - self._first_s) / self._n_steps if self._n_steps else self._step_s
        if math.isnan(at) or (at == stamp_s and not self._delayed):
            at = self._last_s + mean_s
        else:
            own_s = at - stamp_s
            half_s = min(own_s if own_s > 0 else mean_s, self._step_s) / 2
            self._delayed = at <= self._last_s or (self._delayed and at < self._last_s + half_s)
            at = self._last_s + half_s if self._delayed else at
        self._n_steps += 1
        self._last_s = at
        return at
