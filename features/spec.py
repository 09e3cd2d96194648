"""The column and family contracts, and the registry of families that modules fill.

A family is one module with one function decorated by :func:`family`. The first line of the module's docstring describes
the family in a phrase::

    "blink: how often, how far and how fast the eyes shut."

    COLUMNS = (
        Column(
            "blink.rate_per_min",
            unit="1/min",
            range=(0, 120),
            reference="Bentivoglio 1997",
            direction="down",
            description="Blinks per minute.",
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
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeVar

import features.families
from features.errors import InputError
from features.reasons import RESERVED, Reason

if TYPE_CHECKING:
    from features.evidence import Series
    from features.observation import Observation

NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-zA-Z0-9_]+")
SENTENCE = re.compile(r"[A-Z0-9].*\.")
NEEDS = frozenset({"picture", "sound", "track", "crops", "weights"})

OF_A_FACE = frozenset({"track", "crops"})  # a family that needs neither is also measured without a face track
AUDIO_ONLY = frozenset({"sound", "weights"})  # a family that needs no more is also measured without video


def lacking(needs: Set[str], *, audio: bool, video: bool, face: bool) -> Reason | None:
    """Return the first need of a family that a clip does not meet; None if the clip meets all of them.

    Parameters
    ----------
    needs
        Needs of the family, of :data:`NEEDS`.
    audio, video, face
        Whether the clip has audio, video and a tracked face.

    >>> lacking({"sound", "track"}, audio=True, video=True, face=False)
    <Reason.NO_FACE: 'no_face'>
    """
    if "sound" in needs and not audio:
        return Reason.NO_AUDIO
    if needs <= AUDIO_ONLY:
        return None
    if not video:
        return Reason.NO_VIDEO
    return Reason.NO_FACE if needs & OF_A_FACE and not face else None


Measure = Callable[["Observation", Any], Mapping[str, SupportsFloat]]
"""Measures a clip and one of its face tracks; in a family that needs no face, the track is None for a clip without."""
M = TypeVar("M", bound=Measure)  # a decorated function keeps its own type

SeriesOf = Callable[["Observation", Any], "Mapping[str, Series]"]
"""Returns the series of a clip and one of its face tracks, as ``family.name`` to :class:`features.evidence.Series`.

If the family needs audio, it is also called with None as the track, for the series of the audio alone. Series that
can't be measured are left out."""


DIRECTIONS = ("up", "down", "either", "covariate")
WORST = ("", "max")
EVERY_CHANGE = frozenset({"mirror", "brightness", "translation", "scale", "gain", "clock"})
"""Changes of a clip that a column may be invariant to: the image mirrored, brighter, moved or scaled; the audio
amplified; video and audio starting later."""


