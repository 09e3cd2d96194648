"""Clips measured in the tests' own process, for tests of what goes on around it: a process of its own takes seconds."""

from __future__ import annotations

import json
import logging
import sys
import threading
from dataclasses import asdict
from unittest import mock

from extract.run import child, engine, evidence, examiner, worker
from extract.run.messages import decode, encode

_one_at_a_time = threading.Lock()


class Here:
    """In place of a :class:`~extract.run.sandbox.Sandbox`: does what its child does, with networks that stay loaded."""

    def __init__(self, settings, limits, *, program=("extract.run.sandbox",), tell=None):
        name, *arguments = program
        prepare = {"extract.run.sandbox": child.plain, "extract.run.evidence": evidence._prepare}[name]
        given = json.loads(json.dumps(asdict(settings)))
        given |= {name: tuple(given[name]) for name in ("families", "modules")}
        with mock.patch.object(sys, "argv", [name, *arguments]):
            self._measure = prepare(worker.Settings(**given), lambda told: tell(json.loads(json.dumps(told))))

    def measure(self, filename, path):
        records = child.Records()
        records.setFormatter(logging.Formatter("%(message)s"))
        with _one_at_a_time, mock.patch.object(logging.getLogger(), "handlers", [records]):
            result = encode(self._measure(filename, path)) | {"log": records.taken()}
        return decode(json.loads(json.dumps(result)))

    def close(self):
        """Nothing runs."""

    retire = close


def measure_here(monkeypatch):
    """Let runs measure in this process until the test ends."""
    monkeypatch.setattr(engine, "Sandbox", Here)
    monkeypatch.setattr(examiner, "Sandbox", Here)
