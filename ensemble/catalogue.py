"""The catalogue of cues, from their own declarations: ``python -m ensemble.catalogue`` writes docs/CUES.md."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ensemble import references
from features.errors import InputError
from features.spec import Column, Family, families

PAGE = Path(__file__).resolve().parent.parent / "docs" / "CUES.md"
DIRECTIONS = {"up": "↑", "down": "↓", "either": "~", "covariate": "none"}
HEAD = """# Cues

<!-- Made by `make docs` from the declarations in features/; changes made here are lost. -->

{n_columns} columns in {n_families} families. A column is one number of a clip; what can't be measured is missing
(NaN), never 0. `<family>.valid_share` says how much of what the family needs was there. A column that ends in `_max`
is the largest over all people of a clip with two or more, and missing with fewer.

Direction is what is expected of a forgery: ↑ larger, ↓ smaller, ~ different either way, *none* for covariates, which
say under what conditions the others were measured and are no evidence by themselves. Units: `1` pure number, `iod`
distances between the eyes, `px` pixels of the upright frame. "Unchanged by" names what a test may do to a clip
without moving the column: mirror it, add `brightness` or `gain` (of picture or sound, without clipping), shift
(`translation`) or `scale` the frame, start the `clock` later.
"""


def page() -> str:
    """The whole page, as Markdown."""
    every = families()
    rows = [
        [f"[{one.name}](#{one.name})", str(one.version), str(len(one.table_columns)), _needs(one), one.question]
        for one in every
    ]
    count = sum(len(one.table_columns) for one in every)
    parts = [
        HEAD.format(n_columns=count, n_families=len(every)),
        _table(["family", "version", "columns", "needs", "what it asks"], rows),
        *(_section(one) for one in every),
        _literature(every),
    ]
    return "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 the page is out of date or can't be written."""
    one = argparse.ArgumentParser(
        prog="python -m ensemble.catalogue",
        description="Write the page of all cues from their declarations.",
        epilog="example: python -m ensemble.catalogue --check",
    )
    one.add_argument("--out", type=Path, default=PAGE, help="page to write (default: docs/CUES.md)")
    one.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    arguments = one.parse_args(argv)
    try:
        _run(arguments.out, check=arguments.check)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(out: Path, *, check: bool) -> None:
    text = page()
    if check:
        if not out.is_file() or out.read_text(encoding="utf-8") != text:
            raise InputError(f"{out}: does not show the cues as they are declared; run `make docs`")
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error}); give another --out") from error
    print(out)


def _section(one: Family) -> str:
    told = one.documentation.partition("\n")[2].strip()
    usual = Counter(column.invariant_to for column in one.table_columns).most_common(1)[0][0]
    rows = [
        [
            f"`{column.name.partition('.')[2]}`",
            column.unit,
            _range(column),
            DIRECTIONS[column.direction],
            column.reference or "–",
            "" if column.invariant_to == usual else _list(column.invariant_to),
        ]
        for column in one.table_columns
    ]
    head = f"## {one.name}\n\n*Version {one.version}; needs {_needs(one)}; {len(rows)} columns.*"
    table = _table(["column", "unit", "range", "direction", "reference", "unchanged by"], rows)
    same = f"Unchanged by, unless the column says otherwise: {_list(usual)}."
    return f"\n{head} {_capital(one.question)}.\n\n{told}\n\n{same}\n\n{table}"


def _literature(every: Sequence[Family]) -> str:
    entries = references.of_families(one.name for one in every)
    return "\n## Literature\n\n" + "\n".join(f"- {entry}" for entry in entries) + "\n"


def _needs(one: Family) -> str:
    return ", ".join(sorted(one.needs)) or "nothing"


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


if __name__ == "__main__":
    sys.exit(main())
