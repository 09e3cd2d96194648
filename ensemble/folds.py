"""One grouped, stratified assignment of clips to folds, made once and used by every stage.

A group (the connected component of ``original`` links, with person or source when known) is never split between
folds. Training writes the assignment to ``folds.parquet``; every later stage reads it. A network trained out of fold,
the learners that use its scores, the ablation and the search for settings must agree on which clips are held out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ensemble.arrays import Bool, Int
from ensemble.grouped_splits import grouped_splits
from ensemble.training_set import TrainingSet
from features.errors import InputError, MissingTableError, TableError
from features.table import read_parquet

FOLDS_FILE = "folds.parquet"  # in a model folder
N_FOLDS = 5
MANY_FOLDS = 10  # where data is short and fits are cheap: learners then see 90 % of it instead of 80 %
MANY_FOLDS_GROUPS, MANY_FOLDS_ROWS = (50, 500), 5_000
REMEDY = "remove it (and train everything again that used it) to make new folds"
MIN_FOLDS = 3  # nested evaluation leaves two folds out at a time, and at least one must remain


def usual_folds(group: Int) -> int:
    """Return the number of folds for a table: ten for some hundred groups, else five; ``group`` [n] of each row."""
    low, high = MANY_FOLDS_GROUPS
    return MANY_FOLDS if low <= len(np.unique(group)) < high and len(group) <= MANY_FOLDS_ROWS else N_FOLDS


def assign_folds(y: Int, group: Int, *, n_folds: int | None = None, seed: int = 0) -> Int:
    """Assign each row to a fold: groups stay whole, classes are balanced as far as the groups allow.

    Parameters
    ----------
    y : ndarray of shape (n,)
        1 for FAKE.
    group : ndarray of shape (n,)
        Rows with equal values share a fold.
    n_folds
        None takes :func:`usual_folds`.
    seed
        Seed of the assignment.

    Returns
    -------
    ndarray of shape (n,)
        0 .. n_folds - 1.

    Raises
    ------
    InputError
        Too few groups, too few groups that hold one of the classes, or fewer clips of either class than folds.
    """
    n_folds = usual_folds(group) if n_folds is None else n_folds
    _check_enough(y, group, n_folds)
    fold = np.full(len(y), -1, dtype=np.int64)
    for number, (_, held_out) in enumerate(grouped_splits(y, group, n_folds, seed=seed)):
        fold[held_out] = number
    return fold


def new_folds(data: TrainingSet, *, n_folds: int | None = None, seed: int = 0) -> Int:
    """Assign a training set to new folds; the result depends on the names of the groups, not on the order of rows.

    Parameters
    ----------
    n_folds, seed
        As in :func:`assign_folds`.

    Returns
    -------
    ndarray of shape (n,)
        0 .. K-1.

    Raises
    ------
    InputError
        As :func:`assign_folds` and :func:`check_folds`.
    """
    group = np.unique(data.names_of_groups, return_inverse=True)[1].astype(np.int64)
    fold = assign_folds(data.y, group, n_folds=n_folds, seed=seed)
    check_folds(data.y, fold, data.measured)
    return fold


def check_folds(y: Int, fold: Int, measured: Bool | None = None) -> None:
    """Refuse an assignment in which only one class is left to fit on when two folds are left out.

    Parameters
    ----------
    y, fold : ndarray of shape (n,)
        1 for FAKE, and the fold of each row, counted from 0.
    measured : ndarray of shape (n,), optional
        True for the rows that learners are fitted on; all by default.

    Raises
    ------
    InputError
        A class is in too few folds; the message gives the remedy.
    """
    n_folds = int(fold.max()) + 1
    fitted_on = np.ones(len(y), dtype=bool) if measured is None else measured
    for label, name in ((0, "REAL"), (1, "FAKE")):
        with_class = len(np.unique(fold[(y == label) & fitted_on]))
        if with_class < MIN_FOLDS:
            raise InputError(
                f"measured {name} clips fall into {with_class} of {n_folds} folds, at least {MIN_FOLDS} are needed; "
                f"add {name} clips of other groups, or give another seed or fewer folds"
            )


def given_folds(
    folds: Path | pa.Table,
    filename: Sequence[str],
    group_names: Sequence[str],
    y: Int,
    *,
    measured: Bool | None = None,
    n_folds: int | None = None,
) -> Int:
    """Read an earlier fold assignment; its folds are renumbered from 0.

    Parameters
    ----------
    folds
        A ``folds.parquet``, which must be there, or a table with the columns filename, group and fold.
    filename, group_names, y
        For each row: name of the clip, name of its group, and 1 for FAKE.
    measured : ndarray of shape (n,), optional
        As in :func:`check_folds`.
    n_folds
        Number of folds that the assignment must have; None accepts any.

    Returns
    -------
    ndarray of shape (n,)
        0 .. K-1.

    Raises
    ------
    TableError
        The file is missing, was made for other clips or groups, or has another number of folds; a clip appears twice
        or has no whole number as its fold; or a group has two folds.
    InputError
        As :func:`check_folds`.
    """
    table, where = (folds, "the folds") if isinstance(folds, pa.Table) else (read_folds(folds), str(folds))
    fold = _matched(table, where, filename, group_names, n_folds)
    check_folds(y, fold, measured)
    return fold


def stage_folds(
    data: TrainingSet,
    *,
    file: Path | None = None,
    model: Path | None = None,
    local_model: Path | None = None,
    n_folds: int | None = None,
    seed: int = 0,
) -> tuple[Int, str]:
    """Return the folds of a stage beside training: those of a model trained on the same table, if there is one.

    Parameters
    ----------
    file
        Fold assignment to use; takes precedence.
    model
        Model folder whose ``folds.parquet`` is used.
    local_model
        As ``model``, but only if its folds are of these clips and groups, and as many as ``n_folds``.
    n_folds, seed
        Number and seed of new folds, by the same rule as in training, when none of the above gives any.

    Returns
    -------
    fold : ndarray of shape (n,)
        0 .. K-1.
    origin : str
        Where the folds come from, in words.

    Raises
    ------
    TableError
        ``file``, or the folds of ``model``, are missing or belong to another table.
    InputError
        As :func:`new_folds`.
    """
    clips = (data.filename, data.names_of_groups, data.y)
    if file is None and model is not None:
        file = model / FOLDS_FILE
    if file is not None:
        return given_folds(file, *clips, measured=data.measured, n_folds=n_folds), str(file)
    if local_model is not None and (file := local_model / FOLDS_FILE).is_file():
        try:
            return given_folds(file, *clips, measured=data.measured, n_folds=n_folds), str(file)
        except TableError:  # of another table, or not as many as asked for
            origin = f"new folds: those of {local_model} are not of this table"
    else:
        origin = "new folds"
    return new_folds(data, n_folds=n_folds, seed=seed), origin


def read_folds(file: Path) -> pa.Table:
    """Read ``folds.parquet``.

    Raises
    ------
    TableError
        The file is missing, is not Parquet, or lacks a column of ``filename, group, fold``.
    """
    if not file.is_file():
        raise MissingTableError(f"{file}: no such fold file; `deepcue train` makes it")
    try:
        table = read_parquet(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{file}: not a fold file ({error}); remove it to make new folds") from error
    if not {"filename", "group", "fold"} <= set(table.column_names):
        raise TableError(f"{file}: not a fold file, it lacks filename, group or fold; remove it to make new folds")
    return table


def _matched(
    table: pa.Table, where: str, filename: Sequence[str], group_names: Sequence[str], n_folds: int | None
) -> Int:
    """[n] fold of each clip, counted from 0, from an assignment of the same clips and groups."""
    number = _numbers(table, where, filename, group_names)
    _check_groups_are_whole(where, group_names, number)
    fold = np.unique(np.array(number, dtype=np.int64), return_inverse=True)[1].astype(np.int64)
    present = int(fold.max()) + 1
    if n_folds not in (None, present):
        raise TableError(f"{where}: holds {present} folds, not {n_folds}; ask for {present} folds, or {REMEDY}")
    return fold


def _numbers(table: pa.Table, where: str, filename: Sequence[str], group_names: Sequence[str]) -> list[int]:
    """[n] fold of each clip, numbered as in the assignment; refused unless clips and groups are the same."""
    names, groups = table.column("filename").to_pylist(), table.column("group").to_pylist()
    known = dict(zip(names, zip(groups, table.column("fold").to_pylist(), strict=True), strict=True))
    if len(known) < len(names):
        repeated = next(name for name, times in Counter(names).items() if times > 1)
        raise TableError(f"{where}: {repeated} appears twice; give each clip one fold")
    if missing := [name for name in filename if name not in known]:
        raise TableError(f"{where}: made for other clips, {len(missing)} are not in it ({missing[0]}, ...); {REMEDY}")
    if len(known) != len(filename):
        raise TableError(f"{where}: made for {len(known)} clips, the table has {len(filename)} with a label; {REMEDY}")
    moved = [name for name, group in zip(filename, group_names, strict=True) if known[name][0] != group]
    if moved:
        raise TableError(f"{where}: {moved[0]} belongs to another group in the table; {REMEDY}")
    return [_whole(known[name][1], name, where) for name in filename]


def _whole(fold: Any, name: str, where: str) -> int:
    """Return the number of a clip's fold, stored as a number or as text; refuse one that is not a whole number."""
    if isinstance(fold, str) and fold.strip().isdecimal():
        return int(fold)
    if fold is None or (isinstance(fold, float) and math.isnan(fold)):
        raise TableError(f"{where}: {name} has no fold; give it the fold of its group")
    if not isinstance(fold, int | float) or fold % 1:
        raise TableError(f"{where}: the fold of {name} is {fold!r}; give it a whole number")
    return int(fold)


