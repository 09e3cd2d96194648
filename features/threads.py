"""One thread while a clip is measured, and as many as before afterwards.

Processes give the parallelism: threads of OpenCV or torch beside them cost more than they save, and the order in which
they add up could change results.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class _OpenCV:
    """How many calls hold OpenCV to one thread: its setting is of the whole process, so the last one out restores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._threads = 0

    def hold(self) -> None:
        import cv2

        with self._lock:
            if self._calls == 0:
                self._threads = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._calls += 1

    def release(self) -> None:
        import cv2

        with self._lock:
            self._calls -= 1
            if self._calls == 0:
                cv2.setNumThreads(self._threads)


_opencv = _OpenCV()


@contextlib.contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """Hold OpenCV to one thread inside the ``with`` block, also where blocks of several threads overlap."""
    _opencv.hold()
    try:
        yield
    finally:
        _opencv.release()


@contextlib.contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Hold torch to one thread inside the ``with`` block; its setting is of the calling thread alone."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
