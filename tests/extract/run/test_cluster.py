"""Many machines, for real on loopback: a Dask cluster that loses a worker, and an S3 server."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from audio_maker import speech, write_wave
from events import PATIENCE_S, wait_until
from measured_here import measure_here
from plug_in import MODULE, write_plug_in

from deepcue.cli.main import main as deepcue
from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.run import cluster as run_cluster
from extract.run.cluster import ClusterLostError
from extract.run.observation_store import ObservationStore
from features import table
from features.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
FAULTS = str(Path(__file__).parent / "faults")
SECRET = "not-to-be-seen-anywhere"


def data_set(folder, clip, n_clips):
    """Copies of a clip in the folder, and a file that is no clip."""
    folder.mkdir()
    for number in range(n_clips):
        shutil.copy(clip, folder / f"clip{number:02}.mp4")
    (folder / "broken.mp4").write_bytes(b"broken")
    return folder


@pytest.fixture
def folder(make_clip, tmp_path):
    """Clips with a face, of which every cue is measured."""
    return data_set(tmp_path / "data", make_clip("cluster.mp4", n=25, tone_s=1.0), 8)


@pytest.fixture
def recordings(tmp_path):
    """Audio-only clips: a measuring process starts in half the time without detectors."""
    return data_set(tmp_path / "data", write_wave(tmp_path / "audio", speech(0.5)), 3)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where the workers find a package with a family that measures audio."""
    text = MODULE.replace('"picture"', '"sound"').replace("observation.times_s", "observation.audio")
    return write_plug_in(tmp_path_factory.mktemp("cluster") / "site", "theirs", text=text)


@pytest.fixture(scope="module")
def cluster(site):
    """A cluster whose processes every test leaves alive; those that need it come last: it costs as long as it runs."""
    with running_cluster(site) as one:
        yield one


@pytest.fixture
def own_cluster(site):
    """A cluster that a test may break."""
    with running_cluster(site) as one:
        yield one


@contextlib.contextmanager
def running_cluster(site):
    """Address of a scheduler with two single-threaded workers, and the workers' processes."""
    distributed = pytest.importorskip("distributed")
    address = f"tcp://127.0.0.1:{free_port()}"
    path = os.pathsep.join([str(ROOT), FAULTS, str(site)])
    environment = os.environ | {
        "PYTHONPATH": path,
        "DASK_DISTRIBUTED__ADMIN__LOG_LEVEL": "error",
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",  # it looks a hundred times a second
    }
    common = {"env": environment, "cwd": site.parent, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    port = address.rsplit(":", 1)[1]
    scheduler = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    worker = [sys.executable, "-m", "dask", "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(subprocess.Popen(one, **common)) for one in (scheduler, worker, worker)]
        with distributed.Client(address, set_as_default=False, timeout=PATIENCE_S) as client:
            client.wait_for_workers(2, timeout=PATIENCE_S)
        yield address, processes[1:]
        for process in processes:
            process.kill()


def extract(data, out, *options, families="blink"):
    return deepcue(["extract", str(data), "--out", str(out), "--families", families, "--quiet", *options])


def extract_apart(data, out, address, *, families="blink", path=""):
    """The command as a process of its own, on a cluster."""
    arguments = [str(data), "--out", str(out), "--families", families, "--quiet", "--scheduler", address]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "extract" / "extract_all.py"), *arguments],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background ignores interrupts, and its children would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def children(processes):
    return [child for process in processes for child in psutil.Process(process.pid).children(recursive=True)]


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_local_table(folder, own_cluster, tmp_path, monkeypatch):
    measure_here(monkeypatch)
    address, workers = own_cluster
    local, far = tmp_path / "local.parquet", tmp_path / "far.parquet"
    assert extract(folder, local, "--jobs", "1") == 0
    journal = Path(f"{far}.journal")
    run = extract_apart(folder, far, address)
    wait_until(lambda: journal.is_file() and journal.read_bytes().count(b"\n") >= 3)
    workers[0].kill()
    _, error = run.communicate()
    assert run.returncode == 0, error
    assert far.read_bytes() == local.read_bytes()


