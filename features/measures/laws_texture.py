"""Texture energies (Laws 1980, "Rapid texture identification"): how strong edges, spots and ripples are in a region.

Four one-dimensional masks, level, edge, spot and ripple, give nine energies: of each pair, down and across, the two
orders averaged; and of edge, spot and ripple with themselves. The local mean comes off first.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F64

MASKS = {
    "l": np.array([1.0, 4.0, 6.0, 4.0, 1.0]),
    "e": np.array([-1.0, -2.0, 0.0, 2.0, 1.0]),
    "s": np.array([-1.0, 0.0, 2.0, 0.0, -1.0]),
    "r": np.array([1.0, -4.0, 6.0, -4.0, 1.0]),
}
ENERGIES = ("le", "ls", "lr", "es", "er", "sr", "ee", "ss", "rr")
MEAN_PX = 15  # side of the square whose mean comes off
ENERGY_PX = 11  # side of that over which the size of a response is averaged; odd, so that mirrors agree


def laws_energies(grey: NDArray, *, regions: Sequence[NDArray[np.bool_]]) -> F64:
    """Mean energies of regions.

    The size of the response to each pair of masks, averaged over 11 x 11 px around each pixel, then over the region.

    Parameters
    ----------
    grey : ndarray of shape (h, w)
        Grey levels.
    regions : sequence of k ndarrays of shape (h, w)
        True where they are; 15 px or more from the image's edge.

    Returns
    -------
    ndarray of shape (k, 9)
        In the order of :data:`ENERGIES`; 0 for a constant image, NaN for an empty region.

    Examples
    --------
    >>> everywhere = np.ones((64, 64), bool)
    >>> float(laws_energies(np.full((64, 64), 80.0), regions=[everywhere]).max())
    0.0
    """
    image = np.ascontiguousarray(grey, dtype=np.float32)
    rest = image - cv2.blur(image, (MEAN_PX, MEAN_PX))

    def response(across: str, down: str) -> NDArray:
        return np.abs(cv2.sepFilter2D(rest, cv2.CV_32F, MASKS[across], MASKS[down]))

    sizes = [response(a, b) if a == b else (response(a, b) + response(b, a)) / 2.0 for a, b in map(tuple, ENERGIES)]
    flat = np.stack(sizes).reshape(len(ENERGIES), -1).astype(np.float64)
    energies = np.full((len(regions), len(ENERGIES)), np.nan)
    for row, region in zip(energies, regions, strict=True):
        if region.any():  # averaging around each pixel first is weighting by the averaged region
            weight = cv2.blur(region.astype(np.float64), (ENERGY_PX, ENERGY_PX)).ravel()
            row[:] = flat @ weight / weight.sum()
    return energies
