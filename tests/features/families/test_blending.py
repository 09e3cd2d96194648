"""A face against its surroundings: planted blur, colour, noise and seams."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from people import texture

from features import face_regions
from features.families import blending


@pytest.fixture
def with_crops(talking_head):
    """Factory: an observation whose crops are given by a function of their regions; and the family's values of it."""

    def make(picture):
        observation = talking_head(sound=False)
        track = observation.tracks[0]
        crops = face_regions.face_crops(observation, track, range(len(track.crops)))
        track = replace(track, crops=tuple(picture(crop) for crop in crops))
        observation = replace(observation, tracks=(track,))
        return observation, blending.measure(observation, track)

    return make


def grey(image):
    return np.repeat(np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_a_blurred_face_is_softer_than_its_surroundings_by_what_the_blur_takes(with_crops, rng):
    def blurred(crop):
        image = texture(rng, crop.rgb.shape[0]).astype(np.float32)
        soft = cv2.GaussianBlur(image, (0, 0), 2.0)
        expected.append(np.log(blending._squared_gradient(soft).mean() / blending._squared_gradient(image).mean()))
        return grey(np.where(crop.distance_iod < 0, soft, image))

    expected = []
    _, values = with_crops(blurred)
    assert np.median(expected) < -2
    assert values["blending.ten_inside_around_med"] == pytest.approx(np.median(expected), abs=0.1)
    assert values["blending.ten_inside_background_med"] == pytest.approx(np.median(expected), abs=0.1)
    assert values["blending.lap_inside_around_med"] < -2
    assert values["blending.noise_inside_around_med"] < -2
    assert values["blending.ten_inside_around_mad"] < 0.1


def test_an_untouched_face_is_as_sharp_as_its_surroundings(with_crops, rng):
    _, values = with_crops(lambda crop: grey(texture(rng, crop.rgb.shape[0])))
    ratios = [name for name in values if name.startswith(("blending.ten_", "blending.lap_", "blending.noise_"))]
    assert len(ratios) == 14
    assert max(abs(values[name]) for name in ratios) < 0.1
    assert values["blending.lab_rim_around_med"] < 3


def test_noise_is_compared_in_the_smoother_half(with_crops, rng):
    def noisy(crop):
        side = crop.rgb.shape[0]
        spread = np.where(crop.distance_iod < 0, 10.0, 20.0)
        bars = 90.0 * (np.indices((side, side)).sum(axis=0) % 12 < 6) * (crop.landmarks[30, 0] < np.arange(side))
        return grey(60 + bars * (crop.distance_iod < 0) + spread * rng.standard_normal((side, side)))

    _, values = with_crops(noisy)
    assert values["blending.noise_inside_around_med"] == pytest.approx(np.log(0.5), abs=0.1)
    assert values["blending.ten_inside_around_med"] > 0  # the bars are edges


def test_colours_are_compared_by_their_medians(with_crops):
    def two_colours(crop):
        picture = np.where((crop.distance_iod < 0)[..., None], np.uint8([180, 140, 120]), np.uint8([190, 140, 120]))
        picture[int(crop.landmarks[30, 1]), :] = (0, 0, 255)
        return picture

    _, values = with_crops(two_colours)
    pixels = np.float32([[[180, 140, 120], [190, 140, 120]]]) / np.float32(255)
    ((inside, around),) = cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)
    expected, without_lightness = np.linalg.norm(inside - around), np.linalg.norm((inside - around)[1:])
    assert 3 < without_lightness < expected
    assert values["blending.lab_inside_around_med"] == pytest.approx(expected, rel=1e-3)
    assert values["blending.lab_rim_around_med"] == pytest.approx(expected, rel=1e-3)
    assert values["blending.chroma_inside_around_med"] == pytest.approx(without_lightness, rel=1e-3)
    assert values["blending.lab_inside_around_mad"] == pytest.approx(0.0, abs=1e-3)


def test_bhattacharyya_distance_of_normal_colours(rng):
    a, b = rng.normal(0, 2, (200_000, 1)), rng.normal(3, 4, (200_000, 1))
    mean_variance = (5 + 17) / 2  # each with 1 added
    expected = 9 / mean_variance / 8 + np.log(mean_variance / np.sqrt(5 * 17)) / 2
    assert blending.bhattacharyya(a, b) == pytest.approx(expected, rel=0.02)
    assert blending.bhattacharyya(a, a) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("where_iod", [-0.075, -0.195])
