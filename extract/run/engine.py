"""Many clips at once: on this machine's cores, or on a Dask cluster through joblib's Dask backend.

Every thread (of this process or of a Dask worker) keeps one :class:`~extract.run.sandbox.Sandbox`, so the parallelism
is that of processes, one clip each, one thread each. A result depends on its clip and the settings alone.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import joblib

from extract.dataset import Clip
from extract.run.sandbox import Limits, Sandbox
from extract.run.worker import Result, Settings, failed
from features.errors import InputError

_local = threading.local()
_sandboxes: list[Sandbox] = []
_ended: set[str] = set()


def run(
    clips: Sequence[Clip], settings: Settings, limits: Limits, *, jobs: int = 1, scheduler: str = ""
) -> Generator[Result, None, None]:
    """Results as they come, in no fixed order; closing the iterator ends all measuring at once."""
    if not clips:
        return
    run_id = uuid.uuid4().hex
    with _backend(scheduler, jobs) as parallel:
        task = joblib.delayed(_measure)
        results = parallel(task(clip.filename, clip.path, settings, limits, run_id) for clip in clips)
        try:
            yield from results
        finally:
            _end(run_id)
            results.close()


@contextlib.contextmanager
def _backend(scheduler: str, jobs: int) -> Iterator[joblib.Parallel]:
    options: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
    if not scheduler:
        yield joblib.Parallel(n_jobs=jobs, backend="threading", pre_dispatch="2*n_jobs", **options)
        return
    with _client(scheduler) as client, joblib.parallel_config(backend="dask", client=client):
        yield joblib.Parallel(n_jobs=-1, pre_dispatch="4*n_jobs", **options)


def _client(scheduler: str) -> Any:
    try:
        from distributed import Client

        return Client(scheduler)
    except ImportError as error:
        raise InputError("--scheduler needs dask and distributed: pip install 'deepfake-detector[dask]'") from error
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error}); start one") from error


def _measure(filename: str, path: str, settings: Settings, limits: Limits, run_id: str) -> Result:
    """Measure in this thread's sandbox; every run has its own."""
    if run_id in _ended:
        return failed(filename, "crashed", "the run was stopped", settings.families)
    if getattr(_local, "run_id", None) != run_id:
        _local.run_id, _local.sandbox = run_id, Sandbox(settings, limits)
        _sandboxes.append(_local.sandbox)
    return _local.sandbox.measure(filename, path)


def _end(run_id: str) -> None:
    """Let no clip of the run start any more, and end what is being measured."""
    _ended.add(run_id)
    while _sandboxes:
        _sandboxes.pop().retire()
