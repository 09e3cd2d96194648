"""Forgeries by resynthesis: texture changes, the image stays."""

import cv2
import numpy as np
import pytest

from forge.images import resynthesis
from forge.images.blend import Statistics


def changed(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max(axis=2)


@pytest.mark.parametrize("name", resynthesis.STEPS)
def test_every_step_alters_texture_and_keeps_the_image(rng, image, name):
    out = resynthesis.STEPS[name].sample(rng).apply(image)
    assert out.shape == image.shape
    assert changed(out, image).mean() > 0.5
    assert np.corrcoef(out.ravel().astype(float), image.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    "step",
    [
        resynthesis.Shrink(0.01),
        resynthesis.BentSpectrum(0.2, 1e-9),
        resynthesis.Bottleneck(1.0, cv2.INTER_LINEAR, np.float32([[[0.996], [1.004]], [[1.004], [0.996]]])),
        Statistics((1.0, 1.0, 1.0), (0.4, -0.4, 0.001)),
    ],
    ids=["shrink", "spectrum", "bottleneck", "statistics"],
)
def test_a_step_that_does_almost_nothing_leaves_the_brightness(rng, step):
    """Non-regression test: levels were cut off, and forged faces half a level to a level darker than genuine ones."""
    image = np.clip(rng.normal(128, 25, (128, 128, 3)), 0, 255).astype(np.uint8)
    assert step.apply(image).mean(axis=(0, 1)) == pytest.approx(image.mean(axis=(0, 1)), abs=0.1)


def test_a_transposed_convolution_leaves_a_period_of_two_pixels():
    grey = np.full((32, 32, 3), 100, np.uint8)
    power = np.abs(np.fft.fft2(resynthesis.zero_inserted(grey)[16:48, 16:48, 0].astype(float)))
    assert power[16, 0] > 20
    assert power[0, 16] > 20


def test_resynthesis_is_confined_by_landmarks(rng, image, points):
    untouched = [changed(resynthesis.resynthesise(image, points, rng), image)[:, :8].max() == 0 for _ in range(30)]
    assert 0.4 < np.mean(untouched) < 0.9  # a third changes the whole image
