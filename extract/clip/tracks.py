"""From detections to face tracks: one :class:`TrackBuilder` follows one face, :class:`Tracker` all of a clip.

A face is detected rarely and followed in between: optical flow carries the landmarks' box on, the landmark
predictor looks inside it, and the next detection confirms or ends the track. A cut ends every track.
Of more faces than are followed at a time, one that comes late and is much larger takes the place of the smallest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from extract.clip.crop_reservoir import CropReservoir
from extract.clip.faces import Face, iou, landmarks
from extract.clip.frame import Frame
from extract.clip.square_crop import SquareCrop
from features.observation import LANDMARK_SCALE, LANDMARK_SIDE_PX

MIN_IOU = 0.3  # minimum overlap of a detection with the box of its track (RECIPES, tracks)
MAX_FACES = 3  # tracked at the same time
LARGER = 1.5  # a face this many times the side of the smallest tracked face replaces it
DETECTION_PULL = 0.5  # fraction of the way from the carried box to a confirming detection
WINDOW_SLACK = 0.05  # the crop window stays while the box moves by less than this fraction of its side
# Sun et al. 2021, but for maxLevel, 3 there: of our square of 256 px that level would be 32 px, two windows wide
FLOW_WINDOW: dict[str, Any] = {"winSize": (15, 15), "maxLevel": 2, "criteria": (3, 10, 0.03)}
FLOW_MARGIN_PX = 24  # around the landmarks: motion from frame to frame, and the window
MAX_FLOW_GAP_PX = 2.0 * LANDMARK_SIDE_PX / 400  # forward-backward gap of a trusted point, Sun et al. 2021
MAX_MISSES = 2  # consecutive detections without the face that end its track
MIN_FLOW_SHARE = 0.3  # fraction of trusted points below which the detector runs again

Points = NDArray[np.float32]


@dataclass
class Samples:
    """The samples of a track, frame by frame."""

    frame_index: list[int] = field(default_factory=list)
    landmarks: list[Points] = field(default_factory=list)
    flow: list[Points] = field(default_factory=list)
    box: list[Points] = field(default_factory=list)
    detector_score: list[float] = field(default_factory=list)
    sharpness: list[Points] = field(default_factory=list)


class TrackBuilder:
    """Track one face from its first detection on."""

    def __init__(self, face: Face, *, frames_expected: int, frames_per_second: float = 0.0) -> None:
        self.box = np.array(face.box, np.float32)
        self.score = face.score
        self.samples = Samples()
        self.crops = CropReservoir(frames_expected, frames_per_second=frames_per_second)
        self.misses = 0
        self.confirmed = 0  # samples up to the last detection that met the face
        self.doubtful = False
        self._window = SquareCrop.around(self.box, LANDMARK_SCALE)
        self._patch: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.samples.frame_index)

    @property
    def side(self) -> float:
        """Longer side of the box in px."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @property
    def last_landmarks(self) -> Points:
        """Landmarks [68, 2] of the newest sample, px of the frame."""
        return self.samples.landmarks[-1]

    def follow(self, frame: Frame, previous: NDArray[np.uint8] | None) -> None:
        """Add the frame: carry the box by optical flow from the ``previous`` luma, then find the landmarks."""
        flow = np.full((68, 2), np.nan, np.float32)
        if len(self) and previous is not None:
            flow = self._flow(frame.luma, previous)
            moved = flow - self.last_landmarks
            trusted = np.isfinite(moved[:, 0])
            self.doubtful = bool(trusted.mean() < MIN_FLOW_SHARE)
            if not self.doubtful:
                self.box = self.box + np.tile(_median(moved[trusted]), 2)
        if not self._window.fits(self.box, LANDMARK_SCALE, slack=WINDOW_SLACK) or self._patch is None:
            self._window = SquareCrop.around(self.box, LANDMARK_SCALE)
            self._patch = self._window.cut(frame.luma, LANDMARK_SIDE_PX)
        corners = self._window.to_crop(self.box.reshape(2, 2), LANDMARK_SIDE_PX).ravel()
        points = self._window.to_frame(landmarks(self._patch, corners), LANDMARK_SIDE_PX)
        self._add(frame, points, flow, corners)

    def _flow(self, luma: NDArray[np.uint8], previous: NDArray[np.uint8]) -> Points:
        """Carry the last landmarks by optical flow, NaN where forward and backward flow disagree; update the patch."""
        if not self._window.fits(self.box, LANDMARK_SCALE, slack=WINDOW_SLACK) or self._patch is None:
            self._window = SquareCrop.around(self.box, LANDMARK_SCALE)
            self._patch = self._window.cut(previous, LANDMARK_SIDE_PX)
        old, new = self._patch, self._window.cut(luma, LANDMARK_SIDE_PX)
        start = self._window.to_crop(self.last_landmarks, LANDMARK_SIDE_PX)
        corner, region = _around(start)
        start, before, after = start - corner, old[region], new[region]
        ahead, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None, **FLOW_WINDOW)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, ahead, None, **FLOW_WINDOW)
        trusted = (found.ravel() == 1) & (found_back.ravel() == 1)
        trusted &= np.linalg.norm(back - start, axis=1) <= MAX_FLOW_GAP_PX
        self._patch = new
        arrived = self._window.to_frame(ahead + corner, LANDMARK_SIDE_PX)
        return np.where(trusted[:, None], arrived, np.nan).astype(np.float32)

    def _add(self, frame: Frame, points: Points, flow: Points, corners: Points) -> None:
        samples = self.samples
        samples.frame_index.append(frame.index)
        samples.landmarks.append(points)
        samples.flow.append(flow)
        samples.box.append(self.box.copy())
        samples.detector_score.append(self.score)
        samples.sharpness.append(self._sharpness(frame.luma, corners))

    def _sharpness(self, luma: NDArray[np.uint8], corners: Points) -> Points:
        assert self._patch is not None
        response = _sharpness_map(self._patch)
        left, top, right, bottom = np.clip(np.round(corners), 0, LANDMARK_SIDE_PX).astype(int)
        inside = response[top:bottom, left:right]
        face = cv2.mean(inside)[0] if inside.size else np.nan
        outside = response.size - inside.size
        ring = (cv2.mean(response)[0] * response.size - face * inside.size) / outside if outside else np.nan
        background = self.crops.background
        behind = cv2.mean(_sharpness_map(background.cut(luma)))[0] if background is not None else np.nan
        return np.array([face, ring, behind], np.float32)

    def confirm(self, face: Face) -> None:
        """Confirm the face by a detection, and pull its box towards the detector's box."""
        self.box = self.box + DETECTION_PULL * (np.array(face.box, np.float32) - self.box)
        self.score, self.misses, self.confirmed = face.score, 0, len(self)

    def miss(self) -> bool:
        """Count a detection without the face; return True when the track ends here."""
        self.misses += 1
        return self.misses >= MAX_MISSES


