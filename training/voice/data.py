"""The sounds that the speech detector is trained on, and what is measured of them and of their damaged versions."""

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
from features.networks.speech_encoder import STATISTICS, SpeechEncoder
from features.observation import AUDIO_RATE_HZ
from features.speech_model import INPUTS, SpeechInputs, speech_inputs
from features.table import read_parquet
from features.voice_measures import HOP, MIN_SPEECH
from training.manifest import digest, method_family, training_clips
from training.progress import Progress, no_progress, tracked
from training.voice import augment

logger = logging.getLogger(__name__)

Sound = NDArray[np.float32]
Int = NDArray[np.int64]
MAX_SOUND_S = 10.0  # of a sound, the length of the challenge's clips: a longer one costs more and is of the same voice
SILENCE = 1e-4  # peak, of full scale 1
N_VERSIONS = 8  # of each sound, beside the sound as it is
PREFIX = "voice:"  # of the methods in a table of voices
VERSION = 2
"""Of how sounds are damaged and measured here. Raised whenever either changes: what was kept is then measured again."""
MEASURED = ("voice", "forensic_voice")  # families whose versions say the same of what their modules measure
LEAST_NAME = 4  # letters of a system's name that may be the end of a longer name of the same system
TABLE_COLUMNS = ("key", "label", "method", "source", "group", "flac")
TABLE_CONTENT = (
    "label: REAL or FAKE, for the speech; method: the system, for FAKE; source: page or data set; group: as in the "
    "manifest; flac: mono audio at 16 kHz"
)
"""What the columns hold, in words, for help."""


@dataclass(frozen=True)
class Voice:
    """One sound: ``method`` of synthetic speech, empty for bona fide; ``group`` the people and their source."""

    name: str
    method: str
    group: str
    sound: Sound
    """[k] at 16 kHz."""
    source: str = ""
    """Page or data set, where it is known."""
    in_manifest: bool = True
    """False for a sound of a table of voices: no clip is named so."""

    @property
    def synthetic(self) -> bool:
        """True when a method made it."""
        return bool(self.method)

    @property
    def page(self) -> str:
        """Where synthetic speech was published, else the family of methods; empty for bona fide speech."""
        return (self.source or method_family(self.method)) if self.method else ""


@dataclass(frozen=True)
class VoiceSamples:
    """What is measured of voices and of their versions, in the voices' order; a voice's original comes first.

    Attributes
    ----------
    x : ndarray of shape (n, len(INPUTS))
        Inputs of the linear model; NaN where a cue is undefined.
    mel : list of n ndarrays of shape (64, frames)
        Inputs of the network, in half precision.
    encoded : ndarray of shape (n, len(STATISTICS))
        Statistics of the encoder.
    voice : ndarray of shape (n,)
        Position of the voice that a row is of.
    is_original : ndarray of shape (n,)
        True for the sound as it is. A sound in which nothing can be measured has no such row, though its versions may
        have theirs.
    """

    x: NDArray[np.float64]
    mel: list[NDArray[np.float16]]
    encoded: NDArray[np.float32]
    voice: NDArray[np.int64]
    is_original: NDArray[np.bool_]

    def inputs(self, row: int) -> SpeechInputs:
        """What the detector reads of a row."""
        return SpeechInputs(self.x[row], self.mel[row].astype(np.float32), self.encoded[row])


def voices_of(data: str | os.PathLike[str], progress: Progress = no_progress) -> list[Voice]:
    """Voices of a data set's clips: REAL ones, and FAKE ones whose ``fake_part`` names the voice.

    Clips with a forged picture alone are left out: some talking heads are driven by synthetic speech, and none says so.
    So are sounds that are silent or under 0.3 s.

    Raises
    ------
    DatasetError
        As :func:`training.manifest.training_clips`.
    """
    from av import FFmpegError

    from forge.clips.audio_codec import read_sound

    voices: list[Voice] = []
    clips = training_clips(data)
    for clip in tracked(clips, "speech of clips", len(clips), progress):
        synthetic = "voice" in clip.forged
        if clip.label == "FAKE" and not synthetic:
            continue
        try:
            sound = _beginning(read_sound(clip.path))
        except IndexError:  # no sound
            continue
        except FFmpegError as error:
            logger.warning("%s: %s", clip.filename, error)
            continue
        if _is_usable(clip.filename, sound):
            voices.append(Voice(clip.filename, clip.method if synthetic else "", clip.group, sound))
    return voices


