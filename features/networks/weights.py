"""Find the weights files of the trained detectors that are in use, and read and write them.

Files are safetensors with the weights' metadata as JSON in the header: loading executes no code. The shipped files are
in ``artifacts/pretrained``; a custom folder, or the files of one training fold, take precedence.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from artifacts import PRETRAINED
from features.checksums import sha256_of
from features.errors import ModelError
from features.places import in_place_of

WEIGHTS_VARIABLE = "DEEPCUE_WEIGHTS"  # a folder whose <family>.safetensors take precedence over the shipped ones
WEIGHTS_VARIABLES = (WEIGHTS_VARIABLE, "DEEPFAKE_WEIGHTS")  # the first that is set counts; the second is its old name
HEADER_KEY = "card"  # key of the metadata in the file's header
STORED_NAME = "stored"  # key in a dataclass field's own metadata: its name in the header, if that differs

Described = TypeVar("Described")
Loaded = TypeVar("Loaded")
_chosen: ContextVar[Mapping[str, Path] | None] = ContextVar("weights", default=None)  # of this thread alone


@contextlib.contextmanager
def use_weights(files: Mapping[str, Path]) -> Iterator[None]:
    """Use other weights for the named families inside the ``with`` block, for example those of one fold."""
    token = _chosen.set(files)
    try:
        yield
    finally:
        _chosen.reset(token)


def weights_variable() -> str:
    """Return the environment variable in use: the first of :data:`WEIGHTS_VARIABLES` that is set, else the first."""
    return next((name for name in WEIGHTS_VARIABLES if os.environ.get(name)), WEIGHTS_VARIABLE)


def weights_file(family: str) -> Path:
    """Return the weights file in use: that of :func:`use_weights`, of the environment variable, or the shipped one.

    Raises
    ------
    ModelError
        The environment variable names no folder.
    """
    if (chosen := _chosen.get()) and family in chosen:
        return chosen[family]
    variable = weights_variable()
    name, folder = f"{family}.safetensors", os.environ.get(variable)
    if not folder:
        return PRETRAINED / name
    if not Path(folder).is_dir():
        raise ModelError(f"{variable}={folder}: no such folder; give the one that holds your weights")
    return custom if (custom := Path(folder) / name).is_file() else PRETRAINED / name


def kept_in_memory(load: Callable[[Path], Loaded]) -> Callable[[Path], Loaded]:
    """Decorate a loader so that the last eight files stay in memory; a file is loaded again after it has changed."""

    @functools.lru_cache(maxsize=8)
    def unchanged(file: Path, state: tuple[int, int, int]) -> Loaded:
        return load(file)

    @functools.wraps(load)
    def current(file: Path) -> Loaded:
        try:
            status = file.stat()
        except OSError:
            return load(file)  # to raise its own error
        return unchanged(file, (status.st_ino, status.st_mtime_ns, status.st_size))

    return current


@kept_in_memory
def weights_digest(file: Path) -> str:
    """Return the SHA-256 of a weights file in hexadecimal; an unchanged file is read only once."""
    return sha256_of(file)


def save_arrays(arrays: Mapping[str, NDArray[Any]], file: Path, metadata: Any) -> None:
    """Write named arrays with ``metadata``, a dataclass, in the header; the file appears whole or not at all.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Arrays of any shape and type that safetensors knows.
    file : Path
        File in an existing folder; an existing file is replaced.
    metadata : dataclass instance
        Its fields are stored as JSON.

    Raises
    ------
    OSError
        The file can't be written.
    """
    from safetensors.numpy import save_file

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {stored: getattr(metadata, name) for stored, name in _stored_names(metadata).items()}
    with in_place_of(Path(os.path.realpath(file))) as temporary:  # a link stays one
        save_file(contiguous, temporary, {HEADER_KEY: json.dumps(header)})
        temporary.chmod(0o644)  # safetensors writes files for their owner only


def read_arrays(file: Path, kind: type[Described]) -> tuple[Described, dict[str, NDArray[Any]]]:
    """Read what :func:`save_arrays` wrote: metadata, as the dataclass ``kind``, and arrays by name.

    Arrays in half precision are returned in single precision.

    Raises
    ------
    ModelError
        The file is missing, damaged, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    names = _stored_names(kind)
    try:
        with safe_open(str(file), framework="np") as opened:
            header = json.loads((opened.metadata() or {})[HEADER_KEY])
            metadata = kind(**{names[stored]: value for stored, value in header.items()})
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise unusable(file, error) from error
    return metadata, {
        name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in arrays.items()
    }


def _stored_names(kind: Any) -> dict[str, str]:
    """Return a mapping from name in the header to name of the field."""
    return {entry.metadata.get(STORED_NAME, entry.name): entry.name for entry in fields(kind)}


def unusable(file: Path, why: object) -> ModelError:
    """Return the error for a weights file that can't be used."""
    if isinstance(why, FileNotFoundError):
        return ModelError(f"{file}: no such file; give a weights file that a training wrote")
    return ModelError(f"{file}: not weights of this detector; train them again ({why})")
