"""From clips to cues: observe, measure, features; extract for a data set.

:func:`observe` and :func:`features` work in this process, one call at a time: quick for clip after clip, but a file
that crashes a decoder takes the process with it. :func:`extract` measures in child processes with limits of time and
memory, where a damaged clip costs one row.

Nothing is printed, and threads, random states, logging and the current folder are as they were after each call.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deepcue.inputs import PathLike, chosen_families, clip_name, clip_path, listed_clips, weights_files
from features.errors import InputError
from features.evidence import FACES_PER_SECOND

if TYPE_CHECKING:
    import pyarrow as pa

    from extract.pipeline import Progress
    from extract.run.sandbox import Limits
    from features.evidence import ClipEvidence
    from features.observation import Observation
    from features.spec import Family

MAX_SECONDS = 120.0  # what is looked at of a clip, as in extraction

_one_at_a_time = threading.RLock()  # detectors keep the last face in mind


def observe(path: PathLike, *, max_seconds: float = MAX_SECONDS) -> Observation:
    """Decode a clip once, follow its faces, and keep what cue families read.

    Parameters
    ----------
    path
        Video file, or one of sound alone, or a URL that fsspec opens.
    max_seconds
        What is looked at of the clip, from its start, in seconds.

    Returns
    -------
    Observation
        Frame times [n_frames] in seconds, the tracked faces (landmarks [n, 68, 2] in px, crops, embeddings), mono
        sound at 16 kHz or None; see :class:`features.observation.Observation`. It may hold no track, and of sound alone
        no frame either.

    Raises
    ------
    NotFoundError
        There is no such file. It is a :exc:`FileNotFoundError`, too.
    DatasetError
        The path is a folder.
    UnreadableError
        The file is neither video nor sound, or nothing of its picture, or of its sound alone, can be decoded.

    Examples
    --------
    >>> observation = deepcue.observe(clip)
    >>> len(observation.times_s), len(observation.tracks)
    (30, 1)
    """
    from extract.run import worker

    file = clip_path(path)
    with one_thread():
        return worker.observation(os.path.basename(file), file, worker.Settings((), max_seconds=max_seconds))


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
        Of :func:`observe`.
    families
        Names of cue families; all by default.
    weights
        Family to weights file (safetensors), in place of the shipped one.

    Returns
    -------
    dict
        Column name to value in the column's unit; NaN where undefined. A family that raises has NaN in its columns
        and 0 in its ``valid_share``, and its traceback is logged.

    Raises
    ------
    InputError
        No family is called so, there is no such weights file, or ``observation`` is none, as a path is.

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
    weights: Mapping[str, PathLike] | None = None,
) -> dict[str, float]:
    """Measure the cues of one clip: :func:`measure` of what :func:`observe` sees.

    Parameters
    ----------
    path
        Video file, or a URL that fsspec opens.
    families, weights
        As in :func:`measure`.

    Returns
    -------
    dict
        Column name to value in the column's unit; NaN where undefined. The table of :func:`extract` holds the same
        numbers in single precision.

    Raises
    ------
    InputError, ClipError
        As :func:`observe` and :func:`measure` do.

    Examples
    --------
    >>> cues = deepcue.features(clip, families=["blink", "quality"])
    >>> sorted({name.split(".")[0] for name in cues})
    ['blink', 'quality']
    """
    chosen = [one.name for one in chosen_families(families)]  # a misspelt name before the clip is decoded
    return measure(observe(path), families=chosen, weights=weights)


def extract(  # noqa: PLR0913 -- the options of a run, all by keyword
    data: PathLike | Sequence[PathLike],
    *,
    out: PathLike | None = None,
    families: Iterable[str] | None = None,
    jobs: int = 1,
    observations: PathLike = "",
    fresh: bool = False,
    limits: Limits | None = None,
    max_seconds: float = MAX_SECONDS,
    scheduler: str = "",
    storage_options: Mapping[str, Any] | None = None,
    weights: Mapping[str, PathLike] | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """Measure a data set: one row for each clip, even if it cannot be decoded.

    Parameters
    ----------
    data
        A folder in the challenge's layout, a plain folder of clips, a CSV manifest (filename, label, group), a URL of
        one of these, or a list of clips. One that is listed twice counts once.
    out
        Parquet file or URL to write. ``<out>.journal`` (of a URL, in the current folder) notes every finished clip,
        so that the same call goes on after an interruption. Without ``out`` nothing is written.
    families
        Names of cue families; all by default.
    jobs
        Measuring processes on this machine. Results do not depend on it.
    observations
        Folder or URL that keeps observations, from which later calls measure without decoding.
    fresh
        Measure every clip again.
    limits
        CPU seconds and memory that one clip may take: ``deepcue.Limits(timeout_s=300, memory_mb=2048)`` by default.
    max_seconds
        What is looked at of each clip, from its start, in seconds.
    scheduler
        Address of a Dask scheduler whose workers measure.
    storage_options
        For URLs, as fsspec takes them.
    weights
        Family to weights file (safetensors), in place of the shipped one.
    progress
        Called with the numbers of clips done, of all clips, and of failed ones, after every clip.

    Returns
    -------
    pyarrow.Table
        One row for each clip, sorted by filename: ``filename, label, group, source, status, error, reasons,
        duration_s, n_frames, n_faces``, then the cues as float32, NaN where undefined. Why a clip or a family could
        not be measured is in ``error`` for people, in ``status`` and ``reasons`` for programs.

    Raises
    ------
    NotFoundError
        There is no such folder, manifest or clip.
    InputError
        The data set, an option or an output can't be used.

    Examples
    --------
    >>> table = deepcue.extract(folder, families=["quality"])
    >>> table.select(["filename", "status"]).to_pydict()
    {'filename': ['broken.mp4', 'talk.mp4'], 'status': ['unreadable', 'ok']}
    """
    from extract import pipeline

    return pipeline.extract(
        os.fspath(data) if isinstance(data, (str, os.PathLike)) else listed_clips(data),
        out=None if out is None else os.fspath(out),
        families=[one.name for one in chosen_families(families)],
        jobs=jobs,
        observations=os.fspath(observations),
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
    """What can be looked at of one clip: judged faces, series over time, a filmstrip, and every cue.

    The clip is measured in a child process, with limits of time and memory.

    Parameters
    ----------
    path
        Video file, or a URL that fsspec opens.
    faces_per_second
        How many faces of each person the face networks judge.
    show_faces
        Whether the evidence has pictures; without, not a pixel of the clip is kept.
    limits
        CPU seconds and memory that the clip may take: ``deepcue.Limits(timeout_s=300, memory_mb=2048)`` by default.
    max_seconds
        What is looked at of the clip, from its start, in seconds.
    weights
        Family to weights file (safetensors), in place of the shipped one.

    Returns
    -------
    ClipEvidence
        ``people``, the main one first, each with ``faces`` (time in seconds, box in fractions of the picture, JPEG,
        log-odds by network) and ``series``; series of the ``sound``; ``cues``, every column of every family, NaN where
        undefined. A clip without a face has no people.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        The path is a folder.
    UnreadableError
        The file is neither video nor sound, or nothing of its picture, or of its sound alone, can be decoded.
    ClipError
        The clip took more time or memory than it may, or crashed a decoder.

    Examples
    --------
    >>> found = deepcue.evidence(clip, faces_per_second=4)
    >>> len(found.people), [face.time_s for face in found.people[0].faces]
    (1, [0.16, 0.4, 0.64, 0.88, 1.16])
    """
    from extract.entries import ClipEntry
    from extract.pipeline import examine
    from features.errors import ClipError, UnreadableError

    file = clip_path(path)
    table, found = examine(
        ClipEntry(clip_name(path), file),
        families=(),
        faces_per_second=faces_per_second,
        show_faces=show_faces,
        limits=limits,
        max_seconds=max_seconds,
        weights=weights_files(weights),
    )
    if found is None:
        kind = UnreadableError if table["status"][0].as_py() == UnreadableError.status else ClipError
        raise kind(f"{os.fspath(path)}: {table['error'][0].as_py()}")
    return found


def families(names: Iterable[str] | None = None) -> tuple[Family, ...]:
    """The cue families, sorted by name: those of the package, of other packages, and of this process.

    Parameters
    ----------
    names
        Those wanted; all by default, but for those of other packages that can't be loaded: a warning names them.

    Returns
    -------
    tuple of Family
        Each with ``name``, ``version``, ``description``, and ``columns``, of which each has a ``name``, a
        ``description``, a ``unit``, a ``range`` and the ``direction`` that is expected in fakes.

    Raises
    ------
    InputError
        No family is called so, or one that is named can't be loaded.

    Examples
    --------
    >>> (blink,) = deepcue.families(["blink"])
    >>> blink.columns[0].name
    'blink.count'
    """
    return chosen_families(names)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One call at a time, in one thread of linear algebra; afterwards there are as many as before."""
    from threadpoolctl import threadpool_limits

    with _one_at_a_time, threadpool_limits(1):
        yield
