"""Norms: quantiles balanced over sources, and where a value lies among them."""

import math

import numpy as np
import pytest
from toy_model import toy_table

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
