"""Files to clips: frames decoded anew each time, the main face's landmarks found once, the sound.

Memory does not grow with the clip: frames are decoded again for every forgery made of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from forge.clip import Clip, Frames, Image, Points, Sound

MAX_SIDE_PX = 960  # larger frames are reduced: forgeries are made at the size that sites show
MAX_SECONDS = 10.0
DETECT_EVERY = 5  # frames between two detections; the last box serves in between
SQUARE_PX = 256  # side of the grey square that the landmark predictor sees
SQUARE_SCALE = 1.6  # that square's side over the face box's
MIN_FACE_PX = 40.0


def read_clip(
    path: Path | str,
    *,
    max_seconds: float = MAX_SECONDS,
    max_side: int = MAX_SIDE_PX,
    faces: bool = True,
) -> Clip:
    """A clip of any format that PyAV reads.

    Parameters
    ----------
    path
        Local file.
    max_seconds
        What comes later is left out.
    max_side
        Longer side of the frames in px; larger ones are reduced.
    faces
        Whether to look for landmarks (else all NaN).

    Raises
    ------
    features.errors.ClipError
        The file is no video, or not a frame of it can be decoded.
    """
    from extract.decode import Clip as File

    times: list[float] = []
    found: list[Points] = []
    with File(str(path), max_seconds=max_seconds) as file:
        follow = _Follower() if faces else None
        for frame in file.frames():
            times.append(frame.time_s)
            found.append(follow.landmarks(_reduced(frame.luma, max_side)) if follow else _nowhere())
        sound, start_s = file.audio()
    times_s = np.array(times) - times[0]
    clip = Clip(
        Path(path).name,
        Frames(lambda: _frames(str(path), max_seconds, max_side)),
        times_s,
        np.stack(found),
        None,
    )
    return clip if sound is None else clip.with_sound(_from_zero(sound, start_s - times[0]))


def _frames(path: str, max_seconds: float, max_side: int) -> Iterator[Image]:
    from extract.decode import Clip as File

    with File(path, max_seconds=max_seconds) as file:
        for frame in file.frames():
            yield _reduced(frame.rgb(), max_side)


def _reduced(image: Image, max_side: int) -> Image:
    """The image with its longer side at most ``max_side`` and both sides even (4:2:0 needs it)."""
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = (max(2, round(width * scale) & ~1), max(2, round(height * scale) & ~1))
    if scale == 1.0:
        return np.ascontiguousarray(image[: size[1], : size[0]])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _from_zero(sound: Sound, late_s: float) -> Sound:
    """Sound that starts ``late_s`` after the picture, filled or cut to start with it."""
    from forge.clip import RATE_HZ

    offset = round(late_s * RATE_HZ)
    return np.concatenate([np.zeros(offset, np.float32), sound]) if offset >= 0 else sound[-offset:]


def _nowhere() -> Points:
    return np.full((68, 2), np.nan, np.float32)


class _Follower:
    """Landmarks of one face through a clip: the largest at first, then the one nearest the last."""

    def __init__(self) -> None:
        from extract.faces import FaceDetector

        self._detector = FaceDetector()
        self._box: tuple[float, float, float, float] | None = None
        self._count = 0

    def landmarks(self, grey: Image) -> Points:
        if self._count % DETECT_EVERY == 0 or self._box is None:
            self._detect(grey)
        self._count += 1
        if self._box is None:
            return _nowhere()
        return _in_square(grey, self._box)

    def _detect(self, grey: Image) -> None:
        from extract.faces import iou

        found = [f for f in self._detector.detect(grey, thorough=self._count == 0) if f.side >= MIN_FACE_PX]
        if self._box is None:
            self._box = max(found, key=lambda face: face.side).box if found else None
            return
        last = self._box
        near = [face for face in found if iou(face.box, last) > 0]
        self._box = max(near, key=lambda face: iou(face.box, last)).box if near else None


def _in_square(grey: Image, box: tuple[float, float, float, float]) -> Points:
    """Landmarks found at a fixed size of face, so that their jitter does not grow with the frame."""
    from extract.faces import landmarks

    side = max(box[2] - box[0], box[3] - box[1]) * SQUARE_SCALE
    zoom = SQUARE_PX / side
    left, top = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2
    matrix = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])
    square = cv2.warpAffine(grey, matrix, (SQUARE_PX, SQUARE_PX), flags=cv2.INTER_LINEAR)
    inner = tuple((v - o) * zoom for v, o in zip(box, (left, top, left, top), strict=True))
    return landmarks(square, inner) / np.float32(zoom) + np.array([left, top], np.float32)


def read_voice(path: Path) -> Sound:
    """The sound of any audio or video file, mono at 16 kHz, by moviepy.

    Raises
    ------
    features.errors.DatasetError
        The file holds no sound that FFmpeg can read.
    """
    from moviepy import AudioFileClip

    from features.errors import DatasetError
    from forge.clip import RATE_HZ

    try:
        with AudioFileClip(str(path), fps=RATE_HZ) as audio:
            samples = audio.to_soundarray(fps=RATE_HZ)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise DatasetError(f"{path}: no sound that can be read ({type(error).__name__}); leave it out") from error
    return np.atleast_2d(samples.T).mean(0).astype(np.float32)
