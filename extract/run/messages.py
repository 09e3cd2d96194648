"""What a measuring process and its parent say to each other: lines of JSON.

On the child's standard input: first the settings, which no list of processes shows there, then the clips; when it
closes, the child ends at once, so none outlives its parent. On its standard output: that it is ready, or why it can't
be, then results, each with what was logged on the way.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from extract.run.worker import LogRecord, Result

TOLD = "told"  # what a child says on the way to an answer

Tell = Callable[[dict[str, Any]], None]
"""Takes what a child tells on the way to an answer: JSON values."""


def encode(result: Result) -> dict[str, Any]:
    """A Result as JSON values; the numbers as base64 of little-endian float32, exact to the bit."""
    return asdict(result) | {"values": base64.b64encode(result.values.astype("<f4").tobytes()).decode()}


def decode(record: dict[str, Any]) -> Result:
    """The inverse of :func:`encode`."""
    values = np.frombuffer(base64.b64decode(record["values"]), dtype="<f4")
    log = tuple(LogRecord(**entry) for entry in record["log"])
    return Result(**(record | {"values": values, "log": log}))
