"""From clips to predictions with a trained model: what ``predict`` and ``submission`` share.

``ensemble`` knows no pixel: measuring is a step of its own, run through the extraction command as a Makefile
would.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.matrix import VALID_SHARE, family_of, matrix
from features.errors import DatasetError, DeepfakeError, ModelError
from features.table import feature_columns, read_table

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT_MODELS = (Path("artifacts/model"), REPOSITORY / "artifacts/model", REPOSITORY / "artifacts/pretrained/model")
MANIFEST = "manifest.json"
LINK_FOLDER = "clip"


class ExtractionError(DeepfakeError):
    """The extraction step ended without a table; it has said why."""

    def __init__(self, status: int) -> None:
        super().__init__(f"extraction ended with status {status}")
        self.status = status


def default_model() -> Path:
    """The model that was trained here, else the one that ships.

    Raises
    ------
    ModelError
        There is neither.
    """
    for folder in DEFAULT_MODELS:
        if (folder / MANIFEST).is_file():
            return folder
    raise ModelError(
        "no model: neither artifacts/model nor artifacts/pretrained/model is there; "
        "train one with `make ensemble DATA=folder`, or give --model FOLDER"
    )


def check_families(families: dict[str, int], where: str) -> None:
    """Refuse a model whose cues this version can't measure, before hours are spent on measuring.

    Raises
    ------
    ModelError
        A family is unknown, or its version is another.
    """
    from features import spec

    known = {one.name: one.version for one in spec.families()}
    for name, version in sorted(families.items()):
        if name not in known:
            raise ModelError(f"{where}: needs the cue family {name}, which this version lacks; train the model anew")
        if known[name] != version:
            raise ModelError(
                f"{where}: was trained on {name} version {version}, this version measures {known[name]}; "
                "train the model anew"
            )


def measure(data: str, out: Path, families: Sequence[str], *, jobs: int, quiet: bool = False) -> pa.Table:
    """Extract ``data`` (folder, manifest or URL) to the table ``out`` and read it; resumes what was begun.

    Raises
    ------
    ExtractionError
        The step ended without a table (its message is on stderr).
    """
    from extract import extract_all

    out.parent.mkdir(parents=True, exist_ok=True)
    options = ["--out", str(out), "--jobs", str(jobs), "--families", ",".join(sorted(families))]
    with redirect_stdout(io.StringIO()):  # its summary is no result here
        status = extract_all.main([data, *options, *(["--quiet"] if quiet else [])])
    if status != 0:
        raise ExtractionError(status)
    return read_table(out)


def measure_clip(clip: Path, work: Path, families: Sequence[str], *, quiet: bool = False) -> pa.Table:
    """Table of one row for one file, whatever its name ends in.

    Raises
    ------
    DatasetError
        There is no such file.
    ExtractionError
        As :func:`measure`.
    """
    if not clip.is_file():
        raise DatasetError(f"{clip}: no such file; give a clip or a folder of clips")
    folder = work / LINK_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    name = f"clip{clip.suffix if clip.suffix.isascii() else ''}"
    _hand_over(clip.resolve(), folder / name)
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["filename"], [name]])
    table = measure(str(manifest), work / "features.parquet", families, jobs=1, quiet=quiet)
    position = table.schema.get_field_index("filename")
    return table.set_column(position, table.schema.field(position), pa.array([clip.name]))


def _hand_over(clip: Path, place: Path) -> None:
    """Link the clip to ``place``, or copy it where there are no links."""
    if place.is_symlink():  # of an earlier clip: a copy would be written through it
        place.unlink()
    if place.exists() and place.samefile(clip):
        return
    try:
        place.unlink(missing_ok=True)
        os.symlink(clip, place)
    except OSError:  # a file system without links
        shutil.copyfile(clip, place)


def unmeasured_families(table: pa.Table) -> list[dict[str, str]]:
    """For each row, the families without a single defined cue, each with the reason in words."""
    names = feature_columns(table)
    cues: dict[str, list[str]] = {}
    for name in names:
        if not name.endswith(f".{VALID_SHARE}"):
            cues.setdefault(family_of(name), []).append(name)
    absent: dict[str, NDArray[np.bool_]] = {
        family: np.all(np.isnan(matrix(table, tuple(columns))), axis=1) for family, columns in cues.items()
    }
    shares = {family: _shares(table, family) for family in cues}
    needs = _needs()
    return [
        {
            family: _reason(family, needs.get(family, frozenset()), row, shares[family][number])
            for family in sorted(cues)
            if absent[family][number]
        }
        for number, row in enumerate(table.select(["status", "error", "n_faces"]).to_pylist())
    ]


def unavailable_families() -> dict[str, str]:
    """Families that can't measure anything in this installation, with the reason."""
    from features.weights import weights_file

    missing = [name for name, needs in _needs().items() if "weights" in needs and not weights_file(name).is_file()]
    return dict.fromkeys(missing, "the network's weights are not installed")


def _shares(table: pa.Table, family: str) -> list[float]:
    name = f"{family}.{VALID_SHARE}"
    return table.column(name).to_pylist() if name in table.column_names else [0.0] * table.num_rows


def _needs() -> dict[str, frozenset[str]]:
    from features import spec

    return {one.name: one.needs for one in spec.families()}


def _reason(family: str, needs: frozenset[str], row: dict[str, object], share: float) -> str:
    from features.spec import SOUND_ALONE

    error, status = str(row["error"] or ""), row["status"]
    if family in unavailable_families():
        return unavailable_families()[family]
    own = [remark for remark in error.split("; ") if remark.startswith(f"{family} failed")]
    told = {
        error or f"the clip is {status}": status in {"unreadable", "timeout", "crashed"},
        "".join(own[:1]): bool(own),
        "the clip has no sound": "sound" in needs and (status == "no_audio" or "no sound" in error),
        "no face was found": not row["n_faces"] and not needs <= SOUND_ALONE,
        "the clip is too short": status == "too_short",
        f"too little to go by: {share:.0%} of the clip was usable": share > 0,
    }
    return next((text for text, holds in told.items() if holds), "nothing in the clip was usable for it")
