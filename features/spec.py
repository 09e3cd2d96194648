"""The column and family contracts, and the registry that tables, docs and models read.

A family is one module of this package with one function decorated by :func:`family`, under a docstring whose first line
describes it in a phrase::

    "blink: how often, how far and how fast the eyes shut."

    COLUMNS = (
        Column(
            "blink.rate_per_min",
            unit="1/min",
            range=(0, 120),
            reference="Bentivoglio 1997",
            direction="down",
            description="Blinks a minute.",
        ),
        ...
    )

    @family("blink", version=1, needs={"track"}, columns=COLUMNS)
    def measure(observation, track):
        return {"blink.rate_per_min": 12.0, "blink.valid_share": 0.93}

Importing :mod:`features.spec` imports no family; :func:`families` discovers them all. A family may be part of another
package, which names it by an entry point: see :func:`plug_ins`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import logging
import math
import numbers
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import features.families
from features.errors import InputError
from features.reasons import RESERVED, Reason
from features.threads import opencv_on_one_thread

if TYPE_CHECKING:
    from features.evidence import Series
    from features.observation import Observation, Track

logger = logging.getLogger(__name__)

NAME = re.compile(r"^[a-z][a-z0-9_]*\.[a-zA-Z0-9_]+$")
SENTENCE = re.compile(r"^[A-Z0-9].*\.$")
MAX_VALUE = 3.4028234e38  # of single precision, which tables are in
ROUNDING = 1e-5  # by which a value of single precision may lie beyond a bound of its range, of 1 or of the bound
NEEDS = frozenset({"picture", "sound", "track", "crops", "weights"})

OF_A_FACE = frozenset({"track", "crops"})  # a family that needs neither is measured without a face track, too
SOUND_ALONE = frozenset({"sound", "weights"})  # a family that needs no more is measured without a picture, too


def lacking(needs: Set[str], *, sound: bool, picture: bool, face: bool) -> Reason | None:
    """The first thing that a family with these needs lacks in a clip; None where the clip has all of them.

    Parameters
    ----------
    needs
        Of :data:`NEEDS`.
    sound, picture, face
        Whether the clip has sound and a picture, and whether a face was followed in it.

    >>> lacking({"sound", "track"}, sound=True, picture=True, face=False)
    <Reason.NO_FACE: 'no_face'>
    """
    if "sound" in needs and not sound:
        return Reason.NO_SOUND
    if needs <= SOUND_ALONE:
        return None
    if not picture:
        return Reason.NO_PICTURE
    return Reason.NO_FACE if needs & OF_A_FACE and not face else None


Measure = Callable[["Observation", Any], Mapping[str, float]]
"""Of a clip and one of its face tracks; where there is none, also with None, of families that need no face."""

SeriesOf = Callable[["Observation", Any], "Mapping[str, Series]"]
"""Of a clip and one of its face tracks, or, where the family needs sound, None, for what is heard whoever is seen.

``family.name`` of each series to its values over time; what can't be measured is left out."""


EVERY_CHANGE = frozenset({"mirror", "brightness", "translation", "scale", "gain", "clock"})
"""What a test may do to a clip: the image mirrored, lit, moved, scaled; the sound amplified; both begun later."""


