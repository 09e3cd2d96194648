"""Correlations of signals whose dependence is known; people too short or too still for them."""

import numpy as np
import pytest
from scipy.signal import lfilter

from features.families import behaviour
from features.series import Segment

RATE = 25.0


def independent(rng, *, seconds=10.0, memory_s=0.3, count=20):
    """First-order autoregressive series [n, count] of unit variance."""
    keep = np.exp(-1.0 / (memory_s * RATE))
    noise = rng.standard_normal((round(seconds * RATE) + 200, count))
    return lfilter([np.sqrt(1 - keep**2)], [1.0, -keep], noise, axis=0)[200:]


def columns(signals):
    return behaviour.coupling_columns([Segment(0.0, RATE, signals)])


def test_twenty_signals_have_190_pairs(rng):
    assert behaviour.pairs(behaviour.correlations(independent(rng))).size == 190


def test_independent_series_show_the_floor_of_chance(rng):
    many = [columns(independent(rng)) for _ in range(6)]
    mean = {name: np.mean([one[name] for one in many]) for name in many[0]}
    assert mean["abs_mean"] == pytest.approx(0.13, abs=0.02)
    assert mean["eff_rank"] == pytest.approx(15.7, abs=0.8)
    assert abs(mean["abs_mean_z"]) < 2.0
    assert abs(mean["inner_outer_z"]) < 2.0


def test_one_common_driver(rng):
    driver = independent(rng, count=1)
    signals = driver * np.linspace(0.5, 2.0, 20) * np.tile([1.0, -1.0], 10)
    found = columns(signals + 1e-3 * independent(rng))
    assert found["eff_rank"] == pytest.approx(1.0, abs=0.01)
    assert found["max_eig_share"] == pytest.approx(1.0, abs=0.001)
    assert found["abs_mean"] == pytest.approx(1.0, abs=0.001)
    assert found["abs_mean_z"] > 20.0
    assert found["halves_dist"] < 0.01


def test_a_mouth_driven_from_elsewhere_is_loose(rng):
    driver, other = independent(rng, count=1), independent(rng, count=1)
    whole = driver + 0.3 * independent(rng)
    loose = whole.copy()
    loose[:, behaviour.FORGED] = other + 0.3 * independent(rng, count=len(behaviour.FORGED))
    assert columns(whole)["inner_outer_abs"] > 0.8
    assert columns(loose)["inner_outer_abs"] < 0.6
    assert columns(loose)["inner_outer_z"] < columns(whole)["inner_outer_z"]
    assert columns(loose)["eff_rank"] > columns(whole)["eff_rank"]


def test_a_late_signal_gains_by_a_shift(rng):
    driver = independent(rng, seconds=10.4, memory_s=0.15, count=1)[:, 0]
    late = round(0.2 * RATE)
    pair = np.stack([driver[late:], driver[:-late]], axis=1)
    r = behaviour.correlations(pair)[0, 1]
    assert behaviour.lagmax_gap(pair, rate_hz=RATE) == pytest.approx(1.0 - abs(r), abs=0.01)
    same = np.stack([driver, driver], axis=1)
    assert behaviour.lagmax_gap(same, rate_hz=RATE) == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(behaviour.lagmax_gap(pair[:40], rate_hz=RATE))


def test_a_sign_that_turns_in_the_middle(rng):
    driver = independent(rng, count=1)
    signals = np.repeat(driver, 20, axis=1)
    signals[125:, ::2] *= -1.0
    # 100 of the 190 pairs go from 1 to -1
    assert behaviour.halves_dist(signals) == pytest.approx(np.sqrt(2 * 100 * 4) / 19, rel=1e-6)


def test_a_signal_that_does_not_move_has_no_pairs(rng):
    signals = independent(rng)
    signals[:, 3] = 7.0
    matrix = behaviour.correlations(signals)
    assert np.isnan(behaviour.pairs(matrix)).sum() == 19
    assert columns(signals)["eff_rank"] < 20
    signals[:, 4:9] = 1.0
    assert columns(signals) == {}


def test_shifts_are_the_same_in_every_run_and_keep_each_signal(rng):
    signals = independent(rng, seconds=4.0)
    one, other = behaviour.shifted_draws(signals), behaviour.shifted_draws(signals)
    assert np.array_equal(one, other)
    assert len(one) == behaviour.NULL_DRAWS
    driver = np.repeat(independent(rng, count=1), 20, axis=1)
    assert np.mean([behaviour.abs_mean(draw) for draw in behaviour.shifted_draws(driver)]) < 0.3


@pytest.mark.parametrize(("seconds", "known"), [(5.5, False), (7.0, True)])
def test_under_six_seconds_nothing_is_said(talking_head, seconds, known):
    observation = talking_head(duration_s=seconds, sound=False)
    values = behaviour.measure(observation, observation.tracks[0])
    assert values.pop("behaviour.valid_share") == 1.0
    assert np.isfinite(list(values.values())).all() == known
    assert np.isnan(list(values.values())).all() != known
