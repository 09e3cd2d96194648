"""Scores of a face network on clips that it was not trained on, by method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ensemble import metrics
from ensemble.training_set import groups_of_clips
from features.networks.logit_columns import MAX_LOGIT
from forge.images.augment import PhotometricAugmentation
from training.faces import pools
from training.faces.kinds import kind_of

FRAMES = 16  # faces per clip, as in observations
CONFIDENT = 0.9  # a REAL clip with a higher P(FAKE) is a confident false positive
MAX_SCALE = 5.0  # largest factor in the search for the best scale of logits
Logits = NDArray[np.float32]
Predict = Callable[[NDArray[np.uint8]], Logits]
"""Crops [n, 3, s, s] to logits [n]."""


def binary_scores(logits: Logits, fake: NDArray[np.bool_]) -> tuple[float, float]:
    """Return AUC and log loss (in nats) of logits [n] against ``fake`` [n]; the AUC of a single class is NaN."""
    y = fake.astype(np.int64)
    return metrics.auc(y, logits.astype(np.float64)), metrics.log_loss(y, probabilities(logits))


def probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Convert logits to P(FAKE), from 0 to 1; the shape is the same."""
    return np.asarray(expit(logits.astype(np.float64)))


def oracle_scale(logits: Logits, fake: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the factor on the logits that minimises the log loss on these labels, and that loss.

    This is oracle temperature scaling: it shows how much of the loss is due to the scale. It is not a score of a model,
    because the factor is chosen by the labels.

    Parameters
    ----------
    logits, fake : ndarray of shape (n,)
        Log-odds of FAKE, and True for a FAKE row.

    Returns
    -------
    factor : float
        From 0 to :data:`MAX_SCALE`.
    loss : float
        Log loss with this factor, in nats.
    """
    from scipy.optimize import minimize_scalar

    y = fake.astype(np.int64)
    result = minimize_scalar(
        lambda factor: metrics.log_loss(y, probabilities(factor * logits)), bounds=(0.0, MAX_SCALE), method="bounded"
    )
    return float(result.x), float(result.fun)


def rounded(logits: Logits, fake: NDArray[np.bool_]) -> dict[str, Any]:
    """Return scores of logits [n] against ``fake`` [n]; NaN where a class that a score needs is missing.

    The scores are AUC, log loss before and after oracle temperature scaling, and the fraction of REAL rows that are
    confident false positives.
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
    """Return :func:`summary` of the mean logits of clips."""
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
    """Return the mean logit of at most ``frames`` faces, spread over a clip, after an augmentation if given."""
    crops = pools.crops_of(pool, pools.spread_rows(pool, key, frames), size, augmentation)
    return float(np.clip(predict(crops), -MAX_LOGIT, MAX_LOGIT).mean())


def summary_of_pool(pool: pools.Pool, logit: Mapping[str, float]) -> dict[str, Any]:
    """Return :func:`summary` of clips of a pool, from key to logit, with the logits."""
    first = [int(np.flatnonzero(pool.key == key)[0]) for key in logit]
    group = np.array(groups_of_clips(pool.group[first].tolist(), [*logit]), dtype=object)
    result = summary(np.array([*logit.values()], np.float32), pool.fake[first], pool.source[first], group)
    return result | {"logit": {key: round(value, 3) for key, value in logit.items()}}


def summary(logits: Logits, fake: NDArray[np.bool_], source: NDArray[Any], group: NDArray[Any]) -> dict[str, Any]:
    """Return scores of all clips and of each method, median logits of sources, and groups ranked correctly.

    Parameters
    ----------
    logits, fake, source, group : ndarray of shape (n,)
        Log-odds of FAKE, label, and the names of the method or source and of the group of each clip.

    Returns
    -------
    dict
        ``n_groups``. ``all``: :func:`rounded` and the AUC's interval, where there are both classes. ``methods``: for
        each method the number of clips, ``auc`` against all REAL clips, and ``own`` against the REAL clips of the same
        groups, if any (same people and source); each with a 95 % interval over groups. ``kinds``: the same for each
        kind of manipulation (:mod:`training.faces.kinds`). ``median``: median logit of each source.
        ``false_positives``: for each REAL source the number of clips, and the fractions with P above 0.5 and above
        ``CONFIDENT``.
        ``groups_ranked_correctly``: in how many groups the mean logit of FAKE clips is above that of REAL ones, and the
        number of groups that hold both.
    """
    scores: dict[str, Any] = {"n_groups": len(set(group))}
    if fake.any() and not fake.all():
        everything = np.ones(len(fake), dtype=bool)
        scores["all"] = rounded(logits, fake) | {"auc_interval": _auc_interval(logits, fake, group, everything)}
    scores["methods"] = {
        str(name): _method(logits, fake, source == name, group) for name in sorted(set(source[fake].tolist()))
    }
    kind = np.array([kind_of(name) if forged else "" for name, forged in zip(source, fake, strict=True)], dtype=object)
    scores["kinds"] = {
        name: _method(logits, fake, fake & (kind == name), group) for name in sorted(set(kind[fake].tolist()))
    }
    scores["false_positives"] = {
        str(name): _false_positives(logits[~fake & (source == name)]) for name in sorted(set(source[~fake].tolist()))
    }
    scores["median"] = {str(name): round(float(np.median(logits[source == name])), 2) for name in sorted(set(source))}
    ranked = [
        float(logits[(group == name) & fake].mean() > logits[(group == name) & ~fake].mean())
        for name in sorted(set(group[fake]) & set(group[~fake]))
    ]
    return scores | {"groups_ranked_correctly": [sum(ranked), len(ranked)]}


def _false_positives(logits: Logits) -> list[float]:
    p = probabilities(logits)
    return [len(p), round(float(np.mean(p > 0.5)), 3), round(float(np.mean(p > CONFIDENT)), 3)]


def _method(logits: Logits, fake: NDArray[np.bool_], inside: NDArray[np.bool_], group: NDArray[Any]) -> dict[str, Any]:
    forged = inside & fake
    kin = ~fake & np.isin(group.astype(str), np.unique(group[forged].astype(str)))
    result: dict[str, Any] = {"n": int(forged.sum()), "auc": _auc_interval(logits, fake, group, forged | ~fake)}
    if kin.any():
        result["own"] = _auc_interval(logits, fake, group, forged | kin)
    return result


def _auc_interval(logits: Logits, fake: NDArray[np.bool_], group: NDArray[Any], rows: NDArray[np.bool_]) -> list[float]:
    """Return the rounded AUC of some rows with its interval over groups; NaN without both classes."""
    y, z = fake[rows].astype(np.int64), logits[rows].astype(np.float64)
    number = np.unique(group[rows].astype(str), return_inverse=True)[1]
    score = metrics.with_intervals({"auc": lambda w: metrics.auc(y, z, w)}, number)["auc"]
    return [round(value, 3) for value in (score.value, score.low, score.high)]


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """Format a summary as lines of text."""
    lines = []
    if overall := result.get("all"):
        lines.append(
            f"{overall['n']} clips: AUC {overall['auc']:.3f}, log loss {overall['log_loss']:.3f} "
            f"({overall['log_loss_oracle']:.3f} after oracle temperature scaling by {overall['oracle_scale']:.2f}), "
            f"confident false positives (P > {CONFIDENT}) {overall['confident_false_positives']:.1%} of REAL"
        )
    n_ranked, n_groups = result["groups_ranked_correctly"]
    lines.append(f"groups whose FAKE clips score above their REAL ones: {n_ranked:.0f} of {n_groups}")
    for part in ("kinds", "methods"):
        for name, method in result[part].items():
            text = f"  {name:40s}{method['n']:4d}  {_interval(method['auc'])}"
            lines.append(text + (f"   own groups {_interval(method['own'])}" if "own" in method else ""))
    for name, (n, half, confident) in result["false_positives"].items():
        lines.append(f"  {name:40s}{n:4.0f}  P > 0.5: {half:.1%}, P > {CONFIDENT}: {confident:.1%} (REAL)")
    return lines


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"
