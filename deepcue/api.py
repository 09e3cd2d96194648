"""What a notebook calls: from a clip to cues, from a folder to a table, from a table to a model and its verdicts.

:func:`observe`, :func:`features` and :func:`predict` of one clip work in this process, one call at a time: quick for
clip after clip, but a file that crashes a decoder takes the process with it. :func:`extract` and :func:`predict` of a
data set measure in child processes with limits of time and memory, of which a damaged clip costs one row.

Nothing is printed, and threads, random states, logging and the current folder are as they were after each call.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import DatasetError, InputError, NotFoundError

if TYPE_CHECKING:
    import pyarrow as pa

    from ensemble.model import Model
    from ensemble.verdict import Verdict
    from extract.dataset import Clip
    from extract.pipeline import Progress
    from extract.run.sandbox import Limits
    from features.observation import Observation
    from features.spec import Family

MAX_SECONDS = 120.0  # what is looked at of a clip, as in extraction
TABLE_SUFFIX = ".parquet"

_one_at_a_time = threading.RLock()  # detectors keep the last face in mind


def observe(path: str | os.PathLike[str], *, max_seconds: float = MAX_SECONDS) -> Observation:
    """Decode a clip once, follow its faces, and keep what cue families read.

    Parameters
    ----------
    path
        Video file, or a URL that fsspec opens.
    max_seconds
        What is looked at of the clip, from its start, in seconds.

    Returns
    -------
    Observation
        Frame times [n_frames] in seconds, the tracked faces (landmarks [n, 68, 2] in px, crops, embeddings), mono
        sound at 16 kHz or None; see :class:`features.observation.Observation`. It may hold no track.

    Raises
    ------
    NotFoundError
        There is no such file. It is a :exc:`FileNotFoundError`, too.
    DatasetError
        The path is a folder.
    UnreadableError
        The file is not a video, is damaged, or holds no picture stream.
    TooShortError
        It holds no frame.

    Examples
    --------
    >>> observation = deepcue.observe(clip)
    >>> len(observation.times_s), len(observation.tracks)
    (30, 1)
    """
    from extract.run import worker

    file = _clip_path(path)
    with _one_thread():
        return worker.observation(os.path.basename(file), file, worker.Settings((), max_seconds=max_seconds))


def measure(
    observation: Observation,
    *,
    families: Iterable[str] | None = None,
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
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
        No family is called so, or there is no such weights file.

    Examples
    --------
    >>> values = deepcue.measure(deepcue.observe(clip), families=["quality"])
    >>> 0 <= values["quality.valid_share"] <= 1
    True
    """
    from features import spec
    from features.networks.weights import use_weights

    chosen = _families(families)
    with _one_thread(), use_weights(_weights(weights)):
        values, _ = spec.measure_clip(observation, chosen)
    return values


