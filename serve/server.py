"""The server itself: its address, its start, and its shutdown within two seconds."""

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
from uvicorn.protocols.http import h11_impl

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
from serve.measuring import Backend, Measuring, process_backend
from serve.uploads import BLOCK, Uploads, kept_name

LOOPBACK = "127.0.0.1"
END_S = 1  # time that running answers get when the server is stopped
BACKLOG = 200  # connections that may wait to be accepted
EVERY_ADDRESS = {"0.0.0.0": (socket.AF_INET, "198.51.100.1"), "::": (socket.AF_INET6, "2001:db8::1")}
"""Hosts that mean every address of this machine, each with an address elsewhere (RFC 5737, RFC 3849)."""
IDLE = h11_impl.h11.IDLE  # no head of a request is complete
HEAD_S = 10  # time for the head of a request, from the connection or from the first byte of the head

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Options of the server."""

    work: Path
    """Folder for clips, the list and the pages."""
    model: Path
    """Model folder."""
    host: str = LOOPBACK
    port: int = 8765
    """0 for any free port."""
    token: bool = False
    """Whether a token is required on a loopback address as well; on any other host, every request needs one."""
    origin: str = ""
    """Public address of a TLS proxy in front, ``https://name`` as browsers write it; a token is then required."""
    max_upload: int = 2 * 10**9
    """Limit in bytes for one clip."""
    max_disk: int = 20 * 10**9
    """Limit in bytes for all clips with their pages and previews."""
    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    version: str = ""


class Server:
    """A server that is ready to run; :meth:`run` returns when the server was stopped.

    Parameters
    ----------
    options
        Options of the server.
    backend
        What measures the clips; by default child processes and the model.

    Raises
    ------
    InputError
        The model, the work folder or the address can't be used.
    """

    def __init__(self, options: Options, *, backend: Backend | None = None) -> None:
        with contextlib.ExitStack() as undo:
            work = WorkFolder(options.work, max_bytes=options.max_disk)
            undo.callback(work.close)
            clips = ClipList(work.root / "clips.sqlite3")
            undo.callback(clips.close)
            work.tidy({row["id"] for row in clips.rows()})
            if backend is None:
                judging = Judging(options.model, work, version=options.version)
                backend = process_backend(judging.settings, options.limits, judging, evidence=work.evidence)
            measuring = Measuring(clips, work, backend, jobs=options.jobs)
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
                http=_Connection,  # uvicorn's limit of connections would count those that never send a request
                timeout_graceful_shutdown=END_S,
            )
        )

    @property
    def url(self) -> str:
        """The address of the page, with the token if one is required.

        If the server listens on every address of this machine, this is the one that the network sees.
        """
        page = self._options.origin or self._at(reachable(self._options.host))
        return f"{page}/" + (f"?token={self.token}" if self.token else "")

    @property
    def local(self) -> str:
        """The address that the server listens on, for the configuration of a proxy."""
        return self._at(self._options.host)

    def _at(self, host: str) -> str:
        port = self._socket.getsockname()[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def queue(self, given: Sequence[ClipEntry]) -> int:
        """Queue local files that are not in the list yet, and return how many were queued.

        A file that can't be read, is not a regular file, or does not fit into the work folder is skipped with a
        warning.

        A file is hard-linked into the work folder where possible, else copied within the limits of an upload, so it
        stays there when the original is deleted or replaced. If the original of a linked file is later changed in
        place, the page no longer plays it.

        Raises
        ------
        InputError
            None of the files can be queued, or the list can't be written.
        """
        n_queued, problems = 0, []
        for clip in given:
            try:
                n_queued += _queued(clip, self.parts)
            except (OSError, FullError, UnreadableError) as error:
                problems.append(f"{printable(clip.path)}: can't be queued ({error})")
            except sqlite3.Error as error:
                raise InputError(f"{clip.path}: can't be queued ({error})") from error
        if problems and len(problems) == len(given):
            raise InputError(problems[0])
        for problem in problems:
            logger.warning("%s", problem)
        return n_queued

    def run(self) -> int:
        """Answer requests until a signal, whose number is returned, or :meth:`stop` (0)."""
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
        """Make :meth:`run` return; may be called from any thread."""
        self._uvicorn.should_exit = True

    def _is_news(self, _: logging.LogRecord) -> bool:
        """Filter uvicorn's messages about answers that the shutdown interrupts."""
        return not self._uvicorn.should_exit

    def close(self) -> None:
        """End all measurements and unlock the work folder for another server."""
        self.parts.measuring.stop()
        self.parts.clips.close()
        self.parts.work.close()
        self._socket.close()


class _Connection(h11_impl.H11Protocol):
    """A connection that is closed when the head of a request does not arrive in time.

    uvicorn limits only the time between two requests: it waits for the first one, and for the rest of every head whose
    first byte has arrived, without end.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not IDLE:  # the head is complete
            if self._head_timer is not None:
                self._head_timer.cancel()
            self._head_timer = None
        elif self._head_timer is None:
            self._start_head_timer()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._close_without_head)

    def _close_without_head(self) -> None:
        self._head_timer = None
        if self.conn.their_state is IDLE:
            self.timeout_keep_alive_handler()


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: :meth:`signals_caught` handles signals, and they are not raised again after the shutdown."""
        yield

    @contextlib.contextmanager
    def signals_caught(self) -> Iterator[list[int]]:
        """Yield the list of signals that stopped the server; a second signal ends it at once.

        Signals are caught in the main thread only.
        """
        caught: list[int] = []

        def catch(number: int, _: FrameType | None) -> None:
            self.force_exit = bool(caught)
            self.should_exit = True
            caught.append(number)

        if threading.current_thread() is not threading.main_thread():
            yield caught
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup, it stays ignored
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, catch) for number in numbers}
        try:
            yield caught
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def reachable(host: str) -> str:
    """Return an address at which others reach a server that listens on ``host``.

    For 0.0.0.0 and ``::`` this is the address from which this machine would send to other networks, or 127.0.0.1 if
    there is no route; every other host is returned as it is. Nothing is sent.
    """
    if host not in EVERY_ADDRESS:
        return host
    family, elsewhere = EVERY_ADDRESS[host]
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((elsewhere, 9))  # of a datagram socket: chooses the route only
        return str(probe.getsockname()[0])
    return reachable("0.0.0.0") if host == "::" else LOOPBACK


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family)
    except OSError as error:
        raise InputError(f"--host {host}: not an address of this machine ({error.strerror}); give 127.0.0.1") from error
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
        except OSError:  # another file system, or a file of another user
            _copy(path, status.st_size, arrival, max_bytes=parts.uploads.max_bytes)
        arrival.settle()
        parts.clips.add(arrival.clip_id, kept_name(clip.filename), size=status.st_size, origin=origin)
        arrival.kept = True
    return True


def _copy(path: str, announced: int, arrival: Arrival, *, max_bytes: int) -> None:
    """Copy a file of ``announced`` bytes; the limits also hold for a file that grows meanwhile."""

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
