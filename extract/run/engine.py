"""Measure many clips in parallel: on this machine's cores, or on a Dask cluster.

Every thread (of this process or of a Dask worker) keeps one :class:`~extract.run.sandbox.Sandbox`, so clips are
measured by parallel single-threaded processes. A result depends only on its clip and the settings. Sandboxes belong to
a run: its end closes them on every machine, and no others.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
import uuid
from collections.abc import Generator, Sequence
from dataclasses import replace

import joblib

from extract.entries import ClipEntry
from extract.run import cluster
from extract.run.sandbox import STOPPED, Limits, Sandbox
from extract.run.worker import Result, Settings, failed, load_families
from features.errors import without_credentials
from features.reasons import Reason

NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")

_local = threading.local()
_lock = threading.Lock()
_sandboxes: dict[str, set[Sandbox]] = {}  # by run
_ended: set[str] = set()


def run(
    clips: Sequence[ClipEntry], settings: Settings, limits: Limits, *, jobs: int = 1, scheduler: str = ""
) -> Generator[Result, None, None]:
    """Yield results as they arrive, in no fixed order; closing the iterator stops the run at once.

    Log records of measuring processes are logged again here; texts that differ in numbers or the clip's name only, at
    level DEBUG, so that what fails on many clips shows its traceback once.

    Parameters
    ----------
    clips
        The clips; each is measured once.
    settings, limits
        What rows depend on, and the limits of one clip.
    jobs
        Measuring processes on this machine; ignored on a cluster, which has one for each thread of its workers.
    scheduler
        Address of a Dask scheduler; empty for this machine.

    Raises
    ------
    InputError
        No scheduler answers, a measuring process lacks a family, or this machine can't start another process.
    ClusterLostError
        The scheduler or every worker disconnected.
    """
    if not clips:
        return
    run_id = uuid.uuid4().hex
    measure = functools.partial(_measure, settings=settings, limits=limits, run_id=run_id)
    if scheduler:
        results = cluster.measured(
            clips,
            scheduler,
            measure,
            killed=lambda clip, why: failed(clip.filename, "crashed", why, settings.families, reason=Reason.CRASHED),
            end=functools.partial(_end, run_id),
        )
    else:
        parallel = joblib.Parallel(
            n_jobs=jobs, backend="threading", pre_dispatch="2*n_jobs", return_as="generator_unordered", batch_size=1
        )
        results = parallel(joblib.delayed(measure)(clip.filename, clip.path) for clip in clips)
    texts: set[tuple[str, str]] = set()
    try:
        for result in results:
            yield logged(result, texts)
    finally:
        _end(run_id)
        results.close()


def logged(result: Result, known_texts: set[tuple[str, str]] | None = None) -> Result:
    """Log the records of a result, texts like known ones at level DEBUG, and return the result without them."""
    known_texts = set() if known_texts is None else known_texts
    for record in result.log:
        kind = record.logger, kind_of(record.text, result.filename)
        known = kind in known_texts
        known_texts.add(kind)
        level = logging.DEBUG if known else record.level
        logging.getLogger(record.logger).log(level, "%s: %s", result.filename, without_credentials(record.text))
    return replace(result, log=()) if result.log else result


def kind_of(text: str, filename: str) -> str:
    """Return the part of a message about a clip that it shares with other clips: no name of it, and no numbers.

    >>> kind_of("part_1/a.mp4: died at 0x7f3a after 12 s", "part_1/a.mp4")
    ': died at # after # s'
    """
    return NUMBER.sub("#", text.replace(filename, ""))


def _measure(filename: str, path: str, settings: Settings, limits: Limits, run_id: str) -> Result:
    """Measure in this thread's sandbox of the run."""
    sandbox = _sandbox(settings, limits, run_id)
    if sandbox is None:
        return failed(filename, STOPPED.status, STOPPED.message, settings.families, reason=STOPPED.reason)
    return sandbox.measure(filename, path)


def _sandbox(settings: Settings, limits: Limits, run_id: str) -> Sandbox | None:
    """Return this thread's sandbox for the run; None when the run has ended."""
    run_before, sandbox = getattr(_local, "current", ("", None))
    if run_before == run_id and run_id not in _ended:
        return sandbox
    if sandbox is not None:  # from an earlier run whose end did not reach this worker
        sandbox.retire()
        with _lock:
            _sandboxes.get(run_before, set()).discard(sandbox)
    load_families(settings)  # this process builds the rows of failed clips
    with _lock:
        if run_id in _ended:
            _local.current = ("", None)
            return None
        sandbox = Sandbox(settings, limits)
        _sandboxes.setdefault(run_id, set()).add(sandbox)
    _local.current = (run_id, sandbox)
    return sandbox


def _end(run_id: str) -> None:
    """Stop the run in this process: start no further clip and terminate the measurements in progress."""
    with _lock:
        _ended.add(run_id)
        sandboxes = _sandboxes.pop(run_id, set())
    for sandbox in sandboxes:
        sandbox.retire()
