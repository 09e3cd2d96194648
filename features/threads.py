"""One thread while a clip is measured, and as many as before afterwards; the number of usable cores.

Processes give the parallelism: threads of OpenCV or torch beside them cost more than they save, and the order in which
they add up could change results.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any


class _OneThread:
    """Hold libraries to one thread: their setting is of the whole process, so the last block to end restores it.

    Parameters
    ----------
    libraries
        Returns, at the start of each block, the name of each library, its number of threads, and the function that
        sets the number. Libraries may be loaded between two blocks.
    """

    def __init__(self, libraries: Callable[[], Iterable[tuple[str, int, Callable[[int], Any]]]]) -> None:
        self._libraries = libraries
        self._lock = threading.Lock()
        self._blocks = 0
        self._before: dict[str, tuple[int, Callable[[int], Any]]] = {}

    @contextlib.contextmanager
    def block(self) -> Iterator[None]:
        with self._lock:
            for name, threads, set_threads in self._libraries():
                self._before.setdefault(name, (threads, set_threads))
                set_threads(1)
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if self._blocks == 0:
                    for threads, set_threads in self._before.values():
                        set_threads(threads)
                    self._before.clear()


def _opencv() -> Iterator[tuple[str, int, Callable[[int], Any]]]:
    import cv2

    yield "opencv", cv2.getNumThreads(), cv2.setNumThreads


def _blas() -> Iterator[tuple[str, int, Callable[[int], Any]]]:
    from threadpoolctl import ThreadpoolController

    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        yield library.filepath, library.num_threads, library.set_num_threads


_opencv_block, _blas_block = _OneThread(_opencv).block, _OneThread(_blas).block


def opencv_on_one_thread() -> contextlib.AbstractContextManager[None]:
    """Hold OpenCV to one thread inside the ``with`` block, also where blocks of several threads overlap."""
    return _opencv_block()


@contextlib.contextmanager
def algebra_on_one_thread() -> Iterator[None]:
    """Hold linear algebra to one thread inside the ``with`` block, also where blocks of several threads overlap.

    BLAS is held in the whole process, OpenMP in the calling thread, for which alone its setting is.
    """
    from threadpoolctl import threadpool_limits

    with _blas_block(), threadpool_limits(1, user_api="openmp"):
        yield


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


def usable_cores(control_groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the number of cores that this process may use: its CPU affinity, capped by its control group's quota.

    Parameters
    ----------
    control_groups
        Mount point of version 2 of the control groups.
    own
        File that names the control group of this process.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        name = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
        quota, period = (control_groups / name.strip("/") / "cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, StopIteration, ValueError):  # no control groups of version 2, or no quota: "max"
        return cores