def voices_of_table(file: str | os.PathLike[str]) -> list[Voice]:
    """Voices of a Parquet file with a sound a row: columns ``key, label, method, source, group, flac``.

    ``label`` is REAL or FAKE and is of the sound; ``flac`` holds a sound file at 16 kHz; a group's name means the same
    group as in a manifest of clips, and a sound without one is a group by itself. Sounds that are silent or under 0.3 s
    are left out; of longer ones the first 10 s are used, as of a clip's sound.

    Raises
    ------
    DatasetError
        It can't be read as such a table, a row has no key, a FAKE row names no method, or a sound can't be decoded; the
        message names the column or the key.
    """
    try:
        table = read_parquet(Path(file))
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{file}: can't be read as a Parquet file of voices; give another ({error})") from error
    if missing := [name for name in TABLE_COLUMNS if name not in table.column_names]:
        raise DatasetError(f"{file}: lacks the column {missing[0]!r}; voices need {', '.join(TABLE_COLUMNS)}")
    voices = [_row_voice(row, file) for row in table.select(TABLE_COLUMNS).to_pylist()]
    return [voice for voice in voices if _is_usable(voice.name, voice.sound)]


def _row_voice(row: dict[str, Any], file: str | os.PathLike[str]) -> Voice:
    import soundfile

    named = (row[name] for name in ("key", "method", "group", "source"))
    key, method, group, source = ("" if value is None else str(value) for value in named)
    label, method = row["label"], method.removeprefix(PREFIX)
    if not key:
        raise DatasetError(f"{file}: a row has no 'key'; name each sound")
    if label not in ("REAL", "FAKE") or (label == "FAKE" and not method):
        raise DatasetError(f"{file}: {key} has the label {label!r} and the method {method!r}; correct the row")
    try:
        sound, rate = soundfile.read(io.BytesIO(row["flac"]), dtype="float32")
    except (soundfile.SoundFileError, TypeError) as error:
        raise DatasetError(f"{file}: the sound of {key} can't be decoded; replace it ({error})") from error
    if rate != AUDIO_RATE_HZ or sound.ndim != 1:
        raise DatasetError(f"{file}: the sound of {key} is not mono at {AUDIO_RATE_HZ} Hz; convert it")
    (group,) = groups_of_clips([group], [key])
    return Voice(key, method if label == "FAKE" else "", group, _beginning(sound), source, in_manifest=False)


def _beginning(sound: Sound) -> Sound:
    return sound[: int(MAX_SOUND_S * AUDIO_RATE_HZ)]


def _is_usable(name: str, sound: Sound) -> bool:
    """False for silence, and for a sound [k] in which there can't be enough speech to measure."""
    if sound.size < MIN_SPEECH * HOP:
        logger.warning("%s: left out, %.2f s of sound are too short to measure", name, sound.size / AUDIO_RATE_HZ)
        return False
    return bool(np.abs(sound).max() > SILENCE)


def systems(voices: Sequence[Voice]) -> NDArray[np.str_]:
    """[n] name of the system that made each voice, letters and digits alone; empty for bona fide speech.

    A name that ends in another one of four letters or more is of the same system: ``audio_lip2speech_vcagan`` and
    ``VCA-GAN`` are both ``vcagan``.
    """
    names = [_plain(voice.method.lower()) for voice in voices]
    known: list[str] = []
    for name in sorted({*names} - {""}, key=lambda one: (len(one), one)):
        if not any(name.endswith(other) and len(other) >= LEAST_NAME for other in known):
            known.append(name)
    return np.array(
        [next((one for one in known if name.endswith(one) and (len(one) >= LEAST_NAME or name == one)), name)
         for name in names], dtype=str
    )  # fmt: skip


def _plain(method: str) -> str:
    """Letters, of any script, and digits of a method's name; all of a name of other signs, for empty is bona fide."""
    return "".join(filter(str.isalnum, method)) or method


