"""Which clips a data set holds, with labels and groups, whatever its shape.

Three shapes are read, from a local path or any URL that fsspec knows:

- the challenge's: folders with a ``metadata.json`` (``{"a.mp4": {"label": "FAKE", "original": "b.mp4"}}``);
- a plain folder of clips, searched to any depth; labels unknown;
- a CSV manifest with a column ``filename`` and any of ``label``, ``group``, ``original``, ``source``, ``method``,
  ``fake_part``; or a single clip.

Both tables may say the same of a clip. ``label`` is REAL or FAKE, 0 or 1, true or false; ``method`` names what made a
FAKE clip; ``fake_part`` says what of it is forged: picture, voice (synthetic speech), or both. ``group`` is what a
split must never part: the connected component of the ``original`` links, joined with the given groups.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scipy.cluster.hierarchy import DisjointSet

from features.errors import DatasetError, NotFoundError
from features.places import read_errors

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".asf", ".avi", ".divx", ".flv", ".gif", ".h264", ".hevc", ".ivf", ".m2ts", ".m4v", ".mjpeg"}
    | {".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)
SOUND_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav"}
    | {".wma"}
)
"""Of files that are clips when they are named, one by one or in a table; a folder is not searched for them, as data
sets keep the sound of their clips beside them."""
METADATA = "metadata.json"
MANIFEST_COLUMNS = frozenset(
    {"filename", "label", "group", "original", "source", "method", "kind", "fake_part", "part"}
)
MANIFEST_FOLDERS = ("", "files", "videos", "clips")  # where a manifest's clips are looked for, beside it
LABELS = {
    **dict.fromkeys(("real", "0", "0.0", "false"), "REAL"),  # numbers and truth values as programs write them
    **dict.fromkeys(("fake", "1", "1.0", "true"), "FAKE"),
}
NOTHING = frozenset({"nan", "none", "null", "na", "n/a", "<na>", "#n/a"})  # as pandas, R and spreadsheets write it
PARTS = frozenset({"picture", "voice", "sound"})  # sound: moved, or exchanged for another recording


@dataclass(frozen=True)
class Clip:
    """One clip of a data set."""

    filename: str
    """Path relative to the data set, with forward slashes."""
    path: str
    """Path or URL of the file."""
    label: str | None = None
    """``REAL``, ``FAKE``, or None where it is unknown."""
    group: str = ""
    """What a split must never part."""
    source: str | None = None
    """Data set or part that the clip is from; the method where only that is given."""
    original: str = ""
    """The REAL clip that a FAKE one was made from."""
    method: str = ""
    """What made a FAKE clip; of a REAL one, where the manifest's column says where it is from."""
    forged: frozenset[str] = frozenset()
    """Of :data:`PARTS`, what is forged; empty for a REAL clip, and where the data set does not say it."""


class Store:
    """Files below a local folder or an fsspec URL; what can't be read is a ``DatasetError``."""

    def __init__(self, url: str, storage_options: dict[str, Any] | None = None) -> None:
        self.remote = "://" in url
        self.url = url.rstrip("/") if self.remote else os.path.abspath(url)
        self._options = storage_options or {}

    def join(self, name: str) -> str:
        """Path or URL of a file by its name relative to the root."""
        return f"{self.url}/{name}" if self.remote else os.path.join(self.url, *name.split("/"))

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

    def read(self, name: str) -> bytes:
        """Content of a file; a path never goes through fsspec, which takes ``::`` in it for one store in another."""
        import fsspec

        url = self.join(name)
        with read_errors(url), fsspec.open(url, "rb", **self._options) if self.remote else open(url, "rb") as file:
            return bytes(file.read())

    def is_file(self) -> bool:
        """True when the root itself is a file."""
        if not self.remote:
            return os.path.isfile(self.url)
        with read_errors(self.url):
            fs, path = self._filesystem()
            return bool(fs.isfile(path))

    def _filesystem(self) -> tuple[Any, str]:
        import fsspec

        return fsspec.core.url_to_fs(self.url, **self._options)

    def _list_remote(self) -> Iterator[str]:
        fs, root = self._filesystem()
        names = (posixpath.relpath(path, root) for path in fs.find(root))
        yield from (name for name in names if not any(part.startswith(".") for part in name.split("/")[:-1]))

    def _list_local(self) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()
        for folder, below, names in os.walk(self.url, followlinks=True, onerror=_raise):
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                below.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), self.url).replace(os.sep, "/")


def _raise(error: OSError) -> None:
    """A folder that can't be read is an error: its clips would be missing without a word."""
    raise error


