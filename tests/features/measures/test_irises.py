"""Irises of drawn eyes: found where they were drawn, compared by colour, with their highlights."""

import cv2
import numpy as np
import pytest
from drawn_faces import IRIS_IOD, Look, person

from features.measures import irises
from features.measures.geometry import LEFT_EYE, RIGHT_EYE, crop_landmarks
from features.measures.outlines import inside_convex


def eye_of(look, rng, *, eye=RIGHT_EYE, mirror=False, **more):
    track = person(look, rng, **more)
    crop, points = track.crops[0], crop_landmarks(track, 0)[eye]
    if mirror:
        crop, points = crop[:, ::-1], (points * (-1, 1) + (len(crop) - 1, 0))[[3, 2, 1, 0, 5, 4]]
    return irises.level_eye(crop, points=points), points


@pytest.mark.parametrize("gaze", [-0.1, 0.0, 0.12])
def test_an_iris_is_found_where_it_was_drawn(rng, gaze):
    eye, points = eye_of(Look(gaze=(gaze, 0.0)), rng)
    found = irises.find_iris(eye)
    width = float(np.hypot(*(points[3] - points[0])))
    level = points[[0, 3]].mean(axis=0)
    off = (points.mean(axis=0) - level) / width  # the drawn iris lies at the middle of all six points
    assert found.x == pytest.approx(47.5 + 64 * (gaze + off[0]), abs=1.5)
    assert found.y == pytest.approx(27.5 + 64 * off[1], abs=2.5)
    assert found.radius == pytest.approx(IRIS_IOD * 85.0 / width * 64, abs=1.5)


def test_an_eye_without_iris_has_none(rng):
    white = (225.0, 222.0, 220.0)
    eye, _ = eye_of(Look(irises=(white, white)), rng)
    plain = irises.Eye(np.full_like(eye.rgb, 100.0), eye.open)
    assert irises.find_iris(plain) is None


def test_a_mirrored_eye_has_the_mirrored_iris(rng):
    look = Look(gaze=(0.1, 0.1), lights=((0.3, -0.3), (0.3, -0.3)))
    seed = int(rng.integers(1 << 30))
    one, _ = eye_of(look, np.random.default_rng(seed))
    other, _ = eye_of(look, np.random.default_rng(seed), mirror=True)
    assert other.open.tolist() == one.open[:, ::-1].tolist()
    np.testing.assert_allclose(other.rgb, one.rgb[:, ::-1], atol=1e-6)
    a, b = irises.find_iris(one), irises.find_iris(other)
    assert (b.x, b.y, b.radius) == pytest.approx((irises.PATCH[0] - 1 - a.x, a.y, a.radius), abs=0.01)


def test_a_highlight_is_marked_and_placed(rng):
    eye, _ = eye_of(Look(lights=((0.4, 0.2), None)), rng)
    iris = irises.find_iris(eye)
    light = irises.highlights(eye, iris=iris)
    x, y = irises.place_in_iris(light, iris=iris)
    assert (x, y) == pytest.approx((0.4, 0.2), abs=0.15)
    assert light.sum() == pytest.approx(np.pi * (0.3 * iris.radius) ** 2, rel=0.4)
    pixels = irises.iris_pixels(eye, iris=iris)
    assert len(pixels) > 50
    assert pixels.max() < irises.HIGHLIGHT_V  # the highlight is no colour of the iris


def test_no_highlight_in_a_plain_or_in_a_wholly_bright_iris(rng):
    plain, _ = eye_of(Look(), rng)
    assert not irises.highlights(plain, iris=irises.find_iris(plain)).any()
    flooded, _ = eye_of(Look(lights=((0.0, 0.0), None), light_radius=0.8), rng)
    assert not irises.highlights(flooded, iris=irises.Circle(47.5, 27.5, 16.0)).any()
    assert np.isnan(irises.place_in_iris(np.zeros((4, 4), bool), iris=irises.Circle(1, 1, 1))).all()


