"""The registry: every module a family, every column declared, a fault costs its own columns only."""

import ast
import importlib
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from people import CHEAP
from plug_in import MODULE, write_plug_in

from ensemble.store import check_families
from ensemble.training_set import Layout
from features import spec
from features.errors import InputError, ModelError
from features.spec import Column, Family

FAMILIES = spec.families()
COLUMNS = [column for family in FAMILIES for column in family.table_columns]
FEATURES = Path(spec.__file__).parent
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def made(name="made_up", columns=("a_med",), measure=None):
    declared = tuple(Column(f"{name}.{c}", description="A number.") for c in (*columns, "valid_share"))
    return Family(name, 1, frozenset({"track"}), declared, measure or (lambda observation, track: {}))


@pytest.mark.parametrize("module", spec.family_modules())
def test_every_module_registers_a_family_of_its_name(module):
    importlib.import_module(f"features.families.{module}")
    assert [one.name for one in spec.families([module])] == [module]


def test_no_family_is_without_a_module():
    assert {one.name for one in FAMILIES} == set(spec.family_modules())


def forget():
    """Nothing of other packages is known."""
    for known in (spec.plug_ins, spec.fault, spec._usable_plug_ins):
        known.cache_clear()


@pytest.fixture
def discovery(monkeypatch, tmp_path):
    """Packages written to a folder on the path, as if this process had just begun."""
    monkeypatch.setattr(spec, "_registry", dict(spec._registry))
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    before = set(sys.modules)

    def install(package, **options):
        write_plug_in(tmp_path, package, **options)
        importlib.invalidate_caches()

    yield install
    forget()
    for name in set(sys.modules) - before:
        if name.startswith("theirs"):
            del sys.modules[name]


def test_a_family_of_another_package_is_found_by_its_entry_point(discovery):
    discovery("theirs")
    assert "mycue" in [one.name for one in spec.families()]
    assert spec.describe("mycue") == "how many frames there are"
    (mine,) = spec.families(["mycue"])
    assert spec.undiscovered_modules([mine]) == ()


def test_a_family_that_this_process_registered_is_found(discovery):
    discovery("theirs", named=False)
    assert "mycue" not in [one.name for one in spec.families()]
    module = importlib.import_module("theirs.cue")
    assert spec.undiscovered_modules(one for one in spec.families() if one.name == "mycue") == ("theirs.cue",)
    importlib.reload(module)  # a notebook's second go
    assert spec.families(["mycue"])[0].measure is module.measure


@pytest.mark.parametrize("named", [True, False])
def test_a_name_is_taken_once_by_two_packages(discovery, named):
    discovery("theirs")
    discovery("theirs_too", named=named)
    with pytest.raises(InputError, match=r"'mycue'.*theirs.*and theirs_too"):  # noqa: PT012 - found by either way
        spec.families(["mycue"])
        importlib.import_module("theirs_too.cue")


