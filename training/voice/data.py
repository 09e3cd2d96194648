"""The speech that the speech detector is trained on, and measurements of it and of its augmented versions."""

from __future__ import annotations

import io
import logging
import os
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.training_set import groups_of_clips
from features import discovery
from features.errors import DatasetError
from features.measures.voice_measures import HOP, MIN_SPEECH
from features.networks.speech_encoder import STATISTICS, SpeechEncoder
from features.networks.speech_model import INPUTS, SpeechInputs, speech_inputs
from features.observation import AUDIO_RATE_HZ
from features.places import in_place_of
from features.table import read_parquet
from training.manifest import digest, method_family, training_clips
from training.progress import Progress, no_progress, tracked
from training.voice import augment

logger = logging.getLogger(__name__)

Waveform = NDArray[np.float32]
Int = NDArray[np.int64]
MAX_AUDIO_S = 10.0  # analysed length, that of the challenge's clips: more of the same voice only costs time
SILENCE = 1e-4  # peak below which audio is silent; full scale is 1
N_VERSIONS = 8  # augmented versions of each utterance, beside the original
PREFIX = "voice:"  # prefix of methods in a table of voices
VERSION = 2
"""Version of augmentation and measurement; raise it whenever either changes, so that cached samples are rebuilt."""
VERSIONED_FAMILIES = ("voice", "forensic_voice")  # families whose versions also identify the measurements
LEAST_NAME = 4  # shortest system name that is recognised at the end of a longer name of the same system
TABLE_COLUMNS = ("key", "label", "method", "source", "group", "flac")
TABLE_CONTENT = (
    "label: REAL or FAKE, for the speech; method: the system, for FAKE; source: page or data set; group: as in the "
    "manifest; flac: mono audio at 16 kHz"
)
"""What the columns hold, in words, for help."""


@dataclass(frozen=True)
class Voice:
    """An utterance; ``method`` is empty for bona fide speech, ``group`` is the people and their source."""

    name: str
    method: str
    group: str
    audio: Waveform
    """Audio [k] at 16 kHz."""
    source: str = ""
    """Page or data set, where known."""
    in_manifest: bool = True
    """False for an utterance of a table of voices: no clip has its name."""

    @property
    def synthetic(self) -> bool:
        """True for synthetic speech."""
        return bool(self.method)

    @property
    def page(self) -> str:
        """The page that published synthetic speech, else the family of its method; empty for bona fide speech."""
        return (self.source or method_family(self.method)) if self.method else ""


@dataclass(frozen=True)
class VoiceSamples:
    """Measurements of voices and of their versions, in the voices' order; a voice's original comes first.

    Attributes
    ----------
    x : ndarray of shape (n, len(INPUTS))
        Inputs of the linear model; NaN where undefined.
    mel : list of n ndarrays of shape (64, frames)
        Inputs of the network, in half precision.
    encoded : ndarray of shape (n, len(STATISTICS))
        Statistics of the encoder.
    voice : ndarray of shape (n,)
        Position of the voice that a row belongs to.
    is_original : ndarray of shape (n,)
        True for an original. An original in which nothing can be measured has no row, though its versions may have
        rows.
    """

    x: NDArray[np.float64]
    mel: list[NDArray[np.float16]]
    encoded: NDArray[np.float32]
    voice: NDArray[np.int64]
    is_original: NDArray[np.bool_]

    def inputs(self, row: int) -> SpeechInputs:
        """Return the detector's inputs for a row."""
        return SpeechInputs(self.x[row], self.mel[row].astype(np.float32), self.encoded[row])


def voices_of(data: str | os.PathLike[str], progress: Progress = no_progress) -> list[Voice]:
    """Read the voices of a data set's clips: of REAL clips, and of FAKE clips whose ``fake_part`` names the voice.

    Clips where only the video is forged are left out, because some talking heads are driven by synthetic speech, and
    data sets do not say which. Audio that is silent or shorter than 0.3 s is left out as well.

    Raises
    ------
    DatasetError
        As for :func:`training.manifest.training_clips`.
    """
    from av import FFmpegError

    from forge.clips.audio_codec import read_audio

    voices: list[Voice] = []
    clips = training_clips(data)
    for clip in tracked(clips, "speech of clips", len(clips), progress):
        synthetic = "voice" in clip.forged
        if clip.label == "FAKE" and not synthetic:
            continue
        try:
            audio = _beginning(read_audio(clip.path))
        except IndexError:  # no audio track
            continue
        except FFmpegError as error:
            logger.warning("%s: %s", clip.filename, error)
            continue
        if _is_usable(clip.filename, audio):
            voices.append(Voice(clip.filename, clip.method if synthetic else "", clip.group, audio))
    return voices


