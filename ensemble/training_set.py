"""Turn a feature table into the input of the learners: a float matrix, labels and groups.

Only the columns that the table's own description declares are inputs; base columns (status, duration,
source, number of faces, ...) never are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ensemble.arrays import Bool, Float, Int
from features.errors import TableError
from features.spec import is_share
from features.table import LABELS, check_table, description, feature_columns, table_families

LEAST_GROUPS = 10  # in a sample of whole groups: fewer would not stand for the table
ROWS_AT_ONCE = 4096  # rows that are examined together
NUMERIC = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null)
VALID_SHARE = "valid_share"  # the one quantity of a family that is a number when nothing could be measured


@dataclass(frozen=True)
class Layout:
    """The columns of a table, in order, the families that they belong to with their versions, and how it was made.

    ``weights`` maps each learned family to the SHA-256 of the weights that it was measured with; families whose weights
    are not known are missing. ``max_seconds`` is the analysed duration of each clip; None where it is not known.
    """

    columns: tuple[str, ...]
    families: dict[str, int]
    weights: dict[str, str] = field(default_factory=dict)
    max_seconds: float | None = None

    @property
    def family_names(self) -> tuple[str, ...]:
        """The families that have at least one column, sorted."""
        return tuple(sorted({family_of(column) for column in self.columns}))

    @property
    def family_index(self) -> Int:
        """[n_columns] position in :attr:`family_names` of each column's family."""
        position = {name: number for number, name in enumerate(self.family_names)}
        return np.array([position[family_of(column)] for column in self.columns], dtype=np.int64)

    @property
    def is_cue(self) -> Bool:
        """[n_columns] False for ``valid_share`` and similar columns, in which 0 means that nothing was measured."""
        return np.array([not is_share(column) for column in self.columns], dtype=bool)


@dataclass(frozen=True)
class TrainingSet:
    """The labelled rows of a table.

    ``X`` [n, n_columns] holds the cues, NaN where undefined; ``y`` [n] is 1 for FAKE; ``group`` [n] counts
    from 0; ``measured`` [n] is False where none of the cues that count (:func:`read_by`) is defined; ``source`` is
    empty where unknown.
    """

    filename: list[str]
    X: Float
    y: Int
    group: Int
    group_names: list[str]
    source: list[str]
    measured: Bool
    layout: Layout

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_groups(self) -> int:
        """Number of groups, which may not be split across folds."""
        return len(self.group_names)

    @property
    def names_of_groups(self) -> list[str]:
        """[n] name of each row's group."""
        return [self.group_names[number] for number in self.group]

    def rows(self, chosen: Bool) -> TrainingSet:
        """The rows where ``chosen`` [n] is True, with groups counted from 0 again."""
        positions = np.flatnonzero(chosen)
        groups, group = np.unique(self.group[positions], return_inverse=True)
        return TrainingSet(
            filename=[self.filename[row] for row in positions],
            X=self.X[positions],
            y=self.y[positions],
            group=group.astype(np.int64),
            group_names=[self.group_names[number] for number in groups],
            source=[self.source[row] for row in positions],
            measured=self.measured[positions],
            layout=self.layout,
        )


def family_of(column: str) -> str:
    """``blink`` of ``blink.rate_per_min``."""
    return column.split(".", 1)[0]


def layout_of(table: pa.Table) -> Layout:
    """The layout of a table read by :func:`features.table.read_table`."""
    made = description(table)
    return Layout(
        tuple(feature_columns(table)), table_families(table), dict(made.get("weights") or {}), made.get("max_seconds")
    )


def matrix(table: pa.Table, columns: tuple[str, ...], where: str = "the table") -> Float:
    """[n_rows, n_columns] float32, C order; infinities become NaN.

    Raises
    ------
    TableError
        A column appears twice, or holds something that is not a number; ``where`` names the table.
    """
    times = Counter(table.column_names)
    X = np.empty((table.num_rows, len(columns)), dtype=np.float32)
    for number, name in enumerate(columns):
        if times[name] > 1:
            raise TableError(f"{where}: two columns are called {name!r}; remove or rename one")
        column = table.column(name)
        if not any(is_kind(column.type) for is_kind in NUMERIC):
            raise TableError(f"{where}: the column {name!r} holds {column.type}; write numbers into it")
        values = column.cast(pa.float32(), safe=False).to_numpy()
        X[:, number] = np.where(np.isinf(values), np.nan, values)
    return X


def measured_rows(X: Float, layout: Layout, read: Collection[str] | None = None) -> Bool:
    """[n_rows] True where a cue is defined, ``valid_share`` aside; only the columns ``read`` count, if given."""
    counted = layout.is_cue
    if read is not None:
        counted = counted & np.isin(layout.columns, list(read))
    measured = np.empty(len(X), dtype=bool)
    for first in range(0, len(X), ROWS_AT_ONCE):  # else most of X would be copied
        rows = slice(first, first + ROWS_AT_ONCE)
        measured[rows] = np.any(~np.isnan(X[rows, counted]), axis=1)
    return measured


def read_by(data: TrainingSet, columns: Collection[str]) -> TrainingSet:
    """Return the same rows, ``measured`` only where one of ``columns`` is defined: those that the learners read."""
    return replace(data, measured=data.measured & measured_rows(data.X, data.layout, columns))


