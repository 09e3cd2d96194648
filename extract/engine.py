"""Many clips at once: on this machine's cores, or on a Dask cluster through joblib's Dask backend.

Every thread (or Dask worker thread) keeps one :class:`~extract.sandbox.Sandbox`, so the parallelism is that of
processes, one clip each, one thread each. A result depends on its clip and the settings alone.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import joblib

from extract.dataset import Clip
from extract.sandbox import Limits, Sandbox
from extract.worker import Result, Settings, failed

_local = threading.local()
_stopping = threading.Event()
_sandboxes: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def run(
    clips: Sequence[Clip], settings: Settings, limits: Limits, *, jobs: int = 1, scheduler: str = ""
) -> Generator[Result, None, None]:
    """Results as they come, in no fixed order; closing the iterator ends all measuring at once."""
    if not clips:
        return
    with _backend(scheduler, jobs) as parallel:
        results = parallel(joblib.delayed(_measure)(clip.filename, clip.path, settings, limits) for clip in clips)
        try:
            yield from results
        finally:
            _stopping.set()
            close_all()
            results.close()
            _stopping.clear()


@contextlib.contextmanager
def _backend(scheduler: str, jobs: int) -> Iterator[joblib.Parallel]:
    options: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
    if not scheduler:
        yield joblib.Parallel(n_jobs=jobs, backend="threading", pre_dispatch="2*n_jobs", **options)
        return
    from distributed import Client

    with Client(scheduler) as client, joblib.parallel_config(backend="dask", client=client):
        yield joblib.Parallel(n_jobs=-1, pre_dispatch="4*n_jobs", **options)


def _measure(filename: str, path: str, settings: Settings, limits: Limits) -> Result:
    """Measure in this thread's sandbox; another one is started when the settings change."""
    if _stopping.is_set():
        return failed(filename, "crashed", "the run was stopped", settings.families)
    if getattr(_local, "made_for", None) != (settings, limits):
        if getattr(_local, "sandbox", None) is not None:
            _local.sandbox.close()
        _local.sandbox, _local.made_for = Sandbox(settings, limits), (settings, limits)
        _sandboxes.add(_local.sandbox)
    return _local.sandbox.measure(filename, path)


def close_all() -> None:
    """End every sandbox of this process; each is started anew when next needed."""
    for sandbox in list(_sandboxes):
        sandbox.close()
