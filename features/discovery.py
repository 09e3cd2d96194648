"""Which cue families there are: built in, of other packages, and registered by this process."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
from collections.abc import Iterable, Mapping

import features.families
from features import spec
from features.errors import InputError
from features.spec import Family, family_modules

logger = logging.getLogger(__name__)

PLUG_INS = "deepcue.families"
"""Entry-point group by which another package names its families: ``mycue = "my_package.mycue"``."""


@functools.cache
def plug_ins() -> Mapping[str, tuple[importlib.metadata.EntryPoint, ...]]:
    """Families that other packages name, not loaded: the name of each to its entry points of :data:`PLUG_INS`.

    An entry point is called like the family that its module registers; a name with two is taken twice, and one that a
    built-in family has is that family's.
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
    points = () if name in family_modules() else plug_ins().get(name, ())
    packages = [_package(point) for point in points]
    if len(points) > 1:
        return f"two families are called {name!r}, of packages {' and '.join(packages)}; uninstall one of them"
    return _fault_in_loading(points[0], packages[0]) if points else ""


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _fault_in_loading(point: importlib.metadata.EntryPoint, package: str) -> str:
    try:
        point.load()
    except InputError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # some modules are scripts
        logger.debug("package %s can't be loaded", package, exc_info=True)
        return f"package {package}: its family {point.name!r} can't be loaded ({type(error).__name__}: {error}); fix it"
    known = point.name in spec.registry
    return "" if known else f"package {package}: {point.module} registers no family called {point.name!r}; fix it"


@functools.cache
def _usable_plug_ins() -> frozenset[str]:
    """Names of other packages' families that can be used; a warning says, once, which others are left out."""
    taken = plug_ins().keys() & set(family_modules())
    faults = {name: f"package {_package(plug_ins()[name][0])}: {name!r} is built in; rename it" for name in taken}
    faults |= {name: why for name in plug_ins() if (why := fault(name))}
    for name in sorted(faults):
        logger.warning("a cue family of another package is left out: %s", faults[name])
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
        wanted = {*built_in, *_usable_plug_ins(), *(spec.registry.keys() - plug_ins().keys())}
    else:
        wanted = set(names)
        if why := next(filter(None, map(fault, sorted(wanted))), ""):
            raise InputError(why)
    for name in wanted & built_in:  # a family is called like its module
        importlib.import_module(f"{features.families.__name__}.{name}")
    if unknown := sorted(wanted - spec.registry.keys()):
        known = ", ".join(sorted({*built_in, *spec.registry}))
        raise KeyError(f"no family is called {unknown[0]!r}; there are {known}")
    return tuple(spec.registry[name] for name in sorted(wanted))


def undiscovered_modules(chosen: Iterable[Family]) -> tuple[str, ...]:
    """Modules that another process must import to know these families, because :func:`families` does not find them.

    ``__main__`` stands for a notebook or a script.
    """
    findable = {*family_modules(), *plug_ins()}
    return tuple(sorted({family.measure.__module__ for family in chosen if family.name not in findable}))


def describe(name: str) -> str:
    """:attr:`Family.description` of a family; empty when none is called so, as among cues that others measured."""
    known = {*family_modules(), *plug_ins(), *spec.registry}
    return families([name])[0].description if name in known and not fault(name) else ""
