"""Norms: quantiles balanced over sources, and where a value lies among them."""

import json
import math

import numpy as np
import pytest
from toy_model import PLANTED, toy_table

from deepcue.cli.main import main as deepcue
from features.errors import TableError
from features.table import feature_columns, table_families, write_table
from reports import norms
from reports.norms import LEVELS, Norm


def test_quantiles_of_equal_weights_are_those_of_the_values():
    values = np.random.default_rng(0).permutation(np.linspace(0, 1, 10_001))
    assert norms.weighted_quantiles(values, np.ones(len(values))) == pytest.approx(LEVELS, abs=1e-3)


def test_a_source_with_many_clips_does_not_outvote_one_with_few():
    values = np.concatenate([np.zeros(90), np.ones(10)])
    source = np.array(["many"] * 90 + ["few"] * 10)
    assert norms.weighted_quantiles(values, norms._balanced(source))[LEVELS.index(0.25)] == 0
    assert norms.weighted_quantiles(values, norms._balanced(source))[LEVELS.index(0.75)] == 1
    assert norms.weighted_quantiles(values, np.ones(100))[LEVELS.index(0.75)] == 0


@pytest.mark.parametrize(
    ("value", "position"), [(-1, 0), (11, 1), (5, 0.5), (7.5, 0.75), (9.625, 0.9625), (math.nan, math.nan)]
)
def test_position_is_the_fraction_below(value, position):
    norm = Norm(tuple(10 * level for level in LEVELS), 100, 5)
    assert norm.position(value) == pytest.approx(position, nan_ok=True)


def test_a_value_that_many_clips_share_lies_in_their_middle():
    norm = Norm((0.0,) * 7 + (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 100, 5)
    assert norm.position(0) == LEVELS[6] / 2
    assert norm.position(-1e-9) == 0


def test_a_tie_has_its_exact_weight_between_the_levels():
    """Non-regression: 47 % of real clips without a blink were "25 %", the next lower level of the quantiles."""
    values = np.array([0.0] * 6 + [1.0, 2.0, 3.0, 4.0])
    weights = np.array([2.0] * 2 + [1.0] * 4 + [1.0] * 4)  # 8 of 12 at 0
    norm = Norm(norms.weighted_quantiles(values, weights), 10, 3, norms.ties_of(values, weights))
    assert norm.ties == ((0.0, 0.0, 0.666667),)
    assert (norm.same(0.0), norm.is_tie(0.0)) == (0.666667, True)
    assert norm.position(0.0) == pytest.approx(1 / 3, abs=1e-6)
    assert norm.position(1e-6) == pytest.approx(2 / 3, abs=1e-3)
    assert norm.same(2.0) == 0.0
    steps = [norm.position(value) for value in np.linspace(0, 4, 101)]
    assert steps == sorted(steps)


def test_quantiles_within_a_tie_do_not_narrow_it():
    """Non-regression: a quantile that is interpolated before a tie, at a level within it, took some of its weight."""
    norm = Norm((*np.linspace(0, 0.7, 8), 0.99, 1.0, 1.0, 1.0, 1.0), 43, 10, ((1.0, 0.894444, 0.105556),))
    assert norm.same(1.0) == pytest.approx(0.105556)


def test_norms_are_of_real_clips_and_come_back_for_families_of_the_same_version(tmp_path):
    table = toy_table(30, 4)
    write_table(table, tmp_path / "t.parquet")
    out = tmp_path / "norms.json"
    assert deepcue(["norms", "--table", str(tmp_path / "t.parquet"), "--out", str(out)]) == 0
    families = table_families(table)
    read = norms.read_norms(families, out)
    assert read.keys() == set(feature_columns(table))
    real = np.array([label == "REAL" for label in table["label"].to_pylist()])
    for name, norm in read.items():
        values = table[name].to_numpy()[real]
        assert norm.quantiles[0] == pytest.approx(np.nanmin(values), rel=1e-4)
        assert norm.n_clips == np.isfinite(values).sum()
    constant = f"{feature_columns(table)[0].split('.')[0]}.valid_share"  # 1 in every toy clip
    assert read[constant].ties == ((1.0, 0.0, 1.0),)
    content = json.loads(out.read_text())
    assert "ties" not in content["columns"][PLANTED]
    del content["columns"][constant]["ties"]  # as earlier versions wrote it
    out.write_text(json.dumps(content))
    assert norms.read_norms(families, out)[constant].ties == ()
    some = next(iter(families))
    assert not [name for name in norms.read_norms(families | {some: 99}, out) if name.startswith(f"{some}.")]


def test_a_table_without_real_clips_and_a_broken_file_are_refused(tmp_path):
    table = toy_table(4, 4)
    fake = table.set_column(table.schema.get_field_index("label"), "label", [["FAKE"] * table.num_rows])
    with pytest.raises(TableError, match="no REAL clip"):
        norms.norms_of(fake)
    (tmp_path / "n.json").write_text("{}")
    with pytest.raises(TableError, match="deepcue norms"):
        norms.read_norms({}, tmp_path / "n.json")
