"""Train the voice model: a logistic regression that tells made voices from recorded ones by the voice cues.

    python -m training.voice.fit --clips MANIFEST --out artifacts/voice

``fold0.safetensors``.. each leave out the people of one fold of the clips, and unless ``--leave-out people`` a family
of generators as well; ``clip_folds.csv`` says which clip is in which; ``forensic_voice.safetensors`` learned from all.
The scores of the folds on what they did not hear are printed and kept in ``scores.json``. A minute for a hundred clips.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError
from features.families.forensic_voice import NAME, VoiceModel
from features.families.voice import CUES
from training import folds
from training.voice.data import Cues, Voice, from_clips, measured

logger = logging.getLogger(__name__)

N_PARTS = 3  # of the people
PENALTY = 0.01  # C of the logistic regression over rows of mean weight 1: 0.001 to 0.03 carry over alike

Array = NDArray[np.float64]


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, fit every fold and the model of all, write everything; return the scores of the folds.

    Raises
    ------
    DatasetError
        The voices, or those that a fold may hear, are all recorded or all made.
    """
    voices = from_clips(options.clips)
    if not _both_classes(voices, np.ones(len(voices), bool)):
        raise DatasetError(f"{options.clips}: to learn from, both recorded and made voices are needed")
    by_method = options.leave_out == "methods"
    fold_of = assign_folds(voices, by_method=by_method)
    kept = {fold: learned_from(voices, fold_of == fold, by_method=by_method) for fold in np.unique(fold_of).tolist()}
    if not all(_both_classes(voices, one) for one in kept.values()):
        advice = "give --leave-out people, or clips of more generators" if by_method else "give clips of more people"
        raise DatasetError(f"{options.clips}: a fold leaves no recorded or no made voice to learn from; {advice}")
    data = measured(voices, jobs=options.jobs, seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    places = {
        voice.name: folds.FoldAssignment(int(fold), bool(voice.method))
        for voice, fold in zip(voices, fold_of, strict=True)
    }
    folds.write(options.out / "clip_folds.csv", places)
    models = {fold: fit(voices, data, mask) for fold, mask in kept.items()}
    for fold, model in models.items():
        model.save(options.out / f"fold{fold}.safetensors")
    fit(voices, data, np.ones(len(voices), bool)).save(options.out / f"{NAME}.safetensors")
    scores = summary(voices, data, fold_of, models, kept, by_method=by_method)
    (options.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return scores


def assign_folds(voices: Sequence[Voice], *, by_method: bool) -> NDArray[np.int64]:
    """[n] fold of each voice: its part of the people and, by method, its generator; recordings go to each in turn."""
    size = Counter(voice.group for voice in voices)
    filled, part_of = [0] * N_PARTS, {}
    for group in sorted(size, key=lambda one: (-size[one], one)):
        part_of[group] = int(np.argmin(filled))
        filled[part_of[group]] += size[group]
    part = np.array([part_of[voice.group] for voice in voices])
    if not by_method:
        return part
    generators = sorted({voice.generator for voice in voices if voice.method})
    turn = itertools.cycle(range(len(generators)))
    chosen = [generators.index(voice.generator) if voice.method else next(turn) for voice in voices]
    return part * len(generators) + np.array(chosen)


def learned_from(voices: Sequence[Voice], out: NDArray[np.bool_], *, by_method: bool) -> NDArray[np.bool_]:
    """[n] True for the voices of a fold's model: no person of those ``out`` [n], and by method no generator of them."""
    left = [voice for voice, is_out in zip(voices, out, strict=True) if is_out]
    people = {voice.group for voice in left}
    generators = {voice.generator for voice in left} - {""} if by_method else set()
    return np.array([voice.group not in people and voice.generator not in generators for voice in voices])


def _both_classes(voices: Sequence[Voice], kept: NDArray[np.bool_]) -> bool:
    return len({bool(voice.method) for voice, is_kept in zip(voices, kept, strict=True) if is_kept}) == 2


def fit(voices: Sequence[Voice], data: Cues, kept: NDArray[np.bool_]) -> VoiceModel:
    """Logistic regression on the rows of the voices ``kept`` [n].

    Classes weigh alike; of made voices every method, in it every group, in it every row; of recordings every group.
    """
    from sklearn.linear_model import LogisticRegression

    rows = kept[data.voice]
    x, number = data.x[rows], data.voice[rows]
    made = np.array([bool(voice.method) for voice in voices])[number]
    weight = row_weights([(voices[one].method, voices[one].group) for one in number])
    known = np.isfinite(x)
    share = np.maximum(np.average(known, axis=0, weights=weight), 1e-12)
    mean = np.average(np.where(known, x, 0), axis=0, weights=weight) / share
    centred = np.where(known, x - mean, 0)
    scale = np.sqrt(np.average(centred**2, axis=0, weights=weight)) + 1e-9
    model = LogisticRegression(C=PENALTY, max_iter=5000).fit(centred / scale, made, sample_weight=weight)
    return VoiceModel(mean, scale, model.coef_[0], float(model.intercept_[0]))


def row_weights(keys: Sequence[tuple[str, str]]) -> Array:
    """[n] weights of mean 1 for rows of (method, group): classes alike, then methods, then groups, then rows."""
    weight = np.zeros(len(keys))
    tree: dict[bool, dict[str, dict[str, list[int]]]] = {}
    for row, (method, group) in enumerate(keys):
        tree.setdefault(bool(method), {}).setdefault(method, {}).setdefault(group, []).append(row)
    for methods in tree.values():
        for groups in methods.values():
            for rows in groups.values():
                weight[rows] = 1 / (len(tree) * len(methods) * len(groups) * len(rows))
    return weight * len(keys)


def first_logits(model: VoiceModel, data: Cues, numbers: NDArray[np.int64]) -> Array:
    """[n] logit of each voice by its number, as it is; NaN where nothing of it could be measured."""
    found = np.full(len(numbers), np.nan)
    for position, number in enumerate(numbers):
        rows = np.flatnonzero(data.voice == number)
        if rows.size:
            found[position] = model.logit(dict(zip(CUES, data.x[rows[0]], strict=True)))
    return found


def summary(
    voices: Sequence[Voice],
    data: Cues,
    fold_of: NDArray[np.int64],
    models: dict[int, VoiceModel],
    kept: dict[int, NDArray[np.bool_]],
    *,
    by_method: bool,
) -> dict[str, Any]:
    """How well the folds' models tell each generator's voices from recordings, all of people that they did not hear.

    Parameters
    ----------
    fold_of : ndarray of shape (n,)
        As :func:`assign_folds` gives it.
    models, kept
        The model of each fold, and the voices [n] that it learned from.

    Returns
    -------
    dict
        For each generator the number of made voices and of recordings that were judged, ``auc`` against all of them,
        ``auc_own_people`` against those of the same groups, and the shares of both with a logit above 0. By method, a
        model judges only voices of the generator that it left out, and the recordings of its part of the people that
        it did not learn from.
    """
    generators = sorted({voice.generator for voice in voices if voice.method})
    n_turns = len(generators) if by_method else 1
    made = np.array([bool(voice.method) for voice in voices])
    group = np.array([voice.group for voice in voices])
    scores: dict[str, Any] = {}
    for number, name in enumerate(generators):
        logits = np.full(len(voices), np.nan)
        own = np.array([voice.generator == name for voice in voices])
        for part in range(N_PARTS):
            fold = part * n_turns + (number if by_method else 0)
            if fold in models:
                judged = np.flatnonzero((fold_of // n_turns == part) & (own | ~made) & ~kept[fold])
                logits[judged] = first_logits(models[fold], data, judged)
        known = np.isfinite(logits)
        near = known & np.isin(group, group[own])
        scores[name] = {
            "n_made": int((own & known).sum()),
            "n_recorded": int((~made & known).sum()),
            "auc": _auc(made[known], logits[known]),
            "auc_own_people": _auc(made[near], logits[near]),
            "made_over_0": round(float(np.mean(logits[known & own] > 0)), 3),
            "recorded_over_0": round(float(np.mean(logits[known & ~made] > 0)), 3),
        }
    return scores


def _auc(made: NDArray[np.bool_], logits: Array) -> float | None:
    from sklearn.metrics import roc_auc_score

    return round(float(roc_auc_score(made, logits)), 3) if len(np.unique(made)) == 2 else None
