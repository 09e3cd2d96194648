"""From a track's crops and a network's weights to columns: what every family of a face network shares.

A network gives a logit a face, positive for a forgery.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from features import logits
from features.observation import CROP_SCALE, Track
from features.spec import Column
from features.weights import weights_file

if TYPE_CHECKING:
    from features.models import Detector

MAX_CROPS = 8  # 10 ms each
MIN_CROP_PX = 24  # a smaller face shows nothing that a network learned
WORST = ("logit_mean", "logit_top4_mean")  # of several people, in columns of their own


def columns(family: str, source: str) -> tuple[Column, ...]:
    """Columns of a family; ``source`` is told in the catalogue."""
    dispersion = Column(f"{family}.emb_disp", range=(0.0, 2.0), reference=source, direction="either")
    *others, valid_share = logits.columns(family, source, worst=WORST)
    return (*others, dispersion, valid_share)


@functools.lru_cache(maxsize=8)
def _detector(file: Path) -> Detector:
    from features.models import Detector

    return Detector(file)


def measure(track: Track, family: str) -> dict[str, float]:
    """Columns of one person by the network of a family; all NaN where its weights are missing.

    Raises
    ------
    ModelError
        The file is there but can't be used.
    """
    z, embeddings = np.empty(0, np.float32), np.empty((0, 1), np.float32)
    weights = weights_file(family)
    if weights.exists():
        detector = _detector(weights)
        faces = network_crops(track.crops, margin=detector.card.margin, size=detector.card.input_size)
        if len(faces):
            z, embeddings = detector.predict(faces)
    values = summarise(z, embeddings, n_crops=min(len(track.crops), MAX_CROPS))
    return {f"{family}.{name}": value for name, value in values.items()}


def network_crops(crops: Sequence[NDArray[np.uint8]], *, margin: float, size: int) -> NDArray[np.uint8]:
    """The middle of each observed crop, as the network was trained to see it.

    Parameters
    ----------
    crops
        RGB squares [s, s, 3] that show ``CROP_SCALE`` times the face box.
    margin
        Wanted side over the longer side of the face box, at most ``CROP_SCALE``.
    size
        Wanted side in px.

    Returns
    -------
    ndarray
        [n, size, size, 3], n at most ``MAX_CROPS``, evenly spread; crops under ``MIN_CROP_PX`` are left out.
    """
    some = crops
    if len(crops) > MAX_CROPS:
        some = [crops[int(position)] for position in (np.arange(MAX_CROPS) + 0.5) * len(crops) / MAX_CROPS]
    cut = [_middle(crop, margin / CROP_SCALE, size) for crop in some if min(crop.shape[:2]) >= MIN_CROP_PX]
    return np.stack(cut) if cut else np.empty((0, size, size, 3), np.uint8)


def _middle(crop: NDArray[np.uint8], share: float, size: int) -> NDArray[np.uint8]:
    side = round(crop.shape[0] * share)
    start = (crop.shape[0] - side) // 2
    part = crop[start : start + side, start : start + side]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if size < side else cv2.INTER_LINEAR)


def summarise(z: NDArray[np.float32], embeddings: NDArray[np.float32], *, n_crops: int) -> dict[str, float]:
    """Columns from the logits [n] and embeddings [n, d] of faces in order of time; NaN logits are left out.

    Returns
    -------
    dict
        Those of :func:`features.logits.summarise`, and ``emb_disp``, the mean cosine distance of the embeddings to
        their mean (NaN for one face).
    """
    values = logits.summarise(z, n_pieces=n_crops)
    finite = np.isfinite(z)
    if finite.any():
        values["emb_disp"] = _dispersion(embeddings[finite].astype(np.float64))
    return values


def _dispersion(embeddings: NDArray[np.float64]) -> float:
    if len(embeddings) < 2:
        return float("nan")
    mean = embeddings.mean(axis=0)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(mean)
    return float(np.mean(1 - (embeddings @ mean) / np.maximum(lengths, 1e-12)))
