"""Choose the faces of a track to keep as images: an evenly spread reservoir over a stream of unknown length."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extract.clip.frame import Frame
from extract.clip.square_crop import SquareCrop
from features.observation import CROP_MAX_PX, CROP_SCALE, CROPS_PER_TRACK, PATCH_SIDES_PX

EMPTY = np.empty((0, 0), np.uint8)
GRID_PX = 8  # patches keep the frame's own grid of coding blocks
SPARE = 4  # extra faces kept, since some turn out to be unusable
FIRST_STEP_S = 0.25  # initial spacing: closer neighbours look the same
GRID_STEPS = 5  # places per side of the grid on which the background patch is searched
BAR_LEVELS = 4  # above black: where all pixels of a frame's outermost rows or columns lie below, they are a black bar
BAR_EDGE_PX = 4  # of the scene beside a bar: scaling and coding blur the edge
BAR_LIT = 0.5  # of the scene along a bar is not black; less beside what is dark in the scene, as a stage


@dataclass
class CropRecord:
    """One kept face: the square crop, and native patches of face and background."""

    sample: int
    window: SquareCrop
    crop: NDArray[np.uint8]
    patch_face: NDArray[np.uint8]
    patch_background: NDArray[np.uint8]


class CropReservoir:
    """Keep faces of a track at even steps, which become longer with the track.

    A face that is there throughout the clip is kept every ``S`` samples, ``S`` being the clip's frames over the faces
    wanted. How long a face stays is not known before: a track starts with steps of ``S / m``, ``m`` a power of two.
    When more are kept than wanted, those between steps twice as long go, down to ``m`` = 1; beyond that, where the
    clip is longer than announced, every second goes when twice too many are kept. Memory is bounded and what is kept
    depends on the frames alone.

    Parameters
    ----------
    frames_expected
        Number of frames of the clip; 0 where unknown.
    frames_per_second
        Their rate, which bounds how fine the steps are; 0 where unknown.
    """

    def __init__(self, frames_expected: int, *, frames_per_second: float = 0.0) -> None:
        self._stride = self._whole_clip_stride = max(1, frames_expected // (CROPS_PER_TRACK + SPARE))
        self._parts = _parts(self._stride, frames_per_second)
        self._records: list[CropRecord] = []
        self.background: SquareCrop | None = None

    def wants(self, sample: int) -> bool:
        """Return whether to keep the track's ``sample``-th frame: the first at or after a multiple of the step."""
        return sample * self._parts % self._stride < self._parts

    def take(
        self, sample: int, frame: Frame, box: NDArray[np.float32], centre: NDArray[np.float32], faces: list[SquareCrop]
    ) -> None:
        """Keep the face in ``box`` [4]; ``centre`` [2] is its landmarks' centroid, ``faces`` all dilated faces.

        ``background``, the window whose sharpness is followed from frame to frame, changes at whole steps alone: how
        often it does so must not tell how long the face stays.
        """
        window, crop = face_crop(frame, box)
        face, background = native_luma_patch(frame.luma, box, centre), EMPTY
        if face.size:
            place = background_window(frame.luma, face.shape[0], like=face, avoid=faces, black=frame.levels[0])
            background = place.cut(frame.luma) if place else EMPTY
            if sample % self._whole_clip_stride == 0:
                self.background = place
        self._records.append(CropRecord(sample, window, crop, face, background))
        self._thin()

    def _thin(self) -> None:
        while self._parts > 1 and len(self._records) > CROPS_PER_TRACK + SPARE:
            self._parts //= 2
            self._records = [record for record in self._records if self.wants(record.sample)]
        if len(self._records) > 2 * CROPS_PER_TRACK:
            self._records, self._stride = self._records[::2], 2 * self._stride

    def chosen(self, usable: NDArray[np.bool_]) -> list[CropRecord]:
        """Return at most ``CROPS_PER_TRACK`` records, evenly spread over those at ``usable`` [m] samples."""
        good = [record for record in self._records if usable[record.sample]]
        if len(good) <= CROPS_PER_TRACK:
            return good
        positions = (np.arange(CROPS_PER_TRACK) + 0.5) * len(good) / CROPS_PER_TRACK
        return [good[int(position)] for position in positions]


