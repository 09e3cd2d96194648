"""Measure one clip into one row; failures become the row's status, never an exception."""

from __future__ import annotations

import functools
import importlib
import logging
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from extract.run.observation_store import ObservationStore
from features import discovery, measuring, reasons, spec
from features.errors import ClipError, InputError, UnknownFamilyError, without_credentials
from features.networks import projection
from features.networks.weights import use_weights, weights_digest, weights_file, weights_variable
from features.observation import MAX_SECONDS, Observation
from features.reasons import Reason

if TYPE_CHECKING:
    from extract.clip.face_recorder import FaceRecorder

logger = logging.getLogger(__name__)

MIN_FRAMES = 8  # shorter clips are too short for time series
NO_VIDEO = "no video in the file, only its audio was measured"


@dataclass(frozen=True)
class Settings:
    """Everything that a row depends on besides the clip; sent to every worker."""

    families: tuple[str, ...]
    max_seconds: float = MAX_SECONDS
    observations: str = ""
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    """Maps a family to a weights file that replaces the one in use."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Maps a family to the SHA-256 of its weights, see :func:`with_digests`; a measuring process with other weights
    refuses to work."""
    modules: tuple[str, ...] = ()
    """Modules to import first, of families without entry point (:func:`features.discovery.undiscovered_modules`)."""

    @property
    def weights_files(self) -> dict[str, Path]:
        """``weights`` as paths, as :func:`features.networks.weights.use_weights` takes them."""
        return {family: Path(file) for family, file in self.weights.items()}


