"""Families measured on one clip, each by itself: a fault of one costs its own columns."""

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

MAX_VALUE = 3.4028234e38  # of single precision, which tables are in
ROUNDING = 1e-5  # by which a value of single precision may lie beyond a bound of its range, of 1 or of the bound


def measure_clip(observation: Observation, chosen: Iterable[Family]) -> tuple[dict[str, float], dict[str, str]]:
    """Measure families on a clip, on one thread: the main face's columns, and the worst over all faces where asked.

    Returns
    -------
    values
        A float for every table column of ``chosen``; NaN where undefined.
    failures
        Family name to message, for families that raised. Their columns are NaN; only those over all faces, where it
        was on another face than the main one.
    """
    values: dict[str, float] = {}
    failures: dict[str, str] = {}
    with opencv_on_one_thread():
        for one in chosen:
            values |= unmeasured(column.name for column in one.table_columns)
            where = ""
            try:
                main = _main_face(one, observation)
                values |= main
                where = " (on another face than the main one)"
                values |= _largest(one, observation, main)
            except (Exception, SystemExit) as error:  # a cue's fault costs its own columns only, also `sys.exit`
                logger.warning("family %s failed%s: %s", one.name, where, error, exc_info=True)
                failures[one.name] = f"{type(error).__name__}: {error}{where}"
    return values, failures


def _main_face(one: Family, observation: Observation) -> dict[str, float]:
    """The family's columns of the main face; without a face those of picture and sound, if it needs no more."""
    if observation.tracks:
        return _checked(one, observation, observation.tracks[0])
    is_there = len(observation.times_s) > 0 or "picture" not in one.needs
    return _checked(one, observation, None) if is_there and not one.needs & OF_A_FACE else {}


def _largest(one: Family, observation: Observation, main: Mapping[str, float]) -> dict[str, float]:
    """The ``_max`` twins: the largest of the finite values of all faces; none for a clip with fewer than two."""
    worst = [column.name for column in one.columns if column.worst == "max"]
    others = observation.tracks[1:] if worst else ()
    if not others:
        return {}
    measured = [main, *(_checked(one, observation, track) for track in others)]
    finite = {name: [row[name] for row in measured if row.get(name) == row.get(name) and name in row] for name in worst}
    return {f"{name}_max": max(some) for name, some in finite.items() if some}


def _checked(one: Family, observation: Observation, track: Track | None) -> dict[str, float]:
    measured = one.measure(observation, track)
    if not hasattr(measured, "items"):
        raise TypeError(f"{one.name} returned {_brief(measured)}, not a dict of column name to number")
    row = {name: _number(name, value) for name, value in measured.items()}
    ranges = {column.name: column.range for column in one.columns}
    if strangers := sorted(row.keys() - ranges.keys()):
        raise ValueError(f"{one.name} returned {strangers[0]}, which it did not declare")
    for name, value in row.items():
        _check_value(name, value, ranges[name])
    return row


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} = {_brief(value)} is not a number; return a float, or NaN where undefined") from error


def _brief(value: object) -> str:
    return reprlib.repr(value)


def _check_value(name: str, value: float, span: tuple[float, float]) -> None:
    """Refuse a value that is infinite, in a table as well, or outside its column's range."""
    if math.isnan(value):
        return
    if abs(value) > MAX_VALUE:
        raise ValueError(f"{name} = {value:g}, which a table can't hold; return NaN where it is undefined")
    low, high = (float(bound) for bound in span)
    if not low - _rounding(low) <= value <= high + _rounding(high):
        raise ValueError(f"{name} = {value:g}, which is outside its range from {low:g} to {high:g}")


def _rounding(bound: float) -> float:
    """How far from a bound a value may lie by rounding; nothing is beyond an infinite one."""
    return ROUNDING * max(1.0, abs(bound)) if math.isfinite(bound) else 0.0
