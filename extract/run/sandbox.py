"""Measure clips in a child process that may crash without harm to its parent.

Media files crash decoders. When the child dies, hangs or takes too much memory, the parent kills it, gives the current
clip a failed row, and starts another child. Parent and child exchange the messages of :mod:`extract.run.messages`;
:mod:`extract.run.child` runs in the child. The parent keeps the last lines of the child's standard error, which say why
it died.
"""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import math
import numbers
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from extract.run.messages import TOLD, Tell, decode
from extract.run.worker import LogRecord, Result, Settings, failed
from features import reasons
from features.errors import InputError
from features.networks.weights import WEIGHTS_VARIABLES
from features.reasons import Reason

logger = logging.getLogger(__name__)

POLL_S = 0.05
WALL_FACTOR = 10  # the wall-time limit over the CPU limit, for crowded machines
START_LIMIT_S = 300.0  # for the start of the child: imports, models
LAST_LINES = 20  # kept of a child's standard error
LAST_LINES_WAIT_S = 10.0  # seconds to wait for them after the child has ended
ROOT = Path(__file__).resolve().parents[2]
SINGLE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}


@dataclass(frozen=True)
class Limits:
    """Limits for one clip: CPU seconds, and MB of resident memory.

    Raises
    ------
    InputError
        A limit is not a finite number above 0.
    """

    timeout_s: float = 300.0  # fifty times what a ten-second clip at 1080p takes
    memory_mb: float = 2048.0

    def __post_init__(self) -> None:
        for name, limit in asdict(self).items():
            if not (isinstance(limit, numbers.Real) and 0 < float(limit) < math.inf):
                raise InputError(f"{name} = {limit!r}: must be a finite number above 0")


class Failure(NamedTuple):
    """Why a clip could not be measured: the row's status, a reason code, a message, and the child's last lines."""

    status: str
    reason: Reason
    message: str
    last_lines: tuple[str, ...] = ()


STOPPED = Failure("crashed", Reason.STOPPED, "the run was stopped")


class StartError(Exception):
    """The child process did not start."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class NoProcessError(OSError, InputError):  # in this order, else tblib (of Dask) can't unpickle it
    """The operating system refuses another process, or a file descriptor for it."""


@contextlib.contextmanager
def _as_no_process() -> Iterator[None]:
    """Turn the system's refusal into an error that ends the run: every further clip would fail in the same way."""
    try:
        yield
    except OSError as error:
        raise NoProcessError(
            f"no measuring process can be started ({error}); give fewer --jobs, or allow more (ulimit -n, ulimit -u)"
        ) from error