def voices_of_table(file: str | os.PathLike[str]) -> list[Voice]:
    """Read the voices of a Parquet file with an utterance per row: columns ``key, label, method, source, group, flac``.

    ``label`` is REAL or FAKE, for the speech; ``flac`` holds an audio file at 16 kHz. A group's name means the same
    group as in a manifest of clips, and an utterance without a group is a group by itself. Audio that is silent or
    shorter than 0.3 s is left out; of longer audio the first 10 s are used, as for clips.

    Raises
    ------
    DatasetError
        The file can't be read as such a table, a row has no key, a FAKE row has no method, or audio can't be decoded;
        the message names the column or the key.
    """
    try:
        table = read_parquet(Path(file))
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{file}: can't be read as a Parquet file of voices; give another ({error})") from error
    if missing := [name for name in TABLE_COLUMNS if name not in table.column_names]:
        raise DatasetError(f"{file}: lacks the column {missing[0]!r}; voices need {', '.join(TABLE_COLUMNS)}")
    voices = [_row_voice(row, file) for row in table.select(TABLE_COLUMNS).to_pylist()]
    return [voice for voice in voices if _is_usable(voice.name, voice.audio)]


def _row_voice(row: dict[str, Any], file: str | os.PathLike[str]) -> Voice:
    import soundfile

    named = (row[name] for name in ("key", "method", "group", "source"))
    key, method, group, source = ("" if value is None else str(value) for value in named)
    label, method = row["label"], method.removeprefix(PREFIX)
    if not key:
        raise DatasetError(f"{file}: a row has no 'key'; name each utterance")
    if label not in ("REAL", "FAKE") or (label == "FAKE" and not method):
        raise DatasetError(f"{file}: {key} has the label {label!r} and the method {method!r}; correct the row")
    try:
        audio, rate = soundfile.read(io.BytesIO(row["flac"]), dtype="float32")
    except (soundfile.SoundFileError, TypeError) as error:
        raise DatasetError(f"{file}: the audio of {key} can't be decoded; replace it ({error})") from error
    if rate != AUDIO_RATE_HZ or audio.ndim != 1:
        raise DatasetError(f"{file}: the audio of {key} is not mono at {AUDIO_RATE_HZ} Hz; convert it")
    (group,) = groups_of_clips([group], [key])
    return Voice(key, method if label == "FAKE" else "", group, _beginning(audio), source, in_manifest=False)


def _beginning(audio: Waveform) -> Waveform:
    return audio[: int(MAX_AUDIO_S * AUDIO_RATE_HZ)]


def _is_usable(name: str, audio: Waveform) -> bool:
    """Return False for silence, and for audio [k] that is too short to contain enough speech to measure."""
    if audio.size < MIN_SPEECH * HOP:
        logger.warning("%s: left out, %.2f s of audio are too short to measure", name, audio.size / AUDIO_RATE_HZ)
        return False
    return bool(np.abs(audio).max() > SILENCE)


def systems(voices: Sequence[Voice]) -> NDArray[np.str_]:
    """Return the name [n] of the system that made each voice, letters and digits only; empty for bona fide speech.

    A name that ends in another name of four letters or more means the same system: ``audio_lip2speech_vcagan`` and
    ``VCA-GAN`` are both ``vcagan``.
    """
    names = [_plain(voice.method.lower()) for voice in voices]
    system_of = {"": ""}
    endings: list[str] = []
    for name in sorted({*names} - {""}, key=lambda name: (len(name), name)):
        system_of[name] = next((ending for ending in endings if name.endswith(ending)), name)
        if system_of[name] == name and len(name) >= LEAST_NAME:
            endings.append(name)
    return np.array([system_of[name] for name in names], dtype=str)


def _plain(method: str) -> str:
    """Return the letters (of any script) and digits of a method's name; the whole name if it has none of these."""
    return "".join(filter(str.isalnum, method)) or method


def identity(voices: Sequence[Voice], *extra: object) -> str:
    """Return a digest of the voices, their audio, the measurements, and ``extra``."""
    return digest(
        [(voice.name, voice.method, voice.group, voice.source, len(voice.audio)) for voice in voices],
        [float(np.abs(voice.audio).sum()) for voice in voices],
        [VERSION, *(family.version for family in discovery.families(VERSIONED_FAMILIES))],
        [str(value) for value in (N_VERSIONS, augment.CODECS, INPUTS, *extra)],
    )


