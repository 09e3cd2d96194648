"""Sentences and positions for the page of a clip: where its cues lie among those of genuine clips.

A position is context. It says how usual a value is among a few real clips, and nothing of forgery: most unusual values
have other reasons (light, compression, a language), and good fakes have usual values.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.learners import registry
from ensemble.stack import weighed
from features.discovery import families
from features.spec import Column, is_share
from reports.cue_titles import family_title, headlines, with_unit
from reports.norms import Norm
from reports.series_words import number

CENTRAL = (0.025, 0.975)
TIED = 0.1
"""A value shared by at least this fraction of real clips is called the same as theirs, not lower or higher."""
MIDDLE = 0.1  # this near to the median a value is in the middle


@dataclass(frozen=True)
class CuePosition:
    """One column of a clip beside genuine clips."""

    name: str
    title: str
    value: str
    """With its unit."""
    among: str
    """``lower than 97 % of real clips (116 of 6 sources, weighted)``."""
    position: float
    """Fraction of real clips below it, 0 to 1."""
    used: bool
    """Whether the model reads the column."""

    @property
    def outside(self) -> bool:
        """Whether it lies outside the central 95 % of the real clips."""
        return not CENTRAL[0] <= self.position <= CENTRAL[1]


@dataclass(frozen=True)
class FamilyPositions:
    """A family's columns beside genuine clips."""

    family: str
    title: str
    covariates: bool
    """Whether the family holds only conditions of measurement."""
    shown: tuple[CuePosition, ...]
    """The columns that represent the family: columns that the model reads, if any; otherwise others."""
    every: tuple[CuePosition, ...]

    @property
    def used(self) -> bool:
        """Whether the model reads the columns that are shown."""
        return any(position.used for position in self.shown)

    @property
    def n_used(self) -> int:
        """How many of :attr:`every` the model reads."""
        return sum(position.used for position in self.every)

    @property
    def n_outside(self) -> int:
        """How many of :attr:`every` lie outside the central 95 %."""
        return sum(position.outside for position in self.every)


def positions(
    values: Mapping[str, float], norms: Mapping[str, Norm], read: Container[str], versions: Mapping[str, int]
) -> list[FamilyPositions]:
    """Compare a clip with genuine ones, family by family: first those of which the model reads what is shown.

    Parameters
    ----------
    values
        Column to value; what is undefined is left out.
    norms
        Column to norm; a column without one is left out.
    read
        Columns that the model reads: :func:`columns_read`.
    versions
        Families that were measured; one that this process does not know is left out.
    """
    result = []
    for family in families():
        if family.name not in versions:
            continue
        columns = {column.name: column for column in family.table_columns if not is_share(column.name)}
        measured = [name for name in columns if name in norms and math.isfinite(values.get(name, math.nan))]
        titles = dict(headlines(family.name, measured, read))
        every = {
            name: _position(
                columns[name],
                titles.get(name, columns[name].description),
                values[name],
                norms[name],
                used=name in read,
            )
            for name in measured
        }
        if every:
            covariates = all(column.direction == "covariate" for column in columns.values())
            shown = tuple(every[name] for name in titles)
            result.append(
                FamilyPositions(family.name, family_title(family.name), covariates, shown, tuple(every.values()))
            )
    return sorted(result, key=lambda positions: (not positions.used, positions.covariates))


def columns_read(manifest: Mapping[str, Any]) -> set[str]:
    """Return the columns that the model of a manifest reads: those of learners with a weight in its stack."""
    stack = manifest.get("stack", {})
    learners = weighed(stack.get("learners", ()), stack.get("weights", ())) or manifest.get("learners", {})
    return registry.columns_read(manifest.get("columns", ()), learners)


def _position(column: Column, title: str, value: float, norm: Norm, *, used: bool) -> CuePosition:
    text = with_unit(number(value), column.unit)
    return CuePosition(column.name, title, text, among(norm, value), norm.position(value), used)


def among(norm: Norm, value: float) -> str:
    """Where a value lies among genuine clips, in words; percentages are rounded down to what so many clips can tell.

    >>> from reports.norms import LEVELS
    >>> norm = Norm(tuple(10 * level for level in LEVELS), 116, 6)
    >>> among(norm, 0.25)
    'lower than 97 % of real clips (116 of 6 sources, weighted)'
    >>> among(norm, 11.0)
    'higher than all real clips (116 of 6 sources, weighted)'
    >>> among(norm, 5.0)
    'in the middle of real clips (116 of 6 sources, weighted)'
    """
    sources = "1 source" if norm.n_sources == 1 else f"{norm.n_sources} sources, weighted"
    return f"{_where(norm, value)} real clips ({norm.n_clips} of {sources})"


def _where(norm: Norm, value: float) -> str:
    if (same := norm.same(value)) >= TIED:
        return f"the same as {'' if norm.is_tie(value) else 'at least '}{_percent(same)} of"
    position = norm.position(value)
    if abs(position - 0.5) <= MIDDLE:
        return "in the middle of"
    side, fraction = ("lower", 1 - position) if position < 0.5 else ("higher", position)
    return f"{side} than " + ("all" if fraction == 1 else f"{_percent(min(fraction, 1 - 1 / norm.n_clips))} of")


def _percent(fraction: float) -> str:
    return f"{math.floor(100 * fraction + 1e-9)} %"
