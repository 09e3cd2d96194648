"""A small image with landmarks, for forgeries of single images."""

import cv2
import numpy as np
import pytest

SIDE = 160


@pytest.fixture
def rng():
    return np.random.default_rng(2022)


@pytest.fixture
def image(rng):
    """A smooth image with some texture."""
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), (0, 0), 3)
    return np.clip((smooth.astype(float) - 127) * 4 + 127 + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def points():
    """68 landmarks of an upright face 80 px wide in the middle of the image."""
    t = np.linspace(0, np.pi, 17)
    jaw = np.c_[80 - 40 * np.cos(t), 75 + 50 * np.sin(t)]
    brows = np.c_[np.r_[np.linspace(50, 72, 5), np.linspace(88, 110, 5)], np.full(10, 60)]
    nose = np.c_[np.r_[np.full(4, 80), np.linspace(72, 88, 5)], np.r_[np.linspace(68, 88, 4), np.full(5, 92)]]
    a = np.arange(6) * np.pi / 3
    eyes = [np.c_[x + 7 * np.cos(a), 70 + 3 * np.sin(a)] for x in (62, 98)]
    b = np.arange(20) * np.pi / 10
    mouth = np.c_[80 + 16 * np.cos(b), 106 + 6 * np.sin(b)]
    return np.concatenate([jaw, brows, nose, *eyes, mouth]).astype(np.float32)
