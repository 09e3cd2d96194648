"""Replace the forensic columns of a table by those of networks that never saw the clip's method or people.

A stack fitted on columns from a network that was trained on the same clips would trust them far too much. Each
clip of ``--folds`` is measured anew, from its observation, with the networks of its fold; other clips keep
their columns, and so do families that are not of ``--families``: their networks saw no labelled clip. With several
``--folds`` and ``--weights``, for instance of runs that left out methods and of runs that left out people, every clip
comes once for each, as ``0/name``, ``1/name``: a stack fitted on both expects as many clips of known methods as of new
ones.

The voice's network has folds of its own: ``--families forensic_voice`` with the folder that its training wrote.
A table for each run may be given, too: so those of the face networks, with the voice's folds that go with each, become
one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import observation, spec, table
from features.errors import ModelError
from features.networks.weights import use_weights
from training import folds

logger = logging.getLogger(__name__)

FOLD_FILES = {
    "forensic_cnn": "fold{}.safetensors",
    "forensic_residual": "residual_fold{}.safetensors",
    "forensic_voice": "fold{}.safetensors",
}
"""By family: what the training of a network without one fold writes."""
LOGIT = {"forensic_voice": "logit"}  # what stands for the family in the scores; of face networks "logit_mean"
FACES = ("forensic_cnn", "forensic_residual")  # whose folds are those of one training


def observation_file(folder: Path, filename: str) -> Path:
    """Where ``extract_all.py --observations`` keeps the observation of a clip."""
    return folder / f"{filename}.npz"


def out_of_fold(
    source: pa.Table,
    observations: Path,
    fold_of: dict[str, int],
    weights: Path,
    families: Sequence[str],
) -> pa.Table:
    """The table with the families' columns of every clip of ``fold_of`` measured by the networks of its fold.

    A clip without an observation gets NaN, never the columns of a network that saw it.

    Raises
    ------
    ModelError
        A fold's weights are missing.
    """
    from tqdm import tqdm

    measures = spec.families(families)
    columns = [column.name for family in measures for column in family.table_columns]
    names = [name for name in columns if name in source.column_names]
    values: dict[str, NDArray[np.float32]] = {name: source[name].to_numpy().copy() for name in names}
    files = {
        fold: {family: weights / FOLD_FILES[family].format(fold) for family in families}
        for fold in sorted(set(fold_of.values()))
    }
    for file in (file for of_fold in files.values() for file in of_fold.values()):
        if not file.is_file():
            raise ModelError(f"{weights} lacks {file.name}; train it with make cnn, or leave its family out")
    for row, filename in enumerate(tqdm(source["filename"].to_pylist(), desc="out of fold", unit="clip")):
        if filename not in fold_of:
            continue
        measured: dict[str, Any] = {}
        file = observation_file(observations, filename)
        if file.is_file():
            with use_weights(files[fold_of[filename]]):
                measured, _ = spec.measure_clip(observation.load_kept(file), measures)
        for name in names:
            values[name][row] = measured.get(name, np.nan)
    for name in names:
        place = source.column_names.index(name)
        source = source.set_column(
            place, source.schema.field(name), pa.array(values[name], pa.float32(), from_pandas=False)
        )
    return source


def stacked(parts: Sequence[pa.Table]) -> pa.Table:
    """The tables one below the other, the number of each in front of its filenames; rows of a clip share its group."""
    named = []
    for number, part in enumerate(parts):
        names = part["filename"].to_pylist()
        groups = [group or f"clip:{name}" for group, name in zip(part["group"].to_pylist(), names, strict=True)]
        columns = {name: part[name] for name in part.column_names}
        columns |= {"filename": pa.array([f"{number}/{name}" for name in names]), "group": pa.array(groups)}
        named.append(pa.table(columns, schema=part.schema))
    return pa.concat_tables(named)


def scores(measured: pa.Table, places: dict[str, folds.FoldAssignment], family: str) -> dict[str, Any]:
    """How well the mean logit of a family does on the clips of ``places``, per source and in pairs.

    A clip counts as what the networks learned it as (a made voice over a real picture is no forgery of a picture), and
    as its label says where that is unknown.
    """
    from training.faces.scores import summary

    logits = measured[f"{family}.{LOGIT.get(family, 'logit_mean')}"].to_numpy()
    name, label, source, group = (
        np.array(measured[column].to_pylist(), dtype=object) for column in ("filename", "label", "source", "group")
    )
    known = (
        np.isfinite(logits)
        & np.array([one in places for one in name], dtype=bool)
        & np.isin(label.astype(str), table.LABELS)
    )
    learned_as = [places[one].fake for one in name[known]]
    fake = np.array(
        [text == "FAKE" if one is None else one for one, text in zip(learned_as, label[known], strict=True)], dtype=bool
    )
    source = np.array([one or "" for one in source], dtype=object)
    return summary(logits[known], fake, source[known], group[known])
