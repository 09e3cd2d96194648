"""More of the faces than a batch run keeps, for the page of one clip, and a filmstrip: recorded in the same pass.

Recording changes nothing of the pass. Faces are kept at regular times, as the crops that a batch run would have taken
there, and joined to the tracks when those are known: a batch run's own crops are few, so that a short swap between two
of them would not show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from extract.clip.crop_reservoir import EMPTY, face_crop, face_patch
from extract.clip.frame import Frame
from extract.clip.square_crop import SquareCrop
from extract.clip.tracks import TrackBuilder
from features.evidence import FACES_PER_SECOND
from features.networks.face_embedding import DIMENSIONS
from features.observation import Track

MAX_FACES = 720  # a minute of three people at four a second; beyond it every second moment goes, for memory's sake
STRIP_STEP_S, STRIP_FRAMES = 0.5, 20  # frames of the filmstrip: first kept so often, in the end so many
STRIP_WIDTH_PX = 160


@dataclass(frozen=True)
class _Face:
    """One face of a moment."""

    box: NDArray[np.float32]
    window: SquareCrop
    crop: NDArray[np.uint8]
    patch: NDArray[np.uint8]


@dataclass(frozen=True)
class _Moment:
    """A frame in which faces were kept."""

    frame_index: int
    faces: tuple[_Face, ...]


class _Clockwork:
    """Says when the next moment is due: half a step after the first frame, then every step."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self._next_s: float | None = None

    def due(self, time_s: float) -> bool:
        if self._next_s is None:
            self._next_s = time_s + self.step_s / 2
        if time_s < self._next_s - 1e-6:
            return False
        self._next_s += self.step_s * (1 + np.floor((time_s - self._next_s + 1e-6) / self.step_s))
        return True


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
        self._faces_due = _Clockwork(1.0 / faces_per_second)
        self._strip_due = _Clockwork(STRIP_STEP_S) if filmstrip else None
        self._moments: list[_Moment] = []
        self._strip: list[tuple[float, NDArray[np.uint8]]] = []

    def see(self, frame: Frame, builders: Sequence[TrackBuilder], *, of: int = 0) -> None:
        """Look at a frame, ``of`` so many where that is known, after ``builders`` have followed their faces into it."""
        if self._told is not None and of:
            self._told(min(1.0, (frame.index + 1) / of))
        if self._strip_due is not None and self._strip_due.due(frame.time_s):
            self._strip.append((frame.time_s, _small(frame.rgb())))
            if len(self._strip) > 2 * STRIP_FRAMES:
                self._strip, self._strip_due.step_s = self._strip[::2], 2 * self._strip_due.step_s
        if self._faces_due.due(frame.time_s) and builders:
            self._moments.append(_Moment(frame.index, tuple(_face(frame, builder) for builder in builders)))
            if sum(len(moment.faces) for moment in self._moments) > MAX_FACES:
                self._moments, self._faces_due.step_s = self._moments[::2], 2 * self._faces_due.step_s

    def filmstrip(self) -> list[tuple[float, NDArray[np.uint8]]]:
        """At most ``STRIP_FRAMES`` times and RGB frames [h, w, 3], evenly spread; ``w`` at most ``STRIP_WIDTH_PX``."""
        count = min(STRIP_FRAMES, len(self._strip))
        return [self._strip[int((n + 0.5) * len(self._strip) / count)] for n in range(count)]

    def with_faces(self, track: Track) -> Track:
        """The track with the recorded crops in place of its own; the background patches and embeddings are missing."""
        kept = [(sample, face) for moment in self._moments for sample, face in _of_track(moment, track)]
        faces = [face for _, face in kept]
        return replace(
            track,
            crop_index=np.array([sample for sample, _ in kept], np.int32),
            crop_box=np.array([face.window for face in faces], np.float32).reshape(-1, 3),
            crops=tuple(face.crop for face in faces),
            embedding=np.full((len(faces), DIMENSIONS), np.nan, np.float32),
            patch_face=tuple(face.patch for face in faces),
            patch_background=(EMPTY,) * len(faces),
        )


def _face(frame: Frame, builder: TrackBuilder) -> _Face:
    box = builder.box.copy()
    return _Face(box, *face_crop(frame, box), face_patch(frame.luma, box, builder.last_landmarks.mean(axis=0)))


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


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, STRIP_WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
