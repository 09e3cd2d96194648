"""Leave-one-family-out (drop-column) ablation: what each cue family adds to the others, and how well it does alone.

Learners are refitted without the family, and on the family alone, out of fold by groups. Correlated families share
credit: a family that does well alone may add nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.arrays import Array, Int
from ensemble.calibrate import clip_logit, logit
from ensemble.cross_fit import fit_without
from ensemble.learners.base import LearnerSettings, settings_for
from ensemble.learners.registry import check_learners
from ensemble.metrics import Score, auc, log_loss, with_intervals
from ensemble.outputs import write_text
from ensemble.training_set import TrainingSet, only
from features.errors import InputError
from features.threads import algebra_on_one_thread

LEARNERS = ("lightgbm", "logistic")  # one of trees, one linear: the mean of their log-odds is scored
HELPS, HURTS, NO_EVIDENCE = "helps", "hurts", "no evidence"
MAX_BOUND = 0.2
KIND = "deepfake-ablation"

Subset = tuple[str, ...]
"""Families that learners are fitted on."""


@dataclass(frozen=True)
class FamilyAblation:
    """One family: alone (log loss, AUC), and the rise of log loss without it (``delta_log_loss``)."""

    family: str
    n_columns: int
    measured_fraction: float
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
            "measured_fraction": self.measured_fraction,
            "log_loss": self.log_loss.as_dict(),
            "auc": self.auc.as_dict(),
            "delta_log_loss": self.delta_log_loss.as_dict(),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Ablation:
    """The ablation of every family, with scores of all families together and of the constant predictor."""

    families: list[FamilyAblation]
    all_families: dict[str, Score]
    constant: Score
    n_clips: int
    n_groups: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": KIND,
            "n_clips": self.n_clips,
            "n_groups": self.n_groups,
            "all": {name: score.as_dict() for name, score in self.all_families.items()},
            "constant": {"log_loss": self.constant.as_dict()},
            "families": {family.family: family.as_dict() for family in self.families},
        }


def verdict_of(delta: Score) -> str:
    """``helps`` or ``hurts`` when the interval of the rise of log loss without the family excludes 0."""
    if delta.low > 0:
        return HELPS
    return HURTS if delta.high < 0 else NO_EVIDENCE


def ablate(
    data: TrainingSet, fold: Int, *, learners: Sequence[str] = LEARNERS, seed: int = 0, jobs: int = 1
) -> Ablation:
    """Fit all families, each alone, and all but each, out of fold.

    Parameters
    ----------
    data
        Labelled rows.
    fold : ndarray of shape (n,)
        0 .. K-1; groups whole.
    learners
        Names of :func:`ensemble.learners.registry.learner_kinds`; the mean of their log-odds is scored.
    seed
        Seed of every random draw.
    jobs
        Number of parallel fits; results do not depend on it.

    Raises
    ------
    InputError
        No learner is named, or one is unknown.
    """
    from joblib import Parallel, delayed

    check_learners(learners)
    names = data.layout.family_names
    subsets = [names, *((name,) for name in names), *(_all_but(name, names) for name in names)]
    settings = settings_for(len(data), data.n_groups)
    tasks = [
        (subset, k, name) for subset in dict.fromkeys(subsets) for name in learners for k in range(int(fold.max()) + 1)
    ]
    with algebra_on_one_thread():
        results = Parallel(n_jobs=jobs, prefer="threads")(
            delayed(_held_out)(only(data, subset), fold, name, settings, k, seed) for subset, k, name in tasks
        )
    z: dict[Subset, Array] = {subset: np.zeros(len(data)) for subset in subsets}
    for (subset, k, _), values in zip(tasks, results, strict=True):
        z[subset][fold == k] += values / len(learners)
    return _scored(data, {subset: _probability(values, data) for subset, values in z.items()}, seed)


def write_ablation(ablation: Ablation, out: Path) -> None:
    """Write as JSON.

    Raises
    ------
    InputError
        The file can't be written.
    """
    write_text(out, json.dumps(ablation.as_dict(), indent=1, allow_nan=False))


def read_ablation(file: Path) -> dict[str, dict[str, Any]]:
    """Read, for each family, ``delta_log_loss``, ``low`` and ``high`` from a file of :func:`write_ablation`.

    Raises
    ------
    InputError
        The file is missing or of another kind.
    """
    remedy = "make it with `deepcue ablate --out`"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["kind"] != KIND:
            raise ValueError(f"kind {state['kind']!r}")
        deltas = {name: family["delta_log_loss"] for name, family in state["families"].items()}
        return {
            name: {"delta_log_loss": delta["value"], "low": delta["low"], "high": delta["high"]}
            for name, delta in deltas.items()
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not an ablation ({error}); {remedy}") from error


def _all_but(family: str, families: Subset) -> Subset:
    return tuple(other for other in families if other != family)


def _held_out(data: TrainingSet, fold: Int, learner: str, settings: LearnerSettings, k: int, seed: int) -> Array:
    """Log-odds of the rows of fold ``k``; the prior's where nothing was measured."""
    out = fold == k
    fitted = data.y[~out & data.measured]
    z = np.full(len(data), logit(float(data.y[~out].mean())))
    if len(np.unique(fitted)) == 2:
        rows, values, _ = fit_without(data, fold, learner, settings, (k,), seed)
        z[rows] = values
    return z[out]


def _probability(z: Array, data: TrainingSet) -> Array:
    """Return P(FAKE), clipped by the rule of succession over groups so that one confident error can't dominate."""
    from scipy.special import expit

    return expit(clip_logit(z, min(1 / (data.n_groups + 2), MAX_BOUND)))


def _scored(data: TrainingSet, p: Mapping[Subset, Array], seed: int) -> Ablation:
    """Scores of P(FAKE) [n] by subset of the families; all of them on the same resamples of the groups."""
    names = data.layout.family_names
    functions = _score_functions(data, p)
    scores = with_intervals(functions, data.group, seed=seed)
    families = []
    for name in names:
        part = only(data, (name,))
        log_loss_alone, auc_alone, rise = (scores[f"{name}.{score}"] for score in ("log_loss", "auc", "rise"))
        n_columns, measured = len(part.layout.columns), float(part.measured.mean())
        families.append(FamilyAblation(name, n_columns, measured, log_loss_alone, auc_alone, rise))
    all_families = {"log_loss": scores["all.log_loss"], "auc": scores["all.auc"]}
    return Ablation(families, all_families, scores["constant"], len(data), data.n_groups)


def _score_functions(data: TrainingSet, p: Mapping[Subset, Array]) -> dict[str, Callable[[Array], float]]:
    """Return functions of row weights: ``constant``, ``all.log_loss``, ``all.auc``, and three for each family.

    ``<family>.log_loss`` and ``<family>.auc`` are those of the family alone, ``<family>.rise`` is the rise of log loss
    without it.
    """
    names, y = data.layout.family_names, data.y
    everything = p[names]

    def loss(values: Array) -> Callable[[Array], float]:
        return lambda w: log_loss(y, values, w)

    def area(values: Array) -> Callable[[Array], float]:
        return lambda w: auc(y, values, w)

    def rise(values: Array) -> Callable[[Array], float]:
        return lambda w: log_loss(y, values, w) - log_loss(y, everything, w)

    functions = {
        "constant": loss(np.full(len(y), y.mean())),
        "all.log_loss": loss(everything),
        "all.auc": area(everything),
    }
    for name in names:
        alone, without = p[(name,)], p[_all_but(name, names)]
        functions |= {f"{name}.log_loss": loss(alone), f"{name}.auc": area(alone), f"{name}.rise": rise(without)}
    return functions
