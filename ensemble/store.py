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
import importlib.metadata
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from artifacts import PRETRAINED
from ensemble.learners.registry import learner_kinds, load_learner
from ensemble.model import Head, Model
from ensemble.outputs import check_folder
from ensemble.shrinkage import Shrinkage
from ensemble.training_set import Layout
from features.checksums import sha256_of
from features.errors import InputError, ModelError
from features.networks.weights import digest, use_weights, weights_file, weights_variable
from features.table import IMPORTED, write_table
from features.version import __version__

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 2  # 2: shrinkage, attribution, permutation_importance, within_group_concordance
KIND = "deepfake-ensemble"
MANIFEST, HEAD = "manifest.json", "head.json"
WRITING = ".writing-"  # begins the name of the folder, inside a model's, in which the next one is made
SHIPPED_MODEL = PRETRAINED / "model"
LOCAL_MODEL = Path("artifacts/model")
"""Where the make targets write a model, below the current folder; command lines prefer it to the shipped one."""
PACKAGES = ("lightgbm", "xgboost-cpu", "scikit-learn", "numpy", "scipy", "pyarrow")


def save_model(model: Model, folder: str | Path, tables: Mapping[str, pa.Table] | None = None) -> Path:
    """Write a model folder, whole or not at all, and read it back; an earlier model in ``folder`` is replaced.

    Of two processes that write into one folder the second waits for the first.

    Parameters
    ----------
    model
        Its ``manifest`` supplies the training summary, the metrics and whatever else is to be kept.
    folder
        Made when it is not there. Other files in an existing folder are kept, unless they belonged to the earlier
        model.
    tables
        File name to table: :meth:`ensemble.evaluate.Evaluation.tables` gives ``folds.parquet`` and ``oof.parquet``,
        which ``deepcue report``, ``ablate`` and ``tune`` read.

    Returns
    -------
    pathlib.Path
        The manifest.

    Raises
    ------
    InputError
        ``folder`` is a URL or a file, or can't be written.
    ModelError
        What was written can't be read.
    """
    folder = Path(folder)
    check_folder(folder)
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(_held(folder))
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
def _held(folder: Path) -> Iterator[None]:
    """The folder is written by this process alone; one that comes second waits, and replaces the first one's model."""
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
        except OSError as error:  # not every network's file system has locks
            logger.warning("%s: can't be locked (%s); see to it that no other training writes there", folder, error)
        yield
    finally:
        os.close(held)


def load_model(folder: str | Path) -> Model:
    """Read a model folder after checking every file against its checksum.

    Raises
    ------
    ModelError
        Missing, not a model, of another schema, damaged or changed since it was written.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_files(folder, manifest)
    layout = Layout(
        tuple(manifest["columns"]),
        dict(manifest["families"]),
        dict(manifest.get("weights") or {}),  # manifests of earlier versions have none
        manifest.get("max_seconds"),
    )
    unknown = sorted(manifest["learners"].keys() - learner_kinds().keys())
    if unknown:
        raise ModelError(f"{folder}: holds the learner {unknown[0]}, which this version does not know; update it")
    try:
        state = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        head, shrinkage = Head.from_dict(state["head"]), Shrinkage.from_dict(state["shrinkage"])
        fold_models = {
            name: [load_learner(name, folder, f"{name}_fold{fold}", layout) for fold in range(count)]
            for name, count in manifest["learners"].items()
        }
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}: can't be read as a model ({error}); train the model again") from error
    return Model(layout, fold_models, head, shrinkage, manifest)


def _check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a folder whose files are not those that were written: missing, changed, or added to a learner's.

    Raises
    ------
    ModelError
        So it is, or a file can't be read.
    """
    for name, expected in manifest["checksums"].items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise ModelError(f"{folder}: the model's file {name} is missing; train the model again")
        with _readable(file):
            found = sha256_of(file)
        if found != expected:
            raise ModelError(f"{file}: changed since the model was written; train the model again, or copy it again")
    with _readable(folder):
        added = sorted(file.name for file in _files_of(manifest["learners"], folder))
    if unlisted := [name for name in added if name not in manifest["checksums"]]:
        raise ModelError(f"{folder / unlisted[0]}: is not one of the model's files; remove it")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """ModelError, with what to do, where the file or the folder ``path`` of a model can't be read."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror or error}); try again, or copy it again") from error


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest alone: what the model was trained on and how well it did.

    Raises
    ------
    ModelError
        Missing, can't be read, not JSON, not a model's, or of another schema.
    """
    file = Path(folder) / MANIFEST
    if not file.is_file():
        raise ModelError(f"{folder}: no model here (no {MANIFEST}); train one with `deepcue train`")
    try:
        with _readable(file):
            manifest = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{file}: not JSON ({error}); train the model again") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise ModelError(f"{file}: not the manifest of a {KIND}; give the folder that `deepcue train` wrote")
    if manifest.get("schema") != SCHEMA_VERSION:
        raise ModelError(
            f"{file}: model schema {manifest.get('schema')}, this version reads {SCHEMA_VERSION}; "
            "train the model again with `deepcue train`, or use the version that wrote it"
        )
    lacking = [key for key in ("checksums", "columns", "families", "learners") if key not in manifest]
    if lacking:
        raise ModelError(f"{file}: lacks {lacking[0]!r}; train the model again")
    if HEAD not in manifest["checksums"]:
        raise ModelError(f"{file}: has no checksum of {HEAD}; train the model again")
    return manifest


