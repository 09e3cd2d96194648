"""What the page costs: figures of every way of measuring a clip, and none without clips."""

import json

import pytest
from clip_maker import frames_of, write_clip
from measured_here import Here

from benchmarks import page


@pytest.mark.slow
def test_figures_of_a_clip(tmp_path, capsys, measured_here, monkeypatch):
    monkeypatch.setattr(page, "Sandbox", Here)
    write_clip(tmp_path / "a.mp4", frames_of(None, 50, (320, 240)))
    assert page.main([str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for way in ("predict", "report", "page"):
        assert 0 < found[f"{way}_verdict_s"] <= found[f"{way}_end_s"]
        assert 0 < found[f"{way}_verdict_cpu_s"] <= found[f"{way}_cpu_s"]
    assert found["ratios"]["verdict"] == found["page_verdict_s"] / found["predict_verdict_s"]
    lines = page.report(found).splitlines()
    assert lines[0].split() == ["1", "clips", "predict", "--report", "page"]
    assert f"{found['ratios']['cpu']:.2f} in CPU; over --report" in lines[-1]


def test_no_clips_is_said(tmp_path, capsys):
    assert page.main([str(tmp_path / "none")]) == 2
    assert "error:" in capsys.readouterr().err
