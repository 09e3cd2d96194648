"""Folds of the labelled clips, held-out groups of the stills, and the file of the folds.

``clip_folds.csv`` has for each clip the fold whose networks never saw it, and the label that the other networks were
trained with. This label may differ from the manifest's: a clip with real video and a synthetic voice is FAKE in a data
set, but REAL for a network that sees only frames.
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
from features.errors import DatasetError, InputError
from training.manifest import forged_video, method_family, origin

FILE = "clip_folds.csv"  # in the folder of a training run
COLUMNS = ("filename", "fold", "fake")
FOLD_FILES = {
    "forensic_cnn": "fold{}.safetensors",
    "forensic_residual": "residual_fold{}.safetensors",
    "forensic_voice": "fold{}.safetensors",
    "cnn_embedding": "embedding_fold{}.safetensors",
}
"""Family to the file of a fold, which a training writes; ``deepcue fit-projection`` writes the last one."""
LEAVE_OUT = ("methods", "people")
"""What a fold leaves out: manipulations together with the people that they show, or people alone."""
HOLDOUT_SHARE = 0.055  # fraction of the stills that is held out, in whole groups: about 1,500 stills
N_FOLDS = 3


class FoldAssignment(NamedTuple):
    """Fold of a clip, and its training label; the label is None where a file lacks it."""

    fold: int
    fake: bool | None = None


def check_leave_out(leave_out: str) -> None:
    """Refuse a value that is not one of :data:`LEAVE_OUT`.

    Raises
    ------
    InputError
        The message gives the values.
    """
    if leave_out not in LEAVE_OUT:
        raise InputError(f"leave_out is {leave_out!r}; give {' or '.join(LEAVE_OUT)}")


def write(file: Path, assignments: Mapping[str, FoldAssignment]) -> None:
    """Write ``clip_folds.csv``, sorted by filename."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        table.writerow(COLUMNS)
        for name, (fold, fake) in sorted(assignments.items()):
            table.writerow((name, fold, "" if fake is None else int(fake)))


def read(file: Path) -> dict[str, FoldAssignment]:
    """Read ``clip_folds.csv``: filename to assignment; the column ``fake`` may be missing.

    Raises
    ------
    DatasetError
        The file is missing or not a CSV file with the columns ``filename,fold``.
    """
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            return {
                row["filename"]: FoldAssignment(int(row["fold"]), bool(int(row["fake"])) if row.get("fake") else None)
                for row in csv.DictReader(opened)
            }
    except FileNotFoundError as error:
        raise DatasetError(f"{file}: no such file; give the {FILE} of a finished training run") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{file}: not a CSV file with the columns filename,fold ({error}); give the {FILE} that the training wrote"
        ) from error


def holdout_groups(groups: NDArray[Any], seed: int) -> frozenset[str]:
    """Choose groups at random that together hold ``HOLDOUT_SHARE`` of the rows, from the group names ``groups`` [n]."""
    names, counts = np.unique(groups.astype(str), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(counts[order]), HOLDOUT_SHARE * len(groups)))
    return frozenset(names[order[: enough + 1]].tolist())


