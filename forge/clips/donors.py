"""Choose the donor of a forgery's face or voice: a clip of the donor pool, or a voice from a folder."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from features.errors import ClipError, DatasetError, InputError
from forge.clips.clip import EditableClip
from forge.clips.read import read_clip, read_voice
from forge.clips.recipe import ForgeryRecipe
from forge.clips.registry import MIN_FACE_FRACTION, Kind
from forge.clips.sources import Source
from forge.clips.swap import choose_frames

DONOR_SECONDS = 4.0  # analysed length of a donor of faces
MAX_DONORS = 3  # donors that are compared for each swap
WITHOUT_DONOR = {"expression": ("source", "moment"), "dub": ("voice", "synthetic")}
"""Kind to the parameter, and its value, with which it needs no donor."""
WITH_DONOR = frozenset({"face_swap", *WITHOUT_DONOR})


@dataclass(frozen=True)
class Donor:
    """A donor's clip and file name; both None when there is none."""

    clip: EditableClip | None = None
    name: str | None = None


def voice_files(folder: Path) -> tuple[str, ...]:
    """Return the sorted paths of the files of a folder; whether they have audio is checked when they are used.

    Raises
    ------
    InputError
        The path is not a folder, or the folder has no file.
    """
    files = tuple(sorted(str(file) for file in folder.iterdir() if file.is_file())) if folder.is_dir() else ()
    if not files:
        raise InputError(f"{folder} holds no file; give a folder of audio or video files")
    return files


def choose_donor(
    kind: Kind,
    parameters: Mapping[str, Any],
    clip: EditableClip,
    source: Source,
    recipe: ForgeryRecipe,
    rng: np.random.Generator,
) -> Donor:
    """Choose a donor for a kind that needs one: of up to :data:`MAX_DONORS` faces, the nearest in pose and expression.

    Parameters
    ----------
    kind, parameters
        The manipulation, and its sampled parameters.
    clip, source
        The clip to forge, and its donor pool.
    recipe
        Its voices, if there are any, are the donors of dubs; donors are read within its limits.
    rng
        Draws the candidates.

    Raises
    ------
    InputError
        None of the recipe's voices has audio.
    """
    if not _needs_donor(kind, parameters):
        return Donor()
    if kind.name == "dub":
        return _voice(recipe.voices, rng) if recipe.voices else _audio(source, recipe, rng)
    return _face(clip, source, recipe, rng)


def _needs_donor(kind: Kind, parameters: Mapping[str, Any]) -> bool:
    if kind.name in WITHOUT_DONOR:
        name, value = WITHOUT_DONOR[kind.name]
        return bool(parameters[name] != value)
    return kind.name in WITH_DONOR


def applied_parameters(kind: Kind, parameters: Mapping[str, Any], donor: Donor) -> dict[str, Any]:
    """Return the parameters that are applied: without a donor, those with which the kind needs none."""
    if donor.clip is not None or kind.name not in WITHOUT_DONOR:
        return dict(parameters)
    name, value = WITHOUT_DONOR[kind.name]
    return {**parameters, name: value}


def _face(clip: EditableClip, source: Source, recipe: ForgeryRecipe, rng: np.random.Generator) -> Donor:
    candidates: list[tuple[float, int, Donor]] = []
    for place in rng.permutation(len(source.donors))[:MAX_DONORS]:
        donor = _read(source.donors[place], DONOR_SECONDS, recipe.max_side, faces=True)
        if donor.clip is not None and donor.clip.face_fraction >= MIN_FACE_FRACTION:
            unlikeness = choose_frames(clip.landmarks, donor.clip.landmarks)[1]
            candidates.append((unlikeness, len(candidates), donor))
    return min(candidates, key=lambda candidate: candidate[:2])[2] if candidates else Donor()


def _audio(source: Source, recipe: ForgeryRecipe, rng: np.random.Generator) -> Donor:
    for place in rng.permutation(len(source.donors))[:MAX_DONORS]:
        donor = _read(source.donors[place], recipe.max_seconds, recipe.max_side, faces=False)
        if donor.clip is not None and donor.clip.audio is not None:
            return donor
    return Donor()


@functools.lru_cache(maxsize=16)  # holds landmarks and audio, but no frames
def _read(path: str, max_seconds: float, max_side: int, *, faces: bool) -> Donor:
    """Read a clip of the pool; an unreadable clip gives an empty donor (it is reported when it is forged itself)."""
    try:
        clip = read_clip(path, max_seconds=max_seconds, max_side=max_side, faces=faces)
    except (ClipError, OSError):
        return Donor()
    return Donor(clip, PurePosixPath(path).name)


def _voice(files: Sequence[str], rng: np.random.Generator) -> Donor:
    """Return a random voice of the folder as a clip without frames; files without audio are skipped."""
    for number in rng.permutation(len(files)):
        file = Path(files[number])
        try:
            audio = read_voice(file)
        except DatasetError:
            continue
        return Donor(
            EditableClip(file.name, [], np.zeros(1), np.full((1, 68, 2), np.nan, np.float32), audio), file.name
        )
    raise InputError(f"none of the {len(files)} files for voices has audio ({Path(files[0]).parent}); give others")
