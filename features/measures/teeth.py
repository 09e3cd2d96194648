"""Teeth: where they show between open lips, and their texture against that of the cheeks.

All of it at the scale where the eyes are 60 px apart, or at the crop's own if they are nearer: large faces would
otherwise look smoother.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.measures.geometry import inter_ocular_distance, rescaled
from features.measures.laws_texture import laws_energies
from features.measures.outlines import inside_convex

IOD_PX, MIN_IOD_PX = 60.0, 40.0
INNER_LIPS = np.arange(60, 68)
MIN_OPEN = 0.15  # lip gap over the width of the mouth
MIN_TEETH_SHARE = 0.01  # of the open mouth
MIN_TEETH_PX = 20
MIN_CONTRAST = 20.0  # grey levels between the teeth and the rest of the mouth
CHEEK_IOD = 0.15  # radius of a disc of skin
MARGIN_PX = 16  # around mouth and cheeks, more than any filter reaches


@dataclass(frozen=True)
class Teeth:
    """Teeth of one frame."""

    area_share: float
    """Of the open mouth, 0 to 1."""
    laws: F64
    """[9] natural log of their texture energies; -inf where there is none."""
    ten: float
    """Natural log of Tenengrad, the mean of Gx^2 + Gy^2 (Sobel)."""
    over_skin: float
    """Mean difference of the log energies from those of the cheeks; NaN where one has none."""


def mouth_open(points: F64) -> float:
    """Gap of the inner lips over their width, of landmarks [68, 2]; NaN where the width is 0."""
    width = float(np.hypot(*(points[64] - points[60])))
    return float(np.hypot(*(points[66] - points[62]))) / width if width > 0 else np.nan


def brighter_part(values: F64) -> tuple[float, float]:
    """Threshold between the two clusters of grey levels [k], by 2-means, and the distance of their means.

    >>> brighter_part(np.array([10.0, 20.0, 100.0, 110.0]))
    (60.0, 90.0)
    """
    threshold, apart = float(values.mean()), 0.0
    for _ in range(20):
        high = values > threshold
        if not high.any() or high.all():
            break
        low_mean, high_mean = float(values[~high].mean()), float(values[high].mean())
        before, threshold, apart = threshold, (low_mean + high_mean) / 2.0, high_mean - low_mean
        if threshold == before:
            break
    return threshold, apart


def find_teeth(rgb: NDArray[np.float32], *, points: F64, skin: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float]:
    """Teeth [h, w] inside the inner lips, and their share of it.

    They are the brighter of two clusters of the least of the three channels, which is high where white, low where dark
    or red, and no more colourful than the skin: by luma alone, as published, the lower lip is often the brighter
    cluster. None are marked below 1 % of the mouth, 20 px, or 20 grey levels over the rest of it.

    Parameters
    ----------
    rgb : ndarray of shape (h, w, 3)
        Grey levels.
    points : ndarray of shape (68, 2)
        Landmarks in the same px.
    skin : ndarray of shape (h, w)
        True on the cheeks; anywhere.
    """
    mouth = inside_convex(points[INNER_LIPS], size=(rgb.shape[1], rgb.shape[0]))
    nothing = np.zeros_like(mouth)
    if mouth.sum() < MIN_TEETH_PX or not skin.any():
        return nothing, 0.0
    least, most = rgb.min(axis=2), rgb.max(axis=2)
    saturation = (most - least) / np.maximum(most, 1.0)
    threshold, apart = brighter_part(least[mouth].astype(np.float64))
    teeth = mouth & (least > threshold) & (saturation <= np.median(saturation[skin]))
    share = float(teeth.sum() / mouth.sum())
    visible = share >= MIN_TEETH_SHARE and teeth.sum() >= MIN_TEETH_PX and apart >= MIN_CONTRAST
    return (teeth, share) if visible else (nothing, 0.0)


def cheeks(points: F64, *, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Discs of skin [h, w] between nose wings and jaw, of landmarks [68, 2] in an image of width and height."""
    rows, columns = np.arange(size[1])[:, None], np.arange(size[0])[None]
    radius = CHEEK_IOD * float(inter_ocular_distance(points))
    skin = np.zeros(size[::-1], dtype=bool)
    for nose, jaw in ((31, 3), (35, 13)):
        x, y = points[[nose, jaw]].mean(axis=0)
        skin |= (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return skin


def reduced_mouth(crop: NDArray[np.uint8], *, points: F64) -> tuple[NDArray[np.float32], F64] | None:
    """RGB [h, w, 3] around mouth and cheeks, 60 px between the eyes or fewer, and the landmarks [68, 2] in it.

    None below 40 px, or where the window would leave the crop.

    Parameters
    ----------
    crop : ndarray of shape (s, s, 3)
        RGB.
    points : ndarray of shape (68, 2)
        Landmarks in px of the crop; NaN where lost.
    """
    distance = float(inter_ocular_distance(points))
    if not distance >= MIN_IOD_PX:
        return None
    full = crop.shape[0]
    side = min(full, round(full * IOD_PX / distance))
    placed = rescaled(points, side / full)
    around = placed[np.r_[3, 13, 31, 35, INNER_LIPS, 57]]
    low = np.floor(around.min(axis=0)).astype(int) - MARGIN_PX
    high = np.ceil(around.max(axis=0)).astype(int) + MARGIN_PX
    if low.min() < 0 or high.max() >= side:
        return None
    small = np.ascontiguousarray(crop)
    if side < full:
        small = cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA)
    return small[low[1] : high[1] + 1, low[0] : high[0] + 1].astype(np.float32), placed - low


def measure_teeth(crop: NDArray[np.uint8], *, points: F64) -> Teeth | None:
    """Measure the teeth that a crop shows; None where the mouth is shut, shows none, or is too small.

    Parameters
    ----------
    crop : ndarray of shape (s, s, 3)
        RGB.
    points : ndarray of shape (68, 2)
        Landmarks in px of the crop; NaN where lost.
    """
    if not mouth_open(points) > MIN_OPEN:
        return None
    mouth = reduced_mouth(crop, points=points)
    if mouth is None:
        return None
    rgb, placed = mouth
    skin = cheeks(placed, size=(rgb.shape[1], rgb.shape[0]))
    teeth, share = find_teeth(rgb, points=placed, skin=skin)
    if not teeth.any():
        return None
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float64)
    gx, gy = (cv2.Sobel(grey, cv2.CV_64F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        laws, on_skin = np.log(laws_energies(grey, regions=[teeth, skin]))
        over_skin = float((laws - on_skin).mean())
        ten = float(np.log((gx**2 + gy**2)[teeth].mean()))
    return Teeth(share, laws, ten, over_skin if np.isfinite(over_skin) else np.nan)
