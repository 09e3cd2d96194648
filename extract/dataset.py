"""Which clips a data set holds, with labels and groups, whatever its shape.

Three shapes are read, from a local path or any URL that fsspec knows:

- the challenge's: folders with a ``metadata.json`` (``{"a.mp4": {"label": "FAKE", "original": "b.mp4"}}``);
- a plain folder of clips, searched to any depth; labels unknown;
- a CSV manifest with a column ``filename`` and any of ``label``, ``group``, ``original``, ``source``, ``method``.

``group`` is what a split must never part: the connected component of the ``original`` links, joined with the
manifest's own groups.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from scipy.cluster.hierarchy import DisjointSet

from features.errors import DatasetError, NotFoundError

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".asf", ".avi", ".divx", ".flv", ".gif", ".h264", ".hevc", ".ivf", ".m2ts", ".m4v", ".mjpeg"}
    | {".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)
METADATA = "metadata.json"
MANIFEST_FOLDERS = ("", "files", "videos", "clips")  # where a manifest's clips are looked for, beside it
LABELS = {"real": "REAL", "fake": "FAKE", "0": "REAL", "1": "FAKE"}


@dataclass(frozen=True)
class Clip:
    """One clip of a data set. ``filename`` is its path relative to the data set, with forward slashes."""

    filename: str
    path: str
    label: str | None = None
    group: str = ""
    source: str | None = None
    original: str = ""


class Store:
    """Files below a local folder or an fsspec URL."""

    def __init__(self, url: str, storage_options: dict[str, Any] | None = None) -> None:
        self.remote = "://" in url
        self.url = url.rstrip("/") if self.remote else os.path.abspath(url)
        self._options = storage_options or {}

    def join(self, name: str) -> str:
        """Path or URL of a file by its name relative to the root."""
        return f"{self.url}/{name}" if self.remote else os.path.join(self.url, *name.split("/"))

    def list(self) -> list[str]:
        """Names of all files below the root, relative, sorted."""
        return sorted(self._list_remote() if self.remote else self._list_local())

    def read(self, name: str) -> bytes:
        """Content of a file."""
        import fsspec

        with fsspec.open(self.join(name), "rb", **self._options) as file:
            return bytes(file.read())

    def is_file(self) -> bool:
        """True when the root itself is a file."""
        if not self.remote:
            return os.path.isfile(self.url)
        fs, path = self._filesystem()
        return bool(fs.isfile(path))

    def _filesystem(self) -> tuple[Any, str]:
        import fsspec

        return fsspec.core.url_to_fs(self.url, **self._options)

    def _list_remote(self) -> Iterator[str]:
        fs, root = self._filesystem()
        yield from (posixpath.relpath(path, root) for path in fs.find(root))

    def _list_local(self) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()
        for folder, below, names in os.walk(self.url, followlinks=True):
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                below.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), self.url).replace(os.sep, "/")


def find_clips(data: str, storage_options: dict[str, Any] | None = None) -> list[Clip]:
    """Clips of a data set, sorted by filename, each once.

    Raises
    ------
    NotFoundError
        Nothing is there.
    DatasetError
        No clip is in it, or a metadata or manifest file can't be read.
    """
    store = Store(data, storage_options)
    if not store.remote and not os.path.exists(store.url):
        raise NotFoundError(f"{data}: no such folder or manifest; give the folder that holds the clips")
    try:
        if store.is_file():
            clips = _from_manifest(data, storage_options)
        else:
            names = store.list()
            tables = [name for name in names if posixpath.basename(name) == METADATA]
            clips = _from_metadata(store, names, tables) if tables else _from_folder(store, names)
    except OSError as error:
        raise DatasetError(f"{data}: can't be read ({error}); check the path and your credentials") from error
    if not clips:
        suffixes = ".mp4, .mov, .avi, .mkv, .webm"
        raise DatasetError(f"{data}: no clip in it; clips are files that end in {suffixes} or the like")
    clips = [_utf8(clip) for clip in clips]
    return _grouped(sorted(clips, key=lambda clip: clip.filename))


def _utf8(clip: Clip) -> Clip:
    r"""Named as a table can hold it: bytes of a file's name that are no UTF-8 become ``\xe9`` and the like."""
    names = {name: getattr(clip, name) for name in ("filename", "group", "source", "original")}
    return replace(
        clip, **{name: text and os.fsencode(text).decode("utf-8", "backslashreplace") for name, text in names.items()}
    )


def _is_video(name: str) -> bool:
    base = posixpath.basename(name)
    return not base.startswith(".") and posixpath.splitext(base)[1].lower() in VIDEO_SUFFIXES


def _from_folder(store: Store, names: Iterable[str]) -> list[Clip]:
    return [Clip(name, store.join(name)) for name in names if _is_video(name)]


