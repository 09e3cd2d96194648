"""Discovery: families of other packages are found, named where they can't be used, and stop nobody else."""

import importlib
import sys

import pytest
from plug_in import MODULE, write_plug_in
from registry import own_registry

from ensemble.compatibility import check_families
from ensemble.training_set import Layout
from features import discovery, spec
from features.errors import InputError, ModelError


def forget():
    """Nothing of other packages is known."""
    for known in (discovery.plug_ins, discovery.fault, discovery._usable_plug_ins):
        known.cache_clear()


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Packages written to a folder on the path, as if this process had just begun."""
    own_registry(monkeypatch)
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


def test_a_family_of_another_package_is_found_by_its_entry_point(installed):
    installed("theirs")
    assert "mycue" in [one.name for one in discovery.families()]
    assert discovery.describe("mycue") == "how many frames there are"
    (mine,) = discovery.families(["mycue"])
    assert discovery.undiscovered_modules([mine]) == ()


def test_a_family_that_this_process_registered_is_found(installed):
    installed("theirs", named=False)
    assert "mycue" not in [one.name for one in discovery.families()]
    module = importlib.import_module("theirs.cue")
    assert discovery.undiscovered_modules(one for one in discovery.families() if one.name == "mycue") == ("theirs.cue",)
    importlib.reload(module)  # a notebook's second go
    assert discovery.families(["mycue"])[0].measure is module.measure


@pytest.mark.parametrize("named", [True, False])
def test_a_name_is_taken_once_by_two_packages(installed, named):
    installed("theirs")
    installed("theirs_too", named=named)
    with pytest.raises(InputError, match=r"'mycue'.*theirs.*and theirs_too"):  # noqa: PT012 - found by either way
        discovery.families(["mycue"])
        importlib.import_module("theirs_too.cue")


@pytest.mark.parametrize("named", [True, False])
def test_a_built_in_name_is_taken(installed, named, caplog):
    installed("theirs", family="blink", named=named)
    assert [one.measure.__module__ for one in discovery.families(["blink"])] == ["features.families.blink"]
    assert discovery.describe("blink")
    assert [one.name for one in discovery.families()] == list(spec.family_modules())
    assert ("left out: package theirs: 'blink' is built in; rename it" in caplog.text) == named
    with pytest.raises(InputError, match=r"'blink'.*features\.families\.blink and theirs"):
        importlib.import_module("theirs.cue")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_library", r"package theirs: .*'mycue' can't be loaded \(ModuleNotFoundError.*no_such_library"),
        ("", r"package theirs: theirs\.cue registers no family called 'mycue'"),
        (MODULE.replace('@family("{family}"', '@family("clip"'), "theirs: .*'mycue' can't be loaded"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named(installed, text, message):
    installed("theirs", text=text)
    with pytest.raises(InputError, match=message):
        discovery.families(["mycue"])


@pytest.mark.parametrize(
    "text", ["import no_such_library", "", MODULE + "raise OSError('late')", "import sys; sys.exit(3)"]
)
def test_a_package_that_cannot_be_loaded_stops_nobody_who_needs_it_not(installed, caplog, text):
    """Non-regression: it ended `predict` and `serve` with the shipped model, which does not read it."""
    installed("theirs", text=text)
    installed("theirs_too", family="theirs_works")
    assert [one.name for one in discovery.families(["blink", "quality"])] == ["blink", "quality"]
    assert not caplog.records
    names = [one.name for one in discovery.families()]
    assert names == [one.name for one in discovery.families()]
    assert set(names) == {*spec.family_modules(), "theirs_works"}
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once
    assert "left out: package theirs: " in caplog.text
    assert "'mycue'" in caplog.text
    assert discovery.describe("mycue") == ""


def test_a_model_that_reads_a_family_that_cannot_be_loaded_is_told_why(installed):
    layout = Layout(("mycue.frames_n",), {"mycue": 1})
    installed("theirs", text="import no_such_library")
    with pytest.raises(ModelError, match=r"my_model: needs the cue family mycue; package theirs: .*no_such_library"):
        check_families(layout, "my_model")
    with pytest.raises(ModelError, match=r"yours, which no package .* defines; install the package .* or train"):
        check_families(Layout(("yours.frames_n",), {"yours": 1}), "my_model")
