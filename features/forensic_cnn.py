"""What a network trained to tell forged faces says of a person's faces: logits, positive for a forgery.

EfficientNet-Lite0 trained on labelled stills and clips and on forgeries made from real faces (self-blended
images of Shiohara & Yamasaki 2022, transplants, resynthesis): see ``ensemble/cnn.py`` and docs/MODEL_CARD.md.
Logits, not probabilities: the stack weighs them. Confounds: heavy compression and soft pictures look forged to
it; a generator that it never saw, and that renders clean pictures, may look real.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from features.observation import CROP_SCALE
from features.spec import Column, family

if TYPE_CHECKING:
    from features.models import Detector
    from features.observation import Observation, Track

WEIGHTS = Path(__file__).resolve().parent.parent / "artifacts" / "pretrained" / "forensic_cnn.safetensors"
WEIGHTS_VARIABLE = "DEEPFAKE_CNN_WEIGHTS"  # another file, for instance of a network trained by `make cnn`
MAX_CROPS = 12  # 10 ms each
MIN_CROP_PX = 24  # a smaller face shows nothing that the network learned
MAX_LOGIT = 12.0

_LOGIT = (-MAX_LOGIT, MAX_LOGIT)
_SOURCE = "EfficientNet-Lite0, trained by ensemble/cnn.py"


def _column(name: str, *, range: tuple[float, float] = _LOGIT, direction: str = "up", worst: str = "") -> Column:
    return Column(f"forensic_cnn.{name}", range=range, reference=_SOURCE, direction=direction, worst=worst)


COLUMNS = (
    _column("logit_mean", worst="max"),
    _column("logit_med"),
    _column("logit_q10"),
    _column("logit_q90"),
    _column("logit_std", range=(0.0, MAX_LOGIT), direction="either"),
    _column("logit_max"),
    _column("logit_top4_mean", worst="max"),
    _column("logit_conf_mean"),
    _column("logit_step_mean", range=(0.0, 2 * MAX_LOGIT), direction="either"),
    _column("share_over_0", range=(0.0, 1.0)),
    _column("emb_disp", range=(0.0, 2.0), direction="either"),
    _column("valid_share", range=(0.0, 1.0), direction="covariate"),
)

_chosen: list[Path] = []


@contextlib.contextmanager
def use_weights(file: Path) -> Iterator[None]:
    """Measure with the weights in ``file`` inside the ``with`` block, for instance those of one fold."""
    _chosen.append(file)
    try:
        yield
    finally:
        _chosen.pop()


def weights_file() -> Path:
    """The weights in use: of :func:`use_weights`, else of the environment variable, else the shipped ones."""
    return _chosen[-1] if _chosen else Path(os.environ.get(WEIGHTS_VARIABLE) or WEIGHTS)


@functools.lru_cache(maxsize=4)
def _detector(file: Path) -> Detector:
    from features.models import Detector

    return Detector(file)


@family("forensic_cnn", version=2, needs={"crops"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Columns of one person; all NaN without weights.

    Raises
    ------
    ModelError
        The weights file is there but can't be used.
    """
    file = weights_file()
    if not file.exists():
        return summarise(np.empty(0, np.float32), np.empty((0, 1), np.float32), n_crops=len(track.crops))
    detector = _detector(file)
    faces = network_crops(track.crops, margin=detector.card.margin, size=detector.card.input_size)
    if not len(faces):
        return summarise(np.empty(0, np.float32), np.empty((0, 1), np.float32), n_crops=len(track.crops))
    return summarise(*detector.predict(faces), n_crops=min(len(track.crops), MAX_CROPS))


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
        return {"forensic_cnn.valid_share": 0.0}
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
    return {f"forensic_cnn.{name}": float(value) for name, value in values.items()}


def _dispersion(embeddings: NDArray[np.float64]) -> float:
    if len(embeddings) < 2:
        return float("nan")
    mean = embeddings.mean(axis=0)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(mean)
    return float(np.mean(1 - (embeddings @ mean) / np.maximum(lengths, 1e-12)))
