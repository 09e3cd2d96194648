"""The threads that take clips from the queue.

Each thread feeds child processes, which may crash, hang or grow without harm to anything but the clip at hand.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
RETRY_S = 2.0  # until the list is written again, when the disk is full
FORETOLD = ("status", "error", "verdict", "probability", "at_bound", "duration_s", "n_faces")
KNOWN_SHARE = 0.1  # of a clip, from which on the rest can be told


class Examining(Protocol):
    """What measures clips in a process of its own: a :class:`~extract.run.examiner.Examiner`."""

    def measure(self, filename: str, path: str) -> tuple[Result, ClipEvidence | None]:
        """A clip's result and evidence, also where the process does not survive it."""
        ...

    def close(self) -> None:
        """End for good, also while a clip is measured."""
        ...


class Playing(Protocol):
    """What prepares players in a process of its own: a :class:`~extract.run.sandbox.Sandbox`."""

    def measure(self, filename: str, path: str) -> Result:
        """What came out; see :mod:`serve.preview`."""
        ...

    def close(self) -> None:
        """End what is being done; the next clip starts anew."""
        ...

    def retire(self) -> None:
        """End for good."""
        ...


class Judge(Protocol):
    """What judges measured clips: a :class:`serve.judging.Judging`."""

    def verdict(self, row: Row, result: Result) -> Mapping[str, Any]:
        """What the list says of a clip."""
        ...

    def pages(self, row: Row, result: Result, evidence: ClipEvidence | None) -> Mapping[str, Any]:
        """Write the pages of a clip; what the list says of it then."""
        ...


@dataclass(frozen=True)
class Means:
    """What clips are measured with: what makes the processes of a thread, and what judges."""

    examiner: Callable[[Tell], Examining]
    player: Callable[[Tell], Playing]
    judge: Judge


def processes(settings: Settings, limits: Limits, judge: Judge) -> Means:
    """The means that measure in child processes."""

    def examiner(tell: Tell) -> Examiner:
        return Examiner(settings, limits, faces_per_second=FACES_PER_SECOND, show_faces=True, tell=tell)

    def player(tell: Tell) -> Sandbox:
        return Sandbox(Settings(()), limits, program=("serve.preview",), tell=tell)

    return Means(examiner, player, judge)


class Measuring:
    """Measures what is queued until it is stopped.

    Parameters
    ----------
    clips, work
        The list and its files.
    means
        What clips are measured with.
    jobs
        Clips at a time.
    """

    def __init__(self, clips: ClipList, work: WorkFolder, means: Means, *, jobs: int = 1) -> None:
        self._stopping = threading.Event()
        self._threads = [_Thread(clips, work, means, self._stopping) for _ in range(jobs)]

    def start(self) -> None:
        """Begin with what is queued."""
        for one in self._threads:
            one.start()

    def stop(self) -> None:
        """End all measuring at once; what was being measured stays in the queue."""
        self._stopping.set()
        for one in self._threads:
            one.end()

    def cancel(self, clip_id: str) -> None:
        """End what is being done with a clip."""
        for one in self._threads:
            one.cancel(clip_id)


