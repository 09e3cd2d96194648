"""Train the speech detector: two linear models and a network for each fold and for all voices, and their scores."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.outputs import write_text
from features.errors import DatasetError, InputError, ModelError
from features.families.forensic_voice import NAME
from features.networks.speech_encoder import SpeechEncoder
from features.networks.speech_model import PARTS, LinearModel, VoiceModel
from training import folds
from training.progress import Progress, no_progress
from training.voice.data import Voice, VoiceSamples, cached, identity, systems, voices_of, voices_of_table
from training.voice.encoder import SHIPPED, read_encoder
from training.voice.scores import summary
from training.voice.splits import Fold, by_pages, by_people, fold_numbers

STEPS = 600  # training steps of the network
PENALTY = 0.01  # C of the logistic regression over rows of mean weight 1; 0.001 to 0.1 generalise equally well
ENCODED_PENALTY = 0.001  # C for the encoder's statistics; 0.0003 to 0.003 generalise equally well
LEAST_SCALE = 1e-3  # smallest scale of an encoder's statistic: the noise of channels that rarely respond is no evidence
ORIGINAL_WEIGHT = 8.0  # weight of an original utterance relative to a version, in the linear models
IDENTITY = "identity.json"  # digest of the run that a folder belongs to
SAMPLES = "samples.npz"  # the measurements; may be deleted when the run is done
WEIGHTS = ("*.checkpoint", "fold*.safetensors", f"{NAME}.safetensors")
"""Patterns of the files that a run must not take over from another run."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class VoiceRecipe:
    """Settings that a detector depends on, besides the speech.

    Raises
    ------
    InputError
        ``leave_out`` is unknown, or ``steps`` is below 1.
    """

    leave_out: str = "methods"
    """What a fold leaves out: ``"people"``, or ``"methods"``, a page with its systems and people."""
    steps: int = STEPS
    """Training steps of the network, 1 or more."""
    seed: int = 0
    """Seed of the versions of utterances, of the network, and of the folds of bona fide people."""
    encoder: Path = SHIPPED
    """File that the encoder is read from: :func:`training.voice.encoder.read_encoder`."""

    def __post_init__(self) -> None:
        folds.check_leave_out(self.leave_out)
        if self.steps < 1:
            raise InputError(f"steps is {self.steps}; it must be 1 or more")


