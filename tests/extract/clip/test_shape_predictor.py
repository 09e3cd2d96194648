"""The compiled landmark predictor gives what dlib's own gives, on any image and any box; a damaged model is refused."""

import cv2
import numpy as np
import pytest

from extract.clip import faces, shape_predictor
from features.networks.dlib_models import DLIB_LANDMARKS, dlib_model


@pytest.fixture(scope="module")
def model():
    return faces._shape_predictor()


@pytest.fixture(scope="module")
def dlib_landmarks():
    import dlib

    predictor = dlib.shape_predictor(dlib_model(DLIB_LANDMARKS))

    def landmarks(image, box):
        parts = predictor(image, dlib.rectangle(*box)).parts()
        return np.array([(point.x, point.y) for point in parts], np.float32)

    return landmarks


@pytest.fixture(scope="module")
def grey(portrait):
    return cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)


def boxes(rng, n, size):
    """Boxes of 20 to 260 px, some of them partly or wholly outside."""
    for left, top in rng.integers(-80, size, (n, 2)).tolist():
        width, height = rng.integers(20, 260, 2).tolist()
        yield left, top, left + width, top + height


def test_a_face_has_the_landmarks_of_dlib(model, dlib_landmarks, grey):
    box = (175, 70, 275, 190)
    points = model(grey, box)
    assert points.shape == (68, 2)
    np.testing.assert_array_equal(points, dlib_landmarks(grey, box))
    assert 200 < points[30, 0] < 250  # the tip of the nose
    assert 110 < points[30, 1] < 150


def test_any_box_has_the_landmarks_of_dlib(model, dlib_landmarks, grey):
    rng = np.random.default_rng(5)
    for box in boxes(rng, 60, 512):
        np.testing.assert_array_equal(model(grey, box), dlib_landmarks(grey, box))


def test_noise_has_the_landmarks_of_dlib(model, dlib_landmarks):
    rng = np.random.default_rng(6)
    for box in boxes(rng, 60, 256):
        noise = rng.integers(0, 256, (256, 256), dtype=np.uint8)
        np.testing.assert_array_equal(model(noise, box), dlib_landmarks(noise, box))


def test_an_image_that_is_a_view_is_seen_as_it_is(model, grey):
    box = (35, 30, 95, 110)
    np.testing.assert_array_equal(model(grey[40:, 140:], box), model(grey[40:, 140:].copy(), box))


@pytest.mark.parametrize("damage", ["cut short", "other counts", "no model", "empty", "one byte more"])
def test_a_damaged_model_is_refused(tmp_path, damage):
    whole = np.fromfile(dlib_model(DLIB_LANDMARKS), np.uint8)
    data = {
        "cut short": whole[: len(whole) // 2],
        "other counts": np.concatenate([whole[:1000], whole[1100:]]),
        "no model": np.full(100_000, 255, np.uint8),
        "empty": whole[:0],
        "one byte more": np.append(whole, np.uint8(0)),
    }[damage]
    file = tmp_path / "model.dat"
    data.tofile(file)
    with pytest.raises(ValueError, match=r"model\.dat is no landmark predictor of dlib"):
        shape_predictor.read(str(file))


def place_of(data, model, what):
    """Where the file has a split's pixel above 255, or the first landmark that a pixel moves with."""
    at = shape_predictor._skip(data, 0, (1, -136, -1))
    for _ in range(136):
        _, at = shape_predictor._real(data, at)
    at = shape_predictor._skip(data, at, (shape_predictor.N_STAGES,))
    for stage in range(shape_predictor.N_STAGES):
        at = shape_predictor._skip(data, at, (shape_predictor.N_TREES,))
        for tree in range(shape_predictor.N_TREES):
            split = shape_predictor._skip(data, at, (shape_predictor.N_SPLITS,))
            if what == "pixel" and data[split] == 2:
                return split + 2  # its high byte
            at = shape_predictor._fill_tree(model, data, at, stage, tree)
    return shape_predictor._skip(data, at, (shape_predictor.N_STAGES, shape_predictor.N_PIXELS)) + 1


@pytest.mark.parametrize("what", ["pixel", "landmark"])
def test_positions_beyond_the_model_s_are_refused(tmp_path, what):
    """Compiled code would read other memory there."""
    file = dlib_model(DLIB_LANDMARKS)
    data = np.fromfile(file, np.uint8)
    data[place_of(data, shape_predictor.read(file), what)] = 100
    data.tofile(tmp_path / "model.dat")
    with pytest.raises(ValueError, match="damaged"):
        shape_predictor.read(str(tmp_path / "model.dat"))
