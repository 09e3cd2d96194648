"""Jitter: known residuals, the Kalman gain, head motion that must not count."""

import numpy as np
import pytest
from people import pose_points

from features.families import landmark_jitter
from features.measures import calibrated_points
from features.measures.geometry import FACE_MODEL
from features.measures.series import Segment

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


@pytest.mark.parametrize("centre", [(640.0, 330.0), (611.3, 402.7), (97.1, 88.9)])
def test_a_face_that_keeps_still_has_no_cues_of_rounding(make_track, make_observation, centre):
    """Non-regression test: bands, static_ratio and jerk_over_vel were of residuals of 1e-15."""
    values = measured(make_track, make_observation, np.rint(still(centre=centre)))
    for name, value in values.items():
        if "_bp" in name or name.endswith(("_ratio", "_corr")) or "over_vel" in name:
            assert np.isnan(value), name
    assert values["landmark_jitter.jaw_jitter_q90_iod"] == pytest.approx(0.0, abs=1e-12)


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
    length = np.linalg.norm(landmark_jitter.residual(noise).values, axis=2)
    assert np.median(length) == pytest.approx(0.95, abs=0.02)


def test_a_five_hertz_wobble_fills_the_band():
    t = np.arange(N) / FPS
    wobble = Segment(0.0, FPS, np.sin(2 * np.pi * 5 * t)[:, None, None].repeat(2, axis=2))
    e = landmark_jitter.residual(wobble)
    one = {"points": np.array([0]), "band_hz": landmark_jitter.BAND_HZ}
    assert landmark_jitter.region_band([e], least_hz=26.0, **one) > 0.99
    assert np.isnan(landmark_jitter.region_band([e], least_hz=31.0, **one))


def test_the_filter_settles_at_the_known_gain():
    """Q = 0.3, R = 1: P = 0.418 after the update, K = 0.418; the response to one outlier shows K."""
    n = 60
    z = np.zeros((n, 1, 2))
    z[:, 0, 0] = np.cumsum(np.ones(n))  # moves 1 a step, as the flow does: R = 1
    flow = np.zeros((n, 1, 2))
    flow[:, 0, 0] = 1.0
    z_late = z.copy()
    z_late[:, 0, 1] = np.where(np.arange(n) >= 50, 1e-6, 0.0)  # a small sideways step leaves R alone
    x = calibrated_points.calibrate(z_late, displacement=flow)
    assert x[50, 0, 1] / 1e-6 == pytest.approx(0.418, abs=0.001)


def test_a_step_without_flow_leaves_the_filters_variance_as_it_is():
    """P = 0.3 / 1.3 after the first step, and still after the second, whose flow is not trusted.

    So the third one's gain is P' / (P' + 1) of P' = P + 0.3.
    """
    z, flow = np.zeros((4, 1, 2)), np.zeros((4, 1, 2))
    z[:, 0, 0], flow[:, 0, 0] = np.arange(4), 1.0
    flow[2] = np.nan
    z[3, 0, 1] = 1e-6  # a small sideways step leaves R alone
    x = calibrated_points.calibrate(z, displacement=flow)
    raised = 0.3 / 1.3 + 0.3
    assert x[3, 0, 1] / 1e-6 == pytest.approx(raised / (raised + 1.0), abs=1e-6)


def rounded(fps, rng, make_track, make_observation):
    """Ten seconds of a slowly moving face whose landmarks are whole pixels of the detector's square; true flow."""
    t = np.arange(round(10 * fps)) / fps
    none = np.zeros_like(t)
    sway = 12 * np.stack([np.sin(1.3 * t), np.cos(0.9 * t)], axis=1)[:, None]
    nod = (3 * np.sin(1.1 * t), 4 * np.sin(0.7 * t), 2 * np.sin(0.5 * t))
    true = pose_points(t, pose_deg=nod, closed=none, mouth_open=none) + sway
    grid_px = 2 * calibrated_points.half_grid_px(make_track(true, crops=0))
    seen = grid_px * np.rint(true / grid_px)
    flow = np.full_like(seen, np.nan)
    flow[1:] = seen[:-1] + np.diff(true, axis=0) + 0.02 * rng.standard_normal(true[1:].shape)
    track = make_track(seen, crops=0, flow=flow)
    return landmark_jitter.measure(make_observation(track, fps=fps), track)