def test_the_white_of_the_eye_and_the_lids_are_no_highlight(rng):
    """Landmarks that are a third of a pixel off let rows of skin in, a circle 1 px off the white at the rim."""
    brown = (90.0, 60.0, 40.0)
    marked = []
    for scale_px in (60.0, 85.0, 110.0):
        for _ in range(8):
            track = person(Look(irises=(brown, brown)), rng, scale_px=scale_px)
            crop = cv2.GaussianBlur(track.crops[0], (0, 0), 0.4)
            points = crop_landmarks(track, 0)[RIGHT_EYE] + rng.normal(0.0, 0.3, (6, 2))
            eye = irises.level_eye(crop, points=points)
            marked.append(irises.highlights(eye, iris=irises.find_iris(eye)).any())
    assert np.mean(marked) <= 0.1


@pytest.mark.parametrize("colour", [(110.0, 130.0, 149.0), (120.0, 140.0, 165.0), (150.0, 170.0, 195.0)])
def test_a_light_iris_is_seen_and_has_its_colour(rng, colour):
    eye, _ = eye_of(Look(irises=(colour, colour), lights=((0.4, 0.2), None)), rng)
    pixels = irises.iris_pixels(eye, iris=irises.find_iris(eye))
    assert np.median(pixels, axis=0) == pytest.approx(colour, abs=3.0)


def test_hues_are_compared_on_their_circle():
    assert irises.hue_distance(179.0, 1.0) == pytest.approx(2 / 90)
    assert irises.hue_distance(0.0, 90.0) == 1.0
    assert irises.hue_distance(30.0, 30.0) == 0.0


def test_equal_colours_do_not_differ_and_a_gain_is_brightness_alone(rng):
    brown = np.clip(rng.normal((90.0, 60.0, 40.0), 5.0, (400, 3)), 0, 255)
    same = irises.colour_differences(brown, brown)
    assert max(same.values()) == pytest.approx(0.0, abs=1e-6)
    lit = irises.colour_differences(brown, 1.4 * brown)
    assert lit["dv"] == pytest.approx(0.4 * brown[:, 0].mean() / 255.0, rel=0.01)
    assert lit["dh"] == pytest.approx(0.0, abs=1e-3)
    assert lit["ds"] == pytest.approx(0.0, abs=1e-3)
    blue = irises.colour_differences(brown, brown[:, ::-1])
    assert blue["dh"] > 0.9
    assert blue["dlab"] > 20.0
    assert blue["hist_r"] > 0.4 > irises.colour_differences(brown[::2], brown[1::2])["hist_r"]


def test_irises_without_colour_have_no_hue(rng):
    """A black and white clip: grey, or a level of a channel beside it."""
    grey = np.repeat(rng.integers(60, 120, (400, 1)), 3, axis=1).astype(float)
    for colour in (grey, grey + np.array([0.0, 0.0, 1.0])):
        found = irises.colour_differences(colour, grey)
        assert np.isnan(found.pop("dh"))
        assert np.isfinite(list(found.values())).all()
    tinted = grey * np.array([1.0, 0.95, 0.95])
    assert np.isfinite(irises.colour_differences(tinted, tinted)["dh"])


def test_masks_overlap_after_the_best_shift():
    a, b = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    a[2:6, 3:7], b[10:14, 20:24] = True, True
    assert irises.overlap(a, b) == 1.0
    b[10:14, 24:28] = True  # twice the area
    assert irises.overlap(a, b) == pytest.approx(0.5)
    assert np.isnan(irises.overlap(a, np.zeros_like(a)))


def test_lids_hide_the_ring(rng):
    eye, _ = eye_of(Look(), rng, eye=LEFT_EYE)
    iris = irises.find_iris(eye)
    shut = irises.Eye(eye.rgb, np.zeros_like(eye.open))
    assert len(irises.iris_pixels(shut, iris=iris)) == 0
    assert not irises.highlights(shut, iris=iris).any()


def test_outlines_hold_their_edge_and_no_more():
    diamond = np.array([(5.0, 1.0), (9.0, 5.0), (5.0, 9.0), (1.0, 5.0)])
    inside = inside_convex(diamond, size=(11, 12))
    rows, columns = np.mgrid[:12, :11]
    assert inside.tolist() == (np.abs(rows - 5) + np.abs(columns - 5) <= 4).tolist()
    assert not inside_convex(np.full((4, 2), np.nan), size=(3, 3)).any()
