"""Measure clips on a Dask cluster: two in flight for each worker thread, while workers come and go."""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

from extract.entries import ClipEntry
from extract.run.worker import Result
from features.errors import InputError

logger = logging.getLogger(__name__)

WORKER_WAIT_S = 300.0  # seconds to wait for a worker, where there is none
LOOK_EVERY_S = 1.0  # seconds between checks of the number of threads
TASKS_PER_THREAD = 2  # one is measured, one is queued

Measure = Callable[[str, str], Result]


class ClusterLostError(InputError):
    """The scheduler or every worker disconnected during a run."""


def measured(
    clips: Sequence[ClipEntry],
    scheduler: str,
    measure: Measure,
    *,
    killed: Callable[[ClipEntry, str], Result],
    end: Callable[[], None],
) -> Generator[Result, None, None]:
    """Yield results as they arrive, in no fixed order.

    Parameters
    ----------
    clips
        Each is measured once, except clips whose worker is lost: these are measured again elsewhere, finally alone.
    scheduler
        Address of the scheduler.
    measure
        Called on workers with a clip's name and path.
    killed
        Returns the row of a clip that no worker can measure, given the reason.
    end
        Called on every worker when the run ends for any reason.

    Raises
    ------
    InputError
        No scheduler answers, or ``measure`` raises it.
    ClusterLostError
        The scheduler stops answering, or no worker connects.
    """
    client = _client(scheduler)
    try:
        window = _Window(client, scheduler)
        window.wait()
        try:
            yield from _results(client, window, clips, measure, killed)
        finally:
            if client.status == "running":
                client.run(end, on_error="ignore")
    finally:
        _close(client)


def _client(scheduler: str) -> Any:
    try:
        from distributed import Client

        return Client(scheduler, set_as_default=False)
    except ImportError as error:
        raise InputError("--scheduler needs dask and distributed: pip install dask distributed") from error
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error}); start one") from error


def _close(client: Any) -> None:
    """Close a client without the traceback that it logs when it tries to reconnect."""
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        client.close()
    finally:
        log.setLevel(level)


class _Window:
    """The number of clips in flight on the cluster, which follows its number of threads."""

    def __init__(self, client: Any, scheduler: str) -> None:
        self._client, self.scheduler = client, scheduler
        self._looked = -LOOK_EVERY_S
        self._alone_since: float | None = None
        self.size = 0

    def look(self) -> None:
        """Update the number of threads, at most once a second.

        Raises
        ------
        ClusterLostError
            The scheduler does not answer, or there has been no worker for too long.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return
        try:
            threads = sum(self._client.nthreads().values())
        except (OSError, RuntimeError) as error:  # Dask's of a connection are of the one kind, of a client of the other
            raise _lost(self.scheduler, error) from error
        self._looked, self.size = now, TASKS_PER_THREAD * threads
        if threads:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
            logger.warning("the scheduler %s has no worker; waiting %g s for one", self.scheduler, WORKER_WAIT_S)
        elif now - self._alone_since > WORKER_WAIT_S:
            raise ClusterLostError(
                f"--scheduler {self.scheduler}: has had no worker for {WORKER_WAIT_S:g} s; start some with "
                f"`dask worker {self.scheduler} --nthreads 1`"
            )

    def wait(self) -> None:
        """Wait for the first worker; raises as :meth:`look`."""
        while not self.size:
            self.look()
            time.sleep(0.0 if self.size else LOOK_EVERY_S / 10)


def _lost(scheduler: str, error: Exception) -> ClusterLostError:
    reason = "the connection broke" if isinstance(error, CancelledError) else str(error) or type(error).__name__
    return ClusterLostError(f"--scheduler {scheduler}: the scheduler is gone ({reason}); start it again")


def _results(
    client: Any,
    window: _Window,
    clips: Sequence[ClipEntry],
    measure: Measure,
    killed: Callable[[ClipEntry, str], Result],
) -> Iterator[Result]:
    """Yield results as they arrive.

    A worker that dies loses all clips queued there, and Dask blames each of them. So a clip that Dask gives up is
    measured once more at the end, with no other clip in flight.
    """
    waiting, suspects = deque(clips), deque[ClipEntry]()
    running: dict[Any, tuple[ClipEntry, bool]] = {}
    done: queue.Queue[Any] = queue.Queue()

    def submit(clip: ClipEntry, *, alone: bool) -> None:
        future = client.submit(measure, clip.filename, clip.path, pure=False)
        running[future] = clip, alone
        future.add_done_callback(done.put)

    try:
        while waiting or suspects or running:
            while waiting and len(running) < window.size:
                submit(waiting.popleft(), alone=False)
            if suspects and window.size and not (waiting or running):
                submit(suspects.popleft(), alone=True)
            try:
                future = done.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                future = None
            if future is not None:
                clip, alone = running.pop(future)
                result = _result(future, clip, window, killed)
                if result is not None:
                    yield result
                elif alone:
                    yield killed(clip, "every Dask worker that measured it died, possibly of too little memory")
                else:
                    suspects.append(clip)
            window.look()
    finally:
        if client.status == "running":
            client.cancel(list(running))


def _result(future: Any, clip: ClipEntry, window: _Window, killed: Callable[[ClipEntry, str], Result]) -> Result | None:
    """Return the result of a finished clip; None where Dask gave it up because its workers died."""
    from distributed import KilledWorker

    try:
        result: Result = future.result()
        return result
    except KilledWorker:
        return None
    except CancelledError as error:
        raise _lost(window.scheduler, error) from error
    except OSError as error:
        if future.status == "error":  # raised on the worker, which had no process or disk space for it
            return killed(clip, f"a Dask worker could not measure it ({error})")
        raise _lost(window.scheduler, error) from error
