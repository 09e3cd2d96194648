import numpy as np
import pytest

from extract.clip.square_crop import SquareCrop


def test_points_go_to_the_crop_and_back(rng_points):
    window = SquareCrop(-10, 20, 77)
    back = window.to_frame(window.to_crop(rng_points, 256), 256)
    np.testing.assert_allclose(back, rng_points, atol=1e-3)


@pytest.fixture
def rng_points():
    return np.random.default_rng(0).uniform(0, 200, (68, 2)).astype(np.float32)


def test_a_bright_pixel_is_where_its_coordinates_say():
    image = np.zeros((100, 100), np.uint8)
    image[40:44, 60:64] = 255  # centre (61.5, 41.5)
    cut = SquareCrop(30, 20, 64).cut(image, 256).astype(float)
    x, y = (np.average(np.arange(256), weights=cut.sum(axis=axis)) for axis in (0, 1))
    expected = SquareCrop(30, 20, 64).to_crop(np.array([[61.5, 41.5]], np.float32), 256)[0]
    assert (x, y) == pytest.approx(tuple(expected), abs=0.1)


@pytest.mark.parametrize(
    "window", [SquareCrop(-20, -20, 50), SquareCrop(80, 80, 50), SquareCrop(-10, -10, 300), SquareCrop(500, 0, 20)]
)
def test_over_the_edge_the_edge_repeats(window):
    image = np.full((100, 100, 3), 7, np.uint8)
    cut = window.cut(image, 64)
    assert cut.shape == (64, 64, 3)
    if window.left < 100:
        assert (cut == 7).all()


def test_native_cut_is_the_pixels_themselves():
    image = np.arange(100 * 100, dtype=np.uint32).astype(np.uint8).reshape(100, 100)
    np.testing.assert_array_equal(SquareCrop(10, 20, 30).cut(image), image[20:50, 10:40])


def test_the_window_is_held_while_the_box_stays_near():
    box = np.array([100, 100, 200, 200], np.float32)
    window = SquareCrop.around(box, 1.5)
    assert window.fits(box + 5, 1.5, slack=0.05)
    assert not window.fits(box + 10, 1.5, slack=0.05)
    assert not window.fits(np.array([90, 90, 210, 210], np.float32), 1.5, slack=0.05)
