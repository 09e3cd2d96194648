"""Masks of convex outlines, such as the lids and the lips, exact to the pixel's centre and alike in a mirror."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64

ROUNDING = 1e-6  # square px: a centre on an edge counts as inside, also in a mirror image with other rounding errors


def inside_convex(outline: F64, *, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre lies inside an outline.

    Parameters
    ----------
    outline : ndarray of shape (p, 2)
        Corners in px, x right, y down, clockwise in the image. Of one that is not convex, what lies inside of every
        edge.
    size : (int, int)
        Width and height.

    Returns
    -------
    ndarray of shape (height, width)
        True inside, and on the edge.

    Examples
    --------
    >>> square = np.array([(1.0, 1.0), (3.0, 1.0), (3.0, 2.0), (1.0, 2.0)])
    >>> inside_convex(square, size=(5, 4)).sum(axis=1).tolist()
    [0, 3, 3, 0]
    """
    rows, columns = np.arange(size[1])[:, None], np.arange(size[0])[None]
    inside = np.ones(size[::-1], dtype=bool)
    for (x, y), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        inside &= (x2 - x) * (rows - y) - (y2 - y) * (columns - x) >= -ROUNDING
    return inside
