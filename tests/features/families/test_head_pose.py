"""What is said of faces whose inner part is turned or shifted by a known amount, and of heads that turn steadily."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from people import FRAME_SIZE, rotations

from features.families import head_pose
from features.measures.geometry import FACE_MODEL, head
from features.measures.series import Segment

D_PX = 92.0
FOCAL = float(FRAME_SIZE[0])


def shown(angles_deg, *, inner_deg=None, away=FOCAL / D_PX):
    """Landmarks [n, 68, 2] of a head in perspective, its inner face (17-67) turned further by ``inner_deg``."""
    turned = rotations(*np.asarray(angles_deg, dtype=float))
    model = np.repeat(FACE_MODEL[None], len(turned), axis=0)
    if inner_deg is not None:
        more = rotations(*(np.full(len(turned), float(x)) for x in inner_deg))
        model[:, 17:] = model[:, 17:] @ np.swapaxes(more, 1, 2)
    placed = model @ np.swapaxes(turned, 1, 2) + (0.0, 0.0, away)
    return FOCAL * placed[..., :2] / placed[..., 2:] + (639.5, 359.5)


def still(n=60):
    return np.zeros((3, n))


@pytest.fixture
def measured(make_track, make_observation):
    def run(points, *, fps=30.0):
        track = make_track(points, crops=0)
        return head_pose.measure(make_observation(track, fps=fps), track)

    return run


def test_a_face_of_one_piece_has_no_difference(measured, rng):
    t = np.arange(90) / 30.0
    values = measured(shown([10 * np.sin(t), 20 * np.sin(2 * t), 5 * np.cos(t)]))
    assert values["head_pose.valid_share"] == 1.0
    # landmarks are kept in single precision
    assert values["head_pose.diff_angle_q90_deg"] < 1e-3
    assert values["head_pose.diff_t_med"] < 1e-3
    assert values["head_pose.reproj_whole_iod"] < 1e-4


@pytest.mark.parametrize(("axis", "turn"), [(0, (4.0, 0.0, 0.0)), (1, (0.0, 4.0, 0.0)), (2, (0.0, 0.0, 4.0))])
def test_a_turned_inner_face_is_seen_about_its_axis(measured, axis, turn):
    values = measured(shown(still(), inner_deg=turn))
    parts = np.array([values[f"head_pose.diff_{name}_deg"] for name in "xyz"])
    # the whole set has the inner points as well, and follows part of the way
    assert 0.5 < parts[axis] < 4.0
    assert np.abs(np.delete(parts, axis)).max() < 0.35 * parts[axis]
    assert values["head_pose.diff_meanvec_deg"] == pytest.approx(np.linalg.norm(parts), rel=1e-3)


def test_a_shifted_inner_face_shows_in_proportion(measured):
    angles = []
    for shift in (1.0, 2.0, 4.0):
        points = shown(still())
        points[:, 17:, 0] += shift
        angles.append(measured(points)["head_pose.diff_angle_med_deg"])
    assert angles[0] == pytest.approx(0.40, abs=0.01)  # with a flatter mean face 0.58
    assert np.array(angles) / angles[0] == pytest.approx([1.0, 2.0, 4.0], rel=0.03)


def test_noise_cancels_in_the_mean_vector_only(measured, rng):
    points = shown(still(300))
    values = measured(points + rng.normal(0.0, 1.0, points.shape))
    assert values["head_pose.diff_angle_med_deg"] == pytest.approx(0.54, abs=0.05)
    assert values["head_pose.diff_meanvec_deg"] < 0.2 * values["head_pose.diff_angle_med_deg"]


def test_turn_rates_of_a_steady_and_of_a_swinging_head(measured):
    t = np.arange(150) / 30.0
    steady = measured(shown([still(150)[0], -30.0 + 12.0 * t, still(150)[0]]))
    assert steady["head_pose.vel_q90_deg_s"] == pytest.approx(12.0, rel=0.01)
    assert steady["head_pose.acc_q90_deg_s2"] < 1.0
    assert steady["head_pose.yaw_range_deg"] == pytest.approx(0.9 * 12.0 * 149 / 30.0, rel=0.01)
    assert steady["head_pose.pitch_range_deg"] < 0.05
    swing = 2 * np.pi * 0.8
    swinging = measured(shown([still(150)[0], 10.0 * np.sin(swing * t), still(150)[0]]))
    high = np.quantile(np.abs(np.sin(np.linspace(0, np.pi, 10001))), 0.9)
    assert swinging["head_pose.vel_q90_deg_s"] == pytest.approx(10.0 * swing * high, rel=0.06)
    assert swinging["head_pose.acc_q90_deg_s2"] == pytest.approx(10.0 * swing**2 * high, rel=0.06)
    assert swinging["head_pose.jerk_q90_deg_s3"] == pytest.approx(10.0 * swing**3 * high, rel=0.1)


def test_a_slow_clip_has_no_speed_of_the_head(measured):
    t = np.arange(60) / 10.0
    values = measured(shown([still()[0], 10.0 * np.sin(t), still()[0]]), fps=10.0)
    motion = [f"head_pose.{name}" for name in ("vel_q90_deg_s", "acc_q90_deg_s2", "jerk_q90_deg_s3")]
    assert np.isnan([values[name] for name in (*motion, "head_pose.jerk_inner_over_outer")]).all()
    assert np.isfinite([values["head_pose.yaw_range_deg"], values["head_pose.diff_angle_med_deg"]]).all()


def test_rotations_are_differentiated_and_not_angles():
    """About a tilted axis, angles swing and the rate stands."""
    axis = np.array([1.0, 2.0, 2.0]) / 3.0
    vectors = axis * np.radians(np.arange(60.0))[:, None]
    pose = head_pose.Pose(head_pose.rotation_matrices(vectors), np.ones((60, 3)), np.zeros(60))
    (part,) = head_pose.turn_rates(pose, times_s=np.arange(60) / 30.0)
    assert part.values == pytest.approx(np.tile(30.0 * axis, (59, 1)))
    assert part.start_s == pytest.approx(0.5 / 30.0)
    assert head_pose.turn_q90([part], order=0) == pytest.approx(30.0)
    assert np.isnan(head_pose.turn_q90([Segment(0.0, 30.0, part.values[:5])], order=0))


def test_an_inner_face_that_shakes_alone_raises_the_ratio_of_jerks(measured, rng):
    points = shown(still(120))
    everywhere = points + rng.normal(0.0, 0.3, points.shape)
    shaken = everywhere.copy()
    shaken[:, 17:, 0] += rng.normal(0.0, 3.0, (120, 1)) * (FACE_MODEL[17:, 2] - FACE_MODEL[17:, 2].mean())
    rest, shake = (measured(p)["head_pose.jerk_inner_over_outer"] for p in (everywhere, shaken))
    assert shake > rest + 0.5


def test_a_jaw_outside_the_frame_has_no_ratio(measured, rng):
    points = shown(still(60))
    points += rng.normal(0.0, 0.3, points.shape)
    points[..., 1] += FRAME_SIZE[1] - points[0, 8, 1] - 20.0
    assert np.isfinite(measured(points)["head_pose.jerk_inner_over_outer"])
    points[..., 1] += 80.0
    values = measured(points)
    assert np.isnan(values["head_pose.jerk_inner_over_outer"])
    assert np.isfinite(values["head_pose.jerk_q90_deg_s3"])


def test_a_profile_and_a_face_unlike_a_face_are_left_out(measured):
    half = np.repeat([0.0, 60.0], 30)
    assert measured(shown([still()[0], half, still()[0]]))["head_pose.valid_share"] == pytest.approx(0.5)
    points = shown(still())
    points[:, ::2, 1] += 0.4 * D_PX
    values = measured(points)
    assert values.pop("head_pose.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()


def test_under_twenty_frames_nothing_is_said(measured):
    values = measured(shown(still(19)))
    assert values.pop("head_pose.valid_share") == 1.0
    assert np.isnan(list(values.values())).all()


def test_a_video_cropped_to_the_face_keeps_its_pose(make_track, make_observation):
    """As if the frame were as wide as the face: its width is no focal length."""
    points = shown(still(), away=FOCAL / D_PX)
    track = make_track(points, crops=0)
    observation = make_observation(track)
    cut = (300, 300)
    moved = replace(track, landmarks=track.landmarks - np.float32([639.5 - 149.5, 359.5 - 149.5]))
    narrow = replace(observation, frame_size=cut, tracks=(moved,))
    face = head(narrow, moved)
    assert head_pose.focal_length_px(face, frame_size=cut) == pytest.approx(12.0 * face.scale_px)
    values = head_pose.measure(narrow, moved)
    assert values["head_pose.valid_share"] == 1.0
    assert values["head_pose.diff_angle_med_deg"] < 1.0


def test_the_series_is_what_the_columns_are_made_of(make_track, make_observation, rng):
    half = np.repeat([0.0, 60.0], 40)
    points = shown([np.zeros(80), half, np.zeros(80)])
    track = make_track(points + rng.normal(0.0, 0.5, points.shape), crops=0)
    observation = make_observation(track)
    (shown_series,) = head_pose.pose_series(observation, track).values()
    assert np.isfinite(shown_series.values).sum() == 40
    values = head_pose.measure(observation, track)
    assert values["head_pose.diff_angle_med_deg"] == pytest.approx(np.nanmedian(shown_series.values))
    assert head_pose.pose_series(observation, replace(track, landmarks=np.full_like(track.landmarks, np.nan))) == {}


def test_differences_of_two_known_poses():
    n, quarter = 21, np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    turned, along = np.repeat(quarter[None], n, axis=0), np.ones((n, 1))
    inner = head_pose.Pose(turned, along * [0.0, 0.0, 5.0], np.full(n, 1.0))
    whole = head_pose.Pose(turned, along * [0.0, 3.0, 4.0], np.full(n, 2.0))
    difference = np.radians(np.arange(n))[:, None] * [1.0, 0.0, 0.0]
    found = head_pose.difference_columns(head_pose.Poses(SimpleNamespace(scale_px=50.0), inner, whole, difference))
    assert found["diff_angle_q90_deg"] == pytest.approx(18.0)
    assert found["diff_cos_med"] == pytest.approx(0.0)
    assert found["diff_t_med"] == pytest.approx(np.sqrt(10) / 5)
    assert (found["reproj_inner_iod"], found["reproj_whole_iod"]) == pytest.approx((0.02, 0.04))
