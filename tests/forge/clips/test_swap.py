import numpy as np
import pytest

from forge.clips.swap import Region, blend, choose_frames, hull_mask, warp
from forge.demo import portrait
from forge.face_ops import iod


@pytest.fixture(scope="module")
def face():
    return portrait.load("astronaut").landmarks * np.float32(2.0)


def bent(face, gap=0.0, turn=0.0):
    points = face.copy()
    points[65:68, 1] += gap * iod(face)
    points[30, 0] += turn * iod(face)
    return points


def test_warp_onto_the_same_points_changes_nothing(face):
    image = np.random.default_rng(0).integers(0, 256, (400, 600, 3), np.uint8)
    same = warp(image, face, face, image.shape)
    assert np.abs(same[8:-8, 8:-8].astype(int) - image[8:-8, 8:-8]).mean() < 1.0


def test_warp_carries_points_onto_points(face):
    image = np.zeros((500, 700, 3), np.uint8)
    target = face * np.float32(0.8) + np.array([60, 90], np.float32)
    x, y = np.round(face[30]).astype(int)
    image[y - 3 : y + 4, x - 3 : x + 4] = 255
    moved = warp(image, face, target, image.shape)
    rows, columns = np.nonzero(moved[..., 0] > 128)
    assert np.allclose((columns.mean(), rows.mean()), target[30], atol=1.5)


def test_mask_covers_the_face_and_not_the_frame(face):
    mask = hull_mask(face, (600, 800), grow=0.0, soft=0.0)
    inside = np.round(face[[27, 30, 33, 57]]).astype(int)
    assert (mask[inside[:, 1], inside[:, 0]] == 1).all()
    assert mask[[0, -1]].max() == mask[:, [0, -1]].max() == 0
    smaller = hull_mask(face, (600, 800), grow=-0.2, soft=0.0)
    assert smaller.sum() < 0.8 * mask.sum()


@pytest.mark.parametrize("way", ["poisson", "feather"])
def test_blend_leaves_what_the_mask_does_not_cover(way):
    rng = np.random.default_rng(0)
    image, target = rng.integers(0, 256, (2, 100, 100, 3), np.uint8)
    mask = np.zeros((100, 100), np.float32)
    mask[30:70, 30:70] = 1.0
    mixed = blend(image, target, mask, way)
    outside = mask == 0
    assert np.array_equal(mixed[outside], target[outside])
    assert not np.array_equal(mixed[40:60, 40:60], target[40:60, 40:60])


def test_region_stays_inside_the_frame(face):
    region = Region.around(face, (220, 500))
    assert (region.left, region.top) >= (0, 0)
    assert region.bottom <= 220
    assert region.right <= 500
    assert np.allclose(region.inside(face) + np.array([region.left, region.top]), face)


def test_chosen_donor_frames_have_the_targets_expression(face):
    gaps = np.r_[np.linspace(0, 0.4, 12), np.linspace(0.4, 0, 12)]
    donor = np.stack([bent(face, gap) for gap in np.linspace(0, 0.4, 9)])
    target = np.stack([bent(face, gap) for gap in gaps])
    path, unlike = choose_frames(target, donor)
    assert np.abs(np.linspace(0, 0.4, 9)[path] - gaps).max() < 0.15
    assert unlike < 0.08


def test_lost_donor_frames_are_never_chosen(face):
    donor = np.stack([bent(face, 0.1)] * 6)
    donor[::2] = np.nan
    target = np.stack([face] * 5)
    target[2] = np.nan
    path, _ = choose_frames(target, donor)
    assert set(path) <= {1, 3, 5}
