"""Crop forgeries: a forgery changes what it says it changes, and treatments leave pairs alike."""

import numpy as np
import pytest

from forge.images import blend, resynthesis
from forge.images.augment import (
    GeometricAugmentation,
    PhotometricAugmentation,
    apply_geometric,
    apply_photometric,
    cut_square,
    h264,
    jpeg,
    sample_geometric,
    sample_photometric,
)

SIDE = 160


@pytest.fixture
def rng():
    return np.random.default_rng(2022)


@pytest.fixture
def image(rng):
    """A smooth picture with some texture."""
    import cv2

    smooth = cv2.GaussianBlur(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), (0, 0), 3)
    return np.clip((smooth.astype(float) - 127) * 4 + 127 + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def points():
    """68 landmarks of an upright face 80 px wide in the middle of the picture."""
    t = np.linspace(0, np.pi, 17)
    jaw = np.c_[80 - 40 * np.cos(t), 75 + 50 * np.sin(t)]
    brows = np.c_[np.r_[np.linspace(50, 72, 5), np.linspace(88, 110, 5)], np.full(10, 60)]
    nose = np.c_[np.r_[np.full(4, 80), np.linspace(72, 88, 5)], np.r_[np.linspace(68, 88, 4), np.full(5, 92)]]
    a = np.arange(6) * np.pi / 3
    eyes = [np.c_[x + 7 * np.cos(a), 70 + 3 * np.sin(a)] for x in (62, 98)]
    b = np.arange(20) * np.pi / 10
    mouth = np.c_[80 + 16 * np.cos(b), 106 + 6 * np.sin(b)]
    return np.concatenate([jaw, brows, nose, *eyes, mouth]).astype(np.float32)


BOX = np.array([40, 40, 120, 120], np.float32)


def changed(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max(axis=2)


def test_a_straight_view_shows_the_square_around_the_box(image):
    shown = apply_geometric(image, BOX, GeometricAugmentation(), 100)  # 1.25 x 80 px
    np.testing.assert_array_equal(shown, image[30:130, 30:130])


def test_a_mirrored_view_is_the_mirror_image(image):
    plain = apply_geometric(image, BOX, GeometricAugmentation(), 100)
    np.testing.assert_array_equal(
        apply_geometric(image, BOX, GeometricAugmentation(mirrored=True), 100), plain[:, ::-1]
    )


def test_beyond_the_edge_the_edge_repeats(image):
    shown = cut_square(image, 0, 0, 80, 80)
    np.testing.assert_array_equal(shown[:40, :40], np.broadcast_to(image[0, 0], (40, 40, 3)))
    np.testing.assert_array_equal(shown[40:, 40:], image[:40, :40])


def test_sampled_views_keep_the_middle_of_the_face(rng, image):
    for _ in range(50):
        view = sample_geometric(rng)
        assert abs(np.log(view.zoom)) < 0.2
        assert max(np.abs(view.shift)) < 0.1
        assert apply_geometric(image, BOX, view, 96).shape == (96, 96, 3)


def test_no_quality_step_leaves_the_picture(rng, image):
    np.testing.assert_array_equal(apply_photometric(image, PhotometricAugmentation(), rng), image)


def test_sampled_qualities_keep_the_picture_recognisable(rng, image):
    correlations = []
    for _ in range(40):
        quality = sample_photometric(rng)
        out = apply_photometric(image, quality, rng)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
        if quality.erased is None:
            correlations.append(np.corrcoef(out.mean(axis=2).ravel(), image.mean(axis=2).ravel())[0, 1])
    assert np.median(correlations) > 0.9


@pytest.mark.parametrize(("codec", "fine", "coarse"), [(jpeg, 95, 30), (h264, 18, 40)])
def test_codecs_lose_more_at_coarser_settings(image, codec, fine, coarse):
    losses = [np.abs(codec(image, level).astype(float) - image).mean() for level in (fine, coarse)]
    assert losses[0] < losses[1] < 40


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


def test_soft_masks_stay_within_0_and_1(rng, image, points):
    for _ in range(20):
        soft = blend.soft_mask(blend.region_mask(points, image.shape, "inner"), 36.0, rng)
        assert soft.min() >= 0
        assert soft.max() <= 1 + 1e-6
        assert 0 < soft.mean() < 0.6


def test_affine_recovers_a_known_map(points, rng):
    known = np.array([[1.1, 0.2, 5.0], [-0.1, 0.9, -3.0]])
    moved = points @ known[:, :2].T + known[:, 2]
    np.testing.assert_allclose(blend.affine(points, moved), known, atol=1e-4)
    fit = blend.similarity(points, moved.astype(np.float32), blend.REGIONS["mouth"])
    np.testing.assert_allclose(fit, known, atol=1e-3)


def test_a_mouth_comes_from_the_donor_and_the_rest_stays(rng, image, points):
    donor = np.full_like(image, 60)
    donor[95:117, 60:100] = (250, 40, 40)  # a red mouth
    out = blend.transplant(image, points, donor, points, rng, region="mouth")
    assert changed(out, image)[100:112, 75:85].mean() > 5
    assert changed(out, image)[:60].max() == 0


def test_recolouring_meets_mean_and_spread(image, points):
    mask = blend.region_mask(points, image.shape, "face")
    dark = (image * 0.5).astype(np.uint8)
    out = blend.recoloured(dark, image, mask, strength=1.0)
    inside = mask > 0
    assert out[inside].mean() == pytest.approx(image[inside].mean(), rel=0.05)
    np.testing.assert_array_equal(blend.recoloured(dark, image, 0 * mask, strength=1.0), dark)


def test_implausible_landmarks_are_refused(points):
    assert blend.plausible(points, BOX)
    assert not blend.plausible(points + 60, BOX)
    assert not blend.plausible(points * 0.1 + 72, BOX)


def test_shape_distance_ignores_place_and_size(points, rng):
    assert blend.shape_distance(points, 3 * points + 10) == pytest.approx(0, abs=1e-5)
    assert blend.shape_distance(points, points + rng.normal(0, 4, points.shape).astype(np.float32)) > 0.05


@pytest.mark.parametrize("name", resynthesis.CHOICES)
def test_every_resynthesis_alters_texture_and_keeps_the_picture(rng, image, name):
    out = getattr(resynthesis, name)(image, rng)
    assert out.shape == image.shape
    assert changed(out, image).mean() > 0.5
    assert np.corrcoef(out.ravel().astype(float), image.ravel())[0, 1] > 0.9


def test_resynthesis_is_confined_by_landmarks(rng, image, points):
    untouched = [changed(resynthesis.resynthesise(image, points, rng), image)[:, :8].max() == 0 for _ in range(30)]
    assert 0.4 < np.mean(untouched) < 0.9  # a third changes the whole picture


def test_forgeries_depend_on_the_seed_alone(image, points):
    def one(seed):
        r = np.random.default_rng(seed)
        forged = resynthesis.resynthesise(blend.self_blend(image, points, r), points, r)
        return apply_photometric(apply_geometric(forged, BOX, sample_geometric(r), 96), sample_photometric(r), r)

    np.testing.assert_array_equal(one(5), one(5))
    assert changed(one(5), one(6)).mean() > 1
