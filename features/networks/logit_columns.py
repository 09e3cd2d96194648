"""From a track's crops and a network's weights to columns: what every family of a face network shares.

A network gives each face crop a logit, its log-odds that the face is fake: 0 is undecided, positive speaks for a fake.
Logits and not probabilities, because learners weigh and add them. A family is a name, a weights file of that name and
:func:`columns`; :func:`measure` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from features.networks.weights import kept_in_memory, weights_file
from features.observation import CROP_SCALE, Track
from features.spec import Column

if TYPE_CHECKING:
    from features.networks.efficientnet_lite import Detector

MAX_CROPS = 8  # of a face track: 10 ms each
MIN_CROP_PX = 24  # a smaller face shows nothing that a network learned
MAX_LOGIT = 12.0  # scores are clipped to this either way

_LOGIT = (-MAX_LOGIT, MAX_LOGIT)


@dataclass(frozen=True)
class _Quantity:
    """What a column says: range, direction, whether the largest over several faces gets a column of its own."""

    range: tuple[float, float]
    direction: str
    description: str
    worst: str = ""


_QUANTITIES = {
    "logit_mean": _Quantity(
        _LOGIT, "up", "Mean over the face crops of the network's score, its log-odds that a face is fake.", "max"
    ),
    "logit_med": _Quantity(_LOGIT, "up", "Median of the network's score over the face crops."),
    "logit_q10": _Quantity(_LOGIT, "up", "Score that a tenth of the face crops stay below."),
    "logit_q90": _Quantity(_LOGIT, "up", "Score that a tenth of the face crops exceed."),
    "logit_std": _Quantity(
        (0.0, MAX_LOGIT), "either", "How much the score varies over the face crops (standard deviation)."
    ),
    "logit_max": _Quantity(_LOGIT, "up", "Score of the face crop that looks most like a fake to the network."),
    "logit_top4_mean": _Quantity(
        _LOGIT, "up", "Mean score of the quarter of the face crops that look most like a fake.", "max"
    ),
    "logit_conf_mean": _Quantity(
        _LOGIT, "up", "Mean score in which a face crop weighs more the surer the network is of it."
    ),
    "logit_step_mean": _Quantity(
        (0.0, 2 * MAX_LOGIT), "either", "Mean absolute change of the score from one face crop to the next in time."
    ),
    "share_over_0": _Quantity((0.0, 1.0), "up", "Fraction of the face crops that look more fake than real."),
    "emb_disp": _Quantity(
        (0.0, 2.0),
        "either",
        "How far the network's inner descriptions of the face crops scatter about their mean (mean cosine distance).",
    ),
    "valid_share": _Quantity(
        (0.0, 1.0), "covariate", "Fraction of the face crops looked at that were large enough for the network."
    ),
}


def columns(family: str, source: str) -> tuple[Column, ...]:
    """The columns of a family of face networks.

    Parameters
    ----------
    family
        Its name, which is that of its weights file as well.
    source
        What the catalogue names as the reference: the network and where it was trained.

    Examples
    --------
    >>> [column.name for column in columns("mine", "a network of mine")][:2]
    ['mine.logit_mean', 'mine.logit_med']
    """
    return tuple(
        Column(
            f"{family}.{name}",
            range=one.range,
            reference=source,
            direction=one.direction,
            worst=one.worst,
            description=one.description,
        )
        for name, one in _QUANTITIES.items()
    )


@kept_in_memory
def _detector(file: Path) -> Detector:
    from features.networks.efficientnet_lite import Detector

    return Detector(file)


def measure(track: Track, family: str) -> dict[str, float]:
    """Columns of one face track by the network of a family; all NaN where its weights are missing.

    Raises
    ------
    ModelError
        The weights file is there but can't be used.
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
        RGB square crops [s, s, 3], each ``CROP_SCALE`` times as wide as the face box.
    margin
        Wanted side over the longer side of the face box, at most ``CROP_SCALE``.
    size
        Wanted side of the network's input in px.

    Returns
    -------
    ndarray
        [n, size, size, 3], n at most ``MAX_CROPS``, evenly spread; crops under ``MIN_CROP_PX`` are left out.
    """
    chosen = crops
    if len(crops) > MAX_CROPS:
        chosen = [crops[int(position)] for position in (np.arange(MAX_CROPS) + 0.5) * len(crops) / MAX_CROPS]
    cut = [_middle(crop, margin / CROP_SCALE, size) for crop in chosen if min(crop.shape[:2]) >= MIN_CROP_PX]
    return np.stack(cut) if cut else np.empty((0, size, size, 3), np.uint8)


def _middle(crop: NDArray[np.uint8], fraction: float, size: int) -> NDArray[np.uint8]:
    side = round(crop.shape[0] * fraction)
    start = (crop.shape[0] - side) // 2
    part = crop[start : start + side, start : start + side]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if size < side else cv2.INTER_LINEAR)


def summarise(logits: NDArray[np.float32], embeddings: NDArray[np.float32], *, n_crops: int) -> dict[str, float]:
    """Summarise the scores of a face track's crops.

    Parameters
    ----------
    logits : ndarray of shape (n,)
        Scores in order of time; those that are NaN are left out, the others clipped to +-12.
    embeddings : ndarray of shape (n, d)
        The network's last layer before the logit.
    n_crops
        How many crops were looked at, whether or not they gave a logit.

    Returns
    -------
    dict
        Column names without the family. ``logit_conf_mean`` is the mean weighted by ``abs(sigmoid(z) - 0.5)``;
        ``logit_top4_mean`` that of the largest quarter; ``logit_step_mean`` that of the absolute steps between
        neighbours (NaN for one crop); ``emb_disp`` the mean cosine distance of the embeddings to their mean;
        ``valid_share`` the fraction of ``n_crops`` that gave a logit. ``valid_share`` alone where none did.

    Examples
    --------
    >>> values = summarise(np.float32([1, -1, 3]), np.ones((3, 2), np.float32), n_crops=4)
    >>> values["logit_mean"], values["logit_step_mean"], values["valid_share"]
    (1.0, 3.0, 0.75)
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
