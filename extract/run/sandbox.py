"""A child process that measures clips, and its keeper, who outlives it.

Media files crash decoders. Each clip is measured in a child that may die, hang or swell without harm: the
keeper kills it, blames the clip that it was working on, and starts another. Requests are lines of JSON on the
child's standard input; when that closes, the child ends at once, so none outlives its keeper.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from extract.run.worker import Result, Settings, failed
from features.networks.weights import WEIGHTS_VARIABLE

POLL_S = 0.05
WALL_FACTOR = 10  # a clip may take so many times its CPU limit in wall time, as on a crowded machine
START_LIMIT_S = 300.0  # for the child's own start: imports, models
ROOT = Path(__file__).resolve().parents[2]
SINGLE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}


@dataclass(frozen=True)
class Limits:
    """What one clip may take: CPU seconds, and MB of resident memory."""

    timeout_s: float = 300.0  # fifty times what a ten-second clip at 1080p takes
    memory_mb: float = 2048.0


def encode(result: Result) -> dict[str, Any]:
    """A Result as JSON values; the numbers as base64 of little-endian float32, exact to the bit."""
    return asdict(result) | {"values": base64.b64encode(result.values.astype("<f4").tobytes()).decode()}


def decode(record: dict[str, Any]) -> Result:
    """The inverse of :func:`encode`."""
    values = np.frombuffer(base64.b64decode(record["values"]), dtype="<f4")
    return Result(**(record | {"values": values}))


class Sandbox:
    """Measures one clip after the other in a child process, which is started when first needed."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._starting = threading.Lock()
        self._retired = False

    def retire(self) -> None:
        """End the child, also one that another thread is about to start; every further clip fails."""
        self._retired = True
        with self._starting:
            self.close()

    def measure(self, filename: str, path: str) -> Result:
        """The clip's Result; ``status`` is ``crashed`` or ``timeout`` when the child did not survive it."""
        if self._child is None or self._child.poll() is not None:
            try:
                self._start()
            except RuntimeError as error:
                return self._failed(filename, "crashed", str(error))
        child = self._child
        if child is None or child.stdin is None:
            return self._failed(filename, "crashed", "the run was stopped")
        request = json.dumps({"filename": filename, "path": path}) + "\n"
        with contextlib.suppress(OSError, ValueError):  # a dead child's end is in the queue of answers
            child.stdin.write(request.encode())
            child.stdin.flush()
        return self._wait(filename, child)

    def close(self) -> None:
        """End the child, whatever it is doing."""
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
        self.close()
        environment = os.environ | SINGLE_THREAD | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        if weights := environment.get(WEIGHTS_VARIABLE):
            environment[WEIGHTS_VARIABLE] = os.path.abspath(weights)  # the child runs in another folder
        command = [sys.executable, "-m", "extract.run.sandbox", json.dumps(asdict(self._settings))]
        with self._starting:
            if self._retired:
                raise RuntimeError("the run was stopped")
            child = self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=ROOT,
                start_new_session=True,  # an interrupt at the terminal is the parent's to handle
            )
        self._answers = queue.Queue()
        threading.Thread(target=_read_lines, args=(child.stdout, self._answers), daemon=True).start()
        try:
            ready = self._answers.get(timeout=START_LIMIT_S)
        except queue.Empty:
            ready = b""
        if ready.strip() != b"ready":
            self.close()
            raise RuntimeError(
                "the measuring process does not start; run `python -m extract.run.sandbox '{}'` to see why"
            )

    def _wait(self, filename: str, process: subprocess.Popen[bytes]) -> Result:
        import psutil

        child = psutil.Process(process.pid) if process.poll() is None else None
        started, cpu_before = time.monotonic(), _cpu_s(child)
        while True:
            try:
                answer = self._answers.get(timeout=POLL_S)
            except queue.Empty:
                complaint = self._complaint(child, started, cpu_before)
                if complaint:
                    self.close()
                    return self._failed(filename, *complaint)
                continue
            if answer:
                return decode(json.loads(answer))
            code = process.wait()
            self.close()
            return self._failed(filename, "crashed", f"the measuring process died ({_death(code)})")

    def _complaint(self, child: Any, started: float, cpu_before: float) -> tuple[str, str] | None:
        """Status and message when the clip has taken more than it may."""
        import psutil

        try:
            used_s, resident = _cpu_s(child) - cpu_before, child.memory_info().rss if child else 0
        except psutil.NoSuchProcess:
            return None  # its last answer, or its end, is in the queue
        if used_s > self._limits.timeout_s:
            return "timeout", f"took more than {self._limits.timeout_s:g} CPU seconds"
        if time.monotonic() - started > WALL_FACTOR * self._limits.timeout_s:
            return "timeout", f"no answer after {WALL_FACTOR * self._limits.timeout_s:g} s"
        if resident > self._limits.memory_mb * 2**20:
            return "crashed", f"took more than {self._limits.memory_mb:g} MB of memory"
        return None

    def _failed(self, filename: str, status: str, message: str) -> Result:
        return failed(filename, status, message, self._settings.families)


def _cpu_s(child: Any) -> float:
    import psutil

    try:
        times = child.cpu_times() if child else None
    except psutil.NoSuchProcess:
        times = None
    return float(times.user + times.system) if times else 0.0


def _death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _read_lines(stream: IO[bytes], answers: queue.Queue[bytes]) -> None:
    with stream:
        for line in stream:
            answers.put(line)
    answers.put(b"")


def _serve(settings: Settings) -> None:
    """The child: answer requests until standard input closes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    requests: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            requests.put(line)
        os._exit(0)  # the keeper is gone, or wants no more

    threading.Thread(target=read, daemon=True).start()
    from extract.run.worker import column_names, measure

    column_names(settings.families)  # imports every family before the first clip's clock runs
    answers.write(b"ready\n")
    answers.flush()
    while True:
        request = json.loads(requests.get())
        result = measure(request["filename"], request["path"], settings)
        answers.write(json.dumps(encode(result)).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    _serve(Settings(**(given | {"families": tuple(given.get("families", ()))})))
