"""Out-of-fold columns: those of the trained families, by networks that never saw the clip's method or people.

A stack fitted on columns from a network that was trained on the same clips would trust them far too much.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import defaultdict
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.learners import late_fusion
from ensemble.training_set import groups_of_clips
from extract import stills
from extract.run.observation_store import kept_name
from extract.run.worker import reasons_of
from features import discovery, measuring, observation, spec, table
from features.errors import DatasetError, ModelError
from features.families import cnn_embedding, face_contrast
from features.networks import logit_columns, projection, region_contrast
from features.networks.weights import use_weights, weights_file
from features.reasons import CLIP, OBSERVATION, Reason
from features.speech_model import VoiceModel
from features.threads import opencv_on_one_thread
from training import folds
from training.folds import FOLD_FILES

logger = logging.getLogger(__name__)

LOGIT = {"forensic_voice": "logit"}  # column that is scored; of face networks "logit_mean"
FACES = ("forensic_cnn", "forensic_residual")  # whose folds are those of one training
CuesOfClips = MutableMapping[tuple[str, ...], dict[str, float]]
"""Name of a clip, and of the cues that were measured of it, to their values."""


def observation_file(folder: Path, filename: str) -> Path:
    """Where ``deepcue extract --observations`` keeps the observation of a clip."""
    return folder / kept_name(filename)


def out_of_fold(
    source: pa.Table,
    observations: Path,
    fold_of: dict[str, int],
    weights: Path,
    families: Sequence[str],
) -> pa.Table:
    """The table with the families' columns of every clip of ``fold_of`` measured by the networks of its fold.

    A clip without an observation, or with one whose length is another than its row says, gets NaN (0 of shares), never
    the columns of a network that saw it; how many these are is logged, and its row says that the observation was not
    kept. Of the others the row says why a family has no number by its fold's networks.

    Raises
    ------
    ModelError
        A fold's weights are missing, or can't be used.
    DatasetError
        The table has no column of a family, none of its clips is in the folds, or none of those that are has an
        observation.
    """
    from tqdm import tqdm

    measures = discovery.families(families)
    files = {fold: _fold_files(weights, fold, families) for fold in sorted(set(fold_of.values()))}
    for of_fold in files.values():
        _check_weights(of_fold)
    names = _columns(source, measures)
    reasons = table.row_reasons(source)
    values: dict[str, NDArray[np.float32]] = {name: source[name].to_numpy().copy() for name in names}
    wanted = [(row, name) for row, name in enumerate(source["filename"].to_pylist()) if name in fold_of]
    usable = _usable(source, wanted, observations)
    for row, filename in tqdm(wanted, desc="out of fold", unit="clip"):
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
    """Columns of families by the weights in use, and the code of the reason of those that have no number."""
    values, failures = measuring.measure_clip(observed, measures)
    codes = reasons_of(measures, observed, values, failures)
    return values, {family: code.value for family, code in codes.items()}


def _check_weights(files: Mapping[str, Path]) -> None:
    """Load the weights of a fold's families; ModelError where some can't be used.

    A family whose weights can't be read would else cost its own columns of each clip, one by one.
    """
    with use_weights(files):
        for family in files:
            if family == projection.FAMILY:
                projection.known_networks()
            elif family in FACES:
                logit_columns.ready_detector(family)
            else:
                VoiceModel.load(weights_file(family))


def _columns(source: pa.Table, measures: Sequence[spec.Family]) -> list[str]:
    """Names of the columns of the families that the table has, of each some."""
    names = []
    for family in measures:
        own = [column.name for column in family.table_columns if column.name in source.column_names]
        if not own:
            raise DatasetError(f"the table has no column of {family.name}; measure it again, or leave the family out")
        names += own
    return names


def _usable(source: pa.Table, wanted: Sequence[tuple[int, str]], observations: Path) -> dict[int, Path]:
    """The kept observation of each wanted row that has one of its own; how many have none is said.

    Raises
    ------
    DatasetError
        No row is wanted, or none of them has one.
    """
    if not wanted:
        raise DatasetError("no clip of the table is in the folds; give those of a training on these clips")
    there = {row: file for row, name in wanted if (file := observation_file(observations, name)).is_file()}
    if not there:
        raise DatasetError(
            f"{observations}: no observation of these clips; make them with deepcue extract --observations"
        )
    if n_missing := len(wanted) - len(there):
        logger.warning(
            "%s: %d of %d clips have no observation; their columns are empty", observations, n_missing, len(wanted)
        )
    rows = source.select(["n_frames", "duration_s"]).to_pylist()
    usable = {row: file for row, file in there.items() if _is_of_the_row(observation.kept_header(file), rows[row])}
    of_others = (
        f"{observations}: {len(there) - len(usable)} of {len(there)} observations are of other clips that have the "
        "same names, or of other lengths than the table says"
    )
    if not usable:
        raise DatasetError(f"{of_others}; give the folder that was kept when this table was measured")
    if len(usable) < len(there):
        logger.warning("%s; their columns are empty", of_others)
    return usable


def _is_of_the_row(header: observation.ObservationHeader, row: Mapping[str, Any]) -> bool:
    """Whether a row says the length of an observation; one of unknown length, as of a clip that crashed, says nothing.

    Clips that are equally long, as the copies of one that was coded several times, are not told apart.
    """
    if row["duration_s"] is None or math.isnan(row["duration_s"]):
        return True
    return header.n_frames == row["n_frames"] and math.isclose(header.duration_s, row["duration_s"], rel_tol=1e-6)


def of_crops(
    source: pa.Table,
    crops: pa.Table,
    fold_of: Mapping[str, int],
    weights: Path,
    families: Sequence[str] = FACES,
    *,
    kept: CuesOfClips | None = None,
) -> pa.Table:
    """Rows, in the layout of the table ``source``, of clips of which there are face crops alone.

    Parameters
    ----------
    source
        A feature table; the rows have its columns, NaN but for those of ``families`` and for the hand-crafted cues that
        the late fusion reads.
    crops
        Of :func:`training.faces.index.crops`. Left out are single pictures, which are no clips, and what a page encoded
        once more beside others: no user has a clip like that.
    fold_of
        Fold of each clip.
    weights
        Folder of the networks of each fold.
    families
        Of :data:`FACES`, and ``cnn_embedding``.
    kept
        Hand-crafted cues that were measured of these crops, to which those of this call are added: they do not depend
        on the networks, so that several trainings share them.

    Raises
    ------
    ModelError
        A fold's weights are missing, or can't be used.
    DatasetError
        The folds lack a clip, or a family is of no face network.
    """
    from training.faces.index import decode_image

    if other := set(families) - {*FACES, projection.FAMILY}:
        raise DatasetError(f"face crops have no columns of {min(other)}; leave the crops out, or that family")

    names = [column for column in source.column_names if column not in table.BASE_COLUMNS]
    cues = [name for name in late_fusion.CUES if name in names]
    kept = {} if kept is None else kept
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in crops.select(["key", "fake", "group", "source", "jpeg", "recut"]).to_pylist():
        rows[row["key"]].append(row)
    base: dict[str, list[Any]] = {name: [] for name in table.BASE_COLUMNS}
    values = []
    for key, frames in sorted(rows.items()):
        if len(frames) == 1 or any(frame["recut"] for frame in frames):
            continue
        if key not in fold_of:
            raise DatasetError(f"the folds lack {key} of the face crops; give those of a training with these crops")
        images = [decode_image(row["jpeg"]) for row in frames]
        with use_weights(_fold_files(weights, fold_of[key], families)):
            measured = _of_images(images, families)
        if cues:
            known = (key, *cues)
            if known not in kept:
                kept[known] = _cues_of_crops(images, [row["jpeg"] for row in frames], cues)
            measured |= kept[known]
        values.append([measured.get(name, np.nan) for name in names])
        for name, value in _base_columns(key, frames).items():
            base[name].append(value)
    return table.build(base, np.array(values, np.float32).reshape(-1, len(names)), source.schema)


def _base_columns(key: str, frames: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a table says of a clip besides its cues, from the index rows of its face crops."""
    first = frames[0]
    return {
        "filename": key,
        "label": table.LABELS[first["fake"]],
        "group": first["group"],
        "source": first["source"],
        "status": "ok",
        "error": "",
        "reasons": {},
        "duration_s": np.nan,
        "n_frames": len(frames),
        "n_faces": 1,
    }