def find_clips(data: str, storage_options: dict[str, Any] | None = None) -> list[Clip]:
    """Clips of a data set, sorted by filename, each once.

    Raises
    ------
    NotFoundError
        Nothing is there.
    DatasetError
        No clip is in it, or it, or a metadata or manifest file, can't be read.
    """
    store = Store(data, storage_options)
    if not store.remote and not os.path.exists(store.url):
        raise NotFoundError(f"{data}: no such folder or manifest; give the folder that holds the clips")
    if not store.remote and not (os.path.isdir(store.url) or os.path.isfile(store.url)):
        raise DatasetError(f"{data}: neither a folder nor a file; a pipe can't be read twice, write it to a file first")
    if store.is_file():
        named = _is_video(data) or posixpath.splitext(_base(data))[1].lower() in SOUND_SUFFIXES
        clips = [Clip(_base(data), store.url)] if named else _from_manifest(data, storage_options)
    else:
        names = store.list()
        tables = [name for name in names if posixpath.basename(name) == METADATA]
        clips = _from_metadata(store, names, tables) if tables else _from_folder(store, names)
    if not clips:
        suffixes = ".mp4, .mov, .avi, .mkv, .webm"
        raise DatasetError(f"{data}: no clip in it; clips are files that end in {suffixes} or the like")
    clips = [_utf8(clip) for clip in clips]
    return _grouped(sorted(clips, key=lambda clip: clip.filename))


def _utf8(clip: Clip) -> Clip:
    r"""Named as a table can hold it: bytes of a file's name that are no UTF-8 become ``\xe9`` and the like."""
    names = ("filename", "group", "source", "original", "method")
    readable: dict[str, Any] = {name: _readable(getattr(clip, name)) for name in names}
    return replace(clip, **readable)


def _readable(text: str | None) -> str | None:
    return text and os.fsencode(text).decode("utf-8", "backslashreplace")


def _base(name: str) -> str:
    return posixpath.basename(name.replace(os.sep, "/"))


def _is_video(name: str) -> bool:
    base = _base(name)
    return not base.startswith(".") and posixpath.splitext(base)[1].lower() in VIDEO_SUFFIXES


def _from_folder(store: Store, names: Iterable[str]) -> list[Clip]:
    return [Clip(name, store.join(name)) for name in names if _is_video(name)]


def _from_metadata(store: Store, names: list[str], tables: list[str]) -> list[Clip]:
    clips = {clip.filename: clip for clip in _from_folder(store, names)}
    present, absent = Names(names), 0
    for table in tables:
        part = posixpath.dirname(table)
        for name, entry in _metadata(store, table).items():
            filename = present.find(posixpath.join(part, _slashed(name)))
            if filename is None:
                absent += 1
                continue
            where = f"{store.join(table)}, entry {name!r}"
            original = _slashed(named(entry.get("original")))
            about = _described(entry, where)
            clips[filename] = Clip(
                filename,
                store.join(filename),
                source=named(entry.get("source")) or part or None,
                original=posixpath.normpath(posixpath.join(part, original)) if original else "",
                **about,
            )
    if absent:
        logger.warning("%s: metadata names %d clips that are not there; they are left out", store.url, absent)
    return list(clips.values())


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


def _form(path: str) -> str:
    """A path with one spelling of each letter: a Mac stores accents as letters of their own."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


class Names:
    """File names that are found however their letters are spelled."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = set(names)
        self._by_form = {_form(name): name for name in sorted(self._exact)}

    def find(self, path: str) -> str | None:
        """The file that a path means; None when there is none."""
        path = posixpath.normpath(path)
        return path if path in self._exact else self._by_form.get(_form(path))


class _Places:
    """Where a manifest's files are, however their letters are spelled; no folder is looked at that it does not name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listed: dict[str, Names] = {}

    def find(self, path: str) -> str | None:
        """The file that a path means; None when there is none."""
        if not self._store.remote and os.path.isfile(self._store.join(path)):
            return path
        found = ""
        for part in path.split("/"):
            if found not in self._listed:
                self._listed[found] = Names(self._store.names_in(found))
            name = self._listed[found].find(part)
            if name is None:
                return None
            found = posixpath.join(found, name)
        return found


def _described(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Label, group, method and forged parts, as an entry or a row gives them."""
    label = label_of(entry.get("label"), where)
    part = named(entry.get("fake_part") or entry.get("part")).lower()
    return {
        "label": label,
        "group": named(entry.get("group")),
        "method": named(entry.get("method") or entry.get("kind")),
        "forged": PARTS.intersection(re.findall("[a-z]+", part)) if label == "FAKE" else frozenset(),
    }


