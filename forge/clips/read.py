"""Read files as clips: frames that are decoded on every iteration, the main face's landmarks, and audio.

Memory does not grow with the length of the clip, because frames are decoded again for every forgery.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from features.errors import DatasetError
from forge.clips.clip import RATE_HZ, EditableClip, Frames, Waveform
from forge.face_ops import Image, Points, iod

MAX_SIDE_PX = 960  # larger frames are reduced to the size that sites show
MAX_SECONDS = 10.0
DETECT_EVERY = 5  # frames between detections; the last box is used in between
CROP_PX = 256  # side of the grey square crop for the landmark predictor
CROP_SCALE = 1.6  # side of that crop relative to the face box
MIN_FACE_PX = 40.0
MAX_DOUBT_IOD = 0.08  # landmarks from two boxes whose mean distance is larger are wrong
MAX_TILT = 0.1  # change of tilt between frames, in radians, above which landmarks are measured again


def read_clip(
    path: Path | str,
    *,
    max_seconds: float = MAX_SECONDS,
    max_side: int = MAX_SIDE_PX,
    faces: bool = True,
) -> EditableClip:
    """Read a clip in any format that PyAV reads.

    Parameters
    ----------
    path
        Local file.
    max_seconds
        Length to read.
    max_side
        Longer side of frames in px; larger frames are reduced.
    faces
        Whether to measure landmarks (else all NaN).

    Raises
    ------
    features.errors.ClipError
        The file is not a video, or no frame can be decoded.
    """
    from extract.clip.decode import ClipReader

    times: list[float] = []
    landmarks: list[Points] = []
    with ClipReader(str(path), max_seconds=max_seconds) as file:
        follow = _Follower() if faces else None
        for frame in file.frames():
            times.append(frame.time_s)
            landmarks.append(follow.landmarks(_reduced(frame.luma, max_side)) if follow else _nowhere())
        audio, start_s = file.audio()
    times_s = np.array(times) - times[0]
    clip = EditableClip(
        Path(path).name,
        Frames(lambda: _frames(str(path), max_seconds, max_side)),
        times_s,
        np.stack(landmarks),
        None,
    )
    return clip if audio is None else clip.with_audio(_from_zero(audio, start_s - times[0]))


def _frames(path: str, max_seconds: float, max_side: int) -> Iterator[Image]:
    from extract.clip.decode import ClipReader

    with ClipReader(path, max_seconds=max_seconds) as file:
        for frame in file.frames():
            yield _reduced(frame.rgb(), max_side)


def _reduced(image: Image, max_side: int) -> Image:
    """Reduce an image to a longer side of at most ``max_side``, with even sides."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1.0:
        return even(image)
    size = (max(2, round(width * scale) & ~1), max(2, round(height * scale) & ~1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def even(image: Image) -> Image:
    """Return the image [h, w, 3] with even sides, as 4:2:0 needs them.

    A row or column is cut off, or repeated if it is the only one.
    """
    height, width = image.shape[:2]
    if min(height, width) < 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[: height & ~1, : width & ~1])


def _from_zero(audio: Waveform, late_s: float) -> Waveform:
    """Pad or cut audio that starts ``late_s`` after the video, so that both start together."""
    offset = round(late_s * RATE_HZ)
    return np.concatenate([np.zeros(offset, np.float32), audio]) if offset >= 0 else audio[-offset:]


def _nowhere() -> Points:
    return np.full((68, 2), np.nan, np.float32)


class _Follower:
    """Track landmarks of one face through a clip: the largest face at first, then the one nearest the last."""

    def __init__(self) -> None:
        from extract.clip.faces import FaceDetector

        self._detector = FaceDetector()
        self._box: tuple[float, float, float, float] | None = None
        self._last_middle: Points | None = None
        self._roll = 0.0
        self._count = 0

    def landmarks(self, grey: Image) -> Points:
        if self._count % DETECT_EVERY == 0 or self._box is None:
            self._detect(grey)
        self._count += 1
        if self._box is None:
            return _nowhere()
        points = _in_upright_crop(grey, self._box, self._roll)
        if abs(roll(points) - self._roll) > MAX_TILT:
            points = _in_upright_crop(grey, self._box, roll(points))
        self._roll = roll(points)
        again = _in_upright_crop(grey, _other_box(self._box), self._roll)
        doubt = float(np.linalg.norm(points - again, axis=1).mean()) / (iod(points) + 1e-6)
        self._follow(points)
        return ((points + again) / 2).astype(np.float32) if doubt < MAX_DOUBT_IOD else _nowhere()

    def _follow(self, points: Points) -> None:
        """Move the box with the face until the next detection."""
        middle = (points.min(0) + points.max(0)) / 2
        if self._last_middle is not None and self._box is not None:
            dx, dy = (middle - self._last_middle).tolist()
            self._box = (self._box[0] + dx, self._box[1] + dy, self._box[2] + dx, self._box[3] + dy)
        self._last_middle = middle

    def _detect(self, grey: Image) -> None:
        from extract.clip.faces import iou

        self._last_middle = None
        faces = [face for face in self._detector.detect(grey, thorough=self._count == 0) if face.side >= MIN_FACE_PX]
        if self._box is None:
            self._box = max(faces, key=lambda face: face.side).box if faces else None
            return
        last = self._box
        near = [face for face in faces if iou(face.box, last) > 0]
        self._box = max(near, key=lambda face: iou(face.box, last)).box if near else None


def _other_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return the box as another detector might return it: larger and lower."""
    side = box[2] - box[0]
    return (box[0] - 0.10 * side, box[1] - 0.02 * side, box[2] + 0.06 * side, box[3] + 0.14 * side)


def roll(points: Points) -> float:
    """Return the tilt of a face [68, 2] in radians, positive clockwise: of the line between the eyes."""
    across = points[42:48].mean(0) - points[36:42].mean(0)
    return float(np.arctan2(across[1], across[0]))


def _in_upright_crop(grey: Image, box: tuple[float, float, float, float], tilt: float) -> Points:
    """Measure landmarks of the face in an upright crop of fixed size, as the predictor was trained on."""
    from extract.clip.faces import landmarks

    side = max(box[2] - box[0], box[3] - box[1])
    zoom = CROP_PX / (side * CROP_SCALE)
    cos, sin = zoom * np.cos(tilt), zoom * np.sin(tilt)
    turn = np.array([[cos, sin], [-sin, cos]])
    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    shift = CROP_PX / 2 - turn @ middle
    crop = cv2.warpAffine(grey, np.c_[turn, shift], (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR)
    half = side * zoom / 2
    low, high = CROP_PX / 2 - half, CROP_PX / 2 + half
    in_crop = landmarks(crop, (low, low, high, high))
    return ((in_crop - shift) @ np.linalg.inv(turn).T).astype(np.float32)


def read_voice(path: Path) -> Waveform:
    """Read the audio [n] of any audio or video file with moviepy: mono at 16 kHz, -1 to 1.

    Raises
    ------
    features.errors.DatasetError
        The file has no audio that FFmpeg can read.
    """
    from moviepy import AudioFileClip

    try:
        with AudioFileClip(str(path), fps=RATE_HZ) as audio:
            samples = audio.to_soundarray(fps=RATE_HZ)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise DatasetError(f"{path}: has no readable audio ({type(error).__name__}); leave it out") from error
    return np.atleast_2d(samples.T).mean(0).astype(np.float32)
