"""The voice model: a logistic regression on voice cues, its folds, and how well these tell synthetic speech."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble import metrics
from features.errors import DatasetError, InputError
from features.families.forensic_voice import NAME, VoiceModel
from features.families.voice import CUES
from training import folds
from training.voice.data import Cues, Voice, measured, voices_of

LEAVE_OUT = ("methods", "people")
N_PARTS = 3  # of the people
PENALTY = 0.01  # C of the logistic regression over rows of mean weight 1: 0.001 to 0.03 generalise alike

Array = NDArray[np.float64]


def train(
    clips: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    leave_out: str = LEAVE_OUT[0],
    jobs: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Train and judge the voice model: measure, fit every fold and all clips together, write everything.

    Parameters
    ----------
    clips
        Manifest or folder of labelled clips: :func:`training.manifest.training_clips`.
    out
        Folder for ``fold<n>.safetensors``, ``forensic_voice.safetensors``, ``clip_folds.csv`` and ``scores.json``.
    leave_out
        What a fold leaves out: ``"people"``, or ``"methods"`` (a family of generators) as well.
    jobs
        Processes; results do not depend on it.
    seed
        Of codecs and damage.

    Returns
    -------
    dict
        Scores of the folds: :func:`summary`.

    Raises
    ------
    InputError
        ``leave_out`` is something else; or the clips, or those that a fold may train on, have no bona fide or no
        synthetic speech.
    """
    if leave_out not in LEAVE_OUT:
        raise InputError(f"leave_out is {leave_out!r}; it can be {' or '.join(LEAVE_OUT)}")
    by_method = leave_out == "methods"
    voices = voices_of(clips)
    fold_of, kept = _folds(voices, clips, by_method=by_method)
    data = measured(voices, jobs=jobs, seed=seed)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    folds.write(folder / "clip_folds.csv", _assignments(voices, fold_of))
    models = {fold: fit(voices, data, mask) for fold, mask in kept.items()}
    for fold, model in models.items():
        model.save(folder / f"fold{fold}.safetensors")
    fit(voices, data, np.ones(len(voices), bool)).save(folder / f"{NAME}.safetensors")
    scores = summary(voices, data, fold_of, models, kept, by_method=by_method)
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return scores


def _folds(
    voices: Sequence[Voice], clips: str | os.PathLike[str], *, by_method: bool
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.bool_]]]:
    """[n] fold of each voice, and by fold the voices [n] that its model is trained on, of both classes."""
    if not _both_classes(voices, np.ones(len(voices), bool)):
        raise DatasetError(f"{clips}: to train on, both bona fide and synthetic speech are needed")
    fold_of = assign_folds(voices, by_method=by_method)
    kept = {fold: training_mask(voices, fold_of == fold, by_method=by_method) for fold in np.unique(fold_of).tolist()}
    if not all(_both_classes(voices, mask) for mask in kept.values()):
        advice = "leave out people alone (--leave-out people), or give " if by_method else "give "
        more = "clips of more generators" if by_method else "clips of more people"
        raise DatasetError(f"{clips}: a fold leaves no bona fide or no synthetic speech to train on; {advice}{more}")
    return fold_of, kept


def _assignments(voices: Sequence[Voice], fold_of: NDArray[np.int64]) -> dict[str, folds.FoldAssignment]:
    return {
        voice.name: folds.FoldAssignment(int(fold), voice.synthetic)
        for voice, fold in zip(voices, fold_of, strict=True)
    }


def assign_folds(voices: Sequence[Voice], *, by_method: bool) -> NDArray[np.int64]:
    """[n] fold of each voice: its part of the people and, by method, its generator.

    Bona fide voices go to the generators in turn.
    """
    size = Counter(voice.group for voice in voices)
    filled, part_of = [0] * N_PARTS, {}
    for group in sorted(size, key=lambda name: (-size[name], name)):
        part_of[group] = int(np.argmin(filled))
        filled[part_of[group]] += size[group]
    part = np.array([part_of[voice.group] for voice in voices])
    if not by_method:
        return part
    generators = sorted({voice.generator for voice in voices if voice.synthetic})
    turn = itertools.cycle(range(len(generators)))
    chosen = [generators.index(voice.generator) if voice.synthetic else next(turn) for voice in voices]
    return part * len(generators) + np.array(chosen)


def training_mask(voices: Sequence[Voice], out: NDArray[np.bool_], *, by_method: bool) -> NDArray[np.bool_]:
    """[n] True for the voices of a fold's model: no person of those ``out`` [n], and by method no generator of them."""
    left = [voice for voice, is_out in zip(voices, out, strict=True) if is_out]
    people = {voice.group for voice in left}
    generators = {voice.generator for voice in left} - {""} if by_method else set()
    return np.array([voice.group not in people and voice.generator not in generators for voice in voices])


