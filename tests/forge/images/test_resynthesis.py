"""Forgeries by resynthesis: texture changes, the picture stays."""

import numpy as np
import pytest

from forge.images import resynthesis


def changed(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max(axis=2)


@pytest.mark.parametrize("name", resynthesis.STEPS)
def test_every_step_alters_texture_and_keeps_the_picture(rng, image, name):
    out = resynthesis.STEPS[name].sample(rng).apply(image)
    assert out.shape == image.shape
    assert changed(out, image).mean() > 0.5
    assert np.corrcoef(out.ravel().astype(float), image.ravel())[0, 1] > 0.9


def test_a_transposed_convolution_leaves_a_period_of_two_pixels():
    grey = np.full((32, 32, 3), 100, np.uint8)
    power = np.abs(np.fft.fft2(resynthesis.zero_inserted(grey)[16:48, 16:48, 0].astype(float)))
    assert power[16, 0] > 20
    assert power[0, 16] > 20


def test_resynthesis_is_confined_by_landmarks(rng, image, points):
    untouched = [changed(resynthesis.resynthesise(image, points, rng), image)[:, :8].max() == 0 for _ in range(30)]
    assert 0.4 < np.mean(untouched) < 0.9  # a third changes the whole picture
