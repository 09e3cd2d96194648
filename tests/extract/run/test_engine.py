"""The engine under real faults: a crash, an endless loop, a memory blow-up cost one clip each."""

import errno
import json
import os
import pickle
import shutil
import threading
import types
from pathlib import Path

import numpy as np
import psutil
import pytest
from audio_maker import speech, write_wave
from events import wait_until

from artifacts import PRETRAINED
from extract.entries import ClipEntry
from extract.run import cluster, engine, worker
from extract.run.journal import RETRIED
from extract.run.messages import decode, encode
from extract.run.sandbox import Limits
from features.errors import InputError
from features.reasons import Reason

SETTINGS = worker.Settings(families=("blink",))
LIMITS = Limits()
FAULTS = str(Path(__file__).parent / "faults")


@pytest.fixture
def faulty(monkeypatch):
    """Measuring processes that fail on clips named for a fault."""
    monkeypatch.setenv("PYTHONPATH", FAULTS)


@pytest.fixture
def clips(make_clip, tmp_path):
    """Copies of a good clip, some named for a fault; those of audio ``alone`` need no detector."""

    def make(*names, face=True, alone=False):
        good = make_clip("good.mp4" if face else "faceless.mp4", n=20, face=face) if not alone else tmp_path / "audio"
        if alone:
            write_wave(good, speech(0.5))
        for name in names:
            shutil.copy(good, tmp_path / name)
        return [ClipEntry(name, str(tmp_path / name)) for name in names]

    return make


def run(clips, limits=LIMITS, settings=SETTINGS, **options):
    return {result.filename: result for result in engine.run(clips, settings, limits, **options)}


def children_of(besides=()):
    """Processes that this one started, and theirs."""
    return [child for child in psutil.Process().children(recursive=True) if child not in besides]


def test_a_result_survives_its_encoding_bit_for_bit():
    values = np.array([np.nan, -0.0, np.float32(1) / 3, np.inf, 1e-45], np.float32)
    result = worker.Result("ä.mp4", "ok", "", values, duration_s=1 / 3, n_frames=3, n_faces=1)
    back = decode(encode(result))
    assert back.values.tobytes() == values.tobytes()
    assert (back.filename, back.duration_s) == ("ä.mp4", 1 / 3)


def test_what_was_logged_and_the_codes_survive_the_encoding():
    log = (worker.LogRecord("features.measuring", 30, "Traceback\n  ..."),)
    result = worker.failed("a.mp4", "crashed", "why", ("blink",), reason=Reason.CRASHED, log=log)
    back = decode(json.loads(json.dumps(encode(result))))
    assert (back.log, back.reasons) == (log, {"clip": "crashed"})


def test_crashes_that_differ_in_addresses_show_their_traceback_once(caplog):
    """Non-regression test: of thousands of clips that crash alike, each showed twenty lines."""
    known = set()
    for number in range(3):
        text = f"died; its last output:\nCurrent thread 0x00007f{number}a (most recent call first)\n/data/{number}.mp4"
        record = worker.LogRecord("extract.run.sandbox", 30, text)
        result = worker.failed(f"{number}.mp4", "crashed", "why", ("blink",), reason=Reason.CRASHED, log=(record,))
        assert engine.logged(result, known).log == ()
    assert [message.split(":")[0] for message in caplog.messages] == ["0.mp4"]


@pytest.mark.usefixtures("faulty")
def test_a_fault_costs_its_own_clip_only(clips):
    names = ["a.mp4", "segfault.mp4", "b.mp4", "exit.mp4", "c.mp4"]
    results = run(clips(*names), jobs=2)
    assert sorted(results) == sorted(names)
    assert "SIGSEGV" in results["segfault.mp4"].error
    assert "exit status 3" in results["exit.mp4"].error
    for name in ("segfault.mp4", "exit.mp4"):
        assert (results[name].status, results[name].reasons) == ("crashed", {"clip": "crashed"})
    good = [results[f"{name}.mp4"] for name in "abc"]
    assert {result.status for result in good} == {"no_audio"}
    assert len({result.values.tobytes() for result in good}) == 1


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(
    ("name", "limits", "status", "reason", "words"),
    [
        ("loop", Limits(timeout_s=1), "timeout", Reason.TIMEOUT, "1 CPU seconds"),
        ("swell", Limits(memory_mb=900), "crashed", Reason.OUT_OF_MEMORY, "900 MB"),
    ],
)
def test_a_limit_ends_the_clip_that_exceeds_it(clips, name, limits, status, reason, words):
    result = run(clips(f"{name}.mp4"), limits)[f"{name}.mp4"]
    assert (result.status, result.reasons) == (status, {"clip": reason.value})
    assert words in result.error


