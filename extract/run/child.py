"""The child process of :mod:`extract.run.sandbox`: measures clips until its standard input closes."""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from extract.run.messages import TOLD, Tell, encode
from extract.run.worker import LogRecord, Result, Settings
from features.errors import InputError


class Records(logging.Handler):
    """Collect the log records of a clip for its Result."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._records: list[LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self._records.append(LogRecord(record.name, record.levelno, self.format(record)))

    def taken(self) -> list[dict[str, Any]]:
        """Return the records since the last call, as JSON values."""
        records, self._records = self._records, []
        return [asdict(record) for record in records]


def plain(settings: Settings, _tell: Tell) -> Callable[[str, str], Result]:
    """Load the families, and return the function that measures a clip by its name and path."""
    from extract.run import worker

    worker.load_families(settings)  # before the time limit of the first clip starts
    return lambda filename, path: worker.measure(filename, path, settings)


def serve(prepare: Callable[[Settings, Tell], Callable[[str, str], Result]] = plain) -> None:
    """Answer requests until standard input closes.

    Parameters
    ----------
    prepare
        Called once with the settings and a function that sends progress to the parent; returns the function that
        measures a clip by its name and path. If it raises ``InputError``, the parent's run ends with that error.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that output of libraries can't look like an answer
    faulthandler.enable()  # a crash in a library writes its traceback to standard error
    lines = iter(os.fdopen(os.dup(0), "rb"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a library that reads standard input must not take requests from it
    given = json.loads(next(lines))
    requests: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        for line in lines:
            requests.put(line)
        os._exit(0)  # the parent has ended or needs no more results

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    threading.Thread(target=read, daemon=True).start()
    sys.path += [folder for folder in given["path"] if folder not in sys.path]
    settings = Settings(
        **(given["settings"] | {name: tuple(given["settings"][name]) for name in ("families", "modules")})
    )
    records = Records()
    records.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(handlers=[records, logging.StreamHandler()], level=logging.WARNING)
    try:
        measure = prepare(settings, lambda message: answer({TOLD: message}))
    except InputError as error:
        answer({"refused": str(error)})
        os._exit(0)
    answer({"ready": True})
    while True:
        request = json.loads(requests.get())
        result = measure(request["filename"], request["path"])
        answer(encode(result) | {"log": records.taken()})