@dataclass(frozen=True)
class LogRecord:
    """A log record of a measuring process: the logger's name, the level, and the text with its traceback."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True)
class Result:
    """The row of a clip: its status and its numbers.

    ``values`` follows the table columns of the settings' families, in order; float32, NaN where undefined. ``reasons``
    are the codes of :mod:`features.reasons`; ``error`` gives them and further remarks in words. ``log`` holds the log
    records of the measuring process and is not part of the table.
    """

    filename: str
    status: str
    error: str
    values: NDArray[np.float32]
    duration_s: float = float("nan")
    n_frames: int = 0
    n_faces: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)
    log: tuple[LogRecord, ...] = ()


def with_digests(settings: Settings) -> Settings:
    """Return the settings with the digests of the weights in use here, which every measuring process must have.

    Raises
    ------
    ModelError
        A projection of embeddings was fitted for weights different from those of its network.
    """
    learned = {family.name for family in discovery.families(settings.families) if "weights" in family.needs}
    with use_weights(settings.weights_files):
        if projection.FAMILY in learned:
            projection.known_networks()  # refuse a projection fitted for other weights before hours of work
            learned |= projection.NETWORKS.keys()
        files = {name: weights_file(name) for name in sorted(learned)}
    return replace(settings, digests={name: weights_digest(file) for name, file in files.items() if file.is_file()})


def _check_weights(settings: Settings) -> None:
    with use_weights(settings.weights_files):
        files = {name: weights_file(name) for name in settings.digests}
    for name, file in files.items():
        if not file.is_file() or weights_digest(file) != settings.digests[name]:
            raise InputError(
                f"a measuring process has other weights of {name} ({file}) than the run was started with (SHA-256 "
                f"{settings.digests[name][:12]}...); put those there, or set {weights_variable()} to their folder on "
                "all machines, or on none"
            )


def load_families(settings: Settings) -> tuple[spec.Family, ...]:
    """Load the families of the settings in this process.

    Raises
    ------
    InputError
        A family is missing here but not where the run was started, or has different weights.
    """
    for module in settings.modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise InputError(
                f"a measuring process can't import {module}, which a family is defined in ({type(error).__name__}: "
                f"{error}); install it there, or put it on PYTHONPATH"
            ) from error
    try:
        families = discovery.families(settings.families)
    except UnknownFamilyError as error:
        raise InputError(f"{error}; a measuring process can't find it: install the family's package there") from error
    _check_weights(settings)
    return families


def column_names(families: tuple[str, ...]) -> list[str]:
    """Return the table columns of these families, in the order of ``Result.values``."""
    return [column.name for family in discovery.families(families) for column in family.table_columns]


def failed(
    filename: str,
    status: str,
    error: str,
    families: tuple[str, ...],
    *,
    reason: Reason,
    log: tuple[LogRecord, ...] = (),
) -> Result:
    """Return the row of a clip that could not be measured."""
    values = np.array(list(spec.unmeasured(column_names(families)).values()), np.float32)
    words = without_credentials(error)
    return Result(filename, status, words, values, reasons={reasons.CLIP: reason.value}, log=log)


def measure(filename: str, path: str, settings: Settings) -> Result:
    """Observe a clip (or load its kept Observation) and measure every family on it.

    Global state of the process is unchanged. Only one thread at a time may call it, since the detectors are shared.
    """
    return measured(filename, path, settings)[0]


def measured(
    filename: str, path: str, settings: Settings, recorder: FaceRecorder | None = None
) -> tuple[Result, Observation | None]:
    """Like :func:`measure`, and return the Observation also; None where the clip could not be measured.

    With a recorder the clip is always decoded, even if an Observation is kept; the row is the same.
    """
    try:
        observed, not_kept = _observed(filename, path, settings, recorder)
        return row(filename, observed, settings, not_kept=not_kept), observed
    except Exception as error:
        return _failed(filename, error, settings), None


def _failed(filename: str, error: Exception, settings: Settings) -> Result:
    """Return the row of a clip whose measurement raised an error."""
    match error:
        case ClipError():
            status, words, reason = error.status, str(error), Reason(error.status)
        case OSError():  # the file, disk or network may come back: the next run retries this status
            status, words, reason = "crashed", f"can't be read: {error}", Reason.NOT_FETCHED
        case MemoryError():
            status, words, reason = "crashed", "out of memory", Reason.OUT_OF_MEMORY
        case _:
            logger.error("can't be measured", exc_info=error)
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            status, reason = "crashed", Reason.CRASHED
    return failed(filename, status, words, settings.families, reason=reason)


def observation(filename: str, path: str, settings: Settings) -> Observation:
    """Return the clip's Observation: the kept one if it is of this file, else from a pass over the clip.

    Raises
    ------
    ClipError
        The clip can't be read, or has neither a frame nor audio.
    """
    return _observed(filename, path, settings)[0]


def _observed(
    filename: str, path: str, settings: Settings, recorder: FaceRecorder | None = None
) -> tuple[Observation, str]:
    """Return the clip's Observation, and why it could not be kept; empty when it was kept or none was requested."""
    from extract.clip.decode import ClipReader

    store = ObservationStore(settings.observations, settings.storage_options)
    key = store.key(path, settings.max_seconds)
    if recorder is None and (kept := store.load(filename, key)) is not None:
        return kept, ""
    with ClipReader(path, max_seconds=settings.max_seconds, storage_options=dict(settings.storage_options)) as clip:
        embedded = bool(settings.observations) or recorder is not None or _reads_embeddings(settings.families)
        fresh = _observer().observe(clip, recorder, embedded=embedded)
    try:
        store.save(filename, key, fresh)
    except Exception as error:  # any error of any store: the clip was measured
        expected = isinstance(error, OSError)  # such as a full disk: the row reports it and a traceback would not help
        logger.warning("the observation can't be kept: %s", error, exc_info=None if expected else error)
        return fresh, str(error) or type(error).__name__
    return fresh, ""


def _reads_embeddings(families: Iterable[str]) -> bool:
    """Return whether a family may read face embeddings, as those of other packages may; else no network is loaded."""
    return any(name == "identity" or name not in spec.family_modules() for name in families)


@functools.cache
def _observer():  # type: ignore[no-untyped-def]
    from extract.clip.observe import Observer

    return Observer()