def _metadata(store: Store, table: str) -> dict[str, dict[str, Any]]:
    where = store.join(table)
    text = store.read(table)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"{where}: not valid JSON ({error}); download it again or remove it") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DatasetError(f'{where}: expected {{"clip.mp4": {{"label": ...}}}}; fix it or remove it')
    return content


def named(value: object) -> str:
    """What a cell or an entry names, without blanks around it; empty for what programs write for nothing.

    >>> named(" anna "), named("NA"), named(None)
    ('anna', '', '')
    """
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in NOTHING else text


def label_of(value: object, where: str) -> str | None:
    """``REAL`` or ``FAKE`` for what a data set calls them; None for nothing.

    Raises
    ------
    DatasetError
        It is something else; ``where`` names the place.
    """
    text = named(value).lower()
    if not text:
        return None
    if text not in LABELS:
        raise DatasetError(f"{where}: label {value!r} is not REAL or FAKE; fix it")
    return LABELS[text]


def _from_manifest(data: str, storage_options: dict[str, Any] | None) -> list[Clip]:
    base, _, name = data.replace(os.sep, "/").rpartition("/")
    store = Store(base or ".", storage_options)
    text = store.read(name)
    try:
        table = csv.DictReader(io.StringIO(text.decode("utf-8-sig")))
        table.fieldnames = [column.strip().lower() for column in table.fieldnames or ()]
        rows = list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{data}: not a CSV manifest ({error}); save it as UTF-8 text") from error
    if "filename" not in table.fieldnames:
        raise DatasetError(f"{data}: no column 'filename'; a manifest starts with filename,label,group")
    for column, times in Counter(table.fieldnames).items():
        if times > 1 and column in MANIFEST_COLUMNS:
            raise DatasetError(f"{data}: two columns are called {column!r}; remove or rename one")
    if not rows:
        raise DatasetError(f"{data}: no clip in it, the manifest ends after its header; add a line for each clip")
    present = _Places(store)
    clips: dict[str, Clip] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{data}, line {number}"
        filename = _filename(row["filename"] or "", where)
        if filename in clips:
            raise DatasetError(f"{where}: {filename} appears twice in the manifest; remove one")
        places = (present.find(posixpath.join(folder, filename)) for folder in MANIFEST_FOLDERS)
        place = next(filter(None, places), filename)  # a missing file gets its row, too
        if not store.remote and os.path.isdir(store.join(place)):
            raise DatasetError(f"{where}: {filename} is a folder; name the clips in it")
        about = _described(row, where)
        clips[filename] = Clip(
            filename,
            store.join(place),
            source=named(row.get("source")) or about["method"] or None,
            original=_slashed(named(row.get("original"))),
            **about,
        )
    return list(clips.values())


def _filename(cell: str, where: str) -> str:
    """A manifest's path of a clip, with forward slashes."""
    filename = posixpath.normpath(_slashed(cell.strip()))
    if filename in {"", ".", ".."} or re.match(r"/|\.\./|[A-Za-z]:/", filename) or "\0" in filename:
        raise DatasetError(f"{where}: filename {cell!r} is not a path below the manifest's folder")
    return filename


def _grouped(clips: list[Clip]) -> list[Clip]:
    """The clips with ``group`` set to the connected component of originals and given groups."""
    filenames = {clip.filename for clip in clips}
    names = Names(filenames)
    by_base: dict[str, list[str]] = {}
    for name in sorted(filenames):
        by_base.setdefault(posixpath.basename(_form(name)), []).append(name)
    links = DisjointSet([("clip", name) for name in sorted(filenames)])
    for clip in clips:
        me = ("clip", clip.filename)
        if clip.group:
            links.add(("group", clip.group))
            links.merge(me, ("group", clip.group))
        if clip.original:  # in the same part, else anywhere, else a real clip that is not at hand
            original = _form(clip.original)
            elsewhere = by_base.get(posixpath.basename(original), [])
            target = names.find(clip.original) or (elsewhere[0] if len(elsewhere) == 1 else "")
            node = ("clip", target) if target else ("original", original)
            links.add(node)
            links.merge(me, node)
    label: dict[Any, str] = {}
    for clip in clips:  # a component is called by its first given group, else by its first clip
        root = links[("clip", clip.filename)]
        if root not in label or (clip.group and label[root] in filenames):
            label[root] = clip.group or clip.filename
    return [replace(clip, group=label[links[("clip", clip.filename)]]) for clip in clips]
