"""Landmark geometry: known poses, exact similarities, the mirror."""

import numpy as np
import pytest
from people import rotations

from features.measures import geometry
from features.measures.geometry import FACE_MODEL, MIRROR, RIGID


def test_mirror_is_an_involution_that_swaps_the_eyes():
    assert np.array_equal(MIRROR[MIRROR], np.arange(68))
    assert set(MIRROR[geometry.RIGHT_EYE]) == set(geometry.LEFT_EYE)


def test_the_mean_face_is_its_own_mirror():
    assert FACE_MODEL[MIRROR] * [-1, 1, 1] == pytest.approx(FACE_MODEL)
    assert geometry.inter_ocular_distance(FACE_MODEL[:, :2]) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("angles", [(0, 0, 0), (10, 25, -15), (-20, -40, 30)])
def test_pose_recovers_a_rotation(angles):
    turned = FACE_MODEL @ rotations(*(np.array([float(a)]) for a in angles))[0].T
    assert geometry.pose(90.0 * turned[None, :, :2] + 300.0)[0] == pytest.approx(angles, abs=1e-6)


def test_pose_of_a_lost_or_collapsed_face_is_nan():
    lost = np.full((2, 68, 2), np.nan)
    lost[1] = 5.0
    assert np.isnan(geometry.pose(lost)).all()


def test_mirror_flips_yaw_and_roll_only():
    turned = FACE_MODEL @ rotations(np.array([10.0]), np.array([25.0]), np.array([-15.0]))[0].T
    mirrored = turned[MIRROR, :2] * [-1, 1]
    assert geometry.pose(mirrored[None])[0] == pytest.approx([10, -25, 15], abs=1e-6)


def test_scale_comes_from_frontal_frames():
    frontal, turned = 100.0 * FACE_MODEL[:, :2], 60.0 * FACE_MODEL[:, :2]
    points = np.array([frontal] * 12 + [turned] * 20)
    yaw = np.r_[np.zeros(12), np.full(20, 40.0)]
    wide = geometry.inter_ocular_distance(frontal)
    assert geometry.clip_scale(points, yaw_deg=yaw) == pytest.approx(wide)
    few = geometry.clip_scale(points[3:], yaw_deg=yaw[3:])  # nine frontal frames are too few
    assert few == pytest.approx(0.6 * wide)
    assert np.isnan(geometry.clip_scale(np.full((5, 68, 2), np.nan), yaw_deg=np.full(5, np.nan)))


def test_similarity_undoes_rotation_scale_and_shift(rng):
    target = rng.standard_normal((13, 2))
    angle, scale = 0.7, 2.5
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = target @ turn + [30.0, -4.0]
    rotation, source, centre = geometry.similarity(moved[None], target=target)
    assert (moved - source[0]) @ rotation[0] + centre[0] == pytest.approx(target)


def test_similarity_is_the_least_squares_one(rng):
    """Against scikit-image's Umeyama on noisy points."""
    from skimage.transform import estimate_transform

    a, b = rng.standard_normal((2, 13, 2))
    b = a @ np.array([[0.0, 2.0], [-2.0, 0.0]]) + 0.1 * b
    rotation, source, centre = geometry.similarity(a[None], target=b)
    ours = (a - source[0]) @ rotation[0] + centre[0]
    assert ours == pytest.approx(estimate_transform("similarity", a, b)(a))


def test_rigid_motion_in_the_plane_is_aligned_away(rng):
    t = np.linspace(0, 1, 50)
    turn = rotations(np.zeros(50), np.zeros(50), 20 * np.sin(5 * t))
    size = (80 + 20 * t)[:, None, None]
    points = (FACE_MODEL @ np.swapaxes(turn, 1, 2))[..., :2] * size + rng.uniform(0, 500, (50, 1, 2))
    y = geometry.align(points, scale_px=90.0)
    assert np.ptp(y, axis=0).max() < 1e-9
    assert y[:, RIGID].mean(axis=1) == pytest.approx(np.zeros((50, 2)), abs=1e-9)


def test_lost_frames_stay_lost_and_harm_no_other(rng):
    points = 90.0 * FACE_MODEL[None, :, :2] + rng.standard_normal((30, 68, 2))
    whole = geometry.align(points, scale_px=90.0)
    points[4:7] = np.nan
    y = geometry.align(points, scale_px=90.0)
    assert np.isnan(y[4:7]).all()
    assert np.abs(y[10:] - whole[10:]).max() < 0.02
    assert np.isnan(geometry.align(np.full((5, 68, 2), np.nan), scale_px=np.nan)).all()


def test_eye_aspect_ratio_of_the_textbook_hexagon():
    points = np.zeros((1, 68, 2))
    points[0, 36:42] = [(0, 0), (1, 1), (2, 1), (3, 0), (2, -1), (1, -1)]
    ear = geometry.eye_aspect_ratio(points)
    assert ear[0, 0] == pytest.approx(2 / 3)
    assert np.isnan(ear[0, 1])  # an eye without width


def test_crop_landmarks_find_the_pixel(make_track):
    """A bright dot in the frame lies under its landmark in the crop, also when the crop is reduced."""
    import cv2

    track = make_track(90.0 * FACE_MODEL[None, :, :2].repeat(20, 0) + [640.3, 330.7])
    left, top, side = (int(v) for v in track.crop_box[0])
    frame = np.zeros((720, 1280), np.float32)
    x, y = np.round(track.landmarks[track.crop_index[0], 30]).astype(int)
    frame[y - 4 : y + 5, x - 4 : x + 5] = 1.0
    reduced = track.crops[0].shape[0]
    crop = cv2.resize(frame[top : top + side, left : left + side], (reduced, reduced), interpolation=cv2.INTER_AREA)
    rows, columns = np.indices(crop.shape)
    found = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    expected = geometry.crop_landmarks(track, 0)[30]
    rounding = np.round(track.landmarks[track.crop_index[0], 30]) - track.landmarks[track.crop_index[0], 30]
    assert found == pytest.approx(expected + rounding * reduced / side, abs=0.05)


def test_head_drops_repeated_frames(make_track, make_observation):
    track = make_track(90.0 * FACE_MODEL[None, :, :2].repeat(40, 0) + 300.0, crops=0)
    face = geometry.head(make_observation(track, duplicate=np.arange(40) % 4 == 3), track)
    assert len(face.times_s) == 30
    assert face.seen.all()
    assert face.scale_px == pytest.approx(90.0, rel=0.01)


def test_a_track_has_one_head_that_nobody_can_change(monkeypatch, make_track, make_observation):
    calls = []
    monkeypatch.setattr(geometry, "pose", lambda landmarks, pose=geometry.pose: calls.append(1) or pose(landmarks))
    track, other = (make_track(90.0 * FACE_MODEL[None, :, :2].repeat(20, 0) + x, crops=0) for x in (300.0, 400.0))
    observation = make_observation(track)
    face = geometry.head(observation, track)
    assert geometry.head(observation, track) is face
    assert geometry.head(observation, other) is not face
    assert len(calls) == 2
    with pytest.raises(ValueError, match="read-only"):
        face.landmarks[0] = 0.0