def row(filename: str, observed: Observation, settings: Settings, *, not_kept: str = "") -> Result:
    """Measure every family of the settings on an observation; ``not_kept`` is why the observation could not be kept."""
    families = discovery.families(settings.families)
    with use_weights(settings.weights_files):
        values, failures = measuring.measure_clip(observed, families)
        codes = reasons_of(families, observed, values, failures)
    if observed.warnings:
        codes[reasons.OBSERVATION] = Reason.DAMAGED
    if not_kept:
        codes[reasons.OBSERVATION] = Reason.NOT_KEPT
    unmeasured = _no_cue_of_the_face(families, codes)
    status, error = _status(observed, failures, not_kept, unmeasured=unmeasured)
    return Result(
        filename,
        status,
        error,
        np.array([values[name] for name in column_names(settings.families)], np.float32),
        duration_s=observed.duration_s,
        n_frames=len(observed.times_s),
        n_faces=observed.n_faces,
        reasons={name: code.value for name, code in codes.items()},
    )


def reasons_of(
    families: Iterable[spec.Family],
    observed: Observation,
    values: Mapping[str, float],
    failures: Mapping[str, str],
) -> dict[str, Reason]:
    """Return the reason of each family that has no value for a clip, with the weights in use.

    Parameters
    ----------
    families, observed
        The measured families and the observation.
    values, failures
        The results of :func:`features.measuring.measure_clip`.
    """
    return {family.name: _reason(family, observed, failures) for family in families if _is_undefined(family, values)}


def _no_cue_of_the_face(families: Iterable[spec.Family], codes: Mapping[str, Reason]) -> bool:
    """Return whether several families need the face and none could use it: too small, or too briefly visible."""
    looking = [
        family.name
        for family in families
        if family.needs & {"track", "crops"} and any(column.direction != "covariate" for column in family.columns)
    ]
    return len(looking) > 1 and all(codes.get(name) is Reason.UNUSABLE for name in looking)


def _is_undefined(family: spec.Family, values: Mapping[str, float]) -> bool:
    """Return whether no cue of the family has a value."""
    names = [column.name for column in family.table_columns if not spec.is_share(column.name)]
    return bool(np.isnan([values[name] for name in names]).all())


def _reason(family: spec.Family, observed: Observation, failures: Mapping[str, str]) -> Reason:
    """Return the first reason that applies to a family without values."""
    if family.name in failures:
        return Reason.FAILED
    if "weights" in family.needs and not _installed(family.name):
        return Reason.NOT_INSTALLED
    n_frames = len(observed.times_s)
    lacks = spec.lacking(
        family.needs, audio=observed.audio is not None, video=bool(n_frames), face=bool(observed.tracks)
    )
    if lacks is not None:
        return lacks
    return Reason.TOO_SHORT if 0 < n_frames < MIN_FRAMES else Reason.UNUSABLE


def _installed(family: str) -> bool:
    """Return whether a learned family has its weights, and for projections those of a network in use."""
    return weights_file(family).is_file() and (family != projection.FAMILY or bool(projection.known_networks()))


def _status(observed: Observation, failures: Mapping[str, str], not_kept: str, *, unmeasured: bool) -> tuple[str, str]:
    """Return the most severe status that applies, and the text of all faults and reading decisions."""
    faults: list[tuple[str, str]] = []
    n_frames = len(observed.times_s)
    if not n_frames:
        faults.append(("no_face", NO_VIDEO))
    elif n_frames < MIN_FRAMES:
        faults.append(("too_short", f"only {n_frames} {'frame' if n_frames == 1 else 'frames'}"))
    if n_frames and not observed.tracks:
        faults.append(("no_face", "no face found"))
    faults += [("partial", f"{family} failed: {message}") for family, message in failures.items()]
    faults += [("partial", warning) for warning in observed.warnings]
    if not_kept:
        faults.append(("partial", f"the observation can't be kept ({without_credentials(not_kept)})"))
    if unmeasured:
        faults.append(("partial", "a face was found, but is too small or too briefly seen for any cue of it"))
    if observed.audio is None:
        faults.append(("no_audio", "no audio"))
    lines = [*(text for _, text in faults), *observed.notes]
    return (faults[0][0] if faults else "ok"), "; ".join(lines)
