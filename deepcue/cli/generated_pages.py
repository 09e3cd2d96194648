"""Pages of the documentation that commands generate: written, or compared with those that exist."""

from __future__ import annotations

from pathlib import Path

from ensemble.outputs import write_text
from features.errors import InputError


def write_or_check(file: Path, text: str, *, check: bool, command: str) -> None:
    """Write a generated page and print its name; with ``check``, only compare the existing page with ``text``.

    Parameters
    ----------
    file, text
        The page and its expected content.
    check
        Compare only, write nothing.
    command
        The command that generates the page, for the message.

    Raises
    ------
    InputError
        The page is missing, differs or can't be written.
    """
    if not check:
        write_text(file, text)
        print(file)
    elif not file.is_file() or file.read_text(encoding="utf-8") != text:
        raise InputError(f"{file}: is not up to date; run `{command}`")
