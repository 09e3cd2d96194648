"""The page of results: hand-written prose, and tables from JSON files beside it.

A table stands between two comments of the page, ``<!-- table: NAME -->`` and ``<!-- end -->``, and is made from
``NAME.json``: a title, the protocol, what was measured, on how many clips, by which command and version, columns, rows
and notes. A cell is a number, ``[value, low, high]`` with the ends of a 95 % interval, a text, or null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.errors import InputError

PROTOCOLS = (
    "in-distribution",
    "unseen identities",
    "unseen manipulations and identities",
    "unseen sources",
    "re-encoded",
    "cost",
)
"""How training and test data were separated; several protocols are joined by ``; ``."""

METRICS = {"log_loss": "log loss", "auc": "AUC", "brier": "Brier", "ece": "ECE"}
"""What is taken from a model folder, and how it is headed."""

_NAME = r"[\w-]+"
_BLOCK = re.compile(rf"(<!-- table: (?P<name>{_NAME}) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class ResultTable:
    """One table of results and where it comes from.

    ``columns`` are the heads, the first that of the rows' names; ``digits`` the decimals of each further column;
    ``version`` the release that was measured; ``n_clips`` and ``n_groups`` are null where clips are not the unit.
    """

    title: str
    protocol: str
    data: str
    n_clips: int | None
    n_groups: int | None
    command: str
    date: str
    version: str
    columns: list[str]
    digits: list[int]
    rows: list[list[Any]]
    notes: list[str]

    def __post_init__(self) -> None:
        """Refuse what can't be printed."""
        if unknown := [part for part in self.protocol.split("; ") if part not in PROTOCOLS]:
            raise ValueError(f"{unknown[0]!r} is no protocol; there are {', '.join(PROTOCOLS)}")
        if len(self.digits) != len(self.columns) - 1:
            raise ValueError("digits: one number for each column but the first")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row[:1]}: {len(row)} cells under {len(self.columns)} heads")


def read_results(folder: Path) -> dict[str, ResultTable]:
    """The tables of a folder by name.

    Raises
    ------
    InputError
        A file is not JSON, lacks an entry, has an unknown one, or its rows do not match the columns.
    """
    tables = {}
    for file in sorted(folder.glob("*.json")):
        try:
            tables[file.stem] = ResultTable(**json.loads(file.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise InputError(f"{file}: not a table of results ({error})") from error
    if not tables:
        raise InputError(f"{folder}: holds no JSON file with results")
    return tables


def write_results(table: ResultTable, file: Path) -> None:
    """Write a table as JSON, a row a line."""
    entries = asdict(table)
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in entries.pop("rows"))
    head = json.dumps(entries, ensure_ascii=False, indent=1)
    file.write_text(f'{head[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n', encoding="utf-8")


def check_name(name: str) -> None:
    """Refuse a name of a table that no page can show.

    Raises
    ------
    InputError
        It holds something else than letters, digits, underscores and hyphens.
    """
    if not re.fullmatch(_NAME, name):
        raise InputError(f"{name!r} can't be shown by a page; call it by letters, digits, underscores and hyphens")


def table_lines(table: ResultTable) -> list[str]:
    r"""A table in Markdown.

    >>> one = ResultTable("Loss", "cost", "clips", 9, 3, "make bench", "2026-11-26", "0.1.0",
    ...                   ["model", "log loss"], [2], [["stack", [0.381, 0.322, 0.45]], ["constant", 0.7]], [])
    >>> print("\n".join(table_lines(one)))
    | model | log loss |
    |---|---|
    | stack | 0.38 [0.32, 0.45] |
    | constant | 0.70 |
    """
    lines = [_line(table.columns), "|" + "---|" * len(table.columns)]
    for name, *cells in table.rows:
        lines.append(_line([name, *(_cell(cell, n) for cell, n in zip(cells, table.digits, strict=True))]))
    return lines


def filled(page: str, tables: Mapping[str, ResultTable]) -> str:
    """The page with every table between its comments made from ``tables``.

    Raises
    ------
    InputError
        The page names a table that does not exist, or leaves one out.
    """
    named = [match["name"] for match in _BLOCK.finditer(page)]
    if missing := sorted(set(named) - set(tables)):
        raise InputError(f"the page shows a table {missing[0]!r}, of which there is no {missing[0]}.json")
    if unused := sorted(set(tables) - set(named)):
        raise InputError(f"{unused[0]}.json is not shown: add `<!-- table: {unused[0]} -->` and `<!-- end -->`")
    return _BLOCK.sub(
        lambda match: match[1] + "\n".join(["", *table_lines(tables[match["name"]]), "", ""]) + match[3], page
    )


def of_model(manifest: Mapping[str, Any], **entries: Any) -> ResultTable:
    """The out-of-fold scores in the manifest of a model folder as a table; ``entries`` are its other fields."""
    summary, scores = manifest["summary"], manifest["metrics"]
    rows = [
        [name, *([values[key]["value"], values[key]["low"], values[key]["high"]] for key in METRICS)]
        for name, values in scores.items()
    ]
    rounded = [[row[0], *([round(number, 4) for number in cell] for cell in row[1:])] for row in rows]
    return ResultTable(
        n_clips=summary["n_clips"],
        n_groups=summary["n_groups"],
        columns=["model", *METRICS.values()],
        digits=[3] * len(METRICS),
        rows=rounded,
        **entries,
    )


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Any, digits: int) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, list):
        value, low, high = (f"{number:.{digits}f}" for number in cell)
        return f"{value} [{low}, {high}]"
    return f"{cell:.{digits}f}"
