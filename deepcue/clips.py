"""From clips to cues: observe, measure and features for single clips, extract for a data set.

:func:`observe` and :func:`features` work in the calling process, one call at a time. This is fast for repeated calls,
but a file that crashes a decoder also ends the calling process. :func:`extract` measures in child processes with limits
on time and memory, so that a damaged clip costs only its own row.

The functions print nothing and leave the number of threads, random states, logging and the current folder unchanged.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from deepcue.inputs import (
    MAX_SECONDS,
    PathLike,
    as_data,
    as_text,
    check_is_there,
    check_limits,
    chosen_families,
    clip_name,
    clip_path,
    weights_files,
)
from features.errors import InputError
from features.evidence import FACES_PER_SECOND
from features.threads import algebra_on_one_thread

if TYPE_CHECKING:
    import pyarrow as pa

    from extract.pipeline import Progress
    from extract.run.sandbox import Limits
    from features.evidence import ClipEvidence
    from features.observation import Observation
    from features.spec import Family

_one_at_a_time = threading.RLock()  # detectors keep state between calls: the last face


def observe(path: PathLike, *, max_seconds: float = MAX_SECONDS) -> Observation:
    """Decode a clip once, track its faces, and keep the data that cue families read.

    Parameters
    ----------
    path
        Video or audio file, or a URL that fsspec opens.
    max_seconds
        Analyse at most this many seconds from the start of the clip.

    Returns
    -------
    Observation
        Frame times [n_frames] in seconds, the tracked faces (landmarks [m, 68, 2] in px, crops, embeddings), and mono
        audio at 16 kHz or None; see :class:`features.observation.Observation`. A clip without a face has no track, and
        an audio file has no frame either.

    Raises
    ------
    NotFoundError
        The file doesn't exist. The error is also a :exc:`FileNotFoundError`.
    DatasetError
        The path is a folder.
    UnreadableError
        The file is neither video nor audio, or no video frame of a video (no audio of an audio file) can be decoded.

    Examples
    --------
    >>> observation = deepcue.observe(clip)
    >>> len(observation.times_s), len(observation.tracks)
    (30, 1)
    """
    from extract.pipeline import check_numbers
    from extract.run import worker

    check_numbers(max_seconds=max_seconds)
    file = clip_path(as_text(path))
    check_is_there(file)
    with one_thread():
        return worker.observation(os.path.basename(file), file, worker.Settings((), max_seconds=float(max_seconds)))


def measure(
    observation: Observation,
    *,
    families: Iterable[str] | None = None,
    weights: Mapping[str, PathLike] | None = None,
) -> dict[str, float]:
    """Measure cue families on an observation.

    Parameters
    ----------
    observation
        The result of :func:`observe`.
    families
        Names of cue families; all by default.
    weights
        Cue family to weights file (safetensors) to use instead of the shipped one.

    Returns
    -------
    dict
        Column name to value in the column's unit; NaN where undefined. If a family raises, its columns are NaN, its
        ``valid_share`` is 0, and the traceback is logged.

    Raises
    ------
    InputError
        A family is unknown, a weights file is missing, or ``observation`` is not an Observation (for example a path).

    Examples
    --------
    >>> values = deepcue.measure(deepcue.observe(clip), families=["quality"])
    >>> 0 <= values["quality.valid_share"] <= 1
    True
    """
    from features import measuring
    from features.networks.weights import use_weights
    from features.observation import Observation

    if not isinstance(observation, Observation):
        raise InputError(
            f"measure takes an observation, not a {type(observation).__name__}: give deepcue.observe(clip), or call "
            "deepcue.features(clip)"
        )
    chosen = chosen_families(families)
    with one_thread(), use_weights(weights_files(weights)):
        values, _ = measuring.measure_clip(observation, chosen)
    return values


def features(
    path: PathLike,
    *,
    families: Iterable[str] | None = None,
    max_seconds: float = MAX_SECONDS,
    weights: Mapping[str, PathLike] | None = None,
) -> dict[str, float]:
    """Measure the cues of one clip: :func:`observe`, then :func:`measure`.

    Parameters
    ----------
    path
        Video or audio file, or a URL that fsspec opens.
    families, weights
        As in :func:`measure`.
    max_seconds
        As in :func:`observe`.

    Returns
    -------
    dict
        Column name to value in the column's unit; NaN where undefined. The table of :func:`extract` holds the same
        numbers in single precision.

    Raises
    ------
    InputError, ClipError
        As for :func:`observe` and :func:`measure`.

    Examples
    --------
    >>> cues = deepcue.features(clip, families=["blink", "quality"])
    >>> sorted({name.split(".")[0] for name in cues})
    ['blink', 'quality']
    """
    chosen = [family.name for family in chosen_families(families)]  # refuses a misspelt name before decoding
    return measure(observe(path, max_seconds=max_seconds), families=chosen, weights=weights)


def extract(  # noqa: PLR0913 -- the options of a run, all by keyword
    data: PathLike | Iterable[PathLike],
    *,
    out: PathLike | None = None,
    families: Iterable[str] | None = None,
    jobs: int = 1,
    observations: PathLike | None = None,
    fresh: bool = False,
    limits: Limits | None = None,
    max_seconds: float = MAX_SECONDS,
    scheduler: str = "",
    storage_options: Mapping[str, Any] | None = None,
    weights: Mapping[str, PathLike] | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """Measure a data set: one row per clip, even for clips that cannot be decoded.

    Parameters
    ----------
    data
        A folder in the challenge's layout, a plain folder of clips, a CSV manifest (filename, label, group), a URL of
        one of these, or a list of clips. A clip that is listed twice counts once.
    out
        Parquet file or URL to write. A journal, ``<out>.journal`` (for a URL, a file in the current folder), records
        every finished clip, so that the same call resumes after an interruption. Without ``out`` nothing is written.
    families
        Names of cue families; all by default.
    jobs
        Number of measuring processes on this machine, -1 for one per core, which is fastest; the results do not depend
        on it. A cluster ignores it and runs one process for each thread of its workers.
    observations
        Folder or URL in which observations are kept, so that later calls measure without decoding.
    fresh
        Measure every clip again.
    limits
        CPU seconds and memory that one clip may take: ``deepcue.Limits(timeout_s=300, memory_mb=2048)`` by default.
    max_seconds
        Analyse at most this many seconds from the start of each clip.
    scheduler
        Address of a Dask scheduler whose workers measure the clips.
    storage_options
        Options for URLs, passed to fsspec.
    weights
        Cue family to weights file (safetensors) to use instead of the shipped one.
    progress
        Called once at the start and after every clip with the number of clips done, the number of all clips, and the
        number of failures. Clips of earlier runs that are resumed count as done, their failures as failures.

    Returns
    -------
    pyarrow.Table
        One row per clip, sorted by filename: ``filename, label, group, source, status, error, reasons,
        duration_s, n_frames, n_faces``, then the cues as float32, NaN where undefined. ``error`` says in words why a
        clip or a family could not be measured; ``status`` and ``reasons`` give the reason as codes.

    Raises
    ------
    NotFoundError
        The folder, manifest or clip doesn't exist.
    InputError
        The data set, an option or an output can't be used.

    Examples
    --------
    >>> table = deepcue.extract(folder, families=["quality"])
    >>> table.select(["filename", "status"]).to_pydict()
    {'filename': ['broken.mp4', 'talk.mp4'], 'status': ['unreadable', 'ok']}
    """
    from extract import pipeline

    check_limits(limits)
    return pipeline.extract(
        as_data(data),
        out=None if out is None else as_text(out, "a table to write"),
        families=[family.name for family in chosen_families(families)],
        jobs=jobs,
        observations="" if observations is None else as_text(observations, "a folder of observations"),
        fresh=fresh,
        limits=limits,
        max_seconds=max_seconds,
        scheduler=scheduler,
        storage_options=storage_options,
        weights=weights_files(weights),
        progress=progress,
    )


def evidence(
    path: PathLike,
    *,
    faces_per_second: float = FACES_PER_SECOND,
    show_faces: bool = True,
    limits: Limits | None = None,
    max_seconds: float = MAX_SECONDS,
    weights: Mapping[str, PathLike] | None = None,
) -> ClipEvidence:
    """Collect the evidence of one clip for inspection: scored faces, series over time, a filmstrip, and every cue.

    The clip is measured in a child process, with limits on time and memory.

    Parameters
    ----------
    path
        Video or audio file, or a URL that fsspec opens.
    faces_per_second
        How many face crops per second the face networks score for each person.
    show_faces
        Whether the evidence holds images; if False, no pixel of the clip is kept.
    limits
        CPU seconds and memory that the clip may take: ``deepcue.Limits(timeout_s=300, memory_mb=2048)`` by default.
    max_seconds
        Analyse at most this many seconds from the start of the clip.
    weights
        Cue family to weights file (safetensors) to use instead of the shipped one.

    Returns
    -------
    ClipEvidence
        ``people``, the main person first, each with ``faces`` (time in seconds, box in fractions of the frame, JPEG,
        log-odds by network) and ``series``; ``audio``, the series of the audio; ``cues``, every column of every family,
        NaN where undefined. For a clip without a face, ``people`` is empty.

    Raises
    ------
    NotFoundError
        The file doesn't exist.
    DatasetError
        The path is a folder.
    UnreadableError
        The file is neither video nor audio, or no video frame of a video (no audio of an audio file) can be decoded.
    ClipError
        The clip exceeded its time or memory limit, or crashed a decoder.

    Examples
    --------
    >>> evidence = deepcue.evidence(clip, faces_per_second=4)
    >>> len(evidence.people), [face.time_s for face in evidence.people[0].faces]
    (1, [0.16, 0.4, 0.64, 0.88, 1.16])
    """
    from extract.entries import ClipEntry
    from extract.pipeline import examine
    from features.errors import ClipError, UnreadableError

    check_limits(limits)
    file = clip_path(as_text(path))
    table, clip_evidence = examine(
        ClipEntry(clip_name(file), file),
        families=(),
        faces_per_second=faces_per_second,
        show_faces=show_faces,
        limits=limits,
        max_seconds=max_seconds,
        weights=weights_files(weights),
    )
    if clip_evidence is None:
        kind = UnreadableError if table["status"][0].as_py() == UnreadableError.status else ClipError
        raise kind(f"{os.fsdecode(path)}: {table['error'][0].as_py()}")
    return clip_evidence


def families(names: Iterable[str] | None = None) -> tuple[Family, ...]:
    """Return cue families, sorted by name: built-in ones, those of other packages, and those defined in this process.

    Parameters
    ----------
    names
        Names of the families to return; all by default. Families of other packages that can't be loaded are left out
        with a warning that names them.

    Returns
    -------
    tuple of Family
        Each has ``name``, ``version``, ``description`` and ``columns``; each column has a ``name``, a ``description``,
        a ``unit``, a ``range`` and the ``direction`` that is expected in fakes.

    Raises
    ------
    InputError
        A name is unknown, or a named family can't be loaded.

    Examples
    --------
    >>> (blink,) = deepcue.families(["blink"])
    >>> blink.columns[0].name
    'blink.count'
    """
    return chosen_families(names)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Serialise calls and limit linear algebra to one thread; the previous number of threads is restored."""
    with _one_at_a_time, algebra_on_one_thread():
        yield
