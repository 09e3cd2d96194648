"""Which clips a data set holds, with labels and groups, whatever its shape.

Three shapes are read, from a local path or any URL that fsspec knows:

- the challenge's: folders with a ``metadata.json`` (``{"a.mp4": {"label": "FAKE", "original": "b.mp4"}}``);
- a plain folder of clips, searched to any depth; labels unknown;
- a CSV manifest with a column ``filename`` and any of ``label``, ``group``, ``original``, ``source``, ``method``,
  ``fake_part``; or a single clip.

Both tables may say the same of a clip. ``label`` is REAL or FAKE, 0 or 1, true or false; ``method`` names what made a
FAKE clip; ``fake_part`` says what of it is forged: picture, voice (synthetic speech), or both. ``original`` is the path
of the clip that a FAKE one was made from, or the end of it, with or without suffix. ``group`` is what a split must
never part: the connected component of the ``original`` links, joined with the given groups.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from scipy.cluster.hierarchy import DisjointSet

from extract.file_names import (
    SOUND_SUFFIXES,
    Names,
    Namesakes,
    endings_of,
    form,
    is_companion,
    is_video,
    suffix_of,
)
from extract.file_store import Store, folder_and_name
from features.errors import DatasetError, NotFoundError
from features.text_table import read_header, read_rows

logger = logging.getLogger(__name__)

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
NO_ORIGINAL = frozenset({*LABELS, "-", "?", "original", "unknown"})  # what stands for an original, and names no clip
PARTS = frozenset({"picture", "voice", "sound"})  # sound: moved, or exchanged for another recording
OR = "|"  # between several originals of one clip
SAID = ("label", "group", "source", "original", "method", "forged")  # of a clip, by an entry
PACKED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
TAR, TAR_AT = b"ustar", 257  # what a tar archive has, and at which byte
SPREADSHEETS = frozenset({".ods", ".xlsm", ".xlsx"})  # zip files, too
N_ENDINGS = 5  # that a warning names


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
    """The REAL clip that a FAKE one was made from; several with ``|`` between them."""
    method: str = ""
    """What made a FAKE clip; of a REAL one, where the manifest's column says where it is from."""
    forged: frozenset[str] = frozenset()
    """Of :data:`PARTS`, what is forged; empty for a REAL clip, and where the data set does not say it."""


def find_clips(data: str, storage_options: dict[str, Any] | None = None, *, wanted: Iterable[str] = ()) -> list[Clip]:
    """Clips of a data set, sorted by filename, each once.

    Parameters
    ----------
    data
        Path or URL of a folder, a manifest or a clip.
    storage_options
        For URLs, as fsspec takes them.
    wanted
        Files of the folder that are clips, however their names end.

    Raises
    ------
    NotFoundError
        Nothing is there.
    DatasetError
        No clip is in it, or it, or a metadata or manifest file, can't be read or contradicts another.
    """
    store = Store(data, storage_options)
    if not store.remote and not os.path.exists(store.url):
        raise NotFoundError(f"{data}: no such folder or manifest; give the folder that holds the clips")
    if not store.remote and not (os.path.isdir(store.url) or os.path.isfile(store.url)):
        raise DatasetError(f"{data}: neither a folder nor a file; a pipe can't be read twice, write it to a file first")
    clips = _of_file(data, store, storage_options) if store.is_file() else _of_folder(store, list(wanted))
    if not clips:
        suffixes = ".mp4, .mov, .avi, .mkv, .webm"
        raise DatasetError(f"{data}: no clip in it; clips are files that end in {suffixes} or the like")
    clips = [_utf8(clip) for clip in clips]
    return _grouped(sorted(clips, key=lambda clip: clip.filename), data)


def _of_file(data: str, store: Store, storage_options: dict[str, Any] | None) -> list[Clip]:
    folder, name = folder_and_name(data)
    if is_video(name) or suffix_of(name) in SOUND_SUFFIXES:
        return [Clip(name, store.url)]
    return _from_manifest(data, Store(folder, storage_options), name)


def _of_folder(store: Store, wanted: Sequence[str]) -> list[Clip]:
    names = store.list()
    tables = [name for name in names if posixpath.basename(name) == METADATA]
    clips = _from_metadata(store, names, tables, wanted) if tables else _from_folder(store, names, wanted)
    _warn_of_others(store, names, clips)
    return clips


