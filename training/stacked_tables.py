"""Stack feature tables of the same columns, such as those of several trainings, or of clips and their copies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pyarrow as pa

from ensemble.training_set import groups_of_clips
from features import table
from features.errors import DatasetError


def stacked(parts: Sequence[pa.Table]) -> pa.Table:
    """Stack feature tables: all rows of the first, then those of the second, and so on.

    The number of a table, counted from 0, is put in front of its filenames (``0/clip.mp4``); the rows of a clip keep
    its group. The result names no weights for a family whose weights differ between the tables.

    Raises
    ------
    DatasetError
        The tables differ in their columns or in the version of a family.
    """
    _check_same_columns(parts)
    weights = [table.description(part).get("weights", {}) for part in parts]
    differ = [name for name in {*itertools.chain(*weights)} if len({of_part.get(name) for of_part in weights}) > 1]
    schema = table.without_weights(parts[0], differ).schema
    named = []
    for number, part in enumerate(parts):
        names = part["filename"].to_pylist()
        groups = groups_of_clips(part["group"].to_pylist(), names)
        columns = {name: part[name] for name in schema.names}
        columns |= {"filename": pa.array([f"{number}/{name}" for name in names]), "group": pa.array(groups)}
        named.append(pa.table(columns, schema=schema))
    return pa.concat_tables(named)


def _check_same_columns(parts: Sequence[pa.Table]) -> None:
    """Refuse tables that can't be stacked; the message names the first column or family that differs."""
    advice = "measure all tables with the same version and families"
    types, versions = _types(parts[0]), table.table_families(parts[0])
    for number, part in enumerate(parts[1:], 1):
        others = _types(part)
        if differ := [name for name in types | others if types.get(name) != others.get(name)]:
            raise DatasetError(f"tables 0 and {number} differ in {len(differ)} columns, such as {differ[0]}; {advice}")
        newer = table.table_families(part)
        if differ := [name for name in versions if versions[name] != newer.get(name, versions[name])]:
            raise DatasetError(f"tables 0 and {number} have different versions of {differ[0]}; {advice}")


def _types(part: pa.Table) -> dict[str, pa.DataType]:
    """Column name to type."""
    return dict(zip(part.schema.names, part.schema.types, strict=True))