def groups_of_fold(groups: NDArray[Any], fold: int, n_folds: int) -> frozenset[str]:
    """Return the groups of one fold, of ``n_folds`` folds with about the same number of rows.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        Name of the group of each row.
    fold
        Number of the fold, from 1.
    n_folds
        From 2 to the number of groups.

    Raises
    ------
    DatasetError
        There are fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold

    if (n_groups := len(set(groups))) < n_folds:
        raise DatasetError(f"the stills have only {n_groups} groups; hold out one of at most {n_groups} folds")
    splits = [*GroupKFold(n_folds).split(groups, groups=groups.astype(str))]
    return frozenset(groups[splits[fold - 1][1]].astype(str).tolist())


def assign_folds(clips: Sequence[ClipEntry], n_folds: int = N_FOLDS, *, whole_methods: bool = True) -> dict[str, int]:
    """Assign each clip to a fold: filename to the number of the fold, from 0.

    With ``whole_methods``, each family of manipulations is in one fold: families are assigned in order of their number
    of clips with forged video, each to the fold that has fewest of these so far; clips with a file and those known by
    face crops alone are counted separately, and a family keeps its fold for both. REAL clips follow the FAKE clips of
    their group, else their source, so that whole sources are held out as well where groups allow it. Without
    ``whole_methods``, whole groups are distributed, whatever their methods and sources.

    The network of a fold must not be trained on these clips, nor on further ones: :func:`held_out`.
    """
    fold_of = _folds_of_methods(clips, n_folds) if whole_methods else {}
    left = [clip for clip in clips if clip.filename not in fold_of]
    return fold_of | _folds_of_groups(left, clips, fold_of, n_folds, whole_sources=whole_methods)


def held_out(clips: Sequence[ClipEntry], fold_of: Mapping[str, int], fold: int | None) -> frozenset[str]:
    """Return the clips that the network of a fold is not trained on: those of the fold, and all others of their groups.

    Groups link methods (one face given to many generators), so keeping both groups and methods whole would leave a
    single fold.
    """
    groups = {clip.group for clip in clips if fold_of[clip.filename] == fold}
    return frozenset(clip.filename for clip in clips if clip.group in groups)


def _folds_of_methods(clips: Sequence[ClipEntry], n_folds: int) -> dict[str, int]:
    """Assign the FAKE clips by whole families: first clips with a file, then those known by face crops alone."""
    fold_of: dict[str, int] = {}
    fold_of_family: dict[str, int] = {}
    for with_file in (True, False):
        families: dict[str, list[ClipEntry]] = defaultdict(list)
        for clip in clips:
            if clip.label == "FAKE" and bool(clip.path) == with_file:
                families[method_family(clip.method)].append(clip)
        n_fake = [0] * n_folds
        for name, members in sorted(families.items(), key=lambda item: (-sum(map(forged_video, item[1])), item[0])):
            fold = fold_of_family.setdefault(name, int(np.argmin(n_fake)))
            n_fake[fold] += sum(map(forged_video, members))
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
    """Assign the remaining clips ``left`` by whole groups.

    A group joins the fold that already has most of its clips. Otherwise, a group with forgeries joins the fold that has
    fewest of them, and a group without forgeries joins the fold that shares most of its sources, else the fold with the
    fewest sources.
    """
    beside = _folds_beside(clips, fold_of)
    groups: dict[str, list[ClipEntry]] = defaultdict(list)
    for clip in left:
        groups[clip.group].append(clip)
    n_forged = {name: sum(map(forged_video, members)) for name, members in groups.items()}
    n_fake, sources = [0] * n_folds, [Counter[str]() for _ in range(n_folds)]
    result: dict[str, int] = {}
    for name in sorted(groups, key=lambda key: (key not in beside, -n_forged[key], -len(groups[key]), key)):
        of_group = Counter(origin(clip) for clip in groups[name] if clip.label == "REAL")
        shared = [sum(have[source] for source in of_group) for have in sources]
        if name in beside:
            fold = beside[name]
        elif n_forged[name]:
            fold = int(np.argmin(n_fake))
        elif whole_sources and max(shared) > 0:
            fold = int(np.argmax(shared))
        else:
            fold = int(np.argmin([have.total() for have in sources]))
        n_fake[fold] += n_forged[name]
        sources[fold] += of_group
        result |= {clip.filename: fold for clip in groups[name]}
    return result


def _folds_beside(clips: Sequence[ClipEntry], fold_of: Mapping[str, int]) -> dict[str, int]:
    """Map each group that has assigned clips to the fold with most of them; the lowest fold wins a tie."""
    n_in_fold: dict[str, Counter[int]] = defaultdict(Counter)
    for clip in clips:
        if clip.filename in fold_of:
            n_in_fold[clip.group][fold_of[clip.filename]] += 1
    return {name: max(counts, key=lambda fold: (counts[fold], -fold)) for name, counts in n_in_fold.items()}
