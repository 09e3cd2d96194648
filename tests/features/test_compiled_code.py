"""Functions are compiled, and librosa is imported, also where nothing can be written beside them or at home."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import numpy as np, json, sys
import features.compiled_code as compiled
compiled._is_writable = lambda folder: False
if sys.argv[1] == "no temporary folder":
    def refused(**_):
        raise FileNotFoundError("no usable temporary directory")
    compiled.tempfile.mkdtemp = refused
from features.measures import speech_series
t = np.arange(32000) / 16000
audio = np.sin(2 * np.pi * 200 * t) + 0.1 * np.random.default_rng(0).standard_normal(32000)
print(json.dumps({k: v.ravel().tolist() for k, v in speech_series.short_time_series(audio).items()}))
"""


@pytest.mark.slow
def test_audio_is_measured_alike_wherever_compiled_code_is_kept(tmp_path):
    def measured(*arguments):
        command = [sys.executable, "-c", MEASURE, *arguments]
        environment = os.environ | {"HOME": "/nonexistent", "TMPDIR": str(tmp_path)}
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2]
        ).stdout

    first = measured("a temporary folder")
    assert any(tmp_path.glob("deepcue-numba-*"))
    assert first == measured("no temporary folder")
    assert first.count(",") > 200 * 13


WITHOUT_A_PLACE = """
import numba
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = []  # nothing can be written to
numba.config.DISABLE_JIT = 1  # as where librosa's functions run uncompiled
from features.compiled_code import compiled
add = compiled(lambda a, b: a + b)
print(add(2, 3), len(add.signatures), numba.config.DISABLE_JIT)
"""


@pytest.mark.slow
def test_functions_are_compiled_also_where_the_code_cannot_be_kept():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_PLACE],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == ["5", "1", "1"]


KEPT = """
from features.compiled_code import compiled
@compiled
def add(a, b):
    return a + b
"""


def test_damaged_compiled_code_is_made_again_and_kept(monkeypatch, tmp_path):
    """Non-regression test: after a full disk or a power cut every later process failed."""
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    (tmp_path / "script.py").write_text(KEPT)
    spec = importlib.util.spec_from_file_location("script", tmp_path / "script.py")

    def ran():
        """Run as a process would: every import of the script makes a function that has nothing but the kept code."""
        spec.loader.exec_module(script := importlib.util.module_from_spec(spec))
        return script.add(2, 3), sum(script.add.stats.cache_hits.values())

    assert [ran(), ran()] == [(5, 0), (5, 1)]
    for suffix in ("nbi", "nbc"):
        (file,) = (tmp_path / "kept").rglob(f"*.{suffix}")
        file.write_bytes(file.read_bytes()[:20])
        assert [ran(), ran()] == [(5, 0), (5, 1)], suffix


def test_a_full_disk_costs_the_kept_code_alone(monkeypatch, tmp_path):
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    from features.compiled_code import compiled

    add = compiled(lambda a, b: a + b)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(add._cache._impl, "reduce", full)
    assert add(2, 3) == 5
    assert not list(tmp_path.rglob("*.nbc"))