@pytest.mark.parametrize("named", [True, False])
def test_a_built_in_name_is_taken(discovery, named):
    discovery("theirs", family="blink", named=named)
    with pytest.raises(InputError, match=r"'blink'.*(built in.*theirs|features\.families\.blink and theirs)"):  # noqa: PT012
        spec.families(["blink"])
        importlib.import_module("theirs.cue")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_library", r"package theirs: .*'mycue' can't be loaded \(ModuleNotFoundError.*no_such_library"),
        ("", r"package theirs: theirs\.cue registers no family called 'mycue'"),
        (MODULE.replace('@family("{family}"', '@family("clip"'), "theirs: .*'mycue' can't be loaded"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named(discovery, text, message):
    discovery("theirs", text=text)
    with pytest.raises(InputError, match=message):
        spec.families(["mycue"])


@pytest.mark.parametrize("text", ["import no_such_library", "", MODULE + "raise OSError('late')"])
def test_a_package_that_cannot_be_loaded_stops_nobody_who_needs_it_not(discovery, caplog, text):
    """Non-regression: it ended `predict` and `serve` with the shipped model, which does not read it."""
    discovery("theirs", text=text)
    discovery("theirs_too", family="theirs_works")
    assert [one.name for one in spec.families(["blink", "quality"])] == ["blink", "quality"]
    assert not caplog.records
    names = [one.name for one in spec.families()]
    assert names == [one.name for one in spec.families()]
    assert set(names) == {*spec.family_modules(), "theirs_works"}
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once
    assert "left out: package theirs: " in caplog.text
    assert "'mycue'" in caplog.text
    assert spec.describe("mycue") == ""


def test_a_model_that_reads_a_family_that_cannot_be_loaded_is_told_why(discovery):
    layout = Layout(("mycue.frames_n",), {"mycue": 1})
    discovery("theirs", text="import no_such_library")
    with pytest.raises(ModelError, match=r"my_model: needs the cue family mycue; package theirs: .*no_such_library"):
        check_families(layout, "my_model")


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


def test_measures_return_what_they_declare(talking_head):
    observation = talking_head(duration_s=4.0)
    for one in spec.families(CHEAP):
        row = one.measure(observation, observation.tracks[0])
        assert set(row) == {column.name for column in one.columns}


def test_undeclared_columns_are_refused(talking_head):
    one = made(measure=lambda observation, track: {"made_up.b_med": 1.0})
    values, failures = spec.measure_clip(talking_head(duration_s=2.0, sound=False), [one])
    assert "made_up.b_med" not in values
    assert "did not declare" in failures["made_up"]


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
    values, failures = spec.measure_clip(talking_head(duration_s=2.0, sound=False), [one])
    assert math.isnan(values["made_up.a_med"])
    assert re.search(words, failures["made_up"])


@pytest.mark.parametrize("value", [0.0, float(np.float32(0.4)), 0.4 + 1e-7, -1e-7, math.nan])
def test_rounding_at_a_bound_is_no_failure(talking_head, value):
    columns = (Column("made_up.a_med", range=(0, 0.4), description="A number."), *made().columns[1:])
    one = Family("made_up", 1, frozenset(), columns, lambda observation, track: {"made_up.a_med": value})
    values, failures = spec.measure_clip(talking_head(duration_s=2.0, sound=False), [one])
    assert failures == {}
    assert values["made_up.a_med"] == pytest.approx(value, nan_ok=True, abs=0)


def test_a_family_that_writes_in_place_fails_by_itself(talking_head):
    def writes(observation, track):
        track.landmarks[:] -= track.landmarks[:, :1]
        return {}

    def reads(observation, track):
        return {"reads.a_med": float(track.landmarks[0, 0, 0])}

    observation = talking_head(duration_s=2.0, sound=False)
    before = float(observation.tracks[0].landmarks[0, 0, 0])
    families = [made("writes", measure=writes), made("reads", measure=reads)]
    values, failures = spec.measure_clip(observation, families)
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
    """Non-regression: one that needs only the picture was not."""
    observation = replace(talking_head(duration_s=2.0), tracks=())
    observation = replace(observation, times_s=observation.times_s[:n_frames])
    given = []

    def measure(observation, track):
        given.append(track)
        return {"made_up.a_med": 1.0}

    family = replace(made(measure=measure), needs=frozenset(needs))
    values, failures = spec.measure_clip(observation, [family])
    assert failures == {}
    assert (values["made_up.a_med"] == 1.0, given) == ((True, [None]) if measured else (False, []))


def test_a_family_that_raises_costs_only_its_own_columns(talking_head):
    def broken(observation, track):
        raise ZeroDivisionError("of its own making")

    whole = made("whole", measure=lambda observation, track: {"whole.a_med": 2.0, "whole.valid_share": 1.0})
    values, failures = spec.measure_clip(
        talking_head(duration_s=2.0, sound=False), [made("broken", measure=broken), whole]
    )
    assert math.isnan(values["broken.a_med"])
    assert values["broken.valid_share"] == 0.0
    assert values["whole.a_med"] == 2.0
    assert failures == {"broken": "ZeroDivisionError: of its own making"}


def test_a_clip_without_a_face_is_nan_with_no_failure(talking_head):
    observation = replace(talking_head(duration_s=2.0), tracks=())
    values, failures = spec.measure_clip(observation, FAMILIES)
    assert failures == {}
    assert set(values) == {column.name for column in COLUMNS}
    seen = {one.name for one in FAMILIES if not one.needs <= spec.SOUND_ALONE}
    values = {name: value for name, value in values.items() if name.split(".")[0] in seen}
    shares = {name: value for name, value in values.items() if name.rpartition(".")[2].startswith("valid_")}
    assert shares.keys() >= {"eyes_teeth.valid_share", "eyes_teeth.valid_iris_share", "eyes_teeth.valid_teeth_share"}
    assert set(shares.values()) == {0.0}
    assert all(math.isnan(value) for name, value in values.items() if name not in shares)


def test_worst_takes_the_largest_over_people(talking_head):
    one, two = (talking_head(duration_s=2.0, sound=False) for _ in range(2))
    columns = (
        Column("made_up.a_med", worst="max", description="A number."),
        Column("made_up.valid_share", description="A number."),
    )
    sizes = {id(one.tracks[0]): 1.0, id(two.tracks[0]): 5.0}
    sized = Family("made_up", 1, frozenset(), columns, lambda o, t: {"made_up.a_med": sizes[id(t)]})
    values, _ = spec.measure_clip(replace(one, tracks=(one.tracks[0], two.tracks[0])), [sized])
    assert (values["made_up.a_med"], values["made_up.a_med_max"]) == (1.0, 5.0)
    alone, _ = spec.measure_clip(one, [sized])
    assert math.isnan(alone["made_up.a_med_max"])


def test_a_fault_on_another_face_costs_the_columns_over_all_faces_only(talking_head):
    """Non-regression: it cost the main face its columns."""
    one, two = (talking_head(duration_s=2.0, sound=False) for _ in range(2))
    columns = (
        Column("made_up.a_med", worst="max", description="A number."),
        Column("made_up.valid_share", description="A number."),
    )

    def odd(observation, track):
        if track is not observation.tracks[0]:
            raise ValueError("the second face is odd")
        return {"made_up.a_med": 1.0, "made_up.valid_share": 1.0}

    family = Family("made_up", 1, frozenset({"track"}), columns, odd)
    values, failures = spec.measure_clip(replace(one, tracks=(one.tracks[0], two.tracks[0])), [family])
    assert (values["made_up.a_med"], values["made_up.valid_share"]) == (1.0, 1.0)
    assert math.isnan(values["made_up.a_med_max"])
    assert failures == {"made_up": "ValueError: the second face is odd (on another face than the main one)"}


def test_a_need_may_be_a_string_by_itself(monkeypatch):
    monkeypatch.setattr(spec, "_registry", dict(spec._registry))
    columns = [Column("tempo.valid_share", description="A number.")]
    spec.family("tempo", version=1, needs="track", columns=columns)(lambda observation, track: {})
    assert spec._registry["tempo"].needs == {"track"}


@pytest.mark.parametrize("name", ["nopoint", "Upper.case", "two.points.here", "a.b c"])
def test_bad_names_are_refused(name):
    with pytest.raises(ValueError, match="is not family"):
        Column(name)


def test_bad_families_are_refused():
    share = Column("x.valid_share", description="A number.")
    with pytest.raises(ValueError, match="declares a column twice"):
        Family("x", 1, frozenset(), (share, share), dict)
    with pytest.raises(ValueError, match="belongs to another"):
        Family("x", 1, frozenset(), (share, Column("y.a", description="A number.")), dict)
    with pytest.raises(ValueError, match=r"lacks x\.valid_share"):
        Family("x", 1, frozenset(), (Column("x.a", description="A number."),), dict)
    with pytest.raises(ValueError, match="needs"):
        Family("x", 1, frozenset({"smell"}), (share,), dict)
    for version in (0, -1, 1.5, "1", True, None):
        with pytest.raises(ValueError, match="is not a whole number above 0"):
            Family("x", version, frozenset(), (share,), dict)
    with pytest.raises(ValueError, match="direction"):
        Column("x.a", direction="sideways")
    with pytest.raises(ValueError, match="worst = 'maximum'; only 'max'"):
        Column("x.a", worst="maximum", description="A number.")
    for bounds in ((1, 0), (0, math.nan)):
        with pytest.raises(ValueError, match="holds nothing"):
            Column("x.a", range=bounds, description="A number.")
    with pytest.raises(ValueError, match="nothing changes 'colour'"):
        Column("x.a", invariant_to=frozenset({"mirror", "colour"}))
    with pytest.raises(KeyError, match="no family is called"):
        spec.families(["unheard_of"])


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
    assert spec.lacking(needs, **{name: name in has for name in ("sound", "picture", "face")}) == reason
