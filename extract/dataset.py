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

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from extract.entries import ClipEntry
from extract.file_names import SOUND_SUFFIXES, Names, is_companion, is_video, suffix_of
from extract.file_store import Store, folder_and_name
from extract.groups import grouped
from extract.manifest import clips_of_manifest
from extract.metadata import with_metadata
from features.errors import DatasetError, NotFoundError, without_credentials
from features.places import without_query

logger = logging.getLogger(__name__)

N_ENDINGS = 5  # that a warning names


def find_clips(
    data: str, storage_options: dict[str, Any] | None = None, *, wanted: Iterable[str] = ()
) -> list[ClipEntry]:
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
        store.check_is_there()
        suffixes = ".mp4, .mov, .avi, .mkv, .webm"
        raise DatasetError(f"{data}: no clip in it; clips are files that end in {suffixes} or the like")
    clips = [_utf8(clip) for clip in clips]
    _check_names_differ(data, clips)
    return grouped(sorted(clips, key=lambda clip: clip.filename), data)


def _of_file(data: str, store: Store, storage_options: dict[str, Any] | None) -> list[ClipEntry]:
    folder, name = folder_and_name(data)
    filename = name.partition("?")[0] if without_query(data) != data else name
    if is_video(filename) or suffix_of(filename) in SOUND_SUFFIXES:
        return [ClipEntry(filename, store.url)]
    return clips_of_manifest(data, Store(folder, storage_options), name)


def _of_folder(store: Store, wanted: Sequence[str]) -> list[ClipEntry]:
    names = store.list()
    clips = with_metadata(store, names, _by_name(store, names, wanted))
    _warn_of_others(store, names, clips)
    return clips


def _warn_of_others(store: Store, names: Iterable[str], clips: Iterable[ClipEntry]) -> None:
    """Say how many files are no clips by their names, but for those that lie beside clips."""
    taken = {clip.filename for clip in clips}
    others = Counter(suffix_of(name) or "no ending" for name in names if name not in taken and not is_companion(name))
    if not others:
        return
    endings = ", ".join(f"{ending}: {count}" for ending, count in others.most_common(N_ENDINGS))
    more = ", ..." if len(others) > N_ENDINGS else ""
    logger.warning(
        "%s: %d files are passed over, since clips have other endings (%s%s); name them in a manifest to measure them",
        without_credentials(store.url), others.total(), endings, more
    )  # fmt: skip


def _utf8(clip: ClipEntry) -> ClipEntry:
    r"""Named as a table can hold it: bytes of a file's name that are no UTF-8 become ``\xe9`` and the like."""
    names = ("filename", "group", "source", "original", "method")
    changed: dict[str, Any] = {
        name: readable for name in names if (readable := _readable(text := getattr(clip, name))) != text
    }
    return replace(clip, **changed) if changed else clip


def _readable(text: str | None) -> str | None:
    return text if not text or text.isascii() else os.fsencode(text).decode("utf-8", "backslashreplace")


def _check_names_differ(data: str, clips: Iterable[ClipEntry]) -> None:
    r"""Refuse two files of one printed name, as ``\xff`` spelled out and as a byte: a row would stand for both."""
    name, count = Counter(clip.filename for clip in clips).most_common(1)[0]
    if count > 1:
        raise DatasetError(f"{data}: {count} files have the name {name} in a table; rename all but one")


def _by_name(store: Store, names: Iterable[str], wanted: Iterable[str]) -> list[ClipEntry]:
    """Clips by the endings of their names, and the files that are ``wanted`` by name."""
    present = Names(names)
    chosen = {name for name in names if is_video(name)} | {present.find(name) for name in wanted}
    return [ClipEntry(name, store.join(name)) for name in names if name in chosen]