def train(
    clips: str | os.PathLike[str],
    out: str | os.PathLike[str],
    recipe: VoiceRecipe,
    *,
    voices: Sequence[str | os.PathLike[str]] = (),
    jobs: int = 1,
    fresh: bool = False,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Train and score the speech detector: measure the voices, fit a model per fold and one on all voices, write all.

    If the folder already holds models of the same voices and recipe, only the missing ones are trained.

    Parameters
    ----------
    clips
        Manifest or folder of labelled clips: :func:`training.manifest.training_clips`.
    out
        Folder for ``fold<n>.safetensors``, ``forensic_voice.safetensors``, ``clip_folds.csv``, ``logits.json`` and
        ``scores.json``.
    voices
        Parquet files of further speech: :func:`training.voice.data.voices_of_table`.
    jobs
        Number of processes that measure; results do not depend on it.
    fresh
        Delete the weights in ``out``, of any run, and train every model again.
    progress
        Called with the stage (reading speech, measuring its versions), the number of items done, and their total.

    Returns
    -------
    dict
        Scores of the folds, of the detector and of its parts: :func:`training.voice.scores.summary`.

    Raises
    ------
    InputError
        ``out`` holds weights of another run; nothing is written.
    DatasetError
        ``clips`` or a file of ``voices`` can't be used, two utterances have the same name, or a class (bona fide or
        synthetic) is missing: from all voices, or from those that a fold may be trained on.
    ModelError
        The recipe's encoder or a checkpoint can't be used.
    """
    encoder = read_encoder(recipe.encoder)
    utterances = [*voices_of(clips, progress), *(voice for file in voices for voice in voices_of_table(file))]
    where = ", ".join(map(str, [clips, *voices]))
    _check_names(utterances, where)
    split = _split(utterances, where, recipe)
    folder = Path(out)
    chosen = (recipe.leave_out, recipe.steps, recipe.seed, encoder.digest)
    _claim(folder, identity(utterances, *chosen, ORIGINAL_WEIGHT, PENALTY, ENCODED_PENALTY, LEAST_SCALE), fresh=fresh)
    part = fold_numbers(split)
    samples = cached(folder / SAMPLES, utterances, part, encoder, jobs=jobs, seed=recipe.seed, progress=progress)
    folds.write(folder / folds.FILE, _assignments(utterances, split))

    def model(name: str, kept: NDArray[np.bool_]) -> VoiceModel:
        file = folder / f"{name}.safetensors"
        return _kept_or(file, lambda checkpoint: fit(utterances, samples, encoder, kept, recipe, checkpoint))

    models = [model(f"fold{number}", fold.trained) for number, fold in enumerate(split)]
    model(NAME, np.ones(len(utterances), bool))
    logits = fold_logits(samples, split, models)
    _write_logits(folder / "logits.json", utterances, split, logits)
    scores = summary(utterances, split, logits)
    write_text(folder / "scores.json", json.dumps(scores, indent=1) + "\n")
    return scores


def _check_names(voices: Sequence[Voice], where: str) -> None:
    (name, times), *_ = Counter(voice.name for voice in voices).most_common(1) or [("", 0)]
    if times > 1:
        raise DatasetError(f"{where}: {times} utterances are named {name}; rename all but one")


def _split(voices: Sequence[Voice], where: str, recipe: VoiceRecipe) -> list[Fold]:
    """Return the folds, each with both classes to train on; ``where`` names the files of the voices in messages."""
    if not _both_classes(voices, np.ones(len(voices), bool)):
        raise DatasetError(f"{where}: to train on, both bona fide and synthetic speech are needed")
    by_method = recipe.leave_out == "methods"
    split = (by_pages if by_method else by_people)(voices, recipe.seed)
    if not all(_both_classes(voices, fold.trained) for fold in split):
        advice = "leave out people alone (--leave-out people), or give " if by_method else "give "
        more = "speech of more generators" if by_method else "speech of more people"
        raise DatasetError(f"{where}: a fold leaves no bona fide or no synthetic speech to train on; {advice}{more}")
    return split


def _both_classes(voices: Sequence[Voice], kept: NDArray[np.bool_]) -> bool:
    return len({voice.synthetic for voice, is_kept in zip(voices, kept, strict=True) if is_kept}) == 2


def _claim(folder: Path, digest: str, *, fresh: bool) -> None:
    """Mark the folder as belonging to this run; refuse weights of another run, or delete them when ``fresh``."""
    file = folder / IDENTITY
    old = [weights for pattern in WEIGHTS for weights in sorted(folder.glob(pattern))]
    if fresh:
        for weights in old:
            weights.unlink()
    elif old and _claimed_by(file) != digest:
        raise InputError(
            f"{folder} holds weights ({old[0].name}) of another training, or of one on other voices or with another "
            "seed, encoder, --steps or --leave-out; give the same, another folder (--out), or delete them and start "
            "again (--fresh)"
        )
    write_text(file, json.dumps(digest))


def _claimed_by(file: Path) -> Any:
    """Return the digest of the run that a folder belongs to; None where it is missing or unreadable."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _assignments(voices: Sequence[Voice], split: Sequence[Fold]) -> dict[str, folds.FoldAssignment]:
    """Return the fold of each clip of the manifest."""
    return {
        voice.name: folds.FoldAssignment(number, voice.synthetic)
        for number, fold in enumerate(split)
        for voice, is_scored in zip(voices, fold.scored, strict=True)
        if is_scored and voice.in_manifest
    }


def _kept_or(file: Path, trained: Callable[[Path], VoiceModel]) -> VoiceModel:
    """Return the model in the file; if there is none, train it with a checkpoint beside the file, and write it."""
    try:
        return VoiceModel.load(file)
    except ModelError:
        checkpoint = file.with_suffix(".checkpoint")
        model = trained(checkpoint)
        model.save(file)
        checkpoint.unlink(missing_ok=True)
        return model


