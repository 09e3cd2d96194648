"""More of the faces than a batch run keeps, for the page of one clip, and a filmstrip: recorded in the same pass.

Recording changes nothing of the pass. Faces are kept at regular times, as the crops that a batch run would have taken
there, and joined to the tracks when those are known: a batch run's own crops are few, so that a short swap between two
of them would not show.
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

MAX_FACES = 720  # a minute of three people at four a second; beyond it every second moment goes, for memory's sake
STRIP_STEP_S, STRIP_FRAMES = 0.5, 20  # frames of the filmstrip: first kept so often, in the end so many
STRIP_WIDTH_PX = 160
BEFORE_THE_FIRST = -1  # number of the step that a clip begins in

Image = NDArray[np.uint8]
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class _Face:
    """One face of a moment."""

    box: NDArray[np.float32]
    window: SquareCrop
    crop: Image
    patch: Image


@dataclass(frozen=True)
class _Moment:
    """A frame in which faces were kept."""

    frame_index: int
    faces: tuple[_Face, ...]


class _Paced(Generic[Kept]):
    """Keeps something of every step of the clip's time, from half a step after the first frame; at most ``most``.

    Where there would be more, the steps become twice as long, and of two the first stays: what is kept is evenly spread
    however long the clip turns out to be. With ``or_first``, the first frame is kept until the first step begins, so
    that a clip shorter than half a step has one, too.
    """

    def __init__(self, step_s: float, most: int, *, or_first: bool = False) -> None:
        self._step_s, self._most, self._or_first = step_s, most, or_first
        self._first_s: float | None = None
        self._offset = 0.5  # of the steps from the first frame, in steps
        self._now = BEFORE_THE_FIRST
        self._kept: dict[int, tuple[Kept, int]] = {}

    def due(self, time_s: float) -> bool:
        """Whether the frame at this time begins a step."""
        is_first = self._first_s is None
        if self._first_s is None:
            self._first_s = time_s
        step = math.floor((time_s - self._first_s) / self._step_s + 1e-6 - self._offset)
        is_new, self._now = step > self._now, max(step, self._now)
        return is_new or (is_first and self._or_first)

    def keep(self, item: Kept, weight: int = 1) -> None:
        """Keep the item of the step that has begun; ``weight`` counts against ``most``."""
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
        """What is kept, in order of time."""
        return [item for item, _ in self._kept.values()]


class FaceRecorder:
    """Keeps every followed face at regular times, and small frames for a filmstrip.

    Parameters
    ----------
    faces_per_second
        How many of each person.
    filmstrip
        Whether to keep small frames, too.
    told
        Called after every frame with the share of the frames that are seen; not where their number is unknown.
    """

    def __init__(
        self,
        *,
        faces_per_second: float = FACES_PER_SECOND,
        filmstrip: bool = True,
        told: Callable[[float], None] | None = None,
    ) -> None:
        self._told = told
        self._moments = _Paced[_Moment](1.0 / faces_per_second, MAX_FACES)
        self._strip = _Paced[tuple[float, Image]](STRIP_STEP_S, 2 * STRIP_FRAMES, or_first=True) if filmstrip else None

    def see(self, frame: Frame, builders: Sequence[TrackBuilder], *, of: int = 0) -> None:
        """Look at a frame, ``of`` so many where that is known, after ``builders`` have followed their faces into it."""
        if self._told is not None and of:
            self._told(min(1.0, (frame.index + 1) / of))
        if self._strip is not None and self._strip.due(frame.time_s):
            self._strip.keep((frame.time_s, _small(frame.rgb())))
        if self._moments.due(frame.time_s) and builders:
            moment = _Moment(frame.index, tuple(_face(frame, builder) for builder in builders))
            self._moments.keep(moment, len(moment.faces))

    def filmstrip(self) -> list[tuple[float, Image]]:
        """At most ``STRIP_FRAMES`` times and RGB frames [h, w, 3], evenly spread; ``w`` at most ``STRIP_WIDTH_PX``."""
        kept = self._strip.all() if self._strip is not None else []
        count = min(STRIP_FRAMES, len(kept))
        return [kept[int((n + 0.5) * len(kept) / count)] for n in range(count)]

    def with_faces(self, track: Track) -> Track:
        """The track with the recorded crops in place of its own; the background patches and embeddings are missing.

        A track that lies between two recorded moments, as of a clip of one frame, keeps its own.
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
    """The moment's face of a track, with its sample; none where the track was lost, or is not believed.

    A track keeps every sample's box as it was, so the face with that very box is the track's own, whichever pieces the
    track was joined from.
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
