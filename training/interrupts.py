"""Ctrl-C between two steps of a long computation, never within one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed: the first is only noted, so that no step is torn; the second interrupts at once."""
    noted: list[int] = []

    def note(number: int, frame: Any) -> None:
        if noted:
            signal.default_int_handler(number, frame)
        noted.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interrupts(_: int) -> None:
    """For processes that make batches: the trainer ends them, after the step at hand."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
