import importlib.metadata

import cv2
import numpy as np
import pytest
import skimage.data

from features.errors import ModelError
from forge.images import face_generator, super_resolution
from forge.images.blend import confined, with_coarse_colours
from forge.images.super_resolution import WEIGHTS, Enhancer, packaged, regenerate

DOUBLING = "7767517\n2 2\nInput in 0 1 data\nInterp up 1 1 data out 0=1 1=2.0 2=2.0\n"  # a network without weights


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def doubling(tmp_path, monkeypatch):
    pytest.importorskip("ncnn", reason="ncnn is installed for training only")
    (tmp_path / "double.param").write_text(DOUBLING)
    (tmp_path / "double.bin").write_bytes(b"")
    monkeypatch.setitem(WEIGHTS, "double", super_resolution.Weights("some-package", "double", 2))
    monkeypatch.setattr(super_resolution, "packaged", lambda package, file: tmp_path / file)
    return Enhancer("double")


@pytest.fixture
def face(rng):
    coarse = rng.integers(40, 216, (9, 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, (200, 180), interpolation=cv2.INTER_CUBIC)


BOX = np.array([50, 40, 150, 150], np.float32)


def shift_of(image, other):
    """Where the second lies against the first, in px."""
    first, second = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float64) for one in (image, other))
    return np.abs(cv2.phaseCorrelate(first, second)[0]).max()


def test_network_gets_the_image_in_the_form_it_expects(doubling, face):
    enlarged = doubling(face)
    np.testing.assert_array_equal(enlarged, face.repeat(2, axis=0).repeat(2, axis=1))  # channels and ranges in place


def test_a_regenerated_face_stays_where_it_was(doubling, face, rng):
    for _ in range(5):
        generated = regenerate(face, BOX, doubling, rng)
        assert generated.shape == face.shape
        assert generated.dtype == np.uint8
        assert shift_of(face, generated) < 0.6
        assert 0 < np.abs(generated.astype(float) - face).mean() < 8


def test_what_is_not_installed_is_named():
    with pytest.raises(ModelError, match="no-such-package is missing"):
        packaged("no-such-package", "weights.bin")
    with pytest.raises(ModelError, match="numpy has no models/x"):
        packaged("numpy", "models/x")


def installed(package):
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", list(WEIGHTS))
def test_every_published_network_regenerates_the_same_image_in_its_place(name):
    if not installed(WEIGHTS[name].package) or not installed("ncnn"):
        pytest.skip(f"{WEIGHTS[name].package} is installed for training only (make cnn)")
    face = skimage.data.astronaut()[0:180, 120:320]
    enhancer = Enhancer(name)
    generated = enhancer(cv2.resize(face, (64, 56), interpolation=cv2.INTER_AREA))
    assert generated.shape == (56 * enhancer.scale, 64 * enhancer.scale, 3)
    generated = cv2.resize(generated, (200, 180), interpolation=cv2.INTER_AREA)
    generated = with_coarse_colours(generated.astype(np.float32), face)
    assert shift_of(face, generated) < 1.0
    assert np.abs(generated.astype(float) - face).mean() < 8


@pytest.mark.slow
def test_the_generator_gives_faces_that_follow_from_the_seed():
    if not installed(face_generator.PACKAGE) or not installed("openvino"):
        pytest.skip(f"{face_generator.PACKAGE} is installed for training only (make cnn)")
    from training.faces.found_faces import Finder

    first, other = (face_generator.FaceGenerator()(np.random.default_rng(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(first, face_generator.FaceGenerator()(np.random.default_rng(1)))
    for image in (first, other):
        assert image.shape == (1024, 1024, 3)
        assert Finder().still(image, with_landmarks=True)[1] is not None
    assert np.abs(first.astype(float) - other).mean() > 10


def test_a_generated_image_may_be_confined_to_the_face(rng):
    image = np.full((120, 120, 3), 90, np.uint8)
    generated = np.full((120, 120, 3), 200, np.uint8)
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([60 + 25 * np.cos(angles), 60 + 30 * np.sin(angles)], axis=1).astype(np.float32)
    for _ in range(5):
        mixed = confined(generated, image, points, rng)
        assert (mixed[:10] == 90).all()
        assert mixed.max() > 180


def test_coarse_colours_come_from_the_original_and_detail_stays(rng):
    image = np.full((96, 96, 3), 120, np.uint8)
    detail = rng.normal(0, 10, (96, 96, 3)).astype(np.float32)
    generated = np.float32(60) + detail
    moved = with_coarse_colours(generated, image).astype(np.float32)
    np.testing.assert_allclose(moved.mean(axis=(0, 1)), 120, atol=1.5)
    assert np.corrcoef((moved - 120).ravel(), detail.ravel())[0, 1] > 0.98
