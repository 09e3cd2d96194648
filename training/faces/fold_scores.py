"""Scores of the fold networks of a training on the clips and images that each left out, pooled over folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import DatasetError
from features.table import read_parquet
from forge.images.augment import PhotometricAugmentation
from training import folds
from training.faces import pools
from training.faces.scores import FRAMES, Logits, clip_logit, summary_of_pool

CONDITIONS: dict[str, tuple[tuple[str, ...], PhotometricAugmentation | None]] = {
    "original": (("clips", "crops"), None),
    "half size, CRF 32": (("clips", "crops"), PhotometricAugmentation(reduction=0.5, h264_crf=32)),
    "transcoded": (("transcoded",), None),
}
"""Conditions of the scores: the caches of faces, and the augmentation of each face."""
OPTIONAL = "crops"  # a cache that exists only for a training with further crops
MEAN = "mean of the networks"
SUBSETS = ("clips", "pictures", "clips not recut")


def scores_of_folds(
    out: Path, networks: Sequence[str] = ("fold",), frames: int = FRAMES, *, suffix: str = ""
) -> dict[str, dict[str, dict[str, Any]]]:
    """Score networks, and the mean of their logits, under each of :data:`CONDITIONS`.

    Parameters
    ----------
    out
        Folder of a training.
    networks
        Names of the phases without the number of the fold: ``fold``, ``residual_fold``.
    frames
        Largest number of faces per clip.
    suffix
        Suffix of the names of weights: ``.alpha0`` for those before interpolation.

    Returns
    -------
    dict
        Nested: network (and last :data:`MEAN`, if there are several), condition, one of :data:`SUBSETS`, to
        :func:`training.faces.scores.summary` with the logit of each clip.

    Raises
    ------
    DatasetError
        The cached faces or the folds are missing from the folder.
    ModelError
        The weights of a fold are missing from the folder.
    """
    from features.networks.efficientnet_lite import Detector

    fold_of = {name: assignment.fold for name, assignment in folds.read(out / folds.FILE).items()}
    cached = {names: cached_faces(out, names) for names, _ in CONDITIONS.values()}
    numbers = sorted(set(fold_of.values()))
    detectors = {
        name: {fold: Detector(out / f"{name}{fold}{suffix}.safetensors") for fold in numbers} for name in networks
    }
    result: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in networks}
    for condition, (names, augmentation) in CONDITIONS.items():
        pool = cached[names]
        logits = {
            name: out_of_fold_logits(pool, fold_of, of_fold, frames, augmentation)
            for name, of_fold in detectors.items()
        }
        if len(networks) > 1:
            first = logits[networks[0]]
            logits[MEAN] = {key: float(np.mean([of_network[key] for of_network in logits.values()])) for key in first}
        for name, logit in logits.items():
            result.setdefault(name, {})[condition] = summaries(pool, logit)
    return result


def summaries(pool: pools.Pool, logit: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Return :func:`training.faces.scores.summary` of each of :data:`SUBSETS` that has a clip with a logit."""
    return {
        subset: summary_of_pool(pool, {key: logit[key] for key in keys})
        for subset, keys in subsets(pool, logit).items()
        if keys
    }


def out_of_fold_logits(
    pool: pools.Pool,
    fold_of: Mapping[str, int],
    networks: Mapping[int, Any],
    frames: int = FRAMES,
    augmentation: PhotometricAugmentation | None = None,
) -> dict[str, float]:
    """Map each clip to its :func:`training.faces.scores.clip_logit` by the network of its fold."""
    of_fold = {fold: (_Predict(network), network.metadata.input_size) for fold, network in networks.items()}
    return {
        key: clip_logit(pool, key, *of_fold[fold_of[key]], frames=frames, augmentation=augmentation)
        for key in sorted(set(pool.key) & fold_of.keys())
    }


class _Predict:
    """A network as a function of crops [n, 3, s, s] that returns logits [n]."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, crops: NDArray[np.uint8]) -> Logits:
        logits: Logits = self._network.predict(crops.transpose(0, 2, 3, 1))[0]
        return logits


def subsets(pool: pools.Pool, logit: Mapping[str, float]) -> dict[str, list[str]]:
    """Return the keys of clips, of single images, and of clips not re-encoded by a page, where some were."""
    rows = {key: of_key for key, of_key in pools.rows_by_key(pool).items() if key in logit}
    clips = [key for key, of_key in rows.items() if len(of_key) > 1]
    not_recut = [key for key in clips if not pool.recut[rows[key][0]]]
    images = sorted(rows.keys() - set(clips))
    return dict(zip(SUBSETS, (clips, images, not_recut if len(not_recut) < len(clips) else []), strict=True))


def cached_faces(out: Path, names: Sequence[str]) -> pools.Pool:
    """Return the caches of a training with these names as one pool; :data:`OPTIONAL` may be missing.

    Raises
    ------
    DatasetError
        A cache is missing or can't be read.
    """
    files = [out / "cache" / f"{name}.parquet" for name in names]
    tables = []
    for file in files:
        if file.stem == OPTIONAL and not file.exists():
            continue
        try:
            tables.append(read_parquet(file))
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(
                f"{file} can't be read ({error}); give the folder of a training that went through its folds"
            ) from error
    try:
        return pools.Pool(pa.concat_tables(tables, promote_options="default"))
    except KeyError as error:
        raise DatasetError(f"{files[0]} lacks the column {error}; give the folder of a training") from error
