"""The command as users run it: the table, resume, kill -9, interrupt, and messages."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from deepcue.cli.main import main as deepcue
from extract import pipeline
from features import table
from features.networks.weights import PRETRAINED, WEIGHTS_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
FAULTS = str(Path(__file__).parent / "faults")


@pytest.fixture
def folder(make_clip, tmp_path):
    """A small data set in the challenge's layout, with bad clips among the good."""
    data = tmp_path / "data"
    data.mkdir()
    for name, options in {
        "talk.mp4": {"tone_s": 1.2},
        "silent.mp4": {},
        "nobody.mp4": {"face": False, "tone_s": 1.2},
        "single.mp4": {"n": 1},
        "portrait.mp4": {"size": (240, 320), "rotation": 90},
        "tenbit.mp4": {"pix_fmt": "yuv420p10le"},
    }.items():
        shutil.copy(make_clip(name, **options), data / name)
    (data / "empty.mp4").write_bytes(b"")
    (data / "text.mp4").write_text("not a video")
    (data / "truncated.mp4").write_bytes((data / "talk.mp4").read_bytes()[:2000])
    names = sorted(path.name for path in data.iterdir())
    metadata = {name: {"label": "FAKE" if number % 2 else "REAL"} for number, name in enumerate(names)}
    (data / "metadata.json").write_text(json.dumps(metadata))
    return data