def _absolute_folders(folders: Iterable[str]) -> list[str]:
    """Return the folders as absolute paths, without relative ones if the current folder was removed."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return [folder for folder in folders if os.path.isabs(folder)]
    return [os.path.normpath(os.path.join(here, folder)) for folder in folders]


class Sandbox:
    """Measure one clip after the other in a child process, which is started when first needed.

    Parameters
    ----------
    settings, limits
        What results depend on, and the limits of one clip.
    program
        Module that the child runs, and its arguments; it calls :func:`extract.run.child.serve`.
    tell
        Called with the messages that the child sends while it measures, such as its progress.
    """

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        *,
        program: Sequence[str] = ("extract.run.sandbox",),
        tell: Tell | None = None,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._program = tuple(program)
        self._tell = tell
        self._child: subprocess.Popen[bytes] | None = None
        self._is_fresh = True
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._last_lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._errors = threading.Thread()
        self._starting = threading.Lock()
        self._retired = False

    def retire(self) -> None:
        """End the child, including one that another thread is about to start; every further clip fails."""
        self._retired = True
        with self._starting:
            self.close()

    def measure(self, filename: str, path: str) -> Result:
        """Return the clip's Result; ``status`` is ``crashed`` or ``timeout`` when the child did not survive it.

        If a child that had measured other clips exceeds the memory limit, a new child measures the clip again, since
        the earlier clips may have left memory behind.

        Raises
        ------
        InputError
            The child lacks a family that is known here.
        NoProcessError
            The system can't start a child.
        """
        result = self._measure_once(filename, path)
        if result.reasons.get(reasons.CLIP) == Reason.OUT_OF_MEMORY and not self._is_fresh:
            self.close()
            result = self._measure_once(filename, path)
        self._is_fresh = False
        return result

    def _measure_once(self, filename: str, path: str) -> Result:
        if self._child is None or self._child.poll() is not None:
            try:
                self._start()
            except StartError as error:
                return self._failed(filename, error.failure)
        child = self._child
        if child is None or child.stdin is None:
            return self._failed(filename, STOPPED)
        _send(child, {"filename": filename, "path": path})
        return self._wait(filename, child)

    def close(self) -> None:
        """Kill the child, whatever it is doing."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(OSError):
            child.kill()
        child.wait()
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()

    def _start(self) -> None:
        """Start a child and wait until it has loaded its families.

        Raises
        ------
        StartError
            The child ended, or was not ready in time.
        InputError
            The child lacks a family.
        NoProcessError
            The system can't start it.
        """
        self.close()
        environment = os.environ | SINGLE_THREAD | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        for variable in WEIGHTS_VARIABLES:
            if weights := environment.get(variable):
                environment[variable] = os.path.abspath(weights)  # the child runs in another folder
        with self._starting:
            if self._retired:
                raise StartError(STOPPED)
            with _as_no_process():
                child = self._child = subprocess.Popen(
                    [sys.executable, "-m", *self._program],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=environment,
                    cwd=ROOT,
                    start_new_session=True,  # an interrupt at the terminal is the parent's to handle
                )
        self._is_fresh = True
        self._answers, self._last_lines = queue.Queue(), collections.deque(maxlen=LAST_LINES)
        threading.Thread(target=_read_answers, args=(child.stdout, self._answers), daemon=True).start()
        self._errors = threading.Thread(target=_read_errors, args=(child.stderr, self._last_lines), daemon=True)
        self._errors.start()
        _send(child, {"settings": asdict(self._settings), "path": _absolute_folders(sys.path)})
        self._check_ready(child)

    def _check_ready(self, child: subprocess.Popen[bytes]) -> None:
        try:
            answer = json.loads(self._answers.get(timeout=START_LIMIT_S) or b"{}")
            why = "" if answer else f"it ended with {_death(child.wait())}"
        except queue.Empty:
            answer, why = {}, f"it is not ready after {START_LIMIT_S:g} s"
        if "ready" in answer:
            return
        self.close()
        if self._retired:
            raise StartError(STOPPED)
        if "refused" in answer:
            raise InputError(f"{answer['refused']} (on {socket.gethostname()})")
        lines = self._ended_lines()
        message = f"the measuring process does not start: {lines[-1] if lines else why}"
        raise StartError(Failure("crashed", Reason.NOT_STARTED, message, lines))

    def _wait(self, filename: str, process: subprocess.Popen[bytes]) -> Result:
        import psutil

        with _as_no_process():
            child = psutil.Process(process.pid) if process.poll() is None else None
            started, cpu_before = time.monotonic(), _cpu_s(child)
        while True:
            answer = self._message()
            if answer is None or TOLD in answer:
                if answer is not None and self._tell is not None:
                    self._tell(answer[TOLD])
                if failure := self._exceeded(child, started, cpu_before):
                    self.close()
                    return self._failed(filename, failure)
                continue
            if answer:
                return decode(answer)
            code = process.wait()
            self.close()
            if self._retired:
                return self._failed(filename, STOPPED)
            message = f"the measuring process died ({_death(code)})"
            return self._failed(filename, Failure("crashed", Reason.CRASHED, message, self._ended_lines()))

    def _message(self) -> dict[str, Any] | None:
        """Return the child's next message: a result, progress, or an empty one if it has ended; None for none yet."""
        try:
            return dict(json.loads(self._answers.get(timeout=POLL_S) or b"{}"))
        except queue.Empty:
            return None

    def _exceeded(self, child: Any, started: float, cpu_before: float) -> Failure | None:
        """Return the failure of a clip that exceeds a limit; None while it does not."""
        import psutil

        try:
            used_s, resident = _cpu_s(child) - cpu_before, child.memory_info().rss if child else 0
        except psutil.NoSuchProcess:
            return None  # its last answer or its end is in the queue
        except OSError:  # too many open files: checked again in a moment
            return None
        if used_s > self._limits.timeout_s:
            message = f"took more than {self._limits.timeout_s:g} CPU seconds"
            return Failure("timeout", Reason.TIMEOUT, message, tuple(self._last_lines))
        if time.monotonic() - started > WALL_FACTOR * self._limits.timeout_s:
            message = f"no answer after {WALL_FACTOR * self._limits.timeout_s:g} s"
            return Failure("timeout", Reason.TIMEOUT, message, tuple(self._last_lines))
        if resident > self._limits.memory_mb * 2**20:
            message = f"took more than {self._limits.memory_mb:g} MB of memory"
            return Failure("crashed", Reason.OUT_OF_MEMORY, message, tuple(self._last_lines))
        return None

    def _ended_lines(self) -> tuple[str, ...]:
        """Return the last lines of a child that has ended."""
        self._errors.join(LAST_LINES_WAIT_S)
        return tuple(self._last_lines)

    def _failed(self, filename: str, failure: Failure) -> Result:
        log: tuple[LogRecord, ...] = ()
        if failure.last_lines:
            text = "\n".join([f"{failure.message}; its last output:", *failure.last_lines])
            log = (LogRecord(logger.name, logging.WARNING, text),)
        return failed(
            filename, failure.status, failure.message, self._settings.families, reason=failure.reason, log=log
        )


def _send(child: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):  # the end of a dead child is in the queue of answers
        assert child.stdin is not None
        child.stdin.write(json.dumps(message).encode() + b"\n")
        child.stdin.flush()


def _cpu_s(child: Any) -> float:
    import psutil

    try:
        times = child.cpu_times() if child else None
    except psutil.NoSuchProcess:
        times = None
    return float(times.user + times.system) if times else 0.0


def _death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _read_answers(stream: IO[bytes], answers: queue.Queue[bytes]) -> None:
    with stream:
        for line in stream:
            if line.startswith(b"{"):  # skip what a starting interpreter may print
                answers.put(line)
    answers.put(b"")


def _read_errors(stream: IO[bytes], last_lines: collections.deque[str]) -> None:
    with stream:
        for line in stream:
            if text := line.decode(errors="backslashreplace").rstrip():
                last_lines.append(text)


if __name__ == "__main__":
    from extract.run.child import serve

    serve()
