"""What a network that learned from many generators' clips says of a person's faces: logits, positive for a forgery.

EfficientNet-Lite0, trained on labelled stills and clips and on forgeries made from real faces (self-blended
images of Shiohara & Yamasaki 2022, transplants, resynthesis): see ``ensemble/cnn.py`` and docs/MODEL_CARD.md.
Confounds: heavy compression and soft pictures look forged to it; a generator that it never saw, and that
renders clean pictures, may look real.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from features import face_network
from features.observation import Observation, Track
from features.spec import family

NAME = "forensic_cnn"
WEIGHTS = face_network.PRETRAINED / "forensic_cnn.safetensors"
WEIGHTS_VARIABLE = "DEEPFAKE_CNN_WEIGHTS"  # another file, for instance of a network trained by `make cnn`
COLUMNS = face_network.columns(NAME, "EfficientNet-Lite0, trained by ensemble/cnn.py")

_chosen: list[Path] = []


@contextlib.contextmanager
def use_weights(file: Path) -> Iterator[None]:
    """Measure with the weights in ``file`` inside the ``with`` block, for instance those of one fold."""
    _chosen.append(file)
    try:
        yield
    finally:
        _chosen.pop()


def weights_file() -> Path:
    """The weights in use: of :func:`use_weights`, else of the environment variable, else the shipped ones."""
    return _chosen[-1] if _chosen else Path(os.environ.get(WEIGHTS_VARIABLE) or WEIGHTS)


@family(NAME, version=3, needs={"crops"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Columns of one person; all NaN without weights.

    Raises
    ------
    ModelError
        The weights file is there but can't be used.
    """
    return face_network.measure(track, weights_file(), NAME)
