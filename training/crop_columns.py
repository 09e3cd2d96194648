"""Out-of-fold columns of clips that exist only as face crops; for clips with a file see :mod:`training.oof_columns`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.learners import late_fusion
from extract import stills
from features import discovery, measuring, table
from features.errors import DatasetError
from features.families import cnn_embedding, face_contrast
from features.networks import crop_views, logit_columns, projection, region_contrast
from features.networks.weights import use_weights
from features.threads import opencv_on_one_thread
from training.faces.index import decode_image
from training.fold_networks import FACES, fold_files, with_networks

CuesOfClips = MutableMapping[tuple[str, ...], dict[str, float]]
"""(name of a clip, names of its measured cues...) to the values of these cues."""


def of_crops(
    source: pa.Table,
    crops: pa.Table,
    fold_of: Mapping[str, int],
    networks: Path,
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
        Table of :func:`training.faces.labelled_images.crops`. Single images are left out, because they are not clips,
        and so are panels that a web page re-encoded side by side, because users have no such clips.
    fold_of
        Filename of a clip to its fold.
    networks
        Folder of a training, with the networks of each fold.
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
        encoded = [frame["jpeg"] for frame in frames]
        images = [decode_image(data, f"a face crop of {key!r}") for data in encoded]
        with use_weights(fold_files(networks, fold_of[key], families)):
            measured = _of_images(images, families)
        if cues:
            known = (key, *cues)
            if known not in kept:
                kept[known] = _cues_of_crops(images, encoded, cues)
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
    scores = {
        name: logit_columns.score_crops(images, name, numbers, views=crop_views.VIEWS)
        for name in with_networks(families)
        if name in FACES
    }
    measured: dict[str, float] = {}
    for family in families:
        if family == projection.FAMILY:
            measured |= cnn_embedding.of_scores(scores, n_crops=len(numbers))
        else:
            measured |= logit_columns.of_scores(scores[family], family, n_crops=len(numbers))
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
