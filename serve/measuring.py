"""Threads that take clips from the queue and measure them in child processes.

A child process that crashes, hangs or grows costs only the clip that it is working on.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from extract.run import engine
from extract.run.examiner import Examiner
from extract.run.messages import Tell
from extract.run.sandbox import Limits, Sandbox
from extract.run.worker import Result, Settings
from features.errors import DeepcueError, UnreadableError
from features.evidence import FACES_PER_SECOND, ClipEvidence
from serve.clips import DONE, NEEDS_PREVIEW, PLAYS_CHANGED, PLAYS_FILE, PLAYS_NOT, PLAYS_PREVIEW, ClipList, Row
from serve.folder import PREVIEW, FullError, WorkFolder

logger = logging.getLogger(__name__)

IDLE_S = 5.0
RETRY_S = 2.0  # wait before the list is written again when the disk is full
FORETOLD = ("status", "error", "verdict", "probability", "at_bound", "duration_s", "n_faces")
KNOWN_SHARE = 0.1  # fraction of a clip after which the remaining time is estimated


class Examining(Protocol):
    """The interface of :class:`~extract.run.examiner.Examiner`: measures clips in a child process."""

    def measure(self, filename: str, path: str) -> tuple[Result, ClipEvidence | None]:
        """Return a clip's result and evidence, even if the clip crashes the child process."""
        ...

    def close(self) -> None:
        """End the child process permanently, also while it measures a clip."""
        ...


class Playing(Protocol):
    """The interface of :class:`~extract.run.sandbox.Sandbox`: makes previews in a child process."""

    def measure(self, filename: str, path: str) -> Result:
        """Return how browsers can play a clip; see :mod:`serve.preview`."""
        ...

    def close(self) -> None:
        """End the child process; the next clip starts a new one."""
        ...

    def retire(self) -> None:
        """End the child process permanently."""
        ...


class Judge(Protocol):
    """The interface of :class:`serve.judging.Judging`: predicts measured clips and writes their pages."""

    def verdict(self, row: Row, result: Result) -> Mapping[str, Any]:
        """Return the columns of the list for a clip."""
        ...

    def pages(self, row: Row, result: Result, evidence: ClipEvidence | None) -> Mapping[str, Any]:
        """Write the pages of a clip and return the columns of the list for it."""
        ...


@dataclass(frozen=True)
class Backend:
    """The factories of a thread's child processes, and the judge that all threads share."""

    examiner: Callable[[Tell], Examining]
    player: Callable[[Tell], Playing]
    judge: Judge


def process_backend(settings: Settings, limits: Limits, judge: Judge, *, evidence: Path | None = None) -> Backend:
    """Return the backend that measures in child processes; evidence is kept in a folder until it is in a page."""

    def examiner(tell: Tell) -> Examiner:
        return Examiner(
            settings, limits, faces_per_second=FACES_PER_SECOND, show_faces=True, folder=evidence, tell=tell
        )

    def player(tell: Tell) -> Sandbox:
        return Sandbox(Settings(()), limits, program=("serve.preview",), tell=tell)

    return Backend(examiner, player, judge)


class Measuring:
    """Measure queued clips until stopped.

    Parameters
    ----------
    clips, work
        The list of clips, and the folder with their files.
    backend
        What measures the clips and predicts.
    jobs
        Number of clips that are measured at the same time.
    """

    def __init__(self, clips: ClipList, work: WorkFolder, backend: Backend, *, jobs: int = 1) -> None:
        self._stopping = threading.Event()
        self._threads = [_Thread(clips, work, backend, self._stopping) for _ in range(jobs)]

    def start(self) -> None:
        """Start to measure the queued clips."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all measurements at once; clips that were being measured stay in the queue."""
        self._stopping.set()
        for thread in self._threads:
            thread.end()

    def cancel(self, clip_id: str) -> None:
        """End the work on a clip, if any thread is working on it."""
        for thread in self._threads:
            thread.cancel(clip_id)


