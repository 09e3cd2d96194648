"""What is said of blinks of known length and depth; whole people who blink, and what must not be counted."""

from dataclasses import replace

import numpy as np
import pytest
from people import blink_curve, pose_points

from features.families import blink

MOMENTS = (1.5, 4.2, 7.7)


def person(moments, *, fps=30.0, seconds=10.0, yaw=0.0):
    t = np.arange(round(seconds * fps)) / fps
    still = np.zeros_like(t)
    return pose_points(t, pose_deg=(still, still + yaw, still), closed=blink_curve(t, moments), mouth_open=still)


def measured(make_track, make_observation, landmarks, fps=30.0, **more):
    track = make_track(landmarks, **more)
    return blink.measure(make_observation(track, fps=fps), track)


def jerked(points, moments):
    """The landmarks of a head that jerks aside, and back, in turn, at these moments."""
    times = np.arange(len(points)) / 30.0
    for number, moment in enumerate(moments):
        aside = 180.0 * (0.5 + 0.5 * np.tanh((times - moment) / 0.06)) * (-1) ** number
        points = points + aside[:, None, None] * np.array([1.0, 0.0])
    return points


def test_an_interval_ends_at_no_discarded_blink(make_track, make_observation):
    """Non-regression test: of somebody who blinks every 3 s, and jerks the head at some, intervals were 9 s."""
    moments = np.arange(1.5, 24.0, 3.0)
    values = measured(make_track, make_observation, jerked(person(moments, seconds=24.0), moments[3:5]))
    assert values["blink.count"] == 6.0
    assert values["blink.ibi_med_s"] == pytest.approx(3.0, abs=0.05)
    assert values["blink.ibi_cv"] == pytest.approx(0.0, abs=0.02)
    alternate = measured(make_track, make_observation, jerked(person(moments, seconds=24.0), moments[::2]))
    assert alternate["blink.count"] == 4.0
    assert np.isnan(alternate["blink.ibi_med_s"])  # no two neighbours are left


def test_a_discarded_blink_is_no_time_without_blinking(make_track, make_observation):
    """Non-regression test: where the head jerked at every blink, "no blink was seen" was next to impossible."""
    moments = np.arange(1.5, 24.0, 3.0)
    still = measured(make_track, make_observation, person(moments, seconds=24.0))
    values = measured(make_track, make_observation, jerked(person(moments, seconds=24.0), moments))
    assert values["blink.count"] == 0.0
    assert values["blink.none_logp"] == 0.0
    assert still["blink.obs_s"] == pytest.approx(24.0, abs=0.01)
    assert values["blink.obs_s"] == pytest.approx(24.0 - 8 * 0.16, abs=0.2)  # a blink is 0.16 s below 0.85


def test_time_in_which_the_eyes_are_not_seen_is_no_interval(make_track, make_observation):
    """Non-regression test: somebody who blinks every 3 s and is away for 20 had intervals of 26 s."""
    moments = np.array([2.0, 5.0, 8.0, 34.0, 37.0, 40.0])
    points = person(moments, seconds=43.0)
    points[10 * 30 : 32 * 30] = np.nan
    values = measured(make_track, make_observation, points)
    assert values["blink.count"] == 6.0
    assert values["blink.ibi_med_s"] == pytest.approx(3.0, abs=0.05)
    assert values["blink.ibi_cv"] == pytest.approx(0.0, abs=0.02)


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


@pytest.mark.parametrize(("yaw", "far"), [(30.0, slice(36, 42)), (-30.0, slice(42, 48))])
def test_a_turned_head_is_read_by_its_nearer_eye(make_track, make_observation, yaw, far):
    points = person(MOMENTS, yaw=yaw)
    points[:, far] = points[0, far]  # what is hidden does not move
    values = measured(make_track, make_observation, points)
    assert values["blink.count"] == 3.0
    assert np.isnan(values["blink.lr_corr"])
    assert measured(make_track, make_observation, person(MOMENTS, yaw=1.5 * yaw))["blink.valid_share"] == 0.0


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