def test_a_step_inside_the_edge_is_found_where_it_runs(with_crops, rng, where_iod):
    def stepped(crop):
        image = texture(rng, crop.rgb.shape[0], sd=10.0)
        return grey(image + 3.0 * np.tanh((crop.distance_iod - where_iod) * crop.iod_px / 2))

    _, values = with_crops(stepped)
    _, plain = with_crops(lambda crop: grey(texture(rng, crop.rgb.shape[0], sd=10.0)))
    assert values["blending.seam_pos_iod"] == pytest.approx(where_iod, abs=0.016)
    assert values["blending.seam_lightness_z"] > 2 * plain["blending.seam_lightness_z"]
    assert values["blending.seam_z"] == pytest.approx(values["blending.seam_lightness_z"])
    assert np.isnan(values["blending.seam_chroma_z"])  # grey


def test_a_step_in_hue_alone_is_a_seam_of_chroma(with_crops, rng):
    def stepped(crop):
        side = crop.rgb.shape[0]
        image = np.repeat(texture(rng, side, sd=10.0)[..., None], 3, axis=2) + rng.normal(0, 2, (side, side, 3))
        image[..., 0] += 8.0 * (crop.distance_iod > -0.135)
        image[..., 2] -= 8.0 * (crop.distance_iod > -0.135)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    _, values = with_crops(stepped)
    assert values["blending.seam_chroma_z"] > 2 * values["blending.seam_lightness_z"]
    assert values["blending.seam_chroma_z"] > 10
    assert values["blending.seam_pos_iod"] == pytest.approx(-0.135, abs=0.016)


def test_sharpness_that_rises_going_out_shows_where_it_rises(with_crops, rng):
    def soft_inside(crop):
        image = texture(rng, crop.rgb.shape[0]).astype(np.float32)
        return grey(np.where(crop.distance_iod < -0.12, cv2.GaussianBlur(image, (0, 0), 1.5), image))

    _, soft = with_crops(soft_inside)
    _, plain = with_crops(lambda crop: grey(texture(rng, crop.rgb.shape[0])))
    assert soft["blending.seam_ten_rise"] > 1.0
    assert plain["blending.seam_ten_rise"] < 0.3


def test_columns_are_medians_of_the_series_that_a_page_shows(with_crops, rng):
    observation, values = with_crops(lambda crop: grey(texture(rng, crop.rgb.shape[0])))
    shown = blending.region_series(observation, observation.tracks[0])
    for name, (measured, _) in blending.SHOWN.items():
        assert np.median(shown[f"blending.{name}"].values[::2]) == pytest.approx(values[f"blending.{measured}_med"])
    assert len(shown["blending.sharpness"].times_s) == 16


def test_turned_faces_are_left_out(talking_head, rng):
    observation = talking_head(sound=False)
    track = observation.tracks[0]
    turned = track.landmarks.copy()
    at = track.crop_index[:8]
    turned[at] = turned[at] * np.float32([0.5, 1.0])  # as narrow as a face turned by far more than 35 degrees
    turned[at, 27:36] += np.float32([60.0, 0.0])
    some = blending.measure(observation, replace(track, landmarks=turned))
    assert some["blending.valid_share"] == pytest.approx(0.5)
    assert np.isnan(some["blending.ten_inside_around_med"])  # four of eight


def test_a_flat_picture_has_no_ratios(with_crops):
    observation, values = with_crops(lambda crop: np.full(crop.rgb.shape, 90, np.uint8))
    assert values.pop("blending.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()
    assert blending.region_series(observation, observation.tracks[0]) == {}


def test_a_face_too_small_for_a_region_of_400_pixels(talking_head):
    observation = talking_head(sound=False)
    track = observation.tracks[0]
    small = replace(track, crops=tuple(np.ascontiguousarray(crop[::12, ::12]) for crop in track.crops))
    values = blending.measure(observation, small)
    assert values.pop("blending.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()


def test_a_held_still_counts_once(with_crops, rng):
    """A seam pooled over copies of one frame would need no more pixels than that frame has."""
    observation, _ = with_crops(lambda crop: grey(texture(rng, crop.rgb.shape[0])))
    track = observation.tracks[0]
    crop, box, sample = track.crops[0], track.crop_box[:1], track.crop_index[0]
    held = replace(
        track,
        landmarks=np.repeat(track.landmarks[sample][None], len(track), axis=0),
        crops=(crop,) * 16,
        crop_box=np.repeat(box, 16, axis=0),
    )
    found = blending.frames(observation, held, range(0, 16, 2))
    assert len({id(frame) for frame in found}) == 1
    values = blending.measure(observation, held)
    once = blending.seam_columns(*blending.profiles([found[0].band]))
    assert values["blending.seam_z"] == once["seam_z"]
    assert values["blending.ten_inside_around_mad"] == 0.0
