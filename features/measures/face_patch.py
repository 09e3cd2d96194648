"""The face in luma at a fixed distance between the eyes, where a pixel is the same detail of every face."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.measures.geometry import inter_ocular_distance


def face_patch(crop: NDArray[np.uint8], *, points: F64, iod_px: float, side_px: int) -> NDArray[np.uint8] | None:
    """Return a luma patch around the landmarks of a crop, after reducing the crop to D = ``iod_px``.

    Parameters
    ----------
    crop : ndarray of shape (s, s, 3)
        RGB.
    points : ndarray of shape (68, 2)
        Landmarks in px of the crop; NaN where lost.
    iod_px : float
        D, the distance between the eyes in the reduced crop.
    side_px : int
        Side of the patch.

    Returns
    -------
    ndarray of shape (side_px, side_px) or None
        None if the face is lost, if D is already smaller, or if the reduced crop is smaller than the patch.
    """
    distance = float(inter_ocular_distance(points))
    if not distance >= iod_px:
        return None
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    scale = iod_px / distance
    side = round(grey.shape[0] * scale)
    if side < side_px:
        return None
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    centre = (points.mean(axis=0) + 0.5) * (side / grey.shape[0])  # from the crop's edge, so that mirrors agree
    left, top = np.clip(np.rint(centre - side_px / 2).astype(int), 0, side - side_px)
    return small[top : top + side_px, left : left + side_px]