def _warn_of_others(store: Store, names: Iterable[str], clips: Iterable[Clip]) -> None:
    """Say how many files are no clips by their names, but for those that lie beside clips."""
    taken = {clip.filename for clip in clips}
    others = Counter(suffix_of(name) or "no ending" for name in names if name not in taken and not is_companion(name))
    if not others:
        return
    endings = ", ".join(f"{ending}: {count}" for ending, count in others.most_common(N_ENDINGS))
    more = ", ..." if len(others) > N_ENDINGS else ""
    logger.warning(
        "%s: %d files are passed over, since clips have other endings (%s%s); name them in a manifest to measure them",
        store.url, others.total(), endings, more
    )  # fmt: skip


def _utf8(clip: Clip) -> Clip:
    r"""Named as a table can hold it: bytes of a file's name that are no UTF-8 become ``\xe9`` and the like."""
    names = ("filename", "group", "source", "original", "method")
    readable: dict[str, Any] = {name: _readable(getattr(clip, name)) for name in names}
    return replace(clip, **readable)


def _readable(text: str | None) -> str | None:
    return text and os.fsencode(text).decode("utf-8", "backslashreplace")


def _from_folder(store: Store, names: Iterable[str], wanted: Iterable[str] = ()) -> list[Clip]:
    """Clips by the endings of their names, and the files that are ``wanted`` by name."""
    present = Names(names)
    chosen = {name for name in names if is_video(name)} | {present.find(name) for name in wanted}
    return [Clip(name, store.join(name)) for name in names if name in chosen]


def _from_metadata(store: Store, names: list[str], tables: list[str], wanted: Iterable[str]) -> list[Clip]:
    clips = {clip.filename: clip for clip in _from_folder(store, names, wanted)}
    entries = [_Entry(table, *entry) for table in tables for entry in _metadata(store, table).items()]
    present, namesakes = Names(names), Namesakes(clips, [entry.path for entry in entries])
    labelled: dict[str, str] = {}  # file name to the place of its label
    absent = 0
    for entry in entries:
        filename = present.find(posixpath.join(entry.folder, entry.path)) or _only_one(namesakes, entry)
        if filename is None:
            absent += 1
            continue
        where = f"{store.join(entry.table)}, entry {entry.name!r}"
        clip = _of_entry(entry, Clip(filename, store.join(filename)), where)
        known = clips.get(filename, clip)
        if clip.label and known.label not in {None, clip.label}:
            raise DatasetError(
                f"{where}: {filename} is {clip.label}, and {known.label} by {labelled[filename]}; fix one of them"
            )
        clips[filename] = _joined(known, clip)
        if clip.label:
            labelled[filename] = where
    if absent:
        logger.warning("%s: metadata names %d clips that are not there; they are left out", store.url, absent)
    if entries and not labelled:
        logger.warning('%s: no entry of metadata.json has a label; one is {"label": "REAL"} or "FAKE"', store.url)
    return list(clips.values())


class _Entry(NamedTuple):
    """What a ``metadata.json`` says of one clip."""

    table: str
    name: str
    says: dict[str, Any]

    @property
    def path(self) -> str:
        """The clip, as it is named."""
        return _slashed(self.name)

    @property
    def folder(self) -> str:
        """Where the table lies."""
        return posixpath.dirname(self.table)


def _only_one(namesakes: Namesakes, entry: _Entry) -> str | None:
    """The one clip below a table's folder that ends in the entry's path: one table may name the clips of all parts."""
    below = f"{entry.folder}/" if entry.folder else ""
    found = [name for name in namesakes.ending_in(entry.path) if name.startswith(below)]
    return found[0] if len(found) == 1 else None


def _of_entry(entry: _Entry, clip: Clip, where: str) -> Clip:
    says = {key.strip().lower(): value for key, value in entry.says.items()}
    originals = says.get("original")
    named_ones = [_slashed(named(one)) for one in (originals if isinstance(originals, list) else [originals])]
    return replace(
        clip,
        source=named(says.get("source")) or entry.folder or None,
        original=OR.join(posixpath.normpath(posixpath.join(entry.folder, one)) for one in named_ones if one),
        **_described(says, where),
    )


