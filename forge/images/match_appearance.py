"""Match the appearance of two faces of different clips, so that colour and sharpness do not reveal the label.

A REAL and a FAKE clip of different sources differ in light, white balance and softness without any forgery, and a
network that is trained on a few hundred clips learns these differences instead. One of the two images gets the other's
colour (mean and spread per channel in CIELAB: Reinhard et al. 2001, "Color transfer between images"), then the sharper
one is blurred until it is as soft as the other.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from forge.face_ops import Image, colour, transfer_colour

Box = NDArray[np.float32]

MEASURED_PX = 128  # faces are compared at this size
SPREAD_RATIO = (0.6, 1.6)  # narrower than a transplant's, because the whole image is recoloured
BLURS = (0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)  # standard deviations in px of ``MEASURED_PX``
TOLERANCE = 1.05  # of sharpness


def match_appearance(
    first: Image, box: Box, second: Image, other_box: Box, *, recolour_first: bool
) -> tuple[Image, Image]:
    """Return both RGB images [h, w, 3], one recoloured and one possibly blurred; sizes and boxes do not change.

    Parameters
    ----------
    first, second
        Images with a face.
    box, other_box : ndarray of shape (4,)
        Left, top, right, bottom of the faces in px; the images are compared inside these boxes.
    recolour_first
        True: the first image gets the colour of the second; False: the reverse.
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
    """Return the spread of the Laplacian over that of the grey levels of a face, at ``MEASURED_PX``; 0 if constant.

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
    # only the spread of this face is kept away from 0; that of the other face is the target, and is used as measured
    return transfer_colour(image, colour(_inside(image, box)), colour(like, flat=0.0), limits=SPREAD_RATIO)


def _softened(image: Image, box: Box, wanted: float) -> Image:
    """Blur an image by the smallest of :data:`BLURS` that reduces the face's sharpness to ``wanted``."""
    side = max(float(box[2] - box[0]), 8.0)
    blurred = image
    for blur in BLURS:
        blurred = cv2.GaussianBlur(image, (0, 0), blur * side / MEASURED_PX)
        if sharpness(blurred, box) <= wanted:
            break
    return np.asarray(blurred, np.uint8)
