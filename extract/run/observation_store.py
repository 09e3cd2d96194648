"""Kept observations: one ``.npz`` a clip, at a local folder or any fsspec URL, in the data set's own layout."""

from __future__ import annotations

import logging
import os
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features import observation
from features.errors import DatasetError
from features.observation import DAMAGED, OBSERVATION_VERSION, Observation, OtherKeyError
from features.places import as_path, check_is_one_file, in_place_of, read_errors

logger = logging.getLogger(__name__)

MARKS = ("etag", "lastmodified", "mtime", "modified", "updated", "modify", "created")  # first what follows the content

OF_ANOTHER_FILE = (
    "the observation that was kept under this name is of another file, or of this one before it changed, and is "
    "replaced; give each data set a folder of observations of its own"
)


def kept_name(filename: str) -> str:
    """Where in the store a clip's Observation is, by the name of its row.

    That may be a URL, when clips of a list have one file name: ``s3://b/a.mp4`` is kept as ``s3%3A%2F%2Fb/a.mp4.npz``.
    """
    escaped = filename.replace("://", "%3A%2F%2F").replace("::", "%3A%3A")  # fsspec would take it for another store
    return f"{escaped.lstrip('/')}.npz"


def _mark(info: Mapping[str, Any]) -> Any:
    """What a store's listing says of a file's content or change, however it spells that; empty for nothing.

    >>> _mark({"name": "a.mp4", "size": 3, "last_modified": "Monday"})
    'Monday'
    """
    plain = {re.sub("[-_ ]", "", str(key)).lower(): value for key, value in info.items()}
    return next(filter(None, map(plain.get, MARKS)), "")


def _file_of(key: str) -> str:
    """Of a key, the part that tells files apart: without the version and the limit."""
    return key.rsplit(":", 2)[0]


def _print(path: str, options: Mapping[str, Any]) -> str:
    """What a file is known by: its size and time of change, or what its store says of its content.

    A file of this machine is known by the same under its URL, of which fsspec gives the time as another number.
    """
    path = as_path(path)
    if "://" not in path:
        status = os.stat(path)
        return f"{status.st_size}:{status.st_mtime_ns}"
    check_is_one_file(path)
    fs, name = _filesystem(path, options)
    info = fs.info(name)
    return f"{info.get('size')}:{_mark(info) or fs.ukey(name)}"


def is_of(key: str, path: str) -> bool:
    """Whether what was kept under a key is of the file that is at a path now; one that can't be looked at may be.

    Raises
    ------
    DatasetError
        The store that it is in can't be used.
    """
    try:
        with read_errors(path):
            return _file_of(key) == _print(path, {})
    except DatasetError as error:
        if isinstance(error.__cause__, OSError):
            return True
        raise


class ObservationStore:
    """Loads and saves observations below ``folder``; an empty ``folder`` keeps nothing."""

    def __init__(self, folder: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self._folder = folder.rstrip("/")
        self._is_remote = "://" in folder
        self._options = dict(storage_options or {})

    def key(self, path: str, max_seconds: float) -> str:
        """What an Observation depends on: the file's size and time of change, the extractor, the limit."""
        return f"{_print(path, self._options)}:{OBSERVATION_VERSION}:{max_seconds:g}"

    def place(self, filename: str) -> str:
        """Path or URL of a clip's kept Observation."""
        return f"{self._folder}/{kept_name(filename)}"

    def held(self, keys: Mapping[str, str]) -> frozenset[str]:
        """Of clips, by name with the key of each, those whose Observation is kept.

        On this machine, each file says which key it is of. At a URL, where that would cost requests for every clip, one
        listing tells: an Observation of another file under a clip's name is found out when the clip is measured.

        Raises
        ------
        OSError
            The remote store can't be listed; what it raises may be its own.
        """
        if not self._is_remote:
            return frozenset(filename for filename, key in keys.items() if self._holds(filename, key))
        fs, root = _filesystem(self._folder, self._options)
        try:
            names = {posixpath.relpath(path, root) for path in fs.find(root)}
        except FileNotFoundError:  # there is no store yet
            return frozenset()
        return frozenset(filename for filename in keys if kept_name(filename) in names)

    def _holds(self, filename: str, key: str) -> bool:
        try:
            with open(self.place(filename), "rb") as file:
                return observation.header(file).key == key
        except (OSError, *DAMAGED):
            return False

    def load(self, filename: str, key: str) -> Observation | None:
        """The kept Observation; None when there is none, or it is of another file, version or limit."""
        if not self._folder:
            return None
        try:
            with self._opened(self.place(filename)) as file:
                return observation.load(file, key=key)
        except OtherKeyError as error:
            if _file_of(error.found) != _file_of(key):
                logger.warning(OF_ANOTHER_FILE)
        except (OSError, *DAMAGED):
            pass
        return None  # nothing usable is there: the clip is observed again and this file replaced

    def save(self, filename: str, key: str, observed: Observation) -> None:
        """Write beside the final name, then rename, so that a killed run leaves no half file under it."""
        if not self._folder:
            return
        place = self.place(filename)
        content = observation.dumps(observed, key=key)
        if self._is_remote:
            fs, name = _filesystem(place, self._options)
            fs.pipe_file(name, content)  # object stores put whole objects
            return
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with in_place_of(Path(place)) as temporary:
            temporary.write_bytes(content)

    def _opened(self, place: str) -> Any:
        """A file of the store; a path never goes through fsspec, which takes ``::`` in it for one store in another."""
        if not self._is_remote:
            return open(place, "rb")
        fs, name = _filesystem(place, self._options)
        return fs.open(name, "rb")


def _filesystem(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    import fsspec

    return fsspec.core.url_to_fs(url, **options)
