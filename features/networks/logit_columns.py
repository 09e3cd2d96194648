"""From a track's crops and a network's weights to columns: what every family of a face network shares.

A network gives a logit a face, positive for a forgery. Logits, not probabilities: the stack weighs them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from features.networks.weights import weights_file
from features.observation import CROP_SCALE, Track
from features.spec import Column

if TYPE_CHECKING:
    from features.networks.efficientnet_lite import Detector

MAX_CROPS = 8  # 10 ms each
MIN_CROP_PX = 24  # a smaller face shows nothing that a network learned
MAX_LOGIT = 12.0

_LOGIT = (-MAX_LOGIT, MAX_LOGIT)
_QUANTITIES: dict[str, tuple[tuple[float, float], str, str]] = {
    "logit_mean": (_LOGIT, "up", "max"),
    "logit_med": (_LOGIT, "up", ""),
    "logit_q10": (_LOGIT, "up", ""),
    "logit_q90": (_LOGIT, "up", ""),
    "logit_std": ((0.0, MAX_LOGIT), "either", ""),
    "logit_max": (_LOGIT, "up", ""),
    "logit_top4_mean": (_LOGIT, "up", "max"),
    "logit_conf_mean": (_LOGIT, "up", ""),
    "logit_step_mean": ((0.0, 2 * MAX_LOGIT), "either", ""),
    "share_over_0": ((0.0, 1.0), "up", ""),
    "emb_disp": ((0.0, 2.0), "either", ""),
    "valid_share": ((0.0, 1.0), "covariate", ""),
}
"""Range, direction, and whether the worst of several people gets a column of its own."""


def columns(family: str, source: str) -> tuple[Column, ...]:
    """Columns of a family; ``source`` is told in the catalogue."""
    return tuple(
        Column(f"{family}.{name}", range=range, reference=source, direction=direction, worst=worst)
        for name, (range, direction, worst) in _QUANTITIES.items()
    )


@functools.lru_cache(maxsize=8)
def _detector(file: Path) -> Detector:
    from features.networks.efficientnet_lite import Detector

    return Detector(file)


def measure(track: Track, family: str) -> dict[str, float]:
    """Columns of one person by the network of a family; all NaN where its weights are missing.

    Raises
    ------
    ModelError
        The file is there but can't be used.
    """
    logits, embeddings = np.empty(0, np.float32), np.empty((0, 1), np.float32)
    weights = weights_file(family)
    if weights.exists():
        detector = _detector(weights)
        faces = network_crops(track.crops, margin=detector.metadata.margin, size=detector.metadata.input_size)
        if len(faces):
            logits, embeddings = detector.predict(faces)
    values = summarise(logits, embeddings, n_crops=min(len(track.crops), MAX_CROPS))
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


def summarise(logits: NDArray[np.float32], embeddings: NDArray[np.float32], *, n_crops: int) -> dict[str, float]:
    """Columns from the logits [n] and embeddings [n, d] of faces in order of time; NaN logits are left out.

    Returns
    -------
    dict
        ``logit_conf_mean`` is the mean weighted by ``abs(sigmoid - 0.5)``; ``logit_top4_mean`` that of the
        largest quarter; ``logit_step_mean`` that of the absolute steps between neighbours (NaN for one face);
        ``emb_disp`` the mean cosine distance of the embeddings to their mean; ``valid_share`` the share of
        ``n_crops`` that gave a logit.
    """
    finite = np.isfinite(logits)
    z = np.clip(logits[finite].astype(np.float64), -MAX_LOGIT, MAX_LOGIT)
    if not z.size:
        return {"valid_share": 0.0}
    confidence = np.abs(1 / (1 + np.exp(-z)) - 0.5) + 1e-6
    values = {
        "logit_mean": z.mean(),
        "logit_med": np.median(z),
        "logit_q10": np.quantile(z, 0.1),
        "logit_q90": np.quantile(z, 0.9),
        "logit_std": z.std(),
        "logit_max": z.max(),
        "logit_top4_mean": np.sort(z)[-max(1, z.size // 4) :].mean(),
        "logit_conf_mean": np.average(z, weights=confidence),
        "logit_step_mean": np.abs(np.diff(z)).mean() if z.size > 1 else np.nan,
        "share_over_0": (z > 0).mean(),
        "emb_disp": _dispersion(embeddings[finite].astype(np.float64)),
        "valid_share": z.size / max(n_crops, 1),
    }
    return {name: float(value) for name, value in values.items()}


def _dispersion(embeddings: NDArray[np.float64]) -> float:
    if len(embeddings) < 2:
        return float("nan")
    mean = embeddings.mean(axis=0)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(mean)
    return float(np.mean(1 - (embeddings @ mean) / np.maximum(lengths, 1e-12)))
