"""Find the clips of a data set, with labels and groups.

Three layouts are read, from a local path or any fsspec URL:

- the challenge's: folders with a ``metadata.json`` (``{"a.mp4": {"label": "FAKE", "original": "b.mp4"}}``);
- a plain folder of clips, searched recursively; labels are unknown;
- a CSV manifest with a column ``filename`` and any of ``label``, ``group``, ``original``, ``source``, ``method``,
  ``fake_part``; or a single clip.

``metadata.json`` and manifests have the same fields. ``label`` is REAL or FAKE, 0 or 1, true or false. ``method`` names
how a FAKE clip was made, and ``fake_part`` which part is forged: "picture" (the video), "voice" (synthetic speech), or
both.
``original`` is the path of the clip that a FAKE clip was made from, or the end of that path, with or without suffix.
``group`` marks clips that must share a fold: the connected component of the ``original`` links and the given groups.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from extract.entries import ClipEntry
from extract.file_names import AUDIO_SUFFIXES, Names, is_companion, is_video, name_of, suffix_of
from extract.file_store import Store, first_url, folder_and_name
from extract.groups import grouped
from extract.manifest import clips_of_manifest
from extract.metadata import with_metadata
from features.errors import DatasetError, NotFoundError, without_credentials

logger = logging.getLogger(__name__)

N_ENDINGS = 5  # number of endings that a warning names


def find_clips(
    data: str, storage_options: dict[str, Any] | None = None, *, wanted: Iterable[str] = ()
) -> list[ClipEntry]:
    """Return the clips of a data set, each once, sorted by filename.

    Parameters
    ----------
    data
        Path or URL of a folder, a manifest or a clip.
    storage_options
        Options of fsspec for URLs.
    wanted
        Files of the folder that count as clips whatever their suffix.

    Raises
    ------
    NotFoundError
        The path or URL does not exist.
    DatasetError
        It contains no clip, or the folder, a manifest or a metadata file can't be read or contradicts another.
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
    return grouped(sorted(clips, key=lambda clip: clip.filename), without_credentials(data))


def _of_file(data: str, store: Store, storage_options: dict[str, Any] | None) -> list[ClipEntry]:
    filename = name_of(first_url(data))
    if is_video(filename) or suffix_of(filename) in AUDIO_SUFFIXES:
        return [ClipEntry(filename, store.url)]
    folder, name = folder_and_name(data)
    return clips_of_manifest(data, Store(folder, storage_options), name)


def _of_folder(store: Store, wanted: Sequence[str]) -> list[ClipEntry]:
    names = store.list()
    clips = with_metadata(store, names, _by_name(store, names, wanted))
    _warn_of_others(store, names, clips)
    return clips


def _warn_of_others(store: Store, names: Iterable[str], clips: Iterable[ClipEntry]) -> None:
    """Warn of files that are not clips by their suffix, except files that usually accompany clips."""
    taken = {clip.filename for clip in clips}
    others = Counter(suffix_of(name) or "no ending" for name in names if name not in taken and not is_companion(name))
    if not others:
        return
    endings = ", ".join(f"{ending}: {count}" for ending, count in others.most_common(N_ENDINGS))
    more = ", ..." if len(others) > N_ENDINGS else ""
    logger.warning(
        "%s: %d files are skipped, since clips have other endings (%s%s); name them in a manifest to measure them",
        without_credentials(store.url), others.total(), endings, more
    )  # fmt: skip


def _utf8(clip: ClipEntry) -> ClipEntry:
    r"""Escape bytes of file names that are not UTF-8, which a table can't hold, as ``\xe9``."""
    names = ("filename", "group", "source", "original", "method")
    changed: dict[str, Any] = {
        name: readable for name in names if (readable := _readable(text := getattr(clip, name))) != text
    }
    return replace(clip, **changed) if changed else clip


def _readable(text: str | None) -> str | None:
    return text if not text or text.isascii() else os.fsencode(text).decode("utf-8", "backslashreplace")


def _check_names_differ(data: str, clips: Iterable[ClipEntry]) -> None:
    r"""Refuse two files with one escaped name, such as ``\xff`` as text and as a byte: they would share one row."""
    name, count = Counter(clip.filename for clip in clips).most_common(1)[0]
    if count > 1:
        raise DatasetError(f"{data}: {count} files have the name {name} in a table; rename all but one")


def _by_name(store: Store, names: Iterable[str], wanted: Iterable[str]) -> list[ClipEntry]:
    """Return files with the suffix of a clip, and those ``wanted`` by name."""
    present = Names(names)
    chosen = {name for name in names if is_video(name)} | {present.find(name) for name in wanted}
    return [ClipEntry(name, store.join(name)) for name in names if name in chosen]