@pytest.mark.parametrize("unit_s", [0.0, 1e-3, 1 / 90_000], ids=["exact", "milliseconds", "90 kHz"])
@pytest.mark.parametrize("fps", [24.0, 24_000 / 1001])
@pytest.mark.parametrize("start_s", [0.0, 7.3])
def test_film_has_speeds_and_lags(make_track, make_observation, fps, unit_s, start_s):
    """Non-regression test: 23.99999999999999 frames a second were fewer than 24, and 23.976 always are."""
    points = person((1.5, 4.2, 7.7, 12.1), fps=fps, seconds=20.0)
    times = start_s + np.arange(len(points)) / fps
    track = make_track(points)
    stamps = np.round(times / unit_s) * unit_s if unit_s else times
    values = blink.measure(make_observation(track, times=stamps), track)
    assert values["blink.count"] == 4.0
    assert values["blink.close_speed_med"] == pytest.approx(11.0, abs=2.0)
    assert values["blink.lr_lag_s"] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("unit_s", [0.0, 1e-3], ids=["exact", "milliseconds"])
@pytest.mark.parametrize(("fps", "seconds"), [(25.0, 3.0), (30.0, 3.0), (24.0, 3.0), (12.0, 10.0), (12.0, 3.0)])
@pytest.mark.parametrize("start_s", [0.0, 7.3])
def test_the_shortest_and_slowest_clips_are_measured(make_track, make_observation, fps, seconds, unit_s, start_s):
    """Non-regression test: a sum of 2.9999999999999996 s was no 3 s, 11.999999999999998 frames no 12."""
    points = person((1.5,), fps=fps, seconds=seconds)
    times = start_s + np.arange(len(points)) / fps
    track = make_track(points)
    stamps = np.round(times / unit_s) * unit_s if unit_s else times
    assert blink.measure(make_observation(track, times=stamps), track)["blink.count"] == 1.0


@pytest.mark.parametrize("start_s", [0.0, 1.7, 7.3, 3600.123])
@pytest.mark.parametrize("fps", [15_000 / 1001, 15.0])
def test_eyes_are_compared_at_15_fps_whenever_the_clip_begins(make_track, make_observation, fps, start_s):
    """Non-regression test: windows of 4.5 and 1.5 samples were rounded to even numbers, too short to compare."""
    points = person(MOMENTS, fps=fps)
    track = make_track(points)
    values = blink.measure(make_observation(track, times=start_s + np.arange(len(points)) / fps), track)
    assert values["blink.lr_corr"] == pytest.approx(1.0, abs=1e-3)


def test_nobody_blinks_in_a_freeze_frame(talking_head):
    """Non-regression test: an encoded freeze frame, of which no two frames are equal, was time without a blink."""
    observation = talking_head(duration_s=12.0, blinks=(1.5, 3.0))
    track, n = observation.tracks[0], len(observation.times_s)
    landmarks, flow, sharpness = track.landmarks.copy(), track.flow.copy(), track.sharpness.copy()
    landmarks[n // 2 :] = landmarks[n // 2]
    flow[n // 2 + 1 :] = landmarks[n // 2] + 0.02  # px, of a face of 200
    sharpness[n // 2 :] = sharpness[n // 2]
    frozen = replace(track, landmarks=landmarks, flow=flow, sharpness=sharpness)
    values = blink.measure(replace(observation, tracks=(frozen,)), frozen)
    assert values["blink.obs_s"] == pytest.approx(6.0, abs=0.1)
    assert values["blink.count"] == 2
    flow = flow.copy()
    flow[n // 2 + 1 :: 20] += 2.0  # something moves in every 0.7 s: no freeze frame
    moving = replace(frozen, flow=flow)
    assert blink.measure(replace(observation, tracks=(moving,)), moving)["blink.obs_s"] == pytest.approx(12.0, abs=0.1)
