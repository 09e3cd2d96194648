"""One grouped, stratified assignment of clips to folds, made once and used by every stage.

A group (the connected component of ``original`` links, with person or source when known) never straddles
two folds. The assignment is written to ``folds.parquet`` and from then on read, never remade: a network
trained out of fold and the learners that use its scores must agree on who was held out.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import InputError, TableError

Int = NDArray[np.int64]
N_FOLDS = 5
MANY_FOLDS = 10  # where data is short and fits are cheap: learners then see 90 % of it in place of 80 %
MANY_FOLDS_GROUPS, MANY_FOLDS_ROWS = (50, 500), 5_000
MIN_FOLDS = 3  # nested evaluation leaves two folds out at a time, and something must stay


def usual_folds(group: Int) -> int:
    """Number of folds for a table: ten where groups are some hundred, else five."""
    low, high = MANY_FOLDS_GROUPS
    return MANY_FOLDS if low <= len(np.unique(group)) < high and len(group) <= MANY_FOLDS_ROWS else N_FOLDS


def assign_folds(y: Int, group: Int, *, n_folds: int | None = None, seed: int = 0) -> Int:
    """Fold of each row: groups whole, classes balanced as far as groups allow.

    Parameters
    ----------
    y : ndarray of shape (n,)
        1 for FAKE.
    group : ndarray of shape (n,)
        Rows with equal values share a fold.
    n_folds
        None takes :func:`usual_folds`.

    Returns
    -------
    ndarray of shape (n,)
        0 .. n_folds - 1.

    Raises
    ------
    InputError
        Too few groups, or too few groups that hold one of the classes.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_folds = usual_folds(group) if n_folds is None else n_folds
    _check_enough(y, group, n_folds)
    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    fold = np.full(len(y), -1, dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer members of a class than folds: checked above by groups
        for number, (_, held_out) in enumerate(splitter.split(np.zeros((len(y), 1)), y, group)):
            fold[held_out] = number
    return fold


def check_folds(y: Int, fold: Int) -> None:
    """Refuse an assignment in which leaving two folds out leaves a single class.

    Raises
    ------
    InputError
        With the remedy.
    """
    n_folds = int(fold.max()) + 1
    for label, name in ((0, "REAL"), (1, "FAKE")):
        with_class = len(np.unique(fold[y == label]))
        if with_class < MIN_FOLDS:
            raise InputError(
                f"{name} clips fall into {with_class} of {n_folds} folds, at least {MIN_FOLDS} are needed; "
                f"add {name} clips of other groups, or give another --seed or fewer --folds"
            )


def folds_for(
    file: Path, filename: Sequence[str], group_names: Sequence[str], y: Int, *, n_folds: int | None, seed: int
) -> Int:
    """The assignment in ``file`` when there is one, else a new one (not yet written).

    Parameters
    ----------
    file
        ``folds.parquet``.
    filename, group_names
        Of each row, in the table's order.
    n_folds
        None takes the file's number, or :func:`usual_folds` when there is no file.

    Raises
    ------
    TableError
        As :func:`given_folds`.
    InputError
        As :func:`assign_folds`.
    """
    if file.is_file():
        return given_folds(file, filename, group_names, y, n_folds=n_folds)
    _, group = np.unique(np.asarray(group_names), return_inverse=True)
    fold = assign_folds(y, group.astype(np.int64), n_folds=n_folds, seed=seed)
    check_folds(y, fold)
    return fold


def given_folds(
    file: Path, filename: Sequence[str], group_names: Sequence[str], y: Int, *, n_folds: int | None = None
) -> Int:
    """The assignment in ``file``, which must be there; its folds are counted from 0, whatever numbers they have.

    Raises
    ------
    TableError
        The file is missing, or for other clips, other groups or another number of folds; a clip has no fold in it,
        or a group has two.
    InputError
        As :func:`check_folds`.
    """
    fold = _matching(file, filename, group_names, n_folds)
    check_folds(y, fold)
    return fold


def write_folds(file: Path, filename: Sequence[str], group_names: Sequence[str], fold: Int) -> None:
    """Write ``folds.parquet``; equal assignments give equal bytes."""
    table = pa.table({"filename": list(filename), "group": list(group_names), "fold": fold})
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(file)


def read_folds(file: Path) -> pa.Table:
    """Read ``folds.parquet``.

    Raises
    ------
    TableError
        Missing, not Parquet, or without the columns ``filename, group, fold``.
    """
    if not file.is_file():
        raise TableError(f"{file}: no such fold file; `python -m ensemble.train` makes it")
    try:
        table = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{file}: not a fold file ({error}); remove it to make new folds") from error
    if not {"filename", "group", "fold"} <= set(table.column_names):
        raise TableError(f"{file}: not a fold file, it lacks filename, group or fold; remove it to make new folds")
    return table


def _matching(file: Path, filename: Sequence[str], group_names: Sequence[str], n_folds: int | None) -> Int:
    table = read_folds(file)
    names, groups = table.column("filename").to_pylist(), table.column("group").to_pylist()
    known = dict(zip(names, zip(groups, table.column("fold").to_pylist(), strict=True), strict=True))
    remedy = "remove it (and train everything anew that used it) to make new folds"
    if missing := [name for name in filename if name not in known]:
        raise TableError(f"{file}: made for other clips, {len(missing)} are not in it ({missing[0]}, ...); {remedy}")
    if len(known) != len(filename):
        raise TableError(f"{file}: made for {len(known)} clips, the table has {len(filename)} with a label; {remedy}")
    moved = [name for name, group in zip(filename, group_names, strict=True) if known[name][0] != group]
    if moved:
        raise TableError(f"{file}: {moved[0]} belongs to another group in the table; {remedy}")
    numbers = [known[name][1] for name in filename]
    if None in numbers:
        raise TableError(f"{file}: {filename[numbers.index(None)]} has no fold; give it the fold of its group")
    fold_of_group: dict[str, int] = {}
    for group, number in zip(group_names, numbers, strict=True):
        if fold_of_group.setdefault(group, number) != number:
            raise TableError(
                f"{file}: group {group} is in folds {fold_of_group[group]} and {number}; people and originals that a "
                "learner saw must not be scored: give all clips of a group one fold"
            )
    fold = np.unique(np.array(numbers, dtype=np.int64), return_inverse=True)[1].astype(np.int64)
    found = int(fold.max()) + 1
    if n_folds not in (None, found):
        raise TableError(f"{file}: holds {found} folds, --folds says {n_folds}; leave --folds out, or {remedy}")
    return fold


def _check_enough(y: Int, group: Int, n_folds: int) -> None:
    if n_folds < MIN_FOLDS:
        raise InputError(f"--folds {n_folds}: at least {MIN_FOLDS} are needed, one to score, one to stack, one to fit")
    n_groups = len(np.unique(group))
    if n_groups < n_folds:
        remedy = f"give --folds {n_groups}" if n_groups >= MIN_FOLDS else "add clips of other people or originals"
        raise InputError(f"the table has {n_groups} groups, fewer than {n_folds} folds; {remedy}")
    for label, name in ((0, "REAL"), (1, "FAKE")):
        holding = len(np.unique(group[y == label]))
        if holding < MIN_FOLDS:
            raise InputError(
                f"only {holding} groups hold {name} clips, at least {MIN_FOLDS} are needed; "
                f"add {name} clips of other people or originals"
            )
