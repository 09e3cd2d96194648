"""Score a track's crops with a face network and summarise the scores as columns: shared by all families of networks.

A network gives each face crop a logit, its log-odds that the face is fake: 0 is undecided, positive points to a fake.
Columns summarise logits, not probabilities, because learners weigh and add them. A family consists of a name, a weights
file of that name and :func:`columns`; :func:`measure` does the rest. A network scores a track only once, even if
several families read the scores: :func:`score_track`.

A batch run shows each crop in a different one of :data:`features.networks.crop_views.VIEWS`, framed wider or closer and
every second one mirrored, as in training. Errors that depend on the framing thus average out over a clip, and no crop
is scored twice (docs/experiments/036-views.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.evidence import Series
from features.networks.crop_views import VIEWS, View, in_view
from features.networks.weights import kept_in_memory, weights_file
from features.object_cache import ObjectCache
from features.observation import Observation, Track
from features.spec import Column

if TYPE_CHECKING:
    from features.networks.efficientnet_lite import Detector

MAX_CROPS = 8  # of a face track: 10 ms each
MIN_CROP_PX = 24  # a smaller face shows nothing that a network learned
MAX_LOGIT = 12.0  # scores are clipped to this either way

_LOGIT = (-MAX_LOGIT, MAX_LOGIT)


@dataclass(frozen=True)
class _Quantity:
    """The declaration of a column: range, direction, and whether the largest over several faces gets its own column."""

    range: tuple[float, float]
    direction: str
    description: str
    worst: str = ""


_QUANTITIES = {
    "logit_mean": _Quantity(
        _LOGIT, "up", "Mean over the face crops of the network's score, its log-odds that a face is fake.", "max"
    ),
    "logit_med": _Quantity(_LOGIT, "up", "Median of the network's score over the face crops."),
    "logit_q10": _Quantity(
        _LOGIT,
        "up",
        "Score that a tenth of the face crops, each framed differently, stay below; missing with one crop.",
    ),
    "logit_q90": _Quantity(
        _LOGIT, "up", "Score that a tenth of the face crops, each framed differently, exceed; missing with one crop."
    ),
    "logit_std": _Quantity(
        (0.0, MAX_LOGIT),
        "either",
        "How much the score varies over the face crops (standard deviation), each of which is framed differently: "
        "copies of one image give 0.1 to 0.7; missing with one crop.",
    ),
    "logit_max": _Quantity(_LOGIT, "up", "Score of the face crop that looks most like a fake to the network."),
    "logit_top4_mean": _Quantity(
        _LOGIT, "up", "Mean score of the quarter of the face crops that look most like a fake.", "max"
    ),
    "logit_conf_mean": _Quantity(_LOGIT, "up", "Mean score, weighted by how sure the network is of each face crop."),
    "logit_step_mean": _Quantity(
        (0.0, 2 * MAX_LOGIT),
        "either",
        "Mean absolute change of the score from one face crop to the next in time, each of which is framed "
        "differently: copies of one image give 0.1 to 0.8; missing with one crop.",
    ),
    "share_over_0": _Quantity((0.0, 1.0), "up", "Fraction of the face crops that look more fake than real."),
    "emb_disp": _Quantity(
        (0.0, 2.0),
        "either",
        "How far the network's inner descriptions of the face crops, each framed differently, scatter about their mean "
        "(mean cosine distance); missing with one crop.",
    ),
    "valid_share": _Quantity(
        (0.0, 1.0), "covariate", "Fraction of the analysed face crops that were large enough for the network."
    ),
}


def columns(family: str, source: str) -> tuple[Column, ...]:
    """Return the columns of a family of face networks.

    Parameters
    ----------
    family
        Name of the family and of its weights file.
    source
        Reference in the catalogue: the network and where it was trained.

    Examples
    --------
    >>> [column.name for column in columns("mine", "a network of mine")][:2]
    ['mine.logit_mean', 'mine.logit_med']
    """
    return tuple(
        Column(
            f"{family}.{name}",
            range=quantity.range,
            reference=source,
            direction=quantity.direction,
            worst=quantity.worst,
            description=quantity.description,
        )
        for name, quantity in _QUANTITIES.items()
    )


@kept_in_memory
def _detector(file: Path) -> Detector:
    from features.networks.efficientnet_lite import Detector

    return Detector(file)


def ready_detector(family: str) -> Detector | None:
    """Return the network of a family with the weights in use, kept in memory; None if the weights are missing.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    weights = weights_file(family)
    return _detector(weights) if weights.exists() else None


@dataclass(frozen=True)
class CropScores:
    """A network's scores of some crops of a face track, in order of time."""

    crops: NDArray[np.int64]
    """[n] numbers of the scored crops, without those that are too small."""
    logits: NDArray[np.float32]
    """[n]."""
    embeddings: NDArray[np.float32]
    """[n, d] the network's last layer before the logit."""


_scores_of_tracks: ObjectCache[CropScores] = ObjectCache()


