"""Why a family has no number: from the table's codes, whatever the sentences of its error column are."""

import json
import tracemalloc

import numpy as np
import pytest
from toy_model import FAMILIES, UNREADABLE, toy_table

from ensemble import missingness
from ensemble.missingness import unmeasured_families
from ensemble.training_set import layout_of, matrix, measured_rows
from features import discovery
from features.reasons import Reason
from features.table import build, feature_columns, schema


def table_with(family, reasons, *, error="words, in any order", share=0.0):
    """One row whose ``family`` has no cue."""
    table = toy_table(1, 1)
    columns = {name: np.nan for name in feature_columns(table) if name.startswith(f"{family}.")}
    columns |= {f"{family}.valid_share": share}
    for name, value in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, [np.array([value], np.float32)])
    for name, value in (("error", error), ("reasons", json.dumps(reasons))):
        table = table.set_column(table.schema.get_field_index(name), name, [[value]])
    return table


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("no_face", "no face was found"),
        ("no_sound", "the clip has no audio"),
        ("failed", "raised an error"),
        ("not_installed", "weights are not installed"),
        ("too_short", "too short"),
        ("unusable", "nothing in the clip was usable"),
    ],
)
def test_a_code_gives_the_reason(code, words):
    (reasons,) = unmeasured_families(table_with("lip_sync", {"lip_sync": code, "observation": "damaged"}))
    assert reasons.keys() == {"lip_sync"}
    assert words in reasons["lip_sync"]


def test_the_words_of_the_error_column_decide_nothing():
    (reasons,) = unmeasured_families(table_with("lip_sync", {"lip_sync": "no_face"}, error="no audio; lip_sync failed"))
    assert reasons == {"lip_sync": "no face was found"}


def test_a_family_of_which_a_model_reads_nothing_that_is_defined_is_unmeasured():
    """Non-regression: it counted as measured, with a contribution of +0.00."""
    table, read = toy_table(1, 1), "lip_sync.lsd"
    table = table.set_column(table.schema.get_field_index(read), read, [np.array([np.nan], np.float32)])
    assert unmeasured_families(table) == [{}]
    assert unmeasured_families(table, {read, "blink.count"}) == [{"lip_sync": missingness.SEEN_BRIEFLY}]
    assert unmeasured_families(table, {read, "lip_sync.lsc"}) == [{}]
    assert unmeasured_families(table, {"blink.count"}) == [{}]  # of a family that no model reads, all count


def test_a_family_with_nothing_but_what_no_training_clip_had_says_so():
    table, read = toy_table(1, 1), "lip_sync.lsd"
    table = table.set_column(table.schema.get_field_index(read), read, [np.array([np.nan], np.float32)])
    others = {name for name in table.column_names if name.startswith("lip_sync.")} - {read, "lip_sync.valid_share"}
    assert unmeasured_families(table, {read}, untrained=others) == [{"lip_sync": missingness.UNTRAINED}]


def test_what_was_measured_in_part_is_not_said_to_be_of_an_observation_that_was_not_kept():
    table, read = toy_table(1, 1), "lip_sync.lsd"
    for name, value in ((read, np.array([np.nan], np.float32)), ("reasons", [json.dumps({"observation": "not_kept"})])):
        table = table.set_column(table.schema.get_field_index(name), name, [value])
    assert unmeasured_families(table, {read}) == [{"lip_sync": missingness.SEEN_BRIEFLY}]


def test_a_clip_that_was_not_measured_gives_its_error():
    (reasons,) = unmeasured_families(toy_table(1, 1, without_cues=[0]))
    assert reasons == dict.fromkeys(FAMILIES, UNREADABLE)


def test_of_little_that_was_usable_the_share_is_given():
    (reasons,) = unmeasured_families(table_with("blink", {"blink": "unusable"}, share=0.12))
    assert reasons["blink"] == "too little of the clip was usable for it: 12%"


def test_a_clip_of_which_all_was_usable_was_too_short():
    (reasons,) = unmeasured_families(table_with("blink", {"blink": "unusable"}, share=1.0))
    assert reasons["blink"] == "what it measures was visible for too short a time, or too small"


def test_a_table_without_reasons_has_something_to_say():
    (reasons,) = unmeasured_families(table_with("blink", {}))
    assert reasons == {"blink": "nothing in the clip was usable for it"}


def test_every_code_of_a_family_has_words():
    of_clips = {"unreadable", "timeout", "out_of_memory", "crashed", "not_started", "stopped", "not_fetched"}
    of_observations = {"damaged", "not_kept"}
    assert missingness.SENTENCES.keys() == set(Reason) - of_clips - of_observations


def test_a_family_of_which_only_shares_are_numbers_was_not_measured():
    """Non-regression test: eyes_teeth without irises or teeth counted as measured, with a contribution of 0."""
    families = discovery.families(["eyes_teeth"])
    names = [column.name for column in families[0].table_columns]
    shares = {"eyes_teeth.valid_share": 1.0, "eyes_teeth.valid_iris_share": 0.0, "eyes_teeth.valid_teeth_share": 0.0}
    base = {"filename": ["a"], "label": [None], "group": [None], "source": [None], "status": ["ok"], "error": [""]}
    base |= {"duration_s": [2.0], "n_frames": [50], "n_faces": [1]}
    values = np.array([[shares.get(name, np.nan) for name in names]], np.float32)
    table = build(base, values, schema(families, extractor="test"))
    (reasons,) = unmeasured_families(table)
    assert reasons == {"eyes_teeth": "what it measures was visible for too short a time, or too small"}
    assert not measured_rows(matrix(table, tuple(names)), layout_of(table)).any()


def test_looking_for_measured_rows_copies_a_part_of_the_table_at_a_time():
    """Non-regression test: all columns but shares were copied."""
    table = toy_table(1, 1)
    X = np.full((40_000, len(feature_columns(table))), np.nan, np.float32)
    X[-1] = 1
    tracemalloc.start()
    measured = measured_rows(X, layout_of(table))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 4
    assert np.flatnonzero(measured).tolist() == [len(X) - 1]
