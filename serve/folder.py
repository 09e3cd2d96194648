"""The folder that a server works in: names of its own, a limit on what it holds, one server at a time.

::

    clips.sqlite3        the list (:mod:`serve.clips`)
    incoming/ID.part     what is being uploaded
    clips/ID/            of one clip: the file, its preview and its pages
    evidence/            face images of the clip that is being measured, until its pages are made
    lock                 held by the server that works here

A clip's ID is drawn at random; what a person called the file is in the list alone.
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
    """There is no room for a clip; the message says what to do."""


def gigabytes(n_bytes: float) -> str:
    """Bytes for people: ``1.5 GB``, ``12 MB``, ``3 kB``."""
    if n_bytes >= GB:
        return f"{n_bytes / GB:.1f} GB"
    return f"{n_bytes / 10**6:.0f} MB" if n_bytes >= 10**6 else f"{n_bytes / 1000:.0f} kB"


class WorkFolder:
    """Paths in a work folder, and how much more may be put there.

    Parameters
    ----------
    root
        Made where it is missing, for its owner alone.
    max_bytes
        What all clips may take together, with their pages and previews, uploads that are under way included.

    Raises
    ------
    InputError
        The folder can't be used, or another server works in it.
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
            raise InputError(f"{root}: another server works in this folder; stop it, or give another --work") from error
        except OSError as error:  # not every network's file system has locks
            os.close(self._lock)
            raise InputError(f"{root}: can't be locked ({error.strerror}); give a --work on a local disk") from error

    def close(self) -> None:
        """Let another server work here."""
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
        """The folder of a clip.

        Raises
        ------
        KeyError
            That is no ID, and so no name of a folder.
        """
        if not ID.fullmatch(clip_id):
            raise KeyError(clip_id)
        return self.root / "clips" / clip_id

    @property
    def evidence(self) -> Path:
        """Where measuring processes put evidence for as long as it is not in a page."""
        return self.root / "evidence"

    def incoming(self, clip_id: str) -> Path:
        """Where a clip is put while it arrives."""
        return self.root / "incoming" / f"{clip_id}.part"

    def clip(self, clip_id: str) -> Path:
        """The clip's own file."""
        return self.of(clip_id) / CLIP

    def mark(self, clip_id: str) -> str:
        """Size and time of change of a clip's file, as ``bytes:ns``; empty where it is gone.

        A file that is linked elsewhere, too, changes here when it is written to there.
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
        """Remove a clip's preview, also one that was being made."""
        for name in (PREVIEW, f"{PREVIEW}.part"):
            (self.of(clip_id) / name).unlink(missing_ok=True)

    def weigh(self, clip_id: str) -> None:
        """Count what a clip's files take by now; a file that is linked elsewhere, too, takes nothing here."""
        held = 0
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.of(clip_id)):
                status = entry.stat()
                held += status.st_size if status.st_nlink == 1 else 0
        with self._guard:
            self._held[clip_id] = held

    @property
    def used(self) -> int:
        """Bytes that clips take, with what is reserved for those that are arriving."""
        with self._guard:
            return sum(self._held.values())

    @contextlib.contextmanager
    def arriving(self) -> Iterator[Arrival]:
        """Room for one new clip; what did not become one is removed again, whatever happens."""
        arrival = Arrival(self, uuid.uuid4().hex)
        try:
            yield arrival
        finally:
            if not arrival.kept:
                arrival.file.unlink(missing_ok=True)
                self.remove(arrival.clip_id)

    def reserve(self, clip_id: str, n_bytes: int) -> None:
        """Hold room for a clip that is arriving: ``n_bytes`` in all.

        Raises
        ------
        FullError
            There is no room for it.
        """
        with self._guard:
            self._hold(clip_id, n_bytes)

    def make_room(self, clip_id: str, sizes: Mapping[str, int]) -> None:
        """Hold room for files of a clip that are about to be written, in place of earlier ones: name to bytes.

        Raises
        ------
        FullError
            There is no room for them.
        """
        more = sum(sizes.values()) - sum(_size(self.of(clip_id) / name) for name in sizes)
        with self._guard:
            self._hold(clip_id, self._held.get(clip_id, 0) + more)

    def check_room(self, clip_id: str) -> None:
        """Count what a clip's files take by now, one that is still being written included.

        Raises
        ------
        FullError
            There is no room for them.
        """
        self.weigh(clip_id)
        self.make_room(clip_id, {})

    def _hold(self, clip_id: str, n_bytes: int) -> None:
        others = sum(size for one, size in self._held.items() if one != clip_id)
        if others + n_bytes > self.max_bytes:
            raise FullError(
                f"no room: the work folder holds {gigabytes(others + self._held.get(clip_id, 0))} of at most "
                f"{gigabytes(self.max_bytes)}; delete clips, or start the server with a larger --max-disk"
            )
        self._held[clip_id] = n_bytes


def _size(file: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


class Arrival:
    """A clip on its way into the work folder: its ID, its file, and whether it became a clip."""

    def __init__(self, work: WorkFolder, clip_id: str) -> None:
        self.clip_id = clip_id
        self.file = work.incoming(clip_id)
        self.kept = False
        self._work = work

    def reserve(self, n_bytes: int) -> None:
        """Hold room for ``n_bytes`` in all; raises as :meth:`WorkFolder.reserve`.

        Raises
        ------
        FullError
            There is no room for it.
        """
        self._work.reserve(self.clip_id, n_bytes)

    def settle(self) -> None:
        """Move the file to where clips are."""
        self._work.of(self.clip_id).mkdir(mode=0o700)
        os.replace(self.file, self._work.clip(self.clip_id))
        self._work.weigh(self.clip_id)