def _joined(first: Clip, second: Clip) -> Clip:
    """What two entries say of one clip; where both say it, the second."""
    said = {name: getattr(second, name) for name in SAID if getattr(second, name)}
    return replace(first, **said)


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


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


def _from_manifest(data: str, store: Store, name: str) -> list[Clip]:
    _check_is_text(data, store.read(name, 512))
    names, rows = _rows_of_manifest(data, store.read(name))
    if "filename" not in names:
        raise DatasetError(f"{data}: no column 'filename'; a manifest starts with filename,label,group")
    for column, times in Counter(names).items():
        if times > 1 and column in MANIFEST_COLUMNS:
            raise DatasetError(f"{data}: two columns are called {column!r}; remove or rename one")
    if not rows:
        raise DatasetError(f"{data}: no clip in it, the manifest ends after its header; add a line for each clip")
    present = _Places(store)
    clips: dict[str, Clip] = {}
    for number, cells in rows:
        where = f"{data}, line {number}"
        row = dict(zip(names, cells, strict=False))  # as many cells as there are
        filename = _filename(row.get("filename", ""), store, where)
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


def _check_is_text(data: str, start: bytes) -> None:
    """Refuse what is often given for a folder or a manifest, by its first bytes, and say what to do with it."""
    if start.startswith(b"PAR1"):
        raise DatasetError(
            f"{data}: a Parquet table, not a CSV manifest; a table of cues goes to `deepcue predict` or `deepcue train`"
        )
    if start.startswith(PACKED) and suffix_of(data) in SPREADSHEETS:
        raise DatasetError(f"{data}: a spreadsheet, not a CSV manifest; save it as CSV")
    if start.startswith(PACKED) or start[TAR_AT:].startswith(TAR):
        raise DatasetError(f"{data}: a packed file, not a CSV manifest; unpack it and give the folder")


