"""Grids, smoothing, derivatives and power in a band on signals of known answer."""

import numpy as np
import pytest

from features.measures import series
from features.measures.series import Segment


def test_regular_samples_are_taken_as_they_are(rng):
    times = np.round(np.arange(100) / 30.0, 3)  # a container that rounds to milliseconds
    values = rng.standard_normal(100)
    (part,) = series.segments(values, times_s=times)
    assert np.array_equal(part.values, values)
    assert part.rate_hz == pytest.approx(30.0, rel=1e-3)


@pytest.mark.parametrize(("fps", "missing"), [(25, 2), (50, 5), (30, 2)])
@pytest.mark.parametrize("unit", [1e-3, 1 / 12800, 1 / 90000])
def test_a_gap_at_the_limit_is_bridged_wherever_it_lies(fps, missing, unit):
    """Time stamps are rounded, so the same gap is now a little longer, now a little shorter than the limit."""
    times = np.rint(np.arange(80) / fps / unit) * unit
    for first in range(5, 70):
        values = np.sin(times)
        values[first : first + missing] = np.nan
        assert len(series.segments(values, times_s=times)) == 1, first


def test_a_short_gap_is_bridged_and_a_long_one_splits():
    times = np.arange(90) / 30.0
    values = 2.0 * times
    values[20:22] = np.nan  # 0.1 s between neighbours
    values[50:60] = np.nan
    first, second = series.segments(values, times_s=times)
    assert len(first.values) == 50
    assert first.values == pytest.approx(2.0 * first.times_s)
    assert second.start_s == pytest.approx(2.0)
    assert len(second.values) == 30


def test_irregular_times_are_interpolated(rng):
    times = np.sort(rng.uniform(0.0, 3.0, 200))
    (part,) = series.segments(3.0 * times, times_s=times)
    assert part.values == pytest.approx(3.0 * part.times_s)


def test_a_slow_clip_is_not_split_at_every_frame():
    times = np.arange(40) / 8.0  # steps of 0.125 s, above the gap limit
    assert len(series.segments(times, times_s=times)) == 1


@pytest.mark.parametrize("values", [np.full(50, np.nan), np.r_[1.0, np.full(49, np.nan)]], ids=["none", "one"])
def test_nothing_usable_gives_no_segment(values):
    assert series.segments(values, times_s=np.arange(50) / 25.0) == []


def test_segments_count_by_their_length_in_a_band():
    """Four seconds of a tone inside the band and eight of one below it: a third of the power lies inside."""
    inside, below = (
        Segment(start_s, 30.0, np.sin(2 * np.pi * hz * np.arange(30 * seconds) / 30.0))
        for start_s, hz, seconds in ((0.0, 5.0, 4), (10.0, 2.0, 8))
    )
    for parts in ([inside, below], [below, inside]):
        assert series.band_fraction(parts, band_hz=(3.0, 12.0)) == pytest.approx(1 / 3, abs=0.01)


def test_the_power_in_a_band_finds_a_tone_and_spread_noise(rng):
    t = np.arange(300) / 30.0
    tone = Segment(0.0, 30.0, np.sin(2 * np.pi * 5 * t))
    noise = Segment(0.0, 30.0, rng.standard_normal((300, 40)))
    assert series.band_fraction([tone], band_hz=(3, 12)) == pytest.approx(1.0, abs=0.01)
    assert series.band_fraction([tone], band_hz=(1, 3)) == pytest.approx(0.0, abs=0.01)
    assert series.band_fraction([noise], band_hz=(3, 12)) == pytest.approx(9 / 13, abs=0.02)  # of 0.5 to 13.5 Hz


@pytest.mark.parametrize("rate_hz", [26.67, 27.0, 30.0])
def test_the_power_in_a_band_is_never_more_than_the_whole(rate_hz):
    tone = np.sin(2 * np.pi * 11.99 * np.arange(300) / rate_hz)  # at the band's edge, next to that of the whole
    assert 0.5 < series.band_fraction([Segment(0.0, rate_hz, tone)], band_hz=(3, 12)) <= 1


def test_the_power_in_a_band_pools_segments_of_unlike_length(rng):
    t = np.arange(300) / 30.0
    tone = np.sin(2 * np.pi * 5 * t)
    parts = [Segment(0.0, 30.0, tone), Segment(12.0, 30.0, tone[:70])]
    assert series.band_fraction(parts, band_hz=(3, 12)) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("count", "rate_hz"), [(45, 30.0), (60, 40.0), (300, 26.0), (300, 26.5)], ids=["1.5s", "60", "slow", "beyond"]
)
def test_the_power_in_a_band_is_undefined_when_short_or_slow(rng, count, rate_hz):
    part = Segment(0.0, rate_hz, rng.standard_normal(count))
    assert np.isnan(series.band_fraction([part], band_hz=(3, 12)))


def test_derivatives_of_a_cubic_are_exact():
    t = np.arange(60) / 30.0
    square, cube = Segment(0.0, 30.0, t**2), Segment(0.0, 30.0, t**3)
    assert series.derivative(square, order=1)[10:-10] == pytest.approx(2 * t[10:-10])
    assert series.derivative(square, order=2)[10:-10] == pytest.approx(2.0)
    assert series.derivative(cube, order=3)[10:-10] == pytest.approx(6.0, rel=1e-5)
    assert len(series.derivative(Segment(0.0, 30.0, t[:6]), order=1)) == 0  # shorter than the window


@pytest.mark.parametrize(("rate_hz", "known"), [(15.0, True), (14.5, True), (14.0, False), (5.0, False)])
def test_no_smooth_is_longer_than_motion(rate_hz, known):
    """Non-regression: five samples of a slow clip are up to a second, and what they smooth away was called jitter."""
    part = Segment(0.0, rate_hz, np.arange(40.0))
    for values in (series.smoothed(part), series.derivative(part, order=1), series.derivative(part, order=3)):
        assert len(values) == 40
        assert np.isfinite(values).all() == known
        assert np.isnan(values).all() != known


@pytest.mark.parametrize(("rate_hz", "window"), [(15, 5), (24, 5), (25, 5), (30, 7), (60, 13)])
def test_smoothing_window_is_odd_and_about_a_quarter_second(rate_hz, window):
    assert series.savgol_window(rate_hz) == window


def test_a_frame_that_comes_late_by_more_than_a_third_is_no_regular_sample():
    values = np.sin(np.arange(60.0))
    for late, regular in ((0.2, True), (0.4, False)):
        times = np.arange(60) / 30.0
        times[30] += late / 30.0
        (part,) = series.segments(values, times_s=times)
        assert np.array_equal(part.values, values) == regular


def test_two_seconds_but_for_half_a_sample_have_a_spectrum(rng):
    assert np.isfinite(series.band_fraction([Segment(0.0, 32.01, rng.standard_normal(64))], band_hz=(3, 12)))


def test_repeated_time_stamps_are_no_steps():
    assert series.rate([0.0, 0.0, 0.0, 0.04, 0.04]) == pytest.approx(25.0)


def test_the_last_sample_of_a_grid_is_there_when_it_ends_on_it():
    assert len(series._resampled(np.array([0.1, 0.3]), np.array([0.0, 1.0]), 10.0).values) == 3


def test_a_drift_is_no_power_in_a_band():
    t = np.arange(300) / 30.0
    part = Segment(0.0, 30.0, np.sin(2 * np.pi * 5 * t) + 50 * t)
    assert series.band_fraction([part], band_hz=(3.0, 12.0)) == pytest.approx(1.0, abs=0.01)
