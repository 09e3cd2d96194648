"""Write a table of synthetic speech from text, for training the speech detector."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from math import gcd
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import InputError, ModelError
from features.observation import AUDIO_RATE_HZ
from features.table import write_table
from training.progress import Progress, no_progress, tracked
from training.voice.data import PREFIX, TABLE_COLUMNS
from training.voice.synthesisers import SYNTHESISERS, seeded

logger = logging.getLogger(__name__)

METHOD = "tts"  # prefix of a system's name, so that it is not mistaken for another system
SENTENCES = (
    "The committee will publish its findings before the end of the month.",
    "I never said that we should leave the house so early in the morning.",
    "Please call me back when you have had time to read the report.",
    "Our engineers are working on a better way to store the energy.",
    "She told the reporters that nothing had been decided yet.",
    "It was a cold evening and the streets were almost empty.",
    "You can find the instructions on the second page of the manual.",
    "The price of bread has doubled within less than a year.",
    "We are grateful to everyone who helped us during the storm.",
    "He opened the letter slowly and began to laugh.",
    "There is no reason to believe that the numbers are wrong.",
    "Tomorrow the president will travel to the north of the country.",
    "My grandmother used to sing this song when we were children.",
    "The results of the test will be known in a few hours.",
    "Nobody noticed that the painting had been replaced.",
    "They have promised to rebuild the bridge next summer.",
    "If you press this button, the machine stops at once.",
    "A small group of students stayed behind to clean the hall.",
    "The weather on the coast changes several times a day.",
    "I would like to thank my colleagues for their patience.",
)


def texts(n: int) -> list[str]:
    """Return ``n`` different pairs of sentences, at most 380; the first of a pair cycles through all sentences."""
    return [f"{SENTENCES[k % 20]} {SENTENCES[(k % 20 + 1 + (7 * (k // 20)) % 19) % 20]}" for k in range(n)]


def write_spoken(
    out: Path, systems: Sequence[str], *, n: int, seed: int, progress: Progress = no_progress
) -> dict[str, int]:
    """Let every system speak ``n`` texts and write the table that :func:`training.voice.data.voices_of_table` reads.

    A system's voices take turns. The same seed and versions of the systems give the same audio.

    Parameters
    ----------
    out
        Parquet file to write.
    systems
        Names from :data:`training.voice.synthesisers.SYNTHESISERS`; a system that is not installed is skipped with a
        warning.
    n
        Number of texts per system, 1 to 380.
    seed
        Seed of speeds, voices and the random numbers of the networks.
    progress
        Called with the name of the system, the number of its texts done, and their total.

    Returns
    -------
    dict
        Number of utterances by system.

    Raises
    ------
    InputError
        A name is unknown, ``n`` is out of range, or none of the systems is installed.
    """
    if unknown := sorted(set(systems) - SYNTHESISERS.keys()):
        raise InputError(f"no synthesiser is called {unknown[0]!r}; known are {', '.join(SYNTHESISERS)}")
    if not 1 <= n <= len(SENTENCES) * (len(SENTENCES) - 1):
        raise InputError(f"n is {n}; it can be 1 to {len(SENTENCES) * (len(SENTENCES) - 1)}")
    rows = [row for name in dict.fromkeys(systems) for row in _said(name, n, seed, progress)]
    if not rows:
        raise InputError(f"none of the synthesisers is installed ({', '.join(systems)}); `make voice` installs two")
    columns = {name: [row[name] for row in rows] for name in TABLE_COLUMNS}
    write_table(pa.table(columns), out)
    return {name: sum(row["source"] == f"{METHOD}-{name}" for row in rows) for name in dict.fromkeys(systems)}


def _said(name: str, n: int, seed: int, progress: Progress) -> list[dict[str, str | bytes]]:
    """Return the rows of one system; none where the system, or one of its voices, is not installed."""
    try:
        return _rows(name, n, seed, progress)
    except ModelError as error:
        logger.warning("%s is left out: %s", name, error)
        return []


def _rows(name: str, n: int, seed: int, progress: Progress) -> list[dict[str, str | bytes]]:
    system = SYNTHESISERS[name]
    seeded(seed)
    speak = system.load()
    rows: list[dict[str, str | bytes]] = []
    for number, text in enumerate(tracked(texts(n), name, n, progress)):
        voice, speaker = list(system.voices.items())[number % len(system.voices)]
        audio, rate = speak(text, voice, np.random.default_rng([seed, number]))
        rows.append(
            {
                "key": f"{METHOD}_{name}_{number:03d}",
                "label": "FAKE",
                "method": f"{PREFIX}{METHOD}{name}",
                "source": f"{METHOD}-{name}",
                "group": f"{METHOD}:{speaker}",
                "flac": _flac(_resampled(audio, rate)),
            }
        )
    return rows


def _resampled(audio: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Resample audio [k] to 16 kHz, and reduce its level to full scale where it is louder."""
    from scipy.signal import resample_poly

    common = gcd(rate, AUDIO_RATE_HZ)
    resampled = resample_poly(audio, AUDIO_RATE_HZ // common, rate // common).astype(np.float32)
    return resampled / max(1.0, float(np.abs(resampled).max(initial=0.0)))


def _flac(audio: NDArray[np.float32]) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, audio, AUDIO_RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()
