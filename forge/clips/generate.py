"""Forgeries made of your own real clips, in the challenge's layout with a manifest beside it.

Every clip found (any layout that extraction reads; clips labelled FAKE are left out) is written anew as REAL,
and forged in the kinds asked for by the same encoder, so that compression is not the label. The kind
``reencode`` sends the real clip and each of its forgeries on once more, both classes alike.

Donors of faces and voices come from a clip's own club: a few groups of people that stay together in any split.
"""

from __future__ import annotations

import csv
import functools
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from features.errors import ClipError, DatasetError
from forge.clips.clip import Clip
from forge.clips.read import read_clip, read_voice
from forge.clips.registry import MIN_FACE_FRACTION, Kind, kinds
from forge.clips.swap import choose_frames
from forge.clips.write import Encoder, digest, write_clip, write_metadata

logger = logging.getLogger(__name__)

CLUB = 4  # groups that lend each other faces and voices
PART_SIZE = 200  # originals a part
DONOR_SECONDS = 4.0
MAX_DONORS = 3  # tried for each swap
BORROWERS = frozenset({"face_swap", "expression", "dub"})


@dataclass(frozen=True)
class Source:
    """A real clip to forge from: where it is, what it will be called, its club, its possible donors."""

    path: str
    filename: str
    name: str
    part: str
    group: str
    donors: tuple[str, ...]
    number: int


@dataclass(frozen=True)
class Recipe:
    """What is wanted of every source."""

    kinds: tuple[str, ...]
    per_clip: int
    seed: int
    max_seconds: float
    max_side: int
    voices: tuple[str, ...]


