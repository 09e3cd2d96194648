"""Read the clips of a CSV manifest, one line each."""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
from collections import Counter
from collections.abc import Mapping

from extract.entries import ClipEntry, described, named, slashed
from extract.file_names import Names, suffix_of
from extract.file_store import Store
from features.errors import DatasetError
from features.text_table import read_header, read_rows

COLUMNS = frozenset({"filename", "label", "group", "original", "source", "method", "kind", "fake_part", "part"})
FOLDERS = ("", "files", "videos", "clips")  # folders beside the manifest that are searched for its clips
PACKED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
TAR, TAR_AT = b"ustar", 257  # magic of a tar archive, and its offset
GOES_ON = "goes on in the next line; close its quote or write one line"
END = "\x04"  # a line added to a manifest's text: an unclosed quote swallows it
SPREADSHEETS = frozenset({".ods", ".xlsm", ".xlsx"})  # some are zip files


def clips_of_manifest(data: str, store: Store, name: str) -> list[ClipEntry]:
    """Return the clips of the manifest ``name`` in a folder or below a URL; ``data`` is its name in messages.

    Raises
    ------
    DatasetError
        It is not a CSV table with a column ``filename``, is empty, lists a clip twice, or has an invalid cell.
    """
    _check_is_text(data, store.read(name, 512))
    names, rows = _rows(data, store.read(name))
    if "filename" not in names:
        raise DatasetError(f"{data}: no column 'filename'; a manifest starts with filename,label,group")
    for column, times in Counter(names).items():
        if times > 1 and column in COLUMNS:
            raise DatasetError(f"{data}: two columns are called {column!r}; remove or rename one")
    if not rows:
        raise DatasetError(f"{data}: the manifest has no line after its header; add a line for each clip")
    places = _Places(store)
    clips: dict[str, ClipEntry] = {}
    for number, cells in rows:
        where = f"{data}, line {number}"
        clip = _clip(dict(zip(names, cells, strict=False)), places, store, where)  # rows may be short
        if clip.filename in clips:
            raise DatasetError(f"{where}: {clip.filename} appears twice in the manifest; remove one")
        clips[clip.filename] = clip
    return list(clips.values())


def _clip(row: Mapping[str, str], places: _Places, store: Store, where: str) -> ClipEntry:
    _check_ends_in_its_line(row, where)
    filename = _filename(row.get("filename", ""), store, where)
    candidates = (places.find(posixpath.join(folder, filename)) for folder in FOLDERS)
    place = next(filter(None, candidates), filename)  # a missing file gets a row also
    if not store.remote and os.path.isdir(store.join(place)):
        raise DatasetError(f"{where}: {filename} is a folder; name the clips in it")
    about = described(row, where)
    return ClipEntry(
        filename,
        store.join(place),
        source=named(row.get("source")) or about["method"] or None,
        original=slashed(named(row.get("original"))),
        **about,
    )


def _check_ends_in_its_line(row: Mapping[str, str], where: str) -> None:
    """Refuse a cell with a line break: an unclosed quote would swallow the following lines."""
    for name, cell in row.items():
        first, *others = re.split(r"[\r\n]", cell.strip())
        if others and name in COLUMNS:
            raise DatasetError(f"{where}: {name} {first!r} {GOES_ON}")


def _check_is_text(data: str, start: bytes) -> None:
    """Refuse files that users often pass by mistake, recognised by their first bytes, with advice."""
    if start.startswith(b"PAR1"):
        raise DatasetError(
            f"{data}: a Parquet table, not a CSV manifest; a table of cues goes to `deepcue predict` or `deepcue train`"
        )
    if start.startswith(PACKED) and suffix_of(data) in SPREADSHEETS:
        raise DatasetError(f"{data}: a spreadsheet, not a CSV manifest; save it as CSV")
    if start.startswith(PACKED) or start[TAR_AT:].startswith(TAR):
        raise DatasetError(f"{data}: a packed file, not a CSV manifest; unpack it and give the folder")


def _rows(data: str, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the column names in lower case, and each row with its line number."""
    try:
        text = io.StringIO(f"{content.decode('utf-8-sig')}\n{END}", newline="")
        header = read_header(text, "filename")
        rows = list(read_rows(text, header))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{data}: not a CSV manifest ({error}); save it as UTF-8, every quote closed") from error
    names = [name.lower() for name in header.names]
    number, cells = rows.pop() if rows else (0, [END])
    if cells != [END]:
        name, first = dict(enumerate(names)).get(len(cells) - 1, "a cell"), cells[-1].strip().splitlines()[0]
        raise DatasetError(f"{data}, line {number}: {name} {first!r} {GOES_ON}")
    return names, rows


def _filename(cell: str, store: Store, where: str) -> str:
    """Return a clip's path relative to the manifest's folder, with forward slashes."""
    path = slashed(cell.strip())
    if "://" in path:
        raise DatasetError(
            f"{where}: filename {cell!r} is a URL; put the manifest beside the clips, there, and give the paths from it"
        )
    root = slashed(store.url).rstrip("/") + "/"
    inside = not store.remote and path.startswith("/") and f"{posixpath.normpath(path)}/".startswith(root)
    filename = posixpath.relpath(path, root) if inside else posixpath.normpath(path)
    if filename in {"", ".", ".."} or re.match(r"/|\.\./|[A-Za-z]:/", filename) or "\0" in filename:
        raise DatasetError(f"{where}: filename {cell!r} is not a path below the manifest's folder")
    return filename


class _Places:
    """Find a manifest's files in any Unicode form; only folders that the manifest names are listed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listed: dict[str, Names] = {}

    def find(self, path: str) -> str | None:
        """Return the file that a path means; None if it does not exist."""
        if not self._store.remote and os.path.isfile(self._store.join(path)):
            return path
        folder = ""
        for part in path.split("/"):
            if folder not in self._listed:
                self._listed[folder] = Names(self._store.names_in(folder))
            name = self._listed[folder].find(part)
            if name is None:
                return None
            folder = posixpath.join(folder, name)
        return folder
