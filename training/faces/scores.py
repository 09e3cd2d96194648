"""Scores of a face network on clips that it was not trained on, by method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import expit

from ensemble import metrics
from features.errors import DatasetError
from features.networks.logit_columns import MAX_LOGIT
from forge.images.augment import PhotometricAugmentation
from training import folds
from training.faces import pools

FRAMES = 16  # faces a clip, as observations keep them
CONFIDENT = 0.9  # P(FAKE) above which a REAL is a confident false positive
MAX_SCALE = 5.0  # of logits, in the search for the best one
CONDITIONS: dict[str, tuple[str, PhotometricAugmentation | None]] = {
    "original": ("clips", None),
    "half size, CRF 32": ("clips", PhotometricAugmentation(reduction=0.5, h264_crf=32)),
    "transcoded": ("transcoded", None),
}
"""Under which clips are scored: the cached faces, and what each face goes through."""

Logits = NDArray[np.float32]
Predict = Callable[[NDArray[np.uint8]], Logits]
"""Crops [n, 3, s, s] to logits [n]."""


def binary_scores(logits: Logits, fake: NDArray[np.bool_]) -> tuple[float, float]:
    """AUC and log loss (in nats) of logits [n] against ``fake`` [n]; NaN for an AUC of one class."""
    y = fake.astype(np.int64)
    return metrics.auc(y, logits.astype(np.float64)), metrics.log_loss(y, probabilities(logits))


def probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    """P(FAKE), from 0 to 1, of logits; an array of the same shape."""
    return np.asarray(expit(logits.astype(np.float64)))


def oracle_scale(logits: Logits, fake: NDArray[np.bool_]) -> tuple[float, float]:
    """The factor on the logits that gives the smallest log loss on these labels, and that loss.

    Oracle temperature scaling: how much of the loss is scale alone. No score of a model, for the labels chose it.

    Parameters
    ----------
    logits, fake : ndarray of shape (n,)
        Log-odds of FAKE, and whether a row is.

    Returns
    -------
    factor : float
        From 0 to :data:`MAX_SCALE`.
    loss : float
        Log loss with it, in nats.
    """
    from scipy.optimize import minimize_scalar

    y = fake.astype(np.int64)
    result = minimize_scalar(
        lambda factor: metrics.log_loss(y, probabilities(factor * logits)), bounds=(0.0, MAX_SCALE), method="bounded"
    )
    return float(result.x), float(result.fun)


def rounded(logits: Logits, fake: NDArray[np.bool_]) -> dict[str, float]:
    """AUC, log loss as it is and after oracle temperature scaling, fraction of REAL that are confident false positives.

    Of logits [n] against ``fake`` [n]; NaN where a class that a score needs has no row.
    """
    auc, loss = binary_scores(logits, fake)
    factor, scaled = oracle_scale(logits, fake)
    real = probabilities(logits[~fake])
    values = {
        "n": len(fake),
        "auc": auc,
        "log_loss": loss,
        "log_loss_oracle": scaled,
        "oracle_scale": factor,
        "confident_false_positives": float(np.mean(real > CONFIDENT)) if real.size else float("nan"),
    }
    return {name: round(value, 4) for name, value in values.items()}


def clip_scores(pool: pools.Pool, keys: Sequence[str], predict: Predict, size: int) -> dict[str, Any]:
    """Mean logit of each clip, then :func:`summary`."""
    return summary_of_pool(pool, {key: clip_logit(pool, key, predict, size) for key in keys})


def clip_logit(
    pool: pools.Pool,
    key: str,
    predict: Predict,
    size: int,
    *,
    frames: int = FRAMES,
    augmentation: PhotometricAugmentation | None = None,
) -> float:
    """Mean logit of at most ``frames`` faces of a clip, spread over it, after an augmentation when given."""
    crops = pools.crops_of(pool, pools.spread_rows(pool, key, frames), size, augmentation)
    return float(np.clip(predict(crops), -MAX_LOGIT, MAX_LOGIT).mean())


def summary_of_pool(pool: pools.Pool, logit: Mapping[str, float]) -> dict[str, Any]:
    """:func:`summary` of clips of a pool, by key, and their logits."""
    first = [int(np.flatnonzero(pool.key == key)[0]) for key in logit]
    result = summary(np.array([*logit.values()], np.float32), pool.fake[first], pool.source[first], pool.group[first])
    return result | {"logit": {key: round(value, 3) for key, value in logit.items()}}


def out_of_fold_logits(
    pool: pools.Pool,
    fold_of: Mapping[str, int],
    networks: Mapping[int, Any],
    frames: int = FRAMES,
    augmentation: PhotometricAugmentation | None = None,
) -> dict[str, float]:
    """Clip to its :func:`clip_logit` by the network of its fold."""

    def predict(network: Any, crops: NDArray[np.uint8]) -> Logits:
        logits: Logits = network.predict(crops.transpose(0, 2, 3, 1))[0]
        return logits

    of_fold = {fold: (partial(predict, network), network.metadata.input_size) for fold, network in networks.items()}
    return {
        key: clip_logit(pool, key, *of_fold[fold_of[key]], frames=frames, augmentation=augmentation)
        for key in sorted(set(pool.key) & fold_of.keys())
    }


def scores_of_folds(out: Path, networks: str = "fold", frames: int = FRAMES) -> dict[str, dict[str, Any]]:
    """Scores of a training's fold networks on the clips that each left out, pooled, under each of ``CONDITIONS``.

    Parameters
    ----------
    out
        Folder that the training wrote.
    networks
        Name of the phases without the number of the fold: ``fold`` or ``residual_fold``.

    Raises
    ------
    DatasetError
        The folder lacks the cached faces or the folds.
    ModelError
        It lacks the weights of a fold.
    """
    from features.networks.efficientnet_lite import Detector

    fold_of = {name: assignment.fold for name, assignment in folds.read(out / "clip_folds.csv").items()}
    cached = {name: _cached(out, name) for name, _ in CONDITIONS.values()}
    detectors = {fold: Detector(out / f"{networks}{fold}.safetensors") for fold in sorted(set(fold_of.values()))}
    return {
        condition: summary_of_pool(
            cached[name], out_of_fold_logits(cached[name], fold_of, detectors, frames, augmentation)
        )
        for condition, (name, augmentation) in CONDITIONS.items()
    }


def _cached(out: Path, name: str) -> pools.Pool:
    file = out / "cache" / f"{name}.parquet"
    try:
        return pools.Pool(pq.read_table(file))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DatasetError(
            f"{file} can't be read ({error}); give the folder of a training that went through its folds"
        ) from error


def summary(logits: Logits, fake: NDArray[np.bool_], source: NDArray[Any], group: NDArray[Any]) -> dict[str, Any]:
    """Scores of all clips, of each method, median logit of each source, groups ranked correctly.

    Parameters
    ----------
    logits, fake, source, group : ndarray of shape (n,)
        Log-odds of FAKE, label, and the names of the method or source and of the group of each clip.

    Returns
    -------
    dict
        ``all``: :func:`rounded`, where there are both classes. ``methods``: for each method the number of clips,
        ``auc`` against all REAL, and ``own`` against the REAL of its own groups where there are any (people and source
        alike); each with a 95 % interval over groups. ``median``: logit of each source. ``groups_ranked_correctly``:
        in how many groups the mean logit of FAKE clips is above that of REAL ones, and the number of groups that hold
        both.
    """
    scores: dict[str, Any] = {"all": rounded(logits, fake)} if fake.any() and not fake.all() else {}
    scores["methods"] = {
        str(name): _method(logits, fake, source == name, group) for name in sorted(set(source[fake].tolist()))
    }
    scores["median"] = {str(name): round(float(np.median(logits[source == name])), 2) for name in sorted(set(source))}
    ranked = [
        float(logits[(group == name) & fake].mean() > logits[(group == name) & ~fake].mean())
        for name in sorted(set(group[fake]) & set(group[~fake]))
    ]
    return scores | {"groups_ranked_correctly": [sum(ranked), len(ranked)]}


def _method(logits: Logits, fake: NDArray[np.bool_], inside: NDArray[np.bool_], group: NDArray[Any]) -> dict[str, Any]:
    forged = inside & fake
    kin = ~fake & np.isin(group.astype(str), np.unique(group[forged].astype(str)))
    result: dict[str, Any] = {"n": int(forged.sum()), "auc": _auc_interval(logits, fake, group, forged | ~fake)}
    if kin.any():
        result["own"] = _auc_interval(logits, fake, group, forged | kin)
    return result


def _auc_interval(logits: Logits, fake: NDArray[np.bool_], group: NDArray[Any], rows: NDArray[np.bool_]) -> list[float]:
    """AUC of some rows with its interval over groups, rounded; NaN without both classes."""
    y, z = fake[rows].astype(np.int64), logits[rows].astype(np.float64)
    number = np.unique(group[rows].astype(str), return_inverse=True)[1]
    score = metrics.with_intervals({"auc": lambda w: metrics.auc(y, z, w)}, number)["auc"]
    return [round(value, 3) for value in (score.value, score.low, score.high)]


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """A summary as text."""
    lines = []
    if overall := result.get("all"):
        lines.append(
            f"{overall['n']} clips: AUC {overall['auc']:.3f}, log loss {overall['log_loss']:.3f} "
            f"({overall['log_loss_oracle']:.3f} after oracle temperature scaling by {overall['oracle_scale']:.2f}), "
            f"confident false positives (P > {CONFIDENT}) {overall['confident_false_positives']:.1%} of REAL"
        )
    n_ranked, n_groups = result["groups_ranked_correctly"]
    lines.append(f"groups whose FAKE clips score above their REAL ones: {n_ranked:.0f} of {n_groups}")
    for name, method in result["methods"].items():
        text = f"  {name:24s}{method['n']:4d}  {_interval(method['auc'])}"
        lines.append(text + (f"   own groups {_interval(method['own'])}" if "own" in method else ""))
    return lines


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"