@pytest.mark.usefixtures("faulty")
def test_a_clip_pays_for_no_memory_that_others_left_behind(clips):
    results = run(clips("a.mp4", "heir.mp4", "b.mp4"), Limits(memory_mb=900))
    assert {name: result.status for name, result in results.items()} == dict.fromkeys(results, "no_audio")


def test_results_do_not_depend_on_the_number_of_jobs_or_on_kept_observations(clips, tmp_path):
    made = clips("a.mp4", "b.mp4", "c.mp4")
    plain = worker.Settings(families=("quality",))  # some numbers are finite even in so short a clip
    keeping = worker.Settings(families=("quality",), observations=str(tmp_path / "kept"))
    two = run(made, jobs=2, settings=keeping)
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 3
    one, read = (
        {clip.filename: worker.measure(clip.filename, clip.path, how) for clip in made} for how in (plain, keeping)
    )
    assert np.isfinite(one["a.mp4"].values).sum() > 5
    for other in (two, read):
        assert {name: result.values.tobytes() for name, result in one.items()} == {
            name: result.values.tobytes() for name, result in other.items()
        }


def test_a_kept_observation_of_another_file_is_not_used(clips, make_clip, tmp_path):
    keeping = worker.Settings(families=("blink",), observations=str(tmp_path / "kept"))
    (clip,) = clips("a.mp4")
    before = worker.measure(clip.filename, clip.path, keeping)
    shutil.copy(make_clip("longer.mp4", n=33), clip.path)
    after = worker.measure(clip.filename, clip.path, keeping)
    assert (before.n_frames, after.n_frames) == (20, 33)


def test_a_damaged_observation_is_made_again(clips, tmp_path):
    keeping = worker.Settings(families=("blink",), observations=str(tmp_path / "kept"))
    (clip,) = clips("a.mp4")
    first = worker.measure(clip.filename, clip.path, keeping)
    kept = tmp_path / "kept" / "a.mp4.npz"
    kept.write_bytes(kept.read_bytes()[:1000])
    again = worker.measure(clip.filename, clip.path, keeping)
    assert first.values.tobytes() == again.values.tobytes()
    assert kept.stat().st_size > 1000


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(36, "File name too long")])
def test_an_observation_that_cannot_be_kept_costs_no_cue(clips, tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    (clip,) = clips("a.mp4")
    plain = worker.measure(clip.filename, clip.path, SETTINGS)
    monkeypatch.setattr("extract.run.observation_store.observation.dumps", lambda *_, **__: full())
    keeping = worker.Settings(families=("blink",), observations=str(tmp_path / "kept"))
    result = worker.measure(clip.filename, clip.path, keeping)
    assert result.values.tobytes() == plain.values.tobytes()
    assert result.status == "partial"
    assert result.reasons["observation"] == "not_kept"
    assert error.strerror in result.error


def test_a_clip_that_could_not_be_fetched_is_tried_again(clips, monkeypatch):
    def unplugged(*_, **__):
        raise OSError("the network is down")

    monkeypatch.setattr("extract.clip.decode.ClipReader", unplugged)
    (clip,) = clips("a.mp4")
    result = worker.measure(clip.filename, clip.path, SETTINGS)
    assert result.status in RETRIED
    assert result.reasons == {"clip": "not_fetched"}
    assert "the network is down" in result.error


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOTCONN, errno.ESTALE, errno.EIO])
def test_a_file_that_goes_before_it_is_opened_is_tried_again(clips, monkeypatch, code):
    """FFmpeg's errors of a share that is lost say nothing about the clip."""

    def lost(*_, **__):
        raise OSError(code, os.strerror(code))

    (clip,) = clips("a.mp4")
    monkeypatch.setattr("extract.clip.container.av.open", lost)
    result = worker.measure(clip.filename, clip.path, SETTINGS)
    assert result.status in RETRIED
    assert result.reasons == {"clip": "not_fetched"}


