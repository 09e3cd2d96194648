"""The protocol between a measuring process and its parent: lines of JSON.

The child's standard input carries first the settings, which process lists would show on a command line, then the clips;
the child ends when it closes, so no child outlives its parent. The child's standard output carries a ready message or a
refusal, then results, each with its log records.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from extract.run.worker import LogRecord, Result

TOLD = "told"  # key of a message that the child sends before its result

Tell = Callable[[dict[str, Any]], None]
"""Receives the JSON values that a child sends before its result."""


def encode(result: Result) -> dict[str, Any]:
    """Return a Result as JSON values; the numbers as base64 of little-endian float32, bit for bit."""
    return asdict(result) | {"values": base64.b64encode(result.values.astype("<f4").tobytes()).decode()}


def decode(record: dict[str, Any]) -> Result:
    """The inverse of :func:`encode`."""
    values = np.frombuffer(base64.b64decode(record["values"]), dtype="<f4")
    log = tuple(LogRecord(**entry) for entry in record["log"])
    return Result(**(record | {"values": values, "log": log}))
