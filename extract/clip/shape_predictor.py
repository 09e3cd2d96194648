"""dlib's 68-point landmark predictor, run by compiled code of our own.

It is an ensemble of regression trees (Kazemi & Sullivan, "One millisecond face alignment with an ensemble of regression
trees", CVPR 2014): in each of 15 stages, 500 trees of depth 4 compare pixels around the present shape, and each tree
adds one of its leaves to the shape. dlib adds the numbers of a leaf one by one; compiled for the machine's vector
units, the same additions in the same order take a fifth of the time and give the same landmarks. The model is dlib's
file, unchanged.

dlib writes an integer as a byte that holds the number of bytes to follow, plus 128 if it is negative, and then those
bytes, the lowest first; a real number is two integers, mantissa and exponent of two.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled_code import compiled

N_POINTS = 68
N_STAGES, N_TREES, N_PIXELS = 15, 500, 500
DEPTH = 4
N_SPLITS, N_LEAVES = 2**DEPTH - 1, 2**DEPTH
POWERS = 2.0 ** np.arange(-256, 256)  # of two, as looked up; every number of single precision has one of them

F32 = NDArray[np.float32]


class ShapePredictor(NamedTuple):
    """The model. Shapes are in units of the face box: (0, 0) is its left top, (1, 1) its right bottom."""

    mean_shape: F32
    """[136] x, y, x, y, ..."""
    pairs: NDArray[np.int16]
    """[stages, trees, splits, 2] the two pixels that a split compares; the children of i are 2 i + 1 and 2 i + 2."""
    thresholds: F32
    """[stages, trees, splits] grey levels; left where the first pixel exceeds the second by more."""
    leaves: F32
    """[stages, trees, leaves, 136] what is added to the shape."""
    anchors: NDArray[np.int16]
    """[stages, pixels] the landmark that a pixel moves with."""
    offsets: F32
    """[stages, pixels, 2] where it lies from that landmark in the mean shape."""

    def __call__(self, image: NDArray[np.uint8], box: tuple[int, int, int, int]) -> F32:
        """Landmarks [68, 2] in whole px of the face in ``box`` (left, top, right, bottom) of a grey image [h, w]."""
        return _landmarks(np.ascontiguousarray(image), box, self)


def read(path: str) -> ShapePredictor:
    """The predictor in a file of dlib's.

    Raises
    ------
    ValueError
        The file holds no predictor of 68 points, or is damaged.
    """
    model = ShapePredictor(
        np.empty(2 * N_POINTS, np.float32),
        np.empty((N_STAGES, N_TREES, N_SPLITS, 2), np.int16),
        np.empty((N_STAGES, N_TREES, N_SPLITS), np.float32),
        np.empty((N_STAGES, N_TREES, N_LEAVES, 2 * N_POINTS), np.float32),
        np.empty((N_STAGES, N_PIXELS), np.int16),
        np.empty((N_STAGES, N_PIXELS, 2), np.float32),
    )
    data = _bytes_of(path)
    if (
        _fill(model, data) != len(data)
        or not _all_within(model.pairs, N_PIXELS)
        or not _all_within(model.anchors, N_POINTS)
    ):
        raise ValueError(f"{path} is no landmark predictor of dlib with {N_POINTS} points, or is damaged")
    return model


def _bytes_of(path: str) -> NDArray[np.uint8]:
    """A file's bytes, mapped and not copied: processes share the pages of a file of 100 MB."""
    if not os.path.getsize(path):  # nothing to map
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, "r"))


def _all_within(positions: NDArray[np.int16], n: int) -> bool:
    """Whether all are positions in an array of length ``n``: compiled code does not check them again."""
    return bool(positions.min() >= 0 and positions.max() < n)


@compiled
def _integer(data, at):  # type: ignore[no-untyped-def]  # numba finds the types, here and below
    """The integer at a position of the file, and the position behind it: one beyond the file if it is cut off."""
    if at + 5 > len(data) or data[at] & 15 > 4:
        return _integer_by_bytes(data, at)
    size = data[at] & 15
    low, high = (
        np.int64(data[at + 1]) | np.int64(data[at + 2]) << 8,
        np.int64(data[at + 3]) | np.int64(data[at + 4]) << 8,
    )
    value = (low | high << 16) & ((np.int64(1) << 8 * size) - 1)  # four bytes at once, without those that follow
    return (-value if data[at] & 128 else value), at + 1 + size


@compiled
def _integer_by_bytes(data, at):  # type: ignore[no-untyped-def]
    """As :func:`_integer`: of any size, and up to the file's end."""
    size = data[at] & 15 if at < len(data) else len(data)
    end = at + 1 + size
    if end > len(data):
        return 0, end
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(data[at + 1 + i]) << (8 * i)
    return (-value if data[at] & 128 else value), end


@compiled
def _real(data, at):  # type: ignore[no-untyped-def]
    """The real number at a position of the file, and the position behind it."""
    mantissa, at = _integer(data, at)
    exponent, at = _integer(data, at)
    known = -256 <= exponent < 256
    return np.float32(mantissa * (POWERS[exponent + 256] if known else 2.0**exponent)), at


@compiled
def _skip(data, at, expected):  # type: ignore[no-untyped-def]
    """The position behind integers that have to be the expected ones; beyond the file where they are not."""
    for number in expected:
        found, at = _integer(data, at)
        if found != number:
            return len(data) + 1
    return at


