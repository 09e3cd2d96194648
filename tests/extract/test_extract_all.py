"""The command as users run it: the table, resume, kill -9, interrupt, and messages."""

import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar
from unittest import mock

import fsspec
import numpy as np
import psutil
import pytest
from events import wait_until
from fsspec.implementations.memory import MemoryFileSystem
from measured_here import measure_here
from plug_in import MODULE, write_plug_in

from artifacts import PRETRAINED
from deepcue.cli.main import main as deepcue
from extract import pipeline
from extract.entries import ClipEntry
from extract.output_places import check_keeps_clips
from extract.run.journal import Journal
from extract.run.sandbox import Limits
from features import discovery, observation, table
from features.errors import DatasetError, InputError
from features.networks.weights import WEIGHTS_VARIABLE
from features.observation import OBSERVATION_VERSION

ROOT = Path(__file__).resolve().parents[2]
FAULTS = str(Path(__file__).parent / "run" / "faults")
ONE = ("--jobs", "1")  # where the number of processes changes nothing: each is a start of seconds


@pytest.fixture
def folder(make_clip, tmp_path):
    """A small data set in the challenge's layout, with bad clips among the good."""
    data = tmp_path / "data"
    data.mkdir()
    for name, options in {
        "talk.mp4": {"tone_s": 1.2},
        "silent.mp4": {},
        "faceless.mp4": {"face": False, "tone_s": 1.2},
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


@pytest.fixture
def talk(make_clip, tmp_path):
    """A data set of two clips."""
    (tmp_path / "talk").mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(make_clip("talk.mp4", tone_s=1.2), tmp_path / "talk" / name)
    return tmp_path / "talk"


@pytest.fixture
def faceless(make_clip, tmp_path):
    """A data set of two clips without a face."""
    (tmp_path / "faceless").mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(make_clip("faceless.mp4", face=False, tone_s=1.2), tmp_path / "faceless" / name)
    return tmp_path / "faceless"


@pytest.fixture
def measured_names(monkeypatch):
    """Names of the clips that runs in this process measure, as they are begun."""
    seen = []
    engine_run = pipeline.engine.run

    def watched(clips, *rest, **options):
        seen.extend(clip.filename for clip in clips)
        return engine_run(clips, *rest, **options)

    monkeypatch.setattr(pipeline.engine, "run", watched)
    return seen


def command(data, out, *options, families="blink", path=""):
    """``deepcue extract`` as a process of its own; ``path`` is a folder from which it may import."""
    arguments = [sys.executable, str(ROOT / "extract" / "extract_all.py"), str(data), "--out", str(out), "--quiet"]
    return subprocess.Popen(
        [*arguments, "--families", families, "--jobs", "2", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        # a test run in the background ignores interrupts, and its children would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def test_every_clip_has_a_row_whatever_it_is(folder, tmp_path, capsys):
    out = tmp_path / "t.parquet"
    assert deepcue(["extract", str(folder), "--out", str(out), "--families", "blink,quality", "--quiet", *ONE]) == 0
    assert "9 clips" in capsys.readouterr().out
    read = table.read_table(out)
    rows = {row["filename"]: row for row in read.to_pylist()}
    assert {name: row["status"] for name, row in rows.items()} == {
        "talk.mp4": "ok",
        "silent.mp4": "no_audio",
        "faceless.mp4": "no_face",
        "single.mp4": "too_short",
        "portrait.mp4": "no_audio",
        "tenbit.mp4": "no_audio",
        "empty.mp4": "unreadable",
        "text.mp4": "unreadable",
        "truncated.mp4": "unreadable",
    }
    assert all(row["error"] for row in rows.values() if row["status"] != "ok")
    reasons = dict(zip(read["filename"].to_pylist(), table.row_reasons(read), strict=True))
    assert reasons["talk.mp4"] == {"blink": "unusable"}  # too short to count blinks
    assert reasons["faceless.mp4"] == {"blink": "no_face", "quality": "no_face"}
    assert reasons["text.mp4"] == {"clip": "unreadable"}
    assert table.table_families(read).keys() == {"blink", "quality"}
    assert all(name.startswith(("blink.", "quality.")) for name in table.feature_columns(read))
    assert np.isnan(rows["faceless.mp4"]["quality.iod_px"])


@pytest.mark.usefixtures("measured_here")
def test_the_second_run_measures_only_what_is_new(folder, tmp_path, measured_names):
    out = tmp_path / "t.parquet"
    arguments = [str(folder), "--out", str(out), "--families", "blink", "--quiet", *ONE]
    assert deepcue(["extract", *arguments]) == 0
    first = out.read_bytes()
    measured_names.clear()
    assert deepcue(["extract", *arguments]) == 0
    assert measured_names == []
    assert out.read_bytes() == first
    shutil.copy(folder / "talk.mp4", folder / "new.mp4")
    assert deepcue(["extract", *arguments]) == 0
    assert measured_names == ["new.mp4"]
    assert deepcue(["extract", *arguments, "--fresh"]) == 0
    assert len(measured_names) == 11


def test_failures_of_an_earlier_run_are_counted(tmp_path, monkeypatch):
    """Non-regression test: a resumed run reported none."""
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("no video")
    measure_here(monkeypatch)
    runs = []
    for _ in range(2):
        progress = mock.Mock()
        pipeline.extract(tmp_path, out=tmp_path / "t.parquet", families=["quality"], progress=progress)
        runs.append([call.args for call in progress.call_args_list])
    assert runs == [[(0, 2, 0), (1, 2, 1), (2, 2, 2)], [(2, 2, 2)]]


def test_a_clip_of_the_data_set_is_no_place_for_an_output(talk, tmp_path, capsys):
    """Non-regression test: a page was written over a clip of the folder that it is about."""
    (tmp_path / "list.csv").write_text("filename\ntalk/a.mp4\n")
    (talk / "metadata.json").write_text("{}")
    content = (talk / "a.mp4").read_bytes()
    (tmp_path / "link.mp4").symlink_to(talk / "a.mp4")
    for data, out in (
        (talk, talk / "a.mp4"),
        (talk, tmp_path / "link.mp4"),
        (talk.as_uri(), talk / "a.mp4"),
        (tmp_path / "list.csv", talk / "a.mp4"),
        (talk, talk / "metadata.json"),
    ):
        assert deepcue(["predict", str(data), "--report", str(out)]) == 2
        assert "which this command reads and would replace" in capsys.readouterr().err
    assert (talk / "a.mp4").read_bytes() == content
    for out in (talk / "new.html", talk / "features.parquet", "s3://bucket/t.parquet"):
        check_keeps_clips(out, [talk])
    (tmp_path / "other.mp4").touch()
    check_keeps_clips(tmp_path / "other.mp4", [talk, talk / "a.mp4"])
    with pytest.raises(InputError, match="would replace"):
        check_keeps_clips("s3://bucket/set/a.mp4", ["s3://bucket/set"])


def test_a_clip_that_goes_while_the_run_is_on_is_measured_by_the_next(talk, tmp_path, monkeypatch):
    """Non-regression test: a share that was lost for a moment cost its clips for good."""
    shutil.copy(talk / "a.mp4", talk / "vanish.mp4")
    arguments = ["extract", str(talk), "--out", str(tmp_path / "t.parquet"), "--families", "blink", "--quiet", *ONE]
    monkeypatch.setenv("PYTHONPATH", FAULTS)
    assert deepcue(arguments) == 0
    row = table.read_table(tmp_path / "t.parquet").to_pylist()[2]
    assert (row["status"], row["reasons"]) == ("crashed", '{"clip": "not_fetched"}')
    assert "No such file" in row["error"]
    measure_here(monkeypatch)
    (talk / "vanish.mp4.away").rename(talk / "vanish.mp4")
    assert deepcue(arguments) == 0
    assert table.read_table(tmp_path / "t.parquet")["status"].to_pylist() == ["ok"] * 3


def test_a_run_in_which_every_clip_crashed_is_no_success(talk, tmp_path, monkeypatch, capsys):
    """Non-regression test: it ended with exit status 0, as where a share was lost at the start."""
    for name in ("a.mp4", "b.mp4"):
        (talk / name).rename(talk / f"vanish_{name}")
    monkeypatch.setenv("PYTHONPATH", FAULTS)
    arguments = ["extract", str(talk), "--out", str(tmp_path / "t.parquet"), "--families", "blink", "--quiet", *ONE]
    assert deepcue(arguments) == 2
    printed = capsys.readouterr()
    assert "2 clips" in printed.out
    assert "error: nothing was measured: all 2 clips are crashed (can't be read: " in printed.err
    assert table.read_table(tmp_path / "t.parquet").num_rows == 2


def test_own_weights_measure_again(talk, tmp_path, monkeypatch):
    """They may be named from where one stands, though the measuring processes run in another folder."""
    out, own = tmp_path / "t.parquet", tmp_path / "own"
    (talk / "b.mp4").unlink()
    arguments = [str(talk), "--out", str(out), "--families", "forensic_cnn", "--quiet", *ONE]
    with monkeypatch.context() as patched:
        measure_here(patched)
        assert deepcue(["extract", *arguments]) == 0
    own.mkdir()
    shutil.copy(PRETRAINED / "forensic_residual.safetensors", own / "forensic_cnn.safetensors")
    before = table.read_table(out)["forensic_cnn.logit_mean"].to_pylist()
    assert np.isfinite(before).all()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(WEIGHTS_VARIABLE, "own")
    assert deepcue(["extract", *arguments]) == 0
    after = table.read_table(out)["forensic_cnn.logit_mean"].to_pylist()
    assert np.isfinite(after).all()
    assert after != before
    monkeypatch.setenv(WEIGHTS_VARIABLE, "")
    measure_here(monkeypatch)
    assert deepcue(["extract", *arguments]) == 0
    assert table.read_table(out)["forensic_cnn.logit_mean"].to_pylist() == pytest.approx(before)


def test_weights_in_a_folder_that_is_not_there_are_refused(folder, tmp_path, monkeypatch, capsys):
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


@pytest.mark.parametrize("out", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_no_place_for_a_table(folder, capsys, out):
    """Non-regression test: the journal was left in /dev, and to a pipe it was refused in other words."""
    assert deepcue(["extract", str(folder), "--out", out, "--quiet"]) == 2
    assert f"{out}: is a device or a pipe" in capsys.readouterr().err
    assert not os.path.exists("/dev/stdout.journal")


@pytest.mark.parametrize("option", ["--observations", "--journal"])
def test_places_that_cannot_be_written_are_refused_before_the_work(folder, tmp_path, capsys, option):
    (tmp_path / "file").write_text("")
    out = ["--out", str(tmp_path / "t.parquet"), "--families", "blink", "--quiet"]
    assert deepcue(["extract", str(folder), *out, option, str(tmp_path / "file" / "below")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.usefixtures("measured_here")
def test_an_observation_that_was_not_kept_is_made_by_the_next_run(make_clip, tmp_path, capsys, caplog):
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
        *ONE,
    ]
    assert deepcue(["extract", *arguments]) == 0
    row = table.read_table(out).to_pylist()[0]
    assert row["status"] == "partial"
    assert "can't be kept" in row["error"]
    assert "Traceback" not in caplog.text, "of a full disk, too, the row says all"
    assert np.isfinite(row["blink.valid_share"])
    (kept / "a.mp4.npz").rmdir()
    assert deepcue(["extract", *arguments]) == 0
    assert table.read_table(out)["status"].to_pylist() == ["ok"]
    assert (kept / "a.mp4.npz").is_file()


@pytest.mark.usefixtures("measured_here")
def test_a_store_that_is_named_later_is_filled_by_the_next_run(faceless, tmp_path, measured_names):
    """Non-regression test: results of the journal counted as done, and the folder stayed empty."""
    (faceless / "text.mp4").write_text("not a video")
    arguments = ["extract", str(faceless), "--out", str(tmp_path / "t.parquet"), "--families", "blink", "--quiet", *ONE]
    assert deepcue(arguments) == 0
    kept = ["--observations", str(tmp_path / "kept")]
    measured_names.clear()
    assert deepcue([*arguments, *kept]) == 0
    assert measured_names == ["a.mp4", "b.mp4"], "an unreadable clip has nothing to keep"
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == ["a.mp4.npz", "b.mp4.npz"]
    (tmp_path / "kept" / "b.mp4.npz").unlink()
    measured_names.clear()
    assert deepcue([*arguments, *kept]) == 0
    assert measured_names == ["b.mp4"]


@pytest.mark.usefixtures("measured_here")
def test_an_observation_that_another_data_set_replaced_is_made_again(talk, tmp_path, measured_names, caplog):
    """Non-regression test: that one of its name was there counted as kept, whatever it was of."""
    kept, options = tmp_path / "kept", ["--families", "blink", "--quiet", "--observations", str(tmp_path / "kept")]
    first = ["extract", str(talk), "--out", str(tmp_path / "t.parquet"), *options]
    assert deepcue(first) == 0
    before = observation.header(str(kept / "a.mp4.npz")).key
    (other := tmp_path / "other").mkdir()
    shutil.copyfile(talk / "a.mp4", other / "a.mp4")  # another time of change
    assert deepcue(["extract", str(other), "--out", str(tmp_path / "other.parquet"), *options]) == 0
    assert "a.mp4: the observation that was kept under this name is of another file" in caplog.text
    assert observation.header(str(kept / "a.mp4.npz")).key != before
    measured_names.clear()
    assert deepcue(first) == 0
    assert measured_names == ["a.mp4"]
    assert observation.header(str(kept / "a.mp4.npz")).key == before


@pytest.mark.usefixtures("measured_here")
@pytest.mark.parametrize("protocol", ["file", "local"])
def test_observations_of_clips_in_subfolders_are_kept_at_a_url_of_this_machine(talk, tmp_path, protocol):
    """Non-regression test: no folder was made for them, and they were `partial` in every run."""
    (talk / "below").mkdir()
    (talk / "b.mp4").rename(talk / "below" / "b.mp4")
    arguments = ["extract", str(talk), "--out", str(tmp_path / "t.parquet"), "--families", "blink", "--quiet"]
    assert deepcue([*arguments, "--observations", f"{protocol}://{tmp_path}/kept"]) == 0
    assert table.read_table(tmp_path / "t.parquet")["status"].to_pylist() == ["ok", "ok"]
    assert (tmp_path / "kept" / "below" / "b.mp4.npz").is_file()


def lines_of(journal):
    """Number of finished clips in a journal; -1 before there is one."""
    return journal.read_bytes().count(b"\n") - 1 if journal.is_file() else -1


@pytest.mark.slow
def test_killed_again_and_again_the_table_is_that_of_an_uninterrupted_run(folder, tmp_path, monkeypatch):
    """Each run is killed as soon as it has finished some clips more, while others are being measured."""
    (folder / "faceless.mp4").unlink()  # for which a process loads another detector
    for number in range(5):
        shutil.copy(folder / "silent.mp4", folder / f"more{number}.mp4")
    n_clips = len(list(folder.iterdir())) - 1
    whole, torn = tmp_path / "whole.parquet", tmp_path / "torn.parquet"
    with monkeypatch.context() as patched:
        measure_here(patched)
        assert deepcue(["extract", str(folder), "--out", str(whole), "--families", "quality", "--quiet"]) == 0
    journal, killed_at = Path(f"{torn}.journal"), []
    for _ in range(3):
        process, before = command(folder, torn, families="quality"), max([0, *killed_at])
        wait_until(lambda before=before: lines_of(journal) > before)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        killed_at.append(lines_of(journal))
    assert sorted(set(killed_at)) == killed_at  # torn in the middle, at several places
    assert killed_at[-1] < n_clips
    assert not torn.exists()
    _, error = (final := command(folder, torn, families="quality")).communicate()
    assert final.returncode == 0, error
    assert torn.read_bytes() == whole.read_bytes()


def test_an_interrupt_stops_before_the_clip_s_own_end_and_leaves_nothing(folder, tmp_path):
    held = [folder / f"hold{number}.mp4" for number in range(2)]  # these would never end
    for path in held:
        shutil.copy(folder / "talk.mp4", path)
    out = tmp_path / "t.parquet"
    process = command(folder, out, path=FAULTS)
    try:
        wait_until(lambda: all(Path(f"{path}.begun").exists() for path in held))
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 2
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130
    assert "run the same command again" in error
    wait_until(lambda: not any(child.is_running() for child in children))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "t.parquet.journal"]


def test_a_family_of_another_package_gets_its_column(talk, tmp_path):
    package = str(write_plug_in(tmp_path / "site", "theirs"))
    process = command(talk, tmp_path / "t.parquet", "--json", *ONE, families="mycue,blink", path=package)
    printed, error = process.communicate()
    assert process.returncode == 0, error
    assert json.loads(printed)["status"] == {"ok": 2}
    read = table.read_table(tmp_path / "t.parquet")
    assert read["mycue.frames_n"].to_pylist() == [30.0, 30.0]
    assert table.table_families(read) == {"mycue": 1, "blink": discovery.families(["blink"])[0].version}


def test_a_package_that_cannot_be_imported_is_one_sentence_and_exit_2_where_it_is_asked_for(talk, tmp_path):
    package = str(write_plug_in(tmp_path / "site", "theirs", text="import no_such_library"))
    process = command(talk, tmp_path / "t.parquet", families="mycue,blink", path=package)
    _, error = process.communicate()
    assert process.returncode == 2
    assert error.startswith("error: package theirs: ")
    assert error.count("\n") == 1


def test_the_traceback_of_a_family_that_fails_is_shown(faceless, tmp_path):
    text = MODULE.replace("len(observation.times_s)", "observation.of_its_own_making")
    text = text.replace('"picture"', '"sound"')  # is measured without a face, too
    package = str(write_plug_in(tmp_path / "site", "theirs", text=text))
    process = command(faceless, tmp_path / "t.parquet", *ONE, families="mycue", path=package)
    _, error = process.communicate()
    assert process.returncode == 0
    assert error.count("Traceback") == 1
    assert "AttributeError: 'Observation' object has no attribute 'of_its_own_making'" in error


@pytest.mark.usefixtures("measured_here")
def test_the_table_says_what_made_it(faceless, tmp_path):
    own = tmp_path / "own.safetensors"
    shutil.copy(PRETRAINED / "forensic_residual.safetensors", own)
    made = pipeline.extract(
        faceless,
        families=["forensic_cnn", "forensic_residual"],
        weights={"forensic_cnn": own},
        max_seconds=np.float32(9),
    )
    made_by = table.description(made)
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    assert made_by["weights"] == {"forensic_cnn": digest, "forensic_residual": digest}
    assert made_by["max_seconds"] == 9.0
    assert made_by["extractor"] == str(OBSERVATION_VERSION)
    assert made_by["families"].keys() == {"forensic_cnn", "forensic_residual"}


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 0.0, -1.0])
@pytest.mark.parametrize("name", ["max_seconds", "timeout_s", "memory_mb"])
def test_numbers_that_limit_nothing_are_refused(talk, name, number):
    limited = Limits if name != "max_seconds" else functools.partial(pipeline.extract, talk, families=["blink"])
    with pytest.raises(InputError, match=f"{name} = {number}: must be a finite number above 0"):
        limited(**{name: number})


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


@pytest.mark.parametrize("jobs", [0, -2, 1.5, float("nan")])
def test_jobs_are_a_whole_number(talk, jobs):
    with pytest.raises(InputError, match=f"jobs = {jobs}: must be a whole number above 0"):
        pipeline.extract(talk, families=["blink"], jobs=jobs)


def test_minus_one_job_is_one_per_usable_core(faceless, monkeypatch):
    given = []
    monkeypatch.setattr(pipeline, "usable_cores", lambda: 7)
    monkeypatch.setattr(pipeline, "_measure", lambda *_, jobs, **__: given.append(jobs))
    monkeypatch.setattr(pipeline, "_table", lambda *_: None)
    pipeline.extract(faceless, families=["blink"], jobs=-1)
    assert given == [7]


def test_an_empty_list_is_refused():
    with pytest.raises(InputError, match="no clip to measure"):
        pipeline.extract([])


def test_an_empty_folder_is_one_sentence_and_exit_2(tmp_path, capsys):
    assert deepcue(["extract", str(tmp_path), "--out", str(tmp_path / "t.parquet")]) == 2
    assert "no clip in it" in capsys.readouterr().err


def test_a_place_where_no_table_can_be_is_refused_before_the_work(folder, tmp_path, capsys):
    out = tmp_path / "t.parquet"
    out.mkdir()
    assert deepcue(["extract", str(folder), "--out", str(out), "--families", "blink", "--quiet"]) == 2
    assert "is a folder; give the name of a file" in capsys.readouterr().err
    assert not (tmp_path / "t.parquet.journal").exists()


@pytest.mark.parametrize(
    ("option", "place", "message"),
    [
        (
            "--out",
            "s4://bucket/t.parquet",
            "s4://bucket/t.parquet: nothing can be written there (Protocol not known: s4",
        ),
        (
            "--observations",
            "s4://bucket/kept",
            "s4://bucket/kept: nothing can be written there (Protocol not known: s4",
        ),
        (
            "--out",
            "refusing://bucket/t.parquet",
            "t.parquet: nothing can be written there (no credentials); check the address",
        ),
        (
            "--observations",
            "refusing://bucket/kept",
            "kept: nothing can be written there (no credentials); check the address",
        ),
        ("--journal", "s3://bucket/journal", "is a URL, and only a path can be written here"),
        ("--out", "/dev/null", "/dev/null: is a device or a pipe, which would be replaced"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_before_the_work(
    faceless, tmp_path, capsys, monkeypatch, measured_names, option, place, message
):
    """Non-regression test: a wrong URL ended in a traceback, after every clip was measured."""

    class Refusing(MemoryFileSystem):
        protocol = "refusing"

        def _open(self, *_, **__):
            raise RuntimeError("no credentials")  # as botocore's, which is no OSError

    fsspec.register_implementation("refusing", Refusing, clobber=True)
    monkeypatch.chdir(tmp_path)
    options = {"--out": str(tmp_path / "t.parquet"), option: place}
    words = [word for pair in options.items() for word in pair]
    assert deepcue(["extract", str(faceless), "--families", "blink", "--quiet", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert measured_names == []
    assert [path.name for path in tmp_path.iterdir()] == ["faceless"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["man", "--out", "man"], "man: is read by this command"),
        (["man", "--out", "talk/a.mp4"], "exists and is not a feature table"),
        (["man", "--out", "j", "--journal", "j"], "j: is read by this command"),
        (["man", "--out", "t.csv"], "is written as Parquet, not as .csv"),
    ],
)
def test_what_a_table_would_replace_is_refused_before_the_work(
    talk, tmp_path, capsys, monkeypatch, measured_names, options, said
):
    """Non-regression test: a manifest with its labels was replaced by a table."""
    monkeypatch.chdir(tmp_path)
    (manifest := tmp_path / "man").write_text("filename,label\ntalk/a.mp4,REAL\n")
    assert deepcue(["extract", *options, "--families", "blink", "--quiet"]) == 2
    assert said in capsys.readouterr().err
    assert measured_names == []
    assert manifest.read_text().startswith("filename")
    assert not (tmp_path / "j").exists()


@pytest.mark.usefixtures("measured_here")
def test_a_store_that_fails_at_the_end_is_one_sentence(faceless, tmp_path, capsys, monkeypatch):
    class Failing(MemoryFileSystem):
        protocol = "failing"

        def _open(self, path, mode="rb", **options):
            if path.endswith(".deepcue-probe"):
                return super()._open(path, mode, **options)
            raise RuntimeError("the token has expired")

    fsspec.register_implementation("failing", Failing, clobber=True)
    monkeypatch.chdir(tmp_path)
    assert (
        deepcue(["extract", str(faceless), "--families", "blink", "--quiet", *ONE, "--out", "failing://t.parquet"]) == 2
    )
    error = capsys.readouterr().err
    assert "can't be written (the token has expired); the results are kept in t.parquet.journal" in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("measured_here")
def test_a_url_that_went_through_a_path_is_one(faceless, tmp_path, monkeypatch):
    """Non-regression test: `memory:/new/t.parquet` was tried as a local file, and credentials were blamed."""
    monkeypatch.chdir(tmp_path)
    built = pipeline.extract(faceless, out=Path("memory://through/t.parquet"), families=["blink"])
    assert table.read_table("memory://through/t.parquet")["filename"].equals(built["filename"])
    assert not list(tmp_path.glob("memory:*"))


@pytest.mark.usefixtures("measured_here")
def test_a_store_whose_files_can_be_written_and_not_removed_is_written_to(faceless, tmp_path, monkeypatch):
    """Non-regression test: the right to delete, which archives do not give, was asked for before the work."""

    class Archive(MemoryFileSystem):
        protocol = "archive"
        store: ClassVar = {}

        def rm_file(self, path):
            raise PermissionError("DeleteObject")

    fsspec.register_implementation("archive", Archive, clobber=True)
    monkeypatch.chdir(tmp_path)
    assert (
        deepcue(["extract", str(faceless), "--families", "blink", "--quiet", *ONE, "--out", "archive://new/t.parquet"])
        == 0
    )
    assert {name.rpartition("/")[2] for name in Archive.store} == {"t.parquet", "t.parquet.deepcue-probe"}


@pytest.mark.usefixtures("measured_here")
def test_links_are_followed_and_names_may_hold_a_colon(faceless, tmp_path, monkeypatch):
    """Non-regression test: a link to a larger disk was replaced; `exp:1` was taken for a protocol after all work."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    for name in ("exp:1.parquet", "exp:1.parquet.journal"):
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
    assert deepcue(["extract", str(faceless), "--families", "blink", "--quiet", *ONE, "--out", "exp:1.parquet"]) == 0
    assert table.read_table("exp:1.parquet").num_rows == 2
    assert sorted(file.name for file in (tmp_path / "disk").iterdir()) == ["exp:1.parquet", "exp:1.parquet.journal"]
    assert all((tmp_path / name).is_symlink() for name in ("exp:1.parquet", "exp:1.parquet.journal"))


def test_another_run_can_not_begin_before_the_table_is_written(tmp_path, monkeypatch):
    """Non-regression test: the journal was free too early, and two runs met in the table's temporary file."""
    refused = []

    def write(*_, journal):
        with pytest.raises(DatasetError, match="another run uses this journal") as caught:
            Journal(Path(journal), {})
        refused.append(caught)

    monkeypatch.setattr(pipeline, "_measure", lambda *_, **__: {})
    monkeypatch.setattr(pipeline, "_table", lambda *_: None)
    monkeypatch.setattr(pipeline, "write", write)
    pipeline.extract([ClipEntry("a.mp4", "/a.mp4")], out=tmp_path / "t.parquet", families=["blink"])
    assert refused
    Journal(tmp_path / "t.parquet.journal", {}).close()


@pytest.mark.usefixtures("measured_here")
def test_a_disk_that_is_full_at_the_end_keeps_what_is_done(folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "t.parquet"

    def full(built, file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    arguments = ["extract", str(folder), "--out", str(out), "--families", "blink", "--quiet", *ONE]
    with monkeypatch.context() as patched:
        patched.setattr(table.pq, "write_table", full)
        assert deepcue(arguments) == 2
    assert f"--journal {out}.journal" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "t.parquet.journal"]
    seen = []
    engine_run = pipeline.engine.run
    monkeypatch.setattr(pipeline.engine, "run", lambda clips, *a, **k: seen.extend(clips) or engine_run(clips, *a, **k))
    other = ["--out", str(tmp_path / "other.parquet"), "--journal", f"{out}.journal"]
    assert deepcue(["extract", str(folder), *other, "--families", "blink", "--quiet"]) == 0
    assert not seen
