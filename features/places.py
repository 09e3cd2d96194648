"""Where data lies: URLs and paths told apart, files that may be written, and what stores raise as sentences."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from features.errors import DatasetError, DeepcueError, InputError, UnreadableError

DEVICE = "{file}: is a device or a pipe, which would be replaced; give the name of a file"
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


def without_query(place: str) -> str:
    """Return an ``http`` URL without its query, which may sign it; any other path or URL unchanged.

    >>> without_query("https://host/a.mp4?X-Amz-Signature=5f"), without_query("s3://bucket/a?.mp4")
    ('https://host/a.mp4', 's3://bucket/a?.mp4')
    """
    return place.partition("?")[0] if place.startswith(("http://", "https://")) else place


def read_to(file: IO[bytes], n_bytes: int = -1) -> bytes:
    """Read a file to its end, or its first bytes, also from a stream that hands out only what has arrived."""
    parts: list[bytes] = []
    left = n_bytes
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part) if n_bytes > 0 else 0
    return b"".join(parts)


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
        such as ``/dev/null``. Standard output under its name, ``/dev/stdout``, is refused wherever it leads.
    """
    check_is_path(file)
    if _is_of_the_system(file):  # before the link is followed: it may lead to a file that a shell has opened
        raise InputError(DEVICE.format(file=file))
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
        raise InputError(DEVICE.format(file=file))
    return meant


def _is_of_the_system(file: str | Path) -> bool:
    """Whether a name lies among the devices or the processes; ``/dev/shm`` holds ordinary files."""
    parts = Path(os.path.abspath(file)).parts[1:3]
    return parts[:1] == ("proc",) or (parts[:1] == ("dev",) and parts[1:] != ("shm",))


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
    for place in inputs:
        if _mean_the_same(as_path(url_of(out) or str(out)), as_path(url_of(place) or str(place))):
            raise InputError(f"{out}: is read by this command, which would replace it; give another name to write to")


def _mean_the_same(first: str, second: str) -> bool:
    if url_of(first) or url_of(second):
        return first == second
    with contextlib.suppress(OSError):  # one is not there yet
        return os.path.samefile(first, second)
    return os.path.realpath(first) == os.path.realpath(second)


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


def check_is_one_file(url: str) -> None:
    """Refuse the URL of a file with ``::`` in its name, which fsspec takes for one store inside another.

    Raises
    ------
    OSError
        After the first link of the chain comes one that is neither a URL nor an absolute path.
    """
    links = url.split("::")
    first = next((number for number, link in enumerate(links) if "://" in link), len(links))
    if not all("://" in link or os.path.isabs(link) for link in links[first + 1 :]):
        raise OSError(f"{url}: :: in its name is taken for one store inside another; rename it")


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
