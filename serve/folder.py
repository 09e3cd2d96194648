"""The work folder of a server: random file names, a limit on its size, one server at a time.

::

    clips.sqlite3        the list (:mod:`serve.clips`)
    incoming/ID.part     uploads in progress
    clips/ID/            one clip: its file, preview and pages
    evidence/            face images of the clip that is being measured, until its pages are made
    lock                 held by the server that works here

A clip's ID is random; the name that the user gave the file is stored in the list only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from features.errors import InputError

ID = re.compile("[0-9a-f]{32}")
CLIP, PREVIEW, PAGE, REPORT = "clip", "preview.mp4", "page.html", "report.html"
GB = 10**9


class FullError(Exception):
    """The work folder has no room for a clip; the message says what to do."""


def gigabytes(n_bytes: float) -> str:
    """Format a size for people: ``1.5 GB``, ``12 MB``, ``3 kB``."""
    if n_bytes >= GB:
        return f"{n_bytes / GB:.1f} GB"
    return f"{n_bytes / 10**6:.0f} MB" if n_bytes >= 10**6 else f"{n_bytes / 1000:.0f} kB"


class WorkFolder:
    """The paths in a work folder, and the room that is left in it.

    Parameters
    ----------
    root
        The folder; created if missing, readable by its owner only.
    max_bytes
        Limit for all clips together with their pages and previews, including uploads in progress.

    Raises
    ------
    InputError
        The folder can't be used, or another server is using it.
    """

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self.root = root.absolute()
        self.max_bytes = max_bytes
        self._guard = threading.Lock()
        self._held: dict[str, int] = {}
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("incoming", "clips", "evidence"):
                (self.root / name).mkdir(exist_ok=True, mode=0o700)
            self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(
                f"{root}: can't be used as the work folder ({error.strerror}); give another --work"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise InputError(f"{root}: another server is using this folder; stop it, or give another --work") from error
        except OSError as error:  # some network file systems have no locks
            os.close(self._lock)
            raise InputError(f"{root}: can't be locked ({error.strerror}); give a --work on a local disk") from error

    def close(self) -> None:
        """Unlock the folder for another server."""
        os.close(self._lock)

    def tidy(self, known: set[str]) -> None:
        """Remove what a killed server left: partial uploads, evidence, and folders of clips that are not listed."""
        for part in (self.root / "incoming").iterdir():
            part.unlink(missing_ok=True)
        for folder in self.evidence.iterdir():
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.root / "clips").iterdir():
            if folder.name in known:
                self.weigh(folder.name)
            else:
                shutil.rmtree(folder, ignore_errors=True)

    def of(self, clip_id: str) -> Path:
        """Return the folder of a clip.

        Raises
        ------
        KeyError
            The text is not an ID.
        """
        if not ID.fullmatch(clip_id):
            raise KeyError(clip_id)
        return self.root / "clips" / clip_id

    @property
    def evidence(self) -> Path:
        """The folder for evidence until it is in a page."""
        return self.root / "evidence"

    def incoming(self, clip_id: str) -> Path:
        """Return the file of an upload in progress."""
        return self.root / "incoming" / f"{clip_id}.part"

    def clip(self, clip_id: str) -> Path:
        """Return the file of a clip."""
        return self.of(clip_id) / CLIP

    def mark(self, clip_id: str) -> str:
        """Return the size and modification time of a clip's file as ``bytes:ns``; empty if the file is gone.

        A hard-linked file changes here when its original is written to.
        """
        try:
            status = os.stat(self.clip(clip_id))
        except OSError:
            return ""
        return f"{status.st_size}:{status.st_mtime_ns}"

    def remove(self, clip_id: str) -> None:
        """Remove all files of a clip."""
        shutil.rmtree(self.of(clip_id), ignore_errors=True)
        with self._guard:
            self._held.pop(clip_id, None)

    def remove_preview(self, clip_id: str) -> None:
        """Remove a clip's preview, including an unfinished one."""
        for name in (PREVIEW, f"{PREVIEW}.part"):
            (self.of(clip_id) / name).unlink(missing_ok=True)

    def weigh(self, clip_id: str) -> None:
        """Count the current size of a clip's files; a file that is hard-linked elsewhere counts as 0."""
        held = 0
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.of(clip_id)):
                status = entry.stat()
                held += status.st_size if status.st_nlink == 1 else 0
        with self._guard:
            self._held[clip_id] = held

    @property
    def used(self) -> int:
        """Bytes that clips take, including room reserved for uploads in progress."""
        with self._guard:
            return sum(self._held.values())

    @contextlib.contextmanager
    def arriving(self) -> Iterator[Arrival]:
        """Yield an :class:`Arrival` for a new clip; its files are removed again unless the clip was kept."""
        arrival = Arrival(self, uuid.uuid4().hex)
        try:
            yield arrival
        finally:
            if not arrival.kept:
                arrival.file.unlink(missing_ok=True)
                self.remove(arrival.clip_id)

    def reserve(self, clip_id: str, n_bytes: int) -> None:
        """Reserve room for an upload in progress: ``n_bytes`` in all.

        Raises
        ------
        FullError
            There is not enough room.
        """
        with self._guard:
            self._hold(clip_id, n_bytes)

    def make_room(self, clip_id: str, sizes: Mapping[str, int]) -> None:
        """Reserve room for files of a clip that are about to be written: name to bytes.

        Existing files of the same names will be replaced, so their size is subtracted.

        Raises
        ------
        FullError
            There is not enough room.
        """
        more = sum(sizes.values()) - sum(_size(self.of(clip_id) / name) for name in sizes)
        with self._guard:
            self._hold(clip_id, self._held.get(clip_id, 0) + more)

    def check_room(self, clip_id: str) -> None:
        """Count the current size of a clip's files, including unfinished ones.

        Raises
        ------
        FullError
            The files exceed the limit.
        """
        self.weigh(clip_id)
        self.make_room(clip_id, {})

    def _hold(self, clip_id: str, n_bytes: int) -> None:
        others = sum(size for other, size in self._held.items() if other != clip_id)
        if others + n_bytes > self.max_bytes:
            raise FullError(
                f"no room: the work folder holds {gigabytes(others + self._held.get(clip_id, 0))} of at most "
                f"{gigabytes(self.max_bytes)}; delete clips, or start the server with a larger --max-disk"
            )
        self._held[clip_id] = n_bytes


def _size(file: Path) -> int:
    """Return the size of a file in bytes; 0 if it does not exist."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


class Arrival:
    """A clip that is being added to the work folder: its ID, its file, and whether it was kept."""

    def __init__(self, work: WorkFolder, clip_id: str) -> None:
        self.clip_id = clip_id
        self.file = work.incoming(clip_id)
        self.kept = False
        self._work = work

    def reserve(self, n_bytes: int) -> None:
        """Reserve room for ``n_bytes`` in all; see :meth:`WorkFolder.reserve`.

        Raises
        ------
        FullError
            There is not enough room.
        """
        self._work.reserve(self.clip_id, n_bytes)

    def settle(self) -> None:
        """Move the file into the clip's folder."""
        self._work.of(self.clip_id).mkdir(mode=0o700)
        os.replace(self.file, self._work.clip(self.clip_id))
        self._work.weigh(self.clip_id)
