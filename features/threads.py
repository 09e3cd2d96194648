"""State of the whole process that threads share: threads of libraries, filters of warnings; the number of usable cores.

Processes give the parallelism: threads of OpenCV or torch beside them cost more than they save, and the order in which
they add up could change results.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

_Library = tuple[str, Callable[[], int], Callable[[int], Any]]
"""Name of a library, and the functions that return and set its number of threads."""


class _OneThread:
    """Hold libraries to one thread: their setting is of the whole process, so the last block to end restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._before: dict[str, tuple[int, Callable[[int], Any]]] = {}

    @contextlib.contextmanager
    def block(self, libraries: Iterable[_Library]) -> Iterator[None]:
        """Hold ``libraries`` inside the ``with`` block; they may be more than those of the blocks around it."""
        with self._lock:
            for name, threads, set_threads in libraries:
                self._before.setdefault(name, (threads(), set_threads))
                set_threads(1)
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if self._blocks == 0:
                    for before, set_threads in self._before.values():
                        set_threads(before)
                    self._before.clear()


class _IgnoredWarnings:
    """Filters that ignore warnings: they are of the whole process, so the last block to end removes them.

    ``warnings.catch_warnings`` restores the filters that it found: of blocks that overlap in several threads, the last
    to end would put back the filters of another block for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: Counter[tuple[type[Warning], str]] = Counter()
        self._added: dict[tuple[type[Warning], str], tuple[list[Any], Any]] = {}

    @contextlib.contextmanager
    def block(self, category: type[Warning], message: str) -> Iterator[None]:
        """Ignore the warnings inside the ``with`` block."""
        key = category, message
        with self._lock:
            if not self._blocks[key]:
                filters = cast("list[Any]", warnings.filters)
                self._added[key] = filters, ("ignore", re.compile(message), category, None, 0)
                filters.insert(0, self._added[key][1])
            self._blocks[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks[key] -= 1
                if not self._blocks[key]:
                    filters, added = self._added.pop(key)
                    for kept in (filters, cast("list[Any]", warnings.filters)):  # a copy, if a library restores them
                        kept[:] = [entry for entry in kept if entry is not added]


_opencv, _blas, _ignored_warnings = _OneThread(), _OneThread(), _IgnoredWarnings()


def warnings_ignored(category: type[Warning], message: str = ".") -> AbstractContextManager[None]:
    """Ignore warnings inside the ``with`` block, in all threads; blocks of several threads may overlap.

    Parameters
    ----------
    category
        Class of the warnings.
    message
        Regular expression that their text begins with; by default any text.
    """
    return _ignored_warnings.block(category, message)


@contextlib.contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """Hold OpenCV to one thread inside the ``with`` block, also where blocks of several threads overlap."""
    import cv2

    with _opencv.block([("opencv", cv2.getNumThreads, cv2.setNumThreads)]):
        yield


@contextlib.contextmanager
def algebra_on_one_thread() -> Iterator[None]:
    """Hold linear algebra to one thread inside the ``with`` block, also where blocks of several threads overlap.

    The number of threads of BLAS is of the whole process, that of OpenMP of the calling thread alone.
    """
    from threadpoolctl import ThreadpoolController

    loaded = ThreadpoolController()
    blas = loaded.select(user_api="blas").lib_controllers
    with (
        _blas.block((library.filepath, library.get_num_threads, library.set_num_threads) for library in blas),
        loaded.limit(limits=1, user_api="openmp"),
    ):
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


def usable_cores(control_groups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Return the number of cores that this process may use: its CPU affinity, capped by its control group's quota.

    Parameters
    ----------
    control_groups
        Mount point of version 2 of the control groups.
    membership
        File that names the control group of this process.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        name = next(line[3:] for line in membership.read_text().splitlines() if line.startswith("0::"))
        quota, period = (control_groups / name.strip("/") / "cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, StopIteration, ValueError):  # no control groups of version 2, or no quota: "max"
        return cores
