"""The manifest of a model folder: its schema, the check of its values, and the versions that it records."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from features.errors import MissingModelError, ModelError
from features.version import __version__

SCHEMA_VERSION = 2  # 2: shrinkage, attribution, permutation_importance, within_group_concordance
KIND = "deepfake-ensemble"
MANIFEST, HEAD = "manifest.json", "head.json"  # files of a model folder
LONGEST_REASON = 200  # characters of an error's message
PACKAGES = ("lightgbm", "xgboost-cpu", "scikit-learn", "numpy", "scipy", "pyarrow")


def _is_whole(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_mapping(of: Callable[[object], bool]) -> Callable[[object], bool]:
    """Return a test for a mapping from text to values that satisfy ``of``."""
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_seconds(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and 0 < value < math.inf)


VALID: dict[str, Callable[[object], bool]] = {
    "checksums": _is_mapping(_is_text),
    "columns": lambda value: isinstance(value, list) and bool(value) and all(map(_is_text, value)),
    "families": _is_mapping(_is_whole),
    "learners": _is_mapping(lambda count: _is_whole(count, least=1)),
    "weights": lambda value: value is None or _is_mapping(_is_text)(value),
    "max_seconds": _is_seconds,
    "seed": _is_whole,
    "summary": lambda value: isinstance(value, dict),
    "metrics": lambda value: isinstance(value, dict),
}
"""Key of the manifest to the test of its value."""


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Give errors of the file system inside the ``with`` block a remedy; ``path`` is a model's file or folder.

    Raises
    ------
    ModelError
        The path can't be read.
    """
    try:
        yield
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror or error}); try again, or copy it again") from error


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Read the manifest alone: what the model was trained on, and its scores.

    Raises
    ------
    ModelError
        The manifest is missing, can't be read, is not JSON, is not that of a model, or has another schema.
    """
    file = Path(folder) / MANIFEST
    if not file.is_file():
        raise MissingModelError(f"{folder}: no model here (no {MANIFEST}); train one with `deepcue train`")
    try:
        with readable(file):
            manifest = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, an endless number, nested too deeply
        raise ModelError(f"{file}: not JSON ({first_line(error)}); train the model again") from error
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
    if wrong := [key for key, is_valid in VALID.items() if key in manifest and not is_valid(manifest[key])]:
        raise ModelError(f"{file}: {wrong[0]!r} has a value of another kind; train the model again")
    if HEAD not in manifest["checksums"]:
        raise ModelError(f"{file}: has no checksum of {HEAD}; train the model again")
    return manifest


def package_versions() -> dict[str, str]:
    """Return the version of this program, and the installed versions of the packages that a model depends on."""
    versions = {"deepcue": __version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    return next(iter(str(error).splitlines()), "")[:LONGEST_REASON] or type(error).__name__
