"""Let Ctrl-C stop a long computation between two steps, never within one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed.

    The first Ctrl-C is only recorded, so that the current step can finish; the second interrupts at once.
    """
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
    """Ignore Ctrl-C in a process that makes batches: the trainer ends these processes after the current step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
