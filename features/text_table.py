"""Read text tables of other programs: detect the delimiter, skip blank lines, empty rows and Excel's ``sep=;``."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple, TextIO

DELIMITERS = (",", ";", "\t")


class Header(NamedTuple):
    """The first line of a table that is neither blank nor Excel's ``sep=;``."""

    names: list[str]
    """As they are written, but for blanks around them."""
    delimiter: str
    n_lines: int
    """Lines of the file to the header's end."""


def read_header(stream: TextIO, column: str) -> Header:
    """The header of a table, with the delimiter by which it has a column called ``column``, else with the comma.

    Parameters
    ----------
    stream
        Opened at its start with ``newline=""``, so that lines may end in any way.
    column
        In lower case; the header's may have capitals.

    Raises
    ------
    UnicodeDecodeError, csv.Error
        It is no such text.
    """
    headers = [_header(stream, delimiter) for delimiter in DELIMITERS]
    return next((header for header in headers if column in map(str.lower, header.names)), headers[0])


def read_rows(stream: TextIO, header: Header) -> Iterator[tuple[int, list[str]]]:
    """Yield, for each row below the header, the number of its first line and its cells; empty rows are skipped.

    Raises
    ------
    UnicodeDecodeError, csv.Error
        It is no such text.
    """
    stream.seek(0)
    lines = csv.reader(stream, delimiter=header.delimiter)
    before = 0
    for cells in lines:
        if before >= header.n_lines and not is_blank(cells):
            yield before + 1, cells
        before = lines.line_num


def is_blank(cells: list[str]) -> bool:
    """Whether all cells are empty: a blank line, or one of delimiters alone, as spreadsheets write them.

    >>> is_blank([]), is_blank(["", " "]), is_blank(["", "0"])
    (True, True, False)
    """
    return not any(map(str.strip, cells))


def _names_delimiter(cells: list[str]) -> bool:
    """Whether a line is ``sep=;`` or the like, by which Excel notes the delimiter, split at any delimiter."""
    return re.fullmatch("sep=.?", cells[0].strip(), re.IGNORECASE) is not None and is_blank(cells[1:])


def _header(stream: TextIO, delimiter: str) -> Header:
    stream.seek(0)
    lines = csv.reader(stream, delimiter=delimiter)
    names = next((cells for cells in lines if not (is_blank(cells) or _names_delimiter(cells))), [])
    return Header([name.strip() for name in names], delimiter, lines.line_num)
