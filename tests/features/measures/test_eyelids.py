"""Blinks of known number, depth and length in a series of openness; the lid gap of a drawn eye."""

import numpy as np
import pytest
from people import blink_curve

from features.measures import eyelids
from features.measures.series import Segment

MOMENTS = (1.5, 4.2, 7.7)


@pytest.mark.parametrize("fps", [30, 25, 24, 15])
def test_three_dips_are_three_events(rng, fps):
    t = np.arange(10 * fps) / fps
    ear = 0.30 - 0.22 * blink_curve(t, MOMENTS, depth=1.0) + 0.005 * rng.standard_normal(len(t))
    o = eyelids.openness(Segment(0.0, float(fps), ear), level=0.3)
    found = eyelids.find_blinks(Segment(0.0, float(fps), o))
    assert [blink.moment_s for blink in found] == pytest.approx(MOMENTS, abs=0.03)
    if fps >= 24:
        assert np.median([1 - blink.lowest for blink in found]) == pytest.approx(0.73, abs=0.06)
        assert all(0.12 <= blink.end_s - blink.start_s <= 0.17 for blink in found)


def test_a_long_closure_and_a_shallow_dip_are_no_blinks():
    t = np.arange(300) / 30.0
    closure = blink_curve(t, [5.0], width_s=1.5)
    shallow = blink_curve(t, [2.0], depth=0.3)
    assert eyelids.find_blinks(Segment(0.0, 30.0, 1.0 - closure - shallow)) == []


def test_a_double_dip_is_one_event():
    t = np.arange(300) / 30.0
    o = 1.0 - blink_curve(t, [3.0, 3.18], width_s=0.16)
    assert len(eyelids.find_blinks(Segment(0.0, 30.0, o))) == 1


@pytest.mark.parametrize("rate_hz", [25.0 - 1e-9, 25.0, 25.0 + 1e-9])
def test_two_dips_80_ms_apart_are_two_events_whatever_the_rounding_of_the_rate(rate_hz):
    o = np.ones(100)
    o[[40, 41, 42, 43, 47, 48, 49, 50]] = 0.2
    assert len(eyelids.find_blinks(Segment(0.0, rate_hz, o))) == 2


@pytest.mark.parametrize("rate_hz", [25.0 - 1e-9, 25.0, 25.0 + 1e-9])
def test_five_seconds_have_a_running_level_whatever_the_rounding_of_the_rate(rng, rate_hz):
    ear = 0.3 + 0.02 * rng.standard_normal(125)
    at_25_fps = eyelids.openness(Segment(0.0, 25.0, ear), level=9.0)
    assert eyelids.openness(Segment(0.0, rate_hz, ear), level=9.0) == pytest.approx(at_25_fps)
    assert at_25_fps.mean() > 0.9  # the level of the clip is 9


def test_events_at_the_ends_count_without_a_length():
    t = np.arange(300) / 30.0
    (one,) = eyelids.find_blinks(Segment(0.0, 30.0, 1.0 - blink_curve(t, [0.0], width_s=0.4)))
    assert not one.whole


@pytest.mark.parametrize("gap", [4, 8])
def test_lid_gap_is_read_from_the_image(gap):
    eye = np.full((80, 80), 180, np.uint8)
    eye[40 - gap : 40 + gap, 20:60] = 40  # a dark opening 2 * gap high between corners 28 px apart
    found = eyelids.eye_opening(eye, corners=np.array([[26.0, 40.0], [54.0, 40.0]]))
    assert found == pytest.approx(2 * gap / 28.0, abs=0.08)
    flat = np.full((80, 80), 99, np.uint8)
    assert np.isnan(eyelids.eye_opening(flat, corners=np.array([[26.0, 40.0], [54.0, 40.0]])))