def _around(points: Points) -> tuple[Points, tuple[slice, slice]]:
    """Return left and top of the part of the landmark crop that optical flow needs, and the part itself."""
    least, most = 2 * FLOW_MARGIN_PX, LANDMARK_SIDE_PX
    low = [min(max(math.floor(v) - FLOW_MARGIN_PX, 0), most - least) for v in points.min(axis=0).tolist()]
    high = [
        min(max(math.ceil(v) + FLOW_MARGIN_PX, start + least), most)
        for v, start in zip(points.max(axis=0).tolist(), low, strict=True)
    ]
    return np.array(low, np.float32), (slice(low[1], high[1]), slice(low[0], high[0]))


def _median(points: Points) -> Points:
    """The median [2] of finite points [n, 2], one at least; ``np.median`` takes ten times as long for so few."""
    ordered = np.sort(points, axis=0)
    return (ordered[(len(points) - 1) // 2] + ordered[len(points) // 2]) / 2


def _sharpness_map(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.convertScaleAbs(cv2.Laplacian(image, cv2.CV_16S))


class Tracker:
    """Track all faces of a clip: pass every frame to the open tracks; detections confirm or open tracks."""

    def __init__(self, frames_expected: int, *, frames_per_second: float = 0.0) -> None:
        self._frames_expected, self._frames_per_second = frames_expected, frames_per_second
        self.open: list[TrackBuilder] = []
        self.closed: list[TrackBuilder] = []

    @property
    def doubtful(self) -> bool:
        """True when a track has lost its face since the last detection."""
        return any(builder.doubtful for builder in self.open)

    def cut(self) -> None:
        """End all tracks at a scene cut. Faces not missed since their last detection count to the end of the scene."""
        for builder in self.open:
            builder.confirmed = max(builder.confirmed, len(builder) if builder.misses == 0 else 0)
        self.closed += self.open
        self.open = []

    def detections(self, faces: list[Face]) -> None:
        """Assign each detection to the track that it overlaps most; open tracks for the others, end missed ones."""
        pairs = sorted(
            ((iou(face.box, builder.box), i, j) for i, face in enumerate(faces) for j, builder in enumerate(self.open)),
            reverse=True,
        )
        taken: dict[int, int] = {}
        for overlap, i, j in pairs:
            if overlap >= MIN_IOU and i not in taken and j not in taken.values():
                taken[i] = j
                self.open[j].confirm(faces[i])
        ended = [b for j, b in enumerate(self.open) if j not in taken.values() and b.miss()]
        self.closed += ended
        self.open = [builder for builder in self.open if builder not in ended]
        for face in sorted((face for i, face in enumerate(faces) if i not in taken), key=lambda face: -face.side):
            if len(self.open) < MAX_FACES or self._gives_way(face):
                self.open.append(
                    TrackBuilder(face, frames_expected=self._frames_expected, frames_per_second=self._frames_per_second)
                )

    def _gives_way(self, face: Face) -> bool:
        """Close the smallest open track in favour of a much larger face, unless a track just lost may be that face."""
        smallest = min(self.open, key=lambda builder: builder.side)
        if face.side <= LARGER * smallest.side or any(builder.misses for builder in self.open):
            return False
        self.closed.append(smallest)
        self.open = [builder for builder in self.open if builder is not smallest]
        return True

    def follow(self, frame: Frame, previous: NDArray[np.uint8] | None) -> None:
        """Pass a frame to every open track, then keep the crops that are due."""
        for builder in self.open:
            builder.follow(frame, previous)
            builder.confirmed = builder.confirmed or len(builder)
        faces = [SquareCrop.around(builder.box, LANDMARK_SCALE) for builder in self.open]
        for builder in self.open:
            sample = len(builder) - 1
            if builder.crops.wants(sample):
                centre = builder.last_landmarks.mean(axis=0)
                builder.crops.take(sample, frame, builder.box, centre, faces)

    def finish(self) -> list[TrackBuilder]:
        """Return all tracks of the clip, in the order in which they ended."""
        self.cut()
        return [builder for builder in self.closed if len(builder)]