def fit(
    voices: Sequence[Voice],
    samples: VoiceSamples,
    encoder: SpeechEncoder,
    kept: NDArray[np.bool_],
    recipe: VoiceRecipe,
    checkpoint: Path | None = None,
) -> VoiceModel:
    """Fit the parts of a detector on the voices ``kept`` [n_voices]; training resumes from the ``checkpoint``.

    The classes have equal weight. Within synthetic speech, systems have equal weight, within a system groups, and
    within a group rows; within bona fide speech, groups have equal weight. In the linear models only, an original
    utterance weighs :data:`ORIGINAL_WEIGHT` times as much as a version.
    """
    from training.voice.network import NetworkTraining

    rows = np.flatnonzero(kept[samples.voice])
    number = samples.voice[rows]
    synthetic = np.array([voice.synthetic for voice in voices])[number]
    system = systems(voices)[number].tolist()
    weight = row_weights([(name, voices[at].group) for name, at in zip(system, number, strict=True)])
    training = NetworkTraining(
        [samples.mel[row] for row in rows], synthetic, weight, steps=recipe.steps, seed=recipe.seed
    )
    network = training.run(checkpoint)
    weight = weight * np.where(samples.is_original[rows], ORIGINAL_WEIGHT, 1.0)
    weight /= weight.mean()
    linear = fit_linear(samples.x[rows], synthetic, weight)
    encoded = fit_linear(
        samples.encoded[rows].astype(np.float64), synthetic, weight, ENCODED_PENALTY, least_scale=LEAST_SCALE
    )
    return VoiceModel(linear, network, encoder, encoded)


def fit_linear(
    x: Array,
    synthetic: NDArray[np.bool_],
    weight: Array,
    penalty: float = PENALTY,
    *,
    least_scale: float = 0.0,
) -> LinearModel:
    """Fit a logistic regression of ``synthetic`` [n] on inputs [n, k] (NaN for undefined), with weights [n].

    A standard deviation below ``least_scale`` is replaced by ``least_scale``.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = standardisation(x, weight)
    scale = np.maximum(scale, least_scale)
    standardised = np.where(np.isfinite(x), x - mean, 0) / scale
    model = LogisticRegression(C=penalty, max_iter=5000).fit(standardised, synthetic, sample_weight=weight)
    return LinearModel(mean, scale, model.coef_[0], float(model.intercept_[0]))


def standardisation(x: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean [k] and scale [k] of inputs [n, k]; the scale is that of the column with NaN replaced by the mean.

    scikit-learn's ``StandardScaler`` leaves NaN out of the scale. Here, as in a prediction, a missing value counts as
    the mean, so that columns have unit variance as the regression's penalty sees them, however much of them is missing.
    """
    known = np.isfinite(x)
    share = np.maximum(np.average(known, axis=0, weights=weight), 1e-12)
    mean = np.average(np.where(known, x, 0), axis=0, weights=weight) / share
    centred = np.where(known, x - mean, 0)
    return mean, np.sqrt(np.average(centred**2, axis=0, weights=weight)) + 1e-9


def row_weights(keys: Sequence[tuple[str, str]]) -> Array:
    """[n] weights of mean 1 for rows of (system, group): classes alike, then systems, then groups, then rows."""
    weight = np.zeros(len(keys))
    tree: dict[bool, dict[str, dict[str, list[int]]]] = {}
    for row, (system, group) in enumerate(keys):
        tree.setdefault(bool(system), {}).setdefault(system, {}).setdefault(group, []).append(row)
    for members in tree.values():
        for groups in members.values():
            for rows in groups.values():
                weight[rows] = 1 / (len(tree) * len(members) * len(groups) * len(rows))
    return weight * len(keys)


def fold_logits(samples: VoiceSamples, split: Sequence[Fold], models: Sequence[VoiceModel]) -> dict[str, Array]:
    """Return logits [n_voices] of original utterances for the detector and its parts, by the model of the voice's fold.

    NaN where nothing could be measured in the original, even if its versions have cues.
    """
    unknown = np.full(len(split[0].scored), np.nan)
    logits = {name: unknown.copy() for name in ("detector", *PARTS)}
    for fold, model in zip(split, models, strict=True):
        for row in np.flatnonzero(fold.scored[samples.voice] & samples.is_original):
            parts = model.parts(samples.inputs(int(row)))
            for name, logit in {"detector": np.mean([*parts.values()]), **parts}.items():
                logits[name][samples.voice[row]] = logit
    return logits


def _write_logits(file: Path, voices: Sequence[Voice], split: Sequence[Fold], logits: Mapping[str, Array]) -> None:
    """Write the logit (None where undefined), fold and label of each voice, by name, as JSON."""
    fold_of = fold_numbers(split).tolist()
    rows = {
        voice.name: {
            "logit": round(float(logits["detector"][at]), 4) if np.isfinite(logits["detector"][at]) else None,
            "fold": fold_of[at],
            "label": "FAKE" if voice.synthetic else "REAL",
        }
        for at, voice in enumerate(voices)
    }
    write_text(file, json.dumps(rows, indent=0) + "\n")