def test_a_process_with_other_weights_than_the_run_refuses_to_measure(clips, tmp_path, monkeypatch):
    """Non-regression test: with DEEPCUE_WEIGHTS on the client alone, the table named weights that were not used."""
    shutil.copy(PRETRAINED / "forensic_residual.safetensors", tmp_path / "forensic_cnn.safetensors")
    shipped = worker.with_digests(worker.Settings(families=("forensic_cnn",)))
    monkeypatch.setenv("DEEPFAKE_WEIGHTS", str(tmp_path))
    own = worker.with_digests(worker.Settings(families=("forensic_cnn",)))
    assert own.digests != shipped.digests
    (clip,) = clips("a.mp4", face=False)
    assert run([clip], settings=own)["a.mp4"].status == "no_face"
    with pytest.raises(InputError, match=r"has other weights of forensic_cnn .*; put those there, or set DEEPFAKE_"):
        run([clip], settings=shipped)
    monkeypatch.delenv("DEEPFAKE_WEIGHTS")
    with pytest.raises(InputError, match="has other weights of forensic_cnn"):
        run([clip], settings=own)


def test_too_many_open_files_end_a_run_in_one_sentence_and_are_a_row_on_a_cluster(clips, monkeypatch):
    """Non-regression test: it was a traceback, and a fault of deepcue."""

    def refuse(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    (clip,) = clips("a.mp4")
    monkeypatch.setattr("extract.run.sandbox.subprocess.Popen", refuse)
    with pytest.raises(InputError, match=r"^no measuring process .*Too many open files\); give fewer --jobs") as caught:
        run([clip])
    arrived = pickle.loads(pickle.dumps(caught.value))  # from a Dask worker
    assert type(caught.value).__new__(type(caught.value))  # as tblib, if it is imported, builds exceptions
    future = types.SimpleNamespace(status="error", result=lambda: _raised(arrived))
    assert cluster._result(future, clip, None, killed=lambda clip, why: (clip, why)) == (
        clip,
        f"a Dask worker could not measure it ({arrived})",
    )


def _raised(error):
    raise error


@pytest.mark.usefixtures("faulty")
def test_closing_the_run_ends_its_processes(clips):
    before = children_of()  # of other tests
    stream = engine.run(clips("a.mp4", "loop1.mp4", "loop2.mp4", "b.mp4", alone=True), SETTINGS, LIMITS, jobs=2)
    next(stream)
    children = children_of(besides=before)
    assert children
    stream.close()
    wait_until(lambda: not any(child.is_running() for child in children))


@pytest.mark.usefixtures("faulty")
def test_closing_one_run_leaves_another_of_the_process_to_complete(clips):
    held, other = clips("hold.mp4", "other.mp4", alone=True)
    results = {}
    thread = threading.Thread(target=lambda: results.update(run([held])))
    thread.start()
    wait_until(Path(f"{held.path}.begun").exists)
    stream = engine.run([other, other], SETTINGS, LIMITS)
    next(stream)
    stream.close()
    Path(f"{held.path}.go").touch()
    thread.join()
    assert results["hold.mp4"].status == "no_face"


def test_a_thread_that_outlives_its_runs_keeps_no_process_of_an_earlier_one(clips):
    """As a Dask worker's thread does when the end of a run did not reach it."""
    (clip,) = clips("a.mp4", alone=True)
    before = children_of()
    engine._measure(clip.filename, clip.path, SETTINGS, LIMITS, "one")
    first = children_of(besides=before)
    engine._measure(clip.filename, clip.path, SETTINGS, LIMITS, "two")
    second = children_of(besides=[*before, *first])
    assert len(first) == len(second) == 1
    assert not first[0].is_running()
    engine._end("two")
    assert not second[0].is_running()
    assert engine._measure(clip.filename, clip.path, SETTINGS, LIMITS, "two").reasons == {"clip": "stopped"}
    engine._end("one")
    assert not {"one", "two"} & engine._sandboxes.keys()


@pytest.mark.parametrize("name", ["empty.mp4", "text.mp4"])
def test_what_is_no_clip_gets_a_row(tmp_path, name):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("hello")
    result = worker.measure(name, str(tmp_path / name), SETTINGS)
    assert result.status == "unreadable"
    assert result.error
    assert result.reasons == {"clip": "unreadable"}
    share = result.values[worker.column_names(("blink",)).index("blink.valid_share")]
    assert share == 0.0
    assert np.isnan(result.values).sum() == len(result.values) - 1