def _of_images(images: Sequence[NDArray[np.uint8]], families: Sequence[str]) -> dict[str, float]:
    """Columns of the face crops of a clip; each network judges them once."""
    numbers = logit_columns.chosen(len(images))
    judged = {
        name: logit_columns.judge(images, name, numbers, views=logit_columns.VIEWS)
        for name in _with_networks(families)
        if name in FACES
    }
    measured: dict[str, float] = {}
    for family in families:
        if family == projection.FAMILY:
            measured |= cnn_embedding.of_judged(judged, n_crops=len(numbers))
        else:
            measured |= logit_columns.of_judged(judged[family], family, n_crops=len(numbers))
    return measured


def _cues_of_crops(
    images: Sequence[NDArray[np.uint8]], pictures: Sequence[bytes], names: Sequence[str]
) -> dict[str, float]:
    """The columns ``names`` of a clip's crops, given decoded and not: those of whole crops, and those of landmarks."""
    of_landmarks = [name for name in names if not name.startswith(f"{region_contrast.FAMILY}.")]
    measured = face_contrast.of_crops(images) if len(of_landmarks) < len(names) else {}
    return measured | (_cues_of_stills(pictures, of_landmarks) if of_landmarks else {})


def _cues_of_stills(pictures: Sequence[bytes], names: Sequence[str]) -> dict[str, float]:
    """Hand-crafted cues of a clip of which there are pictures alone, each measured as a still.

    A column is the median over the pictures that show it, of shares the mean; NaN where none does. One is enough, where
    a clip needs five frames: of six pictures few show both irises (docs/experiments/038).
    """
    known = discovery.families({name.split(".")[0] for name in names})
    with opencv_on_one_thread():
        measured = [measuring.measure_clip(stills.observe(data), known)[0] for data in pictures]
    return {name: _middle(name, np.array([one[name] for one in measured])) for name in names}


