"""The list of clips: what was dropped, how far it is, what came out. It survives any end of the server.

One SQLite file in WAL mode. How far a clip is while it is measured is kept in memory alone. Every change has a number,
so that a page asks for what changed since it last asked.
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
PLAYS_CHANGED = "changed"  # the file is no longer the one that was measured, and so not shown under its verdict
MAX_ATTEMPTS = 3
"""A clip that was being measured when so many servers died is not tried again."""
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
"""Columns that lists of earlier versions lack: of 0.6.0, and of 0.10.0."""
RESULT = ("status", "error", "verdict", "probability", "at_bound", "duration_s", "n_faces", "took_s", "has_page")
PLAYER = ("player", "media_type", "start_s", "mark")
"""How a clip is played; ``mark`` is that of the file that was measured, empty where it is not known."""
SHOWN = ("id", "number", "name", "size", "added_s", "state", *RESULT, *PLAYER)
"""What a page and the exports show of a clip; of its name, a page shows what is printable of it (``shown``)."""

Row = dict[str, Any]


def _make_private(file: Path) -> None:
    """See that nobody but its owner reads the list, whatever the folder and the umask; SQLite's own files follow it."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    for one in (file, *file.parent.glob(f"{file.name}-*")):  # of earlier versions
        with contextlib.suppress(OSError):  # of somebody else, or on a file system without permissions
            one.chmod(0o600)


