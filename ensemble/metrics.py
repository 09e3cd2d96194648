"""Scores of probabilities against labels, each with an interval over groups.

Every score takes row weights, so that a bootstrap over groups (Efron & Tibshirani 1993) is a change of weights,
and the target prior a re-weighting of the classes. Everywhere ``y`` [n] is 1 for FAKE, ``p`` [n] is P(FAKE), ``w`` [n]
are row weights of 0 or more (None: all 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ensemble.arrays import Array, Int

N_RESAMPLES = 500
N_RESAMPLES_LARGE = 300  # above LARGE_ROWS: the interval is narrow, so that its noise does not matter
LARGE_ROWS = 20_000
EPS = 1e-15
LEVEL = 0.95
BIASED = frozenset({"ece"})
MIN_ECE_ROWS = 15  # rows in a bin before its mean is informative (our choice)


@dataclass(frozen=True)
class Score:
    """A value and its interval; the bounds are NaN where no resample defines the score."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """For JSON: undefined becomes None."""
        return {
            name: (float(number) if np.isfinite(number) else None)
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }


def log_loss(y: Int, p: Array, w: Array | None = None) -> float:
    """Mean of ``-log p(label)``, in nats; NaN without rows or weight.

    Parameters
    ----------
    y : ndarray of shape (n,)
        1 for FAKE, 0 for REAL.
    p : ndarray of shape (n,)
        P(FAKE), from 0 to 1; clipped to 1e-15 from both ends.
    w : ndarray of shape (n,), optional
        Weight of each row in the mean, 0 or more, on any scale; all 1 by default.

    Examples
    --------
    >>> round(log_loss(np.array([1, 0]), np.array([0.5, 0.75])), 4)  # (log 2 + log 4) / 2
    1.0397
    """
    return _mean(_losses(y, p), w)


def logit_losses(y: Int | Array, z: Array) -> Array:
    """[n] log loss, in nats, of each row from its label ``y`` [n] and log-odds of FAKE ``z`` [n].

    A label between 0 and 1 is a smoothed target.
    """
    return np.logaddexp(0, z) - y * z


def brier(y: Int, p: Array, w: Array | None = None) -> float:
    """Mean squared difference, from 0 to 1 (Brier 1950); ``y, p, w`` [n] and NaN as in :func:`log_loss`."""
    return _mean((p - y) ** 2, w)


def auc(y: Int, p: Array, w: Array | None = None) -> float:
    """Area under the ROC, from 0 to 1, ties counted half; NaN with one class.

    Parameters
    ----------
    y, w : ndarray of shape (n,)
        As in :func:`log_loss`.
    p : ndarray of shape (n,)
        P(FAKE), or any other score that is higher for FAKE.
    """
    fake, real = _cumulated(y, p, w)
    if fake[-1] == 0 or real[-1] == 0:
        return float("nan")
    return float(np.trapezoid(fake / fake[-1], real / real[-1]))


def eer(y: Int, p: Array, w: Array | None = None) -> float:
    """Equal error rate, from 0 to 1: where false alarms equal misses; NaN with one class.

    Between two points of the ROC it is interpolated linearly; ``y, p, w`` [n] as in :func:`auc`.
    """
    fake, real = _cumulated(y, p, w)
    if fake[-1] == 0 or real[-1] == 0:
        return float("nan")
    false_alarm, miss = real / real[-1], 1 - fake / fake[-1]
    gap = false_alarm - miss  # grows from -1 to 1
    after = int(np.searchsorted(gap, 0.0))
    before = max(after - 1, 0)
    span = gap[after] - gap[before]
    fraction = -gap[before] / span if span > 0 else 0.0
    return float(false_alarm[before] + fraction * (false_alarm[after] - false_alarm[before]))


def ece(y: Int, p: Array, w: Array | None = None) -> float:
    """Expected calibration error over bins of equal weight (adaptive bins, Nixon et al. 2019).

    From 0 to 1; NaN without rows. ``y, p, w`` [n] as in :func:`log_loss`; the bins are those of :func:`reliability`.
    """
    mean_p, rate, weight = reliability(y, p, w)
    return float(np.sum(weight * np.abs(mean_p - rate))) if len(weight) else float("nan")


def reliability(y: Int, p: Array, w: Array | None = None) -> tuple[Array, Array, Array]:
    """Return mean prediction, fraction of FAKE and fraction of the weight for adaptive bins of about equal weight.

    There are ``n / MIN_ECE_ROWS`` bins, at least 2 and at most 15; rows of equal prediction share a bin.

    Parameters
    ----------
    y, p, w : ndarray of shape (n,)
        As in :func:`log_loss`.

    Returns
    -------
    mean_p, rate, weight : ndarray of shape (n_bins,)
        Values of the bins with weight, in rising order of ``p``; ``weight`` sums to 1. Empty without rows.
    """
    w = np.ones(len(p)) if w is None else w
    if len(p) == 0 or w.sum() == 0:
        empty = np.empty(0)
        return empty, empty, empty
    n_bins = int(np.clip(len(p) // MIN_ECE_ROWS, 2, 15))
    values, position = np.unique(p, return_inverse=True)
    mass = np.bincount(position, w, len(values))
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    bins = np.minimum((middle * n_bins).astype(np.int64), n_bins - 1)[position]
    weight = np.bincount(bins, w, n_bins)
    used = weight > 0
    mean_p = np.bincount(bins, w * p, n_bins)[used] / weight[used]
    rate = np.bincount(bins, w * y, n_bins)[used] / weight[used]
    return mean_p, rate, weight[used] / weight.sum()


def group_concordances(y: Int, p: Array, group: Int) -> Array:
    """Fraction of (FAKE, REAL) pairs in which the FAKE scores higher, of each group that holds both labels; ties half.

    Their mean is the score ``within_group_concordance``: groups count equally, however many fakes share an original.
    Chance is 0.5.

    Parameters
    ----------
    y, p, group : ndarray of shape (n,)
        Label (1 FAKE), P(FAKE) or any other score, and group of each row.

    Returns
    -------
    ndarray of shape (n_groups_with_both,)
        Empty when no group holds both.
    """
    fractions = []
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order])) + 1
    for rows in np.split(order, starts):
        if 0 < np.sum(y[rows]) < len(rows):
            fractions.append(auc(y[rows], p[rows]))
    return np.array(fractions)


def prior_weights(y: Int, prior: float, w: Array | None = None) -> Array:
    """[n] row weights under which the fraction of FAKE is ``prior``; they sum to the sum of ``w``.

    ``y, w`` [n] as in :func:`log_loss`; with one class alone, ``w`` as it is.
    """
    w = np.ones(len(y)) if w is None else w
    fake = w[y == 1].sum()
    real = w[y == 0].sum()
    total = fake + real
    if fake == 0 or real == 0:
        return w
    return np.where(y == 1, w * (prior * total / fake), w * ((1 - prior) * total / real))


def mean_at_prior(values: Array, y: Int, prior: float, w: Array | None = None) -> float:
    """Mean of the rows' ``values`` [n] where the fraction of FAKE is ``prior``; NaN where a class has no weight.

    ``y, w`` [n] as in :func:`log_loss`. With one class the mean at a prior is undefined: a resample that lacks a class
    is left out of an interval, as for :func:`auc`.

    Examples
    --------
    >>> y = np.array([1, 1, 1, 0])
    >>> mean_at_prior(np.array([0.0, 0.0, 0.0, 1.0]), y, 0.5), mean_at_prior(np.zeros(4), y, 0.5, 1.0 * y)
    (0.5, nan)
    """
    w = np.ones(len(y)) if w is None else w
    if w[y == 1].sum() == 0 or w[y == 0].sum() == 0:
        return float("nan")
    return _mean(values, prior_weights(y, prior, w))


def group_weights(group: Int, n_resamples: int, seed: int) -> Iterator[Int]:
    """Yield, ``n_resamples`` times, how often each group is drawn in a bootstrap over groups: [n_groups]."""
    rng = np.random.default_rng(seed)
    n_groups = int(group.max()) + 1
    for _ in range(n_resamples):
        yield np.bincount(rng.integers(0, n_groups, n_groups), minlength=n_groups)


def with_intervals(
    scores: Mapping[str, Callable[[Array], float]], group: Int, *, seed: int = 0, n_resamples: int | None = None
) -> dict[str, Score]:
    """Each score on all rows, and its percentile interval over resampled groups.

    Parameters
    ----------
    scores
        Name to a function of row weights.
    group : ndarray of shape (n,)
        Group of each row, counted from 0.
    seed
        Seed of the bootstrap.
    n_resamples
        None takes :data:`N_RESAMPLES`, or fewer for large tables.
    """
    if n_resamples is None:
        n_resamples = N_RESAMPLES if len(group) <= LARGE_ROWS else N_RESAMPLES_LARGE
    result = {}
    samples = {name: np.empty(n_resamples) for name in scores}
    for number, times in enumerate(group_weights(group, n_resamples, seed)):
        w = times[group].astype(np.float64)
        for name, score in scores.items():
            samples[name][number] = score(w)
    for name, score in scores.items():
        value = score(np.ones(len(group)))
        # The ECE of a resample is larger than that of the rows that it is drawn from: its interval is shifted back.
        bias = float(np.nanmean(samples[name])) - value if name in BIASED and np.isfinite(value) else 0.0
        low, high = _interval(samples[name] - bias)
        result[name] = Score(value, max(low, 0.0) if name in BIASED else low, high)
    return result


def all_scores(
    y: Int, p: Array, p_target: Array, target_prior: float, group: Int, *, seed: int = 0, n_resamples: int | None = None
) -> dict[str, Score]:
    """Return the scores that are printed and stored for one set of out-of-fold probabilities.

    Parameters
    ----------
    p : ndarray of shape (n,)
        P(FAKE) at the training prior.
    p_target : ndarray of shape (n,)
        The same at ``target_prior``; scored with the classes weighted to that prior.
    group, seed, n_resamples
        As in :func:`with_intervals`.
    """
    down = np.argsort(-p, kind="stable")  # sorted once: the sorts inside the scores are then cheap
    y, p, p_target, group = y[down], p[down], p_target[down], group[down]
    losses = _losses(y, p_target)
    scores: dict[str, Callable[[Array], float]] = {
        "log_loss": lambda w: log_loss(y, p, w),
        "log_loss_target_prior": lambda w: mean_at_prior(losses, y, target_prior, w),
        "auc": lambda w: auc(y, p, w),
        "brier": lambda w: brier(y, p, w),
        "ece": lambda w: ece(y, p, w),
        "eer": lambda w: eer(y, p, w),
    }
    result = with_intervals(scores, group, seed=seed, n_resamples=n_resamples)
    concordances = group_concordances(y, p, group)
    if len(concordances):
        mean = _mean_score(concordances, seed=seed, n_resamples=n_resamples or N_RESAMPLES)
        result["within_group_concordance"] = mean
    return result


def _mean_score(values: Array, *, seed: int, n_resamples: int) -> Score:
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(n_resamples)]
    low, high = _interval(np.array(means))
    return Score(float(values.mean()), low, high)


def _interval(samples: Array) -> tuple[float, float]:
    finite = samples[np.isfinite(samples)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _losses(y: Int, p: Array) -> Array:
    """[n] ``-log p(label)`` of each row, as in :func:`log_loss`."""
    p = np.clip(p, EPS, 1 - EPS)
    return -np.where(y == 1, np.log(p), np.log1p(-p))


def _mean(values: Array, w: Array | None) -> float:
    if len(values) == 0 or (w is not None and w.sum() == 0):
        return float("nan")
    return float(np.average(values, weights=w))


def _cumulated(y: Int, p: Array, w: Array | None) -> tuple[Array, Array]:
    """Weight of FAKE and of REAL at or above each distinct score, from the highest score down, with a leading 0."""
    w = np.ones(len(p)) if w is None else w
    if len(p) == 0:
        return np.zeros(1), np.zeros(1)
    order = np.argsort(-p, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(p[order])), len(p) - 1]
    fake = np.cumsum((w * (y == 1))[order])[last]
    real = np.cumsum((w * (y == 0))[order])[last]
    return np.r_[0.0, fake], np.r_[0.0, real]