def _from_metadata(store: Store, names: list[str], tables: list[str]) -> list[Clip]:
    clips = {clip.filename: clip for clip in _from_folder(store, names)}
    present, absent = set(names), 0
    for table in tables:
        part = posixpath.dirname(table)
        for name, entry in _metadata(store, table).items():
            filename = posixpath.normpath(posixpath.join(part, name))
            if filename not in present:
                absent += 1
                continue
            where = f"{store.join(table)}, entry {name!r}"
            original = _named(entry.get("original"))
            clips[filename] = Clip(
                filename,
                store.join(filename),
                label=label_of(entry.get("label"), where),
                group=_named(entry.get("group")),
                source=_named(entry.get("source")) or part or None,
                original=posixpath.normpath(posixpath.join(part, original)) if original else "",
            )
    if absent:
        logger.warning("%s: metadata names %d clips that are not there; they are left out", store.url, absent)
    return list(clips.values())


def _metadata(store: Store, table: str) -> dict[str, dict[str, Any]]:
    where = store.join(table)
    try:
        content = json.loads(store.read(table))
    except ValueError as error:
        raise DatasetError(f"{where}: not valid JSON ({error}); download it anew or remove it") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DatasetError(f'{where}: expected {{"clip.mp4": {{"label": ...}}}}; mend it or remove it')
    return content


def _named(value: object) -> str:
    """What a cell or an entry names; empty for what programs write for nothing."""
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in {"nan", "none", "null"} else text


def label_of(value: object, where: str) -> str | None:
    """``REAL`` or ``FAKE`` for what a data set calls them; None for nothing.

    Raises
    ------
    DatasetError
        It is something else; ``where`` names the place.
    """
    text = _named(value).lower()
    if not text:
        return None
    if text not in LABELS:
        raise DatasetError(f"{where}: label {value!r} is not REAL or FAKE; mend it")
    return LABELS[text]


def _from_manifest(data: str, storage_options: dict[str, Any] | None) -> list[Clip]:
    base, _, name = data.replace(os.sep, "/").rpartition("/")
    store = Store(base or ".", storage_options)
    try:
        table = csv.DictReader(io.StringIO(store.read(name).decode("utf-8-sig")))
        table.fieldnames = [column.strip().lower() for column in table.fieldnames or ()]
        rows = list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{data}: not a CSV manifest ({error}); save it as UTF-8 text") from error
    if not rows or "filename" not in rows[0]:
        raise DatasetError(f"{data}: no column 'filename'; a manifest starts with filename,label,group")
    present = set(store.list())
    clips: dict[str, Clip] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{data}, line {number}"
        filename = posixpath.normpath((row["filename"] or "").strip().replace("\\", "/"))
        if filename in {"", "."} or filename.startswith(("/", "../")):
            raise DatasetError(f"{where}: filename {row['filename']!r} is not a path below the manifest's folder")
        if filename in clips:
            raise DatasetError(f"{where}: {filename} stands in the manifest twice; remove one")
        places = [posixpath.normpath(posixpath.join(folder, filename)) for folder in MANIFEST_FOLDERS]
        place = next((one for one in places if one in present), filename)  # a missing file gets its row, too
        clips[filename] = Clip(
            filename,
            store.join(place),
            label=label_of(row.get("label"), where),
            group=_named(row.get("group")),
            source=_named(row.get("source")) or _named(row.get("method")) or None,
            original=_named(row.get("original")),
        )
    return list(clips.values())


def _grouped(clips: list[Clip]) -> list[Clip]:
    """The clips with ``group`` set to the connected component of originals and given groups."""
    names = {clip.filename for clip in clips}
    by_base: dict[str, list[str]] = {}
    for name in sorted(names):
        by_base.setdefault(posixpath.basename(name), []).append(name)
    links = DisjointSet([("clip", name) for name in sorted(names)])
    for clip in clips:
        me = ("clip", clip.filename)
        if clip.group:
            links.add(("group", clip.group))
            links.merge(me, ("group", clip.group))
        if clip.original:  # in the same part, else anywhere, else a real clip that is not at hand
            elsewhere = by_base.get(posixpath.basename(clip.original), [])
            target = clip.original if clip.original in names else (elsewhere[0] if len(elsewhere) == 1 else "")
            node = ("clip", target) if target else ("original", clip.original)
            links.add(node)
            links.merge(me, node)
    label: dict[Any, str] = {}
    for clip in clips:  # a component is called by its first given group, else by its first clip
        root = links[("clip", clip.filename)]
        if root not in label or (clip.group and label[root] in names):
            label[root] = clip.group or clip.filename
    return [replace(clip, group=label[links[("clip", clip.filename)]]) for clip in clips]
