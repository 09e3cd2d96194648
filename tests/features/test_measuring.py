"""Measuring: a fault costs its own columns only, values are as declared, faces are told apart."""

import copy
import math
import pickle
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from people import CHEAP

from features import discovery, measuring, spec
from features.spec import Column, Family

FAMILIES = discovery.families()
COLUMNS = [column for family in FAMILIES for column in family.table_columns]


def made(name="made_up", columns=("a_med",), measure=None):
    declared = tuple(Column(f"{name}.{c}", description="A number.") for c in (*columns, "valid_share"))
    return Family(name, 1, frozenset({"track"}), declared, measure or (lambda observation, track: {}))


def test_measures_return_what_they_declare(talking_head):
    observation = talking_head(duration_s=4.0)
    for one in discovery.families(CHEAP):
        row = one.measure(observation, observation.tracks[0])
        assert set(row) == {column.name for column in one.columns}


def test_undeclared_columns_are_refused(talking_head):
    one = made(measure=lambda observation, track: {"made_up.b_med": 1.0})
    values, failures = measuring.measure_clip(talking_head(duration_s=2.0, audio=False), [one])
    assert "made_up.b_med" not in values
    assert "did not declare" in failures["made_up"]


@pytest.mark.parametrize(
    ("row", "missing"),
    [
        ({"made_up.a_med": 1.0}, r"did not return \['made_up\.valid_share'\]"),
        ({"made_up.valid_share": 1.0}, r"did not return \['made_up\.a_med'\]; return NaN where"),
        ({}, r"\['made_up\.a_med', 'made_up\.valid_share'\]"),
    ],
)
def test_a_declared_column_that_is_not_returned_is_the_familys_failure(talking_head, row, missing):
    """Non-regression: the cue went into the table beside a ``valid_share`` of 0 that nobody had measured."""
    values, failures = measuring.measure_clip(talking_head(duration_s=2.0), [made(measure=lambda *_: row)])
    assert re.search(missing, failures["made_up"])
    assert math.isnan(values["made_up.a_med"])


def test_families_of_the_audio_return_every_column_without_audio(talking_head):
    silent = [one for one in FAMILIES if "sound" in one.needs]
    values, failures = measuring.measure_clip(talking_head(duration_s=2.0, audio=False), silent)
    assert failures == {}
    assert values["voice.valid_share"] == values["forensic_voice.valid_share"] == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.5, r"made_up\.a_med = 1\.5, which is outside its range from 0 to 1"),
        (-0.01, r"made_up\.a_med = -0\.01, which is outside"),
        (math.inf, r"made_up\.a_med = inf, which a table can't hold"),
        (1e300, r"made_up\.a_med = 1e\+300, which a table can't hold"),
    ],
)
def test_a_value_outside_its_range_is_the_familys_failure(talking_head, value, words):
    """Non-regression: it went into the table."""
    columns = (Column("made_up.a_med", range=(0, 1), description="A number."), *made().columns[1:])
    one = Family("made_up", 1, frozenset(), columns, lambda observation, track: {"made_up.a_med": value})
    values, failures = measuring.measure_clip(talking_head(duration_s=2.0, audio=False), [one])
    assert math.isnan(values["made_up.a_med"])
    assert re.search(words, failures["made_up"])


@pytest.mark.parametrize("value", [0.0, float(np.float32(0.4)), 0.4 + 1e-7, -1e-7, math.nan])
def test_rounding_at_a_bound_is_no_failure(talking_head, value):
    columns = (Column("made_up.a_med", range=(0, 0.4), description="A number."), *made().columns[1:])
    row = {"made_up.a_med": value, "made_up.valid_share": 1.0}
    one = Family("made_up", 1, frozenset(), columns, lambda observation, track: row)
    values, failures = measuring.measure_clip(talking_head(duration_s=2.0, audio=False), [one])
    assert failures == {}
    assert values["made_up.a_med"] == pytest.approx(value, nan_ok=True, abs=0)


@pytest.mark.parametrize(
    "sent",
    [lambda one: one, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))],
    ids=["made", "copy", "pickle"],
)
def test_a_family_that_writes_in_place_fails_by_itself(talking_head, sent):
    def writes(observation, track):
        track.landmarks[:] -= track.landmarks[:, :1]
        return {}

    def reads(observation, track):
        return {"reads.a_med": float(track.landmarks[0, 0, 0]), "reads.valid_share": 1.0}

    observation = sent(talking_head(duration_s=2.0, audio=False))
    before = float(observation.tracks[0].landmarks[0, 0, 0])
    families = [made("writes", measure=writes), made("reads", measure=reads)]
    values, failures = measuring.measure_clip(observation, families)
    assert "read-only" in failures["writes"]
    assert (list(failures), values["reads.a_med"]) == (["writes"], before)


@pytest.mark.parametrize(
    ("needs", "n_frames", "measured"),
    [
        ({"picture"}, 50, True),
        ({"picture", "sound"}, 50, True),
        ({"picture"}, 0, False),
        ({"picture", "track"}, 50, False),
        ({"crops"}, 50, False),
    ],
)
def test_a_family_that_needs_no_face_is_measured_without_one(talking_head, needs, n_frames, measured):
    """Non-regression: a family that needs only the video was not."""
    observation = replace(talking_head(duration_s=2.0), tracks=())
    observation = replace(observation, times_s=observation.times_s[:n_frames])
    given = []

    def measure(observation, track):
        given.append(track)
        return {"made_up.a_med": 1.0, "made_up.valid_share": 1.0}

    family = replace(made(measure=measure), needs=frozenset(needs))
    values, failures = measuring.measure_clip(observation, [family])
    assert failures == {}
    assert (values["made_up.a_med"] == 1.0, given) == ((True, [None]) if measured else (False, []))


