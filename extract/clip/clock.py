"""The clip's clock: when each frame comes, whatever the file's own times do.

Recordings are paused, joined and cut, so the times of a file may jump: an hour ahead, or back to 0. Picture and sound
were still recorded together. One rule for both: a step of the picture of more than :data:`MAX_STEP_S` is a jump, unless
sound fills it; after a jump the picture goes on one frame later, and the sound moves by as much. A pause of one stream
while the other runs on is a pause of the clip, as a muted microphone is.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

MAX_STEP_S = 5.0
"""A longer step between packets of one stream is a jump, unless another stream's packets fill it."""
FILLED = 0.5  # of a pause that the other stream must fill for it to be one


class Packet(NamedTuple):
    """When a packet comes, by the file: in the stream's own units, and in seconds; and how long and large it is."""

    pts: int
    time_s: float
    duration_s: float
    size: int


class Timeline:
    """Packets of a file's streams, and when each comes on the clip's clock.

    Parameters
    ----------
    max_seconds
        Packets are wanted until a stream has gone on for so long.

    Examples
    --------
    A recording that was paused for a minute:

    >>> timeline = Timeline(120)
    >>> for pts in (0, 1, 2, 63, 64):
    ...     timeline.add(0, Packet(pts, float(pts), 1.0, 100))
    >>> timeline.resolve(picture=0, sounds=[])
    >>> timeline.n_jumps, timeline.length_s(0)
    (1, 5.0)
    >>> timeline.reader(0).offset(63)
    -60.0
    """

    def __init__(self, max_seconds: float) -> None:
        self.max_seconds = max_seconds
        self.n_jumps = 0
        self.full = False
        """True when a stream has gone on for longer than is looked at: later packets are not known."""
        self._packets: dict[int, list[Packet]] = defaultdict(list)
        self._progress_s: Counter[int] = Counter()
        self._offsets: dict[int, list[float]] = {}

    def add(self, stream: int, packet: Packet) -> None:
        """Note a packet, in the file's order."""
        packets = self._packets[stream]
        step = packet.duration_s or (abs(packet.time_s - packets[-1].time_s) if packets else 0.0)
        self._progress_s[stream] += min(step, MAX_STEP_S)  # type: ignore[assignment]  # seconds
        self.full = self.full or self._progress_s[stream] > self.max_seconds + MAX_STEP_S
        packets.append(packet)

    def resolve(self, *, picture: int, sounds: Sequence[int]) -> None:
        """Find the jumps, by the picture first, and put every packet on one clock."""
        known = [0.0]
        fillers = sorted((one.time_s, one.duration_s) for stream in sounds for one in self._packets[stream])
        self._place(picture, known, fillers)
        shown = sorted(
            (one.time_s, one.duration_s or 1 / 25) for one in self._packets[picture]
        )  # a header without a rate: 25 a second
        for stream in sounds:
            self._place(stream, known, shown)
        self.n_jumps = len(known) - 1

    def _place(self, stream: int, known: list[float], fillers: list[tuple[float, float]]) -> None:
        """Choose each packet's offset among those known, or add one after a jump."""
        end_s, offsets = math.nan, []
        for packet in self._packets[stream]:
            offset = _offset(packet.time_s, end_s, known, fillers)
            if offset not in known:
                known.append(offset)
            offsets.append(offset)
            end = packet.time_s + offset + packet.duration_s
            end_s = end if math.isnan(end_s) or abs(end - end_s) > MAX_STEP_S else max(end_s, end)
        self._offsets[stream] = offsets

    def reader(self, stream: int) -> OffsetReader:
        """For one pass over the frames of a stream: the offset of each."""
        by_pts: dict[int, list[float]] = defaultdict(list)
        for packet, offset in zip(self._packets[stream], self._offsets[stream], strict=True):
            by_pts[packet.pts].append(offset)
        return OffsetReader(by_pts)

    def n_packets(self, stream: int) -> int:
        """Packets of a stream."""
        return len(self._packets[stream])

    def n_bytes(self, stream: int) -> int:
        """Bytes of the packets of a stream."""
        return sum(packet.size for packet in self._packets[stream])

    def _times(self, stream: int) -> list[float]:
        return [one.time_s + offset for one, offset in zip(self._packets[stream], self._offsets[stream], strict=True)]

    def n_within(self, stream: int) -> int:
        """Packets of a stream within the time that is looked at."""
        times = self._times(stream)
        return sum(time - min(times) <= self.max_seconds for time in times)

    def start_s(self, stream: int) -> float:
        """Time of the first packet of a stream; 0 without packets."""
        return min(self._times(stream), default=0.0)

    def length_s(self, stream: int) -> float:
        """Seconds from the first to the end of the last packet of a stream."""
        times = self._times(stream)
        ends = [time + packet.duration_s for time, packet in zip(times, self._packets[stream], strict=True)]
        return max(ends) - min(times) if times else 0.0


