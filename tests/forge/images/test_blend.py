"""Forgeries by blending: a forgery changes what it says it changes."""

import numpy as np
import pytest

from forge.images import blend

BOX = np.array([40, 40, 120, 120], np.float32)


def changed(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max(axis=2)


def test_self_blending_changes_the_face_and_less_else(rng, image, points):
    inside, outside = [], []
    face = blend.region_mask(points, image.shape, "face", grow=0.6) > 0
    for _ in range(20):
        out = blend.self_blend(image, points, rng)
        assert out.shape == image.shape
        inside.append(changed(out, image)[face].mean())
        outside.append(changed(out, image)[~face].mean())
    assert np.median(inside) > 2
    assert np.min(outside) < 1.5  # where the source was changed, what surrounds the face is the original


def test_a_self_blend_of_a_ratio_of_0_would_be_the_original(image, points):
    mask = blend.region_mask(points, image.shape, "face")
    assert set(np.unique(mask)) == {0.0, 1.0}
    np.testing.assert_array_equal(blend.mix(255 - image, image, 0 * mask), image)
    np.testing.assert_array_equal(blend.mix(255 - image, image, 0 * mask + 1), 255 - image)


def test_regions_hold_their_landmarks_and_lie_in_the_face(image, points):
    face = blend.region_mask(points, image.shape, "face", grow=0.1)
    for region in blend.REGIONS:
        mask = blend.region_mask(points, image.shape, region)
        x, y = np.rint(points[blend.REGIONS[region]].mean(axis=0)).astype(int)
        assert mask[y, x] == 1
        assert (mask <= face).all()
    assert (
        blend.region_mask(points, image.shape, "mouth", grow=0.3).sum()
        > blend.region_mask(points, image.shape, "mouth").sum()
    )


def test_soft_edges_stay_within_0_and_1(rng, image, points):
    hard = blend.region_mask(points, image.shape, "inner")
    for _ in range(20):
        soft = blend.Edge.sample(rng).apply(hard, 36.0)
        assert soft.min() >= 0
        assert soft.max() <= 1 + 1e-6
        assert 0 < soft.mean() < 0.6


def test_an_anchored_map_recovers_a_known_one(points):
    known = np.array([[1.1, 0.2, 5.0], [-0.1, 0.9, -3.0]])
    moved = (points @ known[:, :2].T + known[:, 2]).astype(np.float32)
    np.testing.assert_allclose(blend.anchored(points, moved, blend.REGIONS["mouth"]), known, atol=1e-3)


def test_a_mouth_comes_from_the_donor_and_the_rest_stays(rng, image, points):
    donor = np.full_like(image, 60)
    donor[95:117, 60:100] = (250, 40, 40)  # a red mouth
    out = blend.transplant(image, points, donor, points, rng, region="mouth")
    assert changed(out, image)[100:112, 75:85].mean() > 5
    assert changed(out, image)[:60].max() == 0


def test_recolouring_meets_mean_and_spread(image, points):
    mask = blend.region_mask(points, image.shape, "face")
    dark = (image * 0.5).astype(np.uint8)
    out = blend.recoloured(dark, image, mask)
    inside = mask > 0
    assert out[inside].mean() == pytest.approx(image[inside].mean(), rel=0.05)
    np.testing.assert_array_equal(blend.recoloured(dark, image, 0 * mask), dark)


def test_implausible_landmarks_are_refused(points):
    assert blend.plausible(points, BOX)
    assert not blend.plausible(points + 60, BOX)
    assert not blend.plausible(points * 0.1 + 72, BOX)


def test_shape_distance_ignores_place_and_size(points, rng):
    assert blend.shape_distance(points, 3 * points + 10) == pytest.approx(0, abs=1e-5)
    assert blend.shape_distance(points, points + rng.normal(0, 4, points.shape).astype(np.float32)) > 0.05


def test_sampled_parameters_make_the_same_image_whenever_they_are_applied(image, points):
    forgery = blend.SelfBlend.sample(np.random.default_rng(2022))
    first = forgery.apply(image, points)
    np.testing.assert_array_equal(first, forgery.apply(image, points))
    np.testing.assert_array_equal(first, blend.self_blend(image, points, np.random.default_rng(2022)))
