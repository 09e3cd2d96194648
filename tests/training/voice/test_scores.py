"""Scores of folds: known areas, folds compared within themselves, systems apart."""

import numpy as np
import pytest

from training.voice.data import Voice
from training.voice.scores import summary, within_folds
from training.voice.splits import Fold

AUDIO = np.ones(10, np.float32)


def test_a_shift_between_folds_costs_the_pooled_area_alone():
    y, fold = np.array([0, 0, 1, 1] * 2), np.repeat([0, 1], 4)
    scores = np.array([0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0])
    assert within_folds(y, scores, fold, np.ones(8)) == 1
    assert within_folds(y, -scores, fold, np.ones(8)) == 0
    assert within_folds(y, scores, np.arange(8), np.ones(8)) != within_folds(y, scores, fold, np.ones(8))


def test_each_part_and_system_is_scored_on_what_its_fold_judged():
    voices = [Voice(f"r{number}", "", f"g{number}", AUDIO) for number in range(6)]
    voices += [Voice(f"{name}{number}", name, f"g{number}", AUDIO) for name in ("good", "poor") for number in range(3)]
    scored = np.array([True] * 3 + [False] * 3 + [True] * 3 + [False] * 3)
    folds = [Fold("good", ~scored, scored), Fold("poor", scored, ~scored)]
    logits = np.array([-3.0, -2.0, -1.0, 3.0, 3.0, 3.0, 1.0, 2.0, 3.0, -1.0, 0.0, 9.0])
    found = summary(voices, folds, {"detector": logits, "linear": -logits})
    assert found["detector"]["systems"]["good"]["auc"]["value"] == 1
    assert found["detector"]["systems"]["poor"]["auc"]["value"] == pytest.approx(1 / 3, abs=0.001)
    assert found["linear"]["systems"]["good"]["auc"]["value"] == 0
    assert found["detector"]["auc_within_folds"]["value"] == pytest.approx(2 / 3, abs=0.001)
    assert found["detector"]["systems"]["good"]["n"] == 3
    assert found["detector"]["bona_fide_over_half"] == 0.5
    assert found["detector"]["bona_fide_over_0.9"] == 0.5
    assert found["detector"]["synthetic_over_half"] == pytest.approx(4 / 6, abs=0.001)
    low, high = (found["detector"]["auc"][name] for name in ("low", "high"))
    assert low <= found["detector"]["auc"]["value"] <= high


def test_voices_that_were_not_measured_do_not_change_the_intervals():
    """A bootstrap draws as many groups as there are: those of no voice that counts must not be among them."""
    voices = [Voice(str(n), "x" if n % 2 else "", f"g{n // 2}", AUDIO) for n in range(24)]
    logits = np.random.default_rng(0).standard_normal(24)
    fold = Fold("x", np.zeros(24, bool), np.ones(24, bool))
    alone = summary(voices, [fold], {"detector": logits})
    silent = [Voice(f"silent{n}", "", f"a{n}", AUDIO) for n in range(12)]
    more = Fold("x", np.zeros(36, bool), np.ones(36, bool))
    assert summary([*silent, *voices], [more], {"detector": np.r_[np.full(12, np.nan), logits]}) == alone


def test_what_was_not_measured_is_not_counted():
    voices = [Voice("r", "", "a", AUDIO), Voice("s", "x", "b", AUDIO), Voice("t", "x", "c", AUDIO)]
    fold = Fold("x", np.zeros(3, bool), np.ones(3, bool))
    found = summary(voices, [fold], {"detector": np.array([0.0, np.nan, 1.0])})["detector"]
    assert (found["n_synthetic"], found["n_bona_fide"], found["n_groups"]) == (1, 1, 2)
