"""Measure cue families on one clip, one by one: a fault of a family costs only its own columns."""

from __future__ import annotations

import logging
import math
import reprlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from features.spec import OF_A_FACE, Family, unmeasured
from features.threads import opencv_on_one_thread

if TYPE_CHECKING:
    from features.observation import Observation, Track

logger = logging.getLogger(__name__)

MAX_VALUE = 3.4028234e38  # the largest number of single precision, in which tables are stored
ROUNDING = 1e-5  # how far a value may lie beyond a bound of its range, relative to the bound, or to 1 if larger


def measure_clip(observation: Observation, chosen: Iterable[Family]) -> tuple[dict[str, float], dict[str, str]]:
    """Measure families on a clip, on one thread: the columns of the main face, and the declared maxima over all faces.

    Returns
    -------
    values
        A float for every table column of ``chosen``; NaN where undefined.
    failures
        Family name to message, for families that raised. Their columns are NaN; if a family raised on a face other
        than the main one, only its columns over all faces are.
    """
    values: dict[str, float] = {}
    failures: dict[str, str] = {}
    with opencv_on_one_thread():
        for family in chosen:
            values |= unmeasured(column.name for column in family.table_columns)
            where = ""
            try:
                main = _main_face(family, observation)
                values |= main
                where = " (on another face than the main one)"
                values |= _largest(family, observation, main)
            except (Exception, SystemExit) as error:  # a cue's fault costs its own columns only, also `sys.exit`
                logger.warning("family %s failed%s: %s", family.name, where, error, exc_info=True)
                failures[family.name] = f"{type(error).__name__}: {error}{where}"
    return values, failures


def _main_face(family: Family, observation: Observation) -> dict[str, float]:
    """Return the family's columns for the main face; for a clip without a face, only if the family needs no face."""
    if observation.tracks:
        return _checked(family, observation, observation.tracks[0])
    has_frames = len(observation.times_s) > 0 or "picture" not in family.needs
    return _checked(family, observation, None) if has_frames and not family.needs & OF_A_FACE else {}


def _largest(family: Family, observation: Observation, main: Mapping[str, float]) -> dict[str, float]:
    """Return the ``_max`` columns, the largest finite value over all faces; none for a clip with fewer than two."""
    worst = [column.name for column in family.columns if column.worst == "max"]
    others = observation.tracks[1:] if worst else ()
    if not others:
        return {}
    measured = [main, *(_checked(family, observation, track) for track in others)]
    finite = {name: [row[name] for row in measured if not math.isnan(row[name])] for name in worst}
    return {f"{name}_max": max(some) for name, some in finite.items() if some}


def _checked(family: Family, observation: Observation, track: Track | None) -> dict[str, float]:
    measured = family.measure(observation, track)
    if not hasattr(measured, "items"):
        raise TypeError(f"{family.name} returned {_brief(measured)}, not a dict of column name to number")
    row = {name: _number(name, value) for name, value in measured.items()}
    ranges = {column.name: column.range for column in family.columns}
    if strangers := sorted(row.keys() - ranges.keys()):
        raise ValueError(f"{family.name} returned {strangers[0]}, which it did not declare")
    for name, value in row.items():
        _check_value(name, value, ranges[name])
    if missing := sorted(ranges.keys() - row.keys()):
        raise ValueError(f"{family.name} did not return {_brief(missing)}; return NaN where a value is undefined")
    return row


def _number(name: str, value: Any) -> float:
    fault = f"{name} = {_brief(value)} is not a number; return a float, or NaN where undefined"
    if isinstance(value, (str, bytes, bytearray)):
        raise ValueError(fault)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(fault) from error


def _brief(value: object) -> str:
    return reprlib.repr(value)


def _check_value(name: str, value: float, span: tuple[float, float]) -> None:
    """Refuse a value that is infinite, also in single precision, or outside its column's range."""
    if math.isnan(value):
        return
    if abs(value) > MAX_VALUE:
        raise ValueError(f"{name} = {value:g}, which a table can't hold; return NaN where it is undefined")
    low, high = (float(bound) for bound in span)
    if not low - _rounding(low) <= value <= high + _rounding(high):
        raise ValueError(f"{name} = {value:g}, which is outside its range from {low:g} to {high:g}")


def _rounding(bound: float) -> float:
    """How far beyond a bound a value may lie by rounding; 0 for an infinite bound."""
    return ROUNDING * max(1.0, abs(bound)) if math.isfinite(bound) else 0.0
