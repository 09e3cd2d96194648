"""The model folder: text, JSON and arrays with checksums; loading executes nothing from it.

::

    manifest.json            schema, versions, layout, checksums, training summary, metrics
    head.json                stack, calibration, priors, clip; the ranges of the training table (OOD shrinkage)
    <learner>_fold<k>...     each learner's own format
    folds.parquet, oof.parquet
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artifacts import PRETRAINED
from ensemble.learners.registry import learner_kinds, load_learner
from ensemble.manifest import (
    HEAD,
    KIND,
    MANIFEST,
    SCHEMA_VERSION,
    first_line,
    package_versions,
    read_manifest,
    readable,
)
from ensemble.model import EnsembleHead, Model
from ensemble.outputs import check_folder
from ensemble.shrinkage import Shrinkage
from ensemble.training_set import Layout
from features.checksums import sha256_of
from features.errors import InputError, ModelError
from features.table import write_table

logger = logging.getLogger(__name__)

WRITING = ".writing-"  # prefix of the folder, inside a model folder, in which the next model is written
SHIPPED_MODEL = PRETRAINED / "model"
LOCAL_MODEL = Path("artifacts/model")
"""Where the make targets write a model, below the current folder; command lines prefer it to the shipped one."""
EXTREMES = (0.0, math.nan, 1e6, -1e6)  # values of every cue at which a model is tried when it is loaded


def save_model(model: Model, folder: str | Path, tables: Mapping[str, pa.Table] | None = None) -> Path:
    """Write a model folder atomically and read it back; an earlier model in ``folder`` is replaced.

    A second process that writes into the same folder waits for the first.

    Parameters
    ----------
    model
        Its ``manifest`` holds the training summary, the metrics and anything else to keep.
    folder
        Created if necessary. Other files in an existing folder are kept, unless they belong to the earlier model.
    tables
        File name to table: :meth:`ensemble.evaluate.Evaluation.tables` gives ``folds.parquet`` and ``oof.parquet``,
        which ``deepcue report``, ``ablate`` and ``tune`` read.

    Returns
    -------
    pathlib.Path
        The manifest file.

    Raises
    ------
    InputError
        ``folder`` is a URL or a file, or can't be written.
    ModelError
        The model can't be read back.
    """
    folder = Path(folder)
    check_folder(folder)
    with contextlib.ExitStack() as lock:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.enter_context(_locked(folder))
            with tempfile.TemporaryDirectory(dir=folder, prefix=WRITING) as fresh:
                _write(model, Path(fresh), tables or {})
                _replace(Path(fresh), folder)
        except OSError as error:
            raise InputError(
                f"{folder}: the model can't be written ({error.strerror or error}); make room, or give another folder"
            ) from error
        load_model(folder)
    return folder / MANIFEST


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder: a second process waits, and then replaces the model of the first."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
        except OSError as error:  # some network file systems have no locks
            logger.warning("%s: can't be locked (%s); make sure that no other training writes there", folder, error)
        yield
    finally:
        os.close(opened)


def load_model(folder: str | Path) -> Model:
    """Read a model folder after checking every file against its checksum.

    Raises
    ------
    ModelError
        The folder is missing, is not a model, has another schema, is damaged, or was changed since it was written.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_files(folder, manifest)
    unknown = sorted(manifest["learners"].keys() - learner_kinds().keys())
    if unknown:
        raise ModelError(f"{folder}: holds the learner {unknown[0]}, which this version does not know; update it")
    try:
        model = _read_model(folder, manifest)
        _check_finite(model)
    except Exception as error:  # the libraries raise errors of many kinds for contents that they did not write
        raise ModelError(f"{folder}: can't be read as a model ({first_line(error)}); train the model again") from error
    return model


def _read_model(folder: Path, manifest: dict[str, Any]) -> Model:
    layout = Layout(
        tuple(manifest["columns"]),
        dict(manifest["families"]),
        dict(manifest.get("weights") or {}),  # manifests of earlier versions have none
        manifest.get("max_seconds"),
    )
    state = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    head, shrinkage = EnsembleHead.from_dict(state["head"]), Shrinkage.from_dict(state["shrinkage"])
    fold_models = {
        name: [load_learner(name, folder, f"{name}_fold{fold}", layout) for fold in range(count)]
        for name, count in manifest["learners"].items()
    }
    return Model(layout, fold_models, head, shrinkage, manifest | _of_head(head))


def _of_head(head: EnsembleHead) -> dict[str, Any]:
    """Return the values of the head that the manifest repeats for people and pages."""
    return {
        "target_prior": head.target_prior,
        "train_prior": head.train_prior,
        "calibration": head.calibration.as_dict(),
        "stack": head.stack.as_dict(),
        "clip": head.clip,
    }


