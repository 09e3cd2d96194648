"""Lanes of a timeline: scales, thinning, breaks, words."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from clip_evidence import clip_evidence

from features.evidence import Event, Series
from reports import lines, series_words, timeline
from reports.lines import MAX_POINTS, thinned, unbroken
from reports.timeline import MARGIN

USED = ("forensic_cnn", "forensic_residual", "forensic_voice")


def lane_of(
    times,
    values,
    *,
    unit="1",
    duration_s=10.0,
    used=USED,
    events=(),
    family="forensic_cnn",
    evidence=True,
    window_s=0.0,
):
    series = Series(times, values, unit=unit, title="T", events=events, evidence=evidence, window_s=window_s)
    scale = lines.scale_of(series.values, unit)
    return timeline.lane(f"p0.{family}.x", series, duration_s=duration_s, scale=scale, used=used)


def points(path):
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


def test_a_line_goes_through_its_values_in_a_square_of_1000_by_100():
    lane = lane_of([0.0, 5.0, 10.0], [0.0, 1.0, 0.5])
    assert points(lane.path) == [(0, 100 - MARGIN), (500, MARGIN), (1000, 50)]
    assert [(tick.label, tick.at) for tick in lane.ticks] == [("0", 92.0), ("0.5", 50.0), ("1", 8.0)]


def test_a_tick_at_zero_is_exactly_zero():
    """Non-regression test: steps of 0.02 up from -0.06 ended at 1.4e-17."""
    lane = lane_of([0.0, 5.0, 10.0], [-0.06, -0.03, 0.0])
    assert [tick.label for tick in lane.ticks] == ["−0.06", "−0.04", "−0.02", "0"]


def test_log_odds_have_a_marked_zero_in_the_middle_and_never_a_short_scale():
    lane = lane_of([0.0, 5.0, 10.0], [-0.1, 0.1, 0.0], unit="log-odds")
    assert lane.zero == 50.0
    assert [tick.label for tick in lane.ticks] == ["3", "0", "−3"][::-1]
    ys = [y for _, y in points(lane.path)]
    assert max(ys) - min(ys) < 4  # a calm clip looks calm
    assert lane.area.count("V50H") == 1


def test_missing_values_and_long_gaps_break_the_line_and_lone_points_are_dots():
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 3.0, 3.1, 3.2, 5.0, 7.0, 7.1]
    values = [1.0, 1.0, np.nan, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert unbroken(np.array(times), np.array(values)) == [(0, 2), (3, 6), (6, 9), (9, 10), (10, 12)]
    lane = lane_of(times, values)
    assert lane.path.count("M") == 5
    assert len(lane.dots) == 11
    assert lane.values.count(None) == 4
    assert lane.times == sorted(lane.times)


def test_thinning_keeps_extremes_ends_and_breaks():
    rng = np.random.default_rng(0)
    times = np.arange(20_000) / 100
    values = np.sin(times) + 0.1 * rng.standard_normal(len(times))
    values[7000], values[12_345] = 9.0, -9.0
    values[3000:3100] = np.nan
    t, v = thinned(times, values)
    assert len(t) <= 1.1 * MAX_POINTS
    assert np.nanmax(v) == 9.0
    assert np.nanmin(v) == -9.0
    assert t[np.nanargmax(v)] == 70.0
    assert (t[0], t[-1]) == (times[0], times[-1])
    assert np.isnan(v).sum() == 1
    assert (np.diff(t) > 0).all()
    kept = np.isfinite(v)
    assert np.isin(v[kept], values).all()


def test_few_values_are_not_thinned():
    t, v = thinned(np.arange(5.0), np.array([1.0, 2.0, 3.0, 2.0, 1.0]))
    assert (t.tolist(), v.tolist()) == ([0, 1, 2, 3, 4], [1, 2, 3, 2, 1])


@pytest.mark.parametrize("values", [[], [np.nan, np.nan]], ids=["none", "undefined"])
def test_a_lane_without_a_value_is_empty_and_says_so(values):
    lane = lane_of(np.arange(len(values), dtype=float), values, unit="log-odds")
    assert (lane.path, lane.dots, lane.area) == ("", (), "")
    assert lane.summary == "T: no value."


def test_values_over_windows_hold_to_the_windows_ends():
    """Non-regression test: of audio of 4 s, with windows of 3 s, only the second between their middles was drawn."""
    two = lane_of([1.5, 2.5], [-1.0, 1.0], unit="log-odds", duration_s=4.0, window_s=3.0)
    assert points(two.path) == [(0, 64), (375, 64), (625, 36), (1000, 36)]
    assert two.dots == ((37.5, 64), (62.5, 36))
    assert two.area.count("M") == 1
    assert (two.times, two.window_s) == ([1.5, 2.5], 3.0)
    one = lane_of([0.75], [-1.5], unit="log-odds", duration_s=1.5, window_s=1.5)
    assert points(one.path) == [(0, 71), (500, 71), (1000, 71)]
    assert one.summary.startswith("T: 1 value over 1.5 s; median −1.5 log-odds")


def test_windows_with_and_without_a_value_do_not_overlap():
    lane = lane_of([1.5, 2.5, 3.5, 4.5, 5.5], [0.0, 0.0, np.nan, 0.0, np.nan], duration_s=10.0, window_s=3.0)
    first, second = lane.path[1:].split("M")
    assert [x for x, _ in points(first)] == [0, 150, 250, 300]
    assert [x for x, _ in points(second)] == [400, 450, 600]


def test_events_are_bands_at_their_time_and_words_below():
    events = (Event(1.0, 1.5, "blink"), Event(9.5, 12.0, "blink"), Event(4.0, 4.0, "cut"))
    lane = lane_of([0.0, 10.0], [0.0, 1.0], events=events)
    assert [(one.at, one.width) for one in lane.bands] == [(10, 5), (95, 5), (40, 0)]
    assert lane.events == "blink (2) at 1.0 and 9.5 s (a lowered gaze can look the same); cut (1) at 4.0 s"
    assert "Blink (2)" in lane.summary


def test_of_many_events_the_first_are_named_and_the_rest_counted():
    events = [Event(float(s), s + 0.1, "blink") for s in range(20)]
    assert series_words.events_in_words(events).endswith("6.0, 7.0 and 12 more s (a lowered gaze can look the same)")


def test_when_log_odds_are_highest_and_above_0_is_said_in_words():
    series = Series([0, 1, 2, 3, 4], [1.0, 0.5, -1.0, np.nan, 2.0], unit="log-odds", title="T")
    assert series_words.peak(series) == "highest (+2.0) at 4.0 s; above 0 from 0.0 to 1.0 and at 4.0 s"
    calm = Series([0, 1], [-1.5, -1], unit="log-odds", title="T")
    assert series_words.peak(calm) == "highest (−1.0) at 1.0 s; never above 0"
    assert series_words.peak(Series([0, 1], [1, 1], unit="s", title="T")) == ""


def test_moments_after_a_minute_are_in_minutes():
    """Non-regression: "highest (+2.0) at 66.8 s", where every player says 1:06."""
    series = Series([10.8, 65.3, 65.8, 66.8], [0.4, 0.3, 2.0, -1.0], unit="log-odds", title="T")
    assert series_words.peak(series) == "highest (+2.0) at 1:05.8; above 0 at 0:10.8 and from 1:05.3 to 1:05.8"
    assert "lowest −1.0 at 1:06.8" in series_words.summary(series)
    ticks = [tick.label for tick in timeline.time_ticks(200.0)]
    assert ticks == ["0:00", "0:30", "1:00", "1:30", "2:00", "2:30", "3:00"]


def test_words_on_windows_are_of_all_that_the_lane_fills():
    """Non-regression: of a window of 3 s, "above 0 at 1.5 s" stood below a lane that was filled from 0 to 3 s."""
    one = Series([1.5], [4.1], unit="log-odds", title="T", window_s=3.0)
    assert series_words.peak(one) == "highest (+4.1) from 0.0 to 3.0 s; above 0 from 0.0 to 3.0 s"
    assert "lowest +4.1 from 0.0 to 3.0 s" in series_words.summary(one)
    apart = Series([1.5, 2.5, 3.5], [1.0, -1.0, 2.0], unit="log-odds", title="T", window_s=3.0)
    assert series_words.peak(apart).endswith("above 0 from 0.0 to 2.0 and from 3.0 to 5.0 s")


def test_scores_that_are_shown_as_0_are_not_above_0():
    series = Series([1.3, 1.8, 2.3], [-0.1, 0.038, 2.5], unit="log-odds", title="T")
    assert series_words.peak(series) == "highest (+2.5) at 2.3 s; above 0 at 2.3 s"
    calm = Series([1.3, 1.8], [-0.1, 0.038], unit="log-odds", title="T")
    assert series_words.peak(calm) == "highest (0.0) at 1.8 s; never above 0"


def test_audio_before_the_first_frame_is_not_drawn_at_the_left_edge():
    """Non-regression: a second of it was one vertical stroke, with a highest value "at -0.1 s"."""
    loudness = Series(np.arange(-10, 20) / 10, np.r_[np.full(10, 9.0), np.ones(20)], unit="dB", title="Loudness",
                   events=(Event(-0.9, -0.5, "gap"), Event(-0.1, 0.3, "gap")))  # fmt: skip
    drawn = timeline.timeline(replace(clip_evidence(2.0), audio={"voice.loudness": loudness}), USED)
    (lane,) = drawn.groups[-1].context
    assert (lane.times[0], max(lane.values)) == (0.0, 1.0)
    assert lane.events == "gap (1) at 0.0 s"
    assert "highest 1 at 0.0 s" in lane.summary


def test_series_of_families_that_the_model_does_not_read_are_context():
    assert lane_of([0, 1], [0, 1]).context == ""
    assert lane_of([0, 1], [0, 1], used=()).context == "context: not read by the model"
    assert lane_of([0, 1], [0, 1], evidence=False).context == "context"
    drawn = timeline.timeline(clip_evidence(), USED)
    (person, audio) = drawn.groups
    assert [one.family for one in person.evidence] == ["forensic_cnn", "forensic_residual"]
    assert {one.family for one in person.context} == {"blink", "landmark_jitter", "quality"}
    assert [one.name for one in audio.context] == ["sound.voice.loudness"]


def test_lanes_of_all_people_have_one_scale():
    drawn = timeline.timeline(clip_evidence(n_people=2), USED)
    first, second = ({one.family: one.ticks for one in group.context} for group in drawn.groups[:2])
    assert first == second
    assert [group.title for group in drawn.groups] == ["Person 1", "Person 2", "Audio"]


def test_the_json_holds_what_is_drawn_and_where_people_are():
    evidence = clip_evidence(60, n_people=2)
    state = timeline.timeline(evidence, USED).as_json()
    assert state["duration_s"] == 60
    openness = state["lanes"]["p0.blink.openness"]
    assert len(openness["times"]) == len(openness["values"]) <= 1.1 * MAX_POINTS
    assert not any(isinstance(one, float) and math.isnan(one) for one in openness["values"])
    (first, second) = state["people"]
    assert (first["name"], second["name"]) == ("Person 1", "Person 2")
    assert len(first["times"]) == len(first["boxes"]) == timeline.MAX_BOXES
    assert first["boxes"][0] == pytest.approx(evidence.people[0].boxes[0].tolist(), abs=1e-4)
    assert first["times"][-1] == pytest.approx(evidence.people[0].boxes_times_s[-1], abs=1e-3)


@pytest.mark.parametrize("duration", [0.04, 0.9, 10.0, 61.0, 3600.0])
def test_an_axis_of_time_has_a_few_round_ticks(duration):
    ticks = timeline.time_ticks(duration)
    assert 2 <= len(ticks) <= 8
    assert ticks[0].label == ("0:00" if duration >= 60 else "0 s")
    assert all(0 <= tick.at <= 100 for tick in ticks)


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-3.0, -1.0], [1e-9, 2e-9], [-1e6, 3.0], [0.1, 1.09]])
def test_every_scale_holds_its_values_and_has_few_ticks(values):
    low, high, step = lines.scale_of(np.array(values), "px")
    assert low <= min(values)
    assert high >= max(values)
    assert low <= 0 <= high
    assert low < high
    assert 1 <= round((high - low) / step) <= 5


@pytest.mark.parametrize(("unit", "value", "digits"), [("log-odds", -14.0, 1), ("iod", 0.012, 4), ("dB", -56.0, 0)])
def test_a_value_is_read_with_one_digit_more_than_the_ticks_have(unit, value, digits):
    series = Series([0.5, 1.0], [value, 0.0], unit=unit, title="T")
    person = replace(clip_evidence().people[0], series={"family.line": series})
    drawn = timeline.timeline(replace(clip_evidence(), people=(person,)), USED)
    assert drawn.as_json()["lanes"]["p0.family.line"]["digits"] == digits


def test_axis_extends_to_the_end_of_audio_that_outlasts_the_video():
    """Non-regression test: all of it was drawn at the right edge."""
    evidence = clip_evidence(10.0)
    voice = Series([1.5, 8.5, 13.5], [-1.0, 0.0, 1.0], unit="log-odds", title="Voice", window_s=3.0)
    drawn = timeline.timeline(replace(evidence, audio={"forensic_voice.logit": voice}), USED)
    assert drawn.duration_s == drawn.as_json()["duration_s"] == 15.0
    assert [tick.label for tick in drawn.ticks][-1] == "15"
    (lane,) = drawn.groups[-1].evidence
    assert [x for x, _ in lane.dots] == [10.0, pytest.approx(56.67), 90.0]
    (blink,) = (one for one in drawn.groups[0].context if one.family == "blink")
    assert max(x for x, _ in points(blink.path)) == pytest.approx(1000 * 9.96 / 15, abs=0.1)
    assert timeline.timeline(evidence, USED).duration_s == 10.0
    assert timeline.timeline(replace(evidence, duration_s=0.0, audio={}, people=()), USED).duration_s == 1.0
