"""Laws' energies of known textures; teeth drawn between lips."""

import numpy as np
import pytest
from drawn_faces import Look, person

from features.measures import teeth
from features.measures.geometry import crop_landmarks
from features.measures.laws_texture import ENERGIES, MASKS, laws_energies

WHITE = (215.0, 210.0, 200.0)


def test_masks_sum_to_nothing_but_the_level():
    assert {name: mask.sum() for name, mask in MASKS.items()} == {"l": 16.0, "e": 0.0, "s": 0.0, "r": 0.0}


def test_a_plain_image_has_no_energy_and_an_empty_region_none(rng):
    region, nothing = np.ones((60, 60), bool), np.zeros((60, 60), bool)
    energies = laws_energies(np.full((60, 60), 90.0), regions=[region, nothing])
    assert energies[0] == pytest.approx(np.zeros(9), abs=1e-3)
    assert np.isnan(energies[1]).all()


def test_stripes_of_two_px_are_ripples_one_way():
    """Where rows are alternately 0 and 10, ripple answers 16 times 5 down and level 16 times across."""
    stripes = np.tile([[0.0], [10.0]], (40, 80))
    inner = np.zeros((80, 80), bool)
    inner[30:50, 30:50] = True
    size = 5 * 16 / 15  # against a mean over 15 rows, 7 of them of one kind
    energies = dict(zip(ENERGIES, laws_energies(stripes, regions=[inner])[0], strict=True))
    assert energies["lr"] == pytest.approx(16 * 16 * size / 2, rel=0.01)  # the other order gives 0
    assert energies["rr"] == pytest.approx(0.0, abs=1e-3)
    assert energies["ee"] == pytest.approx(0.0, abs=1e-3)


def test_energies_grow_with_noise_and_not_with_brightness(rng):
    noise = rng.normal(0.0, 5.0, (80, 80))
    inner = np.zeros((80, 80), bool)
    inner[30:50, 30:50] = True
    once = laws_energies(100.0 + noise, regions=[inner])
    assert laws_energies(100.0 + 2 * noise, regions=[inner]) == pytest.approx(2 * once, rel=1e-4)
    assert laws_energies(60.0 + noise, regions=[inner]) == pytest.approx(once, rel=1e-4)
    assert laws_energies((100.0 + noise).T, regions=[inner]) == pytest.approx(once, rel=1e-4)


def test_two_means_part_two_heaps(rng):
    values = np.concatenate([rng.normal(40.0, 5.0, 300), rng.normal(200.0, 5.0, 60)])
    threshold, apart = teeth.brighter_part(values)
    assert threshold == pytest.approx(120.0, abs=3.0)
    assert apart == pytest.approx(160.0, abs=3.0)
    assert teeth.brighter_part(np.full(9, 7.0)) == (7.0, 0.0)


def one(look, rng, **more):
    track = person(look, rng, **more)
    return teeth.measure_teeth(track.crops[0], points=crop_landmarks(track, 0))


def test_drawn_teeth_are_found_and_a_shut_or_dark_mouth_has_none(rng):
    found = one(Look(teeth=WHITE, teeth_noise=8.0), rng)
    assert found.area_share == pytest.approx(0.5, abs=0.12)
    assert one(Look(), rng) is None
    assert one(Look(teeth=WHITE), rng, mouth_open=0.08) is None


def test_a_red_lip_is_no_tooth(rng):
    assert one(Look(teeth=(230.0, 130.0, 120.0)), rng) is None


def test_a_small_face_has_no_teeth(rng):
    assert one(Look(teeth=WHITE), rng, scale_px=36.0) is None
    assert one(Look(teeth=WHITE), rng, scale_px=50.0) is not None


def test_teeth_of_one_patch_have_less_texture_than_teeth_with_noise(rng):
    flat, rough = (one(Look(teeth=WHITE, teeth_noise=noise), rng) for noise in (0.0, 25.0))
    ripples = ENERGIES.index("rr")
    assert rough.laws[ripples] > flat.laws[ripples] + 0.5
    assert rough.ten > flat.ten
    assert rough.over_skin > flat.over_skin + 0.2
    smooth = one(Look(teeth=WHITE, teeth_noise=25.0, skin_noise=0.0), rng)
    assert np.isnan(smooth.over_skin) or smooth.over_skin > rough.over_skin
