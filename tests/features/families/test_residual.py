"""Residuals: gains of the filters, co-occurrences, grids, and planted differences of face and background."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from people import texture

from features.families import residual
from features.measures import comparison, face_regions, rich_model
from features.measures.geometry import FACE_MODEL


@pytest.mark.parametrize(("kernel", "gain"), [("kb", 2.25), ("kv", 4.14), ("h2", 1.5)])
def test_white_noise_comes_through_with_the_filters_power(rng, kernel, gain):
    residuals = rich_model.responses(5.0 * rng.standard_normal((300, 300)), kernel)
    everywhere = np.ones(residuals.shape[1:], bool)
    assert rich_model.standard_deviation(residuals, everywhere) ** 2 == pytest.approx(25 * gain, rel=0.03)
    found = rich_model.moments(residuals, everywhere)
    assert found["std"] == pytest.approx(5 * np.sqrt(gain), rel=0.02)
    assert found["kurt"] == pytest.approx(np.log(3), abs=0.03)


@pytest.mark.parametrize("kernel", rich_model.KERNELS)
@pytest.mark.parametrize("level", [37, 128, 200, 130.41, 254.9])
def test_a_flat_image_has_no_power_whatever_its_level(kernel, level):
    """Non-regression test: in single precision a filter's weights do not sum to 0, and rounding had a kurtosis."""
    residuals = rich_model.responses(np.full((128, 128), level, np.float32), kernel)
    everywhere = np.ones(residuals.shape[1:], bool)
    assert rich_model.standard_deviation(residuals, everywhere) == 0.0
    found = rich_model.moments(residuals, everywhere)
    assert found["std"] == 0.0
    assert np.isnan(found["kurt"])
    assert np.isnan(rich_model.neighbour_correlation(residuals, everywhere))


@pytest.mark.parametrize("kernel", rich_model.KERNELS)
def test_one_pixel_that_is_a_level_brighter_has_power(kernel):
    flat = np.full((128, 128), 100.0)
    flat[60, 60] += 1
    residuals = rich_model.responses(flat, kernel)
    everywhere = np.ones(residuals.shape[1:], bool)
    assert np.isfinite(rich_model.moments(residuals, everywhere)["kurt"])
    assert np.isfinite(rich_model.neighbour_correlation(residuals, everywhere))


@pytest.mark.parametrize("kernel", rich_model.KERNELS)
def test_a_ramp_has_no_residual(kernel):
    x, y = np.meshgrid(np.arange(40.0), np.arange(30.0))
    residuals = rich_model.responses(3 * x + 2 * y + 7, kernel)
    assert residuals.shape[1:] == (26, 36)
    assert np.abs(residuals).max() < 1e-3
    assert rich_model.moments(residuals, np.ones((26, 36), bool))["zero_share"] == 1.0


def test_the_rich_models_squares_are_symmetric_and_end_in_one():
    for kernel in ("kb", "kv"):
        (weights,) = rich_model.KERNELS[kernel]
        assert np.array_equal(weights, weights.T)
        assert np.array_equal(weights, weights[::-1])
        assert weights.sum() == pytest.approx(0)
        assert np.abs(weights).max() == 1.0


def test_correlation_of_neighbours_of_filtered_noise_is_the_filters_own(rng):
    residuals = rich_model.responses(rng.standard_normal((400, 400)), "h2")
    second = np.array([1.0, -2.0, 1.0])
    along = np.dot(second[1:], second[:-1]) / np.dot(second, second)  # -4/6 along the difference, 0 across
    found = rich_model.neighbour_correlation(residuals, np.ones(residuals.shape[1:], bool))
    assert found == pytest.approx(along / 2, abs=0.01)
    assert np.isnan(rich_model.neighbour_correlation(np.zeros((1, 20, 20), np.float32), np.ones((20, 20), bool)))


