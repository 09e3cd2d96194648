"""From a data set to a feature table: measure the missing clips, and give every clip its row."""

from __future__ import annotations

import logging
import math
import numbers
import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.output_places import check_places, journal_of, write
from extract.run import engine, worker
from extract.run.cluster import ClusterLostError
from extract.run.examiner import Examiner
from extract.run.journal import Journal
from extract.run.observation_store import ObservationStore
from extract.run.sandbox import Limits
from features import discovery, spec, table
from features.errors import DatasetError, InputError
from features.evidence import FACES_PER_SECOND, ClipEvidence
from features.observation import OBSERVATION_VERSION, Observation
from features.places import as_path, read_errors, url_of
from features.reasons import OBSERVATION, Reason
from features.threads import usable_cores

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 1024  # rows that are turned into columns together
FAILURES = frozenset({"unreadable", "crashed", "timeout"})

Progress = Callable[[int, int, int], None]
"""Called once at the start and after every clip with the numbers of clips done, of all clips, and of failed clips.

Clips and failures of earlier runs are counted from the start."""


def extract(
    data: str | Path | Sequence[ClipEntry],
    *,
    out: str | Path | None = None,
    families: Iterable[str] | None = None,
    jobs: int = 1,
    observations: str | Path = "",
    journal: str | Path | None = None,
    fresh: bool = False,
    limits: Limits | None = None,
    max_seconds: float = worker.MAX_SECONDS,
    scheduler: str = "",
    storage_options: Mapping[str, Any] | None = None,
    weights: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """Measure the clips of a data set that are not measured yet, and return the feature table.

    Its parameters, result and errors are those of :func:`deepcue.extract`, and:

    Parameters
    ----------
    data
        As there, or the entries of clips.
    journal
        Journal to use instead of the default one (:func:`extract.output_places.journal_of`). Only one run at a time can
        use a journal. A journal written with other families, weights or limits is kept as ``<journal>.<digest>`` and
        used by the next run with those.

    Raises
    ------
    InputError
        Also where measuring processes can't import a family.

    Notes
    -----
    Clips are measured in child processes; global state of this process is unchanged. Their log records, with
    tracebacks, are logged again here by the loggers of the same modules.
    """
    options = dict(storage_options or {})
    chosen = discovery.families(families)
    limits = limits or Limits()
    if not (isinstance(jobs, numbers.Integral) and (jobs >= 1 or jobs == -1)):
        raise InputError(f"jobs = {jobs!r}: must be a whole number above 0, or -1 for one per core")
    jobs = usable_cores() if jobs == -1 else jobs
    check_numbers(max_seconds=max_seconds)
    observations = as_path(url_of(observations) or os.fspath(observations))
    out = None if out is None else url_of(out) or os.fspath(out)
    named = [os.fspath(data)] if isinstance(data, (str, Path)) else []
    check_places(out, observations, journal, options, inputs=named)
    clips = find_clips(named[0], options) if isinstance(data, (str, Path)) else list(data)
    if not clips:
        raise DatasetError("no clip to measure: the list is empty")
    settings = worker.with_digests(
        worker.Settings(
            families=tuple(family.name for family in chosen),
            max_seconds=float(max_seconds),
            observations=_absolute(observations),
            storage_options=options,
            weights=_absolute_each(weights),
            modules=_modules(chosen),
        )
    )
    notes = _journal(journal, out, settings, fresh=fresh)
    try:
        results = _measure(clips, settings, notes, limits, jobs=jobs, scheduler=scheduler, progress=progress)
        built = _table(clips, results, settings)
        if out is not None:
            write(built, out, options, journal=str(notes.file) if notes is not None else "")
    finally:
        if notes is not None:
            notes.close()  # after the table is written, so that no other run writes the table at the same time
    return built


def examine(
    clip: ClipEntry,
    *,
    families: Iterable[str] | None = None,
    faces_per_second: float = FACES_PER_SECOND,
    show_faces: bool = True,
    limits: Limits | None = None,
    max_seconds: float = worker.MAX_SECONDS,
    weights: Mapping[str, Path] | None = None,
) -> tuple[pa.Table, ClipEvidence | None]:
    """Measure one clip in a child process, with the evidence that its page shows beside the verdict.

    Parameters
    ----------
    clip
        Name and path of the clip.
    families
        Families of the table; all by default. The evidence has the cues and series of every family, except families
        defined in a notebook.
    faces_per_second
        Faces of each person and second that the networks score for the evidence.
    show_faces
        Whether the evidence has images; without, no pixel of the clip is kept.
    limits
        Maximum CPU seconds and memory for row and evidence together.
    max_seconds
        Analyse at most this many seconds of the clip, from its start.
    weights
        Maps a family to a weights file that replaces the one in use.

    Returns
    -------
    table : pyarrow.Table
        One row, the same as from :func:`extract`.
    evidence : ClipEvidence or None
        None where it could not be produced; the row's ``status`` and ``error`` give the reason.

    Raises
    ------
    InputError
        A family or a number can't be used.
    """
    limits = limits or Limits()
    check_numbers(max_seconds=max_seconds, faces_per_second=faces_per_second)
    chosen = discovery.families(families)
    # a family that is defined in a notebook has no evidence
    others = [family for family in discovery.families() if family.module != "__main__"]
    settings = worker.with_digests(
        worker.Settings(
            families=tuple(family.name for family in chosen),
            max_seconds=float(max_seconds),
            weights=_absolute_each(weights),
            modules=tuple(sorted({*_modules(chosen), *_modules(others)})),
        )
    )
    examiner = Examiner(settings, limits, faces_per_second=float(faces_per_second), show_faces=show_faces)
    try:
        result, evidence = examiner.measure(clip.filename, clip.path)
    finally:
        examiner.close()
    return table_of_result(clip, engine.logged(result), settings), evidence


def table_of(
    clip: ClipEntry, observed: Observation, *, families: Iterable[str], weights: Mapping[str, Path], max_seconds: float
) -> pa.Table:
    """Return the table of one clip observed in this process, with the same row as from :func:`extract`."""
    files = {family: str(file) for family, file in weights.items()}
    settings = worker.with_digests(worker.Settings(tuple(families), max_seconds=float(max_seconds), weights=files))
    return table_of_result(clip, worker.row(clip.filename, observed, settings), settings)


def table_of_result(clip: ClipEntry, result: worker.Result, settings: worker.Settings) -> pa.Table:
    """Return the table of one clip that was already measured with these settings."""
    return _table([clip], {clip.filename: result}, settings)


def _modules(chosen: Iterable[spec.Family]) -> tuple[str, ...]:
    """Return the modules that a measuring process must import for the families; refuse those that it can't import."""
    modules = discovery.undiscovered_modules(chosen)
    if "__main__" in modules:
        names = ", ".join(family.name for family in chosen if family.module == "__main__")
        raise InputError(
            f"families {names}: defined in this notebook or script, which measuring processes can't import; write them "
            "into a module and import that, or measure clip by clip with deepcue.features"
        )
    return modules


def check_numbers(**given: float) -> None:
    """Refuse options, by their names, that are not finite numbers above 0.

    Raises
    ------
    InputError
        One is not; the message names it.
    """
    for name, value in given.items():
        if not (isinstance(value, numbers.Real) and value > 0 and math.isfinite(value)):
            raise InputError(f"{name} = {value!r}: must be a finite number above 0")


def _absolute_each(weights: Mapping[str, Path] | None) -> dict[str, str]:
    return {family: os.path.abspath(file) for family, file in (weights or {}).items()}


def _absolute(path: str) -> str:
    return path if not path or "://" in path else os.path.abspath(path)


def _journal(
    file: str | Path | None, out: str | Path | None, settings: worker.Settings, *, fresh: bool
) -> Journal | None:
    if file is None:
        if out is None:
            return None
        file = journal_of(os.fspath(out))
    identity: dict[str, Any] = {
        "schema": table.SCHEMA_VERSION,
        "extractor": OBSERVATION_VERSION,
        "families": {family.name: family.version for family in discovery.families(settings.families)},
        "weights": _digests(settings),
        "max_seconds": settings.max_seconds,
    }
    return Journal(Path(file), identity, fresh=fresh)


def _digests(settings: worker.Settings) -> dict[str, str]:
    """Return the SHA-256 of the weights of each learned family."""
    return {name: settings.digests[name] for name in settings.families if name in settings.digests}


def _measure(
    clips: Sequence[ClipEntry],
    settings: worker.Settings,
    journal: Journal | None,
    limits: Limits,
    *,
    jobs: int,
    scheduler: str,
    progress: Progress | None,
) -> dict[str, worker.Result]:
    prints = fingerprints(clips, settings)
    results = _known(journal, prints, settings) if journal is not None else {}
    waiting = [clip for clip in clips if clip.filename not in results]
    n_failed = sum(result.status in FAILURES for result in results.values())
    stream = engine.run(waiting, settings, limits, jobs=jobs, scheduler=scheduler)
    if progress is not None:
        progress(len(results), len(clips), n_failed)
    try:
        for result in stream:
            results[result.filename] = result
            if journal is not None:
                journal.add(result, prints[result.filename])
            n_failed += result.status in FAILURES
            if progress is not None:
                progress(len(results), len(clips), n_failed)
    except ClusterLostError as error:
        if journal is None or not results:
            raise
        message = f"{error}; the results are kept in {journal.file}: run the same command again to resume"
        raise ClusterLostError(message) from error
    finally:
        stream.close()
    return results


def _known(journal: Journal, prints: Mapping[str, str], settings: worker.Settings) -> dict[str, worker.Result]:
    """Return the results of earlier runs, except those whose observation should be kept and is missing or stale.

    Listing a store takes a separate right; without it, the store is assumed to hold every clip of the journal.
    """
    earlier = {filename: journal.get(filename, fingerprint) for filename, fingerprint in prints.items()}
    known = {filename: result for filename, result in earlier.items() if result is not None}
    if not (known and settings.observations):
        return known
    held: Container[str] | None = None
    try:
        with read_errors(settings.observations):
            store = ObservationStore(settings.observations, settings.storage_options)
            held = store.held({filename: prints[filename] for filename in known})
    except DatasetError as error:
        logger.warning("%s; observations of clips that were measured before are assumed to be there", error)
    return {filename: result for filename, result in known.items() if _has_its_observation(result, held)}


def _has_its_observation(result: worker.Result, held: Container[str] | None) -> bool:
    """Return whether a clip's observation is kept, or there is none to keep, as for an unreadable clip."""
    if result.reasons.get(OBSERVATION) == Reason.NOT_KEPT:
        return False
    return held is None or result.status == "unreadable" or result.filename in held


def fingerprints(clips: Iterable[ClipEntry], settings: worker.Settings) -> dict[str, str]:
    """Return the fingerprint of each clip's file; ``absent`` where it can't be accessed, which the row will report.

    Raises
    ------
    DatasetError
        The store of the file can't be used.
    """
    store = ObservationStore("", settings.storage_options)
    return {clip.filename: _fingerprint(clip, store, settings.max_seconds) for clip in clips}


def _fingerprint(clip: ClipEntry, store: ObservationStore, max_seconds: float) -> str:
    try:
        with read_errors(clip.path):
            return store.key(clip.path, max_seconds)
    except DatasetError as error:
        if isinstance(error.__cause__, OSError) or "::" in clip.path:  # chained stores raise errors of any kind
            return "absent"
        raise


def _table(clips: Sequence[ClipEntry], results: Mapping[str, worker.Result], settings: worker.Settings) -> pa.Table:
    schema = table.schema(
        discovery.families(settings.families),
        extractor=str(OBSERVATION_VERSION),
        weights=_digests(settings),
        max_seconds=settings.max_seconds,
    )
    return table.build(*_columns(clips, results), schema)


def _columns(
    clips: Sequence[ClipEntry], results: Mapping[str, worker.Result]
) -> tuple[dict[str, list[Any]], np.ndarray]:
    """Return base columns and values [n, columns] of every clip; labels and groups are those of the data set now."""
    ordered = [results[clip.filename] for clip in clips]
    base: dict[str, list[Any]] = {
        name: [getattr(clip, name) for clip in clips] for name in ("filename", "label", "group", "source")
    }
    base |= {
        name: [getattr(result, name) for result in ordered]
        for name in ("status", "error", "reasons", "duration_s", "n_frames", "n_faces")
    }
    values = np.empty((len(ordered), len(ordered[0].values)), np.float32, order="F")  # as the table keeps it
    for first in range(0, len(ordered), ROWS_AT_ONCE):
        block = ordered[first : first + ROWS_AT_ONCE]
        values[first : first + len(block)] = [result.values for result in block]
    return base, values
