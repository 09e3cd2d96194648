"""Demo data: clips of two talking portraits, some of them forged, in the challenge's layout.

Nothing is downloaded or copied: see :mod:`forge.demo.portrait`. The data is synthetic and easy; it shows that the full
pipeline works, but says nothing about real forgeries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features.checksums import sha256_of
from features.errors import InputError
from forge.clips.clip import EditableClip
from forge.clips.registry import kinds
from forge.clips.write import Encoder, check_writable, random_name, write_clip, write_labels, write_metadata
from forge.demo import portrait
from forge.demo.animate import Puppet, Scene, render, sample_motion
from forge.speech_synthesis import RATE_HZ, Speaker, speak

SIZES = ((320, 240), (426, 240), (480, 360), (640, 360), (360, 640))
RATES_HZ = (15.0, 24.0, 25.0, 30.0)
RATE_WEIGHTS = (0.1, 0.3, 0.3, 0.3)
KINDS = ("face_swap", "desync", "resynthesis", "dub", "face_swap", "resynthesis")  # in turn
# In clips of few seconds, a constant shift is easier to find than a drift; with two people, no third voice is needed.
FIXED: dict[str, dict[str, Any]] = {"desync": {"rate": 1.0}, "dub": {"voice": "donor"}}
REAL_SHARE = 0.4  # fraction of REAL clips in the training set
PARTS = 3
MIN_CLIPS = 6
ROOM_NOISE = (0.0005, 0.004)  # RMS of the microphone's noise, full scale 1


@dataclass(frozen=True)
class Job:
    """An original and its forgeries, made independently of all others."""

    seed: tuple[int, ...]
    person: str
    folder: Path
    name: str
    fakes: tuple[tuple[str, str], ...]  # (file name, kind)


def make_demo(
    out: Path,
    *,
    seed: int,
    n_clips: int = 60,
    jobs: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> tuple[int, int]:
    """Write the demo data set to ``out``; return the numbers of training and test clips.

    ``progress`` is called with the number of originals done, their total, and the number of failures (0).

    Raises
    ------
    InputError
        ``n_clips`` is below :data:`MIN_CLIPS`, the seed is below 0, or ``out`` can't be written.
    """
    from joblib import Parallel, delayed

    if n_clips < MIN_CLIPS:
        raise InputError(f"{n_clips} clips: must be at least {MIN_CLIPS}")
    if seed < 0:
        raise InputError(f"seed {seed}: must be at least 0")
    check_writable(out)
    rng = np.random.default_rng(seed)
    train = _plan(
        rng, seed, n_clips, [out / "train" / f"dfdc_train_part_{number}" for number in range(PARTS)], REAL_SHARE
    )
    test = _plan(rng, seed + 1_000_003, n_clips // 3, [out / "test_videos"], 0.5)
    planned = [*train, *test]
    entries: dict[Path, dict[str, dict[str, Any]]] = {}
    results = Parallel(n_jobs=jobs, return_as="generator")(delayed(_make)(job) for job in planned)
    for number, (job, made) in enumerate(zip(planned, results, strict=True), start=1):
        entries.setdefault(job.folder, {}).update(made)
        if progress is not None:
            progress(number, len(planned), 0)
    labels = entries.pop(out / "test_videos")
    for folder, part in entries.items():
        write_metadata(folder, part)
    write_labels(out / "sample_submission.csv", [(name, 0.5) for name in labels])
    write_labels(out / "test_labels.csv", [(name, entry["label"]) for name, entry in labels.items()])
    return sum(map(len, entries.values())), len(labels)


def _plan(rng: np.random.Generator, seed: int, n_clips: int, folders: list[Path], real_share: float) -> list[Job]:
    """Plan the clips: every original once, forgeries in turn, none for the last originals."""
    n_real = max(1, round(n_clips * real_share))
    n_fake = n_clips - n_real
    forged = max(1, n_real - max(1, n_real // 8))  # originals that have forgeries
    turns: list[list[tuple[str, str]]] = [[] for _ in range(n_real)]
    for number in range(n_fake):
        turns[number % forged].append((random_name(rng), KINDS[(number + number // len(KINDS)) % len(KINDS)]))
    return [
        Job(
            seed=(seed, number),
            person=portrait.NAMES[number % 2],
            folder=folders[number % len(folders)],
            name=random_name(rng),
            fakes=tuple(turns[number]),
        )
        for number in range(n_real)
    ]


def _make(job: Job) -> dict[str, dict[str, Any]]:
    """Write an original and its forgeries; return their metadata."""
    rng = np.random.default_rng(job.seed)
    size = SIZES[int(rng.integers(len(SIZES)))]
    fps = float(rng.choice(RATES_HZ, p=RATE_WEIGHTS))
    encoder = Encoder.sample(rng)
    original = record(job.person, job.name, size=size, fps=fps, duration_s=float(rng.uniform(3.3, 4.0)), rng=rng)
    write_clip(original, job.folder / job.name, encoder)
    common = {"split": "train", "encoder": encoder.as_dict()}
    real = {"label": "REAL", "original": None, "sha256": sha256_of(job.folder / job.name), **common}
    made: dict[str, dict[str, Any]] = {job.name: real}
    for number, (name, kind_name) in enumerate(job.fakes, start=1):  # a seed that ends in 0 is the original's
        forging = np.random.default_rng([*job.seed, number])
        manipulation = kinds()[kind_name]
        donor = None
        if kind_name in ("face_swap", "dub"):
            other = portrait.NAMES[1 - portrait.NAMES.index(job.person)]
            donor = record(other, "donor", size=size, fps=fps, duration_s=2.0 if kind_name == "face_swap" else 4.0,
                           rng=forging, video=kind_name == "face_swap")  # fmt: skip
        parameters = {**manipulation.sample(forging), **FIXED.get(kind_name, {})}
        forged = replace(manipulation.apply(original, parameters, forging, donor), name=name)
        write_clip(forged, job.folder / name, encoder)
        made[name] = {
            "label": "FAKE",
            "original": job.name,
            "kind": kind_name,
            "parameters": parameters,
            "seed": [*job.seed, number],
            "sha256": sha256_of(job.folder / name),
            **common,
        }
    return made


def record(
    person: str,
    name: str,
    *,
    size: tuple[int, int],
    fps: float,
    duration_s: float,
    rng: np.random.Generator,
    video: bool = True,
) -> EditableClip:
    """Make a clip of ``person`` talking, with known landmarks; ``video=False`` makes only the audio."""
    speech = speak(duration_s, Speaker.sample(rng), rng)
    motion = sample_motion(speech, fps=fps, rng=rng)
    room = rng.uniform(*ROOM_NOISE) * rng.standard_normal(speech.audio.size)
    audio = (speech.audio * rng.uniform(0.5, 1.3) + room).astype(np.float32)
    times = np.arange(motion.opening.size) / fps
    empty = np.full((times.size, 68, 2), np.nan, np.float32)
    if not video:
        return EditableClip(name, [], times, empty, audio[: int(times.size / fps * RATE_HZ)])
    who = portrait.load(person)
    who = who.mirrored() if rng.random() < 0.5 else who
    width, height = size
    iod = float(rng.uniform(0.135, 0.175) * min(width * 1.1, height))
    eyes = (width * rng.uniform(0.42, 0.58), height * rng.uniform(0.36, 0.42))
    puppet = Puppet(who, size=size, iod=iod, eyes=eyes)
    frames, landmarks = zip(*render(puppet, motion, Scene.sample(size, rng), rng), strict=True)
    return EditableClip(name, frames, times, np.stack(landmarks), audio)