class _Thread(threading.Thread):
    """Works on one clip after the other. ``_busy`` guards what ``end`` and ``cancel`` touch from outside."""

    def __init__(self, clips: ClipList, work: WorkFolder, means: Means, stopping: threading.Event) -> None:
        super().__init__(name="measuring", daemon=True)
        self._clips, self._work, self._means, self._stopping = clips, work, means, stopping
        self._player = means.player(self._told)
        self._examiner: Examining | None = None
        self._busy = threading.Lock()
        self._current = ""
        self._cancelled = False
        self._began = 0.0
        self._media: dict[str, Any] = {}
        self._row: Row = {}
        self._foretold: dict[str, Any] = {}

    def run(self) -> None:
        """Until the server stops."""
        while not self._stopping.is_set():
            try:
                if (row := self._clips.take(IDLE_S)) is not None:
                    self._take_on(row)
            except sqlite3.Error as error:
                self._wait_for_the_disk(error)
            except Exception:
                logger.exception("no clip can be taken; it is tried again")
                self._stopping.wait(RETRY_S)

    def _take_on(self, row: Row) -> None:
        """Work on a clip; a fault of this program costs the clip, never the thread, and so the queue."""
        try:
            self._work_on(row)
        except Exception as error:
            logger.exception("%s: can't be worked on", row["shown"])
            self._write(row["id"], {"player": PLAYS_NOT, **self._fault(row["id"], error)})
            with self._busy:
                self._current = ""
            self._clips.let_go(row["id"])

    def _fault(self, clip_id: str, error: Exception) -> dict[str, Any]:
        """What is said of a clip that this program failed on; nothing where its verdict was written before."""
        with contextlib.suppress(KeyError, sqlite3.Error):  # it was deleted, or the disk is gone
            if self._clips.row(clip_id)["state"] == DONE:
                return {}
        return {"status": "crashed", "error": f"{type(error).__name__}: {error}"}

    def end(self) -> None:
        """End the processes for good."""
        with self._busy:
            if self._examiner is not None:
                self._examiner.close()
            self._player.retire()

    def cancel(self, clip_id: str) -> None:
        """End the processes if they work on a clip."""
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
            found = self._measured(row)
            player, mark = found.get("player"), found.get("mark", "")
            self._write(row["id"], found)
        if player == NEEDS_PREVIEW and not (self._cancelled or self._stopping.is_set()):
            self._write(row["id"], self._playable(row, mark))
        with self._busy:
            self._current = ""
        if self._stopping.is_set():
            return
        self._clips.let_go(row["id"])
        if self._unwanted(row["id"]):
            self._work.remove(row["id"])  # what was written since it was deleted

    def _measured(self, row: Row) -> dict[str, Any]:
        mark = self._work.mark(row["id"])
        try:
            with self._busy:
                if self._stopping.is_set() or self._cancelled:
                    return {}
                self._examiner = examiner = self._examiner or self._means.examiner(self._told)
            result, evidence = examiner.measure(row["shown"], str(self._work.clip(row["id"])))
            if self._unwanted(row["id"]):
                return {}
            if self._work.mark(row["id"]) != mark:
                raise UnreadableError("the file was written to while it was measured; queue it again")
            found = dict(self._means.judge.pages(row, engine.logged(result), evidence))
        except (DeepcueError, FullError, OSError) as error:
            if self._unwanted(row["id"]):  # its file is gone, which is no news
                return {}
            logger.warning("%s: %s", row["shown"], error)
            found = self._without_page(str(error))
        except Exception as error:  # a fault of this program costs the clip, never the queue
            logger.exception("%s: can't be judged", row["shown"])
            found = self._without_page(f"{type(error).__name__}: {error}")
        return found | {"took_s": time.monotonic() - self._began, "mark": mark}

    def _unwanted(self, clip_id: str) -> bool:
        """Whether nobody asks any more for what comes out of a clip: it was deleted, or the server ends."""
        if self._cancelled or self._stopping.is_set():
            return True
        try:
            self._clips.row(clip_id)
        except KeyError:  # deleted before it was begun with
            return True
        except sqlite3.Error:
            return False
        return False

    def _without_page(self, why: str) -> dict[str, Any]:
        """What is known of a clip whose pages could not be written: the verdict, where there is one."""
        if not self._foretold:
            return {"status": "crashed", "error": why}
        return {**self._foretold, "status": "partial", "error": f"its page could not be made: {why}"}

    def _playable(self, row: Row, mark: str) -> dict[str, Any]:
        """How browsers play a clip that still has the mark of what was measured: as it is, or as a copy of it."""
        self._media = {}
        try:
            made = self._player.measure(row["shown"], str(self._work.clip(row["id"])))
        except Exception as error:  # also of the system, as when no process can be started: the verdict stands
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
        """Whether a copy was made for which there is room; one that does not fit is removed."""
        try:
            self._work.check_room(row["id"])
        except FullError as error:
            logger.warning("%s: no preview is kept: %s", row["shown"], error)
            self._work.remove_preview(row["id"])
            return False
        if made.error:
            logger.warning("%s: no preview could be made: %s", row["shown"], made.error)
        return made.status == "ok" and (self._work.of(row["id"]) / PREVIEW).is_file()

    def _write(self, clip_id: str, found: Mapping[str, Any]) -> None:
        """Write to the list what came out, however long the disk is full; nothing of what was interrupted."""
        try:
            self._work.weigh(clip_id)
        except OSError as error:  # too many files are open: what the clip takes is counted at the next start
            logger.warning("%s can't be weighed (%s)", clip_id, error)
        while not (self._stopping.is_set() or self._cancelled):
            try:
                self._clips.finish(clip_id, found)
                return
            except sqlite3.Error as error:
                self._wait_for_the_disk(error)

    def _wait_for_the_disk(self, error: Exception) -> None:
        if not self._stopping.is_set():
            logger.warning("the list of clips can't be written (%s); make room", error)
        self._stopping.wait(RETRY_S)

    def _told(self, told: Mapping[str, Any]) -> None:
        if "media_type" in told:
            self._media = {name: told[name] for name in ("media_type", "start_s")}
            return
        if self._media and not self._media["media_type"]:
            self._keep_to_room()
        share = float(told["share"])
        spent_s = time.monotonic() - self._began
        left_s = spent_s / share - spent_s if share >= KNOWN_SHARE else None
        with contextlib.suppress(sqlite3.Error):  # the disk is full, or the server ends
            self._clips.tell(self._current, str(told["stage"]), share, left_s)
            if "row" in told and not self._cancelled:
                self._foretell(told["row"])

    def _keep_to_room(self) -> None:
        """End the making of a preview for which there is no room."""
        try:
            self._work.check_room(self._current)
        except FullError:
            self._player.close()

    def _foretell(self, result: Result) -> None:
        """Say what the verdict is, before the evidence for the page is collected."""
        try:
            found = dict(self._means.judge.verdict(self._row, replace(result, log=())))
        except Exception:  # it comes again when the pages are written, and is told then
            return
        self._foretold = {name: found[name] for name in FORETOLD if name in found}
        self._clips.foretell(self._current, self._foretold)
