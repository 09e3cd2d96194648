"""Paths and URLs: tell them apart, check outputs, write atomically, and turn store errors into one-line messages."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from features.errors import DatasetError, DeepcueError, InputError, UnreadableError, without_credentials

DEVICE = "{file}: is a device or a pipe, which would be replaced; give the name of a file"
LOCAL = frozenset({"file", "local"})  # protocols of local files, whose URLs have a third slash
_S3_KEYS = re.compile(r"(?:^|::)s3a?://(?!arn:)[^/]*[:@]")  # names of buckets have neither sign
_SIGNED = re.compile(r"(?P<url>(?:^|::)https?://(?:(?!::)[^?])*)\?(?P<query>(?:(?!::).)*)", re.DOTALL)


def url_of(place: str | Path) -> str:
    """Return the URL, restored where a ``Path`` has dropped a slash of it; empty for a path.

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
    """Return the path of a ``file://`` URL; any other path or URL unchanged.

    >>> as_path("file:///kept"), as_path("s3://bucket/kept")
    ('/kept', 's3://bucket/kept')
    """
    protocol, separator, path = place.partition("://")
    return path if separator and protocol in LOCAL else place


def without_query(place: str) -> str:
    """Return an ``http`` URL, also one inside a chain, without its query, which may sign it; all else unchanged.

    >>> without_query("simplecache::https://host/a.mp4?X-Amz-Signature=5f"), without_query("s3://bucket/a?.mp4")
    ('simplecache::https://host/a.mp4', 's3://bucket/a?.mp4')
    """
    return _SIGNED.sub(r"\g<url>", place)


def query_of(place: str) -> str:
    """Return the query of an ``http`` URL, also of one inside a chain; empty without one.

    >>> query_of("https://host/get?file=a.mp4"), query_of("s3://bucket/a?.mp4")
    ('file=a.mp4', '')
    """
    link = _SIGNED.search(place)
    return link["query"] if link else ""


def read_to(file: IO[bytes], n_bytes: int = -1) -> bytes:
    """Read a file to its end, or its first bytes, also from a stream that hands out only what has arrived."""
    parts: list[bytes] = []
    left = n_bytes
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part) if n_bytes > 0 else 0
    return b"".join(parts)


def check_is_path(place: str | Path) -> None:
    """Refuse a URL where only a path can be written, before a folder named after the protocol is created.

    Raises
    ------
    InputError
        The place is a URL.
    """
    if url := url_of(place):
        raise InputError(f"{url}: is a URL, and only a path can be written here; give a path and copy it there later")


def file_to_write(file: str | Path) -> Path:
    """Return the file to write for a name: the target of a link, so that the link is not replaced.

    Raises
    ------
    InputError
        The name is a URL, too long or in an inaccessible folder, or it is a folder or a device such as ``/dev/null``.
        ``/dev/stdout`` is refused wherever it leads.
    """
    check_is_path(file)
    if _is_of_the_system(file):  # before following the link, which may lead to a file that a shell has opened
        raise InputError(DEVICE.format(file=file))
    meant = Path(os.path.realpath(file) if os.path.islink(file) else file)
    try:
        is_folder, is_other = meant.is_dir(), meant.exists() and not meant.is_file()
        if meant.name:
            _beside(meant).exists()  # raises now if the temporary name would be too long
    except OSError as error:
        raise InputError(f"{file}: can't be written ({error.strerror}); give another name") from error
    if is_folder:
        raise InputError(f"{file}: is a folder; give the name of a file")
    if is_other:
        raise InputError(DEVICE.format(file=file))
    return meant


def _is_of_the_system(file: str | Path) -> bool:
    """Return whether a name is below ``/dev`` or ``/proc``; ``/dev/shm`` holds ordinary files."""
    parts = Path(os.path.abspath(file)).parts[1:3]
    return parts[:1] == ("proc",) or (parts[:1] == ("dev",) and parts[1:] != ("shm",))