def _check_groups_are_whole(where: str, group_names: Sequence[str], fold: Sequence[int]) -> None:
    fold_of_group: dict[str, int] = {}
    for group, number in zip(group_names, fold, strict=True):
        if fold_of_group.setdefault(group, number) != number:
            raise TableError(
                f"{where}: group {group} is in folds {fold_of_group[group]} and {number}; people and originals that a "
                "learner saw must not be scored: give all clips of a group one fold"
            )


def _check_enough(y: Int, group: Int, n_folds: int) -> None:
    if n_folds < MIN_FOLDS:
        raise InputError(f"folds {n_folds}: at least {MIN_FOLDS} are needed to score, to stack and to fit")
    n_groups = len(np.unique(group))
    if n_groups < n_folds:
        remedy = f"ask for {n_groups} folds" if n_groups >= MIN_FOLDS else "add clips of other people or originals"
        raise InputError(f"the table has {n_groups} group{'s' * (n_groups != 1)}, fewer than {n_folds} folds; {remedy}")
    for label, name in ((0, "REAL"), (1, "FAKE")):
        holding = len(np.unique(group[y == label]))
        if holding < MIN_FOLDS:
            raise InputError(
                f"only {holding} groups hold {name} clips, at least {MIN_FOLDS} are needed; "
                f"add {name} clips of other people or originals"
            )
    largest = int(np.bincount(y).max())
    if largest < n_folds:
        raise InputError(
            f"neither class has {n_folds} clips, one for each fold; ask for {largest} folds, or add clips of each"
        )