def package_versions() -> dict[str, str]:
    """The version of this program, and the installed versions of the packages that a model depends on."""
    versions = {"deepcue": __version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


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
        "target_prior": model.head.target_prior,
        "train_prior": model.head.train_prior,
        "calibration": model.head.calibration.as_dict(),
        "stack": model.head.stack.as_dict(),
        "clip": model.head.clip,
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
    """Move the new files in, the manifest last, and remove those of earlier models, also of a run that was killed."""
    earlier: set[str] = set()
    old = folder / MANIFEST
    if old.is_file():
        try:
            earlier = {name for name in json.loads(old.read_text("utf-8"))["checksums"] if Path(name).name == name}
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError):
            earlier = set()
        old.unlink()
    new = {file.name for file in fresh.iterdir()}
    earlier |= {file.name for file in _files_of(learner_kinds(), folder)}
    for name in earlier - new:
        (folder / name).unlink(missing_ok=True)
    for left in folder.glob(f"{WRITING}*"):  # of runs that are gone: the folder is held
        if left != fresh:
            shutil.rmtree(left, ignore_errors=True)
    for name in sorted(new - {MANIFEST}):
        (fresh / name).replace(folder / name)
    (fresh / MANIFEST).replace(old)


def _files_of(learners: Iterable[str], folder: Path) -> list[Path]:
    """Files of the learners' models of a fold, whichever model of whose they are."""
    pattern = re.compile(rf"({'|'.join(map(re.escape, learners))})_fold\d+(_bag\d+)?\.\w+")
    return [file for file in folder.iterdir() if pattern.fullmatch(file.name) and file.is_file()]


def default_model(local: Path | None = None) -> Path:
    """The model to use when none is named: the shipped one, whatever the current folder is.

    Parameters
    ----------
    local
        A model folder that is preferred when it holds a model; command lines pass :data:`LOCAL_MODEL`.

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


def check_families(layout: Layout, where: str, weights: Mapping[str, Path] | None = None) -> None:
    """Refuse a model whose cues would not be measured as its table's were, before hours are spent on measuring.

    Parameters
    ----------
    layout
        Of the model.
    where
        Names it in messages.
    weights
        Family to weights file, in place of those in use.

    Raises
    ------
    ModelError
        A family is unknown, its version is another, it would be measured with other weights, or its cues were measured
        elsewhere.
    """
    from features import discovery

    if IMPORTED in layout.families:
        raise ModelError(
            f"{where}: its cues were measured elsewhere (`deepcue import-csv`) and can't be measured here; give a "
            "table of them in place of clips"
        )
    known = {family.name: family.version for family in discovery.families()}
    for name, version in sorted(layout.families.items()):
        if why := discovery.fault(name):
            raise ModelError(f"{where}: needs the cue family {name}; {why}")
        if name not in known:
            raise ModelError(
                f"{where}: needs the cue family {name}, which no package that is installed here defines; install the "
                "package that defines it, or train the model again"
            )
        if known[name] != version:
            raise ModelError(
                f"{where}: was trained on {name} version {version}, this version measures {known[name]}; "
                "train the model again"
            )
    with use_weights(weights or {}):
        files = {name: weights_file(name) for name in sorted(layout.weights.keys() & layout.families.keys())}
    for name, file in files.items():
        if file.is_file() and (found := digest(file)) != layout.weights[name]:
            raise ModelError(
                f"{where}: was trained on {name} measured with other weights (SHA-256 {layout.weights[name][:12]}...) "
                f"than those in use ({file}, {found[:12]}...); set {weights_variable()} to the folder that holds the "
                "model's weights, or unset it where they are the shipped ones, or train the model again"
            )