def test_the_same_motion_gives_the_same_noise_at_any_frame_rate(rng, make_track, make_observation):
    """The detector's whole pixels stand still between frames at 120 a second: that is no exactness."""
    values = {fps: rounded(fps, rng, make_track, make_observation) for fps in (30.0, 60.0, 120.0)}
    for name in ("detres_med_iod", "jaw_jitter_med_iod"):
        found = [one[f"landmark_jitter.{name}"] for one in values.values()]
        assert min(found) > 0, name
        assert max(found) < 2 * min(found), (name, found)


def test_untrusted_points_take_the_detection(rng):
    z = rng.standard_normal((20, 68, 2))
    flow = rng.standard_normal((20, 68, 2))
    flow[5, 3] = np.nan
    x = calibrated_points.calibrate(z, displacement=flow)
    assert np.array_equal(x[5, 3], z[5, 3])
    assert not np.array_equal(x[5, 4], z[5, 4])
    assert np.array_equal(calibrated_points.calibrate(z, displacement=np.full_like(z, np.nan)), z)


def test_flow_takes_detector_noise_away(rng, make_track, make_observation):
    true = still()
    seen = true + rng.standard_normal(true.shape)
    flow = np.full_like(seen, np.nan)
    flow[1:] = seen[:-1] + 0.05 * rng.standard_normal(true[1:].shape)
    fused = measured(make_track, make_observation, seen, flow=flow)
    noisy = still() + rng.standard_normal(true.shape)
    own = np.full_like(noisy, np.nan)
    own[1:] = noisy[1:]  # flow that confirms the jitter
    unsteady = measured(make_track, make_observation, noisy, flow=own)
    name = "landmark_jitter.eyes_jitter_med_iod"
    assert fused[name] < 0.5 * unsteady[name]


def test_the_filter_leaves_the_known_fraction_of_white_noise(rng):
    """With flow of the detected points' own true motion and R = 1 the filter is x' = x + K (z' - x), K = 0.418.

    Its output has the variance K / (2 - K) of the noise that goes in: 0.514 of its standard deviation.
    """
    n, gain = 4000, (np.sqrt(0.3**2 + 4 * 0.3) + 0.3) / 2  # K of P' = P + Q, R = 1, in the steady state
    gain = gain / (1.0 + gain)
    noise = 1e-4 * rng.standard_normal((n, 4, 2))
    true = np.cumsum(np.ones((n, 1, 1)), axis=0) * np.array([1.0, 0.0])
    x = calibrated_points.calibrate(true + noise, displacement=np.broadcast_to([1.0, 0.0], noise.shape))
    left = (x - true)[50:].std() / noise.std()
    assert left == pytest.approx(np.sqrt(gain / (2.0 - gain)), rel=0.03)
    assert gain == pytest.approx(0.418, abs=0.001)


def test_flow_that_trembles_in_one_region_shows_in_the_ratio(rng, make_track, make_observation):
    t = np.arange(N) / FPS
    points = still() + 40 * np.stack([np.cos(3 * t), np.sin(5 * t)], axis=1)[:, None]
    noise = 0.1 * rng.standard_normal(points.shape)
    ratio = {}
    for unsteady in ("none", "jaw", "eyes"):
        tremble = noise.copy()
        if unsteady != "none":
            tremble[:, landmark_jitter.REGIONS[unsteady]] *= 10.0
        flow = points + tremble
        flow[0] = np.nan
        flow[rng.random((N, 68)) < 0.1] = np.nan  # untrusted here and there
        values = measured(make_track, make_observation, points, flow=flow)
        ratio[unsteady] = values["landmark_jitter.jaw_inner_flow_ratio"]
        assert values["landmark_jitter.mouth_jitter_med_iod"] < 0.005
    assert ratio["eyes"] < ratio["none"] - 0.05  # the jaw, far from the eyes, turns with them
    assert ratio["jaw"] == pytest.approx(ratio["none"] + np.log(10.0), abs=0.3)


def test_flow_of_a_rigid_head_takes_no_step_against_it(make_track, make_observation):
    t = np.arange(N) / FPS
    points = pose_points(t, pose_deg=(STILL, STILL, 15 * np.sin(2 * np.pi * t)), closed=STILL, mouth_open=STILL)
    points[50] = np.nan
    flow = points.copy()
    flow[[0, 51]] = np.nan
    track = make_track(points, crops=0, flow=flow)
    face = landmark_jitter.moving_head(make_observation(track), track)
    displacement = calibrated_points.flow_displacement(face, track=track)
    steps = calibrated_points.flow_steps(face, track=track, displacement=displacement)
    assert np.isnan(steps[[0, 50, 51]]).all()
    assert np.abs(np.delete(steps, [0, 50, 51], axis=0)).max() < 1e-5


