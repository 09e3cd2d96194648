"""The clip that manipulations take and return: frames that can be iterated again, landmarks, audio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.observation import AUDIO_RATE_HZ
from forge.face_ops import Image, Points

Waveform = NDArray[np.float32]

RATE_HZ = AUDIO_RATE_HZ  # sampling rate of all audio in this package


@dataclass(frozen=True)
class EditableClip:
    """A clip that is read, forged or written.

    Parameters
    ----------
    name
        File name, for messages.
    frames
        RGB [h, w, 3] with even sides; every iteration yields the same frames.
    times_s
        Presentation times [n], increasing from 0.
    landmarks
        Landmarks [n, 68, 2] of the main face in px; NaN where there is no face.
    audio
        Mono audio [k] at :data:`RATE_HZ` from time 0, or None.
    """

    name: str
    frames: Iterable[Image]
    times_s: NDArray[np.float64]
    landmarks: Points
    audio: Waveform | None

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        steps = np.diff(self.times_s)
        return float(self.times_s[-1] + (np.median(steps) if steps.size else 1 / 25))

    @property
    def face_fraction(self) -> float:
        """Fraction of the frames with a face."""
        return float(np.isfinite(self.landmarks[:, 0, 0]).mean()) if len(self.landmarks) else 0.0

    def with_frames(self, change: Callable[[int, Image], Image]) -> EditableClip:
        """Return the clip with each frame [h, w, 3] replaced by ``change(index, frame)`` when it is iterated."""
        return replace(self, frames=Frames(lambda: (change(i, f) for i, f in enumerate(self.frames))))

    def with_audio(self, audio: Waveform) -> EditableClip:
        """Return the clip with other audio [k], cut or padded with silence to the length of the video."""
        wanted = round(self.duration_s * RATE_HZ)
        fitted = np.zeros(wanted, np.float32)
        fitted[: min(wanted, audio.size)] = audio[:wanted]
        return replace(self, audio=fitted)


class Frames:
    """Frames that are computed again on every iteration."""

    def __init__(self, start: Callable[[], Iterator[Image]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Image]:
        return self._start()
