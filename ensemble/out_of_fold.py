"""The out-of-fold predictions that a model folder keeps, matched with the table that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ensemble.arrays import Array, Int
from ensemble.training_set import groups_of_clips
from features.errors import ModelError
from features.table import read_parquet

OOF_FILE = "oof.parquet"  # in a model folder
STACK, CONSTANT = "stack", "constant"  # names beside those of the learners: the ensemble, and the training prior
STACK_TARGET = "stack_target"  # the stack at the target prior
NO_LEARNER = frozenset({"filename", "label", "group", "fold", "measured", STACK_TARGET})


@dataclass(frozen=True)
class OutOfFold:
    """The labelled clips with predictions by models that never saw their group.

    ``y`` [n] is 1 for FAKE, ``group`` [n] counts from 0; ``p`` holds [n] P(FAKE) at the training prior for each
    learner, the stack last; ``row`` [n] is the position in the feature table.
    """

    y: Int
    group: Int
    row: Int
    p: dict[str, Array]

    @property
    def stack(self) -> Array:
        """[n] P(FAKE) of the stack."""
        return self.p[STACK]


def read_oof(folder: Path, table: pa.Table) -> OutOfFold:
    """Read the out-of-fold predictions of a model folder, matched with the table that it was trained on.

    Raises
    ------
    ModelError
        The folder has no predictions, or their clips, labels or groups differ from those of the table.
    """
    file = folder / OOF_FILE
    if not file.is_file():
        raise ModelError(f"{file}: no out-of-fold predictions; train the model again with `deepcue train`")
    oof = read_parquet(file)
    position = {name: number for number, name in enumerate(table.column("filename").to_pylist())}
    names = oof.column("filename").to_pylist()
    if unknown := [name for name in names if name not in position]:
        raise ModelError(
            f"{file}: {len(unknown)} of {len(names)} clips are not in the table ({unknown[0]}, ...); "
            "give the table that the model was trained on"
        )
    _check_unchanged(file, table, oof, position)
    _, group = np.unique(oof.column("group").to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    learners = [name for name in oof.column_names if name not in NO_LEARNER and name != STACK]
    row = np.array([position[name] for name in names], dtype=np.int64)
    return OutOfFold(
        y=np.array([label == "FAKE" for label in oof.column("label").to_pylist()], dtype=np.int64),
        group=group.astype(np.int64),
        row=row,
        p={name: oof.column(name).to_numpy().astype(np.float64) for name in [*learners, STACK]},
    )


def _check_unchanged(file: Path, table: pa.Table, oof: pa.Table, position: Mapping[str, int]) -> None:
    """Reject predictions for labels or groups that the table (``position``: filename to row) no longer has."""
    names = table.column("filename").to_pylist()
    current = {
        "label": table.column("label").to_pylist(),
        "group": groups_of_clips(table.column("group").to_pylist(), names),
    }
    clips = oof.column("filename").to_pylist()
    for column, values in current.items():
        given, now = oof.column(column).to_pylist(), [values[position[name]] for name in clips]
        if column == "group":  # the same groups under other names are no change
            given, now = _first_members(given), _first_members(now)
        if changed := [name for name, old, new in zip(clips, given, now, strict=True) if old != new]:
            raise ModelError(
                f"{file}: the {column}s of {len(changed)} of {len(clips)} clips have changed since the model was "
                f"trained ({changed[0]}, ...); train it again"
            )


def _first_members(groups: Sequence[Any]) -> list[int]:
    """Return, for each clip, the number of the first clip of its group, which does not depend on names of groups."""
    first: dict[Any, int] = {}
    return [first.setdefault(group, number) for number, group in enumerate(groups)]
