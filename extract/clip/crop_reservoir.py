"""Which faces of a track are kept as images: a reservoir spread evenly over a stream of unknown length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extract.clip.frame import Frame
from extract.clip.square_crop import SquareCrop
from features.observation import CROP_MAX_PX, CROP_SCALE, CROPS_PER_TRACK, PATCH_SIDES_PX

EMPTY = np.empty((0, 0), np.uint8)
GRID_PX = 8  # patches keep the frame's own grid of coding blocks
SPARE = 4  # faces kept above those wanted: some turn out to be unusable
GRID_STEPS = 5  # the background patch is sought on a grid of so many places a side


@dataclass
class CropRecord:
    """One kept face: the square crop, and native patches of face and background."""

    sample: int
    window: SquareCrop
    crop: NDArray[np.uint8]
    patch_face: NDArray[np.uint8]
    patch_background: NDArray[np.uint8]


class CropReservoir:
    """Keeps every ``stride``-th sample of a track; when twice too many are kept, every second goes.

    Memory is bounded and what is kept depends on the frames alone, however long the clip turns out to be.
    """

    def __init__(self, frames_expected: int) -> None:
        self._stride = max(1, frames_expected // (CROPS_PER_TRACK + SPARE))
        self._records: list[CropRecord] = []
        self.background: SquareCrop | None = None

    def wants(self, sample: int) -> bool:
        """True when the track's ``sample``-th frame should be kept."""
        return sample % self._stride == 0

    def take(
        self, sample: int, frame: Frame, box: NDArray[np.float32], centre: NDArray[np.float32], faces: list[SquareCrop]
    ) -> None:
        """Keep the face in ``box`` [4]; ``centre`` [2] is its landmarks' centroid, ``faces`` all dilated faces."""
        window, crop = face_crop(frame, box)
        face, background = native_luma_patch(frame.luma, box, centre), EMPTY
        if face.size:
            self.background = background_window(frame.luma, face.shape[0], like=face, avoid=faces)
            background = self.background.cut(frame.luma) if self.background else EMPTY
        self._records.append(CropRecord(sample, window, crop, face, background))
        if len(self._records) > 2 * CROPS_PER_TRACK:
            self._records, self._stride = self._records[::2], 2 * self._stride

    def chosen(self, usable: NDArray[np.bool_]) -> list[CropRecord]:
        """At most ``CROPS_PER_TRACK`` records, evenly spread over those at ``usable`` [m] samples."""
        good = [record for record in self._records if usable[record.sample]]
        if len(good) <= CROPS_PER_TRACK:
            return good
        positions = (np.arange(CROPS_PER_TRACK) + 0.5) * len(good) / CROPS_PER_TRACK
        return [good[int(position)] for position in positions]


def face_crop(frame: Frame, box: NDArray[np.float32]) -> tuple[SquareCrop, NDArray[np.uint8]]:
    """The crop window around a face box [4], and its RGB pixels [s, s, 3], reduced where it is large."""
    window = SquareCrop.around(box, CROP_SCALE)
    height, width = frame.luma.shape
    left, top = (min(max(0, start), most) for start, most in ((window.left, width), (window.top, height)))
    right, bottom = min(max(left, window.left + window.side), width), min(max(top, window.top + window.side), height)
    if left == right or top == bottom:  # nothing of it is in the frame
        return window, window.cut(frame.rgb(), min(window.side, CROP_MAX_PX))
    part = SquareCrop(window.left - left, window.top - top, window.side)
    return window, part.cut(frame.rgb_within(left, top, right, bottom), min(window.side, CROP_MAX_PX))


def native_luma_patch(
    luma: NDArray[np.uint8], box: NDArray[np.float32], centre: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Native luma [p, p] about the landmarks' ``centre`` [2]; empty where the face's ``box`` [4] is too small."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    patch = next((size for size in PATCH_SIDES_PX if side >= size), 0)
    if not patch:
        return EMPTY
    corner = [GRID_PX * round((float(middle) - patch / 2) / GRID_PX) for middle in centre]
    return SquareCrop(corner[0], corner[1], patch).cut(luma)


def background_window(
    luma: NDArray[np.uint8], side: int, *, like: NDArray[np.uint8], avoid: list[SquareCrop]
) -> SquareCrop | None:
    """The crop window of ``side`` px off every face whose gradient energy is nearest the face's; None without room."""
    height, width = luma.shape
    wanted = _energy(like)
    best: tuple[float, SquareCrop] | None = None
    for top in _places(height - side):
        for left in _places(width - side):
            window = SquareCrop(left, top, side)
            if any(_meet(window, face) for face in avoid):
                continue
            gap = abs(_energy(window.cut(luma)) - wanted)
            if best is None or gap < best[0]:
                best = (gap, window)
    return best[1] if best else None


def _places(last: int) -> list[int]:
    """Some places from 0 to ``last``, on the block grid; none where the window does not fit."""
    if last < 0:
        return []
    return sorted({GRID_PX * int(place // GRID_PX) for place in np.linspace(0, last, GRID_STEPS)})


def _energy(patch: NDArray[np.uint8]) -> float:
    image = patch.astype(np.float32)
    return float(np.log1p(np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean()))


def _meet(a: SquareCrop, b: SquareCrop) -> bool:
    return a.left < b.left + b.side and b.left < a.left + a.side and a.top < b.top + b.side and b.top < a.top + a.side
