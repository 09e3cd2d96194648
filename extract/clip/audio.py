"""Convert a clip's audio to mono at 16 kHz, aligned with its timestamps, for any channels, rate and gaps."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from extract.clip.clock import OffsetReader
from features.observation import AUDIO_RATE_HZ

MIN_GAP_S = 0.04  # of missing audio; shorter gaps are rounding
CANCELLED = 0.01  # fraction of the loudest channel's energy (-20 dB) below which a mix has cancelled it
PCM_PEAK = {"u8": 128.0, "s16": 2.0**15, "s32": 2.0**31}  # full scale of integer samples; float samples have 1
MAX_MIXED = 7  # channels: FFmpeg mixes few layouts with more, and PyAV reads past the end of their planes
MAX_RATE_HZ = 4_000_000  # FFmpeg's filter grows with the rate: 80 MB here, gigabytes at the largest that a header holds


@dataclass
class AudioClock:
    """Track the expected time of the next audio frame, to find gaps between frames."""

    offsets: OffsetReader
    silence_s: float = 0.0
    _first_s: float | None = None
    _audio_s: float = 0.0
    _offset: float | None = None

    @property
    def start_s(self) -> float:
        """Time of the first sample."""
        return self._first_s or 0.0

    def gap_before(self, frame: av.AudioFrame, following: av.AudioFrame | None) -> float:
        """Return the seconds without audio before a frame; 0 where rounding explains them.

        Negative for audio that is repeated after a timestamp discontinuity, and for more samples than the timestamps
        leave room for. A single frame may have a damaged timestamp, so the ``following`` frame has to agree with it.
        """
        gap_s, length_s = 0.0, frame.samples / frame.sample_rate
        if frame.time is not None:
            offset = self.offsets.offset(frame.pts)
            jumped, self._offset = offset != self._offset, offset
            at = float(frame.time) + offset
            if self._first_s is None:
                self._first_s = at - self._audio_s
            elif following is not None and following.time is not None:
                late_s = at - self.start_s - self._audio_s - self.silence_s
                step_s = following.time - frame.time - length_s
                missing = late_s > MIN_GAP_S and step_s > -MIN_GAP_S
                in_step = -min(MIN_GAP_S, length_s / 2) < step_s < MIN_GAP_S  # not the same timestamp again
                surplus = late_s < -MIN_GAP_S and (jumped or in_step)
                gap_s = late_s if missing or surplus else 0.0
        self._audio_s += length_s + min(0.0, gap_s)
        self.silence_s += max(0.0, gap_s)
        return gap_s


class Resampler:
    """Resample frames of any layout, rate and format, which may change midway, to 16 kHz.

    Frames of more than :data:`MAX_MIXED` channels must be interleaved (:class:`Interleaver`); their mix is the mean.

    Parameters
    ----------
    channel
        Number of the channel to take; None mixes all.
    """

    def __init__(self, channel: int | None = None) -> None:
        self._channel = channel
        self._kind: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def samples(self, frame: av.AudioFrame | None) -> list[NDArray[np.float32]]:
        """Return the resampled pieces for a frame; for None, the samples left in the resampler."""
        if frame is not None and frame.layout.nb_channels > MAX_MIXED:
            frame = _one_channel(frame, self._channel)
        kind = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        done = self._run(None) if self._resampler is not None and kind != self._kind else []
        if frame is None:
            return done
        if kind != self._kind:
            mono = self._channel is None
            self._kind = kind
            self._resampler = av.AudioResampler(
                format="flt" if mono else "fltp", layout="mono" if mono else frame.layout, rate=AUDIO_RATE_HZ
            )
        return [*done, *self._run(frame)]

    def _run(self, frame: av.AudioFrame | None) -> list[NDArray[np.float32]]:
        assert self._resampler is not None
        pieces = [piece.to_ndarray() for piece in self._resampler.resample(frame)]
        return [piece[min(self._channel or 0, len(piece) - 1)] for piece in pieces]


class ChannelEnergy:
    """Energy of every channel and of the mix, for each channel layout of a track, to detect cancelling channels."""

    def __init__(self) -> None:
        self._channels: dict[str, NDArray[np.float64]] = {}
        self._mixed: dict[str, float] = defaultdict(float)

    def add(self, frame: av.AudioFrame, mix: Sequence[NDArray[np.float32]]) -> None:
        """Add a frame of two channels or more and its resampled pieces."""
        channels, name = frame.layout.nb_channels, frame.layout.name
        if channels < 2:
            return
        power = _energy(_channels(frame)) / frame.sample_rate
        self._channels[name] = self._channels[name] + power if name in self._channels else power
        self._mixed[name] += sum(float(_energy(piece)) for piece in mix) / AUDIO_RATE_HZ

    def cancelled(self) -> int | None:
        """Return the loudest channel if the mix has lost nearly all of its energy; else None."""
        for name, energy in sorted(self._channels.items(), key=lambda item: -item[1].max()):
            loudest = int(np.argmax(energy >= 0.9 * energy.max()))  # the first of equals
            if self._mixed[name] < CANCELLED * energy[loudest]:
                return loudest
        return None


class Interleaver:
    """Prepare frames for resampling: shorten very long ones, and interleave those with many channels.

    Parameters
    ----------
    wanted_s
        Analysed duration in seconds; longer frames, as in files with absurd rates, are cut to it.
    """

    def __init__(self, wanted_s: float) -> None:
        self._wanted_s = wanted_s
        self._kind: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def frames(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """Return the prepared frames: usually the frame itself.

        Raises
        ------
        ValueError
            Its rate is above :data:`MAX_RATE_HZ`.
        FFmpegError
            It has more channels than FFmpeg can interleave (64).
        """
        if frame.sample_rate > MAX_RATE_HZ:
            raise ValueError(f"audio of {frame.sample_rate} samples per second, above the limit of {MAX_RATE_HZ}")
        planar = frame.format.is_planar and frame.layout.nb_channels > MAX_MIXED
        whole = self._interleaved(frame) if planar else [frame]
        return [_shortened(each, math.ceil(self._wanted_s * each.sample_rate)) for each in whole]

    def _interleaved(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind:
            self._kind = kind
            self._resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
        return self._resampler.resample(frame)


def _shortened(frame: av.AudioFrame, most: int) -> av.AudioFrame:
    """Return the first ``most`` samples of every channel of a frame; the frame itself where it has no more."""
    if frame.samples <= most:
        return frame
    each = 1 if frame.format.is_planar else frame.layout.nb_channels
    first = np.ascontiguousarray(frame.to_ndarray()[:, : most * each])
    return _frame(first, frame, format=frame.format.name, layout=frame.layout.name)


def _one_channel(frame: av.AudioFrame, channel: int | None) -> av.AudioFrame:
    """Return one channel of an interleaved frame, or the mean of all."""
    channels = _channels(frame)
    mono = channels.mean(axis=0) if channel is None else channels[min(channel, len(channels) - 1)]
    return _frame(mono[None].astype(np.float32), frame, format="flt", layout="mono")


def _frame(samples: NDArray[Any], like: av.AudioFrame, *, format: str, layout: str) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples, format=format, layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = like.sample_rate, like.pts, like.time_base
    return frame


def _channels(frame: av.AudioFrame) -> NDArray[np.float64]:
    """Return the samples of a frame [channels, n], in units of full scale."""
    samples = frame.to_ndarray().astype(np.float64)
    samples = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
    peak = PCM_PEAK.get(frame.format.name.removesuffix("p"), 1.0)
    return (samples - peak if frame.format.name.startswith("u8") else samples) / peak


def _energy(samples: NDArray[np.floating[Any]]) -> Any:
    return np.square(np.nan_to_num(samples, posinf=0.0, neginf=0.0), dtype=np.float64).sum(axis=-1)


def read_mono(
    frames: Iterable[av.AudioFrame], clock: AudioClock, wanted: int, *, channel: int | None = None
) -> tuple[NDArray[np.float32], int | None]:
    """Return at most ``wanted`` samples at 16 kHz, with silence where audio is missing.

    Returns
    -------
    samples : ndarray of shape (n,)
        Finite; empty without any frame.
    cancelled
        The channel to take instead, when the channels cancel each other in the mix; else None.

    Raises
    ------
    ValueError, FFmpegError
        The audio has more channels, or a higher rate, than can be resampled.
    """
    resampler, energy, interleaver = Resampler(channel), ChannelEnergy(), Interleaver(wanted / AUDIO_RATE_HZ)
    pieces: list[NDArray[np.float32]] = []
    decoded = repeated = 0
    following: Iterator[av.AudioFrame | None] = itertools.chain(frames, [None])
    for frame, after in itertools.pairwise(following):
        assert frame is not None
        gap = round(clock.gap_before(frame, after) * AUDIO_RATE_HZ)
        repeated += max(0, -gap)
        fresh = [np.zeros(min(max(0, gap), wanted), np.float32)]
        for prepared in interleaver.frames(frame):
            resampled = resampler.samples(prepared)
            for piece in resampled:
                fresh.append(piece[repeated:])
                repeated = max(0, repeated - len(piece))
            if channel is None:
                energy.add(prepared, resampled)
        pieces += fresh
        decoded += sum(map(len, fresh))
        if decoded >= wanted:
            break
    pieces += resampler.samples(None)
    samples = np.concatenate(pieces)[:wanted] if pieces else np.zeros(0, np.float32)
    samples = np.nan_to_num(samples.astype(np.float32), posinf=0.0, neginf=0.0)
    return samples, energy.cancelled()
