"""Options that several subcommands have, and the types of their values."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.outputs import check_file, check_folder
from features.errors import InputError
from features.threads import usable_cores

if TYPE_CHECKING:
    from extract.run.sandbox import Limits


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
