"""Regions of a face crop: distances to polygons, what is no skin, what is not visible."""

from dataclasses import replace

import numpy as np
import pytest

from features.measures import face_regions
from features.measures.geometry import FACE_MODEL


def distances_by_hand(points, x, y):
    """To the nearest of many points on the edges of a convex polygon in order; negative inside."""
    edges = np.roll(points, -1, axis=0) - points
    line = np.concatenate(
        [start + np.linspace(0, 1, 500)[:, None] * edge for start, edge in zip(points, edges, strict=True)]
    )
    place = np.stack(np.meshgrid(x, y), axis=-1)
    near = np.linalg.norm(place[:, :, None] - line, axis=-1).min(axis=-1)
    crosses = [
        edge[0] * (place - p)[..., 1] - edge[1] * (place - p)[..., 0] for p, edge in zip(points, edges, strict=True)
    ]
    inside = np.logical_or(np.all(np.array(crosses) > 0, axis=0), np.all(np.array(crosses) < 0, axis=0))
    return np.where(inside, -near, near)


@pytest.mark.parametrize("order", [1, -1])
def test_signed_distances_of_a_triangle(order):
    triangle = np.array([[5.0, 4.0], [25.0, 8.0], [12.0, 22.0]])[::order]
    x, y = np.arange(0.0, 30.0, 3.0), np.arange(0.0, 28.0, 3.0)
    found = face_regions.signed_distance(triangle, x=x, y=y)
    assert found == pytest.approx(distances_by_hand(triangle, x, y), abs=0.03)
    assert (found < 0).any()


def test_points_within_the_hull_change_nothing_and_points_on_a_line_have_no_inside():
    square = np.array([[2.0, 2.0], [2.0, 9.0], [9.0, 9.0], [9.0, 2.0]])
    grid = np.arange(12.0)
    plain = face_regions.signed_distance(square, x=grid, y=grid)
    more = face_regions.signed_distance(np.r_[square, [[5.0, 6.0]]], x=grid, y=grid)
    assert np.array_equal(plain, more)
    assert np.isnan(face_regions.signed_distance(np.array([[0.0, 0.0], [4.0, 4.0], [8.0, 8.0]]), x=grid, y=grid)).all()


def test_the_forehead_reaches_over_the_brows_by_a_quarter_of_the_distance_between_the_eyes():
    face = 90.0 * FACE_MODEL[:, :2] + 200.0
    raised = face_regions.contour(face)
    assert raised[:17] == pytest.approx(face[:17])
    assert raised[17:] - face[17:27] == pytest.approx(np.tile([0.0, -0.25 * 90.0], (10, 1)), abs=0.2)


@pytest.fixture
def crop(talking_head):
    observation = talking_head(audio=False, noise_px=0.0)
    track = observation.tracks[0]
    return face_regions.face_crops(observation, track, range(1))[0]


def test_distances_on_the_coarse_grid_are_those_of_the_pixels(crop):
    axis = np.arange(float(crop.rgb.shape[0]))
    exact = face_regions.signed_distance(face_regions.contour(crop.landmarks), x=axis, y=axis) / crop.iod_px
    near = np.abs(exact) < 0.3
    assert np.abs(crop.distance_iod - exact)[near].max() < 0.03
    assert np.median(np.abs(crop.distance_iod - exact)[near]) < 0.002


def test_regions_are_apart_and_where_they_should_be(crop):
    inside, around, core, rest = (crop.region(name) for name in ("inside", "around", "core", "rest"))
    assert not (inside & around).any()
    assert not (core & rest).any()
    assert min(region.sum() for region in (inside, around, core, rest)) > 5000
    x, y = np.rint(crop.landmarks).astype(int).T
    assert inside[y[29], x[29]]  # the ridge of the nose
    assert core[y[29], x[29]]
    cheek = np.rint((crop.landmarks[3] + crop.landmarks[31]) / 2).astype(int)
    chin = np.rint(0.7 * crop.landmarks[8] + 0.3 * crop.landmarks[57]).astype(int)
    for column, row in (cheek, chin):
        assert rest[row, column]
        assert not core[row, column]
    eyes = [np.rint(crop.landmarks[eye].mean(axis=0)).astype(int) for eye in (range(36, 42), range(42, 48))]
    assert not any(crop.bare[row, column] for column, row in eyes)
    assert not crop.bare[y[62], x[62]]  # the mouth
    assert np.abs(crop.distance_iod[y[:17], x[:17]]).max() < 0.06  # the jaw is the contour
    assert not any(region[y[62], x[62]] for region in (inside, core, rest))


def test_what_lies_beyond_the_frame_or_on_another_face_is_not_seen(talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    left, top, _ = track.crop_box[0]
    small = replace(observation, frame_size=(int(left + 200), int(top + 250)))
    (crop,) = face_regions.face_crops(small, track, range(1))
    assert crop.visible[100, 190]
    assert not crop.visible[100, 198:].any()  # three pixels before the edge, too
    assert not crop.visible[248:].any()
    box = np.tile(np.float32([left + 50, top + 60, left + 80, top + 90]), (len(track), 1))
    other = replace(track, box=box)
    (crop,) = face_regions.face_crops(replace(observation, tracks=(track, other)), track, range(1))
    assert not crop.visible[62:88, 52:78].any()
    assert crop.visible[95, 52:78].all()
    (crop,) = face_regions.face_crops(observation, replace(track, embedding=track.embedding + 1), range(1))
    assert crop.visible[62:88, 52:78].all()  # the same face in another guise hides nothing of itself
    gone = replace(other, landmarks=np.full_like(other.landmarks, np.nan))
    (crop,) = face_regions.face_crops(replace(observation, tracks=(track, gone)), track, range(1))
    assert crop.visible[62:88, 52:78].all()


def test_luma_and_colours_are_not_rounded(crop):
    assert crop.luma == pytest.approx(crop.rgb[..., 0], abs=1e-3)  # a grey image
    assert (crop.lab[..., 0].min() >= 0) & (crop.lab[..., 0].max() <= 100)
    assert np.abs(crop.lab[..., 1:]).max() < 0.2


def test_a_lost_face_has_no_regions_and_a_held_still_has_one(talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    landmarks = track.landmarks.copy()
    landmarks[track.crop_index[0]] = np.nan
    landmarks[track.crop_index[2]] = landmarks[track.crop_index[1]]
    held = replace(
        track,
        landmarks=landmarks,
        crops=(track.crops[0], track.crops[1], track.crops[1], *track.crops[3:]),
        crop_box=np.concatenate([track.crop_box[:2], track.crop_box[1:2], track.crop_box[3:]]),
    )
    lost, one, again, other = face_regions.face_crops(observation, held, range(4))
    assert lost is None
    assert one is again
    assert other is not one


def test_eight_to_fifteen_crops_are_looked_at(talking_head):
    track = talking_head(audio=False).tracks[0]
    few = [replace(track, crops=track.crops[:count]) for count in (16, 15, 8, 3, 0)]
    assert [len(face_regions.sampled(one)) for one in few] == [8, 15, 8, 3, 0]
