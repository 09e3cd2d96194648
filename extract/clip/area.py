"""Area resampling of a square grey image: the pixels of OpenCV's INTER_AREA, in a quarter of the time.

Where one side is no multiple of the other, OpenCV weights pixel by pixel. Compiled row by row, first across and then
down, with the same weights added in the same order, the result is identical.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from features.compiled_code import compiled

NEGLIGIBLE = 1e-3  # part of a pixel that OpenCV leaves out

Weights = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]


def reduced(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A grey image [n, n] reduced to [side, side]; ``side`` is less than n."""
    weights = _weights(len(image), side)
    across = _weighted_sums(cv2.transpose(image), side, *weights)
    return _rounded(_weighted_sums(cv2.transpose(across), side, *weights))


@functools.lru_cache(maxsize=256)
def _weights(n: int, side: int) -> Weights:
    """Three arrays of one length: an output pixel, an input pixel that it covers in part, and that one's weight."""
    entries: list[tuple[int, int, float]] = []
    scale = 1.0 / (side / n)
    for pixel in range(side):
        start = pixel * scale
        end, width = start + scale, min(scale, n - start)
        last = min(math.floor(end), n - 1)
        first = min(math.ceil(start), last)
        if first - start > NEGLIGIBLE:
            entries.append((pixel, first - 1, (first - start) / width))
        entries += [(pixel, part, 1.0 / width) for part in range(first, last)]
        if end - last > NEGLIGIBLE:
            entries.append((pixel, last, min(end - last, 1.0, width) / width))
    pixels, parts, shares = zip(*entries, strict=True)
    return np.array(pixels, np.int32), np.array(parts, np.int32), np.array(shares, np.float32)


@compiled
def _weighted_sums(rows, side, pixels, parts, shares):  # type: ignore[no-untyped-def]  # numba finds the types
    """Rows [n, m] to [side, m]: weighted sums of rows."""
    sums = np.zeros((side, rows.shape[1]), np.float32)
    for k in range(len(pixels)):
        row, total, share = rows[parts[k]], sums[pixels[k]], shares[k]
        for i in range(len(row)):
            total[i] += np.float32(row[i]) * share
    return sums


@compiled
def _rounded(levels):  # type: ignore[no-untyped-def]
    """Grey levels as bytes, rounded half to even, at most 255."""
    rounded = np.empty(levels.shape, np.uint8)
    for y in range(levels.shape[0]):
        row, out = levels[y], rounded[y]
        for i in range(len(row)):
            out[i] = np.uint8(min(255, np.int32(np.rint(row[i]))))
    return rounded