def _check_finite(model: Model) -> None:
    """Reject a model whose numbers are out of range or give no finite log-odds, even for extreme inputs.

    Raises
    ------
    ValueError
        The message names the value.
    """
    head, shrinkage, n_columns = model.head, model.shrinkage, len(model.layout.columns)
    for name, value, below in (
        ("clip", head.clip, 0.5),
        ("train_prior", head.train_prior, 1.0),
        ("target_prior", head.target_prior, 1.0),
    ):
        if not 0 < value < below:
            raise ValueError(f"{name} is {value}")
    if not (0 <= shrinkage.a < math.inf and 0 <= shrinkage.b < math.inf):
        raise ValueError(f"the strengths of OOD shrinkage are {shrinkage.a} and {shrinkage.b}")
    if not len(shrinkage.low) == len(shrinkage.high) == len(shrinkage.present) == n_columns:
        raise ValueError(f"the ranges of OOD shrinkage are not of the {n_columns} columns")
    X = np.repeat(np.array(EXTREMES, dtype=np.float32)[:, None], n_columns, axis=1)
    with np.errstate(all="ignore"):
        stacked = head.stack(model.learner_logits(X))
        log_odds = np.concatenate([stacked, head.calibrated(stacked, shrinkage.factor(X)), model.log_odds(X)])
    if not np.isfinite(log_odds).all():
        raise ValueError("its log-odds are not finite")


def _check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a folder in which a file is missing or was changed, or was added to those of a learner.

    Raises
    ------
    ModelError
        The message names the file; also where a file can't be read.
    """
    for name, expected in manifest["checksums"].items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise ModelError(f"{folder}: the model's file {name} is missing; train the model again")
        with readable(file):
            digest_now = sha256_of(file)
        if digest_now != expected:
            raise ModelError(f"{file}: changed since the model was written; train the model again, or copy it again")
    with readable(folder):
        added = sorted(file.name for file in _files_of(manifest["learners"], folder))
    if unlisted := [name for name in added if name not in manifest["checksums"]]:
        raise ModelError(f"{folder / unlisted[0]}: is not one of the model's files; remove it")


def _write(model: Model, folder: Path, tables: Mapping[str, pa.Table]) -> None:
    names = _write_parts(model, folder, tables)
    manifest = {
        **model.manifest,
        "schema": SCHEMA_VERSION,
        "kind": KIND,
        "created_with": package_versions(),
        "families": model.layout.families,
        "weights": model.layout.weights,
        "max_seconds": model.layout.max_seconds,
        "columns": list(model.layout.columns),
        "learners": {name: len(models) for name, models in model.fold_models.items()},
        **_of_head(model.head),
        "shrinkage": {**model.manifest.get("shrinkage", {}), "a": model.shrinkage.a, "b": model.shrinkage.b},
        "checksums": {name: sha256_of(folder / name) for name in sorted(names)},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False), encoding="utf-8")


def _write_parts(model: Model, folder: Path, tables: Mapping[str, pa.Table]) -> list[str]:
    names = [HEAD]
    state = {"head": model.head.as_dict(), "shrinkage": model.shrinkage.as_dict()}
    (folder / HEAD).write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
    for kind, models in model.fold_models.items():
        for fold, learner in enumerate(models):
            names += learner.save(folder, f"{kind}_fold{fold}")
    for name, table in tables.items():
        write_table(table, folder / name)
        names.append(name)
    return names


def _replace(fresh: Path, folder: Path) -> None:
    """Move the new files in, the manifest last, and remove files of earlier models and of killed runs."""
    earlier: set[str] = set()
    old = folder / MANIFEST
    if old.is_file():
        try:
            earlier = {name for name in json.loads(old.read_text("utf-8"))["checksums"] if Path(name).name == name}
        except (ValueError, RecursionError, KeyError, TypeError):
            earlier = set()
        old.unlink()
    new = {file.name for file in fresh.iterdir()}
    earlier |= {file.name for file in _files_of(learner_kinds(), folder)}
    for name in earlier - new:
        (folder / name).unlink(missing_ok=True)
    for left in folder.glob(f"{WRITING}*"):  # left by killed runs: this process holds the lock
        if left != fresh:
            shutil.rmtree(left, ignore_errors=True)
    for name in sorted(new - {MANIFEST}):
        (fresh / name).replace(folder / name)
    (fresh / MANIFEST).replace(old)


def _files_of(learners: Iterable[str], folder: Path) -> list[Path]:
    """Return the files of fold models of these learners, whichever model wrote them."""
    pattern = re.compile(rf"({'|'.join(map(re.escape, learners))})_fold\d+(_bag\d+)?\.\w+")
    return [file for file in folder.iterdir() if pattern.fullmatch(file.name) and file.is_file()]


def default_model(local: Path | None = None) -> Path:
    """Return the model to use when none is named: the shipped one, regardless of the current folder.

    Parameters
    ----------
    local
        A folder that takes precedence if it holds a model; the commands pass :data:`LOCAL_MODEL`.

    Raises
    ------
    ModelError
        There is no model in either place.
    """
    places = [SHIPPED_MODEL] if local is None else [local, SHIPPED_MODEL]
    for folder in places:
        if (folder / MANIFEST).is_file():
            return folder
    raise ModelError(
        f"no model in {' or '.join(map(str, places))}; train one with `make ensemble DATA=folder`, "
        "or give --model FOLDER"
    )