def _parts(stride: int, frames_per_second: float) -> int:
    """Return the power of two that divides ``stride`` frames into steps near ``FIRST_STEP_S``, of a frame or more."""
    first = max(1.0, FIRST_STEP_S * frames_per_second)
    parts = 1 << max(0, round(math.log2(stride / first))) if frames_per_second else 1
    return parts if parts <= stride else parts // 2


def face_crop(frame: Frame, box: NDArray[np.float32]) -> tuple[SquareCrop, NDArray[np.uint8]]:
    """Return the crop window around a face box [4], and its RGB pixels [s, s, 3], reduced where it is large."""
    window = SquareCrop.around(box, CROP_SCALE)
    height, width = frame.luma.shape
    left, top = (min(max(0, start), most) for start, most in ((window.left, width), (window.top, height)))
    right, bottom = min(max(left, window.left + window.side), width), min(max(top, window.top + window.side), height)
    if left == right or top == bottom:  # the window is outside the frame
        return window, window.cut(frame.rgb(), min(window.side, CROP_MAX_PX))
    part = SquareCrop(window.left - left, window.top - top, window.side)
    return window, part.cut(frame.rgb_within(left, top, right, bottom), min(window.side, CROP_MAX_PX))


def native_luma_patch(
    luma: NDArray[np.uint8], box: NDArray[np.float32], centre: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Return native luma [p, p] about the landmarks' ``centre`` [2]; empty for a ``box`` [4] that is too small."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    patch = next((size for size in PATCH_SIDES_PX if side >= size), 0)
    if not patch:
        return EMPTY
    corner = [GRID_PX * round((float(middle) - patch / 2) / GRID_PX) for middle in centre]
    return SquareCrop(corner[0], corner[1], patch).cut(luma)


def background_window(
    luma: NDArray[np.uint8], side: int, *, like: NDArray[np.uint8], avoid: list[SquareCrop], black: int
) -> SquareCrop | None:
    """Return the window of ``side`` px off all faces with gradient energy nearest the face's; None without room.

    Black bars around the video are no background: their edges would count as its detail. ``black`` is the level of
    black.
    """
    lit = luma > black + BAR_LEVELS
    rows, columns = _within_bars(lit), _within_bars(lit.T)
    wanted = _energy(like)
    best: tuple[float, SquareCrop] | None = None
    for top in _places(rows.start, rows.stop - side):
        for left in _places(columns.start, columns.stop - side):
            window = SquareCrop(left, top, side)
            if any(_meet(window, face) for face in avoid):
                continue
            gap = abs(_energy(window.cut(luma)) - wanted)
            if best is None or gap < best[0]:
                best = (gap, window)
    return best[1] if best else None


def _within_bars(lit: NDArray[np.bool_]) -> slice:
    """Return the rows between the black bars at top and bottom, given which pixels [h, w] of a frame are not black.

    A bar has a straight edge, along which most of the scene is not black; black that ends otherwise is of the scene.
    """
    n_lit, n = lit.sum(axis=1), len(lit)
    rows = np.flatnonzero(n_lit)
    if not rows.size:
        return slice(0, 0)
    first, stop = int(rows[0]), int(rows[-1]) + 1
    is_edge = n_lit >= BAR_LIT * np.count_nonzero(lit.any(axis=0))
    top = first > 0 and is_edge[first : first + BAR_EDGE_PX].any()
    bottom = stop < n and is_edge[stop - BAR_EDGE_PX : stop].any()
    return slice(first + BAR_EDGE_PX if top else 0, stop - BAR_EDGE_PX if bottom else n)


def _places(first: int, last: int) -> list[int]:
    """Return evenly spread positions from ``first`` to ``last`` on the block grid; none where no window fits."""
    start = -(-first // GRID_PX) * GRID_PX
    if last < start:
        return []
    return sorted({GRID_PX * int(place // GRID_PX) for place in np.linspace(start, last, GRID_STEPS)})


def _energy(patch: NDArray[np.uint8]) -> float:
    image = patch.astype(np.float32)
    return float(np.log1p(np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean()))


def _meet(a: SquareCrop, b: SquareCrop) -> bool:
    return a.left < b.left + b.side and b.left < a.left + a.side and a.top < b.top + b.side and b.top < a.top + a.side