def identity(voices: Sequence[Voice], *extra: object) -> str:
    """Digest of the voices, their sounds, what is measured of these, and ``extra``."""
    return digest(
        [(voice.name, voice.method, voice.group, voice.source, len(voice.sound)) for voice in voices],
        [float(np.abs(voice.sound).sum()) for voice in voices],
        [VERSION, *(one.version for one in discovery.families(MEASURED))],
        [str(one) for one in (N_VERSIONS, augment.CODECS, INPUTS, *extra)],
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
    """What the models read of every voice: of the sound as it is, and of :data:`N_VERSIONS` versions.

    Parameters
    ----------
    voices
        To measure.
    part : ndarray of shape (n_voices,)
        Fold that judges each. Who speaks behind a damaged sound is of the same one: no fold's model may have heard
        anybody that it is judged by.
    encoder
        Of the models.
    jobs
        Processes; results do not depend on it.
    seed
        Of the versions.
    progress
        Called with the stage, the number of voices done, and their total.

    Returns
    -------
    VoiceSamples
        In the voices' order; without the versions in which nothing could be measured.
    """
    from joblib import Parallel, delayed

    rng = np.random.default_rng(seed)
    tasks = [
        delayed(_measured)(voice.sound, behind, encoder, [seed, number])
        for number, (voice, behind) in enumerate(zip(voices, _behind(voices, part, rng), strict=True))
    ]
    results = Parallel(jobs, return_as="generator")(tasks)
    done = list(tracked(results, "versions of speech", len(tasks), progress))
    some = [inputs for _, found in done for inputs in found]
    return VoiceSamples(
        np.array([one.x for one in some]).reshape(len(some), len(INPUTS)),
        [one.mel.astype(np.float16) for one in some],
        np.array([one.encoded for one in some], np.float32).reshape(len(some), len(STATISTICS)),
        np.repeat(np.arange(len(done)), [len(found) for _, found in done]),
        np.array([first and not at for first, found in done for at in range(len(found))], bool),
    )


def _behind(voices: Sequence[Voice], part: Int, rng: np.random.Generator) -> list[Sound]:
    """For each voice the sound of a bona fide one of its part; its own where that has none.

    Left out is who has voices in several parts: synthetic ones on two pages, say, which different folds judge.
    """
    parts_of = defaultdict(set)
    for voice, number in zip(voices, part, strict=True):
        parts_of[voice.group].add(int(number))
    bona_fide = np.array([not voice.synthetic and len(parts_of[voice.group]) == 1 for voice in voices])
    pools = {number: np.flatnonzero(bona_fide & (part == number)) for number in np.unique(part)}
    return [
        voices[rng.choice(pool)].sound if len(pool := pools[number]) else voice.sound
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
    """:func:`measured`, or what an earlier run measured of the same voices and kept in the file."""
    key = identity(voices, seed, encoder.digest, part.tolist())
    try:
        with np.load(file) as kept:
            if str(kept["identity"]) == key:
                mel = np.split(kept["mel"], np.cumsum(kept["frames"])[:-1], axis=1)
                return VoiceSamples(kept["x"], mel, kept["encoded"], kept["voice"], kept["is_original"])
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        pass  # none yet, or a damaged one
    found = measured(voices, part, encoder, jobs=jobs, seed=seed, progress=progress)
    partial = file.with_suffix(".partial.npz")
    np.savez(
        partial,
        identity=key,
        mel=np.concatenate(found.mel, axis=1),
        frames=np.array([one.shape[1] for one in found.mel]),
        x=found.x,
        encoded=found.encoded,
        voice=found.voice,
        is_original=found.is_original,
    )
    partial.replace(file)
    return found


def _measured(sound: Sound, other: Sound, encoder: SpeechEncoder, seed: list[int]) -> tuple[bool, list[SpeechInputs]]:
    """Whether something could be measured of a sound as it is, and what of it and of its versions where it could."""
    rng = np.random.default_rng(seed)
    versions = (sound, *(augment.version(sound, other, rng) for _ in range(N_VERSIONS)))
    found = [speech_inputs(one, encoder) for one in versions]
    return found[0] is not None, [inputs for inputs in found if inputs is not None]
