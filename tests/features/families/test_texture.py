"""Local patterns and co-occurrences of images whose texture is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from people import texture as natural

from features.families import texture

EXAMPLE = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]], np.uint8)
"""Of Haralick et al. 1973."""


def test_patterns_of_white_noise_have_their_known_fractions(rng):
    counts = texture.pattern_counts(rng.integers(0, 256, (400, 400)).astype(np.uint8))
    expected = [0.178, 0.117, 0.040, 0.028, 0.022, 0.027, 0.041, 0.115, 0.180, 0.251]
    assert counts.sum() == 398 * 398
    assert counts / counts.sum() == pytest.approx(expected, abs=0.006)


def test_patterns_of_dots_flat_places_and_edges():
    flat = np.full((20, 20), 90, np.uint8)
    assert texture.pattern_counts(flat)[8] == 18 * 18
    bright, dark, edge = flat.copy(), flat.copy(), flat.copy()
    bright[10, 10], dark[10, 10] = 200, 10
    edge[:, :10] = 200
    assert texture.pattern_counts(bright)[0] == 1
    assert texture.pattern_counts(dark)[0] == 0
    assert texture.pattern_counts(edge)[5] == 18  # the bright side of the edge: five of eight are no darker


def test_patterns_do_not_depend_on_light_contrast_or_the_mirror(rng):
    image = natural(rng, 80, sd=20.0)
    plain = texture.pattern_counts(image)
    assert np.array_equal(texture.pattern_counts(image + np.uint8(10)), plain)
    assert np.array_equal(texture.pattern_counts(np.ascontiguousarray(image[:, ::-1])), plain)
    halved = np.rint(image.astype(float) / 2).astype(np.uint8)
    assert np.array_equal(texture.pattern_counts(2 * halved), texture.pattern_counts(halved))
    assert not np.array_equal(texture.pattern_counts(halved), plain)  # rounding makes flat places


def test_haralicks_example():
    found = texture.co_occurrence_properties(8 * EXAMPLE, (1,))
    level = {0.0: (0.583, 0.720), np.pi / 2: (1.0, 0.486)}
    from skimage.feature import graycomatrix, graycoprops

    for angle, (contrast, correlation) in level.items():
        matrix = graycomatrix(EXAMPLE, [1], [angle], texture.LEVELS, symmetric=True, normed=True)
        assert graycoprops(matrix, "contrast")[0, 0] == pytest.approx(contrast, abs=1e-3)
        assert graycoprops(matrix, "correlation")[0, 0] == pytest.approx(correlation, abs=1e-3)
    grey = EXAMPLE.astype(int)
    down_right, down_left = (grey[:-1, :-1] - grey[1:, 1:]) ** 2, (grey[:-1, 1:] - grey[1:, :-1]) ** 2
    by_angle = [7 / 12, 1.0, down_right.mean(), down_left.mean()]
    assert found["contrast"][0] == pytest.approx(np.mean(by_angle))


def test_white_noise_has_the_contrast_of_independent_levels(rng):
    noise = rng.integers(0, 256, (300, 300)).astype(np.uint8)
    found = texture.co_occurrence_properties(noise, texture.DISTANCES)
    assert found["contrast"] == pytest.approx(np.full(3, (32**2 - 1) / 6), rel=0.02)
    assert found["correlation"] == pytest.approx(np.zeros(3), abs=0.02)
    assert found["entropy"] == pytest.approx(np.full(3, np.log(1024)), abs=0.02)
    assert found["energy"] == pytest.approx(np.full(3, 1 / 32), rel=0.05)


def test_one_level_is_uniform_and_has_no_correlation():
    found = texture.co_occurrence_properties(np.full((40, 40), 90, np.uint8), (1,))
    assert (found["contrast"][0], found["homogeneity"][0], found["energy"][0]) == pytest.approx((0, 1, 1))
    assert np.isnan(found["correlation"][0])


def test_farther_pixels_are_less_alike(rng):
    contrast = texture.co_occurrence_properties(natural(rng, 128), texture.DISTANCES)["contrast"]
    assert (np.diff(contrast) > 0).all()


def test_face_against_background_does_not_depend_on_how_luma_is_coded(rng):
    """Black and white are 16 and 235 in most clips, 0 and 255 in some."""
    full = [natural(rng, 128, sd=sd) for sd in (12.0, 40.0)]
    limited = [np.rint(16 + image * (219 / 255)).astype(np.uint8) for image in full]
    values, of_limited = (
        texture.of_patches(*patches, luma_levels=levels) for patches, levels in ((full, (0, 255)), (limited, (16, 235)))
    )
    glcm = [name for name in values if name.startswith("glcm_")]
    assert len(glcm) == len(texture.PROPERTIES)
    assert [of_limited[name] for name in glcm] == pytest.approx([values[name] for name in glcm], abs=0.02)


@pytest.fixture
def measured(talking_head):
    """Factory: the family's values of a talking head with other crops or patches."""

    observation = talking_head(audio=False)

    def make(**changes):
        track = observation.tracks[0]
        made = {name: tuple(change(image) for image in getattr(track, name)) for name, change in changes.items()}
        track = replace(track, **made)
        return texture.measure(replace(observation, tracks=(track,)), track)

    return make


