"""Operations on faces that forgeries of images and of clips share: measure, align, match colours.

Landmarks are the 68 points of iBUG/dlib, [68, 2] in px of the image; images are RGB [h, w, 3], 0-255.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from features.measures.geometry import LEFT_EYE, RIGHT_EYE
from features.measures.geometry import similarity as fit_similarities

Image = NDArray[np.uint8]
Points = NDArray[np.float32]
Mask = NDArray[np.float32]
Matrix = NDArray[np.float64]

SPREAD_RATIO = (0.5, 2.0)  # limits of a channel's change of contrast: larger changes look broken
FLAT = 1.0  # added to standard deviations, grey levels: a flat region must not be stretched to noise


def to_bytes(levels: NDArray[np.floating]) -> Image:
    """Round grey levels of any shape and clip them to 0-255.

    With truncation, every forged face would be half a level darker than genuine ones.

    >>> to_bytes(np.array([-3.0, 99.7, 300.0])).tolist()
    [0, 100, 255]
    """
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def iod(points: Points) -> float:
    """Return the inter-ocular distance in px: between the centroids of the eyes of one face [68, 2].

    Computes in the landmarks' float32, whereas :func:`features.measures.geometry.inter_ocular_distance` (for whole
    tracks) uses float64: masks are scaled by the distance, and its last bit decides about pixels, so that training
    batches can be repeated bit for bit.
    """
    return float(np.linalg.norm(points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)))


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> Matrix:
    """Fit scale, rotation and shift from points [k, 2] to points [k, 2] by least squares.

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
    points, goal = (np.asarray(array, np.float64) for array in (source, target))
    rotation, centre, goal_centre = (fitted[0] for fitted in fit_similarities(points[None], target=goal))
    return np.column_stack([rotation.T, goal_centre - centre @ rotation])


def affine(source: Points, target: Points) -> Matrix:
    """Fit an affine map [2, 3] from points [k, 2] to points [k, 2] by least squares, for ``cv2.warpAffine``."""
    solution = np.linalg.lstsq(np.c_[source, np.ones(len(source))], target, rcond=None)[0]
    return np.asarray(solution.T, np.float64)


class Colour(NamedTuple):
    """Mean and standard deviation of the three CIELAB channels of a region, each [3], 8-bit levels."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]


def colour(image: Image, mask: NDArray[np.bool_] | None = None, *, flat: float = FLAT) -> Colour:
    """Return colour statistics of an image where ``mask`` [h, w] is True, or of all; adds ``flat`` to the spread."""
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
    """Change the mean and spread of an image's CIELAB channels (Reinhard et al. 2001).

    Parameters
    ----------
    image : ndarray of shape (h, w, 3)
        RGB, 0-255.
    own, wanted
        Statistics before and after, from :func:`colour`.
    strength
        From 0 (the image is unchanged) to 1 (the full change).
    limits
        Limits of the ratio of spreads.

    Returns
    -------
    ndarray of shape (h, w, 3)
        RGB, 0-255.
    """
    levels = np.arange(256, dtype=np.float32)[:, None]
    moved = (levels - own.mean) * np.clip(wanted.spread / own.spread, *limits) + wanted.mean
    table = to_bytes(strength * moved + (1 - strength) * levels)
    return cv2.cvtColor(cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), table[None]), cv2.COLOR_LAB2RGB)


def sharpened(image: Image, amount: float) -> Image:
    """Sharpen an image [h, w, 3] by unsharp masking: add ``amount`` times its difference to a Gaussian blur.

    The blur's standard deviation is 1 px. Levels are rounded and clipped to 0-255.
    """
    return cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), 1.0), -amount, 0)
