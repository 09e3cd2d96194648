"""Files below a local folder or an fsspec URL."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from typing import Any

from features.errors import NotFoundError
from features.places import cause_to_show, filesystem, read_errors, read_to, without_query

MISSING = frozenset({404, 410})  # HTTP statuses of a file that is not there


def folder_and_name(place: str) -> tuple[str, str]:
    """Split a path or URL into folder and name; in a chain of URLs, the first link with a path is split.

    >>> folder_and_name("/labels.csv"), folder_and_name("s3://bucket/a.csv"), folder_and_name("zip://a.csv::/b.zip")
    (('/', 'labels.csv'), ('s3://bucket', 'a.csv'), ('zip://::/b.zip', 'a.csv'))
    """
    if "://" not in place:
        return os.path.split(place)
    before, url, after = _chain(place)
    query = url.removeprefix(without_query(url))  # it may have slashes
    protocol, _, path = without_query(url).partition("://")
    folder, _, name = path.rpartition("/")
    return f"{before}{protocol}://{folder}{after}", f"{name}{query}"


def first_url(place: str) -> str:
    """Return the first URL of a chain, which names the file; a path unchanged.

    >>> first_url("simplecache::s3://bucket/a"), first_url("zip://a::/b.zip")
    ('s3://bucket/a', 'zip://a')
    """
    return _chain(place)[1] if "://" in place else place


def _chain(place: str) -> tuple[str, str, str]:
    """Split a chain into the part before its first URL, that URL, and the part after it, ending in an absolute path.

    >>> _chain("simplecache::s3://bucket/a"), _chain("zip://a::/b.zip")
    (('simplecache::', 's3://bucket/a', ''), ('', 'zip://a', '::/b.zip'))
    """
    links = place.split("::")
    # absolute, since measuring processes have another working folder
    links[-1] = links[-1] if "://" in links[-1] else os.path.abspath(links[-1])
    at = next(number for number, link in enumerate(links) if "://" in link)
    return "".join(f"{link}::" for link in links[:at]), links[at], "".join(f"::{link}" for link in links[at + 1 :])


def _without_slash(url: str) -> str:
    """Strip slashes at the end of a URL, except those of the protocol."""
    protocol, _, path = url.partition("://")
    return url if without_query(url) != url else f"{protocol}://{path.rstrip('/')}"


class Store:
    """Files below a local folder or an fsspec URL; read errors are raised as ``DatasetError``."""

    def __init__(self, url: str, storage_options: dict[str, Any] | None = None) -> None:
        self.remote = "://" in url
        if self.remote:
            self._before, root, self._after = _chain(url)
            self._root = _without_slash(root)
            self.url = f"{self._before}{self._root}{self._after}"
        else:
            self.url = os.path.abspath(url)
        self._options = storage_options or {}

    def join(self, name: str) -> str:
        """Return the path or URL of a file, given its name relative to the root."""
        if self.remote:
            return f"{self._before}{self._root}/{name}{self._after}" if name else self.url
        return os.path.join(self.url, *name.split("/"))

    def names_in(self, folder: str) -> list[str]:
        """Return the sorted names in a folder below the root; empty where the folder does not exist."""
        with read_errors(self.join(folder)):
            try:
                if not self.remote:
                    return sorted(os.listdir(self.join(folder)))
                fs, root = self._filesystem()
                return sorted(
                    posixpath.basename(path.rstrip("/")) for path in fs.ls(f"{root}/{folder}".rstrip("/"), detail=False)
                )
            except (FileNotFoundError, NotADirectoryError):
                return []

    def list(self) -> list[str]:
        """Return the sorted relative names of all files below the root, except those in hidden folders."""
        with read_errors(self.url):
            return sorted(self._list_remote() if self.remote else self._list_local())

    def read(self, name: str, n_bytes: int = -1) -> bytes:
        """Return the content of a file, or its first ``n_bytes``."""
        url = self.join(name)
        with read_errors(url):
            if not self.remote:
                with open(url, "rb") as file:
                    return file.read(n_bytes)
            fs, root = self._filesystem()  # not by URL, in which :: would name another store
            with fs.open(f"{root}/{name}" if name else root, "rb") as opened:
                return read_to(opened, n_bytes)

    def is_file(self) -> bool:
        """Return whether the root itself is a file."""
        if not self.remote:
            return os.path.isfile(self.url)
        with read_errors(self.url):
            fs, path = self._filesystem()
            return bool(fs.isfile(path))

    def check_is_there(self) -> None:
        """Refuse a URL that does not exist, or whose server does not answer.

        Raises
        ------
        NotFoundError
            The store has no such file or folder.
        DatasetError
            The store can't be used; the message gives the reason.
        """
        if not self.remote:
            return
        with read_errors(self.url):
            fs, path = self._filesystem()
            try:
                fs.info(path)
            except FileNotFoundError as error:  # fsspec raises it for a server that is down as well
                if error.__cause__ is None or getattr(error.__cause__, "status", None) in MISSING:
                    raise NotFoundError(
                        f"{self.url}: no such file; give a clip or a folder of clips"
                    ) from cause_to_show(error, self.url)
                raise error.__cause__ from error

    def _filesystem(self) -> tuple[Any, str]:
        return filesystem(self.url, self._options)

    def _list_remote(self) -> Iterator[str]:
        fs, root = self._filesystem()
        names = (posixpath.relpath(path, root) for path in fs.find(root))
        yield from (name for name in names if not any(part.startswith(".") for part in name.split("/")[:-1]))

    def _list_local(self) -> Iterator[str]:
        """Walk folders before links to folders, so that a file is named by the folder that contains it."""
        seen: set[tuple[int, int]] = set()
        waiting = [self.url]
        while waiting:
            links: list[str] = []
            for top in waiting:
                for folder, below, names in os.walk(top, onerror=_raise):
                    status = os.stat(folder)
                    if (status.st_dev, status.st_ino) in seen:  # a link to a folder that was listed already
                        below.clear()
                        continue
                    seen.add((status.st_dev, status.st_ino))
                    below[:] = sorted(name for name in below if not name.startswith("."))
                    links += [path for name in below if os.path.islink(path := os.path.join(folder, name))]
                    for name in names:
                        yield os.path.relpath(os.path.join(folder, name), self.url).replace(os.sep, "/")
            waiting = links


def _raise(error: OSError) -> None:
    """Raise for an unreadable folder: its clips would otherwise be missing silently."""
    raise error
