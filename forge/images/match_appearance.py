"""Match the appearance of two faces of different clips: neither colour nor sharpness can then serve as the label.

A REAL and a FAKE of different sources differ in light, white balance and softness before anything is forged;
a network that learns from a few hundred clips takes these for the forgery. One of the two is given the other's
colour (mean and spread per channel in CIELAB: Reinhard et al. 2001, "Color transfer between images"), then
the sharper one is blurred until it is as soft as the other.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from forge.face_ops import Image, colour, transfer_colour

Box = NDArray[np.float32]

MEASURED_PX = 128  # faces are compared at this size
SPREAD_RATIO = (0.6, 1.6)  # narrower than a transplant's: the whole image is recoloured, not a masked part of it
BLURS = (0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)  # standard deviations in px of ``MEASURED_PX``
TOLERANCE = 1.05  # of sharpness


def match_appearance(
    first: Image, box: Box, second: Image, other_box: Box, *, recolour_first: bool
) -> tuple[Image, Image]:
    """Both images [h, w, 3], RGB, one recoloured and one perhaps blurred; sizes and boxes stay.

    Parameters
    ----------
    first, second
        Images with a face.
    box, other_box : ndarray of shape (4,)
        Left, top, right, bottom of the faces in px; they are compared inside these.
    recolour_first
        Which of the two takes the colour of the other.
    """
    if recolour_first:
        first = _recoloured(first, box, like=_inside(second, other_box))
    else:
        second = _recoloured(second, other_box, like=_inside(first, box))
    softness = sharpness(first, box), sharpness(second, other_box)
    if softness[0] > TOLERANCE * softness[1]:
        first = _softened(first, box, softness[1])
    elif softness[1] > TOLERANCE * softness[0]:
        second = _softened(second, other_box, softness[0])
    return first, second


def sharpness(image: Image, box: Box) -> float:
    """Spread of the Laplacian over the spread of the grey levels of a face, at ``MEASURED_PX``; 0 where all are equal.

    ``box`` [4] is left, top, right, bottom in px of the image [h, w, 3].
    """
    grey = cv2.cvtColor(_inside(image, box), cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (MEASURED_PX, MEASURED_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / (grey.std() + 5.0))


def _inside(image: Image, box: Box) -> Image:
    left, top, right, bottom = np.round(box).astype(int)
    part = image[max(0, top) : max(bottom, top + 2, 2), max(0, left) : max(right, left + 2, 2)]
    return part if part.size else image


def _recoloured(image: Image, box: Box, *, like: Image) -> Image:
    # only the face's own spread is kept from 0: the other's is the goal, and stays as measured
    return transfer_colour(image, colour(_inside(image, box)), colour(like, flat=0.0), limits=SPREAD_RATIO)


def _softened(image: Image, box: Box, wanted: float) -> Image:
    """The image blurred by the least of :data:`BLURS` that brings the face's sharpness to ``wanted``."""
    side = max(float(box[2] - box[0]), 8.0)
    blurred = image
    for blur in BLURS:
        blurred = cv2.GaussianBlur(image, (0, 0), blur * side / MEASURED_PX)
        if sharpness(blurred, box) <= wanted:
            break
    return np.asarray(blurred, np.uint8)
