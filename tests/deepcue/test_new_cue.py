"""The code of the guide docs/new-cue.md, and of the README's example of a cue, does what the pages say."""

import re
import shlex
import shutil
import sys
import tomllib
import types
from pathlib import Path

import add_baseline
import numpy as np
import pytest
from people import build_talking_head
from registry import own_registry

import deepcue
from deepcue.cli.main import command_parser
from deepcue.cli.main import main as deepcue_command
from features import discovery, measuring, spec

ROOT = Path(deepcue.__file__).parents[1]
GUIDE = (ROOT / "docs" / "new-cue.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
MODULE, KNOWN_ANSWERS, ONE_CLIP, DATA_SET = (text for language, text in BLOCKS if language == "python")
COMMANDS = [line for language, text in BLOCKS if not language for line in text.splitlines()]


@pytest.fixture
def redeye(tmp_path, monkeypatch):
    """The guide's module as a file in the current folder, imported."""
    (tmp_path / "redeye.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "redeye", raising=False)
    own_registry(monkeypatch)
    import redeye

    yield redeye
    sys.modules.pop("redeye", None)


def run(code):
    names = {"__name__": "example"}
    exec(compile(code, "example", "exec"), names)
    return names


def test_there_is_no_code_that_these_tests_leave_out():
    assert sorted({language for language, _ in BLOCKS}) == ["", "python", "toml"]
    assert {line.split()[0] for line in COMMANDS} == {"deepcue", "python", "make"}


def test_the_known_answers_are_right(redeye):
    tests = [test for name, test in run(KNOWN_ANSWERS).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_a_clip_is_measured(redeye, clip, tmp_path):
    shutil.copy(clip, tmp_path / "clip.mp4")
    names = run(ONE_CLIP)
    assert 0.3 < names["values"]["redeye.red_med"] < 0.7
    assert names["values"]["redeye.valid_share"] == 1.0
    assert np.median(names["lane"].values) == pytest.approx(names["values"]["redeye.red_med"])


@pytest.mark.usefixtures("measured_here")
def test_a_data_set_is_measured_from_kept_observations(redeye, clip, tmp_path):
    (tmp_path / "train_videos").mkdir()
    shutil.copy(clip, tmp_path / "train_videos" / "talk.mp4")
    first = run(DATA_SET)["red"]
    (kept,) = (tmp_path / "kept").iterdir()
    written = kept.stat().st_mtime_ns
    Path("redeye.parquet").unlink()
    Path("redeye.parquet.journal").unlink(missing_ok=True)
    assert run(DATA_SET)["red"].tolist() == first.tolist()
    assert np.isfinite(first).all()
    assert kept.stat().st_mtime_ns == written  # the clip was not decoded again


def test_the_entry_point_names_the_module_and_the_family(redeye):
    (block,) = (text for language, text in BLOCKS if language == "toml")
    points = tomllib.loads(block)["project"]["entry-points"][discovery.PLUG_INS]
    assert points == {"redeye": redeye.__name__}
    assert spec.registry["redeye"].measure.__module__ == "redeye"


@pytest.mark.usefixtures("measured_here")
def test_the_commands_are_understood(redeye, clip, tmp_path):
    (tmp_path / "train_videos").mkdir()
    shutil.copy(clip, tmp_path / "train_videos" / "talk.mp4")
    extract, ablate, *others = (shlex.split(line) for line in COMMANDS)
    assert deepcue_command([*extract[1:], "--families", "redeye", "--quiet", "--jobs", "1"]) == 0
    arguments = command_parser(ablate[1]).parse_args(ablate[2:])
    assert Path(arguments.table).is_file()  # what the command before it wrote
    script, *targets = others
    assert script[:2] == ["python", Path(add_baseline.__file__).relative_to(ROOT).as_posix()]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for _, name in targets)


def test_a_baseline_can_be_written(redeye, tmp_path, monkeypatch):
    monkeypatch.setattr(add_baseline, "BASELINES", tmp_path)
    monkeypatch.setattr(add_baseline, "CASES", {"low_frame_rate": add_baseline.low_frame_rate})
    assert add_baseline.main(["redeye"]) == 0
    assert (tmp_path / "redeye.json").is_file()


def test_the_readme_shows_a_family_that_measures(monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(\"\"\"tempo:.*?)```", text, re.DOTALL)
    module = types.ModuleType("tempo")
    monkeypatch.setitem(sys.modules, "tempo", module)
    own_registry(monkeypatch)
    exec(compile(block, "tempo", "exec"), module.__dict__)
    (family,) = discovery.families(["tempo"])
    clip = build_talking_head(np.random.default_rng(0), duration_s=2.0)
    values, failures = measuring.measure_clip(clip, [family])
    assert not failures
    assert values == {"tempo.frames_per_s": pytest.approx(len(clip.times_s) / clip.duration_s), "tempo.valid_share": 1}
