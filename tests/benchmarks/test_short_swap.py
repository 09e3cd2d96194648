"""What is forged is the part alone, groups take turns, and rates are those of the outcomes."""

import numpy as np
import pytest

from benchmarks import short_swap
from benchmarks.short_swap import Outcome
from extract.entries import ClipEntry
from features.evidence import Series
from forge.clips.clip import EditableClip

N, FPS = 200, 25


def a_clip(level):
    landmarks = np.ones((N, 68, 2), np.float32)
    frames = [np.full((4, 4, 3), level, np.uint8)] * N
    return EditableClip("a.mp4", frames, np.arange(N) / FPS, landmarks, None)


def test_the_part_alone_is_of_the_other_clip():
    part = (np.arange(N) >= 50) & (np.arange(N) < 100)
    levels = [frame[0, 0, 0] for frame in short_swap._combined(a_clip(10), a_clip(200), part).frames]
    assert levels == [200 if forged else 10 for forged in part]


def listed(name, group, label="REAL", original=""):
    return ClipEntry(name, name, label=label, group=group, original=original, method="theirs")


def test_every_group_has_its_first_clip_before_any_has_its_second():
    pairs = [(listed(f"{group}{n}", group), None) for group in "abc" for n in range(4)]
    groups = [real.group for real, _ in short_swap._in_turn(pairs, np.random.default_rng(0))]
    for turn in range(4):
        assert sorted(groups[3 * turn : 3 * turn + 3]) == ["a", "b", "c"]


def test_cases_are_of_both_kinds_and_forged_parts_lie_inside(monkeypatch):
    found = [listed(f"r{n}", f"g{n}") for n in range(5)]
    found += [listed(f"f{n}", f"g{n}", "FAKE", f"r{n}") for n in range(5)]
    levels = {one.filename: 10 if one.label == "REAL" else 200 for one in found}
    monkeypatch.setattr(short_swap, "_read", lambda one, **_: a_clip(levels[one.filename]))
    monkeypatch.setattr(short_swap, "_swapped", lambda clip, *_: clip)
    cases = list(short_swap.cases(found, n=3, seconds=2.0, seed=0))
    assert [case.kind for case in cases] == ["face_swap", "spliced"] * 3
    assert len({case.filename for case in cases if case.kind == "spliced"}) == 3
    for case in cases:
        assert case.start_s >= 1.0
        assert case.end_s <= N / FPS - 1.0
        assert case.end_s - case.start_s == pytest.approx(2.0)
    forged = [frame[0, 0, 0] == 200 for frame in cases[1].forged.frames]
    times_s = np.flatnonzero(forged) / FPS
    assert times_s.size == pytest.approx(50, abs=1)
    assert cases[1].start_s <= times_s.min() <= times_s.max() < cases[1].end_s
    again = list(short_swap.cases(found, n=3, seconds=2.0, seed=0))
    assert [(case.filename, case.start_s) for case in again] == [(case.filename, case.start_s) for case in cases]


def series_of(peak_s, height):
    times_s = np.arange(0.25, 8.0, 0.5)
    values = np.where(np.abs(times_s - peak_s) < 0.9, height, -1.0)
    named = {name: Series(times_s, values, unit="log-odds", title="") for name in short_swap.LOGITS}
    return named | {"identity.distance": Series(times_s, np.full(len(times_s), np.nan), unit="1", title="")}


@pytest.mark.parametrize(("peak_s", "inside", "rise"), [(4.0, True, 3.0), (7.0, False, 0.0)])
def test_a_peak_is_inside_where_the_scores_are_highest(monkeypatch, peak_s, inside, rise):
    clip = a_clip(10)
    case = short_swap.Case("a.mp4", "g", "face_swap", "face_swap", 3.0, 5.0, clip, a_clip(200))
    answers = {id(clip): series_of(0.0, -1.0), id(case.forged): series_of(peak_s, 2.0)}
    monkeypatch.setattr(short_swap, "_series", lambda one, folder: answers[id(one)])
    outcome = short_swap.judged(case)
    assert outcome.inside is inside
    assert outcome.rise == pytest.approx(rise)
    assert outcome.chance == 4 / 16
    assert outcome.inside_by == dict.fromkeys(short_swap.LOGITS, inside)


def outcome(group, inside, rise):
    return Outcome("a.mp4", group, "spliced", "m", 1.0, 3.0, 2.0, 1.5, inside, 0.3, rise, {"x": inside})


def test_rates_are_shares_of_the_outcomes():
    figures = short_swap.summary([outcome("a", True, 2.0), outcome("a", True, 0.1), outcome("b", False, 1.0)])
    (spliced,) = figures.values()
    assert spliced["inside"]["value"] == pytest.approx(2 / 3)
    assert spliced["inside"]["interval"] == pytest.approx([0.0399, 0.9984], abs=1e-4)  # exact, of two groups
    assert (spliced["noticed"], spliced["inside_of_noticed"]["value"]) == (2, 0.5)
    assert (spliced["n"], spliced["groups"], spliced["chance"]) == (3, 2, pytest.approx(0.3))
    assert short_swap.summary([outcome("a", True, 0.0)])["spliced"]["inside_of_noticed"] is None


def test_ten_peaks_of_ten_leave_room_for_misses():
    """Non-regression test: the bootstrap of ten hits in ten groups gave [1, 1]."""
    spliced = short_swap.summary([outcome(str(n), True, 2.0) for n in range(10)])["spliced"]
    assert spliced["inside"]["interval"] == pytest.approx([0.025**0.1, 1.0])
