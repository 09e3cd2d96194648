"""Keep observations, one ``.npz`` per clip, in a local folder or at an fsspec URL, in the data set's layout."""

from __future__ import annotations

import hashlib
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
from features.places import as_path, check_is_one_file, filesystem, in_place_of, read_errors

logger = logging.getLogger(__name__)

# in order of preference: marks of the content first
MARKS = ("etag", "lastmodified", "mtime", "modified", "updated", "modify", "created")

MAX_NAME = 237  # bytes of a file name that can be kept: file systems allow 255 with `.npz` and `.01234567.part`
DIGEST_DIGITS = 16

OF_ANOTHER_FILE = (
    "the observation that was kept under this name is of another file, or of this one before it changed, and is "
    "replaced; use a separate observations folder for each data set"
)


def kept_name(filename: str) -> str:
    """Return the path of a clip's Observation in the store, given the name of its row.

    The name may be a URL, where clips of a list share a file name: ``s3://b/a.mp4`` is kept as
    ``s3%3A%2F%2Fb/a.mp4.npz``. A file name that leaves no room for the endings ``.npz`` and that of a temporary file is
    cut, and gets a digest of the whole.
    """
    escaped = filename.replace("://", "%3A%2F%2F").replace("::", "%3A%3A")  # fsspec would take it for another store
    folder, name = posixpath.split(escaped.lstrip("/"))
    content = os.fsencode(name)
    if len(content) > MAX_NAME:
        digest = hashlib.sha256(content).hexdigest()[:DIGEST_DIGITS]
        name = f"{content[: MAX_NAME - DIGEST_DIGITS - 1].decode(errors='ignore')}~{digest}"
    return posixpath.join(folder, f"{name}.npz")


def _mark(info: Mapping[str, Any]) -> Any:
    """Return the entity tag or modification time of a file from a store's listing; empty where it has none.

    >>> _mark({"name": "a.mp4", "size": 3, "last_modified": "Monday"})
    'Monday'
    """
    plain = {re.sub("[-_ ]", "", str(key)).lower(): value for key, value in info.items()}
    return next(filter(None, map(plain.get, MARKS)), "")


def _file_of(key: str) -> str:
    """Return the part of a key that identifies the file, without the version and the limit."""
    return key.rsplit(":", 2)[0]


class _Listings:
    """What a remote store says of files, looked up in the folder listings that fsspec keeps from finding them.

    fsspec itself searches the whole listing of a folder for every file. A listing is used only where the store says the
    same of its first requested file: a listing over HTTP, for example, has neither sizes nor tags.
    """

    def __init__(self) -> None:
        self._infos: dict[tuple[Any, str], dict[str, Mapping[str, Any]]] = {}

    def info(self, fs: Any, name: str) -> Mapping[str, Any]:
        """Return what ``fs.info(name)`` returns, at least its size and mark; errors are those of the store."""
        folder = posixpath.dirname(name)
        infos = self._infos.get((fs, folder))
        if infos is not None and name in infos:
            return infos[name]
        info: Mapping[str, Any] = fs.info(name)
        if infos is None:
            listed = {entry["name"]: entry for entry in reversed(fs.dircache.get(folder) or ())}
            agrees = _size_and_mark(listed.get(name, {})) == _size_and_mark(info)
            self._infos[fs, folder] = listed if agrees else {}
        return info


def _size_and_mark(info: Mapping[str, Any]) -> tuple[Any, Any]:
    return info.get("size"), _mark(info)


def _print(path: str, options: Mapping[str, Any], listings: _Listings) -> str:
    """Return a file's fingerprint: its size and modification time, or the entity tag of its store.

    A ``file://`` URL has the fingerprint of its path, since fsspec reports the modification time in another unit.
    """
    path = as_path(path)
    if "://" not in path:
        status = os.stat(path)
        return f"{status.st_size}:{status.st_mtime_ns}"
    check_is_one_file(path)
    fs, name = filesystem(path, options)
    size, mark = _size_and_mark(listings.info(fs, name))
    return f"{size}:{mark or fs.ukey(name)}"


def is_of(key: str, path: str) -> bool:
    """Return whether a key belongs to the file that is at a path now; True where that file can't be accessed.

    Raises
    ------
    DatasetError
        The store of the file can't be used.
    """
    try:
        with read_errors(path):
            return _file_of(key) == _print(path, {}, _Listings())
    except DatasetError as error:
        if isinstance(error.__cause__, OSError):
            return True
        raise


class ObservationStore:
    """Load and save observations below ``folder``; an empty ``folder`` keeps nothing."""

    def __init__(self, folder: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self._folder = folder.rstrip("/")
        self._is_remote = "://" in folder
        self._options = dict(storage_options or {})
        self._listings = _Listings()

    def key(self, path: str, max_seconds: float) -> str:
        """Return what an Observation depends on: the file's fingerprint, the extractor's version and the limit.

        For the keys of many files, call it on one store: it looks remote files up in listings that it reads once.
        """
        return f"{_print(path, self._options, self._listings)}:{OBSERVATION_VERSION}:{max_seconds:g}"

    def place(self, filename: str) -> str:
        """Return the path or URL of a clip's kept Observation."""
        return f"{self._folder}/{kept_name(filename)}"

    def held(self, keys: Mapping[str, str]) -> frozenset[str]:
        """Return the clips, out of a mapping of names to keys, whose Observation is kept.

        On this machine the header of each file is compared with the key. At a URL that would cost a request for each
        clip, so one listing is compared by name: a stale Observation is detected when the clip is measured.

        Raises
        ------
        OSError
            The remote store can't be listed; stores may raise other errors of their own.
        """
        if not self._is_remote:
            return frozenset(filename for filename, key in keys.items() if self._holds(filename, key))
        fs, root = filesystem(self._folder, self._options)
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
        """Return the kept Observation; None where there is none, or it has another file, version or limit."""
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
        return None  # nothing usable: the clip is observed again and this file replaced

    def save(self, filename: str, key: str, observed: Observation) -> None:
        """Save an Observation atomically, so that a killed run leaves no partial file."""
        if not self._folder:
            return
        place = self.place(filename)
        content = observation.dumps(observed, key=key)
        if self._is_remote:
            fs, name = filesystem(place, self._options)
            fs.pipe_file(name, content)  # object stores put whole objects
            return
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with in_place_of(Path(place)) as temporary:
            temporary.write_bytes(content)

    def _opened(self, place: str) -> Any:
        """Open a file of the store; paths bypass fsspec, which takes ``::`` in them for chained stores."""
        if not self._is_remote:
            return open(place, "rb")
        fs, name = filesystem(place, self._options)
        return fs.open(name, "rb")
