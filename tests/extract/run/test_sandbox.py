"""The child process: what it is given, what it says when it fails, and families that are defined elsewhere."""

import logging
import shutil
import sys
import textwrap
import types
from pathlib import Path

import psutil
import pytest
from plug_in import MODULE, write_plug_in
from registry import own_registry

from extract.entries import ClipEntry
from extract.pipeline import extract
from extract.run import engine, worker
from extract.run.sandbox import Limits, Sandbox, _absolute_folders
from features import spec
from features.errors import InputError
from features.table import row_reasons

SETTINGS = worker.Settings(families=("blink",))
FAULTS = str(Path(__file__).parent / "faults")
SECRET = "not-to-be-seen-in-a-list-of-processes"


@pytest.fixture
def clip(make_clip, tmp_path):
    shutil.copy(make_clip("good.mp4", n=20), tmp_path / "a.mp4")
    return ClipEntry("a.mp4", str(tmp_path / "a.mp4"))


@pytest.fixture
def faceless(make_clip):
    """A clip without a face: a process that measures it loads no landmarks."""
    return ClipEntry("a.mp4", str(make_clip("faceless.mp4", n=20, face=False)))


@pytest.fixture
def registry(monkeypatch):
    """Families that a test registers are forgotten."""
    own_registry(monkeypatch)
    yield spec.registry
    for name in [name for name in sys.modules if name.startswith("theirs")]:
        del sys.modules[name]


def registered(monkeypatch, folder, text=MODULE, family="mycue"):
    """Register a family from a module without an entry point, as a notebook does that imports it."""
    write_plug_in(folder, "theirs", family=family, text=text, named=False)
    monkeypatch.syspath_prepend(str(folder))
    __import__("theirs.cue")


def test_settings_are_not_on_the_command_line(faceless):
    settings = worker.Settings(families=("blink",), storage_options={"key": SECRET})
    sandbox = Sandbox(settings, Limits())
    before = psutil.Process().children()
    sandbox.measure(faceless.filename, faceless.path)
    (child,) = [child for child in psutil.Process().children() if child not in before]
    assert SECRET not in " ".join(child.cmdline())
    sandbox.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.stderr.write('first line\\nno such luck\\n'); sys.exit(1)", "no such luck"),
        ("import sys; sys.exit(7)", "exit status 7"),
        ("print('a library greets you'); raise SystemExit('no licence')", "no licence"),
    ],
)
def test_a_child_that_does_not_start_says_why(monkeypatch, tmp_path, text, words):
    """A file in place of the interpreter: whatever it is asked to run, this is what happens."""
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    result = Sandbox(SETTINGS, Limits()).measure("a.mp4", "/a.mp4")
    assert (result.status, result.reasons) == ("crashed", {"clip": "not_started"})
    assert "does not start" in result.error
    assert words in result.error


def test_the_last_lines_of_a_child_that_died_reach_the_log(clip, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("PYTHONPATH", FAULTS)
    clips = [ClipEntry(name, clip.path) for name in ("exit.mp4", "segfault.mp4")]
    results = {result.filename: result for result in engine.run(clips, SETTINGS, Limits())}
    assert "exit.mp4: the measuring process died (exit status 3)" in caplog.text
    assert "the reason is on standard error" in caplog.text
    assert "sitecustomize.py" in caplog.text  # where the segmentation fault was
    assert not any(result.log for result in results.values())


def test_the_traceback_of_a_family_that_fails_reaches_the_log_once(clip, registry, monkeypatch, caplog, tmp_path):
    registered(monkeypatch, tmp_path, MODULE.replace("len(observation.times_s)", "{{}}['absent']"))
    clips = [clip, ClipEntry("b.mp4", clip.path)]
    with caplog.at_level(logging.WARNING):
        table = extract(clips, families=["mycue", "blink"], jobs=1)
    assert table["status"].to_pylist() == ["partial", "partial"]
    assert [reasons["mycue"] for reasons in row_reasons(table)] == ["failed", "failed"]
    assert caplog.text.count("Traceback") == 1
    assert str(Path("theirs") / "cue.py") in caplog.text
    assert "KeyError: 'absent'" in caplog.text
    assert {record.name for record in caplog.records} == {"features.measuring"}


def test_a_family_of_an_imported_module_is_measured_in_a_child(faceless, registry, monkeypatch, tmp_path):
    """It finds nothing on standard input: a family that read from it took the requests of the parent, and hung."""
    reads = MODULE.replace("len(observation.times_s)", "len(observation.times_s) + len(open(0).read())")
    registered(monkeypatch, tmp_path, reads)
    table = extract([faceless], families=["mycue"], limits=Limits(timeout_s=30))
    assert table["mycue.frames_n"].to_pylist() == [20.0]


def test_a_family_of_a_notebook_is_refused_in_one_sentence(clip, registry):
    source = textwrap.dedent(MODULE.format(family="mycue"))
    exec(source, {"__name__": "__main__"})
    with pytest.raises(InputError, match=r"^families mycue: defined in this notebook .* write them into a module"):
        extract([clip], families=["mycue", "blink"])


def test_a_module_that_a_child_cannot_import_is_refused_in_one_sentence(clip, registry, monkeypatch):
    module = types.ModuleType("theirs_in_memory")
    monkeypatch.setitem(sys.modules, "theirs_in_memory", module)
    exec(MODULE.format(family="mycue"), module.__dict__)
    with pytest.raises(
        InputError, match=r"^a measuring process can't import theirs_in_memory, which a family"
    ) as caught:
        extract([clip], families=["mycue"])
    assert "\n" not in str(caught.value)


def test_a_removed_current_folder_costs_the_relative_entries_of_the_path_alone(tmp_path, monkeypatch):
    """Non-regression: every clip of an absolute path ended in a FileNotFoundError without a name."""
    monkeypatch.chdir(tmp_path)
    assert _absolute_folders(["", "lib", "/usr/lib"]) == [str(tmp_path), str(tmp_path / "lib"), "/usr/lib"]
    tmp_path.rmdir()
    assert _absolute_folders(["", "lib", "/usr/lib"]) == ["/usr/lib"]
