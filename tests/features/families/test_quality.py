"""Quality measures on images of known noise, blur, blocks and exposure."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from people import pose_points, texture
from scipy.ndimage import gaussian_filter, sobel, uniform_filter1d

from features.families import quality
from features.measures.geometry import FACE_MODEL, head


def noise(rng, sigma=5.0, side=128):
    return 100.0 + sigma * rng.standard_normal((side, side))


def test_sharpness_of_white_noise(rng):
    assert 10 ** quality.blur_lap(noise(rng)) == pytest.approx(20 * 25, rel=0.05)
    assert 10 ** quality.blur_ten(noise(rng)) == pytest.approx(24 * 25, rel=0.05)


def expected_blur(sigma):
    """Crete's blur of white noise that went through a Gaussian, from the filters' impulse responses.

    The gradient x and that of the image blurred again, y, are normal with standard deviations that are the norms of
    their responses. What blurring takes away is the mean of max(0, |x| - |y|) = (|x + y| + |x - y|) / 2 - |y|.
    """
    impulse = np.zeros((129, 129))
    impulse[64, 64] = 1.0
    image = gaussian_filter(impulse, sigma)
    x, y = (sobel(each, axis=0) for each in (image, uniform_filter1d(image, 11, axis=0)))
    taken = (np.linalg.norm(x + y) + np.linalg.norm(x - y)) / 2 - np.linalg.norm(y)
    return 1.0 - taken / np.linalg.norm(x)


@pytest.mark.parametrize("sigma", [0, 1, 2, 4])
def test_blur_effect_of_blurred_noise(rng, sigma):
    found = [quality.blur_eff(gaussian_filter(noise(rng), sigma)) for _ in range(4)]
    assert np.mean(found) == pytest.approx(expected_blur(sigma), rel=0.05)


def test_stronger_compression_is_blockier(rng):
    found = []
    for level in (75, 50, 20):
        images = [cv2.imencode(".jpg", texture(rng, 128), [cv2.IMWRITE_JPEG_QUALITY, level])[1] for _ in range(6)]
        found.append(np.mean([quality.blockiness(cv2.imdecode(i, 0).astype(float)) for i in images]))
    assert found[0] < found[1] < found[2]
    assert quality.blockiness(np.kron(rng.uniform(0, 255, (16, 16)), np.ones((8, 8))) + noise(rng, 1.0)) > 10


def test_a_constant_image():
    flat = np.full((128, 128), 90.0)
    assert np.isnan([quality.blur_lap(flat), quality.blur_ten(flat), quality.blur_eff(flat)]).all()
    assert np.isnan(quality.blockiness(flat))


def test_exposure():
    image = np.r_[np.zeros(10), np.full(80, 100.0), np.full(10, 255.0)].reshape(10, 10)
    assert quality.expo_med(image) == 100.0
    assert quality.expo_clip_share(image) == pytest.approx(0.2)
    assert quality.contrast(image) == 255.0


def test_grey_levels_are_those_of_the_image_not_of_its_coding(talking_head):
    full = talking_head(audio=False)
    track = full.tracks[0]
    coded = tuple(np.round(16 + patch * (219 / 255)).astype(np.uint8) for patch in track.patch_face)
    limited = replace(full, luma_levels=(16, 235))
    expected = quality.measure(full, track)
    found = quality.measure(limited, replace(track, patch_face=coded))
    for measure in ("expo_med", "contrast", "blur_lap", "noise_imm"):
        name = f"quality.{measure}_face_med"
        assert found[name] == pytest.approx(expected[name], rel=0.03), name


def test_blacker_than_black_is_black(talking_head):
    observation = replace(talking_head(audio=False), luma_levels=(16, 235))
    track = observation.tracks[0]
    dark, ramp = np.full((128, 128), 3, np.uint8), np.tile(np.arange(128, dtype=np.uint8) * 2, (128, 1))
    black, full = (
        quality.measure(observation, replace(track, patch_face=(patch,) * len(track.patch_face)))
        for patch in (dark, ramp)
    )
    assert black["quality.expo_med_face_med"] == black["quality.contrast_face_med"] == 0.0
    assert full["quality.contrast_face_med"] == pytest.approx(255.0, abs=1)


def test_size_and_motion(talking_head):
    observation = talking_head(audio=False, noise_px=0.0)
    values = quality.measure(observation, observation.tracks[0])
    assert values["quality.iod_px"] == pytest.approx(90.0, rel=0.02)
    assert values["quality.valid_share"] == 1.0


def test_a_head_that_looks_to_either_side_is_turned(make_track, make_observation):
    still, yaw = np.zeros(60), np.repeat([-20.0, 20.0], 30)
    points = pose_points(np.arange(60) / 30.0, pose_deg=(still, yaw, still), closed=still, mouth_open=still)
    track = make_track(points)
    assert quality.measure(make_observation(track), track)["quality.yaw_abs_med"] == pytest.approx(20.0, abs=4.0)


def test_the_face_covers_the_area_of_its_outline(rng, make_track, make_observation):
    """A trapezium 300 px high, 200 px wide at the brows and 120 at the chin; the other landmarks lie inside."""
    corners = np.array([(100, 100), (300, 100), (260, 400), (140, 400)], float)
    inside = rng.dirichlet(np.ones(4), 64) @ corners
    points = np.concatenate([corners, inside])
    track = make_track(np.tile(points, (30, 1, 1)), crops=0)
    face = head(make_observation(track), track)
    found = quality.face_area_share(face, frame_size=(1280, 720))
    assert found == pytest.approx((200 + 120) / 2 * 300 / (1280 * 720))


def test_speed_of_a_moving_face(make_track, make_observation):
    t = np.arange(90) / 30.0
    points = 90.0 * FACE_MODEL[None, :, :2] + 300.0 + 45.0 * t[:, None, None] * [1.0, 0.0]
    track = make_track(points, crops=0)
    face = head(make_observation(track), track)
    assert quality.motion_med(face) == pytest.approx(45.0 / face.scale_px)


@pytest.mark.parametrize("start_s", [0.0, 1.0, 2.5, 17.5])
def test_speed_at_7_5_fps_does_not_depend_on_when_the_clip_begins(make_track, make_observation, start_s):
    """Non-regression test: 0.2 s are 1.5 samples, which were now 1, now 2."""
    t = np.arange(45) / 7.5
    points = 90.0 * FACE_MODEL[None, :, :2] + 300.0 + 45.0 * np.sin(3 * t)[:, None, None] * [1.0, 0.0]
    track = make_track(points, crops=0)
    at_0, later = (quality.motion_med(head(make_observation(track, times=s + t), track)) for s in (0.0, start_s))
    assert later == pytest.approx(at_0, rel=1e-6)


def test_patches_are_summarised_by_place_and_empty_ones_left_out():
    patches = [np.full((64, 64), level, np.uint8) for level in (10, 20, 30, 40, 50)]
    found = quality.patch_columns([*patches, np.empty((0, 0), np.uint8)], place="bg", luma_levels=(0, 255))
    assert found["expo_med_bg_med"] == 30.0
    assert np.isnan(found["expo_med_bg_mad"])  # needs eight
    fewer = quality.patch_columns(patches[:4], place="bg", luma_levels=(0, 255))
    assert np.isnan(fewer["expo_med_bg_med"])


def test_a_small_face_keeps_its_size_and_the_background(talking_head):
    observation = talking_head(audio=False)
    track = replace(observation.tracks[0], patch_face=tuple(np.empty((0, 0), np.uint8) for _ in range(16)))
    values = quality.measure(observation, track)
    assert np.isnan(values["quality.noise_imm_face_med"])
    assert np.isfinite([values["quality.noise_imm_bg_med"], values["quality.iod_px"]]).all()


def test_a_face_that_is_there_for_a_part_of_the_clip(talking_head):
    """Two thirds of the track's frames show it, and they are a third of the clip's; their scores alone count."""
    observation = talking_head(duration_s=10.0)
    track = observation.tracks[0]
    part = slice(0, 150)
    samples = {
        name: getattr(track, name)[part]
        for name in ("frame_index", "landmarks", "flow", "box", "detector_score", "sharpness")
    }
    kept = track.crop_index < 100
    crops = {
        name: getattr(track, name)[: kept.sum()]
        for name in ("crop_index", "crop_box", "crops", "embedding", "patch_face", "patch_background")
    }
    samples["landmarks"] = samples["landmarks"].copy()
    samples["landmarks"][100:] = np.nan
    samples["detector_score"] = np.where(np.arange(150) < 70, 0.9, 0.1).astype(np.float32)  # lower at the end
    shown = replace(track, **samples, **crops)
    values = quality.measure(replace(observation, tracks=(shown,)), shown)
    assert values["quality.valid_share"] == pytest.approx(2 / 3)
    assert values["quality.clip_share"] == pytest.approx(1 / 3)
    assert values["quality.detector_conf_med"] == pytest.approx(0.9)


def test_a_face_in_every_frame_that_is_no_repetition_is_in_the_whole_clip(talking_head):
    observation = talking_head(audio=False)
    doubled = replace(observation, duplicate=np.arange(len(observation.duplicate)) % 2 == 1)
    assert quality.measure(doubled, doubled.tracks[0])["quality.clip_share"] == pytest.approx(1.0)


def test_a_still_title_card_counts_as_time_without_the_face(talking_head):
    """Non-regression test: equal frames were left out, so that a second of face and nine of a card were all face."""
    observation = talking_head(audio=False)
    n, still = len(observation.times_s), np.ones(3 * len(observation.times_s), bool)
    longer = replace(
        observation,
        times_s=np.arange(4 * n) / 30.0,
        duplicate=np.concatenate([observation.duplicate, still]),
    )
    assert quality.measure(longer, longer.tracks[0])["quality.clip_share"] == pytest.approx(0.25)
