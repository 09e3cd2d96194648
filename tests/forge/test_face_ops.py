"""What forgeries of images and clips share."""

import numpy as np
import pytest

from features.measures import geometry
from forge import face_ops


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def textured(rng, mean, spread):
    return np.clip(rng.normal(mean, spread, (80, 80, 3)), 0, 255).astype(np.uint8)


def test_the_iod_is_that_of_the_features(rng):
    points = rng.uniform(0, 300, (68, 2)).astype(np.float32)
    assert face_ops.iod(points) == pytest.approx(float(geometry.inter_ocular_distance(points)), rel=1e-6)


def test_a_similarity_recovers_turn_scale_and_shift(rng):
    points = rng.uniform(0, 100, (13, 2)).astype(np.float32)
    cos, sin = 1.3 * np.cos(0.4), 1.3 * np.sin(0.4)
    known = np.array([[cos, -sin, 7.0], [sin, cos, -4.0]])
    np.testing.assert_allclose(face_ops.similarity(points, points @ known[:, :2].T + known[:, 2]), known, atol=1e-4)


def test_an_affine_map_recovers_a_known_one(rng):
    points = rng.uniform(0, 100, (20, 2)).astype(np.float32)
    known = np.array([[1.1, 0.2, 5.0], [-0.1, 0.9, -3.0]])
    np.testing.assert_allclose(face_ops.affine(points, points @ known[:, :2].T + known[:, 2]), known, atol=1e-4)


def test_colours_become_those_wanted(rng):
    dark, light = textured(rng, 60, 20), textured(rng, 170, 12)
    own, wanted = face_ops.colour(dark), face_ops.colour(light)
    moved = face_ops.colour(face_ops.transfer_colour(dark, own, wanted))
    np.testing.assert_allclose(moved.mean, wanted.mean, atol=2.5)
    np.testing.assert_allclose(moved.spread, wanted.spread, rtol=0.25)
    half = face_ops.colour(face_ops.transfer_colour(dark, own, wanted, strength=0.5))
    np.testing.assert_allclose(half.mean, (own.mean + wanted.mean) / 2, atol=2.5)


def test_a_colour_transfer_moves_the_mean_to_where_it_is_wanted(rng):
    """Non-regression test: levels were cut off, half a level below what was asked for."""
    image = textured(rng, 128, 25)
    own = face_ops.colour(image)
    wanted = face_ops.Colour(own.mean + np.float32(3.3), own.spread * np.float32(1.1))
    moved = face_ops.colour(face_ops.transfer_colour(image, own, wanted))
    np.testing.assert_allclose(moved.mean, wanted.mean, atol=0.15)


def test_statistics_are_those_inside_the_mask(rng):
    image = textured(rng, 60, 5)
    image[:, 40:] = 200
    mask = np.zeros((80, 80), bool)
    mask[:, :40] = True
    assert face_ops.colour(image, mask).mean[0] == pytest.approx(face_ops.colour(image[:, :40]).mean[0], abs=1e-3)


def test_contrast_changes_within_limits_only(rng):
    flat, lively = textured(rng, 100, 10), textured(rng, 100, 50)
    moved = face_ops.transfer_colour(flat, face_ops.colour(flat), face_ops.colour(lively), limits=(0.6, 1.6))
    assert moved.std() == pytest.approx(1.6 * flat.std(), rel=0.1)


def test_sharpening_raises_contrast_of_edges_and_keeps_flat_areas():
    step = np.full((20, 40, 3), 80, np.uint8)
    step[:, 20:] = 160
    out = face_ops.sharpened(step, 1.0)
    assert out.min() < 80
    assert out.max() > 160
    assert (out[:, :5] == 80).all()


def test_the_examples_run():
    import doctest

    assert doctest.testmod(face_ops).attempted
    assert not doctest.testmod(face_ops).failed
