"""What each cue family is worth: ``python -m ensemble.ablation --table features.parquet``.

Two questions of every family, each answered out of fold by groups: how far does it get alone, and how much
worse is everything without it? Correlated families share credit: one that gets far alone may add nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.calibrate import clip_logit, logit
from ensemble.cross_fit import fit_without
from ensemble.learners.base import Settings, settings_for
from ensemble.metrics import Score, auc, log_loss, with_intervals
from ensemble.training_set import Int, Layout, TrainingSet, family_of, measured_rows
from features.errors import InputError

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
LEARNERS = ("lightgbm", "logistic")  # one of trees, one linear: their mean log-odds is judged
HELPS, HURTS, NO_EVIDENCE = "helps", "hurts", "no evidence"
MAX_BOUND = 0.2
KIND = "deepfake-worth"


@dataclass(frozen=True)
class Worth:
    """One family: alone (log loss, AUC) and beside the others (``delta_log_loss``: positive is worth)."""

    family: str
    n_columns: int
    measured_share: float
    log_loss: Score
    auc: Score
    delta_log_loss: Score

    @property
    def verdict(self) -> str:
        """See :func:`verdict_of`."""
        return verdict_of(self.delta_log_loss)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "n_columns": self.n_columns,
            "measured_share": self.measured_share,
            "log_loss": self.log_loss.as_dict(),
            "auc": self.auc.as_dict(),
            "delta_log_loss": self.delta_log_loss.as_dict(),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Judged:
    """The worth of every family, beside all families together and the constant predictor."""

    families: list[Worth]
    everything: dict[str, Score]
    constant: Score
    n_clips: int
    n_groups: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": KIND,
            "n_clips": self.n_clips,
            "n_groups": self.n_groups,
            "all": {name: score.as_dict() for name, score in self.everything.items()},
            "constant": {"log_loss": self.constant.as_dict()},
            "families": {one.family: one.as_dict() for one in self.families},
        }


def verdict_of(delta: Score) -> str:
    """``helps`` or ``hurts`` when the interval of the rise of log loss without the family excludes 0."""
    if delta.low > 0:
        return HELPS
    return HURTS if delta.high < 0 else NO_EVIDENCE


def judge(data: TrainingSet, fold: Int, *, learners: Sequence[str] = LEARNERS, seed: int = 0, jobs: int = 1) -> Judged:
    """Fit all families, each alone, and all but each, out of fold.

    Parameters
    ----------
    fold : ndarray of shape (n,)
        0 .. K-1; groups whole.
    learners
        Names of :func:`ensemble.learners.registry.learner_kinds`; the mean of their log-odds is judged.
    jobs
        Fits side by side; changes no result.
    """
    from joblib import Parallel, delayed

    names = data.layout.family_names
    chosen = [tuple(names)]
    chosen += [(name,) for name in names]
    chosen += [tuple(other for other in names if other != name) for name in names]
    settings = settings_for(len(data), data.n_groups)
    tasks = [(part, k, name) for part in dict.fromkeys(chosen) for name in learners for k in range(int(fold.max()) + 1)]
    results = Parallel(n_jobs=jobs, prefer="threads")(
        delayed(_held_out)(only(data, part), fold, name, settings, k, seed) for part, k, name in tasks
    )
    z: dict[tuple[str, ...], Array] = {part: np.zeros(len(data)) for part in chosen}
    for (part, k, _), values in zip(tasks, results, strict=True):
        z[part][fold == k] += values / len(learners)
    return _scored(data, {part: _probability(values, data) for part, values in z.items()}, seed)


def only(data: TrainingSet, families: Sequence[str]) -> TrainingSet:
    """The training set with the columns of some families, which may be none."""
    kept = [number for number, name in enumerate(data.layout.columns) if family_of(name) in families]
    layout = Layout(
        tuple(data.layout.columns[number] for number in kept),
        {name: version for name, version in data.layout.families.items() if name in families},
    )
    X = np.ascontiguousarray(data.X[:, kept])
    return replace(data, X=X, layout=layout, measured=measured_rows(X, layout))


def write_worth(judged: Judged, out: Path) -> None:
    """Write as JSON.

    Raises
    ------
    InputError
        The file can't be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(judged.as_dict(), indent=1, allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error}); give another --out") from error


def read_worth(file: Path) -> dict[str, dict[str, Any]]:
    """Family to ``delta_log_loss``, ``low``, ``high`` from a file of :func:`write_worth`.

    Raises
    ------
    InputError
        Missing or another kind of file.
    """
    remedy = "make it with `python -m ensemble.ablation --out`"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["kind"] != KIND:
            raise ValueError(f"kind {state['kind']!r}")
        deltas = {name: one["delta_log_loss"] for name, one in state["families"].items()}
        return {
            name: {"delta_log_loss": one["value"], "low": one["low"], "high": one["high"]}
            for name, one in deltas.items()
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not a table of worth ({error}); {remedy}") from error


def _held_out(data: TrainingSet, fold: Int, learner: str, settings: Settings, k: int, seed: int) -> Array:
    """Log-odds of the rows of fold ``k``; the prior's where nothing was measured."""
    out = fold == k
    fitted = data.y[~out & data.measured]
    z = np.full(len(data), logit(float(data.y[~out].mean())))
    if len(np.unique(fitted)) == 2:
        rows, values, _ = fit_without(data, fold, learner, settings, (k,), seed)
        z[rows] = values
    return z[out]


def _probability(z: Array, data: TrainingSet) -> Array:
    """Clipped where one confident error can't outweigh all else: the rule of succession over groups."""
    from scipy.special import expit

    return expit(clip_logit(z, min(1 / (data.n_groups + 2), MAX_BOUND)))


def _scored(data: TrainingSet, p: Mapping[tuple[str, ...], Array], seed: int) -> Judged:
    names, y, group = data.layout.family_names, data.y, data.group
    whole = p[tuple(names)]

    def loss(values: Array):  # type: ignore[no-untyped-def]
        return lambda w: log_loss(y, values, w)

    def area(values: Array):  # type: ignore[no-untyped-def]
        return lambda w: auc(y, values, w)

    def rise(values: Array):  # type: ignore[no-untyped-def]
        return lambda w: log_loss(y, values, w) - log_loss(y, whole, w)

    asked = {"constant": loss(np.full(len(y), y.mean())), "all.log_loss": loss(whole), "all.auc": area(whole)}
    for name in names:
        alone, without = p[(name,)], p[tuple(other for other in names if other != name)]
        asked |= {f"{name}.log_loss": loss(alone), f"{name}.auc": area(alone), f"{name}.delta": rise(without)}
    scores = with_intervals(asked, group, seed=seed)
    parts = {name: only(data, (name,)) for name in names}
    families = [
        Worth(
            name,
            len(parts[name].layout.columns),
            float(parts[name].measured.mean()),
            scores[f"{name}.log_loss"],
            scores[f"{name}.auc"],
            scores[f"{name}.delta"],
        )
        for name in names
    ]
    everything = {"log_loss": scores["all.log_loss"], "auc": scores["all.auc"]}
    return Judged(families, everything, scores["constant"], len(y), data.n_groups)