class _Thread(threading.Thread):
    """Work on one clip after the other. ``_busy`` guards what ``end`` and ``cancel`` change from other threads."""

    def __init__(self, clips: ClipList, work: WorkFolder, backend: Backend, stopping: threading.Event) -> None:
        super().__init__(name="measuring", daemon=True)
        self._clips, self._work, self._backend, self._stopping = clips, work, backend, stopping
        self._player = backend.player(self._receive)
        self._examiner: Examining | None = None
        self._busy = threading.Lock()
        self._current = ""
        self._cancelled = False
        self._began = 0.0
        self._media: dict[str, Any] = {}
        self._row: Row = {}
        self._foretold: dict[str, Any] = {}

    def run(self) -> None:
        """Take clips from the queue until the server stops."""
        while not self._stopping.is_set():
            try:
                if (row := self._clips.take(IDLE_S)) is not None:
                    self._take_on(row)
            except sqlite3.Error as error:
                self._wait_for_the_disk(error)
            except Exception:
                logger.exception("no clip can be taken from the queue; trying again")
                self._stopping.wait(RETRY_S)

    def _take_on(self, row: Row) -> None:
        """Work on a clip. A fault of this program costs only this clip: the thread goes on with the queue."""
        try:
            self._work_on(row)
        except Exception as error:
            logger.exception("%s: can't be processed", row["shown"])
            self._write(row["id"], {"player": PLAYS_NOT, **self._fault(row["id"], error)})
            with self._busy:
                self._current = ""
            self._clips.let_go(row["id"])

    def _fault(self, clip_id: str, error: Exception) -> dict[str, Any]:
        """Return the columns for a clip on which this program failed; none if its verdict is already listed."""
        with contextlib.suppress(KeyError, sqlite3.Error):  # the clip was deleted, or the disk is gone
            if self._clips.row(clip_id)["state"] == DONE:
                return {}
        return {"status": "crashed", "error": f"{type(error).__name__}: {error}"}

    def end(self) -> None:
        """End the child processes permanently."""
        with self._busy:
            if self._examiner is not None:
                self._examiner.close()
            self._player.retire()

    def cancel(self, clip_id: str) -> None:
        """End the child processes if they are working on this clip."""
        with self._busy:
            if self._current == clip_id:
                self._cancelled = True
                self._player.close()
                if self._examiner is not None:
                    self._examiner.close()
                    self._examiner = None

    def _work_on(self, row: Row) -> None:
        with self._busy:
            self._current, self._cancelled, self._began, self._row = row["id"], False, time.monotonic(), row
        self._foretold, self._media = {}, {}
        player, mark = row["player"], row["mark"]
        if row["state"] != DONE:
            columns = self._measured(row)
            player, mark = columns.get("player"), columns.get("mark", "")
            self._write(row["id"], columns)
        if player == NEEDS_PREVIEW and not (self._cancelled or self._stopping.is_set()):
            self._write(row["id"], self._playable(row, mark))
        with self._busy:
            self._current = ""
        if self._stopping.is_set():
            return
        self._clips.let_go(row["id"])
        if self._unwanted(row["id"]):
            self._work.remove(row["id"])  # files that were written after the clip was deleted

    def _measured(self, row: Row) -> dict[str, Any]:
        mark = self._work.mark(row["id"])
        try:
            with self._busy:
                if self._stopping.is_set() or self._cancelled:
                    return {}
                self._examiner = examiner = self._examiner or self._backend.examiner(self._receive)
            result, evidence = examiner.measure(row["shown"], str(self._work.clip(row["id"])))
            if self._unwanted(row["id"]):
                return {}
            if self._work.mark(row["id"]) != mark:
                raise UnreadableError("the file was changed while it was measured; queue it again")
            columns = dict(self._backend.judge.pages(row, engine.logged(result), evidence))
        except (DeepcueError, FullError, OSError) as error:
            if self._unwanted(row["id"]):  # its file is gone, as expected
                return {}
            logger.warning("%s: %s", row["shown"], error)
            columns = self._without_page(str(error))
        except Exception as error:  # a fault of this program costs only this clip
            logger.exception("%s: can't be predicted", row["shown"])
            columns = self._without_page(f"{type(error).__name__}: {error}")
        return columns | {"took_s": time.monotonic() - self._began, "mark": mark}

    def _unwanted(self, clip_id: str) -> bool:
        """Return whether the result of a clip is no longer needed: it was deleted, or the server is stopping."""
        if self._cancelled or self._stopping.is_set():
            return True
        try:
            self._clips.row(clip_id)
        except KeyError:  # deleted before the work began
            return True
        except sqlite3.Error:
            return False
        return False

    def _without_page(self, why: str) -> dict[str, Any]:
        """Return the columns for a clip whose pages could not be written: the verdict, if it is known."""
        if not self._foretold:
            return {"status": "crashed", "error": why}
        return {**self._foretold, "status": "partial", "error": f"its page could not be made: {why}"}

    def _playable(self, row: Row, mark: str) -> dict[str, Any]:
        """Return how browsers play a clip: as it is or as a preview; not at all if the file was changed meanwhile."""
        self._media = {}
        try:
            made = self._player.measure(row["shown"], str(self._work.clip(row["id"])))
        except Exception as error:  # for example, no process can be started; the verdict stays
            if self._unwanted(row["id"]):
                return {}
            logger.warning("%s: no preview could be made", row["shown"], exc_info=error)
            return {"player": PLAYS_NOT}
        if self._unwanted(row["id"]):
            return {}
        if mark and self._work.mark(row["id"]) != mark:
            return {"player": PLAYS_CHANGED}
        if self._media.get("media_type"):
            return {"player": PLAYS_FILE, **self._media}
        return {"player": PLAYS_PREVIEW if self._has_preview(row, made) else PLAYS_NOT, **self._media}

    def _has_preview(self, row: Row, made: Result) -> bool:
        """Return whether a preview was made and fits into the work folder; one that does not fit is removed."""
        try:
            self._work.check_room(row["id"])
        except FullError as error:
            logger.warning("%s: no preview is kept: %s", row["shown"], error)
            self._work.remove_preview(row["id"])
            return False
        if made.error:
            logger.warning("%s: no preview could be made: %s", row["shown"], made.error)
        return made.status == "ok" and (self._work.of(row["id"]) / PREVIEW).is_file()

    def _write(self, clip_id: str, columns: Mapping[str, Any]) -> None:
        """Write the columns of a clip to the list, retrying while the disk is full; nothing if it was cancelled."""
        try:
            self._work.weigh(clip_id)
        except OSError as error:  # too many open files: the clip's size is counted at the next start
            logger.warning("%s: its size can't be counted (%s)", clip_id, error)
        while not (self._stopping.is_set() or self._cancelled):
            try:
                self._clips.finish(clip_id, columns)
                return
            except sqlite3.Error as error:
                self._wait_for_the_disk(error)

    def _wait_for_the_disk(self, error: Exception) -> None:
        if not self._stopping.is_set():
            logger.warning("the list of clips can't be written (%s); make room", error)
        self._stopping.wait(RETRY_S)

    def _receive(self, message: Mapping[str, Any]) -> None:
        if "media_type" in message:
            self._media = {name: message[name] for name in ("media_type", "start_s")}
            return
        if self._media and not self._media["media_type"]:
            self._keep_to_room()
        share = float(message["share"])
        spent_s = time.monotonic() - self._began
        left_s = spent_s / share - spent_s if share >= KNOWN_SHARE else None
        with contextlib.suppress(sqlite3.Error):  # the disk is full, or the server is stopping
            self._clips.tell(self._current, str(message["stage"]), share, left_s)
            if "row" in message and not self._cancelled:
                self._foretell(message["row"])

    def _keep_to_room(self) -> None:
        """Stop making a preview for which there is no room."""
        try:
            self._work.check_room(self._current)
        except FullError:
            self._player.close()

    def _foretell(self, result: Result) -> None:
        """Show the verdict in the list before the evidence for the page is collected."""
        try:
            columns = dict(self._backend.judge.verdict(self._row, replace(result, log=())))
        except Exception:  # the same error is raised, and reported, when the pages are written
            return
        self._foretold = {name: columns[name] for name in FORETOLD if name in columns}
        self._clips.foretell(self._current, self._foretold)
