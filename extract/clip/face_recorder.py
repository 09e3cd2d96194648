"""Record more faces than a batch run keeps, and a filmstrip, for the page of one clip.

Recording happens during the pass and does not change its results. Faces are kept at regular times, cropped as a batch
run would crop them, and assigned to the tracks at the end. A batch run keeps few crops, so a short swap between two of
them would not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from extract.clip.crop_reservoir import EMPTY, face_crop, native_luma_patch
from extract.clip.frame import Frame
from extract.clip.square_crop import SquareCrop
from extract.clip.tracks import TrackBuilder
from features.evidence import FACES_PER_SECOND
from features.networks.dlib_models import EMBEDDING_DIMENSIONS
from features.observation import Track

MAX_FACES = 720  # a minute of three people at four a second; beyond it every second moment is dropped to bound memory
STRIP_STEP_S, STRIP_FRAMES = 0.5, 20  # initial spacing and final number of the filmstrip's frames
STRIP_WIDTH_PX = 160
BEFORE_THE_FIRST = -1  # number of the step that a clip begins in

Image = NDArray[np.uint8]
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class _Face:
    """One face in a recorded frame."""

    box: NDArray[np.float32]
    window: SquareCrop
    crop: Image
    patch: Image


@dataclass(frozen=True)
class _Moment:
    """A frame in which faces were recorded."""

    frame_index: int
    faces: tuple[_Face, ...]


class _Paced(Generic[Kept]):
    """Keep one item for every time step, starting half a step after the first frame; at most ``most`` items.

    When there are more, the step doubles and the first item of every two is kept, so that the items are evenly spread
    whatever the length of the clip. With ``or_first``, the first frame is kept until the first step begins, so that a
    clip shorter than half a step also has an item.
    """

    def __init__(self, step_s: float, most: int, *, or_first: bool = False) -> None:
        self._step_s, self._most, self._or_first = step_s, most, or_first
        self._first_s: float | None = None
        self._offset = 0.5  # of the first step from the first frame, in steps
        self._now = BEFORE_THE_FIRST
        self._kept: dict[int, tuple[Kept, int]] = {}

    def due(self, time_s: float) -> bool:
        """Return whether the frame at this time starts a new step."""
        is_first = self._first_s is None
        if self._first_s is None:
            self._first_s = time_s
        step = math.floor((time_s - self._first_s) / self._step_s + 1e-6 - self._offset)
        is_new, self._now = step > self._now, max(step, self._now)
        return is_new or (is_first and self._or_first)

    def keep(self, item: Kept, weight: int = 1) -> None:
        """Keep an item for the current step; ``weight`` counts against ``most``."""
        if self._or_first:
            self._kept.pop(BEFORE_THE_FIRST, None)
        self._kept[self._now] = (item, weight)
        while sum(weight for _, weight in self._kept.values()) > self._most and len(self._kept) > 1:
            self._step_s, self._offset, self._now = 2 * self._step_s, self._offset / 2, self._now // 2
            halved: dict[int, tuple[Kept, int]] = {}
            for step, entry in self._kept.items():
                halved.setdefault(step // 2, entry)
            self._kept = halved

    def all(self) -> list[Kept]:
        """Return the items in order of time."""
        return [item for item, _ in self._kept.values()]


class FaceRecorder:
    """Record every tracked face at regular times, and small frames for a filmstrip.

    Parameters
    ----------
    faces_per_second
        Faces recorded per person and second.
    filmstrip
        Whether to record small frames as well.
    told
        Called after every frame with the fraction of frames processed, where the number of frames is known; from 0
        again if a clip is read a second time.
    """

    def __init__(
        self,
        *,
        faces_per_second: float = FACES_PER_SECOND,
        filmstrip: bool = True,
        told: Callable[[float], None] | None = None,
    ) -> None:
        self._told = told
        self._step_s, self._filmstrip = 1.0 / faces_per_second, filmstrip
        self.clear()

    def clear(self) -> None:
        """Forget what was recorded, before a pass over the clip."""
        self._moments = _Paced[_Moment](self._step_s, MAX_FACES)
        strip = _Paced[tuple[float, Image]](STRIP_STEP_S, 2 * STRIP_FRAMES, or_first=True)
        self._strip = strip if self._filmstrip else None

    def see(self, frame: Frame, builders: Sequence[TrackBuilder], *, of: int = 0) -> None:
        """Record a frame that ``builders`` have just tracked; ``of`` is the number of frames, 0 where unknown."""
        if self._told is not None and of:
            self._told(min(1.0, (frame.index + 1) / of))
        if self._strip is not None and self._strip.due(frame.time_s):
            self._strip.keep((frame.time_s, _small(frame.rgb())))
        if self._moments.due(frame.time_s) and builders:
            moment = _Moment(frame.index, tuple(_face(frame, builder) for builder in builders))
            self._moments.keep(moment, len(moment.faces))

    def filmstrip(self) -> list[tuple[float, Image]]:
        """Return at most ``STRIP_FRAMES`` evenly spread times and RGB frames [h, w, 3]; w <= ``STRIP_WIDTH_PX``."""
        kept = self._strip.all() if self._strip is not None else []
        count = min(STRIP_FRAMES, len(kept))
        return [kept[int((n + 0.5) * len(kept) / count)] for n in range(count)]

    def with_faces(self, track: Track) -> Track:
        """Return the track with the recorded crops instead of its own, without background patches and embeddings.

        A track without a recorded face, as in a clip of one frame, keeps its own crops.
        """
        kept = [(sample, face) for moment in self._moments.all() for sample, face in _of_track(moment, track)]
        if not kept:
            return track
        faces = [face for _, face in kept]
        return replace(
            track,
            crop_index=np.array([sample for sample, _ in kept], np.int32),
            crop_box=np.array([face.window for face in faces], np.float32).reshape(-1, 3),
            crops=tuple(face.crop for face in faces),
            embedding=np.full((len(faces), EMBEDDING_DIMENSIONS), np.nan, np.float32),
            patch_face=tuple(face.patch for face in faces),
            patch_background=(EMPTY,) * len(faces),
        )


def _face(frame: Frame, builder: TrackBuilder) -> _Face:
    box = builder.box.copy()
    return _Face(box, *face_crop(frame, box), native_luma_patch(frame.luma, box, builder.last_landmarks.mean(axis=0)))


def _of_track(moment: _Moment, track: Track) -> list[tuple[int, _Face]]:
    """Return a track's face at this moment with its sample index; empty where the track has no landmarks.

    A track keeps the box of every sample unchanged, so the face with exactly that box belongs to the track, whichever
    pieces the track was joined from.
    """
    sample = int(np.searchsorted(track.frame_index, moment.frame_index))
    if sample == len(track) or track.frame_index[sample] != moment.frame_index:
        return []
    if not np.isfinite(track.landmarks[sample]).all():
        return []
    return [(sample, face) for face in moment.faces if np.array_equal(face.box, track.box[sample])][:1]


def _small(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, STRIP_WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
