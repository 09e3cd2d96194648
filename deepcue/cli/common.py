"""Code that the subcommands share: the parser, common options, tables, the error boundary.

A subcommand is a module of :mod:`deepcue.cli` with three names: ``EXAMPLE``, a command line that can be pasted;
``add_arguments(parser)``; and ``run(arguments)``, which calls the library, prints results to stdout and returns None
or an exit status. The module's docstring is the help. Progress goes to stderr. Errors of the user are raised as
:class:`~features.errors.InputError`, which :func:`guarded` turns into a one-line message and exit status 2. Any other
exception is a fault of this program and ends with its traceback and exit status 1. A subcommand that keeps something
when it is interrupted has a fourth name, ``stopped(arguments)``, which returns what is kept as text.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import errno
import logging
import math
import os
import re
import shutil
import signal
import sys
import textwrap
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from deepcue.installation import explained
from ensemble.outputs import check_file, check_folder, write_text
from features.errors import InputError
from features.places import check_is_no_input
from features.threads import usable_cores

if TYPE_CHECKING:
    import pyarrow as pa

    from extract.run.sandbox import Limits

DONE, FAULT, USER_ERROR = 0, 1, 2
INTERRUPTED = 128 + signal.SIGINT
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
LOG_EVERY_S = 10.0  # seconds between lines of progress in a file, which keeps all of them
N_ERRORS = 5  # number of errors that the summary of a run shows
WIDEST = 110  # characters of a line: longer ones are hard to read
FAULT_NOTE = "this is a fault of deepcue, not of your input; please report the lines above with `deepcue --version`"


def plain(text: str) -> str:
    """Return a docstring or help text for readers: Sphinx roles and double backquotes become single backquotes.

    >>> plain("see :func:`~extract.pipeline.extract` and ``--jobs``")
    'see `extract` and `--jobs`'
    """
    text = re.sub(r":\w+(?::\w+)?:`(?:~[\w.]*?(?=\w+`))?([^`]+)`", r"`\1`", text)
    return re.sub(r"(?<!`)``(?!`)(.+?)(?<!`)``(?!`)", r"`\1`", text, flags=re.DOTALL)


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help in one style: the default of every option as ``(default: x)``, names of values in capitals."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = re.sub(r"\((%\(default\)[sg]\))", r"(default: \1", action.help or "")
        is_silent = action.default is None or action.default is False or action.default in ("", argparse.SUPPRESS, [])
        if is_silent or not action.option_strings or "(default" in text or "%(default)" in text:
            return text
        return f"{text} (default: {'%(default)g' if isinstance(action.default, float) else '%(default)s'})"

    def _expand_help(self, action: argparse.Action) -> str:
        shown = copy.copy(action)
        if isinstance(shown.default, (list, tuple)):
            shown.default = ",".join(map(str, shown.default))
        return super()._expand_help(shown)

    def _get_default_metavar_for_positional(self, action: argparse.Action) -> str:
        return action.dest.upper()

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        r"""Fill paragraphs to the terminal's width; one with an indented line, such as an example, stays as it is.

        >>> print(HelpFormatter("deepcue")._fill_text("One\ntwo\nthree.\n\nexample:\n  deepcue serve", 9, ""))
        One two
        three.
        <BLANKLINE>
        example:
          deepcue serve
        """
        return "\n\n".join(_filled(paragraph, width, indent) for paragraph in text.strip("\n").split("\n\n"))


def _filled(paragraph: str, width: int, indent: str) -> str:
    lines = paragraph.splitlines()
    if any(line.startswith(" ") for line in lines):
        return "\n".join(indent + part for line in lines for part in _item(line, width - len(indent)))
    return "\n".join(wrapped(" ".join(lines), width, first=indent))


def _item(line: str, width: int) -> list[str]:
    """Break the text of a list of names and texts in its own column; another line stays as it is."""
    item = re.fullmatch(r"( +\S+ {2,})(\S.*)", line)
    return wrapped(item[2], width, first=item[1], rest=" " * len(item[1])) if item else [line]


def wrapped(text: str, width: int | None, *, first: str = "", rest: str | None = None) -> list[str]:
    """Break a sentence into lines of a terminal; None leaves it in one line.

    Parameters
    ----------
    text
        Without line breaks.
    width
        Of a line, in characters; words are never broken.
    first, rest
        Before the first line and before the others; ``rest`` is ``first`` by default.
    """
    if width is None:
        return [first + text]
    after = first if rest is None else rest
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=after, **options) or [first]


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is, at most :data:`WIDEST`; None for a file or a pipe."""
    return min(shutil.get_terminal_size().columns, WIDEST) if sys.stdout.isatty() else None


