"""What subcommands show on a terminal: sentences broken at its width, tables, and progress on stderr."""

from __future__ import annotations

import contextlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

WIDEST = 110  # characters of a line: longer ones are hard to read
LOG_EVERY_S = 10.0  # seconds between lines of progress in a file, which keeps all of them


def wrapped(text: str, width: int | None, *, first: str = "", rest: str | None = None) -> list[str]:
    """Break a sentence into lines of a terminal; None leaves it in one line.

    Parameters
    ----------
    text
        Without line breaks.
    width
        Of a line, in characters; words are never broken.
    first, rest
        Before the first line and before the others; ``rest`` is ``first`` by default.
    """
    if width is None:
        return [first + text]
    after = first if rest is None else rest
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=after, **options) or [first]


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is, at most :data:`WIDEST`; None for a file or a pipe."""
    return min(shutil.get_terminal_size().columns, WIDEST) if sys.stdout.isatty() else None


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format rows of cells as lines with aligned columns; the first row is the header."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


@contextlib.contextmanager
def clip_progress(*, quiet: bool) -> Iterator[Callable[[int, int, int], None]]:
    """Yield the ``progress`` of :func:`extract.pipeline.extract`: a bar on stderr of clips done and failures."""
    from tqdm import tqdm

    bars: list[Any] = []  # made at the first call, so that no bar is shown when the input is refused before the work

    def show(done: int, total: int, failed: int) -> None:
        if not bars:
            every = {} if sys.stderr.isatty() else {"mininterval": LOG_EVERY_S}
            bars.append(tqdm(total=total, initial=done, unit="clip", smoothing=0.05, disable=quiet, **every))
        bars[0].set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
        bars[0].update(done - bars[0].n)

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()


@contextlib.contextmanager
def stage_progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar on stderr for each stage that is reported: its name, items done, and their total.

    This is the :data:`training.progress.Progress` of the commands that train.
    """
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            bars[stage] = tqdm(desc=stage, total=total, initial=done, unit="", mininterval=5.0, disable=quiet)
        bars[stage].update(done - bars[stage].n)
        if done >= total:
            bars.pop(stage).close()

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
