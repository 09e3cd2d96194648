"""Spectra of images with a known law, known resampling and known codes."""

import cv2
import numpy as np
import pytest
from people import texture

from features.measures import spectral

DRAWS = 10


def power_law(rng, beta, side=128):
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    return np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) * radius ** (-beta / 2)).real


@pytest.mark.parametrize("beta", [0, 1, 2, 3])
def test_slope_is_the_exponent(rng, beta):
    slopes = [spectral.slope(spectral.radial(spectral.power(power_law(rng, beta)))) for _ in range(DRAWS)]
    assert np.mean(slopes) == pytest.approx(-beta, abs=0.06)


@pytest.mark.parametrize(
    ("how", "decibel"),
    [(cv2.INTER_NEAREST, -11), (cv2.INTER_LINEAR, -32), (cv2.INTER_CUBIC, -30), (cv2.INTER_LANCZOS4, -42), (None, 0)],
    ids=["nearest", "bilinear", "cubic", "lanczos", "native"],
)
def test_enlarging_empties_the_tail(rng, how, decibel):
    f = spectral.frequencies(64)
    found = []
    for _ in range(DRAWS):
        image = rng.standard_normal((128, 128))
        if how is not None:
            image = cv2.resize(image, (256, 256), interpolation=how)[64:192, 64:192]
        profile = spectral.radial(spectral.power(image))
        found.append(10 * (profile[f > 0.35].mean() - profile[f < 0.1].mean()))
    assert np.mean(found) == pytest.approx(decibel, abs=2)


def test_a_blurred_image_has_a_low_tail(rng):
    sharp = power_law(rng, 2)
    tails = [spectral.tail(spectral.radial(spectral.power(x))) for x in (sharp, cv2.GaussianBlur(sharp, (0, 0), 1.0))]
    assert tails[0] == pytest.approx(0.0, abs=0.3)
    assert tails[1] < tails[0] - 1.0


def test_zero_inserted_upsampling_peaks_at_half(rng):
    heights = []
    for _ in range(DRAWS):
        raised = np.zeros((128, 128))
        raised[::2, ::2] = power_law(rng, 2, 64)
        heights.append([spectral.peak(spectral.power(x), period_px=2) for x in (raised, power_law(rng, 2))])
    assert np.median(heights, axis=0) == pytest.approx([1.9, 0.5], abs=0.25)


def test_white_noise_has_peaks_of_chance_alone(rng):
    spectra = spectral.power(rng.normal(128, 20, (60, 128, 128)))
    heights = [np.median(spectral.peak(spectra, period_px=period)) for period in (2, 4)]
    assert heights == pytest.approx([0.6, 0.75], abs=0.05)


def test_a_four_pixel_grid_peaks_at_a_quarter(rng):
    image = power_law(rng, 2)
    image /= image.std()
    quarter = image + 0.8 * (np.arange(128) % 4 == 0)
    before, after = (spectral.peak(spectral.power(x), period_px=4) for x in (image, quarter))
    assert after > before + 1.0


def test_levelled_profile_ignores_gain_and_offset(rng):
    image = power_law(rng, 2)
    a, b = (spectral.radial(spectral.power(x)) for x in (image, 1.1 * image + 10))
    for function in (spectral.levelled, spectral.slope, spectral.tail):
        assert function(a) == pytest.approx(function(b), abs=1e-6)


def test_many_patches_are_as_one_by_one(rng):
    images = np.stack([power_law(rng, 2) for _ in range(3)])
    profile = spectral.radial(spectral.power(images))
    assert profile[1] == pytest.approx(spectral.radial(spectral.power(images[1])))


def test_dct_is_orthonormal_and_a_plain_cosine_sits_in_one_coefficient():
    wave = np.cos(np.pi * (2 * np.arange(8) + 1) * 3 / 16)
    coefficients = spectral.block_dct(np.tile(wave, (16, 2)))
    assert coefficients.shape == (4, 8, 8)
    assert (np.abs(coefficients) > 1e-9).sum() == 4
    assert (coefficients**2).sum() == pytest.approx(16 * 2 * (wave**2).sum())


def test_kurtosis_of_white_noise_is_three(rng):
    sizes, kurtoses = spectral.dct_groups(spectral.block_dct(rng.standard_normal((256, 256))))
    assert kurtoses == pytest.approx(np.full(6, 3.0), abs=0.15)
    assert sizes == pytest.approx(np.full(6, np.sqrt(2 / np.pi)), abs=0.02)


def test_natural_images_follow_benford_and_constants_do_not(rng):
    image = power_law(rng, 2)
    found = spectral.benford_kl(spectral.block_dct(25.0 * image / image.std()))
    assert found == pytest.approx(0.018, abs=0.008)
    assert spectral.benford_kl(np.full((50, 8, 8), 500.0)) == pytest.approx(np.log2(1 / np.log10(1.2)))
    assert np.isnan(spectral.benford_kl(np.zeros((50, 8, 8))))


def test_textures_of_the_fixture_have_their_law(rng):
    slopes = [spectral.slope(spectral.radial(spectral.power(texture(rng, 128)))) for _ in range(DRAWS)]
    assert np.mean(slopes) == pytest.approx(-2.0, abs=0.1)
