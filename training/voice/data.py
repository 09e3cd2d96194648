"""What the voice model is trained on: sounds of labelled clips, as they are, and as codecs and rooms leave them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.families.voice import CUES
from features.observation import AUDIO_RATE_HZ
from features.voice_measures import cues
from training.manifest import method_family, progress, training_clips

logger = logging.getLogger(__name__)

Sound = NDArray[np.float32]
LONGEST_S = 10.0
N_CODECS = 3  # that each sound goes through, too
N_DAMAGED = 2  # times that each of these versions is damaged
DAMAGED_S = (0.8, 6.0)  # length of what is cut out before
SILENCE = 1e-4  # peak, of full scale 1


@dataclass(frozen=True)
class Voice:
    """One sound: ``method`` of synthetic speech, empty for bona fide; ``group`` the people and their source."""

    name: str
    method: str
    group: str
    sound: Sound
    """[k] at 16 kHz."""

    @property
    def synthetic(self) -> bool:
        """True when a method made it."""
        return bool(self.method)

    @property
    def generator(self) -> str:
        """The family of methods that made it; empty for bona fide speech."""
        return method_family(self.method)


@dataclass(frozen=True)
class Cues:
    """Cues of versions of voices.

    Attributes
    ----------
    x : ndarray of shape (n, len(CUES))
        NaN where a cue is undefined.
    voice : ndarray of shape (n,)
        Position of the voice that a row is of.
    is_original : ndarray of shape (n,)
        True for the sound as it is. A sound in which nothing can be measured has no such row, though its versions may
        have theirs.
    """

    x: NDArray[np.float64]
    voice: NDArray[np.int64]
    is_original: NDArray[np.bool_]


def voices_of(data: str | os.PathLike[str]) -> list[Voice]:
    """Voices of a data set's clips: REAL ones, and FAKE ones whose ``fake_part`` names the voice.

    Clips with a forged picture alone are left out: some talking heads are driven by synthetic speech, and none says so.

    Raises
    ------
    DatasetError
        As :func:`training.manifest.training_clips`.
    """
    from av import FFmpegError

    from forge.clips.audio_codec import read_sound

    voices: list[Voice] = []
    for clip in progress(training_clips(data), "sound"):
        synthetic = "voice" in clip.forged
        if clip.label == "FAKE" and not synthetic:
            continue
        try:
            sound = read_sound(clip.path)[: int(LONGEST_S * AUDIO_RATE_HZ)]
        except IndexError:  # no sound
            continue
        except FFmpegError as error:
            logger.warning("%s: %s", clip.filename, error)
            continue
        if sound.size and np.abs(sound).max() > SILENCE:
            voices.append(Voice(clip.filename, clip.method if synthetic else "", clip.group, sound))
    return voices


def measured(voices: Sequence[Voice], *, jobs: int, seed: int) -> Cues:
    """Cues of every voice: of the sound as it is, after codecs, and after damage.

    Parameters
    ----------
    voices
        At least one of them bona fide: their sounds are what may speak behind a damaged one.
    jobs
        Processes; results do not depend on it.
    seed
        Of codecs and damage.

    Returns
    -------
    Cues
        In the voices' order; without the versions in which nothing could be measured.
    """
    from joblib import Parallel, delayed

    bona_fide = [voice.sound for voice in voices if not voice.synthetic]
    rng = np.random.default_rng(seed)
    tasks = [
        delayed(_measured)(voice, bona_fide[rng.integers(len(bona_fide))], seed + number)
        for number, voice in enumerate(voices)
    ]
    done = list(progress(Parallel(jobs, return_as="generator")(tasks), "cues", len(tasks)))
    number = np.repeat(np.arange(len(done)), [len(rows) for rows, _ in done])
    return Cues(np.concatenate([rows for rows, _ in done]), number, np.concatenate([first for _, first in done]))


def _measured(voice: Voice, other: Sound, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cues [k, len(CUES)] of a voice's versions in which something could be measured, and which [k] is the original."""
    rng = np.random.default_rng(seed)
    values = [cues(version.sound) for version in versions(voice, rng)]
    values += [
        cues(damaged(_cut(version.sound, rng), other, rng))
        for version in versions(voice, rng)
        for _ in range(N_DAMAGED)
    ]
    kept = np.flatnonzero([bool(of_version) for of_version in values])
    rows = np.array([[values[position][name] for name in CUES] for position in kept]).reshape(-1, len(CUES))
    return rows, kept == 0


def versions(voice: Voice, rng: np.random.Generator) -> Iterator[Voice]:
    """The voice as it is first, then through :data:`N_CODECS` codecs."""
    from forge.clips.audio_codec import CODECS, compressed

    yield voice
    for codec in rng.choice(len(CODECS), N_CODECS, replace=False):
        yield replace(voice, sound=compressed(voice.sound, CODECS[codec]))


def _cut(sound: Sound, rng: np.random.Generator) -> Sound:
    size = min(int(rng.uniform(*DAMAGED_S) * AUDIO_RATE_HZ), sound.size)
    start = int(rng.integers(sound.size - size + 1))
    return sound[start : start + size]


def damaged(sound: Sound, other: Sound, rng: np.random.Generator) -> Sound:
    """What rooms, microphones and editors do to a sound [k], alike for both classes; ``other`` may speak behind it."""
    from scipy import fft

    size = fft.next_fast_len(sound.size, real=True)
    spectrum = fft.rfft(sound, size)
    frequency = np.linspace(0, 1, spectrum.size)  # as a fraction of half the sampling rate
    if rng.random() < 0.35:
        spectrum = spectrum * fft.rfft(_room(rng), size)
    if rng.random() < 0.5:
        gain_db = np.interp(frequency, np.linspace(0, 1, 6), rng.normal(0, 5, 6))
        spectrum = spectrum * 10 ** (gain_db / 20)
    out = fft.irfft(spectrum, size)[: sound.size]
    if rng.random() < 0.6:
        noise = np.resize(other, sound.size) if rng.random() < 0.3 else _coloured_noise(sound.size, rng)
        level = np.sqrt(np.mean(out**2) / max(float(np.mean(noise**2)), 1e-12)) * 10 ** (-rng.uniform(8, 50) / 20)
        out = out + level * noise
    if rng.random() < 0.2:
        low_pass = 1 / (1 + (frequency / rng.uniform(0.43, 0.98)) ** 20)
        out = fft.irfft(fft.rfft(out, size) * low_pass, size)[: sound.size]
    return np.asarray(out, np.float32)


def _room(rng: np.random.Generator) -> NDArray[np.float64]:
    """Impulse response of a room: the direct sound and a tail of noise that fades by 60 dB."""
    size = int(rng.uniform(0.05, 0.4) * AUDIO_RATE_HZ)
    tail = rng.standard_normal(size) * np.exp(-6.9 * np.arange(size) / size)
    tail *= rng.uniform(0.1, 0.8) / np.linalg.norm(tail)
    tail[0] = 1.0
    return tail


def _coloured_noise(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency, from white to 1/f."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    return np.fft.irfft(spectrum / np.arange(1, spectrum.size + 1) ** rng.uniform(0, 1), size)
