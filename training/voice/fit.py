"""The speech detector's training: voices, folds, two linear models and a network for each, and how well these tell."""

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
from features.speech_model import PARTS, LinearModel, VoiceModel
from training import folds
from training.progress import Progress, no_progress
from training.voice.data import Voice, VoiceSamples, cached, identity, systems, voices_of, voices_of_table
from training.voice.encoder import SHIPPED, read_encoder
from training.voice.scores import summary
from training.voice.splits import Fold, by_pages, by_people, fold_numbers

LEAVE_OUT = ("methods", "people")
STEPS = 600  # of the network
PENALTY = 0.01  # C of the logistic regression over rows of mean weight 1: 0.001 to 0.1 generalise alike
ENCODED_PENALTY = 0.001  # of that of the encoder's statistics: 0.0003 to 0.003 generalise alike
LEAST_SCALE = 1e-3  # of an encoder's statistic: some channels hardly ever respond, and their noise is no evidence
ORIGINAL_WEIGHT = 8.0  # of a sound as it is, over that of a version, in the linear models
IDENTITY = "identity.json"  # of the run in a folder
SAMPLES = "samples.npz"  # what was measured; it may be deleted when the run is done
WEIGHTS = ("*.checkpoint", "fold*.safetensors", f"{NAME}.safetensors")  # what a run may not take from another one

Array = NDArray[np.float64]


@dataclass(frozen=True)
class VoiceRecipe:
    """What a detector depends on besides the sounds.

    Raises
    ------
    InputError
        ``leave_out`` is something else, or ``steps`` is under 1.
    """

    leave_out: str = LEAVE_OUT[0]
    """What a fold leaves out: ``"people"``, or ``"methods"``, a page with its systems and people."""
    steps: int = STEPS
    """Of the network, 1 or more."""
    seed: int = 0
    """Of the versions of sounds, the network, and which bona fide people go to which fold."""
    encoder: Path = SHIPPED
    """Whose encoder the models have: :func:`training.voice.encoder.read_encoder`."""

    def __post_init__(self) -> None:
        if self.leave_out not in LEAVE_OUT:
            raise InputError(f"leave_out is {self.leave_out!r}; it can be {' or '.join(LEAVE_OUT)}")
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
    """Train and judge the speech detector: measure, fit every fold and all voices together, write everything.

    A folder that holds models of the same voices and recipe goes on with those that are missing.

    Parameters
    ----------
    clips
        Manifest or folder of labelled clips: :func:`training.manifest.training_clips`.
    out
        Folder for ``fold<n>.safetensors``, ``forensic_voice.safetensors``, ``clip_folds.csv``, ``logits.json`` and
        ``scores.json``.
    voices
        Parquet files of further sounds: :func:`training.voice.data.voices_of_table`.
    jobs
        Processes that measure; results do not depend on it.
    fresh
        Delete the weights in ``out``, whoever wrote them, and train every model again.
    progress
        Called with the stage (reading speech, measuring its versions), the number of items done, and their total.

    Returns
    -------
    dict
        Scores of the folds, of the detector and of its parts: :func:`training.voice.scores.summary`.

    Raises
    ------
    InputError
        ``out`` holds weights of another run; nothing is written then.
    DatasetError
        ``clips`` or a file of ``voices`` can't be used, or two sounds have one name; or all of them together, or what a
        fold may train on, have no bona fide or no synthetic speech.
    ModelError
        The recipe's encoder can't be used.
    """
    encoder = read_encoder(recipe.encoder)
    found = [*voices_of(clips, progress), *(voice for file in voices for voice in voices_of_table(file))]
    where = ", ".join(map(str, [clips, *voices]))
    _check_names(found, where)
    split = _split(found, where, recipe)
    folder = Path(out)
    chosen = (recipe.leave_out, recipe.steps, recipe.seed, encoder.digest)
    _claim(folder, identity(found, *chosen, ORIGINAL_WEIGHT, PENALTY, ENCODED_PENALTY, LEAST_SCALE), fresh=fresh)
    part = fold_numbers(split)
    samples = cached(folder / SAMPLES, found, part, encoder, jobs=jobs, seed=recipe.seed, progress=progress)
    folds.write(folder / folds.FILE, _assignments(found, split))

    def model(name: str, kept: NDArray[np.bool_]) -> VoiceModel:
        file = folder / f"{name}.safetensors"
        return _kept_or(file, lambda checkpoint: fit(found, samples, encoder, kept, recipe, checkpoint))

    models = [model(f"fold{number}", one.trained) for number, one in enumerate(split)]
    model(NAME, np.ones(len(found), bool))
    logits = fold_logits(samples, split, models)
    _write_logits(folder / "logits.json", found, split, logits)
    scores = summary(found, split, logits)
    write_text(folder / "scores.json", json.dumps(scores, indent=1) + "\n")
    return scores


