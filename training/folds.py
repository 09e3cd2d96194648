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

from extract.entries import ClipEntry
from features.errors import DatasetError
from training.manifest import forged_picture, method_family, origin

FILE = "clip_folds.csv"  # in the folder of a training
COLUMNS = ("filename", "fold", "fake")
FOLD_FILES = {
    "forensic_cnn": "fold{}.safetensors",
    "forensic_residual": "residual_fold{}.safetensors",
    "forensic_voice": "fold{}.safetensors",
    "cnn_embedding": "embedding_fold{}.safetensors",
}
"""By family: what the training of a network without one fold writes, and ``deepcue fit-projection`` beside it."""
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


def assign_folds(clips: Sequence[ClipEntry], n_folds: int = N_FOLDS, *, whole_methods: bool = True) -> dict[str, int]:
    """Fold of each clip, counted from 0, by filename.

    ``whole_methods``: a FAKE clip is in the fold of its family of manipulations, families in order of their number of
    forged pictures in the fold that has fewest; single pictures and clips are spread each by themselves. REAL clips
    follow the FAKE ones of their group, else their source, so that sources too are held out whole where groups allow
    it. Without it, whole groups are spread, methods and sources with them.

    What a network of a fold may not be trained on is more than the fold: :func:`held_out`.
    """
    fold_of = _folds_of_methods(clips, n_folds) if whole_methods else {}
    left = [clip for clip in clips if clip.filename not in fold_of]
    return fold_of | _folds_of_groups(left, clips, fold_of, n_folds, whole_sources=whole_methods)


def held_out(clips: Sequence[ClipEntry], fold_of: Mapping[str, int], fold: int | None) -> frozenset[str]:
    """What the network of a fold is not trained on: clips of the fold, and all others of the groups of these.

    Groups link methods (one face given to many generators): to keep both whole in one fold would leave a single fold.
    """
    groups = {clip.group for clip in clips if fold_of[clip.filename] == fold}
    return frozenset(clip.filename for clip in clips if clip.group in groups)


def _folds_of_methods(clips: Sequence[ClipEntry], n_folds: int) -> dict[str, int]:
    """Folds of the FAKE clips, by whole families; files and single pictures apart."""
    fold_of: dict[str, int] = {}
    fold_of_family: dict[str, int] = {}
    for with_file in (True, False):
        families: dict[str, list[ClipEntry]] = defaultdict(list)
        for clip in clips:
            if clip.label == "FAKE" and bool(clip.path) == with_file:
                families[method_family(clip.method)].append(clip)
        n_fake = [0] * n_folds
        for name, members in sorted(families.items(), key=lambda one: (-sum(map(forged_picture, one[1])), one[0])):
            fold = fold_of_family.setdefault(name, int(np.argmin(n_fake)))
            n_fake[fold] += sum(map(forged_picture, members))
            fold_of |= {clip.filename: fold for clip in members}
    return fold_of


def _folds_of_groups(
    left: Sequence[ClipEntry],
    clips: Sequence[ClipEntry],
    fold_of: Mapping[str, int],
    n_folds: int,
    *,
    whole_sources: bool,
) -> dict[str, int]:
    """Folds of the clips that are ``left``, by whole groups.

    A group goes where most of its clips are already; else one with forgeries to the fold that has fewest, and one
    without to the fold that shares most of its sources, or has fewest sources.
    """
    beside = _folds_beside(clips, fold_of)
    groups: dict[str, list[ClipEntry]] = defaultdict(list)
    for clip in left:
        groups[clip.group].append(clip)
    n_forged = {name: sum(map(forged_picture, members)) for name, members in groups.items()}
    n_fake, sources = [0] * n_folds, [Counter[str]() for _ in range(n_folds)]
    result: dict[str, int] = {}
    for name in sorted(groups, key=lambda key: (key not in beside, -n_forged[key], -len(groups[key]), key)):
        own = Counter(origin(clip) for clip in groups[name] if clip.label == "REAL")
        shared = [sum(have[source] for source in own) for have in sources]
        if name in beside:
            fold = beside[name]
        elif n_forged[name]:
            fold = int(np.argmin(n_fake))
        elif whole_sources and max(shared) > 0:
            fold = int(np.argmax(shared))
        else:
            fold = int(np.argmin([have.total() for have in sources]))
        n_fake[fold] += n_forged[name]
        sources[fold] += own
        result |= {clip.filename: fold for clip in groups[name]}
    return result


def _folds_beside(clips: Sequence[ClipEntry], fold_of: Mapping[str, int]) -> dict[str, int]:
    """Group to the fold that most of its clips are in already, the first of equals; groups with such clips alone."""
    n_in_fold: dict[str, Counter[int]] = defaultdict(Counter)
    for clip in clips:
        if clip.filename in fold_of:
            n_in_fold[clip.group][fold_of[clip.filename]] += 1
    return {name: max(counts, key=lambda fold: (counts[fold], -fold)) for name, counts in n_in_fold.items()}
