"""The committed numbers of every family and column, both ways: none is missing, none is left over, none has moved."""

import json
from dataclasses import replace

import add_baseline
import numpy as np
import pytest

from features import discovery, spec

FAMILIES = discovery.families()
REMEDY = "run `python tests/add_baseline.py {}`"


@pytest.fixture(scope="module")
def clips():
    return {case: make() for case, make in add_baseline.CASES.items()}


def test_every_family_has_a_baseline_and_every_baseline_a_family():
    files = {file.stem for file in add_baseline.BASELINES.iterdir()}
    assert files == {one.name for one in FAMILIES}, "run `python tests/add_baseline.py`, remove the files left over"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_every_column_has_a_value_in_every_case_and_every_value_a_column(family):
    cases = add_baseline.read(family.name)["cases"]
    assert cases.keys() == add_baseline.CASES.keys() | add_baseline.OWN_CASES.get(family.name, {}).keys()
    columns = {column.name for column in family.table_columns}
    for case, content in cases.items():
        lacking, left_over = columns - content["values"].keys(), content["values"].keys() - columns
        assert not lacking, f"{case}: {REMEDY.format(family.name)}"
        assert not left_over, f"{case}: {REMEDY.format(family.name)}"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_no_value_moves_without_a_new_version(family, clips):
    before = add_baseline.read(family.name)
    assert before["version"] == family.version, f"a new version: {REMEDY.format(family.name)}"
    assert add_baseline.moved(family, before, add_baseline.baseline(family, clips)) == []


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_most_columns_have_a_finite_value_in_some_case(family):
    """A baseline of missing values alone pins nothing."""
    cases = add_baseline.read(family.name)["cases"].values()
    finite = {name for content in cases for name, value in content["values"].items() if value is not None}
    assert len(finite) >= 0.9 * len(family.table_columns)


def made(version=1, value=2.0, names=("a_med", "valid_share")):
    columns = tuple(
        spec.Column(f"made_up.{name}", range=(0.0, 10.0), reference="test", description="A number.") for name in names
    )
    row = spec.complete_row(columns, {"a_med": value, "valid_share": 0.0})
    return spec.Family("made_up", version, frozenset({"track"}), columns, lambda o, t: row)


@pytest.fixture
def written(monkeypatch, tmp_path, clips):
    """Run the command for a family, with one short case."""
    monkeypatch.setattr(add_baseline, "BASELINES", tmp_path / "baselines")

    def run(family, *, clip=clips["no_sound"]):
        monkeypatch.setattr(add_baseline, "CASES", {"no_sound": lambda: clip})
        monkeypatch.setattr(discovery, "families", lambda names: (family,))
        return add_baseline.main(["made_up"])

    return run


def test_a_moved_value_is_refused_until_the_version_rises(written, capsys, clips):
    assert written(made()) == 0
    assert written(made()) == 0
    assert written(made(value=2.1)) == 2
    assert "made_up.a_med was 2.0, is 2.1" in capsys.readouterr().err
    assert add_baseline.read("made_up")["cases"]["no_sound"]["values"]["made_up.a_med"] == 2.0
    assert written(made(value=2.1, version=2)) == 0
    other = replace(clips["no_sound"], duration_s=1.0)
    assert written(made(value=2.2, version=2), clip=other) == 0  # another clip gives other values


def test_a_moved_value_is_found_and_says_whether_the_clip_changed(written, clips):
    written(made())
    before, clip = add_baseline.read("made_up"), {"no_sound": clips["no_sound"]}
    assert add_baseline.moved(made(), before, add_baseline.baseline(made(value=2.0 + 1e-9), clip)) == []
    assert add_baseline.moved(made(), before, add_baseline.baseline(made(value=float("nan")), clip)) == [
        "no_sound: made_up.a_med was 2.0, is None"
    ]
    track = clip["no_sound"].tracks[0]
    shifted = replace(clip["no_sound"], tracks=(replace(track, landmarks=track.landmarks + np.float32(0.5)),))
    (line,) = add_baseline.moved(made(), before, add_baseline.baseline(made(value=3.0), {"no_sound": shifted}))
    assert line.endswith("is 3.0 (the clip changed, too)")


@pytest.mark.parametrize("file", sorted(add_baseline.BASELINES.iterdir()), ids=lambda file: file.stem)
def test_a_baseline_is_plain_json_of_finite_numbers(file):
    json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)  # called for NaN and Infinity