def features(
    path: str | os.PathLike[str],
    *,
    families: Iterable[str] | None = None,
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
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
    chosen = [one.name for one in _families(families)]  # a misspelt name before the clip is decoded
    return measure(observe(path), families=chosen, weights=weights)


def extract(  # noqa: PLR0913 -- the options of a run, all by keyword
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    families: Iterable[str] | None = None,
    jobs: int = 1,
    observations: str | os.PathLike[str] = "",
    fresh: bool = False,
    limits: Limits | None = None,
    max_seconds: float = MAX_SECONDS,
    scheduler: str = "",
    storage_options: Mapping[str, Any] | None = None,
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """Measure a data set: one row for each clip, whatever it is.

    Parameters
    ----------
    data
        A folder in the challenge's layout, a plain folder of clips, a CSV manifest (filename, label, group), a URL of
        one of these, or a list of clips.
    out
        Parquet file or URL to write. ``<out>.journal`` beside it notes every finished clip, so that the same call
        goes on after an interruption. Without it nothing is written.
    families
        Names of cue families; all by default.
    jobs
        Measuring processes on this machine. Results do not depend on it.
    observations
        Folder or URL that keeps observations, from which later calls measure without decoding.
    fresh
        Measure every clip again.
    limits
        CPU seconds and memory that one clip may take.
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
        One row for each clip, sorted by filename: ``filename, label, group, source, status, error, duration_s,
        n_frames, n_faces``, then the cues as float32, NaN where undefined. A clip that can't be measured has its
        reason in ``status`` and ``error``.

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
        os.fspath(data) if isinstance(data, (str, os.PathLike)) else _clips(data),
        out=None if out is None else os.fspath(out),
        families=[one.name for one in _families(families)],
        jobs=jobs,
        observations=os.fspath(observations),
        fresh=fresh,
        limits=limits,
        max_seconds=max_seconds,
        scheduler=scheduler,
        storage_options=storage_options,
        weights=_weights(weights),
        progress=progress,
    )


def families(names: Iterable[str] | None = None) -> tuple[Family, ...]:
    """The cue families, sorted by name: those of the package, of other packages, and of this process.

    Parameters
    ----------
    names
        Those wanted; all by default.

    Returns
    -------
    tuple of Family
        Each with ``name``, ``version``, ``description``, and ``columns``, of which each has a ``name``, a
        ``description``, a ``unit``, a ``range`` and the ``direction`` that is expected in fakes.

    Raises
    ------
    InputError
        No family is called so, or another package's can't be loaded.

    Examples
    --------
    >>> (blink,) = deepcue.families(["blink"])
    >>> blink.columns[0].name
    'blink.count'
    """
    return _families(names)


def load_model(folder: str | os.PathLike[str] | None = None) -> Model:
    """Read a trained model; loading executes nothing from the folder.

    Parameters
    ----------
    folder
        A model folder; the model that ships with the package by default.

    Returns
    -------
    Model
        ``predict(table)`` gives P(FAKE) [n_clips], ``explain(table)`` log-odds by cue family; ``manifest`` says what
        it was trained on.

    Raises
    ------
    ModelError
        The folder holds no model, or one that is damaged or of another version.

    Examples
    --------
    >>> model = deepcue.load_model()
    >>> sorted(model.layout.families)
    ['forensic_cnn', 'forensic_residual', 'forensic_voice']
    """
    from ensemble import store

    return store.load_model(store.default_model() if folder is None else os.fspath(folder))


def predict(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | pa.Table,
    *,
    model: Model | None = None,
    jobs: int = 1,
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
    progress: Progress | None = None,
) -> Verdict | list[Verdict]:
    """How probable it is that clips are fake, and why.

    Parameters
    ----------
    data
        One clip, or several: a list of clips, a folder, a CSV manifest, a feature table or its Parquet file. A file is
        one clip unless its name ends in ``.csv`` or ``.parquet``; so is a URL that ends as videos do.
    model
        Of :func:`load_model`; the one that ships by default.
    jobs
        Measuring processes for several clips; one clip is measured in this process.
    weights
        Family to weights file (safetensors), in place of the shipped one.
    progress
        As in :func:`extract`; one clip and a table show none.

    Returns
    -------
    Verdict or list of Verdict
        One for a clip; for several a list, in the table's order (sorted by filename). ``probability`` is P(FAKE) at
        the model's target prior; ``contributions`` are log-odds by cue family.

    Raises
    ------
    NotFoundError
        There is no such file or folder.
    ClipError
        ``data`` is one clip and can't be measured. In a list such a clip has its ``status`` and a verdict that says
        that nothing was measured.
    ModelError
        The model is of other cues than are measured, or than the table has.

    Examples
    --------
    >>> verdict = deepcue.predict(clip)
    >>> 0 < verdict.probability < 1
    True
    >>> [one.filename for one in deepcue.predict(folder)]
    ['broken.mp4', 'talk.mp4']
    """
    import pyarrow as pa

    from ensemble.store import check_families
    from ensemble.verdict import judge

    model = load_model() if model is None else model
    if isinstance(data, pa.Table):
        return judge(model, data)
    if isinstance(data, (str, os.PathLike)) and is_table(data):
        return judge(model, read_table(data))
    check_families(model.layout.families, "the model")
    if isinstance(data, (str, os.PathLike)) and is_clip(data):
        return judge(model, _row(data, model.layout.families, weights))[0]
    return judge(model, extract(data, families=model.layout.families, jobs=jobs, weights=weights, progress=progress))


def is_clip(data: str | os.PathLike[str]) -> bool:
    """Whether :func:`predict` takes a path or URL as one clip; a local one must exist.

    Raises
    ------
    NotFoundError
        There is no such file or folder.
    """
    from extract.dataset import VIDEO_SUFFIXES

    name = os.fspath(data)
    suffix = os.path.splitext(name)[1].lower()
    if "://" in name:
        return suffix in VIDEO_SUFFIXES
    if not os.path.exists(name):
        raise NotFoundError(f"{name}: no such file or folder; give a clip or a folder of clips")
    return not os.path.isdir(name) and suffix not in {".csv", TABLE_SUFFIX}


def is_table(data: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a feature table."""
    return os.path.splitext(os.fspath(data))[1].lower() == TABLE_SUFFIX and not os.path.isdir(data)


def read_table(file: str | os.PathLike[str]) -> pa.Table:
    """Read a feature table that :func:`extract` wrote.

    Raises
    ------
    TableError
        The file is missing, or is no feature table.
    """
    from features import table

    return table.read_table(os.fspath(file))


def clip_name(path: str | os.PathLike[str]) -> str:
    r"""The name of a clip's row: that of its file; bytes that are no UTF-8 become ``\xe9`` and the like."""
    return os.fsencode(os.path.basename(os.fspath(path))).decode("utf-8", "backslashreplace")


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that holds in any folder; a URL as it is."""
    name = os.fspath(path)
    return name if "://" in name else os.path.abspath(name)


def _row(path: str | os.PathLike[str], families: Iterable[str], weights: Mapping[str, Any] | None) -> pa.Table:
    """The table of one clip, measured in this process."""
    from extract.dataset import Clip
    from extract.pipeline import table_of

    observed = observe(path)
    with _one_thread():
        return table_of(
            Clip(clip_name(path), absolute(path)), observed, families=sorted(families), weights=_weights(weights)
        )


def _clips(paths: Sequence[str | os.PathLike[str]]) -> list[Clip]:
    """Clips of a list, called by their file names, or by their paths where two files have one name."""
    from extract.dataset import Clip

    files = [_clip_path(path) for path in paths]
    names = [clip_name(file) for file in files]
    if len(set(names)) < len(names):
        names = [os.fsencode(file).decode("utf-8", "backslashreplace") for file in files]
    return [Clip(name, file, group=name) for name, file in dict(zip(names, files, strict=True)).items()]


def _clip_path(path: str | os.PathLike[str]) -> str:
    """A clip's path or URL; a local one is absolute and exists."""
    name = os.fspath(path)
    if "://" not in name and not os.path.exists(name):
        raise NotFoundError(f"{name}: no such file; give a clip")
    if os.path.isdir(name):
        raise DatasetError(f"{name}: is a folder; `deepcue.extract` measures the clips of a folder")
    return absolute(name)


def _families(names: Iterable[str] | None) -> tuple[Family, ...]:
    from features import spec

    try:
        return spec.families([names] if isinstance(names, str) else names)
    except KeyError as error:
        raise InputError(f"families: {error.args[0]}") from error


def _weights(files: Mapping[str, str | os.PathLike[str]] | None) -> dict[str, Path]:
    chosen = {family: Path(os.path.abspath(file)) for family, file in (files or {}).items()}
    _families(chosen)
    if lacking := [file for file in chosen.values() if not file.is_file()]:
        raise NotFoundError(f"{lacking[0]}: no such weights file")
    return chosen


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One call at a time, in one thread of OpenCV and of linear algebra; afterwards they have as many as before."""
    import cv2
    from threadpoolctl import threadpool_limits

    with _one_at_a_time, threadpool_limits(1):
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(threads)