def _beside(meant: Path) -> Path:
    """Return a unique temporary name beside a file."""
    return meant.with_name(f"{meant.name}.{uuid.uuid4().hex[:8]}.part")


def check_is_no_input(out: str | Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output that is also an input, which would be overwritten.

    Raises
    ------
    InputError
        The output is one of the inputs.
    """
    for place in inputs:
        if _mean_the_same(as_path(url_of(out) or str(out)), as_path(url_of(place) or str(place))):
            raise InputError(f"{out}: is read by this command, which would replace it; give another name to write to")


def _mean_the_same(first: str, second: str) -> bool:
    if url_of(first) or url_of(second):
        return first == second
    with contextlib.suppress(OSError):  # one of them does not exist yet
        return os.path.samefile(first, second)
    return os.path.realpath(first) == os.path.realpath(second)


def check_is_regular(path: str) -> None:
    """Refuse anything but a regular file before it is opened: a pipe would block, and a device is endless.

    Raises
    ------
    UnreadableError
        The path is a pipe, a device, a socket or a folder.
    OSError
        The path does not exist or is inaccessible.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadableError("not a regular file but a folder, a pipe or a device")


def check_is_one_file(url: str) -> None:
    """Refuse the URL of a file with ``::`` in its name, which fsspec takes for one store inside another.

    Raises
    ------
    OSError
        After the first URL of the chain comes a link that is neither a URL, an absolute path nor a protocol of fsspec.
    """
    if "://" not in url:
        return
    import fsspec

    links = url.split("::")
    first = next((number for number, link in enumerate(links) if "://" in link))
    protocols = fsspec.available_protocols()  # `simplecache` may stand between two URLs
    if not all("://" in link or os.path.isabs(link) or link in protocols for link in links[first + 1 :]):
        raise OSError(f"{url}: :: in its name is taken for one store inside another; rename it")


def check_has_no_keys(url: str) -> None:
    """Refuse an S3 URL with access keys, which s3fs takes for a bucket and repeats in its messages.

    Raises
    ------
    OSError
        The URL has keys.
    """
    if _S3_KEYS.search(url):
        raise OSError(
            "keys in an S3 URL are not read; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, instead"
        )


def filesystem(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it.

    Raises
    ------
    OSError
        The URL has keys that are not read; stores may raise other errors of their own.
    """
    import fsspec

    check_has_no_keys(url)
    return fsspec.core.url_to_fs(url, **options)


@contextlib.contextmanager
def in_place_of(meant: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path that replaces ``meant`` on success and is removed otherwise.

    The temporary file is beside ``meant`` under a unique name, so that two runs that write one file do not collide.
    """
    temporary = _beside(meant)
    try:
        yield temporary
        temporary.replace(meant)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def read_errors(url: str) -> Iterator[None]:
    """Turn errors of reading a path or URL into one error that names it, with advice.

    Raises
    ------
    DatasetError
        The system or a remote store failed; stores raise their own errors, such as for missing credentials.
    """
    try:
        yield
    except DeepcueError:
        raise
    except Exception as error:
        if not is_of_the_store(error, url):
            raise  # a bug in this program
        raise DatasetError(
            f"{url}: can't be read ({words(error)}); check the path and your credentials"
        ) from cause_to_show(error, url)


def words(error: Exception) -> object:
    """Return what a store says; fsspec calls a file missing for any fault of a server, and the cause tells more."""
    return error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error


def cause_to_show(error: Exception, url: str) -> Exception | None:
    """Return the cause to raise an error from: None where the URL has credentials, which a traceback would show."""
    return error if without_credentials(url) == url else None


def is_of_the_store(error: Exception, place: str | Path) -> bool:
    """Return whether the operating system raised an error or, for a URL, a remote store, which raises its own types."""
    return isinstance(error, OSError) or bool(url_of(place))