@compiled
def _fill(model, data):  # type: ignore[no-untyped-def]
    """Read the file into the model's arrays; the position where it ends, or beyond the file where it does not fit."""
    at = _skip(data, 0, (1, -2 * N_POINTS, -1))  # the version, rows and columns
    at = _fill_reals(model.mean_shape, data, at)
    at = _skip(data, at, (N_STAGES,))
    for stage in range(N_STAGES):
        at = _skip(data, at, (N_TREES,))
        for tree in range(N_TREES):
            at = _fill_tree(model, data, at, stage, tree)
            if at > len(data):
                return at
    at = _skip(data, at, (N_STAGES,))
    for stage in range(N_STAGES):
        at = _skip(data, at, (N_PIXELS,))
        for pixel in range(N_PIXELS):
            model.anchors[stage, pixel], at = _integer(data, at)
    at = _skip(data, at, (N_STAGES,))
    for stage in range(N_STAGES):
        at = _skip(data, at, (N_PIXELS,))
        at = _fill_reals(model.offsets[stage].reshape(2 * N_PIXELS), data, at)
    return at


@compiled
def _fill_tree(model, data, at, stage, tree):  # type: ignore[no-untyped-def]
    """Read one tree, splits and then leaves, into the model's arrays; the position behind it."""
    at = _skip(data, at, (N_SPLITS,))
    for split in range(N_SPLITS):
        model.pairs[stage, tree, split, 0], at = _integer(data, at)
        model.pairs[stage, tree, split, 1], at = _integer(data, at)
        model.thresholds[stage, tree, split], at = _real(data, at)
    at = _skip(data, at, (N_LEAVES,))
    for leaf in range(N_LEAVES):
        at = _skip(data, at, (-2 * N_POINTS, -1))
        at = _fill_reals(model.leaves[stage, tree, leaf], data, at)
    return at


@compiled
def _fill_reals(numbers, data, at):  # type: ignore[no-untyped-def]
    """Read real numbers that follow one another into an array; the position behind them."""
    for i in range(len(numbers)):
        numbers[i], at = _real(data, at)
    return at


@compiled
def _landmarks(image, box, model):  # type: ignore[no-untyped-def]
    """[68, 2] whole px: the mean shape, moved by every tree's leaf, stage by stage; pixels outside the image are 0."""
    left, top, right, bottom = box
    width, height = float(right - left), float(bottom - top)
    shape = model.mean_shape.copy()
    levels = np.empty(N_PIXELS, np.float32)
    reached = np.empty(N_TREES, np.int64)
    for stage in range(N_STAGES):
        cosine, sine = _similarity(model.mean_shape, shape)
        for pixel in range(N_PIXELS):
            dx, dy = model.offsets[stage, pixel, 0], model.offsets[stage, pixel, 1]
            anchor = 2 * model.anchors[stage, pixel]
            x = _pixel(cosine * dx - sine * dy + shape[anchor], width, left)
            y = _pixel(sine * dx + cosine * dy + shape[anchor + 1], height, top)
            inside = 0 <= x < image.shape[1] and 0 <= y < image.shape[0]
            levels[pixel] = image[y, x] if inside else 0
        for tree in range(N_TREES):
            reached[tree] = _leaf(levels, model.pairs[stage, tree], model.thresholds[stage, tree])
        for tree in range(N_TREES):
            leaf = model.leaves[stage, tree, reached[tree]]
            for i in range(2 * N_POINTS):
                shape[i] += leaf[i]
    points = np.empty((N_POINTS, 2), np.float32)
    for i in range(N_POINTS):
        points[i, 0] = _pixel(shape[2 * i], width, left)
        points[i, 1] = _pixel(shape[2 * i + 1], height, top)
    return points


@compiled
def _pixel(coordinate, side, start):  # type: ignore[no-untyped-def]
    """The whole px of a coordinate in units of the box, rounded as dlib does."""
    return int(np.floor(coordinate * side + start + 0.5))


@compiled
def _leaf(levels, pairs, thresholds):  # type: ignore[no-untyped-def]
    """Number of the leaf of a tree that grey levels [pixels] lead to."""
    node = 0
    for _ in range(DEPTH):
        above = levels[pairs[node, 0]] - levels[pairs[node, 1]] > thresholds[node]
        node = 2 * node + (1 if above else 2)
    return node - N_SPLITS


@compiled
def _similarity(start, end):  # type: ignore[no-untyped-def]
    """Least-squares similarity of one shape to another: cosine and sine of its rotation, times its scale.

    The closed form in the plane of what dlib solves by singular values (Umeyama, PAMI 13, 1991).
    """
    start_x, start_y = start[0::2].astype(np.float64), start[1::2].astype(np.float64)
    end_x, end_y = end[0::2].astype(np.float64), end[1::2].astype(np.float64)
    start_x, start_y = start_x - start_x.mean(), start_y - start_y.mean()
    end_x, end_y = end_x - end_x.mean(), end_y - end_y.mean()
    energy = (start_x**2 + start_y**2).sum()
    cosine = (start_x * end_x + start_y * end_y).sum() / energy
    sine = (start_x * end_y - start_y * end_x).sum() / energy
    return np.float32(cosine), np.float32(sine)