@dataclass(frozen=True)
class Column:
    """Declare one number that a family measures on a clip.

    Parameters
    ----------
    name
        ``family.quantity_statistic[_unit]``, letters, digits and underscores.
    unit
        ``"1"`` for a pure number; ``s``, ``px``, ``iod`` (inter-ocular distances), ``dB``, ``deg``, ...
    range
        Closed interval that holds every value except NaN. A value outside it, or an infinite one, is an error.
    reference
        Paper or method that the measure comes from.
    direction
        Expected change in a forgery: ``"up"``, ``"down"`` or ``"either"``; ``"covariate"`` for no evidence by itself.
    invariant_to
        Changes of a clip that must not change the value, any of ``"mirror"``, ``"brightness"``, ``"translation"``,
        ``"scale"`` (of the image), ``"gain"`` (of the audio) and ``"clock"`` (video and audio start later).
    worst
        ``"max"`` adds a column ``<name>_max``: the largest value over all faces of a clip with two or more.
    description
        One sentence that says what the number is, for readers who don't read code; required.

    Raises
    ------
    ValueError
        An illegal name, an unknown direction, change or ``worst``, an empty range, or a description that is not a
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
        if not (isinstance(self.name, str) and NAME.fullmatch(self.name)):
            raise ValueError(f"column name {self.name!r} is not family.quantity_statistic[_unit]")
        object.__setattr__(self, "invariant_to", self._known_changes(self.invariant_to))
        if self.direction not in DIRECTIONS:
            raise self._fault(f"direction must be one of {', '.join(DIRECTIONS)}; it is {self.direction!r}")
        if self.worst not in WORST:
            raise self._fault(f"worst must be '' or 'max'; it is {self.worst!r}")
        self._check_range()
        if not (isinstance(self.description, str) and SENTENCE.fullmatch(self.description)):
            raise self._fault(
                f"description {self.description!r}; say in a sentence that ends with a full stop what the number is"
            )

    def _known_changes(self, changes: Iterable[str]) -> frozenset[str]:
        """Return the changes as a frozenset; any collection of changes, or a single one, may be given."""
        known = ", ".join(sorted(EVERY_CHANGE))
        try:
            given = frozenset([changes] if isinstance(changes, str) else changes)
        except TypeError as error:
            raise self._fault(f"invariant_to must be a set of changes; known: {known}") from error
        if unknown := sorted(map(repr, given - EVERY_CHANGE)):
            raise self._fault(f"unknown change {unknown[0]} in invariant_to; known: {known}")
        return given

    def _check_range(self) -> None:
        try:
            low, high = (float(bound + 0.0) for bound in self.range)  # text raises a TypeError
        except (TypeError, ValueError) as error:
            raise self._fault(
                f"range {self.range!r} is not a pair of numbers; give the lower and the upper bound"
            ) from error
        object.__setattr__(self, "range", tuple(self.range))  # a list would make the column unhashable
        if not low <= high:
            raise self._fault(f"range {self.range} holds nothing; give the lower bound first")

    def _fault(self, message: str) -> ValueError:
        return ValueError(f"column {self.name}: {message}")

    @property
    def family(self) -> str:
        """The part of the name before the dot."""
        return self.name.split(".", 1)[0]


def columns_of(family: str, **usual: Any) -> Callable[..., Column]:
    """Return ``column(name, description, **fields)``, which declares a column of a family.

    Parameters
    ----------
    family
        Name of the family, put before the name of each column.
    usual
        Fields of :class:`Column` that the columns have unless a call gives another value.

    Examples
    --------
    >>> column = columns_of("gait", unit="s", range=(0, 60))
    >>> column("step_med", "Median duration of a step.", direction="up").name
    'gait.step_med'
    """

    def column(name: str, description: str, **fields: Any) -> Column:
        return Column(f"{family}.{name}", description=description, **usual | fields)

    return column


def is_share(column: str) -> bool:
    """Return whether a column is no cue but the fraction of its family's input that could be used, 0 without input.

    >>> is_share("eyes_teeth.valid_iris_share"), is_share("eyes_teeth.teeth_ten")
    (True, False)
    """
    name = column.rpartition(".")[2]
    return name.startswith("valid_") and name.endswith("share")


def unmeasured(columns: Iterable[str]) -> dict[str, float]:
    """Return the values of columns that could not be measured: 0 for a ``valid_share``, NaN for a cue.

    >>> unmeasured(["eyes_teeth.teeth_ten", "eyes_teeth.valid_share"])
    {'eyes_teeth.teeth_ten': nan, 'eyes_teeth.valid_share': 0.0}
    """
    return {name: 0.0 if is_share(name) else float("nan") for name in columns}


def complete_row(columns: Sequence[Column], values: Mapping[str, float]) -> dict[str, float]:
    """Return every column by its full name, NaN where ``values`` has none: the result of a family's ``measure``.

    Parameters
    ----------
    columns
        Columns of one family; at least one.
    values
        Values by column name without the family.

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
        if twins := {column.name for column in self.table_columns[len(names) :]} & set(names):
            raise ValueError(f"family {self.name} declares {min(twins)}, which worst='max' adds; rename it")
        if strangers := [name for name in names if not name.startswith(f"{self.name}.")]:
            raise ValueError(f"family {self.name} declares {strangers[0]}; its columns must begin with '{self.name}.'")
        if f"{self.name}.valid_share" not in names:
            raise ValueError(
                f"family {self.name} lacks the column {self.name}.valid_share: the fraction of its input (frames, "
                "crops, time) that could be measured"
            )
        if isinstance(self.version, bool) or not isinstance(self.version, numbers.Integral) or self.version < 1:
            raise ValueError(f"family {self.name}: version {self.version!r} is not a whole number above 0")
        object.__setattr__(self, "version", int(self.version))  # JSON holds no numpy scalar
        if unknown := self.needs - NEEDS:
            raise ValueError(
                f"family {self.name}: unknown need {sorted(unknown)[0]!r}; known: {', '.join(sorted(NEEDS))}"
            )

    @property
    def table_columns(self) -> tuple[Column, ...]:
        """The columns of the table: the declared ones, then the ``_max`` columns."""
        twins = (
            replace(c, name=f"{c.name}_max", worst="", description=f"{c.description} The largest over all faces.")
            for c in self.columns
            if c.worst == "max"
        )
        return (*self.columns, *twins)

    @property
    def module(self) -> str:
        """Name of the module that defines the family; ``__main__`` for code that ran without a ``__name__``."""
        return self.measure.__module__ or "__main__"

    @property
    def documentation(self) -> str:
        """The docstring of the family's module."""
        return inspect.getdoc(inspect.getmodule(self.measure)) or ""

    @property
    def description(self) -> str:
        """A phrase that describes the family: the first line of its documentation without its name."""
        return self.documentation.partition("\n")[0].removeprefix(f"{self.name}:").strip().removesuffix(".")