def test_a_smooth_face_has_less_contrast_and_fewer_patterns(measured):
    def blurred(crop):
        return cv2.GaussianBlur(crop, (0, 0), 5.0)

    plain, smooth = measured(), measured(crops=blurred)
    for distance in texture.DISTANCES:
        assert smooth[f"texture.glcm_contrast_d{distance}_med"] < 0.7 * plain[f"texture.glcm_contrast_d{distance}_med"]
        assert smooth[f"texture.glcm_correlation_d{distance}_med"] > plain[f"texture.glcm_correlation_d{distance}_med"]
    assert smooth["texture.lbp_bin9_med"] < plain["texture.lbp_bin9_med"] - 0.03
    assert smooth["texture.lbp_ent_med"] < plain["texture.lbp_ent_med"]
    assert smooth["texture.glcm_fb_contrast_d1_med"] == plain["texture.glcm_fb_contrast_d1_med"]  # of the patches


def test_face_patches_are_compared_with_the_background(measured):
    plain, soft = measured(), measured(patch_face=lambda patch: cv2.GaussianBlur(patch, (0, 0), 1.5))
    assert plain["texture.lbp_fb_js_med"] < 0.05
    assert soft["texture.lbp_fb_js_med"] > 0.1
    assert plain["texture.glcm_fb_contrast_d1_med"] == pytest.approx(0.0, abs=0.3)
    assert soft["texture.glcm_fb_contrast_d1_med"] < -1
    assert soft["texture.glcm_fb_correlation_d1_med"] > 0.1
    assert soft["texture.lbp_bin3_med"] == plain["texture.lbp_bin3_med"]


def test_fractions_sum_to_one_in_a_frame(talking_head):
    observation = talking_head(audio=False)
    frame = texture.of_face(observation.tracks[0], 0)
    assert sum(frame.values[f"lbp_bin{k}"] for k in range(10)) == pytest.approx(1.0)
    assert frame.patterns.sum() == 62 * 62
    assert 0 < frame.values["ent_luma"] < 5


def test_a_texture_that_changes_steps(measured):
    turn = iter(range(100))
    unsteady = measured(crops=lambda crop: crop if next(turn) % 4 else cv2.GaussianBlur(crop, (0, 0), 6.0))
    assert unsteady["texture.lbp_step_js_med"] > 2 * measured()["texture.lbp_step_js_med"]


def test_missing_backgrounds_cost_only_the_comparisons(measured):
    values = measured(patch_background=lambda patch: patch[:0, :0])
    compared = [name for name in values if "_fb_" in name]
    assert len(compared) == 6
    assert np.isnan([values[name] for name in compared]).all()
    assert np.isfinite([value for name, value in values.items() if name not in compared]).all()


def test_small_faces_have_no_texture_and_middling_ones_no_co_occurrences(measured):
    tiny, middling = (measured(crops=lambda crop, n=n: np.ascontiguousarray(crop[::n, ::n])) for n in (3, 2))
    assert tiny.pop("texture.valid_share") == 0.0
    assert np.isnan([value for name, value in tiny.items() if "_fb_" not in name]).all()
    assert np.isfinite(middling["texture.lbp_bin4_med"])
    assert np.isnan(middling["texture.glcm_contrast_d1_med"])


@pytest.mark.parametrize("grey", [0, 255])
def test_black_and_white_say_nothing(measured, grey):
    values = measured(crops=lambda crop: np.full_like(crop, grey))
    assert values.pop("texture.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()