@dataclass(frozen=True)
class Column:
    """One number of a clip.

    Parameters
    ----------
    name
        ``family.quantity_statistic[_unit]``, letters, digits and underscores.
    unit
        ``"1"`` for a pure number; ``s``, ``px``, ``iod`` (inter-ocular distances), ``dB``, ``deg``, ...
    range
        Closed interval that holds every value but NaN; one outside of it is a fault of the family, and an infinite one.
    reference
        Where the measure comes from.
    direction
        ``"up"`` or ``"down"``: expected in a forgery; ``"either"``; ``"covariate"``: no evidence by itself.
    invariant_to
        Of :data:`EVERY_CHANGE`: what a test may change freely; ``brightness`` is of the picture, ``gain`` of the sound.
    worst
        ``"max"`` adds a column ``<name>_max``: the largest over all faces of a clip with two or more.
    description
        One sentence on what the number is, for a reader who does not read code; required.

    Raises
    ------
    ValueError
        The name, the direction, a change or ``worst`` is unknown, the range is empty, or the description is no
        sentence.

    Examples
    --------
    >>> Column("blink.count", description="Number of blinks.").family
    'blink'
    """

    name: str
    unit: str = "1"
    range: tuple[float, float] = (float("-inf"), float("inf"))
    reference: str = ""
    direction: str = "either"
    invariant_to: frozenset[str] = frozenset()
    worst: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise ValueError(f"column name {self.name!r} is not family.quantity_statistic[_unit]")
        if self.direction not in {"up", "down", "either", "covariate"}:
            raise ValueError(f"column {self.name}: direction {self.direction!r}")
        if unknown := self.invariant_to - EVERY_CHANGE:
            raise ValueError(f"column {self.name}: nothing changes {sorted(unknown)[0]!r}")
        if self.worst not in {"", "max"}:
            raise ValueError(f"column {self.name}: worst = {self.worst!r}; only 'max' adds a column")
        if not self.range[0] <= self.range[1]:
            raise ValueError(f"column {self.name}: range {self.range} holds nothing; give the lower bound first")
        if not SENTENCE.match(self.description):
            raise ValueError(
                f"column {self.name}: description {self.description!r}; say in a sentence that ends with a full stop "
                "what the number is"
            )

    @property
    def family(self) -> str:
        """The part of the name before the point."""
        return self.name.split(".", 1)[0]


def is_share(column: str) -> bool:
    """Whether a column says only how much of what its family needs was there: no cue, and 0 where nothing was.

    >>> is_share("eyes_teeth.valid_iris_share"), is_share("eyes_teeth.teeth_ten")
    (True, False)
    """
    name = column.rpartition(".")[2]
    return name.startswith("valid_") and name.endswith("share")


def unmeasured(columns: Iterable[str]) -> dict[str, float]:
    """Values of columns where nothing was there to be measured: 0 of a share, NaN of a cue.

    >>> unmeasured(["eyes_teeth.teeth_ten", "eyes_teeth.valid_share"])
    {'eyes_teeth.teeth_ten': nan, 'eyes_teeth.valid_share': 0.0}
    """
    return {name: 0.0 if is_share(name) else float("nan") for name in columns}


def complete_row(columns: Sequence[Column], values: Mapping[str, float]) -> dict[str, float]:
    """What a family's ``measure`` returns: every column by its full name, NaN where ``values`` has none.

    Parameters
    ----------
    columns
        Of one family; at least one.
    values
        By name without the family.

    Examples
    --------
    >>> columns = [Column(f"mine.{name}", description="Some number.") for name in ("size", "valid_share")]
    >>> complete_row(columns, {"valid_share": 0.5})
    {'mine.size': nan, 'mine.valid_share': 0.5}
    """
    missing = {column.name: float("nan") for column in columns}
    return missing | {f"{columns[0].family}.{name}": float(value) for name, value in values.items()}


@dataclass(frozen=True)
class Family:
    """A named, versioned set of columns and the function that measures them on one face track of a clip."""

    name: str
    version: int
    needs: frozenset[str]
    columns: tuple[Column, ...]
    measure: Measure = field(compare=False)
    series: SeriesOf | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"family {self.name} declares a column twice")
        if strangers := [name for name in names if not name.startswith(f"{self.name}.")]:
            raise ValueError(f"family {self.name} declares {strangers[0]}, which belongs to another")
        if f"{self.name}.valid_share" not in names:
            raise ValueError(f"family {self.name} lacks {self.name}.valid_share")
        if isinstance(self.version, bool) or not isinstance(self.version, numbers.Integral) or self.version < 1:
            raise ValueError(f"family {self.name}: version {self.version!r} is not a whole number above 0")
        if unknown := self.needs - NEEDS:
            raise ValueError(f"family {self.name} needs {sorted(unknown)}; known are {sorted(NEEDS)}")

    @property
    def table_columns(self) -> tuple[Column, ...]:
        """The columns that the table has: the declared ones, then the ``_max`` twins."""
        twins = (
            replace(c, name=f"{c.name}_max", worst="", description=f"{c.description} The largest over all faces.")
            for c in self.columns
            if c.worst == "max"
        )
        return (*self.columns, *twins)

    @property
    def documentation(self) -> str:
        """The docstring of the module that measures it."""
        return inspect.getdoc(inspect.getmodule(self.measure)) or ""

    @property
    def description(self) -> str:
        """Describes it in a phrase: the first line of the documentation without the family's name."""
        return self.documentation.partition("\n")[0].removeprefix(f"{self.name}:").strip().removesuffix(".")


