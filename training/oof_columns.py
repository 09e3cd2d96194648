"""Out-of-fold columns: network columns of each clip, measured by networks that never saw its method or people.

A stack that is fitted on the columns of a network which was trained on the same clips overestimates their reliability.
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
from features.networks.speech_model import VoiceModel
from features.networks.weights import use_weights, weights_file
from features.reasons import CLIP, OBSERVATION, Reason
from features.threads import opencv_on_one_thread
from training import folds
from training.folds import FOLD_FILES
from training.progress import Progress, no_progress, tracked

logger = logging.getLogger(__name__)

LOGIT = {"forensic_voice": "logit"}  # column that is scored; for face networks it is "logit_mean"
FACES = ("forensic_cnn", "forensic_residual")  # families whose folds come from the same training
CuesOfClips = MutableMapping[tuple[str, ...], dict[str, float]]
"""(name of a clip, names of its measured cues...) to the values of these cues."""


def observation_file(folder: Path, filename: str) -> Path:
    """Return the file in which ``deepcue extract --observations`` keeps the observation of a clip."""
    return folder / kept_name(filename)


def out_of_fold(
    source: pa.Table,
    observations: Path,
    fold_of: dict[str, int],
    weights: Path,
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
    weights
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
    files = {fold: _fold_files(weights, fold, families) for fold in sorted(set(fold_of.values()))}
    for of_fold in files.values():
        _check_weights(of_fold)
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


def _check_weights(files: Mapping[str, Path]) -> None:
    """Load the weights of a fold's families; ModelError where they can't be used.

    Without this check, unreadable weights would silently empty the family's columns for every clip.
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


def of_crops(
    source: pa.Table,
    crops: pa.Table,
    fold_of: Mapping[str, int],
    weights: Path,
    families: Sequence[str] = FACES,
    *,
    kept: CuesOfClips | None = None,
) -> pa.Table:
    """Return rows, in the layout of the table ``source``, for clips that exist only as face crops.

    Parameters
    ----------
    source
        A feature table; the rows have its columns, NaN except for those of ``families`` and for the hand-crafted cues
        that the late fusion reads.
    crops
        Table of :func:`training.faces.index.crops`. Single images are left out, because they are not clips, and so are
        panels that a web page re-encoded side by side, because users have no such clips.
    fold_of
        Filename of a clip to its fold.
    weights
        Folder with the networks of each fold.
    families
        Some of :data:`FACES`, and ``cnn_embedding``.
    kept
        Hand-crafted cues of these crops that earlier calls measured; this call adds to them. The cues do not depend on
        the networks, so several trainings can share them.

    Raises
    ------
    ModelError
        The weights of a fold are missing or can't be used.
    DatasetError
        A clip is missing from the folds, or a family does not belong to a face network.
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
        images = [decode_image(row["jpeg"], f"a face crop of {key!r}") for row in frames]
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
    """Return the base columns of a clip from the index rows of its face crops."""
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
    """Return the columns of a clip from its face crops; each network scores them once."""
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
    images: Sequence[NDArray[np.uint8]], encoded: Sequence[bytes], names: Sequence[str]
) -> dict[str, float]:
    """Return the columns ``names`` of a clip from its crops, decoded and encoded: of whole crops, and of landmarks."""
    of_landmarks = [name for name in names if not name.startswith(f"{region_contrast.FAMILY}.")]
    measured = face_contrast.of_crops(images) if len(of_landmarks) < len(names) else {}
    return measured | (_cues_of_stills(encoded, of_landmarks) if of_landmarks else {})


def _cues_of_stills(encoded: Sequence[bytes], names: Sequence[str]) -> dict[str, float]:
    """Return hand-crafted cues of a clip that exists only as images, each measured as a still.

    A column is the median (for shares, the mean) over the images in which it can be measured, and NaN where there are
    none. One image is enough, where a video clip needs five frames: few of six images show both irises
    (docs/experiments/038).
    """
    known = discovery.families({name.split(".")[0] for name in names})
    with opencv_on_one_thread():
        measured = [measuring.measure_clip(stills.observe(data), known)[0] for data in encoded]
    return {name: _middle(name, np.array([of_image[name] for of_image in measured])) for name in names}


def _middle(name: str, values: NDArray[np.floating[Any]]) -> float:
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan")
    return float(np.mean(values) if name.endswith("_share") else np.median(values))


def _with_networks(families: Sequence[str]) -> list[str]:
    """Return the families, and the networks that they read."""
    return list(dict.fromkeys([*families, *(projection.NETWORKS if projection.FAMILY in families else ())]))


def _fold_files(weights: Path, fold: int, families: Sequence[str]) -> dict[str, Path]:
    files = {family: weights / FOLD_FILES[family].format(fold) for family in _with_networks(families)}
    for file in files.values():
        if not file.is_file():
            raise ModelError(f"{weights} lacks {file.name}; train it, or leave its family out")
    return files


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
