"""Statistics of blinks: known answers."""

import numpy as np
import pytest

from features.measures.blink_statistics import (
    amplitudes,
    close_open_ratio,
    compare_eyes,
    complete_share,
    durations,
    ear_base_mad,
    interval_cv,
    intervals,
    lid_speeds,
    none_logp,
    rate_per_min,
    rate_shrunk_per_min,
)
from features.measures.eyelids import Blink
from features.measures.series import Segment


def event(moment_s, *, length_s=0.2, lowest=0.2, whole=True):
    return Blink(moment_s - length_s / 2, moment_s + length_s / 2, moment_s, lowest, whole)


def test_exposure_and_shrinkage():
    assert rate_per_min(count=3, obs_s=10.0) == pytest.approx(18.0)
    assert rate_shrunk_per_min(count=0, obs_s=10.0) == pytest.approx(4.43, abs=0.01)
    assert rate_shrunk_per_min(count=3, obs_s=10.0) == pytest.approx(17.7, abs=0.05)
    assert np.exp(none_logp(seen=0, obs_s=10.0)) == pytest.approx(0.059, abs=0.001)  # 6 % of people
    assert none_logp(seen=1, obs_s=10.0) == 0.0


def test_lengths_need_whole_blinks_and_depths_do_not():
    blinks = [event(1.0, length_s=0.1), event(2.0, length_s=0.3, lowest=0.5), event(3.0, whole=False, lowest=0.1)]
    assert durations(blinks) == pytest.approx([0.1, 0.3])
    assert amplitudes(blinks) == pytest.approx([0.8, 0.5, 0.9])
    assert complete_share(blinks) == pytest.approx(2 / 3)
    assert np.isnan(complete_share([]))


def test_intervals_need_three_blinks():
    lids = [Segment(0.0, 30.0, np.ones(300))]
    even, uneven = ([event(t) for t in moments] for moments in ((1.0, 3.0, 5.0), (1.0, 2.0, 5.0)))
    assert intervals(lids, blinks=even) == pytest.approx([2.0, 2.0])
    assert interval_cv(intervals(lids, blinks=even)) == pytest.approx(0.0)
    assert interval_cv(intervals(lids, blinks=uneven)) == pytest.approx(np.sqrt(2) / 2)
    assert np.isnan(interval_cv(intervals(lids, blinks=even[:2])))
    assert intervals(lids, blinks=even, discarded=[event(6.0)]) == pytest.approx([2.0, 2.0])
    assert intervals(lids, blinks=even, discarded=[event(4.0)]).size == 0  # one is left, two are needed


def test_lids_that_close_twice_as_fast_as_they_open():
    lids = Segment(0.0, 30.0, np.interp(np.arange(90) / 30.0, [1.0, 1.2, 1.6], [1.0, 0.0, 1.0]))
    close, reopen = lid_speeds([lids], blinks=[Blink(1.0, 1.6, 1.2, 0.0, True), event(2.5)])
    assert close == pytest.approx([5.0])
    assert reopen == pytest.approx([2.5])  # and nothing moves at 2.5 s
    assert close_open_ratio(close=close, reopen=reopen) == pytest.approx(np.log(2))
    assert lid_speeds([lids], blinks=[Blink(1.0, 1.6, 1.2, 0.0, False)])[0].size == 0


def test_the_spread_between_blinks_leaves_the_blinks_out():
    openness = np.tile([0.9, 1.0, 1.1], 200)
    openness[:300] = np.tile([0.0, 1.0, 2.0], 100)  # a blink of 3 s
    lids = Segment(0.0, 100.0, openness)
    assert ear_base_mad([lids], blinks=[event(1.5, length_s=3.0)]) == pytest.approx(1.4826 * 0.1)
    assert ear_base_mad([Segment(0.0, 100.0, openness[:300])], blinks=[]) == pytest.approx(1.4826)
    assert np.isnan(ear_base_mad([lids], blinks=[event(3.0, length_s=6.0)]))


def test_eyes_that_do_the_same_late_and_half():
    t = np.arange(60) / 100.0
    right = 1.0 - np.exp(-(((t - 0.3) / 0.05) ** 2))
    left = 1.0 - 0.5 * np.exp(-(((t - 0.34) / 0.05) ** 2))
    r, lag_s, gap = compare_eyes(np.stack([right, left], axis=1), rate_hz=100.0)
    assert r < 0.9
    assert lag_s == pytest.approx(0.04, abs=0.002)
    assert gap == pytest.approx(0.5, abs=0.01)
    assert np.isnan(compare_eyes(np.ones((60, 2)), rate_hz=100.0)).all()


def test_what_is_next_to_a_blink_is_not_between_blinks():
    openness = np.tile([0.9, 1.0, 1.1], 20)  # from 1.2 to 1.8 s
    openness[10:20] = openness[41:51] = 3.0  # up to 0.1 s from it
    one = Blink(1.4, 1.6, 1.5, 0.2, True)
    assert ear_base_mad([Segment(1.2, 100.0, openness)], blinks=[one]) == pytest.approx(1.4826 * 0.1)
