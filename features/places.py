"""Where data lies: URLs and paths told apart, files that may be written, and what stores raise as sentences."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from features.errors import DatasetError, DeepcueError, InputError, UnreadableError

LOCAL = frozenset({"file", "local"})  # protocols of this machine, whose URLs have a third slash


def url_of(place: str | Path) -> str:
    """The URL that was given, also where it went through a path and lost a slash; empty for a path.

    >>> url_of(Path("s3://bucket/t.parquet")), url_of("exp:1/t.parquet")
    ('s3://bucket/t.parquet', '')
    """
    if "://" in str(place):
        return str(place)
    protocol, colon, rest = str(place).partition(":/")
    if not colon or not protocol.isalnum() or len(protocol) < 2:
        return ""
    return f"{protocol}://{'/' if protocol in LOCAL else ''}{rest.lstrip('/')}"


def as_path(place: str) -> str:
    """The path that a URL of this machine means; what is given, where it is none.

    >>> as_path("file:///kept"), as_path("s3://bucket/kept")
    ('/kept', 's3://bucket/kept')
    """
    protocol, separator, path = place.partition("://")
    return path if separator and protocol in LOCAL else place


def check_is_path(place: str | Path) -> None:
    """Refuse a URL where only a path can be written, before a folder of the protocol's name is made.

    Raises
    ------
    InputError
        It is a URL.
    """
    if url := url_of(place):
        raise InputError(f"{url}: is a URL, and only a path can be written here; give a path and copy it there later")


def file_to_write(file: str | Path) -> Path:
    """The file that a name means: where a link leads, so that what is written does not replace the link.

    Raises
    ------
    InputError
        It is a URL, too long a name or in a folder that is closed, or what is there is no file: a folder, or a device
        such as ``/dev/null``.
    """
    check_is_path(file)
    meant = Path(os.path.realpath(file) if os.path.islink(file) else file)
    try:
        is_folder, is_other = meant.is_dir(), meant.exists() and not meant.is_file()
        if meant.name:
            _beside(meant).exists()  # where its name is too long for that, this is said now
    except OSError as error:
        raise InputError(f"{file}: can't be written ({error.strerror}); give another name") from error
    if is_folder:
        raise InputError(f"{file}: is a folder; give the name of a file")
    if is_other:
        raise InputError(f"{file}: is a device or a pipe, which would be replaced; give the name of a file")
    return meant


def _beside(meant: Path) -> Path:
    """A name beside a file that nobody else uses, to write it under until it is complete."""
    return meant.with_name(f"{meant.name}.{uuid.uuid4().hex[:8]}.part")


def check_is_no_input(out: str | Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to write where something is read: it would be lost.

    Raises
    ------
    InputError
        The place is one of those.
    """
    for one in inputs:
        if _mean_the_same(as_path(url_of(out) or str(out)), as_path(url_of(one) or str(one))):
            raise InputError(f"{out}: is read by this command, which would replace it; give another name to write to")


def _mean_the_same(one: str, other: str) -> bool:
    if url_of(one) or url_of(other):
        return one == other
    with contextlib.suppress(OSError):  # one is not there yet
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def check_is_regular(path: str) -> None:
    """Refuse what can't be read to its end, before it is opened: a pipe waits for whoever writes, a device is endless.

    Raises
    ------
    UnreadableError
        What is there is a pipe, a device, a socket or a folder.
    OSError
        Nothing is there, or it can't be looked at.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadableError("not a regular file but a folder, a pipe or a device")


@contextlib.contextmanager
def in_place_of(meant: Path) -> Iterator[Path]:
    """Where to write a new file, which takes the place of ``meant`` when it is complete; else nothing is left of it.

    It lies beside ``meant`` under a name of this run alone, so that two runs that write one file do not meet in it.
    """
    temporary = _beside(meant)
    try:
        yield temporary
        temporary.replace(meant)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def read_errors(url: str) -> Iterator[None]:
    """Of a path or URL that is being read: what goes wrong becomes one error that names it, with advice.

    Raises
    ------
    DatasetError
        The system failed, or a remote store: object stores have errors of their own, as for missing credentials.
    """
    try:
        yield
    except DeepcueError:
        raise
    except Exception as error:
        if not is_of_the_store(error, url):
            raise  # a fault of this program
        raise DatasetError(f"{url}: can't be read ({error}); check the path and your credentials") from error


def is_of_the_store(error: Exception, place: str | Path) -> bool:
    """Whether an error is the system's or, at a URL, a remote store's, each of which has errors of its own."""
    return isinstance(error, OSError) or bool(url_of(place))
