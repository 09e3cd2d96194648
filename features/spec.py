"""The column and family contracts, and the registry that tables, docs and models read.

A family is one module of this package with one function decorated by :func:`family`, under a docstring whose first line
says what it asks::

    "blink: how often, how far and how fast the eyes shut."

    COLUMNS = (Column("blink.rate_per_min", unit="1/min", range=(0, 120), reference="Bentivoglio 1997"), ...)

    @family("blink", version=1, needs={"track"}, columns=COLUMNS)
    def measure(observation, track):
        return {"blink.rate_per_min": 12.0, "blink.valid_share": 0.93}

Importing :mod:`features.spec` imports no family; :func:`families` discovers them all.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import features.families

if TYPE_CHECKING:
    from features.observation import Observation, Track

logger = logging.getLogger(__name__)

NAME = re.compile(r"^[a-z][a-z0-9_]*\.[a-zA-Z0-9_]+$")
NEEDS = frozenset({"picture", "sound", "track", "crops", "weights"})

SOUND_ALONE = frozenset({"sound", "weights"})  # a family that needs no more is measured where nobody is seen, too

Measure = Callable[["Observation", Any], Mapping[str, float]]
"""Of a clip and one of its people, a ``Track``; of sound alone also with None, where nobody is seen."""


EVERY_CHANGE = frozenset({"mirror", "brightness", "translation", "scale", "gain", "clock"})
"""What a test may do to a clip: the picture mirrored, lit, moved, scaled; the sound amplified; both begun later."""


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
        Closed interval that holds every finite value.
    reference
        Where the measure comes from.
    direction
        ``"up"`` or ``"down"``: expected in a forgery; ``"either"``; ``"covariate"``: no evidence by itself.
    invariant_to
        Of :data:`EVERY_CHANGE`: what a test may change freely.
    worst
        ``"max"`` adds a column ``<name>_max``: the largest over all people of a clip with two or more.
    description
        One sentence on what the number is, for a reader who does not read code.
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

    @property
    def family(self) -> str:
        """The part of the name before the point."""
        return self.name.split(".", 1)[0]


@dataclass(frozen=True)
class Family:
    """A named, versioned set of columns and the function that measures them on one person of a clip."""

    name: str
    version: int
    needs: frozenset[str]
    columns: tuple[Column, ...]
    measure: Measure = field(compare=False)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"family {self.name} declares a column twice")
        if strangers := [name for name in names if not name.startswith(f"{self.name}.")]:
            raise ValueError(f"family {self.name} declares {strangers[0]}, which belongs to another")
        if f"{self.name}.valid_share" not in names:
            raise ValueError(f"family {self.name} lacks {self.name}.valid_share")
        if unknown := self.needs - NEEDS:
            raise ValueError(f"family {self.name} needs {sorted(unknown)}; known are {sorted(NEEDS)}")

    @property
    def table_columns(self) -> tuple[Column, ...]:
        """The columns that the table has: the declared ones, then the ``_max`` twins."""
        twins = (
            replace(
                c, name=f"{c.name}_max", worst="", description=f"{c.description} The largest over all faces.".strip()
            )
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
        """What it asks, in a phrase: the first line of the documentation without the family's name."""
        return self.documentation.partition("\n")[0].removeprefix(f"{self.name}:").strip().removesuffix(".")


_registry: dict[str, Family] = {}


def family(name: str, *, version: int, needs: Iterable[str], columns: Iterable[Column]) -> Callable[[Measure], Measure]:
    """Register the decorated function as the measure of a family."""

    def register(measure: Measure) -> Measure:
        _registry[name] = Family(name, version, frozenset(needs), tuple(columns), measure)
        return measure

    return register


def family_modules() -> tuple[str, ...]:
    """Names of the modules of :mod:`features.families`, each of which registers a family, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(features.families.__path__)))


def families(names: Iterable[str] | None = None) -> tuple[Family, ...]:
    """Every family, or those named, sorted by name.

    Raises
    ------
    KeyError
        A name that no module registers.
    """
    wanted = sorted(family_modules() if names is None else set(names))
    for name in set(wanted) & set(family_modules()):  # a family is called like its module
        importlib.import_module(f"features.families.{name}")
    if unknown := [name for name in wanted if name not in _registry]:
        raise KeyError(f"no family is called {unknown[0]!r}; there are {', '.join(family_modules())}")
    return tuple(_registry[name] for name in wanted)


def describe(name: str) -> str:
    """:attr:`Family.description` of a family; empty when none is called so, as among cues that others measured."""
    return families([name])[0].description if name in family_modules() else ""


def measure_clip(observation: Observation, chosen: Iterable[Family]) -> tuple[dict[str, float], dict[str, str]]:
    """Measure families on a clip: the main person's columns, and the worst over all people where asked.

    Returns
    -------
    values
        A float for every table column of ``chosen``; NaN where undefined.
    failures
        Family name to message, for families that raised. Their columns are NaN.
    """
    values: dict[str, float] = {}
    failures: dict[str, str] = {}
    for one in chosen:
        values |= dict.fromkeys((column.name for column in one.table_columns), float("nan"))
        values[f"{one.name}.valid_share"] = 0.0
        try:
            values |= _measure_tracks(one, observation)
        except Exception as error:  # a cue's fault costs its own columns only
            logger.warning("family %s failed: %s", one.name, error, exc_info=True)
            failures[one.name] = f"{type(error).__name__}: {error}"
    return values, failures


def _measure_tracks(one: Family, observation: Observation) -> dict[str, float]:
    tracks = observation.tracks
    if not tracks:
        return _checked(one, observation, None) if one.needs <= SOUND_ALONE else {}
    worst = [column.name for column in one.columns if column.worst == "max"]
    measured = [_checked(one, observation, track) for track in (tracks if worst else tracks[:1])]
    values = dict(measured[0])
    if len(measured) > 1:
        for name in worst:
            finite = [row[name] for row in measured if row.get(name) == row.get(name) and name in row]
            if finite:
                values[f"{name}_max"] = max(finite)
    return values


def _checked(one: Family, observation: Observation, track: Track | None) -> dict[str, float]:
    row = {name: float(value) for name, value in one.measure(observation, track).items()}
    declared = {column.name for column in one.columns}
    if strangers := sorted(row.keys() - declared):
        raise ValueError(f"{one.name} returned {strangers[0]}, which it did not declare")
    return row
