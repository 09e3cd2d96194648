"""What is said of a face's spectra: medians over patches, face against background, what is too small."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from features.families import spectrum
from features.measures import spectral
from features.measures.geometry import FACE_MODEL
from features.measures.robust import mad


def test_a_median_needs_eight_patches_that_are_whole(rng):
    values = rng.standard_normal((10, 3))
    values[0, 1] = values[4, 2] = np.nan
    assert spectrum.over_patches(values) == pytest.approx(np.median(np.delete(values, [0, 4], axis=0), axis=0))
    values[7] = np.nan
    assert np.isnan(spectrum.over_patches(values)).all()


def test_a_steeper_profile_shows_in_slope_and_bins_of_face_minus_background():
    f = spectral.frequencies(64)
    face, background = (np.tile(-beta * np.log10(f), (9, 1)) for beta in (2.5, 2.0))
    values = spectrum.profile_columns(face=face, background=background)
    assert values["slope"] == pytest.approx(-2.5)
    assert values["slope_fmb"] == pytest.approx(-0.5)
    assert values["tail"] == pytest.approx(0.0, abs=1e-9)  # both are straight lines
    assert values["rad23_fmb"] < values["rad10_fmb"] < 0 < values["rad00_fmb"]


def test_first_digits_are_compared_with_the_background_of_the_same_frame(rng):
    ones = np.full((9, 50, 8, 8), 1.5)
    digits = 10.0 ** rng.uniform(0, 1, (9, 50, 8, 8))  # Benford's law itself
    values = spectrum.benford_columns(face=ones, background=digits)
    assert values["benford_kl"] == pytest.approx(np.log2(1 / np.log10(2)))
    assert values["benford_kl_fmb"] == pytest.approx(values["benford_kl"], abs=0.01)
    digits[:3] = np.nan  # no room
    assert np.isnan(spectrum.benford_columns(face=ones, background=digits)["benford_kl_fmb"])


def test_flicker_is_the_spread_of_steps(rng):
    logs = np.stack([np.full(300, 0.7), 0.1 * rng.standard_normal(300)], axis=1)
    steps = spectrum.sharpness_steps(logs, times_s=np.arange(300) / 30.0)
    assert spectrum.flicker(steps) == pytest.approx([0.0, 0.1 * np.sqrt(2)], abs=0.02)
    assert np.isnan(spectrum.flicker(steps[:24])).all()


def test_steps_over_missing_frames_do_not_count():
    times = np.array([0.0, 0.04, 0.12, 0.16, 0.2])
    steps = spectrum.sharpness_steps(np.array([[0.0], [1.0], [3.0], [4.0], [5.0]]), times_s=times)
    assert steps[:, 0] == pytest.approx([1.0, np.nan, 1.0, 1.0], nan_ok=True)


@pytest.fixture
def flickering(make_track, make_observation):
    """Factory: ten seconds of a face whose log10 sharpness is given [n, 3]; the head rests, then moves at 1 iod/s."""

    def make(logs, *, still=300):
        x = np.maximum(0.0, np.arange(300) - still) / 30.0
        points = 90.0 * (FACE_MODEL[None, :, :2] + x[:, None, None] * np.array([1.0, 0.0])) + 300.0
        track = make_track(points, sharpness=10.0**logs)
        return make_observation(track), track

    return make


def test_flicker_of_a_still_head_leaves_out_the_blur_of_motion(rng, flickering):
    logs = np.full((300, 3), 0.7)
    logs[:150] += 0.02 * rng.standard_normal((150, 3))
    logs[150:] += 0.5 * rng.standard_normal((150, 1))
    values = spectrum.flicker_columns(*flickering(logs, still=150))
    assert values["flicker_still_mad"] == pytest.approx(0.02 * np.sqrt(2), rel=0.25)
    assert values["flicker_hf_mad"] > 3 * values["flicker_still_mad"]


def test_what_flickers_around_the_face_as_well_is_not_its_own(rng, flickering):
    logs = 0.7 + 0.05 * rng.standard_normal((300, 1)) + np.zeros((300, 3))
    logs[:, 0] += 0.01 * rng.standard_normal(300)
    logs[:, 2] += 0.3 * rng.standard_normal(300)  # the background, whose sharpness is another thing
    values = spectrum.flicker_columns(*flickering(logs))
    assert values["flicker_still_mad"] == pytest.approx(0.05 * np.sqrt(2), rel=0.25)
    assert values["flicker_still_own_mad"] == pytest.approx(0.01 * np.sqrt(2), rel=0.25)


@pytest.mark.parametrize(("hertz", "fraction"), [(6.0, 1.0), (1.5, 0.0)])
def test_fast_flicker_is_told_from_slow(flickering, hertz, fraction):
    logs = np.tile(0.7 + 0.1 * np.sin(2 * np.pi * hertz * np.arange(300) / 30.0)[:, None], 3)
    assert spectrum.flicker_columns(*flickering(logs))["flicker_bp4_10"] == pytest.approx(fraction, abs=0.02)


def test_the_lane_of_flicker_is_what_its_column_is_the_spread_of(talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    lane = spectrum.flicker_series(observation, track)["spectrum.flicker"]
    assert len(lane.values) == len(track) - 1
    np.testing.assert_array_equal(lane.times_s, observation.times_s[track.frame_index][1:])  # of the later frame
    spread = spectrum.measure(observation, track)["spectrum.flicker_hf_mad"]
    assert spread == pytest.approx(mad(lane.values))
    assert spectrum.flicker_series(observation, replace(track, sharpness=0 * track.sharpness)) == {}


def test_blur_of_the_face_alone_shows_against_the_background(rng, talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    soft = replace(track, patch_face=tuple(cv2.GaussianBlur(p, (0, 0), 1.0) for p in track.patch_face))
    plain, blurred = spectrum.measure(observation, track), spectrum.measure(observation, soft)
    assert plain["spectrum.tail_fmb"] == pytest.approx(0.0, abs=0.1)
    assert blurred["spectrum.tail_fmb"] < -0.5
    assert blurred["spectrum.rad20_fmb"] < plain["spectrum.rad20_fmb"] - 0.5


def test_missing_backgrounds_cost_only_the_differences(talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    bare = replace(track, patch_background=tuple(np.empty((0, 0), np.uint8) for _ in track.crops))
    values = spectrum.measure(observation, bare)
    assert np.isnan([values["spectrum.tail_fmb"], values["spectrum.benford_kl_fmb"]]).all()
    assert np.isfinite(values["spectrum.tail"])


@pytest.mark.parametrize("patch", [0, 64])
def test_small_faces_have_no_spectrum(talking_head, patch):
    observation = talking_head(audio=False, patch=patch)
    values = spectrum.measure(observation, observation.tracks[0])
    assert values.pop("spectrum.valid_share") == 0.0
    assert np.isnan(list(values.values())).all()


def test_flat_patches_are_undefined_not_infinite(talking_head):
    observation = talking_head(audio=False)
    flat = tuple(np.full((128, 128), 90, np.uint8) for _ in range(16))
    track = replace(observation.tracks[0], patch_face=flat)
    values = spectrum.measure(observation, track)
    assert np.isnan(values["spectrum.slope"])
    assert not np.isinf(list(values.values())).any()
