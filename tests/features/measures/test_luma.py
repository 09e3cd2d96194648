"""Noise of known strength, grey levels of known coding, blocks of known place."""

from dataclasses import replace

import numpy as np
import pytest

from features import discovery
from features.measures import luma


def noise(rng, sigma=5.0, side=128):
    return 100.0 + sigma * rng.standard_normal((side, side))


def test_noise_is_recovered(rng):
    assert luma.noise_imm(noise(rng)) == pytest.approx(5.0, rel=0.03)
    assert luma.noise_mad(noise(rng)) == pytest.approx(5.0, rel=0.05)


def test_noise_of_the_flat_half_is_not_misled_by_edges(rng):
    image = noise(rng)
    image[:, 88:] += 80.0 * (np.indices((128, 40)).sum(axis=0) % 7 < 3)  # hard texture on a third
    assert luma.noise_mad(image) == pytest.approx(5.0, rel=0.1)
    assert luma.noise_imm(image) > 8.0


def test_a_constant_image_has_no_noise():
    flat = np.full((128, 128), 90.0)
    assert luma.noise_imm(flat) == luma.noise_mad(flat) == 0.0


@pytest.mark.parametrize("axis", [0, 1])
def test_steps_stand_out_behind_the_last_pixel_of_a_block(rng, axis):
    blocks = np.kron(rng.uniform(0, 255, (9, 9)), np.ones((8, 8)))
    shifted = np.roll(blocks, 3, axis=axis)[4:-4, 4:-4] if axis else np.roll(blocks, 3, axis=axis)[4:-4]
    steps = luma.block_steps(shifted, axis=axis)
    assert steps.argmax() == (7 + 3 - 4) % 8
    assert np.count_nonzero(steps) == 1


def test_grey_levels_reach_from_black_to_white_and_empty_patches_stay():
    full, empty = luma.grey_levels([np.array([[16, 235]], np.uint8), np.empty((0, 0), np.uint8)], luma_levels=(16, 235))
    assert full.tolist() == [[0.0, 255.0]]
    assert empty.shape == (0, 0)


def recoded(patches, levels):
    """Grey patches from 0 to 255 as a file holds them whose black and white are ``levels``."""
    black, white = levels
    return tuple(np.rint(black + patch * ((white - black) / 255)).astype(np.uint8) for patch in patches)


@pytest.mark.parametrize("name", ["quality", "residual", "spectrum"])
def test_video_is_measured_alike_in_full_and_in_limited_range(talking_head, name):
    """Grey levels are of black, 0, to white, 255, in every family: yuvj420p and yuv420p of one frame agree."""
    (family,) = discovery.families([name])
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    values = []
    for levels in ((0, 255), (16, 235)):
        patches = {place: recoded(getattr(track, place), levels) for place in ("patch_face", "patch_background")}
        coded = replace(track, **patches)
        values.append(family.measure(replace(observation, luma_levels=levels, tracks=(coded,)), coded))
    moved = {
        n: (a, values[1][n])
        for n, a in values[0].items()
        if values[1][n] != pytest.approx(a, rel=0.1, abs=0.05, nan_ok=True)
    }
    assert not moved