@pytest.fixture
def scheduler(monkeypatch):
    """A scheduler in this process, without a worker at first."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(run_cluster, "LOOK_EVERY_S", 0.05)
    with distributed.LocalCluster(n_workers=0, threads_per_worker=1, processes=False, dashboard_address=None) as one:
        yield one


def clips_of(*names):
    return [ClipEntry(f"{name}.mp4", f"/{name}.mp4") for name in names]


def results_on(scheduler, measure, names, killed=None):
    stream = run_cluster.measured(
        clips_of(*names), scheduler.scheduler_address, measure, killed=killed or (lambda clip, why: why), end=int
    )
    return list(stream)


another_measures = threading.Event()


def wait_for_another_worker(filename, _):
    """In a worker: the first clip ends when another one does."""
    import distributed

    if filename == "a.mp4":
        assert another_measures.wait(60)
    else:
        another_measures.set()
    return distributed.get_worker().name, filename


def test_the_first_worker_is_waited_for_and_later_ones_are_used(scheduler, caplog):
    """Non-regression test: without a worker a traceback, with one of one thread the client measured all by itself."""

    def grow():
        wait_until(lambda: "has no worker; waiting" in caplog.text)
        scheduler.scale(1)
        wait_until(lambda: len(scheduler.scheduler.tasks) > 0)
        scheduler.scale(2)

    thread = threading.Thread(target=grow)
    thread.start()
    results = results_on(scheduler, wait_for_another_worker, "abcdefgh")
    thread.join()
    assert sorted(name for _, name in results) == [f"{name}.mp4" for name in "abcdefgh"]
    assert len({worker for worker, _ in results}) == 2


def test_without_a_worker_a_run_ends_in_a_sentence(scheduler, monkeypatch):
    monkeypatch.setattr(run_cluster, "WORKER_WAIT_S", 0.2)
    with pytest.raises(ClusterLostError, match=r"has had no worker for 0.2 s; start some with `dask worker"):
        results_on(scheduler, int, "a")


def test_a_clip_whose_workers_die_too_often_is_a_row(scheduler):
    """Non-regression test: the run waited for it for ever."""
    import distributed

    def measure(filename, _):
        if filename == "b.mp4":
            raise distributed.KilledWorker("b.mp4", SimpleNamespace(address="tcp://10.0.0.9:1"), 3)
        return filename

    scheduler.scale(1)
    results = results_on(scheduler, measure, "abc", killed=lambda clip, why: f"{clip.filename} {why}")
    assert sorted(results)[:1] + sorted(results)[2:] == ["a.mp4", "c.mp4"]
    assert "every Dask worker that measured it died" in sorted(results)[1]


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_takes_no_other_with_it(monkeypatch):
    """Non-regression test: clips that waited on the dead worker were `crashed`, and those in line were lost."""
    distributed = pytest.importorskip("distributed")
    import dask

    monkeypatch.setattr(run_cluster, "LOOK_EVERY_S", 0.05)

    def measure(filename, _):
        import os

        if filename == "a.mp4":
            os._exit(9)
        return filename

    one_thread = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), distributed.LocalCluster(**one_thread) as one:
        results = results_on(one, measure, "abcde", killed=lambda clip, why: f"killed {clip.filename}")
    assert sorted(results) == ["b.mp4", "c.mp4", "d.mp4", "e.mp4", "killed a.mp4"]


def test_what_fails_on_a_worker_is_not_the_schedulers(scheduler):
    def measure(filename, _):
        if filename == "b.mp4":
            raise BlockingIOError("Resource temporarily unavailable")
        return filename

    scheduler.scale(1)
    results = results_on(scheduler, measure, "abc", killed=lambda clip, why: f"{clip.filename}: {why}")
    assert sorted(results)[::2] == ["a.mp4", "c.mp4"]
    assert "could not measure it (Resource temporarily unavailable)" in sorted(results)[1]


def test_what_a_worker_refuses_ends_the_run(scheduler):
    def measure(*_):
        raise InputError("no such family here")

    scheduler.scale(1)
    with pytest.raises(InputError, match="no such family here"):
        results_on(scheduler, measure, "abc")


@pytest.mark.slow
def test_a_scheduler_that_dies_is_one_sentence_that_names_the_journal(recordings, own_cluster, tmp_path):
    """Non-regression test: it was a traceback."""
    address, _ = own_cluster
    shutil.copy(recordings / "clip00.mp4", recordings / "hold.mp4")  # so that the run is not done before
    run = extract_apart(recordings, tmp_path / "t.parquet", address)
    journal = tmp_path / "t.parquet.journal"
    wait_until(lambda: journal.is_file() and journal.read_bytes().count(b"\n") >= 3)
    os.kill(scheduler_of(address), signal.SIGKILL)
    _, error = run.communicate()
    assert run.returncode == 2, error
    (sentence,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert f"--scheduler {address}: the scheduler is gone" in sentence
    assert f"the results are kept in {journal}: run the same command again to resume" in sentence
    assert "Traceback" not in error, error


def scheduler_of(address):
    """Process of the scheduler of the address."""
    port = address.rsplit(":", 1)[1]
    (found,) = [child.pid for child in psutil.Process().children() if {"scheduler", port} <= set(child.cmdline())]
    return found


def test_an_absent_scheduler_is_one_sentence_and_exit_2(recordings, tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        assert extract(recordings, tmp_path / "t.parquet", "--scheduler", f"tcp://127.0.0.1:{free_port()}") == 2
    error = capsys.readouterr().err
    assert "no Dask scheduler" in error


@pytest.fixture
def bucket(monkeypatch):
    """URL and endpoint of a bucket on a real S3 server process, credentials in the environment only."""
    pytest.importorskip("s3fs")
    moto_server = pytest.importorskip("moto.server")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port())
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem(endpoint_url=endpoint)
    if fs.exists("challenge"):  # the server's memory is the process's
        fs.rm("challenge", recursive=True)
    fs.mkdir("challenge")
    yield "s3://challenge", endpoint, fs
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_clips_observations_and_table_on_object_storage(folder, bucket, tmp_path, capfd, monkeypatch):
    url, endpoint, fs = bucket
    for path in sorted(folder.iterdir())[:4]:
        fs.put_file(str(path), f"challenge/train/{path.name}")
    options = ["--endpoint-url", endpoint, "--observations", f"{url}/observations", "--journal", str(tmp_path / "j")]
    assert extract(f"{url}/train", f"{url}/features.parquet", "--jobs", "1", *options) == 0
    fs.get_file("challenge/features.parquet", str(tmp_path / "got.parquet"))
    got = table.read_table(tmp_path / "got.parquet")
    small = tmp_path / "small"
    small.mkdir()
    for path in sorted(folder.iterdir())[:4]:
        shutil.copy(path, small / path.name)
    measure_here(monkeypatch)
    assert extract(small, tmp_path / "local.parquet", "--jobs", "1") == 0
    table.write_table(got, tmp_path / "far.parquet")
    assert (tmp_path / "far.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()  # NaN equals NaN
    kept = fs.find("challenge/observations")
    assert sorted(name.rsplit("/", 1)[1] for name in kept) == ["clip00.mp4.npz", "clip01.mp4.npz", "clip02.mp4.npz"]
    shown = "".join(capfd.readouterr()) + (tmp_path / "j").read_text()
    assert SECRET not in shown
    assert all(SECRET.encode() not in fs.cat_file(name) for name in fs.find("challenge"))


def test_clips_on_object_storage_are_found_with_their_metadata(bucket):
    url, endpoint, fs = bucket
    fs.pipe_file("challenge/part/metadata.json", b'{"a.mp4": {"label": "FAKE"}}')
    fs.pipe_file("challenge/part/a.mp4", b"x")
    (clip,) = find_clips(url, {"endpoint_url": endpoint})
    assert (clip.filename, clip.label, clip.path) == ("part/a.mp4", "FAKE", "s3://challenge/part/a.mp4")


def test_fingerprints_come_from_the_listing_and_not_from_a_request_for_each_clip(bucket):
    import s3fs

    url, endpoint, fs = bucket
    fs.pipe({"challenge/train/a.mp4": b"123", "challenge/train/deep/b.mp4": b"1234"})
    clips = find_clips(f"{url}/train", {"endpoint_url": endpoint})
    s3fs.S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True).rm("challenge/train", recursive=True)
    store = ObservationStore("", {"endpoint_url": endpoint})
    assert [store.key(clip.path, 9.0).split(":")[0] for clip in clips] == ["3", "4"]  # though they are gone


@pytest.mark.slow
def test_no_measuring_process_outlives_its_run_on_a_cluster(recordings, cluster, site, tmp_path):
    """Two runs on the same workers, one of a package's family; then one that is interrupted."""
    address, workers = cluster
    assert extract(recordings, tmp_path / "one.parquet", "--scheduler", address) == 0
    assert children(workers) == []
    run = extract_apart(recordings, tmp_path / "two.parquet", address, families="mycue", path=str(site))
    assert run.communicate()[1] == ""
    assert run.returncode == 0
    assert table.read_table(tmp_path / "two.parquet")["mycue.frames_n"].to_pylist()[1:] == [8000.0] * 3
    assert children(workers) == []
    held = [recordings / f"hold{number}.mp4" for number in range(2)]
    for path in held:
        shutil.copy(recordings / "clip00.mp4", path)
    run = extract_apart(recordings, tmp_path / "three.parquet", address)
    wait_until(lambda: all(Path(f"{path}.begun").exists() for path in held))
    assert len(children(workers)) == 2
    run.send_signal(signal.SIGINT)
    _, error = run.communicate()
    assert run.returncode == 130, error
    wait_until(lambda: children(workers) == [])


