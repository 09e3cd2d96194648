"""Augmentations: the crop that is asked for, and images that stay recognisable."""

import numpy as np
import pytest

from extract.clip.square_crop import SquareCrop
from forge.images.augment import (
    GeometricAugmentation,
    PhotometricAugmentation,
    apply_geometric,
    apply_photometric,
    h264,
    jpeg,
    sample_geometric,
    sample_photometric,
)

BOX = np.array([40, 40, 120, 120], np.float32)


def test_the_plain_augmentation_is_the_square_crop_around_the_box(image):
    crop = apply_geometric(image, BOX, GeometricAugmentation(), 100)  # 1.25 x 80 px
    np.testing.assert_array_equal(crop, image[30:130, 30:130])
    np.testing.assert_array_equal(crop, SquareCrop.around(BOX, 1.25).cut(image, 100))  # as prediction cuts it


def test_a_mirrored_crop_is_the_mirror_image(image):
    plain = apply_geometric(image, BOX, GeometricAugmentation(), 100)
    mirrored = apply_geometric(image, BOX, GeometricAugmentation(mirrored=True), 100)
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])


def test_beyond_the_edge_the_edge_repeats(image):
    crop = apply_geometric(image, BOX - 80, GeometricAugmentation(zoom=0.8), 80)  # 80 px about the corner
    np.testing.assert_array_equal(crop[:40, :40], np.broadcast_to(image[0, 0], (40, 40, 3)))
    np.testing.assert_array_equal(crop[40:, 40:], image[:40, :40])


def test_sampled_crops_keep_the_middle_of_the_face(rng, image):
    for _ in range(50):
        augmentation = sample_geometric(rng)
        assert abs(np.log(augmentation.zoom)) < 0.2
        assert max(np.abs(augmentation.shift)) < 0.1
        assert apply_geometric(image, BOX, augmentation, 96).shape == (96, 96, 3)


def test_an_empty_photometric_augmentation_leaves_the_image(rng, image):
    np.testing.assert_array_equal(apply_photometric(image, PhotometricAugmentation(), rng), image)


def test_photometrically_augmented_images_stay_recognisable(rng, image):
    correlations = []
    for _ in range(40):
        augmentation = sample_photometric(rng)
        out = apply_photometric(image, augmentation, rng)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
        if augmentation.erased is None:
            correlations.append(np.corrcoef(out.mean(axis=2).ravel(), image.mean(axis=2).ravel())[0, 1])
    assert np.median(correlations) > 0.9


@pytest.mark.parametrize(("codec", "fine", "coarse"), [(jpeg, 95, 30), (h264, 18, 40)])
def test_codecs_lose_more_at_coarser_settings(image, codec, fine, coarse):
    losses = [np.abs(codec(image, level).astype(float) - image).mean() for level in (fine, coarse)]
    assert losses[0] < losses[1] < 40
