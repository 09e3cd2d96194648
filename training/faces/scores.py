"""Scores of the forensic network on clips that it never saw, by method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.networks.logit_columns import MAX_LOGIT
from forge.images.augment import PhotometricAugmentation
from training.faces import batches

FRAMES = 16  # faces a clip, as observations keep them
SURE = 0.9

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Crops [n, 3, s, s] to logits [n]."""


def binary_scores(logits: NDArray[np.float32], fake: NDArray[np.bool_]) -> tuple[float, float]:
    """AUC and log loss; NaN for an AUC of one class."""
    from sklearn.metrics import roc_auc_score

    auc = float(roc_auc_score(fake, logits)) if fake.any() and not fake.all() else float("nan")
    return auc, log_loss(logits, fake)


def log_loss(logits: NDArray[np.float32], fake: NDArray[np.bool_]) -> float:
    """Mean of log(1 + exp(-s z)), s = +1 for a fake and -1 for a real."""
    return float(np.mean(np.logaddexp(0.0, -np.where(fake, 1.0, -1.0) * logits)))


def best_scale(logits: NDArray[np.float32], fake: NDArray[np.bool_]) -> tuple[float, float]:
    """The factor on the logits that gives the smallest log loss, and that loss (in hindsight)."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda factor: log_loss(factor * logits, fake), bounds=(0.0, 5.0), method="bounded")
    return float(found.x), float(found.fun)


def rounded(logits: NDArray[np.float32], fake: NDArray[np.bool_]) -> dict[str, float]:
    """AUC, log loss as it is and with the best factor, share of REAL that would be called a sure fake."""
    auc, loss = binary_scores(logits, fake)
    factor, scaled = best_scale(logits, fake)
    alarms = float(np.mean(1 / (1 + np.exp(-logits[~fake])) > SURE)) if (~fake).any() else float("nan")
    values = {
        "n": len(fake),
        "auc": auc,
        "log_loss": loss,
        "log_loss_scaled": scaled,
        "factor": factor,
        "false_alarms": alarms,
    }
    return {name: round(value, 4) for name, value in values.items()}


def clip_scores(pool: Any, keys: Sequence[str], predict: Predict, size: int) -> dict[str, Any]:
    """Mean logit of each clip, then :func:`summary`."""
    logit = {key: clip_logit(pool, key, predict, size) for key in keys}
    return _summary_of(pool, logit)


def clip_logit(
    pool: Any,
    key: str,
    predict: Predict,
    size: int,
    *,
    frames: int = FRAMES,
    quality: PhotometricAugmentation | None = None,
) -> float:
    """Mean logit of at most ``frames`` faces of a clip, spread over it, after a quality when given."""
    crops = batches.crops_of(pool, batches.spread_rows(pool, key, frames), size, quality)
    return float(np.clip(predict(crops), -MAX_LOGIT, MAX_LOGIT).mean())


def _summary_of(pool: Any, logit: Mapping[str, float]) -> dict[str, Any]:
    """:func:`summary` of clips of a pool, by key, and their logits."""
    first = [int(np.flatnonzero(pool.key == key)[0]) for key in logit]
    found = summary(np.array([*logit.values()], np.float32), pool.fake[first], pool.source[first], pool.group[first])
    return found | {"logit": {key: round(value, 3) for key, value in logit.items()}}


def out_of_fold_logits(
    pool: Any, fold_of: dict[str, int], networks: dict[int, Any], frames: int, quality: PhotometricAugmentation | None
) -> dict[str, float]:
    """Clip to its :func:`clip_logit` by the network of its fold."""

    def predict(network: Any, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = network.predict(crops.transpose(0, 2, 3, 1))[0]
        return logits

    of_fold = {fold: (partial(predict, network), network.metadata.input_size) for fold, network in networks.items()}
    return {
        key: clip_logit(pool, key, *of_fold[fold_of[key]], frames=frames, quality=quality)
        for key in sorted(set(pool.key) & fold_of.keys())
    }


def summary(
    logits: NDArray[np.float32], fake: NDArray[np.bool_], source: NDArray[Any], group: NDArray[Any]
) -> dict[str, Any]:
    """Scores of all clips, of each method, median logit of each source, paired accuracy.

    ``methods`` holds for each method the number of clips, ``auc`` against all REAL, and ``own`` against the REAL of
    its own groups where there are any (people and source alike); each with a 95 % interval over groups.
    """
    scores: dict[str, Any] = {"all": rounded(logits, fake)} if fake.any() and not fake.all() else {}
    scores["methods"] = {
        str(name): _method(logits, fake, source == name, group) for name in sorted(set(source[fake].tolist()))
    }
    scores["median"] = {str(name): round(float(np.median(logits[source == name])), 2) for name in sorted(set(source))}
    right = [
        float(logits[(group == one) & fake].mean() > logits[(group == one) & ~fake].mean())
        for one in sorted(set(group[fake]) & set(group[~fake]))
    ]
    return scores | {"paired": [sum(right), len(right)]}


def _method(
    logits: NDArray[np.float32], fake: NDArray[np.bool_], inside: NDArray[np.bool_], group: NDArray[Any]
) -> dict[str, Any]:
    forged = inside & fake
    kin = ~fake & np.isin(group.astype(str), np.unique(group[forged].astype(str)))
    found: dict[str, Any] = {"n": int(forged.sum()), "auc": _auc_interval(logits, fake, group, forged | ~fake)}
    if kin.any():
        found["own"] = _auc_interval(logits, fake, group, forged | kin)
    return found


def _auc_interval(
    logits: NDArray[np.float32], fake: NDArray[np.bool_], group: NDArray[Any], rows: NDArray[np.bool_]
) -> list[float]:
    """AUC of some rows with its interval over groups, rounded; NaN without both classes."""
    from ensemble.metrics import auc, with_intervals

    y, z = fake[rows].astype(np.int64), logits[rows].astype(np.float64)
    number = np.unique(group[rows].astype(str), return_inverse=True)[1]
    score = with_intervals({"auc": lambda w: auc(y, z, w)}, number)["auc"]
    return [round(value, 3) for value in (score.value, score.low, score.high)]


def lines(found: dict[str, Any]) -> list[str]:
    """A summary as text."""
    whole = found.get("all")
    told = []
    if whole:
        told.append(
            f"{whole['n']} clips: AUC {whole['auc']:.3f}, log loss {whole['log_loss']:.3f} "
            f"({whole['log_loss_scaled']:.3f} with the logits times {whole['factor']:.2f}), "
            f"REAL called sure fakes {whole['false_alarms']:.1%}"
        )
    told.append(f"groups in the right order: {found['paired'][0]:.0f} of {found['paired'][1]}")
    for name, one in found["methods"].items():
        text = f"  {name:24s}{one['n']:4d}  {one['auc'][0]:.3f} [{one['auc'][1]:.3f}, {one['auc'][2]:.3f}]"
        if "own" in one:
            text += f"   own groups {one['own'][0]:.3f} [{one['own'][1]:.3f}, {one['own'][2]:.3f}]"
        told.append(text)
    return told