_registry: dict[str, Family] = {}

PLUG_INS = "deepcue.families"
"""Entry-point group by which another package names its families: ``mycue = "my_package.mycue"``."""


def family(
    name: str, *, version: int, needs: Iterable[str], columns: Iterable[Column], series: SeriesOf | None = None
) -> Callable[[Measure], Measure]:
    """Register the decorated function as the measure of a family.

    A module may register its families again, as one that is reloaded in a notebook does.

    Parameters
    ----------
    name
        Of the family; its columns are called ``name.quantity``.
    version
        A whole number, raised whenever a value changes: tables and models hold it.
    needs
        Of ``"picture", "sound", "track", "crops", "weights"``: what there must be; messages name what is missing. Who
        needs neither ``"track"`` nor ``"crops"`` is measured of a clip without a face, too, with None as the track. One
        may be a string by itself.
    columns
        What the function returns; one is ``name.valid_share``.
    series
        For a cue that lives in time, the function that gives its series (:class:`features.evidence.Series`), by
        ``name.quantity``, of the same arguments; pages draw them, and the measure is computed from them. Where the
        family needs sound, it is called without a track (None), too, for the series of the sound alone.

    Returns
    -------
    Callable
        The decorator. The function takes an ``Observation``, whose arrays are read-only, and one of its tracks, and
        returns column name to value.

    Raises
    ------
    InputError
        A family of another module is called so, or the name is reserved.

    Examples
    --------
    >>> from deepcue import Column, family
    >>> COLUMNS = (
    ...     Column("tempo.frames_per_s", unit="1/s", range=(0, 1000), description="Frames shown in a second."),
    ...     Column("tempo.valid_share", range=(0, 1), description="1 for a clip of two frames or more."),
    ... )
    >>> @family("tempo", version=1, needs={"picture"}, columns=COLUMNS)
    ... def measure(observation, track):
    ...     n = len(observation.times_s)
    ...     return {"tempo.frames_per_s": n / observation.duration_s, "tempo.valid_share": float(n > 1)}
    """

    def register(measure: Measure) -> Measure:
        wanted = frozenset([needs] if isinstance(needs, str) else needs)
        made = Family(name, version, wanted, tuple(columns), measure, series)
        _check_name(name, measure.__module__)
        _registry[name] = made
        return measure

    return register


def _check_name(name: str, module: str) -> None:
    if name in RESERVED:
        raise InputError(f"no family may be called {name!r} (module {module}); rename it")
    earlier = f"{features.families.__name__}.{name}" if name in family_modules() else ""
    if name in _registry:
        earlier = _registry[name].measure.__module__
    if earlier and earlier != module:
        raise InputError(f"two families are called {name!r}, of the modules {earlier} and {module}; rename one of them")