def _check_names(voices: Sequence[Voice], where: str) -> None:
    (name, times), *_ = Counter(voice.name for voice in voices).most_common(1) or [("", 0)]
    if times > 1:
        raise DatasetError(f"{where}: {times} sounds are called {name}; give each a name of its own")


def _split(voices: Sequence[Voice], where: str, recipe: VoiceRecipe) -> list[Fold]:
    """The folds, each with both classes to train on; ``where`` names the files of the voices in messages."""
    if not _both_classes(voices, np.ones(len(voices), bool)):
        raise DatasetError(f"{where}: to train on, both bona fide and synthetic speech are needed")
    by_method = recipe.leave_out == "methods"
    split = (by_pages if by_method else by_people)(voices, recipe.seed)
    if not all(_both_classes(voices, one.trained) for one in split):
        advice = "leave out people alone (--leave-out people), or give " if by_method else "give "
        more = "speech of more generators" if by_method else "speech of more people"
        raise DatasetError(f"{where}: a fold leaves no bona fide or no synthetic speech to train on; {advice}{more}")
    return split


def _both_classes(voices: Sequence[Voice], kept: NDArray[np.bool_]) -> bool:
    return len({voice.synthetic for voice, is_kept in zip(voices, kept, strict=True) if is_kept}) == 2


def _claim(folder: Path, digest: str, *, fresh: bool) -> None:
    """Make the folder that of this run; weights of another one are refused, and deleted only when ``fresh``."""
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
    """The digest of the run that a folder is of; None where nothing legible says it."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _assignments(voices: Sequence[Voice], split: Sequence[Fold]) -> dict[str, folds.FoldAssignment]:
    """Fold of each clip of the manifest."""
    return {
        voice.name: folds.FoldAssignment(number, voice.synthetic)
        for number, fold in enumerate(split)
        for voice, is_judged in zip(voices, fold.judged, strict=True)
        if is_judged and voice.in_manifest
    }


def _kept_or(file: Path, trained: Callable[[Path], VoiceModel]) -> VoiceModel:
    """The model in the file; else what is ``trained``, with a checkpoint beside it, and written there."""
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
    """The parts of a detector of the rows of the voices ``kept`` [n_voices]; a run goes on from the ``checkpoint``.

    Classes weigh alike; of synthetic speech every system, in it every group, in it every row; of bona fide every group.
    In the linear models alone, a sound as it is weighs :data:`ORIGINAL_WEIGHT` times as much as a version.
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
    """Logistic regression of inputs [n, k], with NaN for undefined, on ``synthetic`` [n], with weights [n].

    An input whose standard deviation is below ``least_scale`` counts as one of that.
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
    """Logits [n_voices] of voices as they are, of the detector and its parts, each by the model of the voice's fold.

    NaN where nothing of the original sound could be measured, even if its versions have cues.
    """
    unknown = np.full(len(split[0].judged), np.nan)
    logits = {name: unknown.copy() for name in ("detector", *PARTS)}
    for fold, model in zip(split, models, strict=True):
        for row in np.flatnonzero(fold.judged[samples.voice] & samples.is_original):
            parts = model.parts(samples.inputs(int(row)))
            for name, logit in {"detector": np.mean([*parts.values()]), **parts}.items():
                logits[name][samples.voice[row]] = logit
    return logits


def _write_logits(file: Path, voices: Sequence[Voice], split: Sequence[Fold], logits: Mapping[str, Array]) -> None:
    """JSON of each voice's logit (None where undefined), fold and label, by name."""
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
