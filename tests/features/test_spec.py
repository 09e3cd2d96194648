"""The contracts: every module a family, every column declared."""

import ast
import importlib
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from registry import own_registry

from features import discovery, spec
from features.errors import InputError, UnknownFamilyError
from features.spec import Column, Family, columns_of

FAMILIES = discovery.families()
COLUMNS = [column for family in FAMILIES for column in family.table_columns]
FEATURES = Path(spec.__file__).parent
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def made(name="made_up", columns=("a_med",), measure=None):
    declared = tuple(Column(f"{name}.{c}", description="A number.") for c in (*columns, "valid_share"))
    return Family(name, 1, frozenset({"track"}), declared, measure or (lambda observation, track: {}))


@pytest.mark.parametrize("module", spec.family_modules())
def test_every_module_registers_a_family_of_its_name(module):
    importlib.import_module(f"features.families.{module}")
    assert [one.name for one in discovery.families([module])] == [module]


def test_no_family_is_without_a_module():
    assert {one.name for one in FAMILIES} == set(spec.family_modules())


@pytest.mark.parametrize("name", ["clip", "observation"])
def test_reserved_names_are_refused(name):
    column = Column(f"{name}.valid_share", description="A number.")
    with pytest.raises(InputError, match="no family may be called"):
        spec.family(name, version=1, needs=(), columns=[column])(lambda observation, track: {})


def test_column_names_are_unique_and_begin_with_their_family():
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    for one in FAMILIES:
        for column in one.table_columns:
            assert column.name.startswith(f"{one.name}."), column.name
            assert column.family == one.name


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_no_two_columns_of_a_family_say_the_same(family):
    said = [column.description for column in family.table_columns]
    assert sorted(said) == sorted(set(said))


QUOTED = re.compile(rf"`((?:{'|'.join(one.name for one in FAMILIES)})\.[a-z0-9_]+)`")


def quoted(text):
    """What a text names as a column or a series: ```quality.iod_px``` and the like; weights files are neither."""
    return {name for name in QUOTED.findall(text) if not name.endswith(".safetensors")}


@pytest.mark.parametrize("file", sorted(FEATURES.rglob("*.py")), ids=lambda file: file.relative_to(FEATURES).as_posix())
def test_every_column_that_a_docstring_names_exists(file):
    known = {column.name for column in COLUMNS}
    known |= {name for one in FAMILIES if one.series for name in quoted(one.series.__doc__ or "")}
    nodes = [n for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, DOCUMENTED)]
    named = {name for node in nodes for name in quoted(ast.get_docstring(node) or "")}
    assert named <= known


@pytest.mark.parametrize("text", ["", "Number of blinks", "number of blinks.", "."])
def test_a_description_must_be_a_sentence(text):
    with pytest.raises(ValueError, match=r"column x\.a: description .* say in a sentence"):
        Column("x.a", description=text)


def test_the_largest_over_all_faces_says_so():
    family = made(columns=("a_med",))
    worst = tuple(replace(column, worst="max") for column in family.columns[:1])
    (twin,) = Family("made_up", 1, frozenset(), (*worst, family.columns[1]), dict).table_columns[2:]
    assert (twin.name, twin.worst) == ("made_up.a_med_max", "")
    assert twin.description == "A number. The largest over all faces."


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_every_column_says_what_it_is(family):
    for column in family.columns:
        low, high = column.range
        assert low < high, column.name
        assert column.unit, column.name
        assert column.description, column.name
        assert column.reference or column.name.endswith("valid_share"), column.name


def test_a_fraction_is_a_pure_number_from_0_to_1():
    fractions = [column for column in COLUMNS if column.description.startswith("Fraction")]
    assert len(fractions) > 50
    assert {(column.name, column.unit, tuple(map(float, column.range))) for column in fractions} == {
        (column.name, "1", (0.0, 1.0)) for column in fractions
    }


def test_valid_share_is_a_share():
    for one in FAMILIES:
        share = next(c for c in one.columns if c.name == f"{one.name}.valid_share")
        assert share.range == (0, 1)
        assert share.direction == "covariate"


def test_a_need_may_be_a_string_by_itself(monkeypatch):
    own_registry(monkeypatch)
    columns = [Column("tempo.valid_share", description="A number.")]
    spec.family("tempo", version=1, needs="track", columns=columns)(lambda observation, track: {})
    assert spec.registry["tempo"].needs == {"track"}


@pytest.mark.parametrize("changes", ["mirror", {"mirror"}, ["mirror"], ("mirror",), frozenset({"mirror"})])
def test_what_a_column_is_invariant_to_may_be_any_collection(changes):
    """Non-regression test: a set was taken, and made the column unhashable; a string or list was a TypeError."""
    column = Column("x.a", range=[0, 1], invariant_to=changes, description="A number.")
    assert column.invariant_to == frozenset({"mirror"})
    assert hash(column) == hash(replace(column))


@pytest.mark.parametrize("name", ["nopoint", "Upper.case", "two.points.here", "a.b c", "a.b\n", None])
def test_bad_names_are_refused(name):
    with pytest.raises(ValueError, match="is not family"):
        Column(name)


@pytest.mark.parametrize("fields", [{"description": None}, {"description": "A.\n"}, {"range": ("0", "1")}])
def test_text_where_a_number_is_due_and_nothing_where_text_is_due_are_refused(fields):
    with pytest.raises(ValueError, match=r"column a\.b: (description|range)"):
        Column("a.b", **{"description": "A number."} | fields)


