"""``clip_folds.csv``: by clip, the fold whose networks never saw it, and as what the others learned it.

A clip of a real picture and a made voice is FAKE in a data set, and still REAL to what learned from pictures.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError
from training.manifest import method_family

COLUMNS = ("filename", "fold", "fake")


class FoldAssignment(NamedTuple):
    """``fake`` is what the clip was learned as; None where a file does not say it."""

    fold: int
    fake: bool | None = None


def write(file: Path, places: Mapping[str, FoldAssignment]) -> None:
    """Write the file, sorted by filename."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        table.writerow(COLUMNS)
        for name, (fold, fake) in sorted(places.items()):
            table.writerow((name, fold, "" if fake is None else int(fake)))


def read(file: Path) -> dict[str, FoldAssignment]:
    """The place of each filename; the column ``fake`` may be missing.

    Raises
    ------
    DatasetError
        The file is missing or is no CSV of ``filename,fold``.
    """
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            return {
                row["filename"]: FoldAssignment(int(row["fold"]), bool(int(row["fake"])) if row.get("fake") else None)
                for row in csv.DictReader(opened)
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{file} is no CSV of filename,fold; give the clip_folds.csv that the training wrote"
        ) from error


HOLDOUT_SHARE = 0.055  # of the stills, in whole groups: about 1,500


N_FOLDS = 3


def holdout_groups(groups: NDArray[Any], seed: int) -> frozenset[str]:
    """Groups, drawn at random, that together hold ``HOLDOUT_SHARE`` of the rows."""
    names, counts = np.unique(groups.astype(str), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(counts[order]), HOLDOUT_SHARE * len(groups)))
    return frozenset(names[order[: enough + 1]].tolist())


def part_of_groups(groups: NDArray[Any], part: int, n_parts: int) -> frozenset[str]:
    """The groups of one of ``n_parts`` parts, counted from 1, of about as many rows each."""
    from sklearn.model_selection import GroupKFold

    splits = [*GroupKFold(n_parts).split(groups, groups=groups.astype(str))]
    return frozenset(groups[splits[part - 1][1]].astype(str).tolist())


def assign_folds(clips: list[dict[str, str]], n_folds: int = N_FOLDS, *, whole_methods: bool = True) -> dict[str, int]:
    """Fold of each clip of a manifest, such that no group is in two folds.

    ``whole_methods``: no family of forgeries is, either. Connected components of group and FAKE family then go, largest
    number of forged pictures first, to the fold that has fewest; components without a forged picture to where their
    source already is, else to the fold with fewest REAL clips, so that sources too are held out whole where the groups
    allow it. Without it, methods and sources are spread.
    """
    parts = _components(clips, whole_methods=whole_methods)
    forged = {name: sum(_forged(clip) for clip in part) for name, part in parts.items()}
    fold_of: dict[str, int] = {}
    n_fake, sources = [0] * n_folds, [Counter[str]() for _ in range(n_folds)]
    for name in sorted(parts, key=lambda one: (-forged[one], -len(parts[one]), one)):
        part = parts[name]
        own = Counter(clip["method"] for clip in part if clip["label"] == "REAL")
        if forged[name]:
            fold = int(np.argmin(n_fake))
        else:
            shared = [sum(have[source] for source in own) for have in sources]
            together = whole_methods and max(shared) > 0
            fold = int(np.argmax(shared)) if together else int(np.argmin([have.total() for have in sources]))
        n_fake[fold] += forged[name]
        sources[fold] += own
        fold_of |= {clip["filename"]: fold for clip in part}
    return fold_of


def _forged(clip: dict[str, str]) -> bool:
    return clip["label"] == "FAKE" and clip.get("fake_part") != "voice"


def _components(clips: list[dict[str, str]], *, whole_methods: bool) -> dict[str, list[dict[str, str]]]:
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for clip in clips:
        if clip["label"] == "FAKE" and whole_methods:
            parent[root(f"method {method_family(clip['method'])}")] = root(f"group {clip['group']}")
    parts: dict[str, list[dict[str, str]]] = defaultdict(list)
    for clip in clips:
        parts[root(f"group {clip['group']}")].append(clip)
    return parts
