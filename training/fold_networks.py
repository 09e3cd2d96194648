"""The networks that a training wrote for each fold of its clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from features.errors import ModelError
from features.networks import logit_columns, projection
from features.networks.speech_model import VoiceModel
from features.networks.weights import use_weights, weights_file
from training.folds import FOLD_FILES

FACES = ("forensic_cnn", "forensic_residual")  # families whose folds come from the same training


def with_networks(families: Sequence[str]) -> list[str]:
    """Return the families, and the networks that they read."""
    return list(dict.fromkeys([*families, *(projection.NETWORKS if projection.FAMILY in families else ())]))


def fold_files(networks: Path, fold: int, families: Sequence[str]) -> dict[str, Path]:
    """Return the weights file of each family, and of the networks that it reads, in one fold of a training's folder.

    Raises
    ------
    ModelError
        A file is missing.
    """
    files = {family: networks / FOLD_FILES[family].format(fold) for family in with_networks(families)}
    for file in files.values():
        if not file.is_file():
            raise ModelError(f"{networks} lacks {file.name}; train it, or leave its family out")
    return files


def check_files(files: Mapping[str, Path]) -> None:
    """Load the weights of a fold's families: without this, unreadable ones would empty their columns for every clip.

    Raises
    ------
    ModelError
        Weights can't be used.
    """
    with use_weights(files):
        for family in files:
            if family == projection.FAMILY:
                projection.known_networks()
            elif family in FACES:
                logit_columns.ready_detector(family)
            else:
                VoiceModel.load(weights_file(family))