def _rows_of_manifest(data: str, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns in lower case, and each row with the number of its line."""
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        header = read_header(text, "filename")
        return [name.lower() for name in header.names], list(read_rows(text, header))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{data}: not a CSV manifest ({error}); save it as UTF-8 text") from error


def _filename(cell: str, store: Store, where: str) -> str:
    """A manifest's path of a clip, relative to the manifest's folder, with forward slashes."""
    path = _slashed(cell.strip())
    if "://" in path:
        raise DatasetError(
            f"{where}: filename {cell!r} is a URL; put the manifest beside the clips, there, and give the paths from it"
        )
    root = _slashed(store.url).rstrip("/") + "/"
    inside = not store.remote and path.startswith("/") and f"{posixpath.normpath(path)}/".startswith(root)
    filename = posixpath.relpath(path, root) if inside else posixpath.normpath(path)
    if filename in {"", ".", ".."} or re.match(r"/|\.\./|[A-Za-z]:/", filename) or "\0" in filename:
        raise DatasetError(f"{where}: filename {cell!r} is not a path below the manifest's folder")
    return filename


def _grouped(clips: list[Clip], data: str) -> list[Clip]:
    """The clips with ``group`` set to the connected component of originals, given groups and files of several names.

    A component is called by its first given group; else by the first of its originals as they are named, which is the
    same in every part of a manifest; else by its first clip.
    """
    links = DisjointSet([("clip", clip.filename) for clip in clips])
    for clip in clips:
        if clip.group:
            _link(links, clip, ("group", clip.group))
    _link_names_of_one_file(links, clips, data)
    named_by = _link_originals(links, clips, data)
    original: dict[Any, str] = {}
    for clip, name in named_by:
        root = links[("clip", clip.filename)]
        original[root] = min(name, original.get(root, name))
    given: dict[Any, str] = {}
    first: dict[Any, str] = {}
    for clip in clips:
        root = links[("clip", clip.filename)]
        first.setdefault(root, clip.filename)
        if clip.group:
            given.setdefault(root, clip.group)
    name_of = first | original | given
    return [replace(clip, group=name_of[links[("clip", clip.filename)]]) for clip in clips]


def _link(links: DisjointSet, clip: Clip, node: tuple[str, str]) -> None:
    links.add(node)
    links.merge(("clip", clip.filename), node)


def _link_names_of_one_file(links: DisjointSet, clips: Iterable[Clip], data: str) -> None:
    """Join clips that are one file, by links: it would be learned and scored."""
    first: dict[tuple[int, ...], Clip] = {}
    others: list[tuple[Clip, Clip]] = []
    for clip in clips:
        if "://" in clip.path:
            continue
        with contextlib.suppress(OSError, ValueError):  # its row will say so
            status = os.stat(clip.path)
            known = first.setdefault((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), clip)
            if known is not clip:
                others.append((clip, known))
    for clip, known in others:
        _link(links, clip, ("clip", known.filename))
    if others:
        clip, known = others[0]
        logger.warning(
            "%s: %d clips are files of others under a second name (%s is %s); they share a group, but count twice",
            data, len(others), clip.filename, known.filename
        )  # fmt: skip


def _link_originals(links: DisjointSet, clips: Sequence[Clip], data: str) -> list[tuple[Clip, str]]:
    """Join clips with their originals, and with others of the same; the names of the originals, clip by clip."""
    originals = _Originals(clips)
    named_by: list[tuple[Clip, str]] = []
    lacking: list[Clip] = []
    ambiguous: dict[str, int] = {}
    for clip in clips:
        found = originals.of(clip)
        for name, files in found:
            for file in files:
                _link(links, clip, ("clip", file))
            if originals.is_common(name):  # others of that name are of another clip
                named_by += [(clip, file) for file in files]
            elif files or name.lower() not in NO_ORIGINAL:
                _link(links, clip, ("original", endings_of(name)[0]))
                named_by.append((clip, name))
            if len(files) > 1:
                ambiguous[name] = len(files)
        if clip.label == "FAKE" and found and not any(files for _, files in found):
            lacking.append(clip)
    _warn_of_originals(data, clips, lacking, ambiguous)
    return named_by


def _warn_of_originals(data: str, clips: Iterable[Clip], lacking: Sequence[Clip], ambiguous: Mapping[str, int]) -> None:
    if lacking:
        n_fakes = sum(clip.label == "FAKE" and bool(clip.original) for clip in clips)
        logger.warning(
            "%s: originals of %d of %d FAKE clips are not among the clips (%s, ...); if they are, give the names that "
            "they have here, or a split may part them", data, len(lacking), n_fakes, lacking[0].original
        )  # fmt: skip
    if ambiguous:
        name = min(ambiguous)
        logger.warning(
            "%s: %d originals may be several clips each (%s: %d), which share a group; give paths to tell them apart",
            data, len(ambiguous), name, ambiguous[name]
        )  # fmt: skip


class _Originals:
    """Which clips the originals of a data set are, be they named by path, end of a path or name without suffix."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._fakes = {clip.filename for clip in clips if clip.label == "FAKE"}
        self._names = Names(clip.filename for clip in clips)
        cells = {clip.original for clip in clips} - {""}
        searched = [name for cell in cells for name in (cell, *_several(cell))]
        self._genuine = Namesakes((one.filename for one in clips if one.filename not in self._fakes), searched)
        self._forged = Namesakes(self._fakes, searched)

    def of(self, clip: Clip) -> list[tuple[str, list[str]]]:
        """Each original of a clip as it is named, and all clips that it may be: a split must part it from none."""
        names = [clip.original] if self._is_one(clip.original) else _several(clip.original)
        return [(form(name), self._files(name, clip)) for name in names if endings_of(name)]

    def is_common(self, name: str) -> bool:
        """Whether so many clips have that name that it says something only beside the clip that names it."""
        return self._names.find(name) is None and self._genuine.is_common(name)

    def _is_one(self, cell: str) -> bool:
        """Whether signs that stand between names are part of one."""
        return bool(self._names.find(cell) or self._genuine.ending_in(cell) or self._forged.ending_in(cell))

    def _files(self, name: str, clip: Clip) -> list[str]:
        """The clip of that path; if it is FAKE or there is none, those that end in it, genuine ones first."""
        exact = self._names.find(name)
        if exact is not None and exact not in self._fakes:
            return [exact]
        files = self._genuine.of(name, clip.filename) or self._forged.of(name, clip.filename)
        return sorted({*files, *filter(None, [exact])} - {clip.filename})


def _several(originals: str) -> list[str]:
    """The names in a cell that may hold several."""
    names = originals.split(OR) if OR in originals else re.split("[;,]", originals)
    return [name.strip() for name in names if name.strip()]
