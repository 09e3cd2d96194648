"""The column and family contracts, and the registry of families that modules fill.

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

Importing this module imports no family; :mod:`features.discovery` finds them all, :mod:`features.measuring` measures
them.
"""

from __future__ import annotations

import inspect
import numbers
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import features.families
from features.errors import InputError
from features.reasons import RESERVED, Reason

if TYPE_CHECKING:
    from features.evidence import Series
    from features.observation import Observation

NAME = re.compile(r"^[a-z][a-z0-9_]*\.[a-zA-Z0-9_]+$")
SENTENCE = re.compile(r"^[A-Z0-9].*\.$")
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
    invariant_to: Set[str] = frozenset()
    worst: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise ValueError(f"column name {self.name!r} is not family.quantity_statistic[_unit]")
        if self.direction not in {"up", "down", "either", "covariate"}:
            raise ValueError(f"column {self.name}: direction {self.direction!r}")
        changes = [self.invariant_to] if isinstance(self.invariant_to, str) else self.invariant_to
        object.__setattr__(self, "invariant_to", frozenset(changes))  # a set would make the column unhashable
        if unknown := self.invariant_to - EVERY_CHANGE:
            raise ValueError(f"column {self.name}: nothing changes {sorted(unknown)[0]!r}")
        if self.worst not in {"", "max"}:
            raise ValueError(f"column {self.name}: worst = {self.worst!r}; only 'max' adds a column")
        if len(self.range) != 2:
            raise ValueError(
                f"column {self.name}: range {self.range} is not a pair; give the lower and the upper bound"
            )
        object.__setattr__(self, "range", tuple(self.range))
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


registry: dict[str, Family] = {}
"""Families that a module has registered so far, by name."""


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
        registry[name] = made
        return measure

    return register


def _check_name(name: str, module: str) -> None:
    if name in RESERVED:
        raise InputError(f"no family may be called {name!r} (module {module}); rename it")
    earlier = f"{features.families.__name__}.{name}" if name in family_modules() else ""
    if name in registry:
        earlier = registry[name].measure.__module__
    if earlier and earlier != module:
        raise InputError(f"two families are called {name!r}, of the modules {earlier} and {module}; rename one of them")


def family_modules() -> tuple[str, ...]:
    """Names of the modules of :mod:`features.families`, each of which registers a family, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(features.families.__path__)))
