"""Native luma patches: grey levels of coded values, noise, and the steps at a codec's blocks of 8 px.

Noise after Immerkaer 1996, "Fast noise variance estimation": the difference of two Laplacians, which constant and
linear shading leave at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F64

IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)
IMMERKAER_GAIN = 6.0  # root of the sum of its squares
TILE = 16
FLAT_SIGMA_PX = 2.0  # smoothing before places are ranked, so that flatness is not smallness of the noise itself
BLOCK_PX = 8  # side of the blocks of JPEG and of most video codecs' transforms


def grey_levels(patches: Sequence[NDArray[np.uint8]], *, luma_levels: tuple[int, int]) -> list[F64]:
    """Luma patches [p, p] from black, 0, to white, 255, whose coded values are ``luma_levels``; empty ones stay so.

    >>> grey_levels([np.array([[16, 235]], np.uint8)], luma_levels=(16, 235))[0].tolist()
    [[0.0, 255.0]]
    """
    black, white = luma_levels
    return [(patch.astype(np.float64) - black) * (255 / (white - black)) for patch in patches]


def filtered(image: F64, kernel: F64) -> F64:
    """Response of a 3 x 3 kernel where it lies inside the image [h, w]: [h - 2, w - 2]."""
    return cv2.filter2D(image, cv2.CV_64F, kernel)[1:-1, 1:-1]


def noise_imm(luma: F64) -> float:
    """Noise sd in grey levels of [h, w] (Immerkaer 1996): mean absolute response of the difference of two Laplacians.

    ``sqrt(pi/2) / 6 * mean |N|``; fine texture counts as noise.
    """
    return float(np.sqrt(np.pi / 2.0) / IMMERKAER_GAIN * np.abs(filtered(luma, IMMERKAER)).mean())


def noise_mad(luma: F64) -> float:
    """Noise sd in grey levels of [h, w] that edges do not raise: median of Immerkaer's over the flattest half of tiles.

    Tiles are 16 x 16 px. A median over the pixels themselves would come in steps of 0.25, since 8-bit luma gives whole
    responses.
    """
    response = np.abs(filtered(luma, IMMERKAER))
    smooth = cv2.GaussianBlur(luma, (0, 0), FLAT_SIGMA_PX)[1:-1, 1:-1]
    rough, loud = (_tiles(x) for x in (smooth, response))
    spread = rough.std(axis=1)
    calm = loud[spread <= np.median(spread)].mean(axis=1)
    return float(np.sqrt(np.pi / 2.0) / IMMERKAER_GAIN * np.median(calm))


def _tiles(x: F64) -> F64:
    """Whole 16 x 16 tiles around the middle, one a row: the same tiles in a mirrored image."""
    rows, columns = (size // TILE for size in x.shape)
    top, left = (x.shape[0] - rows * TILE) // 2, (x.shape[1] - columns * TILE) // 2
    cut = x[top : top + rows * TILE, left : left + columns * TILE]
    return cut.reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(-1, TILE * TILE)


def block_steps(luma: NDArray[np.floating[Any]], *, axis: int) -> NDArray[np.floating[Any]]:
    """Mean absolute step from a pixel of [h, w] to the next along an axis, by the pixel's position modulo 8: [8].

    One of the eight stands out where blocks begin behind it.

    >>> block_steps(np.repeat([[0.0, 1.0, 0.0]], 8, axis=1), axis=1).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    """
    steps = np.abs(np.diff(luma, axis=axis)).mean(axis=1 - axis)
    return np.array([steps[k::BLOCK_PX].mean() for k in range(BLOCK_PX)])
