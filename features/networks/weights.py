"""Weights of the trained detectors: which file is in use, and its format.

Files are safetensors with a JSON card in the header: loading executes nothing. The shipped ones lie in
``artifacts/pretrained``; a folder of own ones, or those of one training fold, go before them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from artifacts import PRETRAINED
from features.errors import ModelError

WEIGHTS_VARIABLE = "DEEPFAKE_WEIGHTS"  # a folder whose <family>.safetensors go before the shipped ones

Described = TypeVar("Described")
_chosen: ContextVar[Mapping[str, Path] | None] = ContextVar("weights", default=None)  # of this thread alone


@contextlib.contextmanager
def use_weights(files: Mapping[str, Path]) -> Iterator[None]:
    """Measure the families named with other weights inside the ``with`` block, for instance those of one fold."""
    token = _chosen.set(files)
    try:
        yield
    finally:
        _chosen.reset(token)


def weights_file(family: str) -> Path:
    """The weights in use: of :func:`use_weights`, else in the environment variable's folder, else the shipped ones.

    Raises
    ------
    ModelError
        The variable names no folder.
    """
    if (chosen := _chosen.get()) and family in chosen:
        return chosen[family]
    name, folder = f"{family}.safetensors", os.environ.get(WEIGHTS_VARIABLE)
    if not folder:
        return PRETRAINED / name
    if not Path(folder).is_dir():
        raise ModelError(f"{WEIGHTS_VARIABLE}={folder}: no such folder; give the one that holds your weights")
    return own if (own := Path(folder) / name).is_file() else PRETRAINED / name


def save_arrays(arrays: Mapping[str, NDArray[Any]], file: Path, card: Any) -> None:
    """Write named arrays with the card, a dataclass, in the header; the file appears whole or not at all."""
    from safetensors.numpy import save_file

    partial = file.with_suffix(".partial")
    save_file(
        {name: np.ascontiguousarray(one) for name, one in arrays.items()}, partial, {"card": json.dumps(asdict(card))}
    )
    partial.chmod(0o644)  # safetensors writes files for their owner only
    partial.replace(file)


def read_arrays(file: Path, card: type[Described]) -> tuple[Described, dict[str, NDArray[Any]]]:
    """WeightsMetadata and arrays of what :func:`save_arrays` wrote, those of half precision in single.

    Raises
    ------
    ModelError
        The file is missing, damaged, or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="np") as opened:
            read = card(**json.loads((opened.metadata() or {})["card"]))
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise foreign(file, error) from error
    return read, {name: one.astype(np.float32) if one.dtype == np.float16 else one for name, one in arrays.items()}


def foreign(file: Path, why: object) -> ModelError:
    """The error of a weights file that can't be used."""
    return ModelError(f"{file}: no weights of this detector; train them anew ({why})")
