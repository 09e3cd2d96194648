"""Report how far a long computation has come, without drawing anything: the commands decide how to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the number of its items that are done, and their total."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Ignore a report: the default where a caller wants none."""


def tracked(items: Iterable[Item], stage: str, total: int, progress: Progress, *, n_before: int = 0) -> Iterator[Item]:
    """Yield the items; report the stage before the first item and after each one.

    ``n_before`` items of the stage were done before these.

    Examples
    --------
    >>> list(tracked("ab", "letters", 2, print))
    letters 0 2
    letters 1 2
    letters 2 2
    ['a', 'b']
    """
    progress(stage, n_before, total)
    for n_done, item in enumerate(items, n_before + 1):
        yield item
        progress(stage, n_done, total)