def score_track(track: Track, family: str) -> CropScores:
    """Score the crops of a track that a batch run uses, once per track and weights in use; see :func:`score_crops`.

    Families that read the same network share this one pass. The result is released together with the track or the
    network; its arrays are read-only.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    detector = ready_detector(family)
    if detector is None:
        return score_crops((), family, ())
    return _scores_of_tracks.get(track, detector, lambda: _score_track(track, family))


def _score_track(track: Track, family: str) -> CropScores:
    scores = score_crops(track.crops, family, chosen(len(track.crops)), views=VIEWS)
    for array in (scores.crops, scores.logits, scores.embeddings):
        array.flags.writeable = False
    return scores


def score_crops(
    crops: Sequence[NDArray[np.uint8]], family: str, numbers: Sequence[int], *, views: Sequence[View] = (View(),)
) -> CropScores:
    """Score the numbered crops of a face with the network of a family; no crop is scored if its weights are missing.

    The network gets the middle of each crop at its input size, as in training.

    Parameters
    ----------
    crops
        RGB squares [s, s, 3], ``CROP_SCALE`` times as wide as the face box.
    family
        Family whose weights are used.
    numbers
        Positions of the crops to score, in order of time; crops smaller than ``MIN_CROP_PX`` are left out.
    views
        Views of the crops, one per crop, in turn.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    usable = [number for number in numbers if min(crops[number].shape[:2]) >= MIN_CROP_PX]
    detector = ready_detector(family)
    if detector is None or not usable:
        return CropScores(np.empty(0, np.int64), np.empty(0, np.float32), np.empty((0, 1), np.float32))
    margin, size = detector.metadata.margin, detector.metadata.input_size
    shown = [(crops[number], views[place % len(views)]) for place, number in enumerate(usable)]
    keys = [(id(crop), view) for crop, view in shown]  # a frozen image gives the same crop again and again
    distinct = list(dict.fromkeys(keys))
    images = [in_view(*shown[keys.index(key)], margin=margin, size=size) for key in distinct]
    parts = []
    for first in range(0, len(images), MAX_CROPS):  # memory does not grow with the clip
        parts.append(detector.predict(np.stack(images[first : first + MAX_CROPS])))
    logits, embeddings = (np.concatenate(values) for values in zip(*parts, strict=True))
    rows = [distinct.index(key) for key in keys]
    return CropScores(np.array(usable), logits[rows], embeddings[rows])


def chosen(n_crops: int) -> list[int]:
    """Return the numbers of the crops that a batch run scores: at most ``MAX_CROPS``, evenly spread.

    >>> chosen(3), chosen(16)
    ([0, 1, 2], [1, 3, 5, 7, 9, 11, 13, 15])
    """
    if n_crops <= MAX_CROPS:
        return list(range(n_crops))
    return [int(position) for position in (np.arange(MAX_CROPS) + 0.5) * n_crops / MAX_CROPS]


def series(observation: Observation, track: Track, family: str, *, title: str) -> dict[str, Series]:
    """Return the series ``family.logit``: the network's score of every crop of a track; NaN where a crop is too small.

    All crops are shown in the same view, so that moments can be compared; :func:`measure` summarises the scores of at
    most ``MAX_CROPS`` of them, each in a different view. Empty without weights, or if every crop is too small.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    scores = score_crops(track.crops, family, range(len(track.crops)))
    if not scores.crops.size:
        return {}
    values = np.full(len(track.crops), np.nan)
    values[scores.crops] = np.clip(scores.logits.astype(np.float64), -MAX_LOGIT, MAX_LOGIT)
    times_s = observation.crop_times_s(track)
    return {f"{family}.logit": Series(times_s, values, unit="log-odds", title=title)}


def measure(track: Track, family: str) -> dict[str, float]:
    """Measure the columns of a family on one face track; all NaN if the network's weights are missing.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    return of_scores(score_track(track, family), family, n_crops=len(chosen(len(track.crops))))


def of_scores(scores: CropScores, family: str, *, n_crops: int) -> dict[str, float]:
    """Return the columns of a family from its network's scores of ``n_crops`` crops or fewer: :func:`summarise`.

    All are NaN, and ``valid_share`` is 0, if the network scored no crop.
    """
    values = summarise(scores.logits, scores.embeddings, n_crops=n_crops)
    return {f"{family}.{name}": values.get(name, float("nan")) for name in _QUANTITIES}


def summarise(logits: NDArray[np.float32], embeddings: NDArray[np.float32], *, n_crops: int) -> dict[str, float]:
    """Summarise the scores of a face track's crops.

    Parameters
    ----------
    logits : ndarray of shape (n,)
        Scores in order of time; NaN is left out, other values are clipped to +-12.
    embeddings : ndarray of shape (n, d)
        The network's last layer before the logit.
    n_crops
        Number of analysed crops, whether or not they gave a logit.

    Returns
    -------
    dict
        Column names without the family. ``logit_conf_mean`` is the mean weighted by ``abs(sigmoid(z) - 0.5)``;
        ``logit_top4_mean`` that of the largest quarter; ``logit_step_mean`` that of the absolute steps between
        neighbours; ``emb_disp`` the mean cosine distance of the embeddings to their mean. Columns that describe how
        crops differ (these two, ``logit_std``, ``logit_q10``, ``logit_q90``) are NaN for one crop. ``valid_share`` is
        the fraction of ``n_crops`` that gave a logit; it is the only entry if none did.

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
    several = z if z.size > 1 else np.full(2, np.nan)
    values = {
        "logit_mean": z.mean(),
        "logit_med": np.median(z),
        "logit_q10": np.quantile(several, 0.1),
        "logit_q90": np.quantile(several, 0.9),
        "logit_std": several.std(),
        "logit_max": z.max(),
        "logit_top4_mean": np.sort(z)[-max(1, z.size // 4) :].mean(),
        "logit_conf_mean": np.average(z, weights=confidence),
        "logit_step_mean": np.abs(np.diff(several)).mean(),
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