def family_modules() -> tuple[str, ...]:
    """Names of the modules of :mod:`features.families`, each of which registers a family, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(features.families.__path__)))


@functools.cache
def plug_ins() -> Mapping[str, tuple[importlib.metadata.EntryPoint, ...]]:
    """Families that other packages name, not loaded: the name of each to its entry points of :data:`PLUG_INS`.

    An entry point is called like the family that its module registers; a name with two is taken twice.
    """
    points: dict[str, tuple[importlib.metadata.EntryPoint, ...]] = {}
    for point in sorted(importlib.metadata.entry_points(group=PLUG_INS), key=lambda point: (point.name, point.value)):
        points[point.name] = (*points.get(point.name, ()), point)
    return points


@functools.cache
def fault(name: str) -> str:
    """Why another package's family of this name can't be used, in a sentence; empty where it can, or there is none.

    It is loaded, once a process.
    """
    points = plug_ins().get(name, ())
    packages = [point.dist.name if point.dist is not None else point.module for point in points]
    if points and name in family_modules():
        return f"two families are called {name!r}: one is built in, one of package {packages[0]}; uninstall that"
    if len(points) > 1:
        return f"two families are called {name!r}, of packages {' and '.join(packages)}; uninstall one of them"
    return _fault_in_loading(points[0], packages[0]) if points else ""


def _fault_in_loading(point: importlib.metadata.EntryPoint, package: str) -> str:
    try:
        point.load()
    except InputError as error:
        return str(error)
    except Exception as error:
        logger.debug("package %s can't be loaded", package, exc_info=True)
        return f"package {package}: its family {point.name!r} can't be loaded ({type(error).__name__}: {error}); fix it"
    known = point.name in _registry
    return "" if known else f"package {package}: {point.module} registers no family called {point.name!r}; fix it"


@functools.cache
def _usable_plug_ins() -> frozenset[str]:
    """Names of other packages' families that can be used; a warning says, once, which others are left out."""
    faults = {name: why for name in plug_ins() if (why := fault(name))}
    for why in faults.values():
        logger.warning("a cue family of another package is left out: %s", why)
    return frozenset(plug_ins().keys() - faults.keys())


def families(names: Iterable[str] | None = None) -> tuple[Family, ...]:
    """Every family, or those named, sorted by name.

    There are those of :mod:`features.families`, those of other packages that :func:`plug_ins` finds, and those that
    this process registered by importing a module or running a notebook's cell. Of all families, one of another package
    that can't be loaded is left out with a warning.

    Raises
    ------
    KeyError
        A name that no module registers.
    InputError
        A family that is named can't be loaded, or two are called so.
    """
    built_in = set(family_modules())
    if names is None:
        wanted = {*built_in, *_usable_plug_ins(), *(_registry.keys() - plug_ins().keys())}
    else:
        wanted = set(names)
        if why := next(filter(None, map(fault, sorted(wanted))), ""):
            raise InputError(why)
    for name in wanted & built_in:  # a family is called like its module
        importlib.import_module(f"{features.families.__name__}.{name}")
    if unknown := sorted(wanted - _registry.keys()):
        known = ", ".join(sorted({*built_in, *_registry}))
        raise KeyError(f"no family is called {unknown[0]!r}; there are {known}")
    return tuple(_registry[name] for name in sorted(wanted))


def undiscovered_modules(chosen: Iterable[Family]) -> tuple[str, ...]:
    """Modules that another process must import to know these families, because :func:`families` does not find them.

    ``__main__`` stands for a notebook or a script.
    """
    found = {*family_modules(), *plug_ins()}
    return tuple(sorted({one.measure.__module__ for one in chosen if one.name not in found}))


def describe(name: str) -> str:
    """:attr:`Family.description` of a family; empty when none is called so, as among cues that others measured."""
    known = {*family_modules(), *plug_ins(), *_registry}
    return families([name])[0].description if name in known and not fault(name) else ""


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
            except Exception as error:  # a cue's fault costs its own columns only
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
    row = {name: float(value) for name, value in one.measure(observation, track).items()}
    ranges = {column.name: column.range for column in one.columns}
    if strangers := sorted(row.keys() - ranges.keys()):
        raise ValueError(f"{one.name} returned {strangers[0]}, which it did not declare")
    for name, value in row.items():
        _check_value(name, value, ranges[name])
    return row


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
