"""A grey square is reduced as OpenCV reduces it, pixel for pixel."""

import cv2
import numpy as np
import pytest

from extract.clip.area import reduced
from extract.clip.square_crop import SquareCrop


@pytest.mark.parametrize("n", [257, 258, 300, 311, 383, 400, 511, 513, 640, 769, 1080])
def test_the_pixels_are_those_of_opencv(n):
    rng = np.random.default_rng(n)
    for image in (rng.integers(0, 256, (n, n), dtype=np.uint8), np.full((n, n), 255, np.uint8)):
        np.testing.assert_array_equal(reduced(image, 256), cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize(("n", "side"), [(9, 8), (100, 7), (64, 63), (24, 1)])
def test_other_sides_too(n, side):
    image = np.random.default_rng(n).integers(0, 256, (n, n), dtype=np.uint8)
    np.testing.assert_array_equal(reduced(image, side), cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))


def test_the_mean_stays():
    image = np.random.default_rng(1).integers(0, 256, (300, 300), dtype=np.uint8)
    assert reduced(image, 256).mean() == pytest.approx(image.mean(), abs=0.1)


@pytest.mark.parametrize("side", [200, 255, 256, 257, 311, 512])
@pytest.mark.parametrize("corner", [0, 40, -60])
def test_a_window_is_cut_as_opencv_would(side, corner):
    frame = np.random.default_rng(side).integers(0, 256, (500, 600), dtype=np.uint8)
    window = SquareCrop(corner, corner, side)
    smaller = side > 256
    expected = cv2.resize(window.cut(frame), (256, 256), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    np.testing.assert_array_equal(window.cut(frame, 256), expected)
