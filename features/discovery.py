"""Find the cue families: built in, from other packages, and registered by this process."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
from collections.abc import Iterable, Mapping

import features.families
from features import spec
from features.errors import InputError, UnknownFamilyError
from features.spec import Family, family_modules

logger = logging.getLogger(__name__)

PLUG_INS = "deepcue.families"
"""Entry-point group in which another package names its families: ``mycue = "my_package.mycue"``."""


@functools.cache
def plug_ins() -> Mapping[str, tuple[importlib.metadata.EntryPoint, ...]]:
    """Return the entry points of :data:`PLUG_INS` by family name, without loading them.

    An entry point has the name of the family that its module registers. A name with two entry points is an error; a
    built-in family takes precedence over an entry point of its name.
    """
    points: dict[str, tuple[importlib.metadata.EntryPoint, ...]] = {}
    for point in sorted(importlib.metadata.entry_points(group=PLUG_INS), key=lambda point: (point.name, point.value)):
        points[point.name] = (*points.get(point.name, ()), point)
    return points


@functools.cache
def fault(name: str) -> str:
    """Return why another package's family of this name can't be used; empty if it can, or if there is none.

    The family is loaded, once per process.
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
    """Names of other packages' families that can be used; one warning for each family that is left out."""
    taken = plug_ins().keys() & set(family_modules())
    faults = {name: f"package {_package(plug_ins()[name][0])}: {name!r} is built in; rename it" for name in taken}
    faults |= {name: why for name in plug_ins() if (why := fault(name))}
    for name in sorted(faults):
        logger.warning("a cue family of another package is left out: %s", faults[name])
    return frozenset(plug_ins().keys() - faults.keys())


def families(names: Iterable[str] | None = None) -> tuple[Family, ...]:
    """Return every family, or the named ones, sorted by name.

    Families come from :mod:`features.families`, from other packages (see :func:`plug_ins`), and from modules that this
    process imported or notebook cells that it ran. Without ``names``, a family of another package that can't be loaded
    is left out with a warning.

    Raises
    ------
    UnknownFamilyError
        No module registers a family of this name.
    InputError
        A named family can't be loaded, or two families have the name.
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
        raise UnknownFamilyError(f"families: no family is called {unknown[0]!r}; there are {known}")
    return tuple(spec.registry[name] for name in sorted(wanted))


def undiscovered_modules(chosen: Iterable[Family]) -> tuple[str, ...]:
    """Return modules that another process must import to know these families, as :func:`families` does not find them.

    ``__main__`` stands for a notebook or a script.
    """
    findable = {*family_modules(), *plug_ins()}
    return tuple(sorted({family.module for family in chosen if family.name not in findable}))


def describe(name: str) -> str:
    """Return a family's description; empty for an unknown name, such as a family of an imported table."""
    known = {*family_modules(), *plug_ins(), *spec.registry}
    return families([name])[0].description if name in known and not fault(name) else ""
