"""Cutting square crops out of frames: the one place where pixels are resampled."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class SquareCrop(NamedTuple):
    """A square crop window of whole pixels; it may reach over the frame's edge.

    Examples
    --------
    >>> window = SquareCrop(left=10, top=20, side=30)
    >>> window.cut(np.zeros((100, 100), np.uint8), 60).shape
    (60, 60)
    >>> window.to_crop(np.float32([[10, 20]]), 60)  # the centre of the window's first pixel
    array([[0.5, 0.5]], dtype=float32)
    """

    left: int
    top: int
    side: int

    @classmethod
    def around(cls, box: NDArray[np.float32], scale: float) -> SquareCrop:
        """The window concentric with a box, ``scale`` times its longer side."""
        side = max(8, round(float(max(box[2] - box[0], box[3] - box[1])) * scale))
        return cls(round(float(box[0] + box[2]) / 2 - side / 2), round(float(box[1] + box[3]) / 2 - side / 2), side)

    def cut(self, image: NDArray[np.uint8], size: int | None = None) -> NDArray[np.uint8]:
        """The window's pixels, resized to ``size`` px a side when given; beyond the edge the edge repeats."""
        height, width = image.shape[:2]
        right, bottom = self.left + self.side, self.top + self.side
        part = image[max(0, self.top) : max(0, bottom), max(0, self.left) : max(0, right)]
        if not part.size:
            part = np.zeros((1, 1, *image.shape[2:]), np.uint8)
        elif self.left < 0 or self.top < 0 or right > width or bottom > height:
            margins = (max(0, -self.top), max(0, bottom - height), max(0, -self.left), max(0, right - width))
            part = cv2.copyMakeBorder(part, *margins, cv2.BORDER_REPLICATE)
        if size is None or part.shape[:2] == (size, size):
            return np.ascontiguousarray(part)
        smaller = size < part.shape[0]
        if smaller and part.ndim == 2 and part.shape[0] == part.shape[1] and part.shape[0] % size:
            from extract.clip.area import reduced  # compiles

            return reduced(np.ascontiguousarray(part), size)
        return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

    def to_crop(self, points: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """Frame coordinates [..., 2] to those of the crop at ``size`` px (pixel centres map to centres)."""
        scale = size / self.side
        return ((points - (self.left, self.top) + 0.5) * scale - 0.5).astype(np.float32)

    def to_frame(self, points: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """The inverse of :meth:`to_crop`."""
        scale = self.side / size
        return ((points + 0.5) * scale - 0.5 + (self.left, self.top)).astype(np.float32)

    def fits(self, box: NDArray[np.float32], scale: float, *, slack: float) -> bool:
        """True while the window around ``box`` is within ``slack`` sides of this one, in place and in size."""
        wanted = SquareCrop.around(box, scale)
        shift = max(
            abs(wanted.left + wanted.side / 2 - self.left - self.side / 2),
            abs(wanted.top + wanted.side / 2 - self.top - self.side / 2),
        )
        return shift <= slack * self.side and abs(wanted.side - self.side) <= slack * self.side