def measured(
    voices: Sequence[Voice],
    part: Int,
    encoder: SpeechEncoder,
    *,
    jobs: int,
    seed: int,
    progress: Progress = no_progress,
) -> VoiceSamples:
    """Measure the inputs of the models for every voice: its original and :data:`N_VERSIONS` versions.

    Parameters
    ----------
    voices
        Voices to measure.
    part : ndarray of shape (n_voices,)
        Fold that scores each voice. The background speaker of a version is from the same fold, because no fold's model
        may be trained on speakers that it is scored on.
    encoder
        Encoder of the models.
    jobs
        Number of processes; results do not depend on it.
    seed
        Seed of the versions.
    progress
        Called with the stage, the number of voices done, and their total.

    Returns
    -------
    VoiceSamples
        Measurements in the voices' order, without versions in which nothing could be measured.
    """
    from joblib import Parallel, delayed

    rng = np.random.default_rng(seed)
    tasks = [
        delayed(_measured)(voice.audio, behind, encoder, [seed, number])
        for number, (voice, behind) in enumerate(zip(voices, _behind(voices, part, rng), strict=True))
    ]
    results = Parallel(jobs, return_as="generator")(tasks)
    done = list(tracked(results, "versions of speech", len(tasks), progress))
    rows = [inputs for _, of_voice in done for inputs in of_voice]
    return VoiceSamples(
        np.array([inputs.x for inputs in rows]).reshape(len(rows), len(INPUTS)),
        [inputs.mel.astype(np.float16) for inputs in rows],
        np.array([inputs.encoded for inputs in rows], np.float32).reshape(len(rows), len(STATISTICS)),
        np.repeat(np.arange(len(done)), [len(of_voice) for _, of_voice in done]),
        np.array([first and not at for first, of_voice in done for at in range(len(of_voice))], bool),
    )


def _behind(voices: Sequence[Voice], part: Int, rng: np.random.Generator) -> list[Waveform]:
    """Choose background speech for each voice: a bona fide voice of its part, else the voice itself.

    Groups with voices in several parts are not used (for example synthetic voices on two pages, in different folds).
    """
    parts_of = defaultdict(set)
    for voice, number in zip(voices, part, strict=True):
        parts_of[voice.group].add(int(number))
    bona_fide = np.array([not voice.synthetic and len(parts_of[voice.group]) == 1 for voice in voices])
    pools = {number: np.flatnonzero(bona_fide & (part == number)) for number in np.unique(part)}
    return [
        voices[rng.choice(pool)].audio if len(pool := pools[number]) else voice.audio
        for voice, number in zip(voices, part, strict=True)
    ]


def cached(
    file: Path,
    voices: Sequence[Voice],
    part: Int,
    encoder: SpeechEncoder,
    *,
    jobs: int,
    seed: int,
    progress: Progress = no_progress,
) -> VoiceSamples:
    """Return :func:`measured` samples, read from the file if an earlier run wrote them for the same voices."""
    key = identity(voices, seed, encoder.digest, part.tolist())
    try:
        with np.load(file) as kept:
            if str(kept["identity"]) == key:
                mel = np.split(kept["mel"], np.cumsum(kept["frames"])[:-1], axis=1)
                return VoiceSamples(kept["x"], mel, kept["encoded"], kept["voice"], kept["is_original"])
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        pass  # the file is missing or damaged
    samples = measured(voices, part, encoder, jobs=jobs, seed=seed, progress=progress)
    with in_place_of(file) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            identity=key,
            mel=np.concatenate(samples.mel, axis=1),
            frames=np.array([spectrogram.shape[1] for spectrogram in samples.mel]),
            x=samples.x,
            encoded=samples.encoded,
            voice=samples.voice,
            is_original=samples.is_original,
        )
    return samples


def _measured(
    audio: Waveform, other: Waveform, encoder: SpeechEncoder, seed: list[int]
) -> tuple[bool, list[SpeechInputs]]:
    """Measure an utterance and its versions; return whether the original could be measured, and all that could be."""
    rng = np.random.default_rng(seed)
    versions = (audio, *(augment.version(audio, other, rng) for _ in range(N_VERSIONS)))
    measurements = [speech_inputs(version, encoder) for version in versions]
    return measurements[0] is not None, [inputs for inputs in measurements if inputs is not None]