@pytest.mark.slow
def test_a_package_that_workers_lack_is_one_sentence_and_exit_2(recordings, cluster, tmp_path):
    address, workers = cluster
    package = str(write_plug_in(tmp_path / "other_site", "theirs_too", family="yours"))
    run = extract_apart(recordings, tmp_path / "t.parquet", address, families="yours", path=package)
    _, error = run.communicate()
    assert run.returncode == 2, error
    assert "no family is called 'yours'" in error
    assert "a measuring process can't find it: install the family's package there" in error
    assert error.count("\n") == 1
    wait_until(lambda: children(workers) == [])


@pytest.mark.slow
def test_sigterm_ends_the_measuring_of_a_run_as_an_interrupt_does(recordings, cluster, tmp_path):
    address, workers = cluster
    held = [recordings / f"hold{number}.mp4" for number in range(2)]
    for path in held:
        shutil.copy(recordings / "clip00.mp4", path)
    run = extract_apart(recordings, tmp_path / "t.parquet", address)
    wait_until(lambda: all(Path(f"{path}.begun").exists() for path in held))
    run.send_signal(signal.SIGTERM)
    _, error = run.communicate()
    assert run.returncode == 130, error
    assert "run the same command again to resume" in error
    wait_until(lambda: children(workers) == [])
