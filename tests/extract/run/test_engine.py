"""The engine under real faults: a crash, an endless loop, a memory blow-up cost one clip each."""

import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest

from extract.dataset import Clip
from extract.run import engine, worker
from extract.run.journal import RETRIED
from extract.run.sandbox import Limits, Sandbox, decode, encode

SETTINGS = worker.Settings(families=("blink",))
LIMITS = Limits(timeout_s=60, memory_mb=2048)
FAULTS = str(Path(__file__).parent / "faults")


@pytest.fixture
def faulty(monkeypatch):
    """Measuring processes that fail on clips named for a fault."""
    monkeypatch.setenv("PYTHONPATH", FAULTS)


@pytest.fixture
def clips(make_clip, tmp_path):
    """Four copies of a good clip, and room for named faults among them."""

    def make(*names):
        good = make_clip("good.mp4", n=20)
        for name in names:
            shutil.copy(good, tmp_path / name)
        return [Clip(name, str(tmp_path / name)) for name in names]

    return make


def run(clips, limits=LIMITS, settings=SETTINGS, **options):
    return {result.filename: result for result in engine.run(clips, settings, limits, **options)}


def test_a_result_survives_its_encoding_bit_for_bit():
    values = np.array([np.nan, -0.0, np.float32(1) / 3, np.inf, 1e-45], np.float32)
    result = worker.Result("ä.mp4", "ok", "", values, duration_s=1 / 3, n_frames=3, n_faces=1)
    back = decode(encode(result))
    assert back.values.tobytes() == values.tobytes()
    assert (back.filename, back.duration_s) == ("ä.mp4", 1 / 3)


@pytest.mark.usefixtures("faulty")
def test_a_fault_costs_its_own_clip_only(clips):
    names = ["a.mp4", "segfault.mp4", "b.mp4", "exit.mp4", "c.mp4", "loop.mp4", "d.mp4", "swell.mp4", "e.mp4"]
    results = run(
        clips(*names), Limits(timeout_s=12, memory_mb=1200), jobs=2
    )  # a first clip, with models to load, may take 6
    assert sorted(results) == sorted(names)
    assert {name: results[f"{name}.mp4"].status for name in ("segfault", "exit", "loop", "swell")} == {
        "segfault": "crashed",
        "exit": "crashed",
        "loop": "timeout",
        "swell": "crashed",
    }
    assert "SIGSEGV" in results["segfault.mp4"].error
    assert "exit status 3" in results["exit.mp4"].error
    assert "12 CPU seconds" in results["loop.mp4"].error
    assert "1200 MB" in results["swell.mp4"].error
    good = [results[f"{name}.mp4"] for name in "abcde"]
    assert {result.status for result in good} == {"no_audio"}
    assert len({result.values.tobytes() for result in good}) == 1


def test_results_do_not_depend_on_the_number_of_jobs_or_on_kept_observations(clips, tmp_path):
    made = clips("a.mp4", "b.mp4", "c.mp4")
    one, two = run(made, jobs=1), run(made, jobs=2)
    keeping = worker.Settings(families=("blink",), observations=str(tmp_path / "kept"))
    written, read = run(made, settings=keeping), run(made, settings=keeping)
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 3
    for other in (two, written, read):
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


def test_a_damaged_observation_is_made_anew(clips, tmp_path):
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
    assert error.strerror in result.error


def test_a_clip_that_could_not_be_fetched_is_tried_again(clips, monkeypatch):
    def unplugged(*_, **__):
        raise OSError("the network is down")

    monkeypatch.setattr("extract.clip.decode.Clip", unplugged)
    (clip,) = clips("a.mp4")
    result = worker.measure(clip.filename, clip.path, SETTINGS)
    assert result.status in RETRIED
    assert "the network is down" in result.error


@pytest.mark.usefixtures("faulty")
def test_closing_the_run_ends_its_processes(clips):
    before = psutil.Process().children(recursive=True)  # of other tests
    stream = engine.run(clips("a.mp4", "loop1.mp4", "loop2.mp4", "b.mp4"), SETTINGS, LIMITS, jobs=2)
    next(stream)
    children = [one for one in psutil.Process().children(recursive=True) if one not in before]
    assert children
    stream.close()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


@pytest.mark.parametrize("name", ["empty.mp4", "text.mp4", "missing.mp4"])
def test_what_is_no_clip_gets_a_row(tmp_path, name):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("hello")
    result = worker.measure(name, str(tmp_path / name), SETTINGS)
    assert result.status == "unreadable"
    assert result.error
    share = result.values[worker.column_names(("blink",)).index("blink.valid_share")]
    assert share == 0.0
    assert np.isnan(result.values).sum() == len(result.values) - 1


def test_a_sandbox_that_cannot_start_says_how_to_look(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    result = Sandbox(SETTINGS, LIMITS).measure("a.mp4", "/a.mp4")
    assert result.status == "crashed"
    assert "does not start" in result.error