def make(real: str, out: Path, recipe: Recipe, *, limit: int = 0, n_jobs: int = 1) -> tuple[int, int]:
    """Write the labelled set to ``out``; gives the numbers of REAL and FAKE clips.

    Raises
    ------
    features.errors.DatasetError
        ``real`` holds no clip, or none that can be read.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    sources = _sources(real, recipe.seed)[: limit or None]
    bar = tqdm(sources, desc="forging", unit="clip", file=sys.stderr)
    done = Parallel(n_jobs=n_jobs)(delayed(_forge)(source, recipe, out) for source in bar)
    parts: dict[str, dict[str, dict[str, Any]]] = {}
    for source, (entries, messages) in zip(sources, done, strict=True):
        parts.setdefault(source.part, {}).update(entries)
        for message in messages:
            logger.warning("%s: %s", source.filename, message)
    rows = [(part, name, entry) for part, entries in parts.items() for name, entry in entries.items()]
    if not rows:
        raise DatasetError(f"{real}: none of its {len(sources)} clips could be read; see the messages above")
    for part, entries in parts.items():
        write_metadata(out / part, entries)
    _write_manifest(out / "manifest.csv", rows)
    n_fake = sum(entry["label"] == "FAKE" for _, _, entry in rows)
    return len(rows) - n_fake, n_fake


def _sources(real: str, seed: int) -> list[Source]:
    """The real clips, with clubs drawn from the seed."""
    from extract.dataset import find_clips

    clips = [clip for clip in find_clips(real) if clip.label != "FAKE"]
    if not clips:
        raise DatasetError(f"{real}: all of its clips are labelled FAKE; forgeries are made of real ones")
    groups = sorted({clip.group for clip in clips})
    order = np.random.default_rng(seed).permutation(len(groups))
    club = {groups[place]: number // CLUB for number, place in enumerate(order)}
    sources: list[Source] = []
    taken: set[str] = set()
    for number, clip in enumerate(clips):
        stem = PurePosixPath(clip.filename).stem
        name = stem if stem not in taken else f"{stem}-{number}"
        taken.add(name)
        lenders = tuple(c.path for c in clips if c.group != clip.group and club[c.group] == club[clip.group])
        part = f"dfdc_train_part_{number // PART_SIZE}"
        sources.append(Source(clip.path, clip.filename, name, part, f"club{club[clip.group]}", lenders, number))
    return sources


def _forge(source: Source, recipe: Recipe, out: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """One real clip and its forgeries: metadata entries by file name, and what was skipped, in words."""
    rng = np.random.default_rng([recipe.seed, source.number])
    wants_face = any("face" in kinds()[name].needs for name in recipe.kinds)
    try:
        clip = read_clip(source.path, max_seconds=recipe.max_seconds, max_side=recipe.max_side, faces=wants_face)
    except ClipError as error:
        return {}, [f"left out: {error}"]
    encoder = Encoder.sample(rng)
    folder = out / source.part
    common = {"split": "train", "source": source.filename, "group": source.group, "encoder": encoder.as_dict()}
    real_name = f"{source.name}.mp4"
    write_clip(clip, folder / real_name, encoder)
    real = {"label": "REAL", "original": None, "sha256": digest(folder / real_name), **common}
    entries: dict[str, dict[str, Any]] = {real_name: real}
    messages: list[str] = []
    for name in _turns(source, recipe):
        own = np.random.default_rng([recipe.seed, source.number, sorted(kinds()).index(name)])
        kind = kinds()[name]
        parameters = kind.sample(own)
        donor, lender = _donor(kind, clip, source, recipe, own)
        if lacks := kind.missing(clip, donor):
            messages.append(f"no {name}: {lacks}")
            continue
        forged_name = f"{source.name}__{name}.mp4"
        forged = replace(kind.apply(clip, parameters, own, donor), name=forged_name)
        write_clip(forged, folder / forged_name, encoder)
        entries[forged_name] = {
            "label": "FAKE",
            "original": real_name,
            "kind": name,
            "part": kind.part,
            "parameters": parameters,
            "donor": lender,
            "seed": [recipe.seed, source.number],
            "sha256": digest(folder / forged_name),
            **common,
        }
    if "reencode" in recipe.kinds:
        entries |= _sent_on(
            entries, folder, kinds()["reencode"], np.random.default_rng([recipe.seed, source.number, 99])
        )
    return entries, messages


def _turns(source: Source, recipe: Recipe) -> list[str]:
    """Kinds of forgery for this clip: all of them, or ``per_clip`` in turn."""
    names = [name for name in recipe.kinds if kinds()[name].part != "none"]
    if not recipe.per_clip or not names:
        return names
    first = source.number * recipe.per_clip
    return [names[(first + step) % len(names)] for step in range(min(recipe.per_clip, len(names)))]


def _donor(
    kind: Kind, clip: Clip, source: Source, recipe: Recipe, rng: np.random.Generator
) -> tuple[Clip | None, str | None]:
    """Another person's clip for kinds that borrow, and its file name; (None, None) when there is none.

    Of up to :data:`MAX_DONORS` faces, the one whose poses and expressions come nearest.
    """
    if kind.name not in BORROWERS:
        return None, None
    if kind.name == "dub" and recipe.voices:
        return _voice(recipe.voices, rng)
    found: list[tuple[float, int, Clip, str]] = []
    for place in rng.permutation(len(source.donors))[:MAX_DONORS]:
        path = source.donors[place]
        face = kind.name != "dub"
        try:
            donor = _lent(path, DONOR_SECONDS if face else recipe.max_seconds, recipe.max_side, face)
        except ClipError:
            continue
        if face and donor.face_fraction >= MIN_FACE_FRACTION:
            found.append((choose_frames(clip.landmarks, donor.landmarks)[1], len(found), donor, path))
        elif not face and donor.sound is not None:
            found.append((0.0, len(found), donor, path))
    if not found:
        return None, None
    _, _, donor, path = min(found, key=lambda one: one[:2])
    return donor, PurePosixPath(path).name


def _voice(files: Sequence[str], rng: np.random.Generator) -> tuple[Clip | None, str | None]:
    """A voice of the folder as a clip without pictures; files that hold no sound are passed over."""
    for number in rng.permutation(len(files)):
        file = Path(files[number])
        try:
            voice = read_voice(file)
        except DatasetError as error:
            logger.warning("%s", error)
            continue
        return Clip(file.name, [], np.zeros(1), np.full((1, 68, 2), np.nan, np.float32), voice), file.name
    return None, None


@functools.lru_cache(maxsize=16)  # holds landmarks and sound, no frames
def _lent(path: str, max_seconds: float, max_side: int, faces: bool) -> Clip:
    return read_clip(path, max_seconds=max_seconds, max_side=max_side, faces=faces)


def _sent_on(
    entries: dict[str, dict[str, Any]], folder: Path, kind: Kind, rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """A re-encoded copy of every clip written, all with the same parameters; labels stay."""
    parameters = kind.sample(rng)
    encoder = Encoder(crf=parameters["crf"])
    copies: dict[str, dict[str, Any]] = {}
    real_name = next(iter(entries))
    for name, entry in entries.items():
        copy_name = f"{Path(name).stem}__reencode.mp4"
        clip = kind.apply(_as_written(folder / name), parameters, rng, None)
        for turn in range(parameters["rounds"]):
            step = folder / f".{turn}-{copy_name}"
            write_clip(clip, step, encoder)
            clip = _as_written(step)
        step.replace(folder / copy_name)
        for turn in range(parameters["rounds"] - 1):
            (folder / f".{turn}-{copy_name}").unlink()
        copies[copy_name] = {
            **entry,
            "original": entry["original"] or real_name,
            "reencode": parameters,
            "encoder": encoder.as_dict(),
            "sha256": digest(folder / copy_name),
        }
    return copies


def _as_written(file: Path) -> Clip:
    """A clip that was written here, whole and at its own size."""
    return read_clip(file, max_seconds=1e6, max_side=1 << 20, faces=False)


def _write_manifest(file: Path, rows: list[tuple[str, str, dict[str, Any]]]) -> None:
    """``manifest.csv``: what extraction needs, with the groups that donors make larger."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["filename", "label", "group", "original", "method", "parameters"])
        for part, name, entry in sorted(rows, key=lambda row: (row[0], row[1])):
            original = f"{part}/{entry['original']}" if entry["original"] else ""
            method = entry.get("kind", "real") + ("+reencode" if "reencode" in entry else "")
            parameters = json.dumps(entry.get("parameters", {}))
            writer.writerow([f"{part}/{name}", entry["label"], entry["group"], original, method, parameters])
