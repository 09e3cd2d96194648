"""Folds of the labelled clips and held-out groups of the stills; the file that says who was held out where.

``clip_folds.csv`` gives for each clip the fold whose networks never saw it, and the label that the others were trained
with: a clip of a real picture and a synthetic voice is FAKE in a data set, and REAL to a network of pictures.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from extract.dataset import Clip
from features.errors import DatasetError
from training.manifest import forged_picture, method_family, origin

COLUMNS = ("filename", "fold", "fake")
HOLDOUT_SHARE = 0.055  # of the stills, in whole groups: about 1,500
N_FOLDS = 3


class FoldAssignment(NamedTuple):
    """Fold of a clip, and its training label; None where a file does not say it."""

    fold: int
    fake: bool | None = None


def write(file: Path, assignments: Mapping[str, FoldAssignment]) -> None:
    """Write the file, sorted by filename."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        table.writerow(COLUMNS)
        for name, (fold, fake) in sorted(assignments.items()):
            table.writerow((name, fold, "" if fake is None else int(fake)))


def read(file: Path) -> dict[str, FoldAssignment]:
    """Assignment of each filename; the column ``fake`` may be missing.

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


def holdout_groups(groups: NDArray[Any], seed: int) -> frozenset[str]:
    """Groups, chosen at random, that together hold ``HOLDOUT_SHARE`` of the rows; ``groups`` [n] are names."""
    names, counts = np.unique(groups.astype(str), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(counts[order]), HOLDOUT_SHARE * len(groups)))
    return frozenset(names[order[: enough + 1]].tolist())


def groups_of_fold(groups: NDArray[Any], fold: int, n_folds: int) -> frozenset[str]:
    """The groups of one of ``n_folds`` folds of about as many rows each.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        Name of the group of each row.
    fold
        Counted from 1.
    n_folds
        2 or more, and at most the number of groups.
    """
    from sklearn.model_selection import GroupKFold

    splits = [*GroupKFold(n_folds).split(groups, groups=groups.astype(str))]
    return frozenset(groups[splits[fold - 1][1]].astype(str).tolist())


def assign_folds(clips: Sequence[Clip], n_folds: int = N_FOLDS, *, whole_methods: bool = True) -> dict[str, int]:
    """Fold of each clip, counted from 0, by filename, such that no group is in two folds.

    ``whole_methods``: no family of manipulations is, either. Connected components of group and FAKE family then go,
    largest number of forged pictures first, to the fold that has fewest; components without a forged picture to where
    their source already is, else to the fold with fewest REAL clips, so that sources too are held out whole where the
    groups allow it. Without it, methods and sources are spread.
    """
    components = _components(clips, whole_methods=whole_methods)
    n_forged = {name: sum(map(forged_picture, members)) for name, members in components.items()}
    fold_of: dict[str, int] = {}
    n_fake, sources = [0] * n_folds, [Counter[str]() for _ in range(n_folds)]
    for name in sorted(components, key=lambda key: (-n_forged[key], -len(components[key]), key)):
        members = components[name]
        own = Counter(origin(clip) for clip in members if clip.label == "REAL")
        if n_forged[name]:
            fold = int(np.argmin(n_fake))
        else:
            shared = [sum(have[source] for source in own) for have in sources]
            together = whole_methods and max(shared) > 0
            fold = int(np.argmax(shared)) if together else int(np.argmin([have.total() for have in sources]))
        n_fake[fold] += n_forged[name]
        sources[fold] += own
        fold_of |= {clip.filename: fold for clip in members}
    return fold_of


def _components(clips: Sequence[Clip], *, whole_methods: bool) -> dict[str, list[Clip]]:
    """Clips by the first name of their component of groups and, if asked, families of manipulations."""
    links = DisjointSet()
    for clip in clips:
        group = f"group {clip.group}"
        links.add(group)
        if whole_methods and clip.label == "FAKE":
            family = f"method {method_family(clip.method)}"
            links.add(family)
            links.merge(group, family)
    name_of = {member: min(subset) for subset in links.subsets() for member in subset}
    components: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        components[name_of[f"group {clip.group}"]].append(clip)
    return components