def test_only_the_region_counts(rng):
    residuals = rng.standard_normal((1, 100, 100)).astype(np.float32)
    residuals[:, :50] *= 10
    lower = np.zeros((100, 100), bool)
    lower[50:] = True
    assert rich_model.standard_deviation(residuals, lower) == pytest.approx(1.0, rel=0.05)
    assert rich_model.moments(residuals, lower)["std"] == pytest.approx(1.0, rel=0.05)
    counts = rich_model.co_occurrences(residuals, lower)
    assert counts.sum() == 97 * 50 + 47 * 100
    smooth = residuals.copy()
    smooth[:, 50:] = np.cumsum(smooth[:, 50:], axis=2)
    assert rich_model.neighbour_correlation(smooth, lower) > 0.4 > rich_model.neighbour_correlation(smooth, ~lower)


def test_runs_of_four_fall_into_169_classes_that_mirror_and_sign_do_not_change():
    assert rich_model.N_CLASSES == 169
    one, ramp = np.zeros((1, 1, 4), np.float32), np.float32([[[-2, -1, 0, 1]]])
    region = np.ones((1, 4), bool)
    alike = [rich_model.co_occurrences(r, region).argmax() for r in (ramp, -ramp, ramp[..., ::-1], -ramp[..., ::-1])]
    assert len(set(alike)) == 1
    assert rich_model.co_occurrences(one, region).argmax() != alike[0]
    assert (
        rich_model.co_occurrences(9 * ramp, region).argmax()
        == rich_model.co_occurrences(np.float32([[[-2, -2, 0, 2]]]), region).argmax()
    )  # cut at 2


def test_halves_are_rounded_away_from_zero_in_single_precision():
    exact = np.float32([-1.5, -0.5, -0.49, 0.0, 0.49, 0.5, 1.49, 1.5, 2.5])
    assert rich_model.rounded(exact).tolist() == [-2, -1, 0, 0, 0, 1, 1, 2, 3]
    assert rich_model.rounded(np.float32([0.49999, -0.49999])).tolist() == [1, -1]  # 6/12, summed up


@pytest.mark.parametrize("noise", [0.3, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("kernel", rich_model.KERNELS)
def test_an_image_coded_in_either_range_has_about_the_same_co_occurrences(rng, kernel, noise):
    """Residuals of whole grey levels are often exact halves, those of levels of 16-235 never are."""
    x, y = np.meshgrid(np.arange(128.0), np.arange(128.0))
    grey = 120 + 40 * np.sin(x / 20) * np.cos(y / 17) + noise * rng.standard_normal((128, 128))
    limited = (np.rint(16 + grey * 219 / 255) - 16) * 255 / 219
    entropies = []
    for image in (np.rint(grey), limited):
        residuals = rich_model.responses(image, kernel)
        entropies.append(comparison.entropy(rich_model.co_occurrences(residuals, np.ones(residuals.shape[1:], bool))))
    assert entropies[0] == pytest.approx(entropies[1], abs=0.5)


def test_runs_down_count_like_runs_across(rng):
    residuals = 2 * rng.standard_normal((1, 30, 40)).astype(np.float32)
    region = rng.random((30, 40)) > 0.1
    turned = np.ascontiguousarray(np.swapaxes(residuals, 1, 2))
    assert np.array_equal(rich_model.co_occurrences(residuals, region), rich_model.co_occurrences(turned, region.T))


def test_distances_of_histograms():
    a, b = np.array([3.0, 1.0, 0.0]), np.array([1.0, 3.0, 0.0])
    mixed = -0.5 * np.log2(0.5) * 2
    own = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert comparison.js_distance(a, 10 * b) == pytest.approx(np.sqrt(mixed - own))
    assert comparison.js_distance(a, 2 * a) == 0.0
    assert np.isnan(comparison.js_distance(a, np.zeros(3)))


@pytest.mark.parametrize("shift", [(0, 0), (3, 5)])
def test_the_grid_of_a_jpeg_is_found_after_cropping(rng, shift):
    image = texture(rng, 160)
    coded = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], 0)
    phase, contrast = residual.grid(coded[shift[0] : shift[0] + 128, shift[1] : shift[1] + 128])
    assert phase == ((7 - shift[0]) % 8, (7 - shift[1]) % 8)
    assert contrast > 1.3


