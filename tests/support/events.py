"""Waiting for what must happen, however long a busy machine takes: no test is about seconds."""

import time
from collections.abc import Callable

PATIENCE_S = 600.0  # only what never happens lasts so long


def wait_until(happened: Callable[[], object]) -> None:
    """Return when ``happened()`` is true; fail when it never is."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, "what the test waits for never happened"
        time.sleep(0.02)