def command(data, out, *options, env=None):
    arguments = [sys.executable, str(ROOT / "extract" / "extract_all.py"), str(data), "--out", str(out), "--quiet"]
    return subprocess.Popen(
        [*arguments, "--families", "blink", "--jobs", "2", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        # a test run in the background ignores interrupts, and its children would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def test_every_clip_has_a_row_whatever_it_is(folder, tmp_path, capsys):
    out = tmp_path / "t.parquet"
    assert deepcue(["extract", str(folder), "--out", str(out), "--families", "blink,quality", "--quiet"]) == 0
    assert "9 clips" in capsys.readouterr().out
    read = table.read_table(out)
    rows = {row["filename"]: row for row in read.to_pylist()}
    assert {name: row["status"] for name, row in rows.items()} == {
        "talk.mp4": "ok",
        "silent.mp4": "no_audio",
        "nobody.mp4": "no_face",
        "single.mp4": "too_short",
        "portrait.mp4": "no_audio",
        "tenbit.mp4": "no_audio",
        "empty.mp4": "unreadable",
        "text.mp4": "unreadable",
        "truncated.mp4": "unreadable",
    }
    assert all(row["error"] for row in rows.values() if row["status"] != "ok")
    assert table.table_families(read).keys() == {"blink", "quality"}
    assert all(name.startswith(("blink.", "quality.")) for name in table.feature_columns(read))
    assert np.isnan(rows["nobody.mp4"]["quality.iod_px"])


def test_the_second_run_measures_only_what_is_new(folder, tmp_path, monkeypatch):
    out = tmp_path / "t.parquet"
    arguments = [str(folder), "--out", str(out), "--families", "blink", "--quiet"]
    assert deepcue(["extract", *arguments]) == 0
    first = out.read_bytes()
    seen = []
    engine_run = pipeline.engine.run

    def watched(clips, *rest, **options):
        seen.extend(clip.filename for clip in clips)
        return engine_run(clips, *rest, **options)

    monkeypatch.setattr(pipeline.engine, "run", watched)
    assert deepcue(["extract", *arguments]) == 0
    assert seen == []
    assert out.read_bytes() == first
    shutil.copy(folder / "talk.mp4", folder / "new.mp4")
    assert deepcue(["extract", *arguments]) == 0
    assert seen == ["new.mp4"]
    assert deepcue(["extract", *arguments, "--fresh"]) == 0
    assert len(seen) == 11


def test_own_weights_measure_anew(folder, tmp_path, monkeypatch):
    out, own = tmp_path / "t.parquet", tmp_path / "own"
    arguments = [str(folder), "--out", str(out), "--families", "forensic_cnn", "--quiet"]
    assert deepcue(["extract", *arguments]) == 0
    own.mkdir()
    shutil.copy(PRETRAINED / "forensic_residual.safetensors", own / "forensic_cnn.safetensors")
    before = table.read_table(out)["forensic_cnn.logit_mean"].to_pylist()
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(own))
    assert deepcue(["extract", *arguments]) == 0
    assert table.read_table(out)["forensic_cnn.logit_mean"].to_pylist() != before
    monkeypatch.delenv(WEIGHTS_VARIABLE)
    assert deepcue(["extract", *arguments]) == 0
    assert table.read_table(out)["forensic_cnn.logit_mean"].to_pylist() == pytest.approx(before, nan_ok=True)


def test_own_weights_may_be_named_from_where_one_stands(folder, tmp_path, monkeypatch):
    """The measuring processes run in another folder."""
    (folder / "metadata.json").unlink()
    for file in folder.iterdir():
        if file.name != "talk.mp4":
            file.unlink()
    (tmp_path / "own").mkdir()
    shutil.copy(PRETRAINED / "forensic_residual.safetensors", tmp_path / "own" / "forensic_cnn.safetensors")
    monkeypatch.chdir(tmp_path)
    found = []
    for place in ("own", ""):
        monkeypatch.setenv(WEIGHTS_VARIABLE, place)
        out = tmp_path / f"{len(found)}.parquet"
        assert deepcue(["extract", str(folder), "--out", str(out), "--families", "forensic_cnn", "--quiet"]) == 0
        found.append(table.read_table(out)["forensic_cnn.logit_mean"].to_pylist())
    assert np.isfinite(found).all()
    assert found[0] != found[1]


def test_weights_in_a_folder_that_is_not_there_are_told_of(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "typo"))
    arguments = [str(folder), "--out", str(tmp_path / "t.parquet"), "--families", "forensic_cnn", "--quiet"]
    assert deepcue(["extract", *arguments]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_name_that_is_no_utf8_gets_its_row(make_clip, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(make_clip("talk.mp4", tone_s=1.2), os.fsencode(data) + b"/caf\xe9.mp4")
    out = tmp_path / "t.parquet"
    assert deepcue(["extract", str(data), "--out", str(out), "--families", "blink", "--quiet"]) == 0
    row = table.read_table(out).to_pylist()[0]
    assert (row["filename"], row["status"]) == ("caf\\xe9.mp4", "ok")


@pytest.mark.parametrize("option", ["--observations", "--journal"])
def test_places_that_cannot_be_written_are_told_of_before_the_work(folder, tmp_path, capsys, option):
    (tmp_path / "file").write_text("")
    out = ["--out", str(tmp_path / "t.parquet"), "--families", "blink", "--quiet"]
    assert deepcue(["extract", str(folder), *out, option, str(tmp_path / "file" / "below")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_an_observation_that_was_not_kept_is_made_by_the_next_run(make_clip, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    shutil.copy(make_clip("talk.mp4", tone_s=1.2), tmp_path / "data" / "a.mp4")
    kept = tmp_path / "kept"
    (kept / "a.mp4.npz").mkdir(parents=True)  # in the way
    out = tmp_path / "t.parquet"
    arguments = [
        str(tmp_path / "data"),
        "--out",
        str(out),
        "--families",
        "blink",
        "--quiet",
        "--observations",
        str(kept),
    ]
    assert deepcue(["extract", *arguments]) == 0
    row = table.read_table(out).to_pylist()[0]
    assert row["status"] == "partial"
    assert "can't be kept" in row["error"]
    assert np.isfinite(row["blink.valid_share"])
    (kept / "a.mp4.npz").rmdir()
    assert deepcue(["extract", *arguments]) == 0
    assert table.read_table(out)["status"].to_pylist() == ["ok"]
    assert (kept / "a.mp4.npz").is_file()


@pytest.mark.slow
def test_killed_twenty_times_the_table_is_that_of_an_uninterrupted_run(folder, tmp_path):
    for number in range(4):
        shutil.copy(folder / "talk.mp4", folder / f"more{number}.mp4")
    whole, torn = tmp_path / "whole.parquet", tmp_path / "torn.parquet"
    _, error = (uninterrupted := command(folder, whole)).communicate()
    assert uninterrupted.returncode == 0, error
    rng = np.random.default_rng(0)
    for _ in range(20):
        process = command(folder, torn)
        time.sleep(float(rng.uniform(0.3, 5.0)))
        process.kill()
        process.communicate()
    final = command(folder, torn)
    _, error = final.communicate()
    assert final.returncode == 0, error
    assert torn.read_bytes() == whole.read_bytes()


def test_an_interrupt_stops_within_two_seconds_and_leaves_nothing(folder, tmp_path):
    import os

    shutil.copy(folder / "talk.mp4", folder / "zloop1.mp4")
    shutil.copy(folder / "talk.mp4", folder / "zloop2.mp4")
    out = tmp_path / "t.parquet"
    process = command(folder, out, env=os.environ | {"PYTHONPATH": FAULTS})
    journal = Path(f"{out}.journal")
    for _ in range(600):
        if journal.is_file() and journal.read_bytes().count(b"\n") > 2:
            break
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    try:
        _, error = process.communicate(timeout=20)
    finally:
        process.kill()
    assert time.monotonic() - started < 2.0
    assert process.returncode == 130
    assert "run the same command again" in error
    _, alive = psutil.wait_procs(children, timeout=2)
    assert not alive
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "t.parquet.journal"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--families", "nonsense"], "no family is called 'nonsense'"),
        (["--jobs", "0"], "'0' is not a whole number above 0"),
        (["--timeout", "-1"], "'-1' is not a number above 0"),
    ],
)
def test_bad_options_are_one_sentence_and_exit_2(folder, tmp_path, capsys, options, message):
    assert deepcue(["extract", str(folder), "--out", str(tmp_path / "t.parquet"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_empty_folder_is_one_sentence_and_exit_2(tmp_path, capsys):
    assert deepcue(["extract", str(tmp_path), "--out", str(tmp_path / "t.parquet")]) == 2
    assert "no clip in it" in capsys.readouterr().err


def test_an_unwritable_table_keeps_what_is_done(folder, tmp_path, capsys):
    out = tmp_path / "t.parquet"
    out.mkdir()
    arguments = [str(folder), "--out", str(out), "--families", "blink", "--quiet", "--journal", str(tmp_path / "j")]
    assert deepcue(["extract", *arguments]) == 2
    assert "what is done is kept" in capsys.readouterr().err
    assert (tmp_path / "j").read_bytes().count(b"\n") == 10