registry: dict[str, Family] = {}
"""Families that a module has registered so far, by name."""


def family(
    name: str, *, version: int, needs: Iterable[str], columns: Iterable[Column], series: SeriesOf | None = None
) -> Callable[[M], M]:
    """Register the decorated function as the measure of a cue family.

    A module may register its families again, for example when it is reloaded in a notebook.

    Parameters
    ----------
    name
        Name of the family; its columns are called ``name.quantity``.
    version
        A whole number from 1. Raise it whenever a value changes: tables and models record it.
    needs
        Input that must exist, any of ``"picture"`` (video), ``"sound"`` (audio), ``"track"``, ``"crops"`` and
        ``"weights"``; messages name what is missing. A family that needs neither ``"track"`` nor ``"crops"`` is also
        measured on clips without a face, with None as the track. A single need may be given as a string.
    columns
        Columns that the function returns; one of them is ``name.valid_share``.
    series
        For a cue that varies over time, a function of the same arguments that returns a mapping from ``name.quantity``
        to ``deepcue.Series``. Reports draw the series, and the columns should be computed from them. If the family
        needs audio, the function is also called without a track (None), for the series of the audio alone.

    Returns
    -------
    Callable
        The decorator. The decorated function takes an ``Observation``, whose arrays are read-only, and one of its
        tracks, and returns a mapping from the name of every column to its value, NaN where it is undefined.

    Raises
    ------
    InputError
        A family of another module has the name, or the name is reserved.

    Examples
    --------
    >>> from deepcue import Column, family
    >>> COLUMNS = (
    ...     Column("tempo.frames_per_s", unit="1/s", range=(0, 1000), description="Frames per second."),
    ...     Column("tempo.valid_share", range=(0, 1), description="1 for a clip of two frames or more."),
    ... )
    >>> @family("tempo", version=1, needs={"picture"}, columns=COLUMNS)
    ... def measure(observation, track):
    ...     n = len(observation.times_s)
    ...     return {"tempo.frames_per_s": n / observation.duration_s, "tempo.valid_share": float(n > 1)}
    """

    def register(measure: M) -> M:
        wanted = frozenset([needs] if isinstance(needs, str) else needs)
        made = Family(name, version, wanted, tuple(columns), measure, series)
        _check_name(name, made.module)
        registry[name] = made
        return measure

    return register


def _check_name(name: str, module: str) -> None:
    if name in RESERVED:
        raise InputError(f"no family may be called {name!r} (module {module}), which is reserved; rename it")
    earlier = f"{features.families.__name__}.{name}" if name in family_modules() else ""
    if name in registry:
        earlier = registry[name].module
    if earlier and earlier != module:
        raise InputError(f"two families are called {name!r}, of the modules {earlier} and {module}; rename one of them")


def family_modules() -> tuple[str, ...]:
    """Return the sorted names of the modules of :mod:`features.families`, each of which registers a family."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(features.families.__path__)))
