"""Jitter: known residuals, the Kalman gain, head motion that must not count."""

import numpy as np
import pytest
from people import pose_points

from features import series
from features.families import landmark_jitter
from features.geometry import FACE_MODEL
from features.series import Segment

N, FPS = 300, 30.0
STILL = np.zeros(N)


def still(**more):
    return pose_points(np.arange(N) / FPS, pose_deg=(STILL, STILL, STILL), closed=STILL, mouth_open=STILL, **more)


def measured(make_track, make_observation, landmarks, **more):
    track = make_track(landmarks, crops=0, **more)
    return landmark_jitter.measure(make_observation(track), track)


def test_a_frozen_face_has_no_jitter(make_track, make_observation):
    values = measured(make_track, make_observation, still())
    assert values["landmark_jitter.mouth_jitter_med_iod"] == pytest.approx(0.0, abs=1e-6)
    assert values["landmark_jitter.detres_med_iod"] == 0.0
    assert values["landmark_jitter.flow_reject_share"] == 0.0
    assert values["landmark_jitter.valid_share"] == 1.0


def test_rigid_motion_in_the_plane_leaves_no_residual(make_track, make_observation):
    t = np.arange(N) / FPS
    points = pose_points(
        t, pose_deg=(STILL, STILL, 15 * np.sin(2 * np.pi * t)), closed=STILL, mouth_open=STILL, scale_px=90.0
    )
    points = points + 40 * np.stack([np.cos(3 * t), np.sin(5 * t)], axis=1)[:, None]
    flow = points.copy()
    flow[0] = np.nan
    values = measured(make_track, make_observation, points, flow=flow)
    for region in ("jaw", "brows", "nose", "eyes", "mouth"):
        assert values[f"landmark_jitter.{region}_jitter_q90_iod"] < 1e-5  # landmarks are stored as float32


def test_white_noise_leaves_the_known_residual(rng):
    noise = Segment(0.0, FPS, rng.standard_normal((N, 68, 2)))
    length = np.linalg.norm(landmark_jitter.residual(noise), axis=2)
    assert np.median(length) == pytest.approx(0.95, abs=0.02)


def test_derivatives_of_a_cubic_are_exact():
    t = np.arange(60) / FPS
    part = Segment(0.0, FPS, t**2)
    assert series.derivative(part, 1)[10:-10] == pytest.approx(2 * t[10:-10])
    assert series.derivative(part, 2)[10:-10] == pytest.approx(2.0)
    assert series.derivative(Segment(0.0, FPS, t**3), 3)[10:-10] == pytest.approx(6.0, rel=1e-5)


def test_a_five_hertz_wobble_fills_the_band():
    t = np.arange(N) / FPS
    wobble = Segment(0.0, FPS, np.sin(2 * np.pi * 5 * t)[:, None])
    e = Segment(0.0, FPS, landmark_jitter.residual(wobble))
    assert series.band_shares([e], [landmark_jitter.BAND])[0] > 0.99


def test_the_filter_settles_at_the_known_gain():
    """Q = 0.3, R = 1: P = 0.418 after the update, K = 0.418; the response to one outlier shows K."""
    n = 60
    z = np.zeros((n, 1, 2))
    z[:, 0, 0] = np.cumsum(np.ones(n))  # moves 1 a step, as the flow does: R = 1
    flow = np.zeros((n, 1, 2))
    flow[:, 0, 0] = 1.0
    z_late = z.copy()
    z_late[:, 0, 1] = np.where(np.arange(n) >= 50, 1e-6, 0.0)  # a small sideways step leaves R alone
    x = landmark_jitter.calibrate(z_late, flow)
    assert x[50, 0, 1] / 1e-6 == pytest.approx(0.418, abs=0.001)


def test_untrusted_points_take_the_detection(rng):
    z = rng.standard_normal((20, 68, 2))
    flow = rng.standard_normal((20, 68, 2))
    flow[5, 3] = np.nan
    x = landmark_jitter.calibrate(z, flow)
    assert np.array_equal(x[5, 3], z[5, 3])
    assert not np.array_equal(x[5, 4], z[5, 4])
    assert np.array_equal(landmark_jitter.calibrate(z, np.full_like(z, np.nan)), z)


def test_flow_takes_detector_noise_away(rng, make_track, make_observation):
    true = still()
    seen = true + rng.standard_normal(true.shape)
    flow = np.full_like(seen, np.nan)
    flow[1:] = seen[:-1] + 0.05 * rng.standard_normal(true[1:].shape)
    fused = measured(make_track, make_observation, seen, flow=flow)
    noisy = still() + rng.standard_normal(true.shape)
    own = np.full_like(noisy, np.nan)
    own[1:] = noisy[1:]  # flow that confirms the tremble
    trembling = measured(make_track, make_observation, noisy, flow=own)
    name = "landmark_jitter.eyes_jitter_med_iod"
    assert fused[name] < 0.5 * trembling[name]


def test_jitter_of_one_region_shows_in_that_region(rng, make_track, make_observation):
    points = still()
    points[:, 48:68] += 1.5 * rng.standard_normal((N, 20, 2))
    values = measured(make_track, make_observation, points)
    mouth = values["landmark_jitter.mouth_jitter_med_iod"]
    assert mouth == pytest.approx(np.sqrt(2 * 2 / 3) * 1.5 / 90.0, rel=0.1)
    assert values["landmark_jitter.jaw_jitter_med_iod"] < 0.01 * mouth


def test_ratios_need_fifteen_frames_of_their_state():
    ones = np.ones(40)
    assert landmark_jitter.state_ratio(2 * ones, ones, np.arange(40) < 15) == 2.0
    assert np.isnan(landmark_jitter.state_ratio(2 * ones, ones, np.arange(40) < 14))
    assert np.isnan(landmark_jitter.state_ratio(ones, 0 * ones, np.arange(40) < 30))


@pytest.mark.parametrize("fault", ["short", "untrusted", "lost"])
def test_too_little_is_nan_but_valid_share_stays(rng, make_track, make_observation, fault):
    points = still() + rng.standard_normal((N, 68, 2))
    flow = points.copy()
    flow[0] = np.nan
    if fault == "short":
        points, flow = points[:40], flow[:40]
    if fault == "untrusted":
        flow[:, ::2] = np.nan
        flow[:200] = np.nan
    if fault == "lost":
        points[40:] = np.nan
    values = measured(make_track, make_observation, points, flow=flow)
    share = values.pop("landmark_jitter.valid_share")
    assert 0.0 <= share <= 1.0
    assert np.isnan(list(values.values())).all()


def test_bands_need_their_frame_rate(rng, make_track, make_observation):
    points = 90.0 * FACE_MODEL[None, :, :2] + rng.standard_normal((200, 68, 2)) + 300.0
    track = make_track(points, crops=0)
    slow = landmark_jitter.measure(make_observation(track, fps=15.0), track)
    assert np.isnan(slow["landmark_jitter.mouth_jitter_bp3_12"])
    assert np.isfinite(slow["landmark_jitter.mouth_jitter_bp1_6_15hz"])
    assert np.isfinite(slow["landmark_jitter.jerk_q90_15hz"])
