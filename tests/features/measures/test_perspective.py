"""Poses of projected mean faces, found again; and OpenCV's own fit beside ours."""

import cv2
import numpy as np
import pytest
from people import rotations

from features.measures.geometry import FACE_MODEL, MIRROR
from features.measures.perspective import Pose, fit, only, rotation_matrices, rotation_vectors

SIZE = (1280, 720)
CAMERA = {"frame_size": SIZE, "focal_px": 1280.0}
POINTS = np.r_[0:36, 48, 54]


def projected(angles_deg, translation, *, focal_px=1280.0):
    """Landmarks [n, 68, 2] of the mean face under the pinhole camera, and its rotations [n, 3, 3]."""
    turned = rotations(*np.asarray(angles_deg, dtype=float).T)
    placed = FACE_MODEL @ np.swapaxes(turned, 1, 2) + np.asarray(translation, dtype=float)[:, None]
    return focal_px * placed[..., :2] / placed[..., 2:] + (639.5, 359.5), turned


ANGLES = [(0.0, 0.0, 0.0), (10.0, -20.0, 5.0), (-15.0, 35.0, -30.0), (5.0, 44.0, 90.0)]
PLACES = [(0.0, 0.0, 10.0), (2.0, -1.0, 12.0), (-3.0, 1.0, 20.0), (0.5, 0.5, 8.0)]


def test_a_projected_face_is_found_as_it_was_turned_and_placed():
    seen, turned = projected(ANGLES, PLACES)
    found = fit(seen, points=POINTS, **CAMERA)
    apart = np.degrees(np.linalg.norm(rotation_vectors(found.rotation @ np.swapaxes(turned, 1, 2)), axis=1))
    assert apart.max() < 1e-6
    assert found.translation == pytest.approx(np.array(PLACES), abs=1e-7)
    assert found.error_px.max() < 1e-6
    assert found.angles_deg == pytest.approx(np.array(ANGLES), abs=1e-5)


def test_a_noisy_face_is_fitted_as_opencv_fits_it(rng):
    seen, _ = projected(ANGLES[:3], PLACES[:3])
    seen = seen + rng.normal(0.0, 2.0, seen.shape)
    found = fit(seen, points=POINTS, **CAMERA)
    camera = np.array([[1280.0, 0.0, 639.5], [0.0, 1280.0, 359.5], [0.0, 0.0, 1.0]])
    for k, points in enumerate(seen):
        before = rotation_vectors(found.rotation[k : k + 1])[0] + 0.05, found.translation[k] * 1.1
        _, vector, place = cv2.solvePnP(
            FACE_MODEL[POINTS], points[POINTS], camera, None, *before, True, cv2.SOLVEPNP_ITERATIVE
        )
        assert rotation_vectors(found.rotation[k : k + 1])[0] == pytest.approx(vector.ravel(), abs=1e-4)
        assert found.translation[k] == pytest.approx(place.ravel(), rel=1e-3)


def test_a_mirrored_face_has_the_mirrored_pose(rng):
    seen, _ = projected(ANGLES[:3], PLACES[:3])
    seen = seen + rng.normal(0.0, 2.0, seen.shape)
    mirrored = seen[:, MIRROR] * (-1.0, 1.0) + (SIZE[0] - 1.0, 0.0)
    one, other = (fit(points, points=POINTS, **CAMERA) for points in (seen, mirrored))
    assert other.angles_deg == pytest.approx(one.angles_deg * (1.0, -1.0, -1.0), abs=1e-5)
    assert other.error_px == pytest.approx(one.error_px)


def test_lost_frames_and_coinciding_points_have_no_pose():
    seen, _ = projected(ANGLES[:3], PLACES[:3])
    seen[1, 20] = np.nan
    seen[2] = 100.0
    found = fit(seen, points=POINTS, **CAMERA)
    assert np.isfinite(found.error_px).tolist() == [True, False, False]
    assert np.isnan(found.rotation[1:]).all()
    assert np.isnan(found.angles_deg[1:]).all()
    assert np.isnan(fit(seen, points=POINTS, frame_size=SIZE, focal_px=np.nan).error_px).all()


def test_a_start_keeps_a_curve_from_turning_over(rng):
    """The jaw line nearly lies in a plane."""
    seen, turned = projected(ANGLES[:3], PLACES[:3])
    whole = fit(seen, points=POINTS, **CAMERA)
    jaw = fit(seen, points=np.arange(17), start=whole, **CAMERA)
    assert jaw.rotation == pytest.approx(turned, abs=1e-6)
    lost = only(whole, np.array([True, False, True]))
    assert np.isnan(fit(seen, points=np.arange(17), start=lost, **CAMERA).error_px).tolist() == [False, True, False]


def test_three_points_are_refused():
    with pytest.raises(ValueError, match="3 points"):
        fit(np.zeros((1, 68, 2)), points=np.arange(3), **CAMERA)


def test_rotation_vectors_and_back(rng):
    vectors = rng.normal(0.0, 0.8, (20, 3))
    assert rotation_vectors(rotation_matrices(vectors)) == pytest.approx(vectors)
    assert np.isnan(rotation_vectors(np.full((1, 3, 3), np.nan))).all()


def test_only_keeps_what_is_chosen():
    pose = Pose(np.repeat(np.eye(3)[None], 2, axis=0), np.ones((2, 3)), np.zeros(2))
    kept = only(pose, np.array([False, True]))
    assert np.isnan(kept.translation).all(axis=1).tolist() == [True, False]
    assert np.isnan(kept.rotation).all(axis=(1, 2)).tolist() == [True, False]
    assert np.isnan(kept.error_px).tolist() == [True, False]
