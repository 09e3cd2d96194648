"""Make labelled forgeries from your own real clips, in the challenge's layout with a manifest beside it.

Every clip that is not labelled FAKE is re-encoded as REAL, and forged in each requested kind with the same encoder, so
that compression does not reveal the label. The kind ``reencode`` transcodes the real clip and each of its forgeries
once more, both classes alike::

    from forge.clips.generate import make
    from forge.clips.recipe import ForgeryRecipe

    made = make("my_clips", "forged", ForgeryRecipe(kinds=("face_swap", "dub"), seed=1), jobs=4)
    print(made.n_real, made.n_fake, made.manifest)
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features.checksums import sha256_of
from features.errors import ClipError, DatasetError
from forge.clips.clip import EditableClip
from forge.clips.donors import applied_parameters, choose_donor
from forge.clips.read import read_clip
from forge.clips.recipe import ForgeryRecipe
from forge.clips.registry import kinds
from forge.clips.sources import Source, check_target, find_sources
from forge.clips.write import PARTIAL, Encoder, write_clip, write_metadata

logger = logging.getLogger(__name__)

ENCODING_STREAM, TRANSCODING_STREAM = 98, 99  # streams of random numbers; those of the kinds are 0 and up
WHOLE_S, ANY_SIDE_PX = 1e6, 1 << 20  # beyond any clip: for reading it without limits
Entry = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """What :func:`make` wrote."""

    n_real: int
    n_fake: int
    n_left_out: int
    """Real clips that could not be read."""
    manifest: Path


def make(
    real: str | Path,
    out: str | Path,
    recipe: ForgeryRecipe | None = None,
    *,
    limit: int | None = None,
    jobs: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> Made:
    """Write a labelled data set of real clips and forgeries of them.

    Parameters
    ----------
    real
        Folder of clips, challenge layout or CSV manifest; clips labelled FAKE are skipped.
    out
        Folder to write ``dfdc_train_part_*/``, each with a ``metadata.json``, and ``manifest.csv`` into; it must not
        hold the output of an earlier forge.
    recipe
        What to make; None: one forgery of each kind.
    limit
        Largest number of real clips.
    jobs
        Number of processes; the output does not depend on it.
    progress
        Called with the number of real clips done, their total, and the number of clips left out.

    Raises
    ------
    DatasetError
        ``real`` holds no clip, or none that can be read.
    InputError
        ``out`` can't be written, lies inside ``real``, or holds its clips or those of an earlier forge; or no file for
        voices has audio.
    """
    from joblib import Parallel, delayed

    recipe, out = recipe or ForgeryRecipe(), Path(out)
    sources = find_sources(str(real), recipe.seed)[:limit]
    check_target(str(real), out, sources)
    entries: dict[str, dict[str, Entry]] = {}
    n_left_out = 0
    try:
        results = Parallel(n_jobs=jobs, return_as="generator")(
            delayed(_forge)(source, recipe, out) for source in sources
        )
        for source, (made, messages) in zip(sources, results, strict=True):
            n_left_out += not made
            entries.setdefault(source.part, {}).update(made)
            for message in messages:
                logger.warning("%s: %s", source.filename, message)
            if progress is not None:
                progress(source.number + 1, len(sources), n_left_out)
    except BaseException:
        for file in out.glob(f"dfdc_train_part_*/.*{PARTIAL}"):  # of processes that were ended
            file.unlink(missing_ok=True)
        raise
    rows = [(part, name, entry) for part, made in entries.items() for name, entry in made.items()]
    if not rows:
        raise DatasetError(f"{real}: none of its {len(sources)} clips could be read; see the messages above")
    for part, made in entries.items():
        write_metadata(out / part, made)
    _write_manifest(out / "manifest.csv", rows)
    n_fake = sum(entry["label"] == "FAKE" for _, _, entry in rows)
    return Made(len(rows) - n_fake, n_fake, n_left_out, out / "manifest.csv")


def _forge(source: Source, recipe: ForgeryRecipe, out: Path) -> tuple[dict[str, Entry], list[str]]:
    """Write a real clip and its forgeries; return metadata entries by file name, and messages about skipped ones."""
    wants_face = any("face" in kinds()[name].needs for name in recipe.all_kinds)
    try:
        clip = read_clip(source.path, max_seconds=recipe.max_seconds, max_side=recipe.max_side, faces=wants_face)
    except (ClipError, OSError) as error:
        return {}, [f"left out: {error}"]
    encoder = Encoder.sample(_stream(source, recipe, ENCODING_STREAM))
    folder, real_name = out / source.part, f"{source.name}.mp4"
    common = {"split": "train", "source": source.filename, "group": source.group, "encoder": encoder.as_dict()}
    write_clip(clip, folder / real_name, encoder)
    real = {"label": "REAL", "original": None, "sha256": sha256_of(folder / real_name), **common}
    entries: dict[str, Entry] = {real_name: real}
    messages: list[str] = []
    for name in _in_turn(source, recipe):
        made, lacks = _forgery(name, clip, source, recipe)
        if made is None:
            messages.append(f"no {name}: {lacks}")
            continue
        forged, entry = made
        write_clip(forged, folder / forged.name, encoder)
        entries[forged.name] = {"label": "FAKE", "original": real_name, **entry}
        entries[forged.name] |= {"sha256": sha256_of(folder / forged.name), **common}
    if "reencode" in recipe.all_kinds:
        entries |= _transcoded(entries, folder, _stream(source, recipe, TRANSCODING_STREAM))
    return entries, messages


def _stream(source: Source, recipe: ForgeryRecipe, number: int) -> np.random.Generator:
    """Return one of the independent streams of random numbers of a clip.

    Every stream has a number, because numpy pads seeds with zeros: a stream without a number would equal stream 0.
    """
    return np.random.default_rng([recipe.seed, source.number, number])


def _in_turn(source: Source, recipe: ForgeryRecipe) -> list[str]:
    """Return the kinds of forgery for this clip: all of them, or ``per_clip`` in turn."""
    names = [name for name in recipe.all_kinds if kinds()[name].part != "none"]
    if not recipe.per_clip or not names:
        return names
    first = source.number * recipe.per_clip
    return [names[(first + step) % len(names)] for step in range(min(recipe.per_clip, len(names)))]


def _forgery(
    name: str, clip: EditableClip, source: Source, recipe: ForgeryRecipe
) -> tuple[tuple[EditableClip, Entry] | None, str]:
    """Return the forged clip and its metadata, or None and what the clips lack for this kind."""
    rng = _stream(source, recipe, list(kinds()).index(name))
    kind = kinds()[name]
    parameters = kind.sample(rng)
    donor = choose_donor(kind, parameters, clip, source, recipe, rng)
    if lacks := kind.missing(clip, donor.clip):
        return None, lacks
    parameters = applied_parameters(kind, parameters, donor)
    forged = replace(kind.apply(clip, parameters, rng, donor.clip), name=f"{source.name}__{name}.mp4")
    seed = [recipe.seed, source.number]
    entry = {"kind": name, "part": kind.part, "parameters": parameters, "donor": donor.name, "seed": seed}
    return (forged, entry), ""


def _transcoded(entries: dict[str, Entry], folder: Path, rng: np.random.Generator) -> dict[str, Entry]:
    """Write a transcoded copy of every written clip, all with the same parameters and their old labels."""
    kind = kinds()["reencode"]
    parameters = kind.sample(rng)
    encoder = Encoder(crf=parameters["crf"])
    real_name = next(iter(entries))
    copies: dict[str, Entry] = {}
    for name, entry in entries.items():
        copy = folder / f"{Path(name).stem}__reencode.mp4"
        write_clip(kind.apply(_as_written(folder / name), parameters, rng, None), copy, encoder)
        for _ in range(parameters["rounds"] - 1):
            write_clip(_as_written(copy), copy, encoder)  # it is replaced when the new one is complete
        original = entry["original"] or real_name
        changes = {"original": original, "reencode": parameters, "encoder": encoder.as_dict()}
        copies[copy.name] = {**entry, **changes, "sha256": sha256_of(copy)}
    return copies


def _as_written(file: Path) -> EditableClip:
    """Read a whole clip that was written here, at full size."""
    return read_clip(file, max_seconds=WHOLE_S, max_side=ANY_SIDE_PX, faces=False)


def _write_manifest(file: Path, rows: list[tuple[str, str, Entry]]) -> None:
    """Write ``manifest.csv`` with the columns for extraction and training; the groups are the donor pools."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["filename", "label", "group", "original", "method", "fake_part", "parameters"])
        for part, name, entry in sorted(rows, key=lambda row: (row[0], row[1])):
            original = f"{part}/{entry['original']}" if entry["original"] else ""
            method = entry.get("kind", "real") + ("+reencode" if "reencode" in entry else "")
            parameters = json.dumps(entry.get("parameters", {}))
            forged = entry.get("part", "") if entry["label"] == "FAKE" else ""
            writer.writerow([f"{part}/{name}", entry["label"], entry["group"], original, method, forged, parameters])
