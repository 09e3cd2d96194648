"""Read the checkpoints of a training, which torch wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.errors import ModelError


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    ModelError
        The file can't be read.
    """
    import pickle

    import torch

    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ModelError(f"{file} is not a checkpoint of this program; delete it to train from the start") from error
    return state
