"""The benchmark: its figures are of what it says, and its rate counts clips while every worker is busy."""

import json

import pytest
from clip_maker import frames_of, write_clip
from skimage.data import astronaut

from benchmarks import extraction
from extract.entries import ClipEntry
from extract.run import engine, worker
from extract.run.sandbox import Limits


@pytest.mark.slow
def test_figures_of_a_clip(tmp_path, capsys):
    write_clip(tmp_path / "spoken.mp4", frames_of(astronaut(), 40, (320, 240)), tone_s=1.6)
    assert extraction.main([str(tmp_path), "--no-scaling", "--plain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 1
    spent = {name: found[name] for name in found if name.endswith("cpu_s") and name != "stages_cpu_s"}
    assert {"decode_cpu_s", "whole_cpu_s", "again_cpu_s", "plain_cpu_s", "plain_whole_cpu_s"} <= set(spent)
    assert spent.pop("decode_cpu_s") >= 0  # forty small frames may take less than the clock's tick
    assert min(spent.values()) > 0
    assert {"decode", "faces", "landmarks", "flow", "crops", "audio", "family spectrum"} <= set(found["stages_cpu_s"])
    text = extraction.report(found | {"clips_per_hour_1": 100.0, "clips_per_hour_2": 190.0})
    assert "a plain script" in text
    assert "(1.90x)" in text


def test_the_rate_leaves_out_the_start_and_the_end(monkeypatch):
    """A clip takes a second of a worker's time, a worker's first ten; the run's last two end late."""
    clock = {"now": 0.0}
    taken = []

    def run(clips, settings, limits, *, jobs):
        taken.append(len(clips))
        for number, _ in enumerate(clips):
            clock["now"] += (10 if number < jobs else 1 if number < len(clips) - jobs else 30) / jobs
            yield number

    monkeypatch.setattr(engine, "run", run)
    monkeypatch.setattr(extraction.time, "monotonic", lambda: clock["now"])
    settings, limits = worker.Settings(()), Limits(timeout_s=1, memory_mb=1)
    for jobs in (1, 2):
        assert extraction._rate([ClipEntry("a", "a")], settings, limits, jobs) == pytest.approx(3600 * jobs)
    assert taken == [2 + extraction.MIN_TIMED + 1, 4 + 2 * extraction.MIN_TIMED + 2]


def test_no_clips_is_said(tmp_path, capsys):
    assert extraction.main([str(tmp_path / "none")]) == 2
    assert "error:" in capsys.readouterr().err
