"""Out-of-fold columns: network columns of each clip, measured by networks that never saw its method or people.

A stack that is fitted on the columns of a network which was trained on the same clips overestimates their reliability.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.training_set import groups_of_clips
from extract.run.observation_store import kept_name
from extract.run.worker import reasons_of
from features import discovery, measuring, observation, spec, table
from features.errors import DatasetError
from features.networks.weights import use_weights
from features.reasons import CLIP, OBSERVATION, Reason
from training import folds
from training.fold_networks import check_files, fold_files
from training.progress import Progress, no_progress, tracked

logger = logging.getLogger(__name__)

LOGIT = {"forensic_voice": "logit"}  # column that is scored; for face networks it is "logit_mean"


def observation_file(folder: Path, filename: str) -> Path:
    """Return the file in which ``deepcue extract --observations`` keeps the observation of a clip."""
    return folder / kept_name(filename)


def of_clips(
    source: pa.Table,
    observations: Path,
    fold_of: dict[str, int],
    networks: Path,
    families: Sequence[str],
    progress: Progress = no_progress,
) -> pa.Table:
    """Return the table with the families' columns of every clip of ``fold_of`` measured by the networks of its fold.

    A clip whose observation is missing, or has a length different from its row, gets NaN (0 for shares), never the
    columns of a network that saw the clip; the number of such clips is logged, and their rows give the reason "not
    kept". For other clips, the row gives the reason why a family could not be measured by the networks of the fold.

    Parameters
    ----------
    source
        Feature table.
    observations
        Folder that ``deepcue extract --observations`` wrote.
    fold_of
        Filename to fold; other clips keep their columns.
    networks
        Folder of a training, with the networks of each fold (:data:`training.folds.FOLD_FILES`).
    families
        Families to measure again.
    progress
        Called with the stage, the number of clips done, and their total.

    Raises
    ------
    ModelError
        The weights of a fold are missing or can't be used.
    DatasetError
        The table has no column of a family, none of its clips is in the folds, or no clip of the folds has an
        observation.
    """
    measures = discovery.families(families)
    files = {fold: fold_files(networks, fold, families) for fold in sorted(set(fold_of.values()))}
    for of_fold in files.values():
        check_files(of_fold)
    names = _columns(source, measures)
    reasons = table.row_reasons(source)
    values: dict[str, NDArray[np.float32]] = {name: source[name].to_numpy().copy() for name in names}
    wanted = [(row, name) for row, name in enumerate(source["filename"].to_pylist()) if name in fold_of]
    usable = _usable(source, wanted, observations)
    for row, filename in tracked(wanted, "out of fold", len(wanted), progress):
        measured = spec.unmeasured(names)
        if row in usable:
            with use_weights(files[fold_of[filename]]):
                measured, of_families = _measured(observation.load_kept(usable[row]), measures)
            reasons[row] = {name: code for name, code in reasons[row].items() if name not in families} | of_families
        elif CLIP not in reasons[row]:
            of_others = {name: code for name, code in reasons[row].items() if name not in families}
            reasons[row] = of_others | {OBSERVATION: Reason.NOT_KEPT.value}
        for name in names:
            values[name][row] = measured[name]
    for name in names:
        position = source.column_names.index(name)
        source = source.set_column(
            position, source.schema.field(name), pa.array(values[name], pa.float32(), from_pandas=False)
        )
    return table.without_weights(table.with_reasons(source, reasons), families)


def _measured(
    observed: observation.Observation, measures: Sequence[spec.Family]
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the columns of the families by the weights in use, and the reason code of each family without a value."""
    values, failures = measuring.measure_clip(observed, measures)
    codes = reasons_of(measures, observed, values, failures)
    return values, {family: code.value for family, code in codes.items()}


def _columns(source: pa.Table, measures: Sequence[spec.Family]) -> list[str]:
    """Return the names of the families' columns in the table; each family must have at least one."""
    names = []
    for family in measures:
        present = [column.name for column in family.table_columns if column.name in source.column_names]
        if not present:
            raise DatasetError(f"the table has no column of {family.name}; extract it again, or leave the family out")
        names += present
    return names


def _usable(source: pa.Table, wanted: Sequence[tuple[int, str]], observations: Path) -> dict[int, Path]:
    """Map each wanted row that has a matching observation to its file, and warn how many rows have none.

    Raises
    ------
    DatasetError
        No row is wanted, or no wanted row has a matching observation.
    """
    if not wanted:
        raise DatasetError("no clip of the table is in the folds; give those of a training on these clips")
    kept = {row: file for row, name in wanted if (file := observation_file(observations, name)).is_file()}
    if not kept:
        raise DatasetError(
            f"{observations}: no observation of these clips; make them with `deepcue extract --observations`"
        )
    if n_missing := len(wanted) - len(kept):
        logger.warning(
            "%s: %d of %d clips have no observation; their columns are empty", observations, n_missing, len(wanted)
        )
    rows = source.select(["n_frames", "duration_s"]).to_pylist()
    usable = {row: file for row, file in kept.items() if _is_of_the_row(observation.kept_header(file), rows[row])}
    of_others = (
        f"{observations}: {len(kept) - len(usable)} of {len(kept)} observations are of other clips that have the "
        "same names, or have other lengths than the table says"
    )
    if not usable:
        raise DatasetError(f"{of_others}; give the folder that was kept when this table was measured")
    if len(usable) < len(kept):
        logger.warning("%s; their columns are empty", of_others)
    return usable


def _is_of_the_row(header: observation.ObservationHeader, row: Mapping[str, Any]) -> bool:
    """Return True when an observation has the length of its row, or the row has none (for example after a crash).

    Clips of equal length can't be distinguished, for example several encodings of the same clip.
    """
    if row["duration_s"] is None or math.isnan(row["duration_s"]):
        return True
    return header.n_frames == row["n_frames"] and math.isclose(header.duration_s, row["duration_s"], rel_tol=1e-6)


def scores(measured: pa.Table, assignments: dict[str, folds.FoldAssignment], family: str) -> dict[str, Any]:
    """Score a family's mean logit on the clips of ``assignments``: :func:`training.faces.scores.summary`.

    The true class is the training label (synthetic speech over real video is not forged video), or the label of the
    clip where the training label is unknown.
    """
    from training.faces.scores import summary

    logits = measured[f"{family}.{LOGIT.get(family, 'logit_mean')}"].to_numpy()
    name, label, source = (
        np.array(measured[column].to_pylist(), dtype=object) for column in ("filename", "label", "source")
    )
    group = np.array(groups_of_clips(measured["group"].to_pylist(), name.tolist()), dtype=object)
    known = (
        np.isfinite(logits)
        & np.array([filename in assignments for filename in name], dtype=bool)
        & np.isin(label.astype(str), table.LABELS)
    )
    training_label = [assignments[filename].fake for filename in name[known]]
    fake = np.array(
        [text == "FAKE" if given is None else given for given, text in zip(training_label, label[known], strict=True)],
        dtype=bool,
    )
    source = np.array([text or "" for text in source], dtype=object)
    return summary(logits[known], fake, source[known], group[known])
