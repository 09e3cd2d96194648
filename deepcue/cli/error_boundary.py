"""The exit status of a command, and what it prints of errors.

Errors of the user are :class:`~features.errors.InputError`, a line each. Any other exception is a fault of this program
and prints its traceback.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TextIO

from deepcue.installation import explained
from features.errors import InputError

DONE, FAULT, USER_ERROR = 0, 1, 2
INTERRUPTED = 128 + signal.SIGINT
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
FAULT_NOTE = "this is a fault of deepcue, not of your input; please report the lines above with `deepcue --version`"


def guarded(action: Callable[[], int | None]) -> int:
    """Run a command and return its exit status: 0 done, 1 fault of this program, 2 input error, 130 interrupted.

    A reader that closes the pipe early, as in ``deepcue predict folder --json | head -1``, is not an error.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name that the terminal can't print
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        return _status(action)
    except BrokenPipeError:
        _discard(sys.stdout, sys.stderr)
        return DONE


def _open_closed_streams() -> None:
    """Replace a stdout or stderr that was closed when the process started (``>&-``) by the null device."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 -- stays open until exit


def _status(action: Callable[[], int | None]) -> int:
    try:
        status = _exit_code(action)
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as stop:
        with contextlib.suppress(OSError):  # the terminal was closed
            print("\n" + "; ".join(["stopped", *map(str, stop.args)]), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, ImportError) and (message := explained(error)):
            print(f"error: {message}", file=sys.stderr)
            return USER_ERROR
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            print(f"error: {error}; make room and run the same command again", file=sys.stderr)
            _discard(sys.stdout)
            return USER_ERROR
        traceback.print_exc()
        print(FAULT_NOTE, file=sys.stderr)
        return FAULT
    return status


def _exit_code(action: Callable[[], int | None]) -> int:
    try:
        return action() or DONE
    except SystemExit as stop:  # the parser printed help
        return int(stop.code or DONE)


def _discard(*streams: TextIO) -> None:
    """Redirect streams to the null device, so that flushing them at exit raises no error."""
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):  # a test's stand-in has no file descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
