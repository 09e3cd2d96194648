"""Series of a clip's families: a fault costs the family's own, a series that is not of the clip itself alone."""

from dataclasses import replace

import numpy as np
import pytest

from features.clip_series import audio_series, person_series
from features.evidence import Series
from features.spec import Column, Family

COLUMNS = (Column("mine.valid_share", description="A number."),)


def family(series, needs=("track",)):
    return Family("mine", 1, frozenset(needs), COLUMNS, lambda observation, track: {}, series)


def line(times_s):
    return Series(times_s, np.zeros(len(times_s)), unit="1", title="A line")


@pytest.mark.parametrize("value", [([0.0, 1.0], [1.0, 2.0]), None, np.zeros(3)])
def test_what_is_no_series_is_left_out_by_name(talking_head, caplog, value):
    """Non-regression: it went into the evidence, and cost the clip its page."""
    observation = talking_head(duration_s=2.0)
    mine = family(lambda observation, track: {"mine.line": value})
    assert person_series(observation, observation.tracks[0], [mine]) == {}
    assert "series of family mine failed: mine returned mine.line as" in caplog.text


@pytest.mark.parametrize("start_s", [0.0, 100.0])
def test_a_series_in_frame_numbers_is_left_out_by_name(talking_head, caplog, start_s):
    """Non-regression: it stretched the axis of every lane."""
    observation = talking_head(duration_s=2.0)
    observation = replace(observation, times_s=observation.times_s + start_s, audio_start_s=start_s)
    good, bad = line(observation.times_s), line(np.arange(len(observation.times_s)))
    mine = family(lambda observation, track: {"mine.good": good, "mine.bad": bad, "mine.none": line([])})
    assert list(person_series(observation, observation.tracks[0], [mine])) == ["mine.good", "mine.none"]
    assert "series mine.bad is left out" in caplog.text
    assert "mine.good" not in caplog.text


def test_a_series_of_audio_may_outlast_the_video(talking_head):
    observation = talking_head(duration_s=2.0)
    observation = replace(observation, audio=np.zeros(16_000 * 6, np.float32))
    mine = family(lambda observation, track: {"mine.line": line(np.arange(0.0, 6.0, 0.5))}, needs=("sound",))
    assert list(audio_series(observation, [mine])) == ["mine.line"]


@pytest.mark.parametrize("times_s", [[0.0, np.nan, -1.0], [0.0, 1.0, 1.0], [np.nan, 0.0, 1.0]])
def test_times_that_do_not_increase_are_refused(times_s):
    """Non-regression: NaN passed."""
    with pytest.raises(ValueError, match="times must increase"):
        line(times_s)


@pytest.mark.parametrize("events", ["blink", [0.5]])
def test_events_of_another_kind_are_refused(events):
    with pytest.raises(ValueError, match="give a tuple of Event"):
        Series([0.0], [0.0], unit="1", title="A line", events=events)


def test_a_series_keeps_its_own_values_and_can_be_compared():
    """Non-regression: a later change of the caller's array changed the series, and ``==`` raised."""
    times_s = np.array([0.0, 1.0])
    one, other = line(times_s), line(times_s)
    times_s[0] = 5
    assert one.times_s.tolist() == [0.0, 1.0]
    assert one != other
    assert {one, other} - {other} == {one}
