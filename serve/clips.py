"""The list of clips with their state and results, durable across restarts and crashes of the server.

It is one SQLite file in WAL mode; only the progress of clips that are being measured is kept in memory. Every change
has a number, so that a page can ask for the changes since its last request.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.errors import InputError
from features.file_names import printable

QUEUED, MEASURING, DONE = "queued", "measuring", "done"
PLAYS_FILE, PLAYS_PREVIEW, NEEDS_PREVIEW, PLAYS_NOT = "file", "preview", "wanted", "none"
PLAYS_CHANGED = "changed"  # the file is not the one that was measured, so it is not played beside the verdict
MAX_ATTEMPTS = 3
"""A clip is not tried again after this many servers died while measuring it."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  size INTEGER NOT NULL,
  added_s REAL NOT NULL,
  origin TEXT UNIQUE,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL DEFAULT '',
  error TEXT NOT NULL DEFAULT '',
  verdict TEXT NOT NULL DEFAULT '',
  probability REAL,
  duration_s REAL,
  n_faces INTEGER,
  took_s REAL,
  player TEXT NOT NULL DEFAULT 'none',
  media_type TEXT NOT NULL DEFAULT '',
  start_s REAL NOT NULL DEFAULT 0,
  has_page INTEGER NOT NULL DEFAULT 0,
  mark TEXT NOT NULL DEFAULT '',
  at_bound INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON clips (state, number);
"""
ADDED = {"mark": "TEXT NOT NULL DEFAULT ''", "at_bound": "INTEGER NOT NULL DEFAULT 0"}
"""Columns that the lists of earlier versions lack: 0.6.0 and 0.10.0."""
RESULT = ("status", "error", "verdict", "probability", "at_bound", "duration_s", "n_faces", "took_s", "has_page")
PLAYER = ("player", "media_type", "start_s", "mark")
"""How a clip is played; ``mark`` identifies the file that was measured and is empty if unknown."""
SHOWN = ("id", "number", "name", "size", "added_s", "state", *RESULT, *PLAYER)
"""Columns that pages and exports show; pages show the printable form of the name (``shown``)."""

Row = dict[str, Any]


def _make_private(file: Path) -> None:
    """Make the list readable by its owner only, whatever the folder and the umask; SQLite's side files follow it."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    for existing in (file, *file.parent.glob(f"{file.name}-*")):  # earlier versions made them readable by others
        with contextlib.suppress(OSError):  # another user's file, or a file system without permissions
            existing.chmod(0o600)