class ClipList:
    """The clips of a work folder; every method may be called from any thread.

    Parameters
    ----------
    file
        The SQLite file; made where it is missing, for its owner alone.

    Raises
    ------
    InputError
        The file is no list of clips, or can't be written.
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
            there = {column["name"] for column in self._db.execute("PRAGMA table_info(clips)")}
            for name in ADDED.keys() - there:
                self._db.execute(f"ALTER TABLE clips ADD COLUMN {name} {ADDED[name]}")
            self._resume()
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"{file}: can't be used as the list of clips ({error}); give another --work") from error

    def _resume(self) -> None:
        """Queue again what was being measured, except clips that saw the end of too many servers."""
        self._db.execute(
            "UPDATE clips SET state = ?, status = 'crashed', error = ? WHERE state = ? AND attempts >= ?",
            (DONE, f"the server ended {MAX_ATTEMPTS} times while this clip was measured", MEASURING, MAX_ATTEMPTS),
        )
        self._db.execute("UPDATE clips SET state = ? WHERE state = ?", (QUEUED, MEASURING))

    def close(self) -> None:
        """Close the file; the list stays. That a clip was being measured does not count against it: nothing died."""
        with self._news:
            with contextlib.suppress(sqlite3.Error):  # a full disk
                self._db.execute(
                    "UPDATE clips SET state = ?, attempts = attempts - 1 WHERE state = ?", (QUEUED, MEASURING)
                )
            self._db.close()

    def add(self, clip_id: str, name: str, *, size: int, origin: str | None = None) -> None:
        """Queue a clip whose file is in place; ``origin`` says which file outside it is a copy of."""
        with self._news:
            self._db.execute(
                "INSERT INTO clips (id, name, size, added_s, origin, state) VALUES (?, ?, ?, ?, ?, ?)",
                (clip_id, name, size, time.time(), origin, QUEUED),
            )
            self._note(clip_id)

    def knows(self, origin: str) -> bool:
        """Whether a file outside is in the list already."""
        with self._news:
            return self._db.execute("SELECT 1 FROM clips WHERE origin = ?", (origin,)).fetchone() is not None

    def row(self, clip_id: str) -> Row:
        """What is known of a clip.

        Raises
        ------
        KeyError
            No clip has this ID.
        """
        with self._news:
            found = self._db.execute("SELECT * FROM clips WHERE id = ?", (clip_id,)).fetchone()
            if found is None:
                raise KeyError(clip_id)
            return self._shown(found)

    def rows(self) -> list[Row]:
        """All clips, the newest first."""
        with self._news:
            return [self._shown(one) for one in self._db.execute("SELECT * FROM clips ORDER BY number DESC")]

    def changes(self, since: int, boot: str) -> Row:
        """What changed after a version: all clips, if that was of another server.

        Returns
        -------
        dict
            ``boot`` and ``version`` to ask with next time, ``rows`` in no order, IDs of ``deleted`` ones, and whether
            this is ``all``.
        """
        with self._news:
            if boot != self.boot:
                return {"boot": self.boot, "version": self._version, "all": True, "rows": self.rows(), "deleted": []}
            fresh = [clip_id for clip_id, version in self._changed.items() if version > since]
            gone = [clip_id for clip_id, version in self._deleted.items() if version > since]
            rows = [self.row(clip_id) for clip_id in fresh]
            return {"boot": self.boot, "version": self._version, "all": False, "rows": rows, "deleted": gone}

    def take(self, timeout_s: float) -> Row | None:
        """The next clip, now being measured, or one that lacks its preview; None when there is none for so long.

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
            self._progress.pop(clip_id, None)  # nobody works on it
            raise
        self._note(clip_id)

    def _next(self) -> Row | None:
        for where, value in (("state = ?", QUEUED), ("player = ?", NEEDS_PREVIEW)):
            found = self._db.execute(f"SELECT * FROM clips WHERE {where} ORDER BY number", (value,))
            for one in found:
                if one["id"] not in self._progress:  # of another thread
                    self._progress[one["id"]] = {"stage": "starting", "share": 0.0, "left_s": None}
                    return self._shown(one)
        return None

    def tell(self, clip_id: str, stage: str, share: float, left_s: float | None) -> None:
        """Note how far a clip is: the stage in words, the share done (0 to 1), and seconds left where known."""
        with self._news:
            if clip_id in self._progress:
                self._progress[clip_id] = {"stage": stage, "share": share, "left_s": left_s}
                self._note(clip_id)

    def finish(self, clip_id: str, result: Mapping[str, Any]) -> None:
        """Note what came out of a clip, by the names of :data:`RESULT` and :data:`PLAYER`; a deleted one stays so."""
        self.foretell(clip_id, {**result, "state": DONE})

    def foretell(self, clip_id: str, result: Mapping[str, Any]) -> None:
        """Note what is known of a clip while it is still being measured; as :meth:`finish`, which ends that."""
        assert set(result) <= {"state", *RESULT, *PLAYER}, result
        with self._news:
            names = ", ".join(f"{name} = ?" for name in result)
            self._db.execute(f"UPDATE clips SET {names} WHERE id = ?", (*result.values(), clip_id))
            if clip_id not in self._deleted:
                self._note(clip_id)

    def let_go(self, clip_id: str) -> None:
        """Nobody works on the clip any more: what the list says of it holds."""
        with self._news:
            if self._progress.pop(clip_id, None) is not None and clip_id not in self._deleted:
                self._note(clip_id)

    def again(self, clip_id: str) -> None:
        """Queue a clip that is done once more.

        Raises
        ------
        KeyError
            No clip that is done has this ID; one that still lacks its preview is not done yet.
        """
        with self._news:
            changed = self._db.execute(
                "UPDATE clips SET state = ?, attempts = 0, status = '', error = '', verdict = '', probability = NULL, "
                "at_bound = 0, duration_s = NULL, n_faces = NULL, took_s = NULL, has_page = 0, "
                "player = 'none' WHERE id = ? AND state = ? AND player != ?",
                (QUEUED, clip_id, DONE, NEEDS_PREVIEW),
            )
            if not changed.rowcount:
                raise KeyError(clip_id)
            self._note(clip_id)

    def delete(self, clip_id: str) -> None:
        """Take a clip off the list.

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

    def _shown(self, found: sqlite3.Row) -> Row:
        row = {name: found[name] for name in SHOWN}
        row["at_bound"] = bool(row["at_bound"])
        return row | {"shown": printable(row["name"]), "progress": self._progress.get(row["id"])}