def test_a_column_may_not_have_the_name_of_another_s_maximum():
    """Non-regression: both were written, and the table was refused after all clips had been measured."""
    names = {"x.a": "max", "x.a_max": "", "x.valid_share": ""}
    columns = tuple(Column(name, worst=worst, description="A number.") for name, worst in names.items())
    with pytest.raises(ValueError, match=r"declares x\.a_max, which worst='max' adds"):
        Family("x", 1, frozenset(), columns, dict)


def test_a_version_is_stored_as_an_int():
    share = Column("x.valid_share", description="A number.")
    assert type(Family("x", np.int64(2), frozenset(), (share,), dict).version) is int


def test_a_family_of_code_without_a_name_counts_as_one_of_a_notebook():
    code = "def measure(observation, track):\n    return {}"
    exec(code, space := {})
    assert made(measure=space["measure"]).module == "__main__"


def test_bad_families_are_refused():
    share = Column("x.valid_share", description="A number.")
    with pytest.raises(ValueError, match="declares a column twice"):
        Family("x", 1, frozenset(), (share, share), dict)
    with pytest.raises(ValueError, match=r"declares y\.a; its columns must begin with 'x\.'"):
        Family("x", 1, frozenset(), (share, Column("y.a", description="A number.")), dict)
    with pytest.raises(ValueError, match=r"lacks the column x\.valid_share"):
        Family("x", 1, frozenset(), (Column("x.a", description="A number."),), dict)
    with pytest.raises(ValueError, match="unknown need 'smell'; known: crops, picture, sound, track, weights"):
        Family("x", 1, frozenset({"smell"}), (share,), dict)
    for version in (0, -1, 1.5, "1", True, None):
        with pytest.raises(ValueError, match="is not a whole number above 0"):
            Family("x", version, frozenset(), (share,), dict)
    with pytest.raises(ValueError, match="direction must be one of up, down, either, covariate; it is 'sideways'"):
        Column("x.a", direction="sideways")
    with pytest.raises(ValueError, match="worst must be '' or 'max'; it is 'maximum'"):
        Column("x.a", worst="maximum", description="A number.")
    for bounds in ((1, 0), (0, math.nan)):
        with pytest.raises(ValueError, match="holds nothing"):
            Column("x.a", range=bounds, description="A number.")
    for bounds in ((0,), (0, 1, 2), "0", ("low", "high"), None):
        with pytest.raises(ValueError, match=r"column x\.a: range .* is not a pair of numbers"):
            Column("x.a", range=bounds, description="A number.")
    with pytest.raises(
        ValueError, match=r"unknown change 'colour' in invariant_to; known: brightness, .*, translation"
    ):
        Column("x.a", invariant_to=frozenset({"mirror", "colour"}))
    for none in (7, [7]):
        with pytest.raises(ValueError, match=r"column x\.a: .*invariant_to"):
            Column("x.a", invariant_to=none, description="A number.")
    with pytest.raises(UnknownFamilyError, match=r"^families: no family is called"):
        discovery.families(["unheard_of"])


def test_a_row_has_every_column_and_what_was_not_declared_is_not_hidden():
    columns = made(columns=("a_med", "b_med")).columns
    row = spec.complete_row(columns, {"b_med": 2, "valid_share": 1.0, "stray": 3.0})
    assert list(row) == ["made_up.a_med", "made_up.b_med", "made_up.valid_share", "made_up.stray"]
    assert math.isnan(row.pop("made_up.a_med"))
    assert row == {"made_up.b_med": 2.0, "made_up.valid_share": 1.0, "made_up.stray": 3.0}
    assert all(type(value) is float for value in row.values())


@pytest.mark.parametrize(
    ("needs", "has", "reason"),
    [
        ({"sound"}, {"sound"}, None),
        ({"sound", "weights"}, {"picture", "face"}, "no_sound"),
        ({"sound", "track"}, {"picture"}, "no_sound"),
        ({"sound", "track"}, {"sound"}, "no_picture"),
        ({"picture"}, {"sound", "picture"}, None),
        ({"picture"}, {"sound"}, "no_picture"),
        ({"picture", "track"}, {"sound", "picture"}, "no_face"),
        ({"crops", "weights"}, {"picture"}, "no_face"),
        (set(), {"sound"}, None),
        ({"track", "crops"}, {"picture", "face"}, None),
    ],
)
def test_what_a_family_lacks_in_a_clip(needs, has, reason):
    assert spec.lacking(needs, audio="sound" in has, video="picture" in has, face="face" in has) == reason


@pytest.mark.parametrize("changes", ["mirror", {"mirror"}, ["mirror"], ("mirror",), frozenset({"mirror"})])
def test_a_column_is_hashable_however_its_invariances_are_given(changes):
    """Non-regression test: a set, as of the README's `needs`, made columns and families unhashable."""
    column = Column("x.a", invariant_to=changes, range=[0, 1], description="A number.")
    assert column.invariant_to == frozenset({"mirror"})
    assert hash(column) == hash(Column("x.a", invariant_to={"mirror"}, range=(0, 1), description="A number."))


@pytest.mark.parametrize("bounds", [(0,), (0, 1, 2), ()])
def test_a_range_that_is_no_pair_is_refused(bounds):
    with pytest.raises(ValueError, match=r"column x\.a: range .* is not a pair"):
        Column("x.a", range=bounds, description="A number.")


def test_columns_of_a_family_share_their_usual_fields():
    column = columns_of("gait", unit="s", range=(0, 60), direction="up")
    assert column("a_med", "A number.", direction="down") == Column(
        "gait.a_med", "s", (0, 60), direction="down", description="A number."
    )