def _offset(time_s: float, end_s: float, known: Sequence[float], fillers: Sequence[tuple[float, float]]) -> float:
    """Seconds to add to a packet's time, when its stream has gone on until ``end_s``; the latest offset that fits."""
    if math.isnan(end_s):
        return known[0]
    nearest = min(reversed(known), key=lambda offset: abs(time_s + offset - end_s))
    if abs(time_s + nearest - end_s) <= MAX_STEP_S:
        return nearest
    for offset in reversed(known):
        if time_s + offset > end_s and _filled(end_s - offset, time_s, fillers):
            return offset
    return end_s - time_s


def _filled(start_s: float, end_s: float, fillers: Sequence[tuple[float, float]]) -> bool:
    """True when another stream's packets, sorted, last for much of the time from ``start_s`` to ``end_s``."""
    first = bisect.bisect_left(fillers, (start_s, -math.inf))
    there = itertools.takewhile(lambda one: one[0] < end_s, itertools.islice(fillers, first, None))
    return sum(duration for _, duration in there) >= FILLED * (end_s - start_s)


class OffsetReader:
    """Offsets of the frames of one stream, asked for in their order.

    A time that comes twice, as after a clock that was set back, has the offset of its turn.
    """

    def __init__(self, offsets: Mapping[int, list[float]]) -> None:
        self._offsets = offsets
        self._asked: Counter[int] = Counter()
        self._last = next(iter(offsets.values()))[0] if offsets else 0.0

    def offset(self, pts: int | None) -> float:
        """Seconds to add to the file's time of a frame; for a time that no packet had, as for the frame before."""
        if pts is not None and (known := self._offsets.get(pts)):
            self._last = known[min(self._asked[pts], len(known) - 1)]
            self._asked[pts] += 1
        return self._last


class PictureClock:
    """Times of the frames of the picture: increasing, on the clip's clock.

    A frame whose time is missing or goes back comes one mean step after the frame before.

    Parameters
    ----------
    offsets
        Of the picture's stream.
    step_s
        Seconds between frames by the header, for as long as no step is known.
    """

    def __init__(self, offsets: OffsetReader, step_s: float) -> None:
        self._offsets = offsets
        self._step_s = step_s
        self._first_s = self._last_s = math.nan
        self._n_steps = 0

    def time_s(self, pts: int | None, time_s: float | None) -> float:
        """Time of the next frame, by its time in the stream's units and in seconds."""
        at = math.nan if time_s is None else float(time_s) + self._offsets.offset(pts)
        if math.isnan(self._last_s):
            self._first_s = self._last_s = 0.0 if math.isnan(at) else at
            return self._last_s
        if math.isnan(at) or at <= self._last_s:
            mean_s = (self._last_s - self._first_s) / self._n_steps if self._n_steps else self._step_s
            at = self._last_s + mean_s
        self._n_steps += 1
        self._last_s = at
        return at
