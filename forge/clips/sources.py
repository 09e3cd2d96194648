"""Select the real clips to forge, the names of their files, and their possible donors.

Donors of faces and voices come from a clip's donor pool: a few groups that stay together in any split, so that a
forgery is always in the same fold as all people that it shows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from extract.dataset import find_clips
from extract.entries import ClipEntry
from features.errors import DatasetError, InputError
from forge.clips.registry import kinds
from forge.clips.write import check_writable

logger = logging.getLogger(__name__)

POOL_GROUPS = 4  # groups per donor pool
PART_SIZE = 200  # real clips per part
MAX_NAME_BYTES = 180  # longest name of a clip, so that a suffix fits into 255 bytes


@dataclass(frozen=True)
class Source:
    """A real clip to forge from."""

    path: str
    filename: str
    """Name in the data set."""
    name: str
    """Stem of its files in the new data set, which do not clash with those of other sources."""
    part: str
    """Folder of the new data set."""
    group: str
    """Name of its donor pool."""
    donors: tuple[str, ...]
    """Paths of the clips of other groups of the pool."""
    number: int
    """Position among the sources; with the seed, it determines all random numbers."""


def find_sources(real: str, seed: int) -> list[Source]:
    """Return the clips of a data set that are not labelled FAKE; the seed determines the donor pools.

    Raises
    ------
    DatasetError
        There is no clip, or all clips are labelled FAKE.
    """
    clips = [clip for clip in find_clips(real) if clip.label != "FAKE"]
    if not clips:
        raise DatasetError(f"{real}: all of its clips are labelled FAKE; give real clips to forge")
    pools = donor_pools(clips, seed)
    names = unique_names([PurePosixPath(clip.filename).stem for clip in clips])
    return [
        Source(
            path=clip.path,
            filename=clip.filename,
            name=name,
            part=f"dfdc_train_part_{number // PART_SIZE}",
            group=pools[clip.group],
            donors=tuple(c.path for c in clips if c.group != clip.group and pools[c.group] == pools[clip.group]),
            number=number,
        )
        for number, (clip, name) in enumerate(zip(clips, names, strict=True))
    ]


def donor_pools(clips: Sequence[ClipEntry], seed: int) -> dict[str, str]:
    """Assign groups at random to donor pools ``pool0``, ``pool1``, ... of :data:`POOL_GROUPS` groups each."""
    groups = sorted({clip.group for clip in clips})
    order = np.random.default_rng(seed).permutation(len(groups))
    return {groups[place]: f"pool{number // POOL_GROUPS}" for number, place in enumerate(order)}


def unique_names(stems: Sequence[str]) -> list[str]:
    """Return names such that files made from different clips never have the same name, for any kinds.

    Examples
    --------
    >>> unique_names(["x", "x", "x__self_blend", "y"])
    ['x', 'x-1', 'x__self_blend-1', 'y']
    """
    taken: set[str] = set()
    names = []
    for stem in stems:
        short = stem.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
        name, count = short, 0
        while (files := _files(name)) & taken:
            count += 1
            name = f"{short}-{count}"
        taken |= files
        names.append(name)
    renamed = [(stem, name) for stem, name in zip(stems, names, strict=True) if stem != name]
    if renamed:
        stem, name = renamed[0]
        logger.warning(
            "%d clips are renamed, because another clip has a file of that name (the first: %s becomes %s); "
            "metadata.json has their sources", len(renamed), stem, name
        )  # fmt: skip
    return names


def _files(name: str) -> frozenset[str]:
    """Return the stems of all files of a source, case-folded: some file systems ignore case."""
    made = [name, *(f"{name}__{kind}" for kind in kinds())]
    return frozenset(file.casefold() for file in (*made, *(f"{stem}__reencode" for stem in made)))


def check_target(real: str, out: Path, sources: Sequence[Source]) -> None:
    """Make the folder ``out``, and check that it can be written and that no real clip could be overwritten.

    A folder with clips of an earlier forge is refused: their metadata would be replaced, and forgeries without labels
    would be read as genuine.

    Raises
    ------
    InputError
        ``out`` lies inside ``real``, holds one of its clips or the output of an earlier (even interrupted) forge, is a
        file or lies below one, or can't be written.
    """
    target = out.resolve()
    if "://" not in real:
        inside = target.is_relative_to(Path(real).resolve())
        if inside or any(Path(source.path).resolve().is_relative_to(target) for source in sources):
            raise InputError(f"{out} must not lie inside {real}, nor hold its clips; give a separate folder")
    if out.is_dir() and any((*out.glob("manifest.csv"), *out.glob("dfdc_train_part_*/*"))):
        raise InputError(f"{out} already holds clips or a manifest; give a new folder")
    check_writable(out)
