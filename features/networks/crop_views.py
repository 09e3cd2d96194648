"""How a face crop is shown to a network: the middle of the crop, framed wider or closer, and perhaps mirrored."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from features.measures.geometry import rescaled
from features.observation import CROP_SCALE


class View(NamedTuple):
    """How a crop is shown to a network: side of its middle over the usual one, and whether mirrored."""

    zoom: float = 1.0
    mirrored: bool = False


VIEWS = (
    View(0.96), View(1.04, mirrored=True), View(0.88), View(1.12, mirrored=True),
    View(1.04), View(0.96, mirrored=True), View(1.12), View(0.88, mirrored=True),
)  # fmt: skip
"""Views of the crops that a batch run scores, used in turn; within the range of framings in training."""


def in_view(crop: NDArray[np.uint8], view: View, *, margin: float, size: int) -> NDArray[np.uint8]:
    """Return the middle of an observed crop in a view; other parameters as in :func:`middle`."""
    image = middle(crop, margin=margin * view.zoom, size=size)
    return np.ascontiguousarray(image[:, ::-1]) if view.mirrored else image


def middle(crop: NDArray[np.uint8], *, margin: float, size: int) -> NDArray[np.uint8]:
    """Return the middle of one observed crop, as the network's training cuts it.

    Parameters
    ----------
    crop
        RGB [s, s, 3], ``CROP_SCALE`` times as wide as the face box.
    margin
        Wanted side over the longer side of the face box, at most ``CROP_SCALE``.
    size
        Wanted side of the network's input in px.

    Returns
    -------
    ndarray
        [size, size, 3].
    """
    start, side = _middle_of(crop.shape[0], margin)
    part = crop[start : start + side, start : start + side]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if size < side else cv2.INTER_LINEAR)


def middle_points(points: NDArray[np.floating], crop_side: int, *, margin: float, size: int) -> NDArray[np.float64]:
    """Map points [n, 2] in px of an observed crop to px of its :func:`middle`; pixel centres map to centres.

    >>> middle_points(np.array([[31.5, 31.5]]), 64, margin=1.25, size=128).tolist()
    [[63.5, 63.5]]
    """
    start, side = _middle_of(crop_side, margin)
    return rescaled(np.asarray(points, np.float64) - start, size / side)


def _middle_of(crop_side: int, margin: float) -> tuple[int, int]:
    """Return the first pixel and the side of the middle of a crop."""
    side = round(crop_side * (margin / CROP_SCALE))
    return (crop_side - side) // 2, side