def _both_classes(voices: Sequence[Voice], kept: NDArray[np.bool_]) -> bool:
    return len({voice.synthetic for voice, is_kept in zip(voices, kept, strict=True) if is_kept}) == 2


def fit(voices: Sequence[Voice], data: Cues, kept: NDArray[np.bool_]) -> VoiceModel:
    """Logistic regression on the rows of the voices ``kept`` [n_voices].

    Classes weigh alike; of synthetic speech every method, in it every group, in it every row; of bona fide every group.
    """
    from sklearn.linear_model import LogisticRegression

    rows = kept[data.voice]
    x, number = data.x[rows], data.voice[rows]
    synthetic = np.array([voice.synthetic for voice in voices])[number]
    weight = row_weights([(voices[position].method, voices[position].group) for position in number])
    mean, scale = standardisation(x, weight)
    standardised = np.where(np.isfinite(x), x - mean, 0) / scale
    model = LogisticRegression(C=PENALTY, max_iter=5000).fit(standardised, synthetic, sample_weight=weight)
    return VoiceModel(mean, scale, model.coef_[0], float(model.intercept_[0]))


def standardisation(x: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean [k] and scale [k] of cues [n, k]; the scale is that of the column with NaN replaced by the mean.

    scikit-learn's ``StandardScaler`` leaves NaN out of the scale. Here, as in a prediction, a missing value counts as
    the mean, so that columns have unit variance as the regression's penalty sees them, however much of them is missing.
    """
    known = np.isfinite(x)
    share = np.maximum(np.average(known, axis=0, weights=weight), 1e-12)
    mean = np.average(np.where(known, x, 0), axis=0, weights=weight) / share
    centred = np.where(known, x - mean, 0)
    return mean, np.sqrt(np.average(centred**2, axis=0, weights=weight)) + 1e-9


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


def original_logits(model: VoiceModel, data: Cues, numbers: NDArray[np.int64]) -> Array:
    """Logits of voices as they are, without codec and damage.

    Parameters
    ----------
    numbers : ndarray of shape (n,)
        Positions of the voices.

    Returns
    -------
    ndarray of shape (n,)
        NaN where nothing of the original sound could be measured, even if its versions have cues.
    """
    logits = np.full(len(numbers), np.nan)
    for position, number in enumerate(numbers):
        rows = np.flatnonzero((data.voice == number) & data.is_original)
        if rows.size:
            logits[position] = model.logit(dict(zip(CUES, data.x[rows[0]], strict=True)))
    return logits


def summary(
    voices: Sequence[Voice],
    data: Cues,
    fold_of: NDArray[np.int64],
    models: Mapping[int, VoiceModel],
    kept: Mapping[int, NDArray[np.bool_]],
    *,
    by_method: bool,
) -> dict[str, Any]:
    """How well the folds' models tell each generator's speech from bona fide, of people that they were not trained on.

    Parameters
    ----------
    fold_of : ndarray of shape (n,)
        As :func:`assign_folds` gives it.
    models, kept
        The model of each fold, and the voices [n] that it was trained on.

    Returns
    -------
    dict
        For each generator the number of synthetic and of bona fide voices that were judged, ``auc`` against all of
        these, ``auc_own_people`` against those of the same groups (None without both classes), and the fractions of
        both with a logit above 0. By method, a model judges only voices of the generator that it left out, and the
        bona fide ones of its part of the people that it was not trained on.
    """
    generators = sorted({voice.generator for voice in voices if voice.synthetic})
    n_turns = len(generators) if by_method else 1
    synthetic = np.array([voice.synthetic for voice in voices])
    group = np.array([voice.group for voice in voices])
    scores: dict[str, Any] = {}
    for number, name in enumerate(generators):
        logits = np.full(len(voices), np.nan)
        own = np.array([voice.generator == name for voice in voices])
        for part in range(N_PARTS):
            fold = part * n_turns + (number if by_method else 0)
            if fold in models:
                judged = np.flatnonzero((fold_of // n_turns == part) & (own | ~synthetic) & ~kept[fold])
                logits[judged] = original_logits(models[fold], data, judged)
        known = np.isfinite(logits)
        near = known & np.isin(group, group[own])
        scores[name] = {
            "n_synthetic": int((own & known).sum()),
            "n_bona_fide": int((~synthetic & known).sum()),
            "auc": _auc(synthetic[known], logits[known]),
            "auc_own_people": _auc(synthetic[near], logits[near]),
            "synthetic_over_0": _over_zero(logits[known & own]),
            "bona_fide_over_0": _over_zero(logits[known & ~synthetic]),
        }
    return scores


def _auc(synthetic: NDArray[np.bool_], logits: Array) -> float | None:
    value = metrics.auc(synthetic.astype(np.int64), logits)
    return round(value, 3) if np.isfinite(value) else None


def _over_zero(logits: Array) -> float | None:
    return round(float(np.mean(logits > 0)), 3) if logits.size else None
