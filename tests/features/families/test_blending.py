"""The core of a face against its rest: planted blur, colour and noise."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from people import texture

from features.families import blending
from features.measures import face_regions


@pytest.fixture
def with_crops(talking_head):
    """Factory: an observation whose crops are given by a function of their regions; and the family's values of it."""
    plain = talking_head(audio=False)

    def make(image_of):
        track = plain.tracks[0]
        crops = face_regions.face_crops(plain, track, range(len(track.crops)))
        track = replace(track, crops=tuple(image_of(crop) for crop in crops))
        observation = replace(plain, tracks=(track,))
        return observation, blending.measure(observation, track)

    return make


def grey(image):
    return np.repeat(np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_a_blurred_core_is_softer_than_the_rest_by_what_the_blur_takes(with_crops, rng):
    expected = []

    def blurred(crop):
        image = texture(rng, crop.rgb.shape[0]).astype(np.float32)
        soft = cv2.GaussianBlur(image, (0, 0), 2.0)
        expected.append(np.log(blending.squared_gradient(soft).mean() / blending.squared_gradient(image).mean()))
        return grey(np.where(crop.core_iod < 0, soft, image))

    _, values = with_crops(blurred)
    assert np.median(expected) < -2
    assert values["blending.ten_core_rest_med"] == pytest.approx(np.median(expected), abs=0.1)
    assert values["blending.lap_core_rest_med"] < -2
    assert values["blending.noise_core_rest_med"] < -2


def test_an_untouched_face_is_as_sharp_in_its_core_as_elsewhere(with_crops, rng):
    _, values = with_crops(lambda crop: grey(texture(rng, crop.rgb.shape[0])))
    assert [values[f"blending.{name}_core_rest_med"] for name in blending.STRENGTHS] == pytest.approx([0] * 3, abs=0.1)
    _, softer = with_crops(lambda crop: grey(cv2.GaussianBlur(texture(rng, crop.rgb.shape[0]), (0, 0), 1.0)))
    assert softer["blending.ten_core_rest_med"] == pytest.approx(0.0, abs=0.1)  # all of it


def test_what_lies_outside_the_face_does_not_count(with_crops, rng):
    images = {}

    def plain(crop):
        images[id(crop)] = texture(rng, crop.rgb.shape[0])
        return grey(images[id(crop)])

    def other_background(crop):
        inside = crop.distance_iod < -0.01
        return grey(np.where(inside, images[id(crop)], rng.integers(0, 256, inside.shape)))

    _, before = with_crops(plain)
    _, after = with_crops(other_background)
    assert after == pytest.approx(before, abs=0.005)  # smoothing takes in a little of it


def test_noise_is_compared_in_the_smoother_half(with_crops, rng):
    def noisy(crop):
        side = crop.rgb.shape[0]
        spread = np.where(crop.core_iod < 0, 10.0, 20.0)
        bars = 90.0 * (np.indices((side, side)).sum(axis=0) % 12 < 6) * (crop.landmarks[30, 0] < np.arange(side))
        return grey(60 + bars * (crop.core_iod < 0) + spread * rng.standard_normal((side, side)))

    _, values = with_crops(noisy)
    assert values["blending.noise_core_rest_med"] == pytest.approx(np.log(0.5), abs=0.1)
    assert values["blending.ten_core_rest_med"] > 0  # the bars are edges


def test_colours_are_compared_by_their_medians(with_crops):
    def two_colours(crop):
        image = np.where((crop.core_iod < 0)[..., None], np.uint8([180, 140, 120]), np.uint8([190, 140, 110]))
        image[int(crop.landmarks[30, 1]), :] = (0, 0, 255)
        return image

    _, values = with_crops(two_colours)
    pixels = np.float32([[[180, 140, 120], [190, 140, 110]]]) / np.float32(255)
    ((core, rest),) = cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)
    found = [values[f"blending.{name}_core_rest_med"] for name in ("lightness", "red", "yellow")]
    assert found == pytest.approx((core - rest).tolist(), abs=0.02)
    assert found[1] < -2
    assert found[2] < -5
    assert values["blending.lab_core_rest_med"] == pytest.approx(np.linalg.norm(core - rest), rel=1e-3)
    assert values["blending.chroma_core_rest_med"] == pytest.approx(np.linalg.norm((core - rest)[1:]), rel=1e-3)


def test_columns_are_medians_of_the_series_that_a_page_shows(with_crops, rng):
    observation, values = with_crops(lambda crop: grey(texture(rng, crop.rgb.shape[0])))
    shown = blending.region_series(observation, observation.tracks[0])
    for name, (measured, unit, _) in blending.SHOWN.items():
        assert shown[f"blending.{name}"].unit == unit == {"detail": "1", "lightness": "L* difference"}[name]
        sample = shown[f"blending.{name}"].values[::2]
        assert np.median(sample) == pytest.approx(values[f"blending.{measured}_core_rest_med"])
    assert len(shown["blending.detail"].times_s) == 16


def test_turned_faces_are_left_out(talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    turned = track.landmarks.copy()
    at = track.crop_index[:8]
    turned[at] = turned[at] * np.float32([0.5, 1.0])  # as narrow as a face turned by far more than 35 degrees
    turned[at, 27:36] += np.float32([60.0, 0.0])
    some = blending.measure(observation, replace(track, landmarks=turned))
    assert some["blending.valid_share"] == pytest.approx(0.5)
    assert np.isnan(some["blending.ten_core_rest_med"])  # four of eight


def test_a_flat_image_has_no_ratios(with_crops):
    observation, values = with_crops(lambda crop: np.full(crop.rgb.shape, 90, np.uint8))
    assert values.pop("blending.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()
    assert blending.region_series(observation, observation.tracks[0]) == {}


def test_a_face_too_small_for_a_region_of_300_pixels(talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    small = replace(track, crops=tuple(np.ascontiguousarray(crop[::12, ::12]) for crop in track.crops))
    values = blending.measure(observation, small)
    assert values.pop("blending.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()


def test_a_held_still_is_compared_once(talking_head, monkeypatch):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    calls = []
    held = replace(
        track,
        landmarks=np.repeat(track.landmarks[track.crop_index[0]][None], len(track), axis=0),
        crops=track.crops[:1] * 16,
        crop_box=np.repeat(track.crop_box[:1], 16, axis=0),
    )
    once = blending.compared
    monkeypatch.setattr(blending, "compared", lambda crop: calls.append(crop) or once(crop))
    values = blending.measure(observation, held)
    assert len(calls) == 1
    assert values["blending.valid_share"] == 1.0
    assert np.isfinite(list(values.values())).all()