class Parser(argparse.ArgumentParser):
    """An argument parser with one-line errors, like all errors of this program, and with plain help."""

    def format_help(self) -> str:
        """Format the help; see :func:`plain`."""
        return plain(super().format_help())

    def error(self, message: str) -> NoReturn:
        """Raise the message with a reference to the help.

        Raises
        ------
        InputError
            Always; :func:`guarded` prints it.
        """
        raise InputError(f"{message}; see `{self.prog} --help`")

    def parsed(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the subcommand; a file whose name begins with a dash gets its own hint.

        Raises
        ------
        InputError
            The words can't be parsed, or an output file is also an input.
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
        """Refuse an :func:`output_file` that a path option or a positional argument also names.

        An output that would replace a clip of a folder or manifest that such an argument names is refused as well.
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
    """Parse a whole number above 0; anything else is an ``ArgumentTypeError``."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def count(text: str) -> int:
    """Parse a whole number, 0 or more; anything else is an ``ArgumentTypeError``."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def positive_number(text: str) -> float:
    """Parse a finite number above 0; anything else is an ``ArgumentTypeError``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def seed(text: str) -> int:
    """Parse a random seed, 0 to 2**32 - 1; anything else is an ``ArgumentTypeError``."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return value


def output_file(text: str) -> Path:
    """Parse the path of a file to write; one that can't be written, or is also an input, is refused before the work."""
    return _checked(Path(text), check_file)


def output_folder(text: str) -> Path:
    """Parse the path of a folder to write into; one that can't be written is refused before the work."""
    return _checked(Path(text), check_folder)


def _checked(place: Path, check: Callable[[Path], None]) -> Path:
    try:
        check(place)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return place


def make_parent(file: Path) -> None:
    """Create the parent folders of a file that is about to be written."""
    file.parent.mkdir(parents=True, exist_ok=True)


def names(text: str) -> list[str]:
    """Parse a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


class NameList(argparse.Action):
    """Store a comma-separated list of known names; the names may also be given as separate words.

    Parameters
    ----------
    known
        Names that are accepted; any other one is an ``ArgumentError``.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, *, known: Sequence[str], **options: Any) -> None:
        super().__init__(option_strings, dest, nargs="+", metavar="NAMES", **options)
        self.known = list(known)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Store the list as the option's value."""
        chosen = [name for text in values for name in names(text)]
        if unknown := [name for name in chosen if name not in self.known]:
            raise argparse.ArgumentError(self, f"unknown name {unknown[0]!r} (known: {', '.join(self.known)})")
        if not chosen:
            raise argparse.ArgumentError(self, f"give one or more of {', '.join(self.known)}")
        setattr(namespace, self.dest, chosen)


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Declare ``--jobs``, the number of processes; results do not depend on it."""
    parser.add_argument(
        "--jobs", type=positive_int, default=usable_cores(), help="number of processes (default: one per usable core)"
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Declare ``--timeout`` and ``--max-memory``, the limits of a child process that measures a clip."""
    from extract.run.sandbox import WALL_FACTOR, Limits

    parser.add_argument(
        "--timeout",
        type=positive_number,
        default=Limits.timeout_s,
        help=f"CPU seconds per clip; the wall-clock limit is {WALL_FACTOR} times as long (default: %(default)g)",
    )
    parser.add_argument(
        "--max-memory",
        type=positive_number,
        default=Limits.memory_mb,
        help="memory per process, in MB (default: %(default)g)",
    )


def limits(arguments: argparse.Namespace) -> Limits:
    """Return the values of the options that :func:`add_limits` declares."""
    from extract.run.sandbox import Limits

    return Limits(timeout_s=arguments.timeout, memory_mb=arguments.max_memory)