def training_set(table: pa.Table, where: str = "the table") -> TrainingSet:
    """Return the labelled rows of ``table``, sorted by filename, with groups numbered by sorted name.

    Training does not depend on the order of the table's rows. ``where`` names the table in messages.

    Raises
    ------
    TableError
        No labels, a label that is neither REAL nor FAKE, one class only, a clip that appears twice, no feature column,
        a column that is missing, appears twice or has the wrong type, or a row without a filename.
    """
    check_table(table, where, needed=("filename", "label", "group", "source"))
    layout = layout_of(table)
    if not layout.columns:
        raise TableError(f"{where}: has no feature column; extract it with at least one family")
    table = _labelled_and_sorted(table, where)
    filename = _strings(table, "filename")
    if len(set(filename)) < len(filename):
        repeated = next(name for name, times in Counter(filename).items() if times > 1)
        raise TableError(f"{where}: {repeated} appears twice; give each clip one row")
    names = groups_of_clips(_strings(table, "group"), filename)
    group_names = sorted(set(names))
    position = {name: number for number, name in enumerate(group_names)}
    X = matrix(table, layout.columns, where)
    return TrainingSet(
        filename=filename,
        X=X,
        y=np.array([label == "FAKE" for label in _strings(table, "label")], dtype=np.int64),
        group=np.array([position[name] for name in names], dtype=np.int64),
        group_names=group_names,
        source=_strings(table, "source"),
        measured=measured_rows(X, layout),
        layout=layout,
    )


def _labelled_and_sorted(table: pa.Table, where: str) -> pa.Table:
    """Return the rows that have a label, sorted by filename; refuse the table unless both labels occur.

    A table that is so already, as `deepcue extract` writes it, is not copied.
    """
    labels = _strings(table, "label")
    if wrong := [row for row, label in enumerate(labels) if label and label not in LABELS]:
        first, others = table.column("filename")[wrong[0]], len(wrong) - 1
        raise TableError(
            f"{where}: label {labels[wrong[0]]!r} of {first}{f' (and {others} more)' if others else ''} is not REAL or "
            "FAKE; correct it"
        )
    present = set(LABELS) & set(labels)
    if not present:
        raise TableError(f"{where}: no clip has a label; extract a folder with metadata.json or a CSV manifest")
    if len(present) == 1:
        raise TableError(f"{where}: every labelled clip is {present.pop()}; add clips of the other class")
    filename = _strings(table, "filename")
    rows = sorted((row for row, label in enumerate(labels) if label), key=filename.__getitem__)
    return table if rows == list(range(table.num_rows)) else table.take(rows)


def groups_of_clips(groups: Sequence[str | None], filenames: Sequence[str]) -> list[str]:
    """Return the group name of each clip; a clip without a group is a group by itself.

    >>> groups_of_clips(["anna", ""], ["1.mp4", "2.mp4"])
    ['anna', 'clip:2.mp4']
    """
    return [group or f"clip:{name}" for group, name in zip(groups, filenames, strict=True)]


def sampled_rows(group: Int, n_rows: int, seed: int) -> Bool:
    """[n] True for a random sample (by ``seed``) of at most ``n_rows`` rows; all rows where there are no more.

    Whole groups are sampled, unless a group is larger than a tenth of the sample (:data:`LEAST_GROUPS`). Then rows of
    all groups are sampled, since whole groups might be too few, of a single class or fold, or none.

    Parameters
    ----------
    group : ndarray of shape (n,)
        Group of each row, 0 or more.
    """
    if len(group) <= n_rows:
        return np.ones(len(group), dtype=bool)
    rng = np.random.default_rng(seed)
    sizes = np.bincount(group)
    if sizes.max() * LEAST_GROUPS > n_rows:
        return rng.permutation(len(group)) < n_rows
    order = rng.permutation(len(sizes))
    return np.isin(group, order[np.cumsum(sizes[order]) <= n_rows])


def only(data: TrainingSet, families: Sequence[str]) -> TrainingSet:
    """Return the training set with the columns of these families only, which may be none."""
    positions = [number for number, name in enumerate(data.layout.columns) if family_of(name) in families]
    layout = replace(
        data.layout,
        columns=tuple(data.layout.columns[number] for number in positions),
        families={name: version for name, version in data.layout.families.items() if name in families},
        weights={name: digest for name, digest in data.layout.weights.items() if name in families},
    )
    X = np.ascontiguousarray(data.X[:, positions])
    return replace(data, X=X, layout=layout, measured=measured_rows(X, layout))


def joined(first: TrainingSet, second: TrainingSet) -> TrainingSet:
    """Return the rows of two training sets with the same columns.

    Groups of one name are one group; those of the first keep their numbers.
    """
    names = list(dict.fromkeys([*first.group_names, *second.group_names]))
    position = {name: number for number, name in enumerate(names)}
    group = np.array([position[name] for name in second.names_of_groups], dtype=np.int64)
    return TrainingSet(
        filename=[*first.filename, *second.filename],
        X=np.concatenate([first.X, second.X]),
        y=np.concatenate([first.y, second.y]),
        group=np.concatenate([first.group, group]),
        group_names=names,
        source=[*first.source, *second.source],
        measured=np.concatenate([first.measured, second.measured]),
        layout=first.layout,
    )


def _strings(table: pa.Table, name: str) -> list[str]:
    values: list[Any] = table.column(name).to_pylist()
    return [value or "" for value in values]
