"""The server itself: its address, its start, and its end within two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from extract.entries import ClipEntry
from extract.run.sandbox import Limits
from features.errors import InputError, UnreadableError
from features.file_names import printable
from features.places import check_is_regular
from serve.app import Parts, application
from serve.clips import ClipList
from serve.folder import Arrival, FullError, WorkFolder, gigabytes
from serve.guard import Guard, is_loopback
from serve.judging import Judging
from serve.measuring import Means, Measuring, processes
from serve.uploads import BLOCK, Uploads, kept_name

LOOPBACK = "127.0.0.1"
END_S = 1  # for answers that are under way when the server is stopped
BACKLOG = 200  # connections that wait to be accepted
FIRST_REQUEST_S = 10  # until the head of a connection's first request is there

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How the server works."""

    work: Path
    """Folder for clips, the list and pages."""
    model: Path
    """Folder of the model."""
    host: str = LOOPBACK
    port: int = 8765
    """0 for any that is free."""
    token: bool = False
    """Whether a token is asked for also on this machine; beyond it, always."""
    origin: str = ""
    """``https://name``, as browsers write it, where a proxy adds TLS: others reach it, so that a token is asked for."""
    max_upload: int = 2 * 10**9
    """Bytes of one clip."""
    max_disk: int = 20 * 10**9
    """Bytes of all clips and their pages."""
    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    version: str = ""


class Server:
    """A server that is ready to run; :meth:`run` returns when it was told to stop.

    Parameters
    ----------
    options
        How it works.
    means
        What clips are measured with; by default child processes and the model.

    Raises
    ------
    InputError
        The model, the work folder or the address can't be used.
    """

    def __init__(self, options: Options, *, means: Means | None = None) -> None:
        with contextlib.ExitStack() as undo:
            work = WorkFolder(options.work, max_bytes=options.max_disk)
            undo.callback(work.close)
            clips = ClipList(work.root / "clips.sqlite3")
            undo.callback(clips.close)
            work.tidy({row["id"] for row in clips.rows()})
            if means is None:
                judging = Judging(options.model, work, version=options.version)
                means = processes(judging.settings, options.limits, judging)
            measuring = Measuring(clips, work, means, jobs=options.jobs)
            self._socket = _listening(options.host, options.port)
            undo.callback(self._socket.close)
            undo.pop_all()
        self._options = options
        self.parts = Parts(clips, work, measuring, Uploads(clips, work, max_bytes=options.max_upload))
        is_open = bool(options.origin) or not is_loopback(options.host)
        self.token = secrets.token_urlsafe(32) if options.token or is_open else ""
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                Guard(application(self.parts), host=options.host, token=self.token, origin=options.origin),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                http=_Connection,  # uvicorn's own limit would count connections that never ask for anything
                timeout_graceful_shutdown=END_S,
            )
        )

    @property
    def url(self) -> str:
        """Where the page is, with the token where one is asked for."""
        return f"{self._options.origin or self.local}/" + (f"?token={self.token}" if self.token else "")

    @property
    def local(self) -> str:
        """The address that is listened on, as a proxy is told it."""
        host, port = self._options.host, self._socket.getsockname()[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def queue(self, given: Sequence[ClipEntry]) -> int:
        """Queue files of this machine that are not in the list yet; how many there were.

        One that can't be read, is no regular file, or for which there is no room, is left out with a warning, so that
        it does not keep the others out.

        A file is linked into the work folder where that is possible, and copied, within the limits of an upload, where
        it is not: it stays there when it is deleted or replaced elsewhere. One that is linked and then written to in
        place changes here, too; the page does not play it any more.

        Raises
        ------
        InputError
            None of them can be queued, or the list can't be written.
        """
        n_queued, problems = 0, []
        for one in given:
            try:
                n_queued += _queued(one, self.parts)
            except (OSError, FullError, UnreadableError) as error:
                problems.append(f"{printable(one.path)}: can't be queued ({error})")
            except sqlite3.Error as error:
                raise InputError(f"{one.path}: can't be queued ({error})") from error
        if problems and len(problems) == len(given):
            raise InputError(problems[0])
        for problem in problems:
            logger.warning("%s", problem)
        return n_queued

    def run(self) -> int:
        """Answer until a signal (its number) or :meth:`stop` (0)."""
        self.parts.measuring.start()
        log = logging.getLogger("uvicorn.error")
        log.addFilter(self._is_news)
        try:
            with self._uvicorn.signals_caught() as caught:
                self._uvicorn.run(sockets=[self._socket])
        finally:
            self.close()
            log.removeFilter(self._is_news)
        return caught[0] if caught else 0

    def stop(self) -> None:
        """Let :meth:`run` return; from any thread."""
        self._uvicorn.should_exit = True

    def _is_news(self, _: logging.LogRecord) -> bool:
        """Answers that the end of the server breaks off are none."""
        return not self._uvicorn.should_exit

    def close(self) -> None:
        """End all measuring, and let another server work in the folder."""
        self.parts.measuring.stop()
        self.parts.clips.close()
        self.parts.work.close()
        self._socket.close()


class _Connection(H11Protocol):
    """A connection that is closed when it is not used; uvicorn waits for a first request without end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_S, self._close_unused)

    def _close_unused(self) -> None:
        if self.cycle is None:  # no request has begun
            self.timeout_keep_alive_handler()


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: signals are caught by :meth:`signals_caught`, and not raised again when the server has ended."""
        yield

    @contextlib.contextmanager
    def signals_caught(self) -> Iterator[list[int]]:
        """The signals that told the server to stop; a second one ends it at once. In other threads, none."""
        caught: list[int] = []

        def catch(number: int, _: FrameType | None) -> None:
            self.force_exit = bool(caught)
            self.should_exit = True
            caught.append(number)

        if threading.current_thread() is not threading.main_thread():
            yield caught
            return
        before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield caught
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family)
    except OSError as error:
        raise InputError(f"--host {host}: no address of this machine ({error.strerror}); give 127.0.0.1") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(f"{host}:{port}: can't be listened on ({error.strerror}); give another --port") from error
    return listener


def _queued(clip: ClipEntry, parts: Parts) -> bool:
    path = os.path.realpath(clip.path)
    check_is_regular(path)
    status = os.stat(path)
    origin = f"{os.fsencode(path).decode('utf-8', 'backslashreplace')}:{status.st_size}:{status.st_mtime_ns}"
    if parts.clips.knows(origin):
        return False
    with parts.work.arriving() as arrival:
        try:
            os.link(path, arrival.file)
        except OSError:  # another file system, or a file of somebody else
            _copy(path, status.st_size, arrival, max_bytes=parts.uploads.max_bytes)
        arrival.settle()
        parts.clips.add(arrival.clip_id, kept_name(clip.filename), size=status.st_size, origin=origin)
        arrival.kept = True
    return True


def _copy(path: str, announced: int, arrival: Arrival, *, max_bytes: int) -> None:
    """Copy a file of ``announced`` bytes; one that is longer, since it grows, is held to the same limits."""

    def hold(n_bytes: int) -> None:
        if n_bytes > max_bytes:
            raise FullError(f"larger than {gigabytes(max_bytes)}; start the server with a larger --max-upload")
        arrival.reserve(n_bytes)

    hold(announced)
    size = 0
    with open(path, "rb") as source, open(arrival.file, "xb") as copy:
        while block := source.read(BLOCK):
            size += len(block)
            if size > announced:
                hold(size)
            copy.write(block)
