"""Kept observations: one ``.npz`` a clip, at a local folder or any fsspec URL, in the data set's own layout."""

from __future__ import annotations

import os
import posixpath
import re
import uuid
from collections.abc import Mapping
from typing import Any

from features import observation
from features.observation import DAMAGED, OBSERVATION_VERSION, Observation

MARKS = ("etag", "lastmodified", "mtime", "modified", "updated", "modify", "created")  # first what follows the content


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


class ObservationStore:
    """Loads and saves observations below ``folder``; an empty ``folder`` keeps nothing."""

    def __init__(self, folder: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self._folder = folder.rstrip("/")
        self._options = dict(storage_options or {})

    def key(self, path: str, max_seconds: float) -> str:
        """What an Observation depends on: the file's size and time of change, the extractor, the limit."""
        if "://" not in path:
            status = os.stat(path)
            return f"{status.st_size}:{status.st_mtime_ns}:{OBSERVATION_VERSION}:{max_seconds:g}"
        fs, name = self._filesystem(path)
        info = fs.info(name)
        return f"{info.get('size')}:{_mark(info) or fs.ukey(name)}:{OBSERVATION_VERSION}:{max_seconds:g}"

    def place(self, filename: str) -> str:
        """Path or URL of a clip's kept Observation."""
        return f"{self._folder}/{kept_name(filename)}"

    def kept(self) -> frozenset[str]:
        """Names (:func:`kept_name`) of all files in the store, by one listing; none where there is no store yet.

        Raises
        ------
        OSError
            The store can't be listed; what a remote one raises is its own.
        """
        fs, root = self._filesystem(self._folder)
        try:
            return frozenset(posixpath.relpath(path, root) for path in fs.find(root))
        except FileNotFoundError:
            return frozenset()

    def load(self, filename: str, key: str) -> Observation | None:
        """The kept Observation; None when there is none, or it is of another file, version or limit."""
        if not self._folder:
            return None
        try:
            fs, name = self._filesystem(self.place(filename))
            with fs.open(name, "rb") as file:
                return observation.load(file, key=key)
        except (OSError, *DAMAGED):
            return None  # nothing usable is there: the clip is observed again and this file replaced

    def save(self, filename: str, key: str, observed: Observation) -> None:
        """Write beside the final name, then rename, so that a killed run leaves no half file under it."""
        if not self._folder:
            return
        fs, name = self._filesystem(self.place(filename))
        content = observation.dumps(observed, key=key)
        if "://" in self._folder:
            fs.pipe_file(name, content)  # object stores put whole objects
            return
        os.makedirs(os.path.dirname(name), exist_ok=True)
        temporary = f"{name}.{uuid.uuid4().hex[:8]}.part"
        try:
            with open(temporary, "wb") as file:
                file.write(content)
            os.replace(temporary, name)
        finally:
            if os.path.exists(temporary):
                os.remove(temporary)

    def _filesystem(self, url: str) -> tuple[Any, str]:
        import fsspec

        return fsspec.core.url_to_fs(url, **self._options) if "://" in url else fsspec.core.url_to_fs(url)
