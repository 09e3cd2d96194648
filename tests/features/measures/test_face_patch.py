"""A face's luma patch at a fixed distance between the eyes."""

import numpy as np
import pytest

from features.measures.face_patch import face_patch
from features.measures.geometry import FACE_MODEL, crop_landmarks


def test_a_large_face_is_reduced_and_a_small_one_refused(talking_head):
    track = talking_head(audio=False).tracks[0]
    points = crop_landmarks(track, 0)
    assert face_patch(track.crops[0], points=points, iod_px=60.0, side_px=128).shape == (128, 128)
    assert face_patch(track.crops[0], points=0.5 * points, iod_px=60.0, side_px=128) is None
    assert face_patch(track.crops[0], points=np.full((68, 2), np.nan), iod_px=60.0, side_px=128) is None
    assert face_patch(track.crops[0], points=points, iod_px=60.0, side_px=1000) is None


@pytest.mark.parametrize("iod_px", [30.0, 45.0])
def test_eyes_lie_as_far_apart_as_asked(iod_px):
    """White dots on the eyes of a dark crop; in the patch they are the distance apart."""
    points = 90.0 * FACE_MODEL[:, :2] + 160.0
    crop = np.zeros((320, 320, 3), np.uint8)
    for eye in (points[36:42], points[42:48]):
        x, y = np.rint(eye.mean(axis=0)).astype(int)
        crop[y - 3 : y + 4, x - 3 : x + 4] = 255
    patch = face_patch(crop, points=points, iod_px=iod_px, side_px=96).astype(float)
    columns = np.arange(96)
    middle = (patch.sum(axis=0) @ columns) / patch.sum()
    left, right = (
        np.average(columns[side], weights=patch.sum(axis=0)[side]) for side in (columns < middle, columns > middle)
    )
    assert right - left == pytest.approx(iod_px, abs=1.0)
