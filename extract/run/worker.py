"""One clip in, one row out, never an exception."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.run.observation_store import ObservationStore
from features import spec
from features.errors import ClipError
from features.networks.weights import use_weights
from features.observation import Observation

logger = logging.getLogger(__name__)

MAX_SECONDS = 120.0
NOT_KEPT = "the observation can't be kept"
MIN_FRAMES = 8  # a shorter clip has no series to speak of


@dataclass(frozen=True)
class Settings:
    """What a row depends on besides the clip; sent to every worker."""

    families: tuple[str, ...]
    max_seconds: float = MAX_SECONDS
    observations: str = ""
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    """Family to weights file, in place of those in use."""


@dataclass(frozen=True)
class Result:
    """A clip's part of the table: what happened to it, and its numbers.

    ``values`` follows the table columns of the settings' families, in order; float32, NaN where undefined.
    """

    filename: str
    status: str
    error: str
    values: NDArray[np.float32]
    duration_s: float = float("nan")
    n_frames: int = 0
    n_faces: int = 0


def column_names(families: tuple[str, ...]) -> list[str]:
    """Names of the table columns of these families, in the order of ``Result.values``."""
    return [column.name for one in spec.families(families) for column in one.table_columns]


def failed(filename: str, status: str, error: str, families: tuple[str, ...]) -> Result:
    """The row of a clip of which nothing is known but what went wrong."""
    names = column_names(families)
    values = np.array([0.0 if name.endswith(".valid_share") else np.nan for name in names], np.float32)
    return Result(filename, status, error, values)


def measure(filename: str, path: str, settings: Settings) -> Result:
    """Observe a clip (or load its kept Observation) and measure every family on it."""
    try:
        return row(filename, observation(filename, path, settings), settings)
    except ClipError as error:
        return failed(filename, error.status, str(error), settings.families)
    except FileNotFoundError as error:
        return failed(filename, "unreadable", f"can't be read: {error}", settings.families)
    except OSError as error:  # a disk or a network that may come back: a status that the next run tries again
        return failed(filename, "crashed", f"can't be read: {error}", settings.families)
    except MemoryError:
        return failed(filename, "crashed", "out of memory", settings.families)
    except Exception as error:
        logger.exception("%s", filename)
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
        return failed(filename, "crashed", message, settings.families)


def observation(filename: str, path: str, settings: Settings) -> Observation:
    """The clip's Observation: the kept one if it is of this very file, else from a pass over the clip.

    One that can't be kept says so in its warnings, and is measured all the same.
    """
    from extract.clip.decode import Clip

    keeper = ObservationStore(settings.observations, settings.storage_options)
    key = keeper.key(path, settings.max_seconds)
    if (kept := keeper.load(filename, key)) is not None:
        return kept
    with Clip(path, max_seconds=settings.max_seconds, storage_options=dict(settings.storage_options)) as clip:
        fresh = _observer().observe(clip)
    try:
        keeper.save(filename, key, fresh)
    except OSError as error:
        return replace(fresh, warnings=(*fresh.warnings, f"{NOT_KEPT} ({error})"))
    return fresh


@functools.cache
def _observer():  # type: ignore[no-untyped-def]
    from extract.clip.observe import Observer

    return Observer()


def row(filename: str, observed: Observation, settings: Settings) -> Result:
    """Every family of the settings, measured on an observation."""
    families = settings.families
    with use_weights({family: Path(file) for family, file in settings.weights.items()}):
        values, failures = spec.measure_clip(observed, spec.families(families))
    status, warnings = _status(observed, failures)
    return Result(
        filename,
        status,
        "; ".join(warnings),
        np.array([values[name] for name in column_names(families)], np.float32),
        duration_s=observed.duration_s,
        n_frames=len(observed.times_s),
        n_faces=observed.n_faces,
    )


def _status(observed: Observation, failures: Mapping[str, str]) -> tuple[str, list[str]]:
    """The gravest of what holds, and everything that holds in words."""
    said: list[tuple[str, str]] = []
    if len(observed.times_s) < MIN_FRAMES:
        said.append(("too_short", f"only {len(observed.times_s)} frames"))
    if not observed.tracks:
        said.append(("no_face", "no face found"))
    said += [("partial", f"{family} failed: {message}") for family, message in failures.items()]
    said += [("partial", remark) for remark in observed.warnings]
    if observed.audio is None:
        said.append(("no_audio", "no sound"))
    return (said[0][0] if said else "ok"), [text for _, text in said]
