"""A server in this process whose clips say themselves what comes out: the list, the queue and the guard are real."""

import contextlib
import errno
import http.client
import json
import threading
import urllib.parse

import numpy as np
from events import wait_until

from extract.run.worker import Result
from serve.folder import PAGE, REPORT
from serve.measuring import Backend
from serve.server import Options, Server

NOTHING = np.empty(0, np.float32)


class Examiner:
    """Reads a clip as what shall happen: ``fine 0.7``, ``broken``, ``pageless 0.7`` (the disk is full), ``wait``.

    ``early 0.7`` waits, too, after it has told what came out. Both wait until they are closed.
    """

    def __init__(self, tell):
        self._tell, self._closed = tell, threading.Event()

    def measure(self, filename, path):
        with open(path, encoding="latin-1") as file:
            what, *_ = [*file.read(100).split(), "nothing"]
        self._tell({"stage": "following faces", "share": 0.5})
        if what == "wait":
            self._closed.wait()
        if what in {"early", "pageless"}:
            self._tell({"stage": "judging more faces", "share": 0.75, "row": Result(filename, "ok", "", NOTHING)})
        if what == "early":
            self._closed.wait()
        died = {
            "early": ("crashed", "the run was stopped"),
            "wait": ("crashed", "the run was stopped"),
            "broken": ("unreadable", "no video or audio that FFmpeg can open"),
        }
        status, error = died.get(what, ("ok", ""))
        return Result(filename, status, error, NOTHING), None

    def close(self):
        self._closed.set()


class Player:
    """Says of every clip that browsers play it."""

    def __init__(self, tell):
        self._tell = tell

    def measure(self, filename, path):
        self._tell({"media_type": "video/mp4", "start_s": 0.0})
        return Result(filename, "ok", "", NOTHING)

    def close(self):
        """Nothing runs."""

    retire = close


class Judge:
    """To whom the number in a clip's file is its probability."""

    def __init__(self, work):
        self._work = work

    def verdict(self, row, result):
        fine = result.status == "ok"
        content = (self._work / "clips" / row["id"] / "clip").read_text("latin-1")
        return {
            "status": result.status,
            "error": result.error,
            "verdict": "uncertain" if fine else "nothing measured",
            "probability": float(content.split()[1]) if fine else None,
            "at_bound": content.startswith(("fine 0.97", "fine 0.03")),
        }

    def pages(self, row, result, _evidence):
        if (self._work / "clips" / row["id"] / "clip").read_bytes().startswith(b"pageless"):
            raise OSError(errno.ENOSPC, "No space left on device")
        for name in (PAGE, REPORT):
            (self._work / "clips" / row["id"] / name).write_text(f"<p>page of {row['number']}</p>")
        return self.verdict(row, result) | {"has_page": 1, "player": "wanted" if result.status == "ok" else "none"}


class Running:
    """A server that runs in a thread, and requests to it."""

    def __init__(self, work, *, server=None, **options):
        told = {"work": work, "model": work, "port": 0} | options
        self.server = server or Server(Options(**told), backend=Backend(Examiner, Player, Judge(work)))
        self.port = int(urllib.parse.urlsplit(self.server.local).port)
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()

    def stop(self):
        """End it as SIGTERM does."""
        self.server.stop()
        self._thread.join()

    def ask(self, method, path, body=None, **headers):
        """An answer: its status, headers and body. ``Content_Type`` stands for ``Content-Type``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def upload(self, content, name="a.mp4", **headers):
        """Status and JSON of an upload."""
        status, _, body = self.ask("POST", f"/api/clips?name={urllib.parse.quote(name)}", content, **headers)
        return status, json.loads(body)

    def rows(self):
        """The list, newest first."""
        return json.loads(self.ask("GET", "/api/clips")[2])["rows"]

    def row(self, clip_id):
        """One clip of the list."""
        return json.loads(self.ask("GET", f"/api/clips/{clip_id}")[2])

    def settled(self, n):
        """The list when ``n`` clips are done."""
        wait_until(lambda: sum(row["state"] == "done" and row["progress"] is None for row in self.rows()) == n)
        return self.rows()


@contextlib.contextmanager
def running(work, **options):
    """A server for a while."""
    one = Running(work, **options)
    try:
        yield one
    finally:
        one.stop()
