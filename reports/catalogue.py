"""The catalogue of cues, from their own declarations: ``deepcue cues`` writes it to docs/CUES.md."""

from __future__ import annotations

import inspect
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from features.discovery import families
from features.spec import Column, Family
from reports import references

DIRECTIONS = {"up": "↑", "down": "↓", "either": "~", "covariate": "none"}
HEAD = """# Cues

<!-- Written by `deepcue cues` from the declarations in features/families/; changes made here are lost. -->

{n_columns} columns in {n_families} families. A column is one number measured on a clip; a value that can't be measured
is missing (NaN), never 0. `<family>.valid_share` is the fraction of the family's input that could be used, for a face
between its first frame and its last; `quality.clip_share` is the fraction of the clip in which the face was found. A
column is measured on the main face of the clip, or on its audio. A column whose name ends in `_max` is the largest
value over all faces of a clip with two or more, and missing for a clip with fewer.

The direction is the expected change in a fake: ↑ larger, ↓ smaller, ~ different either way, *none* for covariates,
which describe the conditions of the measurement and are no evidence by themselves. Units: `1` a pure number, `iod`
inter-ocular distances, `px` pixels of the upright frame. "Unchanged by" lists the changes of a clip that a test makes
without changing the column: mirror it, add `brightness` to the frames (without clipping) or `gain` to the audio, shift
the face in the frame (`translation`), `scale` the frame to half and to twice its size (its pixels are resampled; the
value stays within 5 %), start the `clock` later.

These changes are made after the faces were found. In a file that is changed, faces are searched and tracked again and
lie a little elsewhere, so other columns than those of `voice` move, too: docs/inputs.md tells how far.
"""


def page() -> str:
    """Return the whole page, as Markdown."""
    every = families()
    rows = [
        [
            f"[{family.name}](#{family.name})",
            str(family.version),
            str(len(family.table_columns)),
            _needs(family),
            family.description,
        ]
        for family in every
    ]
    count = sum(len(family.table_columns) for family in every)
    parts = [
        HEAD.format(n_columns=count, n_families=len(every)),
        _table(["family", "version", "columns", "needs", "description"], rows),
        *(_section(family) for family in every),
        _literature(every),
    ]
    return "\n".join(parts)


def _section(family: Family) -> str:
    background = _markdown(family.documentation.partition("\n")[2].strip())
    usual = Counter(column.invariant_to for column in family.table_columns).most_common(1)[0][0]
    rows = [
        [
            f"`{column.name.partition('.')[2]}`",
            column.description,
            column.unit,
            _range(column),
            DIRECTIONS[column.direction],
            column.reference or "–",
            "" if column.invariant_to == usual else _list(column.invariant_to),
        ]
        for column in family.table_columns
    ]
    head = f"## {family.name}\n\n*Version {family.version}; needs {_needs(family)}; {len(rows)} columns.*"
    table = _table(["column", "what it is", "unit", "range", "direction", "reference", "unchanged by"], rows)
    same = f"Unchanged by, unless the column says otherwise: {_list(usual)}."
    paragraphs = [f"{head} {_capital(family.description)}.", background, _missing(family), same, table]
    return "\n" + "\n\n".join(text for text in paragraphs if text)


def _missing(family: Family) -> str:
    """When the family's columns are missing: what follows a semicolon in the first line of its function's docstring."""
    rule = (inspect.getdoc(family.measure) or "").partition("\n")[0].partition("; ")[2]
    return f"Missing values: {_markdown(rule)}" if rule else ""


def _literature(every: Sequence[Family]) -> str:
    entries = references.of_families(family.name for family in every)
    return "\n## Literature\n\n" + "\n".join(f"- {entry}" for entry in entries) + "\n"


def _markdown(docstring: str) -> str:
    """Code that a docstring marks as reStructuredText, with roles or two backticks, as Markdown has it."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", docstring).replace("``", "`")


def _needs(family: Family) -> str:
    return ", ".join(sorted(family.needs)) or "nothing"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _range(column: Column) -> str:
    low, high = column.range
    left = "(-∞" if math.isinf(low) else f"[{low:g}"
    right = "∞)" if math.isinf(high) else f"{high:g}]"
    return f"{left}, {right}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
