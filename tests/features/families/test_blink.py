"""Blinks of known number, depth and length; what must not be counted."""

import numpy as np
import pytest
from people import blink_curve, pose_points

from features.families import blink
from features.series import Segment

MOMENTS = (1.5, 4.2, 7.7)


def person(moments, *, fps=30.0, seconds=10.0, yaw=0.0):
    t = np.arange(round(seconds * fps)) / fps
    still = np.zeros_like(t)
    return pose_points(t, pose_deg=(still, still + yaw, still), closed=blink_curve(t, moments), mouth_open=still)


def measured(make_track, make_observation, landmarks, fps=30.0, **more):
    track = make_track(landmarks, **more)
    return blink.measure(make_observation(track, fps=fps), track)


@pytest.mark.parametrize("fps", [30, 25, 24, 15])
def test_three_dips_are_three_events(rng, fps):
    t = np.arange(10 * fps) / fps
    ear = 0.30 - 0.22 * blink_curve(t, MOMENTS, depth=1.0) + 0.005 * rng.standard_normal(len(t))
    o = blink.openness(Segment(0.0, float(fps), ear), 0.3)
    found = blink.find_blinks(o, start_s=0.0, rate_hz=float(fps))
    assert [one.moment_s for one in found] == pytest.approx(MOMENTS, abs=0.03)
    if fps >= 24:
        assert np.median([1 - one.lowest for one in found]) == pytest.approx(0.73, abs=0.06)
        assert all(0.12 <= one.end_s - one.start_s <= 0.17 for one in found)


def test_a_long_closure_and_a_shallow_dip_are_no_blinks():
    t = np.arange(300) / 30.0
    closure = blink_curve(t, [5.0], width_s=1.5)
    shallow = blink_curve(t, [2.0], depth=0.3)
    assert blink.find_blinks(1.0 - closure - shallow, start_s=0.0, rate_hz=30.0) == []


def test_a_double_dip_is_one_event():
    t = np.arange(300) / 30.0
    o = 1.0 - blink_curve(t, [3.0, 3.18], width_s=0.16)
    assert len(blink.find_blinks(o, start_s=0.0, rate_hz=30.0)) == 1


def test_events_at_the_ends_count_without_a_length():
    t = np.arange(300) / 30.0
    (one,) = blink.find_blinks(1.0 - blink_curve(t, [0.0], width_s=0.4), start_s=0.0, rate_hz=30.0)
    assert not one.whole


def test_exposure_and_shrinkage():
    assert blink.rates(0, 10.0)["rate_shrunk_per_min"] == pytest.approx(4.43, abs=0.01)
    assert blink.rates(0, 10.0)["none_logp"] == pytest.approx(np.log(0.059), abs=0.01)
    assert blink.rates(3, 10.0)["rate_shrunk_per_min"] == pytest.approx(17.7, abs=0.05)
    assert blink.rates(3, 10.0)["none_logp"] == 0.0


def test_a_person_who_blinks_three_times(make_track, make_observation):
    values = measured(make_track, make_observation, person(MOMENTS))
    assert values["blink.count"] == 3.0
    assert values["blink.rate_per_min"] == pytest.approx(18.0)
    assert values["blink.ibi_med_s"] == pytest.approx(3.1, abs=0.05)
    assert values["blink.complete_share"] == 1.0
    assert values["blink.lr_corr"] == pytest.approx(1.0, abs=1e-3)
    assert values["blink.lr_lag_s"] == pytest.approx(0.0, abs=1e-3)
    assert values["blink.lr_amp_gap"] == pytest.approx(0.0, abs=1e-2)


def test_a_person_who_never_blinks(make_track, make_observation):
    values = measured(make_track, make_observation, person(()))
    assert values["blink.count"] == 0.0  # observed, not missing
    assert np.isnan(values["blink.dur_med_s"])
    assert np.isnan(values["blink.ibi_med_s"])


def test_one_eye_late_shows_as_lag(make_track, make_observation):
    points, late = person(MOMENTS), person(np.array(MOMENTS) + 0.067)
    points[:, 42:48] = late[:, 42:48]
    values = measured(make_track, make_observation, points)
    assert values["blink.lr_lag_s"] == pytest.approx(0.067, abs=0.02)
    assert values["blink.lr_corr"] < 0.9


def test_a_turned_head_is_read_by_its_nearer_eye(make_track, make_observation):
    points = person(MOMENTS, yaw=30.0)
    points[:, 36:42] += np.linspace(-3, 3, 6)[:, None]  # the far eye is guesswork
    values = measured(make_track, make_observation, points)
    assert values["blink.count"] == 3.0
    assert np.isnan(values["blink.lr_corr"])
    assert measured(make_track, make_observation, person(MOMENTS, yaw=45.0))["blink.valid_share"] == 0.0


def test_a_dip_during_a_head_turn_is_discarded(make_track, make_observation):
    points = person(MOMENTS)
    t = np.arange(len(points)) / 30.0
    points[:, :, 0] += 90.0 * np.clip((t - 4.0) / 0.4, 0, 1)[:, None]  # 2.5 iod/s through the second blink
    assert measured(make_track, make_observation, points)["blink.count"] == 2.0


def test_a_talking_head_keeps_its_blinks(make_track, make_observation):
    points = person(MOMENTS)
    t = np.arange(len(points)) / 30.0
    points[:, :, 0] += 90.0 * 0.4 * t[:, None]  # the speed of ordinary talk
    assert measured(make_track, make_observation, points)["blink.count"] == 3.0


def test_a_dip_in_a_blurred_frame_is_discarded(rng, make_track, make_observation):
    sharpness = rng.uniform(4.0, 5.0, (300, 3))
    sharpness[123:130, 0] = 1.0
    values = measured(make_track, make_observation, person(MOMENTS), sharpness=sharpness)
    assert values["blink.count"] == 2.0


@pytest.mark.parametrize(("fps", "seconds"), [(30.0, 2.5), (10.0, 10.0)], ids=["short", "slow"])
def test_too_little_is_nan(make_track, make_observation, fps, seconds):
    values = measured(make_track, make_observation, person((), fps=fps, seconds=seconds), fps=fps)
    assert values.pop("blink.valid_share") == 1.0
    assert np.isnan(list(values.values())).all()


def test_slow_clips_have_events_but_no_speeds(make_track, make_observation):
    values = measured(make_track, make_observation, person(MOMENTS, fps=15.0), fps=15.0)
    assert values["blink.count"] == 3.0
    assert np.isnan([values["blink.close_speed_med"], values["blink.lr_lag_s"]]).all()


@pytest.mark.parametrize("gap", [4, 8])
def test_lid_gap_is_read_from_the_picture(gap):
    eye = np.full((80, 80), 180, np.uint8)
    eye[40 - gap : 40 + gap, 20:60] = 40  # a dark opening 2 * gap high between corners 28 px apart
    found = blink.eye_opening(eye, np.array([[26.0, 40.0], [54.0, 40.0]]))
    assert found == pytest.approx(2 * gap / 28.0, abs=0.08)
    assert np.isnan(blink.eye_opening(np.full((80, 80), 99, np.uint8), np.array([[26.0, 40.0], [54.0, 40.0]])))