def _middle(name: str, values: NDArray[np.floating[Any]]) -> float:
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan")
    return float(np.mean(values) if name.endswith("_share") else np.median(values))


def _with_networks(families: Sequence[str]) -> list[str]:
    """The families, and the networks that they read."""
    return list(dict.fromkeys([*families, *(projection.NETWORKS if projection.FAMILY in families else ())]))


def _fold_files(weights: Path, fold: int, families: Sequence[str]) -> dict[str, Path]:
    files = {family: weights / FOLD_FILES[family].format(fold) for family in _with_networks(families)}
    for file in files.values():
        if not file.is_file():
            raise ModelError(f"{weights} lacks {file.name}; train it, or leave its family out")
    return files


def stacked(parts: Sequence[pa.Table]) -> pa.Table:
    """The tables one below the other, the number of each in front of its filenames; rows of a clip share its group.

    Families whose weights differ from table to table are of no one's.
    """
    known = [table.description(part).get("weights", {}) for part in parts]
    differ = [name for name in {*itertools.chain(*known)} if len({one.get(name) for one in known}) > 1]
    parts = [table.without_weights(part, differ) for part in parts]
    named = []
    for number, part in enumerate(parts):
        names = part["filename"].to_pylist()
        groups = groups_of_clips(part["group"].to_pylist(), names)
        columns = {name: part[name] for name in part.column_names}
        columns |= {"filename": pa.array([f"{number}/{name}" for name in names]), "group": pa.array(groups)}
        named.append(pa.table(columns, schema=part.schema))
    return pa.concat_tables(named)


def scores(measured: pa.Table, assignments: dict[str, folds.FoldAssignment], family: str) -> dict[str, Any]:
    """Scores of a family's mean logit on the clips of ``assignments``: :func:`training.faces.scores.summary`.

    The truth is the training label (synthetic speech over a real picture is no forged picture), and the clip's label
    where that is unknown.
    """
    from training.faces.scores import summary

    logits = measured[f"{family}.{LOGIT.get(family, 'logit_mean')}"].to_numpy()
    name, label, source, group = (
        np.array(measured[column].to_pylist(), dtype=object) for column in ("filename", "label", "source", "group")
    )
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
