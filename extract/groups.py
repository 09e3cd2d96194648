"""Group clips that must share a fold: clips with a common original, given group, or file (hard or symbolic links)."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from extract.entries import OR, ClipEntry
from extract.file_names import Names, Namesakes, endings_of, form

logger = logging.getLogger(__name__)

# placeholders for a missing original
NO_ORIGINAL = frozenset({"real", "fake", "true", "false", "-", "?", "original", "unknown"})
FLAGS = frozenset({"0", "1", "0.0", "1.0"})  # placeholders also, unless clips are numbered
NUMBERS = re.compile(r"[\d.;,| ]+")


class Components:
    """Connected components of nodes that are joined one pair at a time. A node is a pair of a kind and a name."""

    def __init__(self) -> None:
        self._towards: dict[tuple[str, str], tuple[str, str]] = {}

    def of(self, node: tuple[str, str]) -> tuple[str, str]:
        """Return the node that stands for the component of ``node``, which is added if it is new."""
        passed = []
        while (onwards := self._towards.setdefault(node, node)) != node:
            passed.append(node)
            node = onwards
        self._towards.update(dict.fromkeys(passed, node))
        return node

    def join(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """Make the components of both nodes one."""
        self._towards[self.of(one)] = self.of(other)


def grouped(clips: list[ClipEntry], data: str) -> list[ClipEntry]:
    """Return the clips with ``group`` set to the connected component of originals, given groups and shared files.

    A component is named after its first given group; else after the first of its originals as the data set names them,
    which is the same in every part of a manifest; else after its first clip.
    """
    links = Components()
    for clip in clips:
        if clip.group:
            _link(links, clip, ("group", clip.group))
    _link_names_of_one_file(links, clips, data)
    named_by = _link_originals(links, clips, data)
    original: dict[Any, str] = {}
    for clip, name in named_by:
        root = links.of(("clip", clip.filename))
        original[root] = min(name, original.get(root, name))
    given: dict[Any, str] = {}
    first: dict[Any, str] = {}
    for clip in clips:
        root = links.of(("clip", clip.filename))
        first.setdefault(root, clip.filename)
        if clip.group:
            given.setdefault(root, clip.group)
    name_of = first | original | given
    return [replace(clip, group=name_of[links.of(("clip", clip.filename))]) for clip in clips]


def _link(links: Components, clip: ClipEntry, node: tuple[str, str]) -> None:
    links.join(("clip", clip.filename), node)


def _link_names_of_one_file(links: Components, clips: Iterable[ClipEntry], data: str) -> None:
    """Join clips that are links to one file: otherwise a model could be trained and scored on the same file."""
    first: dict[tuple[int, ...], ClipEntry] = {}
    others: list[tuple[ClipEntry, ClipEntry]] = []
    for clip in clips:
        if "://" in clip.path:
            continue
        with contextlib.suppress(OSError, ValueError):  # the row reports it
            status = os.stat(clip.path)
            known = first.setdefault((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), clip)
            if known is not clip:
                others.append((clip, known))
    for clip, known in others:
        _link(links, clip, ("clip", known.filename))
    if others:
        clip, known = others[0]
        logger.warning(
            "%s: %d clips are second names of other clips' files (%s is %s); they share a group, but count twice",
            data, len(others), clip.filename, known.filename
        )  # fmt: skip


def _link_originals(links: Components, clips: Sequence[ClipEntry], data: str) -> list[tuple[ClipEntry, str]]:
    """Join clips with their originals and with clips of the same original; return clips with original names."""
    originals = _Originals(clips)
    named_by: list[tuple[ClipEntry, str]] = []
    lacking: list[ClipEntry] = []
    ambiguous: dict[str, int] = {}
    for clip in clips:
        found = originals.of(clip)
        for name, files in found:
            for file in files:
                _link(links, clip, ("clip", file))
            if originals.is_common(name):  # other clips with that name have another original
                named_by += [(clip, file) for file in files]
            elif files or originals.may_be(name):
                _link(links, clip, ("original", endings_of(name)[0]))
                named_by.append((clip, name))
            if len(files) > 1:
                ambiguous[name] = len(files)
        if clip.label == "FAKE" and found and not any(files for _, files in found):
            lacking.append(clip)
    _warn_of_originals(data, clips, lacking, ambiguous)
    return named_by


def _warn_of_originals(
    data: str, clips: Iterable[ClipEntry], lacking: Sequence[ClipEntry], ambiguous: Mapping[str, int]
) -> None:
    if lacking:
        n_fakes = sum(clip.label == "FAKE" and bool(clip.original) for clip in clips)
        logger.warning(
            "%s: originals of %d of %d FAKE clips are not among the clips (%s, ...); if they are, give the names that "
            "they have here, or they may be split across folds", data, len(lacking), n_fakes, lacking[0].original
        )  # fmt: skip
    if ambiguous:
        name = min(ambiguous)
        logger.warning(
            "%s: %d originals may be several clips each (%s: %d), which share a group; give paths to tell them apart",
            data, len(ambiguous), name, ambiguous[name]
        )  # fmt: skip


class _Originals:
    """Find the originals of clips, named by path, by the end of a path, or by a name without suffix."""

    def __init__(self, clips: Sequence[ClipEntry]) -> None:
        self._no_original = NO_ORIGINAL if _are_numbered(clips) else NO_ORIGINAL | FLAGS
        self._fakes = {clip.filename for clip in clips if clip.label == "FAKE"}
        self._names = Names(clip.filename for clip in clips)
        cells = {clip.original for clip in clips} - {""}
        searched = [name for cell in cells for name in (cell, *_several(cell))]
        self._genuine = Namesakes((clip.filename for clip in clips if clip.filename not in self._fakes), searched)
        self._forged = Namesakes(self._fakes, searched)

    def of(self, clip: ClipEntry) -> list[tuple[str, list[str]]]:
        """Return each original of a clip as named, with all clips that it may mean: all of them must share a fold."""
        names = [clip.original] if self._is_one(clip.original) else _several(clip.original)
        return [(form(name), self._files(name, clip)) for name in names if endings_of(name)]

    def may_be(self, name: str) -> bool:
        """Return whether a name is not a placeholder."""
        return name.lower() not in self._no_original

    def is_common(self, name: str) -> bool:
        """Return whether so many clips have the name that it only means a file near the clip that names it."""
        return self._names.find(name) is None and self._genuine.is_common(name)

    def _is_one(self, cell: str) -> bool:
        """Return whether a cell with separators is a single name."""
        return bool(self._names.find(cell) or self._genuine.ending_in(cell) or self._forged.ending_in(cell))

    def _files(self, name: str, clip: ClipEntry) -> list[str]:
        """Return the clip at that path; if FAKE or missing, the clips whose path ends in it, genuine ones first."""
        exact = self._names.find(name)
        if exact is not None and exact not in self._fakes:
            return [exact]
        files = self._genuine.of(name, clip.filename) or self._forged.of(name, clip.filename)
        return sorted({*files, *filter(None, [exact])} - {clip.filename})


def _are_numbered(clips: Iterable[ClipEntry]) -> bool:
    """Return whether originals are numbers: those of all FAKE clips are, and not only zeros or only ones.

    Otherwise a zero or one is a placeholder for a missing original, or a flag whether the clip is an original.
    """
    cells = {clip.original.lower() for clip in clips if clip.label == "FAKE"} - {"", *NO_ORIGINAL}
    return all(map(NUMBERS.fullmatch, cells)) and (len(cells) > 1 or not cells <= FLAGS)


def _several(originals: str) -> list[str]:
    """Split a cell that may hold several names."""
    names = originals.split(OR) if OR in originals else re.split("[;,]", originals)
    return [name.strip() for name in names if name.strip()]
