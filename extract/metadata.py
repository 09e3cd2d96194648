"""Clips as the challenge's ``metadata.json`` describes them, one file in the root or one in each part."""

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
from features.errors import DatasetError

logger = logging.getLogger(__name__)

METADATA = "metadata.json"
SAID = ("label", "group", "source", "original", "method", "forged")  # of a clip, by an entry


def with_metadata(store: Store, names: Sequence[str], listed: Iterable[ClipEntry]) -> list[ClipEntry]:
    """The clips of a folder as every ``metadata.json`` in it describes them, and files that only these call clips.

    Parameters
    ----------
    names
        Of all files of the folder.
    listed
        The clips, by the endings of their names.

    Raises
    ------
    DatasetError
        A file is no such JSON, a label is neither REAL nor FAKE, or two entries give a clip different ones.
    """
    tables = [name for name in names if posixpath.basename(name) == METADATA]
    clips = {clip.filename: clip for clip in listed}
    entries = [_Entry(table, *entry) for table in tables for entry in _entries_of(store, table).items()]
    labelled: dict[str, str] = {}  # file name to the place of its label
    found = _files_of(entries, Names(names), clips, store.url)
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
        return slashed(self.name)

    @property
    def folder(self) -> str:
        """Where the table lies."""
        return posixpath.dirname(self.table)


def _files_of(entries: Sequence[_Entry], present: Names, clips: Iterable[str], data: str) -> list[tuple[_Entry, str]]:
    """The entries whose file is there, with it; a table that has none at its path may name the clips of all parts.

    What is found so comes first, so that an entry with the path of a clip says the last word on it.
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
            "%s: metadata names %d clips that are not there, but others of that name elsewhere (%s, but %s, ...); "
            "these get no label from it; give paths if they are meant",
            data, len(unused), entry.name, file
        )  # fmt: skip
    if elsewhere:
        entry, file = elsewhere[0]
        logger.warning(
            "%s: metadata names %d clips that lie elsewhere below it (%s is %s, ...); if these are others, give paths",
            data, len(elsewhere), entry.name, file
        )  # fmt: skip
    return elsewhere + [(entry, file) for entry, file in at_path if file is not None]


def _only_one(namesakes: Namesakes, entry: _Entry) -> str | None:
    """The one clip below a table's folder that ends in the entry's path, with its suffix if that has one."""
    found = namesakes.below(entry.folder, entry.path)
    if has_clip_suffix(entry.path):
        found = [name for name in found if suffix_of(name) == suffix_of(entry.path)]
    return found[0] if len(found) == 1 else None


def _of_entry(entry: _Entry, clip: ClipEntry, where: str) -> ClipEntry:
    says = {key.strip().lower(): value for key, value in entry.says.items()}
    originals = says.get("original")
    named_ones = [slashed(named(one)) for one in (originals if isinstance(originals, list) else [originals])]
    return replace(
        clip,
        source=named(says.get("source")) or entry.folder or None,
        original=OR.join(posixpath.normpath(posixpath.join(entry.folder, one)) for one in named_ones if one),
        **described(says, where),
    )


def _joined(first: ClipEntry, second: ClipEntry) -> ClipEntry:
    """What two entries say of one clip; where both say it, the second."""
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
