"""Read the clips of the challenge's ``metadata.json`` files, one in the root or one in each part."""

from __future__ import annotations

import json
import logging
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from extract.entries import OR, ClipEntry, described, named, slashed
from extract.file_names import Names, Namesakes, has_clip_suffix, suffix_of
from extract.file_store import Store
from features.errors import DatasetError, without_credentials

logger = logging.getLogger(__name__)

METADATA = "metadata.json"
SAID = ("label", "group", "source", "original", "method", "forged")  # fields that an entry sets


def with_metadata(store: Store, names: Sequence[str], listed: Iterable[ClipEntry]) -> list[ClipEntry]:
    """Return the clips of a folder described by its ``metadata.json`` files, with files that only these name.

    Parameters
    ----------
    names
        Names of all files of the folder.
    listed
        The clips found by their suffix.

    Raises
    ------
    DatasetError
        A file is not such JSON, a label is neither REAL nor FAKE, or two entries give a clip different labels.
    """
    shown = without_credentials(store.url)
    tables = [name for name in names if posixpath.basename(name) == METADATA]
    clips = {clip.filename: clip for clip in listed}
    entries = [_Entry(table, *entry) for table in tables for entry in _entries_of(store, table).items()]
    labelled: dict[str, str] = {}  # file name to the place of its label
    found = _files_of(entries, Names(names), clips, shown)
    for entry, filename in found:
        where = f"{store.join(entry.table)}, entry {entry.name!r}"
        clip = _of_entry(entry, ClipEntry(filename, store.join(filename)), where)
        known = clips.get(filename, clip)
        if clip.label and known.label not in {None, clip.label}:
            raise DatasetError(
                f"{where}: {filename} is {clip.label}, and {known.label} by {labelled[filename]}; fix one of them"
            )
        clips[filename] = _joined(known, clip)
        if clip.label:
            labelled[filename] = where
    if absent := len(entries) - len(found):
        logger.warning("%s: metadata names %d missing clips; they are left out", shown, absent)
    if entries and not labelled:
        logger.warning('%s: no entry of metadata.json has a label; write {"label": "REAL"} or "FAKE"', shown)
    return list(clips.values())


class _Entry(NamedTuple):
    """The entry of one clip in a ``metadata.json``."""

    table: str
    name: str
    says: dict[str, Any]

    @property
    def path(self) -> str:
        """Path of the clip as the entry names it."""
        return slashed(self.name)

    @property
    def folder(self) -> str:
        """Folder of the ``metadata.json``."""
        return posixpath.dirname(self.table)


def _files_of(entries: Sequence[_Entry], present: Names, clips: Iterable[str], data: str) -> list[tuple[_Entry, str]]:
    """Return the entries whose file exists, with the file.

    A table without any file at its paths may name the clips of all parts. Files found by name come first, so that an
    entry with the exact path of a clip overrides them.
    """
    at_path = [(entry, present.find(posixpath.join(entry.folder, entry.path))) for entry in entries]
    with_files = {entry.table for entry, file in at_path if file is not None}
    lost = [entry for entry, file in at_path if file is None]
    namesakes = Namesakes(clips, [entry.path for entry in lost])
    called_so = [(entry, file) for entry in lost if (file := _only_one(namesakes, entry)) is not None]
    elsewhere = [(entry, file) for entry, file in called_so if entry.table not in with_files]
    if unused := [(entry, file) for entry, file in called_so if entry.table in with_files]:
        entry, file = unused[0]
        logger.warning(
            "%s: metadata names %d missing clips, while files of that name are elsewhere (%s, but %s, ...); these get "
            "no label from it; give paths if they are meant",
            data, len(unused), entry.name, file
        )  # fmt: skip
    if elsewhere:
        entry, file = elsewhere[0]
        logger.warning(
            "%s: metadata names %d clips that lie elsewhere below it (%s is %s, ...); give paths if others are meant",
            data, len(elsewhere), entry.name, file
        )  # fmt: skip
    return elsewhere + [(entry, file) for entry, file in at_path if file is not None]


def _only_one(namesakes: Namesakes, entry: _Entry) -> str | None:
    """Return the only clip below a table's folder whose path ends in the entry's path and suffix; None for several."""
    files = namesakes.below(entry.folder, entry.path)
    if has_clip_suffix(entry.path):
        files = [name for name in files if suffix_of(name) == suffix_of(entry.path)]
    return files[0] if len(files) == 1 else None


def _of_entry(entry: _Entry, clip: ClipEntry, where: str) -> ClipEntry:
    says = {key.strip().lower(): value for key, value in entry.says.items()}
    originals = says.get("original")
    paths = [slashed(named(cell)) for cell in (originals if isinstance(originals, list) else [originals])]
    return replace(
        clip,
        source=named(says.get("source")) or entry.folder or None,
        original=OR.join(posixpath.normpath(posixpath.join(entry.folder, path)) for path in paths if path),
        **described(says, where),
    )


def _joined(first: ClipEntry, second: ClipEntry) -> ClipEntry:
    """Merge two entries of one clip; the second overrides the first."""
    said = {name: getattr(second, name) for name in SAID if getattr(second, name)}
    return replace(first, **said)


def _entries_of(store: Store, table: str) -> dict[str, dict[str, Any]]:
    where = store.join(table)
    text = store.read(table)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"{where}: not valid JSON ({error}); download it again or remove it") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DatasetError(f'{where}: expected {{"clip.mp4": {{"label": ...}}}}; fix it or remove it')
    return content
