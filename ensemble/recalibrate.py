"""Give a model another scale and bound of its predictions than its own folds suggest.

The folds of a table keep groups apart but share manipulations. At the scale that these folds suggest, predictions for
unseen manipulations are overconfident. A stricter protocol (:mod:`training.unseen_scores`, docs/experiments/042) gives
the scale and bound to set here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from scipy.special import expit, logit

from ensemble import metrics
from ensemble.arrays import Array
from ensemble.calibrate import Calibration, clip_logit, shift_prior
from ensemble.model import EnsembleHead, Model
from ensemble.out_of_fold import STACK, STACK_TARGET
from ensemble.stack import Stack
from features.errors import InputError, ModelError

LEAST_BOUND = 1e-12  # a probability's complement then has four digits or more
OF_EARLIER_SCALE = ("reported", "attribution", "permutation_importance", "shrinkage")  # in a manifest


def recalibrated(model: Model, oof: pa.Table, *, scale: float, bound: float) -> tuple[Model, pa.Table]:
    """Scale the log-odds of the model's learner, and keep probabilities within ``bound`` and its complement.

    Log-odds are scaled about those of the training prior, as in temperature scaling: a clip without evidence stays at
    the prior.

    Parameters
    ----------
    model
        A model of one learner; several learners share their scale through the stack.
    oof
        Its out-of-fold predictions, ``oof.parquet`` of its folder. Rows in which no cue that the model reads was
        measured get the prior, unclipped, as in prediction. Before 0.10.1, ``measured`` counted any cue: such a model
        must be trained again if some rows have only cues that it does not read.
    scale
        Factor of the log-odds' distance from the training prior, above 0; 1 leaves them as they are.
    bound
        :data:`LEAST_BOUND` or more, and under 0.5.

    Returns
    -------
    Model, pyarrow.Table
        The model without OOD shrinkage, which belongs to the earlier scale; its manifest has new scores of the stack
        and no entries for the earlier scale. And the predictions, with new ones of the stack.

    Raises
    ------
    InputError
        The model has several learners, or a number is out of range.
    ModelError
        The predictions belong to another model.
    """
    _check(model, oof, scale=scale, bound=bound)
    head = _rescaled(model.head, scale=scale, bound=bound)
    p, p_target = _predictions(head, oof)
    scores = _scores(oof, p, p_target, head.target_prior, seed=int(model.manifest.get("seed", 0)))
    kept = {name: value for name, value in model.manifest.items() if name not in OF_EARLIER_SCALE}
    changed = {
        "metrics": kept["metrics"] | {STACK: {name: score.as_dict() for name, score in scores.items()}},
        "recalibrated": {"scale": scale, "bound": bound},
    }
    for name, values in ((STACK, p), (STACK_TARGET, p_target)):
        oof = oof.set_column(oof.column_names.index(name), name, pa.array(values))
    shrinkage = replace(model.shrinkage, a=0.0, b=0.0)
    return replace(model, head=head, shrinkage=shrinkage, manifest=kept | changed), oof


def _check(model: Model, oof: pa.Table, *, scale: float, bound: float) -> None:
    learners = model.head.stack.learners
    if len(learners) != 1:
        raise InputError(f"a scale can be given to a model of one learner; this one has {', '.join(learners)}")
    if not (0 < scale < np.inf and LEAST_BOUND <= bound < 0.5):
        raise InputError(
            f"scale {scale:g}, bound {bound:g}: give a scale above 0, and a bound from {LEAST_BOUND:g} to under 0.5"
        )
    if learners[0] not in oof.column_names:
        raise ModelError(f"the out-of-fold predictions are not of {learners[0]}; train the model again")


def _rescaled(head: EnsembleHead, *, scale: float, bound: float) -> EnsembleHead:
    """Return the head with log-odds scaled about those of the training prior, without other calibration."""
    intercept = float((1 - scale) * logit(head.train_prior))
    stack = Stack("nonnegative", head.stack.learners, (scale,), intercept)
    return replace(head, stack=stack, calibration=Calibration("identity", {"a": 1.0, "b": 0.0}), clip=bound)


def _predictions(head: EnsembleHead, oof: pa.Table) -> tuple[Array, Array]:
    """Return P(FAKE) [n] at the training and at the target prior; in rows without a measured cue, that prior."""
    z = head.stack(logit(oof[head.stack.learners[0]].to_numpy())[:, None])
    measured = oof["measured"].to_numpy() if "measured" in oof.column_names else np.ones(len(z), bool)

    def at(prior: float) -> Array:
        return np.where(measured, expit(clip_logit(shift_prior(z, head.train_prior, prior), head.clip)), prior)

    return at(head.train_prior), at(head.target_prior)


def _scores(oof: pa.Table, p: Array, p_target: Array, target_prior: float, *, seed: int) -> dict[str, metrics.Score]:
    y = (np.array(oof["label"].to_pylist()) == "FAKE").astype(np.int64)
    group = np.unique(np.array(oof["group"].to_pylist(), dtype=str), return_inverse=True)[1]
    return metrics.all_scores(y, p, p_target, target_prior, group, seed=seed)
