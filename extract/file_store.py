"""Files below a local folder or an fsspec URL."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from typing import Any

from features.errors import NotFoundError
from features.places import read_errors, read_to, without_query

MISSING = frozenset({404, 410})  # HTTP statuses of a file that is not there


def folder_and_name(place: str) -> tuple[str, str]:
    """The folder that a path or URL lies in, and its name there.

    Of a chain of URLs, the first with a path is what has them.

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


def _chain(place: str) -> tuple[str, str, str]:
    """What stands before the first URL of a chain, that URL, and what stands after it; a path at its end is absolute.

    >>> _chain("simplecache::s3://bucket/a"), _chain("zip://a::/b.zip")
    (('simplecache::', 's3://bucket/a', ''), ('', 'zip://a', '::/b.zip'))
    """
    links = place.split("::")
    links[-1] = links[-1] if "://" in links[-1] else os.path.abspath(links[-1])  # measuring processes are elsewhere
    at = next(number for number, link in enumerate(links) if "://" in link)
    return "".join(f"{link}::" for link in links[:at]), links[at], "".join(f"::{link}" for link in links[at + 1 :])


def _without_slash(url: str) -> str:
    """A URL without slashes at its end, but for those of its protocol."""
    protocol, _, path = url.partition("://")
    return url if without_query(url) != url else f"{protocol}://{path.rstrip('/')}"


class Store:
    """Files below a local folder or an fsspec URL; what can't be read is a ``DatasetError``."""

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
        """Path or URL of a file by its name relative to the root."""
        if self.remote:
            return f"{self._before}{self._root}/{name}{self._after}" if name else self.url
        return os.path.join(self.url, *name.split("/"))

    def names_in(self, folder: str) -> list[str]:
        """Names of the files and folders in a folder below the root, sorted; none where there is no such folder."""
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
        """Names of all files below the root but for hidden folders, relative, sorted."""
        with read_errors(self.url):
            return sorted(self._list_remote() if self.remote else self._list_local())

    def read(self, name: str, n_bytes: int = -1) -> bytes:
        """Content of a file, or its first bytes."""
        url = self.join(name)
        with read_errors(url):
            if not self.remote:
                with open(url, "rb") as file:
                    return file.read(n_bytes)
            fs, root = self._filesystem()  # not by the file's URL, in which :: would name another store
            with fs.open(f"{root}/{name}" if name else root, "rb") as opened:
                return read_to(opened, n_bytes)

    def is_file(self) -> bool:
        """True when the root itself is a file."""
        if not self.remote:
            return os.path.isfile(self.url)
        with read_errors(self.url):
            fs, path = self._filesystem()
            return bool(fs.isfile(path))

    def check_is_there(self) -> None:
        """Refuse a URL at which nothing is, or whose server does not answer.

        Raises
        ------
        NotFoundError
            The store has no such file or folder.
        DatasetError
            The store can't be used: the message holds its reason.
        """
        if not self.remote:
            return
        with read_errors(self.url):
            fs, path = self._filesystem()
            try:
                fs.info(path)
            except FileNotFoundError as error:  # fsspec says the same of a server that is down
                if error.__cause__ is None or getattr(error.__cause__, "status", None) in MISSING:
                    raise NotFoundError(f"{self.url}: no such file or folder; check the URL") from error
                raise error.__cause__ from error

    def _filesystem(self) -> tuple[Any, str]:
        import fsspec

        return fsspec.core.url_to_fs(self.url, **self._options)

    def _list_remote(self) -> Iterator[str]:
        fs, root = self._filesystem()
        names = (posixpath.relpath(path, root) for path in fs.find(root))
        yield from (name for name in names if not any(part.startswith(".") for part in name.split("/")[:-1]))

    def _list_local(self) -> Iterator[str]:
        """Folders before links to folders, so that a file has the name of the folder that it is in."""
        seen: set[tuple[int, int]] = set()
        waiting = [self.url]
        while waiting:
            links: list[str] = []
            for top in waiting:
                for folder, below, names in os.walk(top, onerror=_raise):
                    status = os.stat(folder)
                    if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                        below.clear()
                        continue
                    seen.add((status.st_dev, status.st_ino))
                    below[:] = sorted(name for name in below if not name.startswith("."))
                    links += [path for name in below if os.path.islink(path := os.path.join(folder, name))]
                    for name in names:
                        yield os.path.relpath(os.path.join(folder, name), self.url).replace(os.sep, "/")
            waiting = links


def _raise(error: OSError) -> None:
    """A folder that can't be read is an error: its clips would be missing without a word."""
    raise error