def test_jitter_of_one_region_shows_in_that_region(rng, make_track, make_observation):
    points = still()
    points[:, 48:68] += 1.5 * rng.standard_normal((N, 20, 2))
    values = measured(make_track, make_observation, points)
    mouth = values["landmark_jitter.mouth_jitter_med_iod"]
    assert mouth == pytest.approx(np.sqrt(2 * 2 / 3) * 1.5 / 90.0, rel=0.1)
    assert values["landmark_jitter.jaw_jitter_med_iod"] < 0.01 * mouth


def test_a_region_has_the_root_mean_square_of_its_points():
    e = np.zeros((30, 68, 2))
    e[:, 48] = 3.0, 4.0
    parts = [Segment(0.0, FPS, e[:10]), Segment(1.0, FPS, e[10:])]
    assert landmark_jitter.region_rms(parts, points=np.array([48, 49])) == pytest.approx(np.full(30, 5 / np.sqrt(2)))


def test_inner_face_and_jaw_that_move_as_one_correlate(rng):
    common, own = rng.standard_normal((2, N, 1, 2))
    e = np.repeat(common, 68, axis=1)
    assert landmark_jitter.inner_outer_corr([Segment(0.0, FPS, e)]) == pytest.approx(1.0)
    e[:, :17] = own
    assert landmark_jitter.inner_outer_corr([Segment(0.0, FPS, e)]) == pytest.approx(0.0, abs=0.15)


def test_points_on_a_parabola_have_their_acceleration_and_no_jerk():
    t = np.arange(60) / FPS
    y = np.zeros((60, 68, 2))
    y[..., 0] = 1.5 * t[:, None] ** 2
    parts = [Segment(0.0, FPS, y)]
    speed, acceleration, jerk = (landmark_jitter.motion_q90(parts, order=order) for order in (1, 2, 3))
    assert speed == pytest.approx(3.0 * np.quantile(t, 0.9))
    assert acceleration == pytest.approx(3.0)
    assert jerk == pytest.approx(0.0, abs=1e-6)
    assert landmark_jitter.jerk_over_vel(jerk=np.e, vel=1.0) == pytest.approx(1.0)
    assert np.isnan(landmark_jitter.jerk_over_vel(jerk=0.0, vel=1.0))


def test_flow_is_counted_as_lost_between_frames_with_a_face_only():
    displacement = np.zeros((5, 4, 2))
    displacement[0] = displacement[3] = np.nan  # the first has none, the fourth's face is lost
    displacement[2, 1] = np.nan
    seen = np.array([True, True, True, False, True])
    assert calibrated_points.flow_reject_share(displacement, seen=seen) == pytest.approx(1 / 8)
    assert np.isnan(calibrated_points.flow_reject_share(displacement, seen=np.zeros(5, bool)))


def test_detections_off_the_calibrated_points_are_measured_in_inter_ocular_distances():
    z, x = np.zeros((3, 4, 2)), np.zeros((3, 4, 2))
    z[..., 1] = 9.0
    assert calibrated_points.detection_residual(detected=z, calibrated=x, scale_px=90.0) == pytest.approx(0.1)


def test_ratios_need_fifteen_frames_of_their_state():
    ones = np.ones(40)
    assert landmark_jitter.state_ratio(face=2 * ones, jaw=ones, chosen=np.arange(40) < 15) == 2.0
    assert np.isnan(landmark_jitter.state_ratio(face=2 * ones, jaw=ones, chosen=np.arange(40) < 14))
    assert np.isnan(landmark_jitter.state_ratio(face=ones, jaw=0 * ones, chosen=np.arange(40) < 30))


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


def test_a_slow_clip_has_no_residuals_and_no_derivatives(rng, make_track, make_observation):
    """Non-regression: at 5 frames per second the smooth was a second long, and jitter three times as large."""
    track = make_track(still()[:100] + rng.standard_normal((100, 68, 2)), crops=0)
    observation = make_observation(track, fps=10.0)
    values = landmark_jitter.measure(observation, track)
    finite = {name.removeprefix("landmark_jitter.") for name, value in values.items() if np.isfinite(value)}
    assert finite == {"detres_med_iod", "flow_reject_share", "valid_share"}
    assert landmark_jitter.jitter_series(observation, track) == {}
