"""Which real clips are forged, what their files will be called, and which of them may be donors.

Donors of faces and voices come from a clip's own donor pool: a few groups that stay together in any split, so that a
forgery is never parted from a person whom it shows.
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

POOL_GROUPS = 4  # groups of a donor pool
PART_SIZE = 200  # real clips a part
MAX_NAME_BYTES = 180  # of a clip's name: what is appended must fit into 255


@dataclass(frozen=True)
class Source:
    """A real clip to forge from."""

    path: str
    filename: str
    """As the data set names it."""
    name: str
    """Of its files in the new data set, without suffix; no other source's files clash with them."""
    part: str
    """Folder of the new data set."""
    group: str
    """Its donor pool."""
    donors: tuple[str, ...]
    """Paths of the clips of other groups of the pool."""
    number: int
    """Position among the sources: with the seed, what all random numbers follow from."""


def find_sources(real: str, seed: int) -> list[Source]:
    """The clips of a data set that are not labelled FAKE; the seed decides which groups form a pool.

    Raises
    ------
    DatasetError
        No clip is there, or all are labelled FAKE.
    """
    clips = [clip for clip in find_clips(real) if clip.label != "FAKE"]
    if not clips:
        raise DatasetError(f"{real}: all of its clips are labelled FAKE; forgeries are made of real ones")
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
    """Group to donor pool, at random: ``pool0``, ``pool1``, ... of :data:`POOL_GROUPS` groups each."""
    groups = sorted({clip.group for clip in clips})
    order = np.random.default_rng(seed).permutation(len(groups))
    return {groups[place]: f"pool{number // POOL_GROUPS}" for number, place in enumerate(order)}


def unique_names(stems: Sequence[str]) -> list[str]:
    """Names such that no file made of a clip has the name of a file made of another, whatever the kinds.

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
            "%d clips get another name, since a file of that name is made of another clip (the first: %s becomes %s); "
            "metadata.json holds their sources", len(renamed), stem, name
        )  # fmt: skip
    return names


def _files(name: str) -> frozenset[str]:
    """What may be made of a source, without suffix, in lower case: some file systems don't tell cases apart."""
    made = [name, *(f"{name}__{kind}" for kind in kinds())]
    return frozenset(file.casefold() for file in (*made, *(f"{one}__reencode" for one in made)))


def check_target(real: str, out: Path, sources: Sequence[Source]) -> None:
    """Make the folder ``out`` and see that it can be written, and that no real clip could be overwritten.

    Clips of an earlier forge would stay there without labels, since the metadata of the new one replaces theirs:
    whoever reads the folder next would take forgeries for genuine.

    Raises
    ------
    InputError
        ``out`` lies inside ``real`` or holds one of its clips, holds what an earlier forge wrote, also one that was
        stopped, is a file or below one, or can't be written.
    """
    target = out.resolve()
    if "://" not in real:
        inside = target.is_relative_to(Path(real).resolve())
        if inside or any(Path(source.path).resolve().is_relative_to(target) for source in sources):
            raise InputError(f"{out} must not lie inside {real}, nor hold its clips; give a folder of its own")
    if out.is_dir() and any((*out.glob("manifest.csv"), *out.glob("dfdc_train_part_*/*"))):
        raise InputError(f"{out} already holds clips or a manifest; give a new folder")
    check_writable(out)
