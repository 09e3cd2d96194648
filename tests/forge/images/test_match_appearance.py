"""Pairs of faces matched in colour and sharpness."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from forge.images.match_appearance import match_appearance, sharpness

BOX = np.array([20, 20, 180, 180], np.float32)


@pytest.fixture
def face():
    return np.ascontiguousarray(astronaut()[10:220, 110:330])


def lab_means(image):
    inside = image[20:180, 20:180]
    return cv2.cvtColor(inside, cv2.COLOR_RGB2LAB).reshape(-1, 3).mean(axis=0)


@pytest.mark.parametrize("recolour_first", [True, False])
def test_colour_and_sharpness_come_together(face, recolour_first):
    warm = np.clip(face * np.array([0.9, 0.7, 0.5]) + 10, 0, 255).astype(np.uint8)
    soft = cv2.GaussianBlur(warm, (0, 0), 2.0)
    assert np.abs(lab_means(face) - lab_means(soft)).max() > 10
    assert sharpness(face, BOX) > 1.5 * sharpness(soft, BOX)
    first, second = match_appearance(face, BOX, soft, BOX, recolour_first=recolour_first)
    assert np.abs(lab_means(first) - lab_means(second)).max() < 5
    assert sharpness(first, BOX) == pytest.approx(sharpness(second, BOX), rel=0.3)
    assert first.shape == face.shape
    assert first.dtype == second.dtype == np.uint8


def test_only_the_sharper_one_is_blurred(face):
    soft = cv2.GaussianBlur(face, (0, 0), 2.0)
    _, second = match_appearance(face, BOX, soft, BOX, recolour_first=True)
    np.testing.assert_array_equal(second, soft)


def test_faces_that_match_already_stay(face):
    first, second = match_appearance(face, BOX, face, BOX, recolour_first=True)
    np.testing.assert_array_equal(second, face)
    assert np.abs(first.astype(int) - face).mean() < 3


def test_a_box_over_the_edge_is_cut(face):
    beyond = np.array([-30, -30, 400, 400], np.float32)
    first, second = match_appearance(face, beyond, face // 2, beyond, recolour_first=False)
    assert first.shape == second.shape == face.shape