def test_grids_are_compared_only_where_both_show(rng):
    coded = cv2.imdecode(cv2.imencode(".jpg", texture(rng, 160), [cv2.IMWRITE_JPEG_QUALITY, 15])[1], 0)
    assert residual.same_grid(coded[:128, :128], coded[8:136, 16:144]) == 1.0
    assert residual.same_grid(coded[:128, :128], coded[5:133, :128]) == 0.0
    assert residual.same_grid(coded[:128, :128], coded[:128, 5:133]) == 0.0
    assert np.isnan(residual.same_grid(coded[:128, :128], np.full((128, 128), 9, np.uint8)))


def test_the_face_part_is_the_hull_less_a_tenth(rng):
    landmarks = 60.0 * FACE_MODEL[:, :2] + [300.3, 199.8]
    part = residual.face_part(landmarks, side=128, iod_px=60.0)
    assert part.shape == (124, 124)
    assert part[62, 62]
    corners = part[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert not corners[2:].any()  # beside the chin
    larger = residual.face_part(2 * landmarks, side=128, iod_px=120.0)
    assert larger.all()


@pytest.fixture
def with_patches(talking_head):
    """Factory: the family's values where face and background patches are made by functions."""

    def make(face, background=None):
        observation = talking_head(audio=False)
        track = observation.tracks[0]
        changes = {"patch_face": tuple(face() for _ in track.crops)}
        if background is not None:
            changes["patch_background"] = tuple(background() for _ in track.crops)
        return residual.measure(observation, replace(track, **changes))

    return make


def test_an_enlarged_face_has_weak_and_correlated_residuals(with_patches, rng):
    def enlarged():
        return cv2.resize(texture(rng, 64), (128, 128), interpolation=cv2.INTER_LINEAR)

    values, plain = with_patches(enlarged), with_patches(lambda: texture(rng, 128))
    for kernel in rich_model.KERNELS:
        assert plain[f"residual.{kernel}_fb_std_med"] == pytest.approx(0.0, abs=0.1)
        assert plain[f"residual.{kernel}_cooc_fb_js"] < 0.1 < values[f"residual.{kernel}_cooc_fb_js"]
        assert values[f"residual.{kernel}_ac1_med"] > plain[f"residual.{kernel}_ac1_med"] + 0.15
        assert values[f"residual.{kernel}_zero_share_med"] > 2 * plain[f"residual.{kernel}_zero_share_med"]
    assert values["residual.kb_fb_std_med"] == pytest.approx(-2.7, abs=0.4)
    assert plain["residual.kb_ac1_med"] == pytest.approx(-0.58, abs=0.03)
    assert values["residual.ela_fb_med"] < -0.2
    assert values["residual.noise_fb_med"] < -1


def test_noise_of_half_the_strength(with_patches, rng):
    def noisy(spread):
        return lambda: np.clip(np.rint(120 + spread * rng.standard_normal((128, 128))), 0, 255).astype(np.uint8)

    values = with_patches(noisy(6.0), noisy(12.0))
    for name in ("kb_fb_std", "kv_fb_std", "h2_fb_std", "noise_fb"):
        assert values[f"residual.{name}_med"] == pytest.approx(np.log(0.5), abs=0.03)
    assert values["residual.kb_std_med"] == pytest.approx(9.0, rel=0.02)


def test_grids_of_face_and_background(with_patches, rng):
    def coded(top):
        def make():
            image = cv2.imencode(".jpg", texture(rng, 160), [cv2.IMWRITE_JPEG_QUALITY, 15])[1]
            return np.ascontiguousarray(cv2.imdecode(image, 0)[top : top + 128, :128])

        return make

    assert with_patches(coded(0), coded(8))["residual.grid8_same_share"] == 1.0
    assert with_patches(coded(3), coded(8))["residual.grid8_same_share"] == 0.0


def test_a_softened_face_within_its_crop(talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    plain = residual.measure(observation, track)
    from features.measures.face_regions import face_crops

    crops = face_crops(observation, track, range(16))
    soft = tuple(
        np.where((crop.distance_iod < 0)[..., None], cv2.GaussianBlur(crop.rgb, (0, 0), 0.7), crop.rgb)
        for crop in crops
    )
    values = residual.measure(observation, replace(track, crops=soft))
    for kernel in rich_model.KERNELS:
        assert plain[f"residual.{kernel}_fo_std_med"] == pytest.approx(0.0, abs=0.05)
        assert values[f"residual.{kernel}_fo_std_med"] < -0.7
        assert values[f"residual.{kernel}_fo_ac1_med"] > 0.1
    assert values["residual.ela_fo_med"] < plain["residual.ela_fo_med"] - 0.1
    assert values["residual.kb_std_med"] == plain["residual.kb_std_med"]  # of the native patch


def test_noise_of_colour_is_not_that_of_lightness(talking_head, rng):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    from features.measures.face_regions import face_crops

    def coloured(crop):
        spread = np.where(crop.distance_iod < 0, 4.0, 8.0)[..., None]
        side = len(spread)
        same = 20 * rng.standard_normal((side, side, 1))
        return np.clip(np.rint(120 + same + spread * rng.standard_normal((side, side, 3))), 0, 255).astype(np.uint8)

    crops = tuple(coloured(crop) for crop in face_crops(observation, track, range(16)))
    values = residual.measure(observation, replace(track, crops=crops))
    assert values["residual.chroma_noise_fo_med"] == pytest.approx(np.log(0.5), abs=0.05)


@pytest.mark.parametrize(("n_missing", "defined"), [(0, True), (3, True), (4, False)])
def test_co_occurrences_are_compared_in_frames_that_have_a_background(talking_head, rng, n_missing, defined):
    """Of the eight sampled frames, those without a background show another face: they must not count."""
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    faces, backgrounds = [], []
    for number in range(len(track.crops)):
        bare = number // 2 < n_missing
        faces.append(np.full((128, 128), 100, np.uint8) if bare else texture(rng, 128))
        backgrounds.append(np.empty((0, 0), np.uint8) if bare else texture(rng, 128))
    values = residual.measure(observation, replace(track, patch_face=tuple(faces), patch_background=tuple(backgrounds)))
    assert len(face_regions.sampled(track)) == 8
    for kernel in rich_model.KERNELS:
        assert np.isfinite(values[f"residual.{kernel}_fb_std_med"]) == defined
        assert np.isfinite(values[f"residual.{kernel}_cooc_fb_js"]) == defined
        assert np.isfinite(values[f"residual.{kernel}_cooc_ent"])
        assert not values[f"residual.{kernel}_cooc_fb_js"] > 0.1


def test_missing_backgrounds_cost_only_the_comparisons(talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    bare = replace(track, patch_background=tuple(np.empty((0, 0), np.uint8) for _ in track.crops))
    values = residual.measure(observation, bare)
    compared = [name for name in values if "_fb_" in name] + ["residual.grid8_same_share"]
    assert len(compared) == 9
    assert np.isnan([values[name] for name in compared]).all()
    assert np.isfinite([values["residual.kb_std_med"], values["residual.kb_fo_std_med"]]).all()


@pytest.mark.parametrize("grey", [0, 255, None], ids=["black", "white", "no_patch"])
def test_overexposed_and_missing_faces_say_nothing(with_patches, grey):
    def face():
        return np.empty((0, 0), np.uint8) if grey is None else np.full((128, 128), grey, np.uint8)

    values = with_patches(face)
    assert values.pop("residual.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()


def test_a_flat_face_has_zeros_and_no_ratios(with_patches):
    values = with_patches(lambda: np.full((128, 128), 90, np.uint8))
    assert values["residual.kb_zero_share_med"] == 1.0
    assert values["residual.kb_cooc_ent"] == 0.0
    undefined = [f"{kernel}_{name}" for kernel in rich_model.KERNELS for name in ("fb_std", "kurt", "ac1")]
    assert np.isnan([values[f"residual.{name}_med"] for name in (*undefined, "noise_fb")]).all()