def add_max_seconds(parser: argparse.ArgumentParser, *, of_model: bool = False) -> None:
    """Declare ``--max-seconds``, the analysed length of each clip; ``of_model``: None stands for that of the model."""
    from extract.run.worker import MAX_SECONDS

    parser.add_argument(
        "--max-seconds",
        type=positive_number,
        default=None if of_model else MAX_SECONDS,
        help="analyse at most this many seconds of each clip (default: "
        + ("as in the model's training, usually 120)" if of_model else "%(default)g)"),
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Declare ``--quiet``, which shows no progress on stderr."""
    parser.add_argument("--quiet", action="store_true", help="show no progress on stderr")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare ``--json``, which prints results as one JSON object on stdout."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Declare ``--seed``, the random seed."""
    parser.add_argument("--seed", type=seed, default=0, help="random seed")


@contextlib.contextmanager
def clip_progress(*, quiet: bool) -> Iterator[Callable[[int, int, int], None]]:
    """Yield the ``progress`` of :func:`extract.pipeline.extract`: a bar on stderr of clips done and failures."""
    from tqdm import tqdm

    bars: list[Any] = []  # made at the first call, so that no bar is shown when the input is refused before the work

    def show(done: int, total: int, failed: int) -> None:
        if not bars:
            every = {} if sys.stderr.isatty() else {"mininterval": LOG_EVERY_S}
            bars.append(tqdm(total=total, initial=done, unit="clip", smoothing=0.05, disable=quiet, **every))
        bars[0].set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
        bars[0].update(done - bars[0].n)

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()


@contextlib.contextmanager
def stage_progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar on stderr for each stage that is reported: its name, items done, and their total.

    This is the :data:`training.progress.Progress` of the commands that train.
    """
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            bars[stage] = tqdm(desc=stage, total=total, initial=done, unit="", mininterval=5.0, disable=quiet)
        bars[stage].update(done - bars[stage].n)
        if done >= total:
            bars.pop(stage).close()

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format rows of cells as lines with aligned columns; the first row is the header."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def failure_lines(table: pa.Table) -> list[str]:
    """Return, for clips that could not be measured, the :data:`N_ERRORS` most frequent errors, each with an example.

    Errors that differ in numbers or the clip's name only are counted together. Empty if every clip was measured.
    """
    from extract.pipeline import FAILURES
    from extract.run.engine import kind_of
    from extract.run.journal import RETRIED

    columns = ("status", "filename", "error")
    failed = [row for row in zip(*(table[name].to_pylist() for name in columns), strict=True) if row[0] in FAILURES]
    if not failed:
        return []
    kinds = [(status, kind_of(error, filename)) for status, filename, error in failed]
    examples = dict(zip(reversed(kinds), reversed(failed), strict=True))  # the first of each kind
    lines = [f"{len(failed)} clips could not be measured:"]
    counted = Counter(kinds).most_common(N_ERRORS)
    for kind, times in counted:
        status, filename, error = examples[kind]
        lines.append(f"  {times} {status}: {error} ({filename}{', ...' if times > 1 else ''})")
    if others := len(failed) - sum(times for _, times in counted):
        lines.append(f"  {others} with other errors, in the table's column error")
    if again := sum(status in RETRIED for status, _, _ in failed):
        lines.append(f"run the same command again to retry the {again} that crashed or ran out of time")
    return lines


def check_any_measured(table: pa.Table) -> None:
    """Raise an error if every clip of a run crashed or ran out of time.

    Raises
    ------
    InputError
        The table has rows, and all of them are of clips that the next run retries.
    """
    from extract.run.journal import RETRIED

    states = set(table.column("status").to_pylist())
    if states and states <= RETRIED:
        clips = "the clip is" if table.num_rows == 1 else f"all {table.num_rows} clips are"
        raise InputError(
            f"nothing was measured: {clips} {' or '.join(sorted(states))} "
            f"({table['error'][0].as_py()}); fix the cause and run the same command again"
        )


def write_or_check(file: Path, text: str, *, check: bool, command: str) -> None:
    """Write a generated page and print its name; with ``check``, only compare the existing page with ``text``.

    Parameters
    ----------
    file, text
        The page and its expected content.
    check
        Compare only, write nothing.
    command
        The command that generates the page, for the message.

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
    """Return the message of an interrupted run that the next run resumes from ``kept``."""
    return f"finished work is kept in {kept}; run the same command again{' without --fresh' if fresh else ''} to resume"


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
