"""Spectra of images with a known law, known resampling and known codes."""

import cv2
import numpy as np
import pytest
from people import texture

from features.families import spectrum

DRAWS = 10


def power_law(rng, beta, side=128):
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    return np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) * radius ** (-beta / 2)).real


@pytest.mark.parametrize("beta", [0, 1, 2, 3])
def test_slope_is_the_exponent(rng, beta):
    slopes = [spectrum.slope(spectrum.radial(spectrum.power(power_law(rng, beta)))) for _ in range(DRAWS)]
    assert np.mean(slopes) == pytest.approx(-beta, abs=0.06)


@pytest.mark.parametrize(
    ("how", "decibel"),
    [(cv2.INTER_NEAREST, -11), (cv2.INTER_LINEAR, -32), (cv2.INTER_CUBIC, -30), (cv2.INTER_LANCZOS4, -42), (None, 0)],
    ids=["nearest", "bilinear", "cubic", "lanczos", "native"],
)
def test_enlarging_empties_the_tail(rng, how, decibel):
    f = spectrum.frequencies(64)
    found = []
    for _ in range(DRAWS):
        image = rng.standard_normal((128, 128))
        if how is not None:
            image = cv2.resize(image, (256, 256), interpolation=how)[64:192, 64:192]
        profile = spectrum.radial(spectrum.power(image))
        found.append(10 * (profile[f > 0.35].mean() - profile[f < 0.1].mean()))
    assert np.mean(found) == pytest.approx(decibel, abs=2)


def test_a_blurred_image_has_a_low_tail(rng):
    sharp = power_law(rng, 2)
    tails = [spectrum.tail(spectrum.radial(spectrum.power(x))) for x in (sharp, cv2.GaussianBlur(sharp, (0, 0), 1.0))]
    assert tails[0] == pytest.approx(0.0, abs=0.3)
    assert tails[1] < tails[0] - 1.0


def test_zero_inserted_upsampling_peaks_at_half(rng):
    heights = []
    for _ in range(DRAWS):
        raised = np.zeros((128, 128))
        raised[::2, ::2] = power_law(rng, 2, 64)
        heights.append([spectrum.peak(spectrum.power(x), 2) for x in (raised, power_law(rng, 2))])
    assert np.median(heights, axis=0) == pytest.approx([1.9, 0.5], abs=0.25)


def test_a_four_pixel_grid_peaks_at_a_quarter(rng):
    image = power_law(rng, 2)
    image /= image.std()
    quarter = image + 0.8 * (np.arange(128) % 4 == 0)
    before, after = (spectrum.peak(spectrum.power(x), 4) for x in (image, quarter))
    assert after > before + 1.0


def test_levelled_profile_ignores_gain_and_offset(rng):
    image = power_law(rng, 2)
    a, b = (spectrum.radial(spectrum.power(x)) for x in (image, 1.1 * image + 10))
    for function in (spectrum.levelled, spectrum.slope, spectrum.tail):
        assert function(a) == pytest.approx(function(b), abs=1e-6)


def test_many_squares_are_as_one_by_one(rng):
    images = np.stack([power_law(rng, 2) for _ in range(3)])
    profile = spectrum.radial(spectrum.power(images))
    assert profile[1] == pytest.approx(spectrum.radial(spectrum.power(images[1])))


def test_dct_is_orthonormal_and_a_plain_cosine_sits_in_one_coefficient():
    wave = np.cos(np.pi * (2 * np.arange(8) + 1) * 3 / 16)
    coefficients = spectrum.block_dct(np.tile(wave, (16, 2)))
    assert coefficients.shape == (4, 8, 8)
    assert (np.abs(coefficients) > 1e-9).sum() == 4
    assert (coefficients**2).sum() == pytest.approx(16 * 2 * (wave**2).sum())


def test_kurtosis_of_white_noise_is_three(rng):
    sizes, kurtoses = spectrum.dct_groups(spectrum.block_dct(rng.standard_normal((256, 256))))
    assert kurtoses == pytest.approx(np.full(6, 3.0), abs=0.15)
    assert sizes == pytest.approx(np.full(6, np.sqrt(2 / np.pi)), abs=0.02)


def test_natural_images_follow_benford_and_constants_do_not(rng):
    image = power_law(rng, 2)
    found = spectrum.benford_kl(spectrum.block_dct(25.0 * image / image.std()))
    assert found == pytest.approx(0.018, abs=0.008)
    assert spectrum.benford_kl(np.full((50, 8, 8), 500.0)) == pytest.approx(np.log2(1 / np.log10(1.2)))
    assert np.isnan(spectrum.benford_kl(np.zeros((50, 8, 8))))


def test_flicker_is_the_spread_of_steps(rng):
    steady, trembling = np.full(300, 5.0), 5.0 * 10.0 ** (0.1 * rng.standard_normal(300))
    found = spectrum.flicker(np.stack([steady, trembling], axis=1), np.arange(300) / 30.0)
    assert found == pytest.approx([0.0, 0.1 * np.sqrt(2)], abs=0.02)


def test_a_large_face_is_reduced_to_sixty_pixels(rng, talking_head):
    observation = talking_head(sound=False)
    track = observation.tracks[0]
    from features.geometry import crop_landmarks

    square = spectrum.reduced(track.crops[0], crop_landmarks(track, 0))
    assert square.shape == (128, 128)
    assert spectrum.reduced(track.crops[0], 0.5 * crop_landmarks(track, 0)) is None


def test_blur_of_the_face_alone_shows_against_the_background(rng, talking_head):
    from dataclasses import replace

    observation = talking_head(sound=False)
    track = observation.tracks[0]
    soft = replace(track, patch_face=tuple(cv2.GaussianBlur(p, (0, 0), 1.0) for p in track.patch_face))
    plain, blurred = spectrum.measure(observation, track), spectrum.measure(observation, soft)
    assert plain["spectrum.tail_fmb"] == pytest.approx(0.0, abs=0.1)
    assert blurred["spectrum.tail_fmb"] < -0.5
    assert blurred["spectrum.rad20_fmb"] < plain["spectrum.rad20_fmb"] - 0.5


def test_missing_backgrounds_cost_only_the_differences(talking_head):
    from dataclasses import replace

    observation = talking_head(sound=False)
    track = observation.tracks[0]
    bare = replace(track, patch_background=tuple(np.empty((0, 0), np.uint8) for _ in track.crops))
    values = spectrum.measure(observation, bare)
    assert np.isnan([values["spectrum.tail_fmb"], values["spectrum.benford_kl_fmb"]]).all()
    assert np.isfinite(values["spectrum.tail"])


@pytest.mark.parametrize("patch", [0, 64])
def test_small_faces_have_no_spectrum(talking_head, patch):
    observation = talking_head(sound=False, patch=patch)
    values = spectrum.measure(observation, observation.tracks[0])
    assert values.pop("spectrum.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()


def test_flat_squares_are_undefined_not_infinite(talking_head):
    from dataclasses import replace

    observation = talking_head(sound=False)
    flat = tuple(np.full((128, 128), 90, np.uint8) for _ in range(16))
    track = replace(observation.tracks[0], patch_face=flat)
    values = spectrum.measure(observation, track)
    assert np.isnan(values["spectrum.slope"])
    assert not np.isinf(list(values.values())).any()


def test_textures_of_the_fixture_have_their_law(rng):
    slopes = [spectrum.slope(spectrum.radial(spectrum.power(texture(rng, 128)))) for _ in range(DRAWS)]
    assert np.mean(slopes) == pytest.approx(-2.0, abs=0.1)