def test_a_family_that_raises_costs_only_its_own_columns(talking_head):
    def broken(observation, track):
        raise ZeroDivisionError("of its own making")

    whole = made("whole", measure=lambda observation, track: {"whole.a_med": 2.0, "whole.valid_share": 1.0})
    values, failures = measuring.measure_clip(
        talking_head(duration_s=2.0, audio=False), [made("broken", measure=broken), whole]
    )
    assert math.isnan(values["broken.a_med"])
    assert values["broken.valid_share"] == 0.0
    assert values["whole.a_med"] == 2.0
    assert failures == {"broken": "ZeroDivisionError: of its own making"}


@pytest.mark.parametrize("status", ["bye", None, 3])
def test_a_family_that_exits_costs_only_its_own_columns(talking_head, status):
    """Non-regression test: `sys.exit` in a family lost every column of every clip, and the family was never named."""
    whole = made("whole", measure=lambda observation, track: {"whole.a_med": 2.0, "whole.valid_share": 1.0})
    leaver = made("leaver", measure=lambda observation, track: sys.exit(status))
    values, failures = measuring.measure_clip(talking_head(duration_s=2.0, audio=False), [leaver, whole])
    assert values["whole.a_med"] == 2.0
    assert math.isnan(values["leaver.a_med"])
    assert failures["leaver"].startswith("SystemExit: ")


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"made_up.a_med": "high"}, r"made_up\.a_med = 'high' is not a number; return a float, or NaN"),
        ({"made_up.a_med": np.array([0.1, 0.2])}, r"made_up\.a_med = array\(\[0\.1, 0\.2\]\) is not a number"),
        ({"made_up.a_med": None}, r"made_up\.a_med = None is not a number"),
        ({"made_up.a_med": "0.5"}, r"made_up\.a_med = '0\.5' is not a number"),
        ({"made_up.a_med": b"0.5"}, r"made_up\.a_med = b'0\.5' is not a number"),
        (None, "made_up returned None, not a dict of column name to number"),
    ],
)
def test_a_value_that_is_not_a_number_is_named_with_its_column(talking_head, returned, words):
    """Non-regression test: of a family of 100 columns nobody could tell which one was wrong."""
    family = made(measure=lambda observation, track: returned)
    _, failures = measuring.measure_clip(talking_head(duration_s=2.0, audio=False), [family])
    assert re.search(words, failures["made_up"])


def test_a_clip_without_a_face_is_nan_with_no_failure(talking_head):
    observation = replace(talking_head(duration_s=2.0), tracks=())
    values, failures = measuring.measure_clip(observation, FAMILIES)
    assert failures == {}
    assert set(values) == {column.name for column in COLUMNS}
    seen = {one.name for one in FAMILIES if not one.needs <= spec.AUDIO_ONLY}
    values = {name: value for name, value in values.items() if name.split(".")[0] in seen}
    shares = {name: value for name, value in values.items() if name.rpartition(".")[2].startswith("valid_")}
    assert shares.keys() >= {"eyes_teeth.valid_share", "eyes_teeth.valid_iris_share", "eyes_teeth.valid_teeth_share"}
    assert set(shares.values()) == {0.0}
    assert all(math.isnan(value) for name, value in values.items() if name not in shares)


def test_worst_takes_the_largest_over_people(talking_head):
    one, two = (talking_head(duration_s=2.0, audio=False) for _ in range(2))
    columns = (
        Column("made_up.a_med", worst="max", description="A number."),
        Column("made_up.valid_share", description="A number."),
    )
    sizes = {id(one.tracks[0]): 1.0, id(two.tracks[0]): 5.0}
    row = {"made_up.valid_share": 1.0}
    sized = Family("made_up", 1, frozenset(), columns, lambda o, t: row | {"made_up.a_med": sizes[id(t)]})
    values, _ = measuring.measure_clip(replace(one, tracks=(one.tracks[0], two.tracks[0])), [sized])
    assert (values["made_up.a_med"], values["made_up.a_med_max"]) == (1.0, 5.0)
    alone, _ = measuring.measure_clip(one, [sized])
    assert math.isnan(alone["made_up.a_med_max"])


def test_a_fault_on_another_face_costs_the_columns_over_all_faces_only(talking_head):
    """Non-regression: it cost the main face its columns."""
    one, two = (talking_head(duration_s=2.0, audio=False) for _ in range(2))
    columns = (
        Column("made_up.a_med", worst="max", description="A number."),
        Column("made_up.valid_share", description="A number."),
    )

    def odd(observation, track):
        if track is not observation.tracks[0]:
            raise ValueError("the second face is odd")
        return {"made_up.a_med": 1.0, "made_up.valid_share": 1.0}

    family = Family("made_up", 1, frozenset({"track"}), columns, odd)
    values, failures = measuring.measure_clip(replace(one, tracks=(one.tracks[0], two.tracks[0])), [family])
    assert (values["made_up.a_med"], values["made_up.valid_share"]) == (1.0, 1.0)
    assert math.isnan(values["made_up.a_med_max"])
    assert failures == {"made_up": "ValueError: the second face is odd (on another face than the main one)"}
