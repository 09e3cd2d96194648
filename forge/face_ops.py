"""What forgeries of images and of clips do alike to a face: measure it, fit one to another, match colours.

Landmarks are the 68 points of iBUG/dlib, [68, 2] in px of the image; images are RGB [h, w, 3], 0-255.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from features.geometry import LEFT_EYE, RIGHT_EYE
from features.geometry import similarity as fit_similarities

Image = NDArray[np.uint8]
Points = NDArray[np.float32]
Mask = NDArray[np.float32]
Matrix = NDArray[np.float64]

SPREAD_RATIO = (0.5, 2.0)  # limits of a channel's change of contrast: more looks broken
FLAT = 1.0  # added to standard deviations, grey levels: a flat region must not be stretched to noise


def to_bytes(levels: NDArray[np.floating]) -> Image:
    """Grey levels of any shape, rounded and clipped to 0-255.

    Cut off instead, every forged face would be half a level darker than genuine ones.

    >>> to_bytes(np.array([-3.0, 99.7, 300.0])).tolist()
    [0, 100, 255]
    """
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def iod(points: Points) -> float:
    """Inter-ocular distance in px: between the centroids of the two eyes of one face [68, 2].

    In the landmarks' own float32, where :func:`features.geometry.inter_ocular_distance` (for whole tracks) computes in
    float64: masks are scaled by it, and the last bit decides about pixels. A training batch repeats bit for bit.
    """
    return float(np.linalg.norm(points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)))


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> Matrix:
    """Least-squares scale, rotation and shift from points [k, 2] to points [k, 2].

    Returns
    -------
    ndarray of shape (2, 3)
        For ``cv2.warpAffine``: a point p goes to ``matrix[:, :2] @ p + matrix[:, 2]``. NaN where all points coincide.

    Examples
    --------
    >>> square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    >>> (similarity(square, 2 * square + (3, 4)) + 0.0).round(6).tolist()
    [[2.0, 0.0, 3.0], [0.0, 2.0, 4.0]]
    """
    points, goal = (np.asarray(one, np.float64) for one in (source, target))
    rotation, centre, goal_centre = (one[0] for one in fit_similarities(points[None], target=goal))
    return np.column_stack([rotation.T, goal_centre - centre @ rotation])


def affine(source: Points, target: Points) -> Matrix:
    """Least-squares affine map [2, 3] from points [k, 2] to points [k, 2], for ``cv2.warpAffine``."""
    solution = np.linalg.lstsq(np.c_[source, np.ones(len(source))], target, rcond=None)[0]
    return np.asarray(solution.T, np.float64)


class Colour(NamedTuple):
    """Mean and standard deviation of the three CIELAB channels of a region, each [3], 8-bit levels."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]


def colour(image: Image, mask: NDArray[np.bool_] | None = None, *, flat: float = FLAT) -> Colour:
    """Colour statistics of an image where ``mask`` [h, w] holds, or of all of it; ``flat`` is added to the spread."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    pixels = (lab.reshape(-1, 3) if mask is None else lab[mask]).astype(np.float32)
    return Colour(pixels.mean(axis=0), pixels.std(axis=0) + np.float32(flat))


def transfer_colour(
    image: Image,
    own: Colour,
    wanted: Colour,
    *,
    strength: float = 1.0,
    limits: tuple[float, float] = SPREAD_RATIO,
) -> Image:
    """The image with the mean and spread of its CIELAB channels moved (Reinhard et al. 2001).

    Parameters
    ----------
    image : ndarray of shape (h, w, 3)
        RGB, 0-255.
    own, wanted
        Statistics before and after, of :func:`colour`.
    strength
        0 leaves the image, 1 goes all the way.
    limits
        Of the ratio of spreads.

    Returns
    -------
    ndarray of shape (h, w, 3)
        RGB, 0-255.
    """
    levels = np.arange(256, dtype=np.float32)[:, None]
    moved = (levels - own.mean) * np.clip(wanted.spread / own.spread, *limits) + wanted.mean
    table = to_bytes(strength * moved + (1 - strength) * levels)
    return cv2.cvtColor(cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), table[None]), cv2.COLOR_LAB2RGB)


def sharpened(image: Image, amount: float, radius_px: float = 1.0) -> Image:
    """Unsharp masking of an image [h, w, 3]: ``amount`` times what a Gaussian blur takes away is added.

    ``radius_px`` is the blur's standard deviation. Levels are rounded and clipped to 0-255.
    """
    return cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), radius_px), -amount, 0)