class ClipList:
    """The clips of a work folder; every method may be called from any thread.

    Parameters
    ----------
    file
        The SQLite file; created if missing, readable by its owner only.

    Raises
    ------
    InputError
        The file is not a list of clips, or can't be written.
    """

    def __init__(self, file: Path) -> None:
        self._news = threading.Condition()
        self._version = 0
        self._changed: dict[str, int] = {}
        self._deleted: dict[str, int] = {}
        self._progress: dict[str, Row] = {}
        self.boot = uuid.uuid4().hex
        try:
            _make_private(file)
            self._db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(SCHEMA)
            present = {column["name"] for column in self._db.execute("PRAGMA table_info(clips)")}
            for name in ADDED.keys() - present:
                self._db.execute(f"ALTER TABLE clips ADD COLUMN {name} {ADDED[name]}")
            self._resume()
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"{file}: can't be used as the list of clips ({error}); give another --work") from error

    def _resume(self) -> None:
        """Queue clips again that were being measured, except those that too many servers died on."""
        self._db.execute(
            "UPDATE clips SET state = ?, status = 'crashed', error = ? WHERE state = ? AND attempts >= ?",
            (DONE, f"the server ended {MAX_ATTEMPTS} times while this clip was measured", MEASURING, MAX_ATTEMPTS),
        )
        self._db.execute("UPDATE clips SET state = ? WHERE state = ?", (QUEUED, MEASURING))

    def close(self) -> None:
        """Close the file. Clips that are being measured go back to the queue without counting as an attempt."""
        with self._news:
            with contextlib.suppress(sqlite3.Error):  # a full disk
                self._db.execute(
                    "UPDATE clips SET state = ?, attempts = attempts - 1 WHERE state = ?", (QUEUED, MEASURING)
                )
            self._db.close()

    def add(self, clip_id: str, name: str, *, size: int, origin: str | None = None) -> None:
        """Queue a clip whose file is in place; ``origin`` identifies the local file that it was made from."""
        with self._news:
            self._db.execute(
                "INSERT INTO clips (id, name, size, added_s, origin, state) VALUES (?, ?, ?, ?, ?, ?)",
                (clip_id, name, size, time.time(), origin, QUEUED),
            )
            self._note(clip_id)

    def knows(self, origin: str) -> bool:
        """Return whether a local file is in the list already."""
        with self._news:
            return self._db.execute("SELECT 1 FROM clips WHERE origin = ?", (origin,)).fetchone() is not None

    def row(self, clip_id: str) -> Row:
        """Return the row of a clip.

        Raises
        ------
        KeyError
            No clip has this ID.
        """
        with self._news:
            row = self._db.execute("SELECT * FROM clips WHERE id = ?", (clip_id,)).fetchone()
            if row is None:
                raise KeyError(clip_id)
            return self._shown(row)

    def rows(self) -> list[Row]:
        """Return the rows of all clips, newest first."""
        with self._news:
            return [self._shown(row) for row in self._db.execute("SELECT * FROM clips ORDER BY number DESC")]

    def changes(self, since: int, boot: str) -> Row:
        """Return the changes since a version; all clips if that version is from another run of the server.

        Returns
        -------
        dict
            ``boot`` and ``version`` for the next request, the changed ``rows`` in no particular order, the IDs of
            ``deleted`` clips, and whether the rows are ``all`` clips.
        """
        with self._news:
            if boot != self.boot:
                return {"boot": self.boot, "version": self._version, "all": True, "rows": self.rows(), "deleted": []}
            fresh = [clip_id for clip_id, version in self._changed.items() if version > since]
            gone = [clip_id for clip_id, version in self._deleted.items() if version > since]
            rows = [self.row(clip_id) for clip_id in fresh]
            return {"boot": self.boot, "version": self._version, "all": False, "rows": rows, "deleted": gone}

    def take(self, timeout_s: float) -> Row | None:
        """Return the next clip, marked as being measured, or one that lacks its preview; None after the timeout.

        Raises
        ------
        sqlite3.Error
            The disk is full or gone; the clip can be taken again.
        """
        with self._news:
            if (row := self._next()) is None and self._news.wait(timeout_s):
                row = self._next()
            if row is not None and row["state"] == QUEUED:
                self._begin(row["id"])
                row["state"] = MEASURING
            return row

    def _begin(self, clip_id: str) -> None:
        try:
            self._db.execute("UPDATE clips SET state = ?, attempts = attempts + 1 WHERE id = ?", (MEASURING, clip_id))
        except sqlite3.Error:
            self._progress.pop(clip_id, None)  # no thread works on it
            raise
        self._note(clip_id)

    def _next(self) -> Row | None:
        for where, value in (("state = ?", QUEUED), ("player = ?", NEEDS_PREVIEW)):
            rows = self._db.execute(f"SELECT * FROM clips WHERE {where} ORDER BY number", (value,))
            for row in rows:
                if row["id"] not in self._progress:  # no other thread works on it
                    self._progress[row["id"]] = {"stage": "starting", "share": 0.0, "left_s": None}
                    return self._shown(row)
        return None

    def tell(self, clip_id: str, stage: str, share: float, left_s: float | None) -> None:
        """Set the progress of a clip: the stage in words, the fraction done (0 to 1), and the seconds left if known."""
        with self._news:
            if clip_id in self._progress:
                self._progress[clip_id] = {"stage": stage, "share": share, "left_s": left_s}
                self._note(clip_id)

    def finish(self, clip_id: str, result: Mapping[str, Any]) -> None:
        """Set columns of :data:`RESULT` and :data:`PLAYER` and mark the clip as done; no effect on a deleted clip."""
        self.foretell(clip_id, {**result, "state": DONE})

    def foretell(self, clip_id: str, result: Mapping[str, Any]) -> None:
        """Set columns of a clip as :meth:`finish` does, while the clip is still being measured."""
        assert set(result) <= {"state", *RESULT, *PLAYER}, result
        with self._news:
            names = ", ".join(f"{name} = ?" for name in result)
            self._db.execute(f"UPDATE clips SET {names} WHERE id = ?", (*result.values(), clip_id))
            if clip_id not in self._deleted:
                self._note(clip_id)

    def let_go(self, clip_id: str) -> None:
        """Clear the progress of a clip: its thread has finished with it."""
        with self._news:
            if self._progress.pop(clip_id, None) is not None and clip_id not in self._deleted:
                self._note(clip_id)

    def again(self, clip_id: str) -> None:
        """Queue a finished clip again.

        Raises
        ------
        KeyError
            No finished clip has this ID; a clip that still waits for its preview is not finished.
        """
        with self._news:
            changed = self._db.execute(
                "UPDATE clips SET state = ?, attempts = 0, status = '', error = '', verdict = '', probability = NULL, "
                "at_bound = 0, duration_s = NULL, n_faces = NULL, took_s = NULL, has_page = 0, "
                "player = ? WHERE id = ? AND state = ? AND player != ?",
                (QUEUED, PLAYS_NOT, clip_id, DONE, NEEDS_PREVIEW),
            )
            if not changed.rowcount:
                raise KeyError(clip_id)
            self._note(clip_id)

    def delete(self, clip_id: str) -> None:
        """Remove a clip from the list.

        Raises
        ------
        KeyError
            No clip has this ID.
        """
        with self._news:
            if not self._db.execute("DELETE FROM clips WHERE id = ?", (clip_id,)).rowcount:
                raise KeyError(clip_id)
            self._progress.pop(clip_id, None)
            self._changed.pop(clip_id, None)
            self._version += 1
            self._deleted[clip_id] = self._version

    def _note(self, clip_id: str) -> None:
        self._version += 1
        self._changed[clip_id] = self._version
        self._news.notify_all()

    def _shown(self, stored: sqlite3.Row) -> Row:
        row = {name: stored[name] for name in SHOWN}
        row["at_bound"] = bool(row["at_bound"])
        return row | {"shown": printable(row["name"]), "progress": self._progress.get(row["id"])}
