"""What subcommands share: the parser, options that mean the same everywhere, tables, the error boundary.

A subcommand is a module of :mod:`deepcue.cli` with three names: ``EXAMPLE``, a call that can be pasted;
``add_arguments(parser)``; and ``run(arguments)``, which calls the library, prints results to stdout and returns
nothing, or an exit status. Its docstring is the help. Progress goes to stderr. What the user got wrong is raised as
:class:`~features.errors.InputError`: :func:`guarded` turns it into one line and exit status 2. Anything else that is
raised is a fault of this program: its traceback, and exit status 1. A subcommand of which something is kept when
it is stopped has a fourth name, ``stopped(arguments)``, which says what.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from ensemble.outputs import write_text
from features.errors import InputError
from features.places import check_is_no_input

if TYPE_CHECKING:
    import pyarrow as pa

    from extract.run.sandbox import Limits

DONE, FAULT, USER_ERROR = 0, 1, 2
INTERRUPTED = 128 + signal.SIGINT
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
FAULT_NOTE = "this is a fault of deepcue, not of your input; please report the lines above with `deepcue --version`"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as every other error of this program."""

    def error(self, message: str) -> NoReturn:
        """Raise the message and where the help is.

        Raises
        ------
        InputError
            Always; :func:`guarded` prints it.
        """
        raise InputError(f"{message}; see `{self.prog} --help`")

    def parsed(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the subcommand; a file whose name begins with a dash gets a hint of its own.

        Raises
        ------
        InputError
            They can't be parsed, or a file to write is one that is read.
        """
        try:
            arguments = self.parse_args(words)
        except InputError as error:
            options = words[: words.index("--")] if "--" in words else words
            for word in options:
                if word.startswith("-") and os.path.exists(word):
                    raise InputError(f"{word} looks like an option; write ./{word} for the file") from error
            raise
        self._check_outputs(arguments)
        return arguments

    def _check_outputs(self, arguments: argparse.Namespace) -> None:
        """Refuse an :func:`output_file` that another argument names, of those that are paths or no option.

        A clip of a folder or manifest that such an argument names is refused, too.
        """
        inputs: list[str | Path] = []
        for action in self._actions:
            if action.type is Path or not (action.option_strings or action.type):
                value = getattr(arguments, action.dest, None)
                inputs += value if isinstance(value, list) else [value] if value else []
        for action in self._actions:
            if action.type is output_file and (out := getattr(arguments, action.dest)):
                from extract.output_places import check_keeps_clips  # with what a command that writes loads anyway

                check_is_no_input(out, inputs)
                check_keeps_clips(out, inputs)


def positive_int(text: str) -> int:
    """An option's value that must be a whole number above 0; anything else is an ``ArgumentTypeError``."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def positive_number(text: str) -> float:
    """An option's value that must be a finite number above 0; anything else is an ``ArgumentTypeError``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def seed(text: str) -> int:
    """An option's value that seeds random numbers, 0 to 2**32 - 1; anything else is an ``ArgumentTypeError``."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return value


def output_file(text: str) -> Path:
    """An option's value that is a file to write: refused before the work when it can't be, or is read as well."""
    return _checked(Path(text), "check_file")


def output_folder(text: str) -> Path:
    """An option's value that is a folder to write into: refused before the work when it can't be."""
    return _checked(Path(text), "check_folder")


def _checked(place: Path, check: str) -> Path:
    from ensemble import outputs

    try:
        getattr(outputs, check)(place)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return place


def make_parent(file: Path) -> None:
    """Make the folders above a file that is about to be written."""
    file.parent.mkdir(parents=True, exist_ok=True)


def names(text: str) -> list[str]:
    """An option's value that is a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """``--jobs``: how many processes; results do not depend on it."""
    parser.add_argument(
        "--jobs", type=positive_int, default=usable_cores(), help="processes (default: one for each usable core)"
    )


def usable_cores(control_groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """The cores that this process may use: those it may run on, and no more than the quota of its control group.

    Parameters
    ----------
    control_groups
        Where version 2 of the control groups is mounted.
    own
        File that names this process's.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        name = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
        quota, period = (control_groups / name.strip("/") / "cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, StopIteration, ValueError):  # no such groups, or no quota: "max"
        return cores


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Declare ``--timeout`` and ``--max-memory``, the limits of a child process that measures a clip."""
    from extract.run.sandbox import WALL_FACTOR, Limits

    parser.add_argument(
        "--timeout",
        type=positive_number,
        default=Limits.timeout_s,
        help=f"CPU seconds a clip may take (%(default)g); by the clock it may take {WALL_FACTOR} times as many",
    )
    parser.add_argument(
        "--max-memory", type=positive_number, default=Limits.memory_mb, help="MB a process may take (%(default)g)"
    )


def limits(arguments: argparse.Namespace) -> Limits:
    """What :func:`add_limits` declared, as extraction takes it."""
    from extract.run.sandbox import Limits

    return Limits(timeout_s=arguments.timeout, memory_mb=arguments.max_memory)


def add_max_seconds(parser: argparse.ArgumentParser) -> None:
    """``--max-seconds``: how much of each clip is looked at."""
    from extract.run.worker import MAX_SECONDS

    parser.add_argument("--max-seconds", type=positive_number, default=MAX_SECONDS, help="of each clip (%(default)g)")


def add_face_files(parser: argparse.ArgumentParser) -> None:
    """Declare the data that face networks are trained on."""
    parser.add_argument("--stills", type=Path, required=True, help="folder of Parquet files of labelled stills")
    parser.add_argument("--faces", type=Path, required=True, help="Parquet file of real faces")
    parser.add_argument("--clips", type=Path, required=True, help="CSV manifest of labelled clips; see above")
    parser.add_argument("--crops", type=Path, help="folder of labelled face crops of further clips and of pictures")


def add_face_data(parser: argparse.ArgumentParser) -> None:
    """Declare the data that face networks are trained on, and what of it they do not see."""
    from training.faces.data import LEAVE_OUT

    add_face_files(parser)
    parser.add_argument(
        "--leave-out",
        choices=LEAVE_OUT,
        default=LEAVE_OUT[0],
        help="what no two folds share: people, or methods as well (default)",
    )
    parser.add_argument(
        "--hold-out",
        type=_fold,
        metavar="K/N",
        help="hold out fold K of N of the stills' identities, not the usual few; N runs give a cross-validated score",
    )


def _fold(text: str) -> tuple[int, int]:
    """``"1/3"`` as (1, 3)."""
    fold, _, folds = text.partition("/")
    if not (fold.isdigit() and folds.isdigit() and 1 <= int(fold) <= int(folds) >= 2):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, as 1/3")
    return int(fold), int(folds)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """``--quiet``: no progress on stderr."""
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``: results as one JSON object on stdout."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """``--seed``: of every random draw."""
    parser.add_argument("--seed", type=seed, default=0, help="of every random draw (default: %(default)s)")


@contextlib.contextmanager
def clip_progress(*, quiet: bool) -> Iterator[Callable[[int, int, int], None]]:
    """A bar on stderr that :func:`extract.pipeline.extract` moves: clips done, of all, failed."""
    from tqdm import tqdm

    bars: list[Any] = []  # none before the first call: what is refused before the work shows no bar

    def show(done: int, total: int, failed: int) -> None:
        if not bars:
            bars.append(tqdm(total=total, initial=done, unit="clip", smoothing=0.05, disable=quiet))
        bars[0].set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
        bars[0].update(done - bars[0].n)

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with columns of equal width; the first row is the header."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def check_any_measured(table: pa.Table) -> None:
    """Refuse to call it a success that every clip of a run crashed or ran out of time.

    Raises
    ------
    InputError
        The table has rows, and all are of clips that the next run tries again.
    """
    from extract.run.journal import RETRIED

    states = set(table.column("status").to_pylist())
    if states and states <= RETRIED:
        clips = "the clip is" if table.num_rows == 1 else f"all {table.num_rows} clips are"
        raise InputError(
            f"nothing was measured: {clips} {' or '.join(sorted(states))} "
            f"({table['error'][0].as_py()}); see to that and run the same command again"
        )


def write_or_check(file: Path, text: str, *, check: bool, command: str) -> None:
    """Write a generated page and print its name; with ``check``, only compare it with what is there.

    Parameters
    ----------
    file, text
        The page, and what it must hold.
    check
        Write nothing.
    command
        What makes the page, for the message.

    Raises
    ------
    InputError
        The page is missing, differs or can't be written.
    """
    if not check:
        write_text(file, text)
        print(file)
    elif not file.is_file() or file.read_text(encoding="utf-8") != text:
        raise InputError(f"{file}: is not up to date; run `{command}`")


def goes_on(kept: object, *, fresh: bool = False) -> str:
    """What a run that was stopped says, when the next one goes on with what is kept."""
    return f"what is done is kept in {kept}; run the same command again{' without --fresh' if fresh else ''} to go on"


def guarded(action: Callable[[], int | None]) -> int:
    """Run a command: 0 done, 1 a fault of this program, 2 the user's input, 130 interrupted.

    A reader that went away, as of ``deepcue predict folder --json | head -1``, is no error.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name that the terminal can't print
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        return _status(action)
    except BrokenPipeError:
        _discard(sys.stdout, sys.stderr)
        return DONE


def _status(action: Callable[[], int | None]) -> int:
    try:
        status = _exit_code(action)
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as stop:
        print("\n" + "; ".join(["stopped", *map(str, stop.args)]), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
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
    """Send what is still to be written to nowhere, so that the end of the process does not complain of it."""
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):  # a stand-in of a test has no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
