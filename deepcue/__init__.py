"""Is this clip a deepfake? Measure clips, train a calibrated ensemble on the measurements, and predict.

::

    import deepcue

    deepcue.predict("clip.mp4").probability  # with the shipped model
    table = deepcue.extract("folder", jobs=8)  # pyarrow.Table, one row per clip

These names are the public API; any other name may change without notice. Importing the package is fast: heavy
dependencies are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from deepcue.installation import check_packages

if TYPE_CHECKING:
    from deepcue.clips import evidence, extract, families, features, measure, observe
    from deepcue.models import load_model, predict, save_model, train
    from ensemble.evaluate import Evaluation
    from ensemble.model import Model
    from ensemble.verdict import Verdict
    from extract.run.sandbox import Limits
    from features.errors import (
        ClipError,
        DatasetError,
        DeepcueError,
        InputError,
        ModelError,
        NotFoundError,
        TableError,
        UnknownFamilyError,
        UnreadableError,
    )
    from features.evidence import ClipEvidence, Event, Series
    from features.observation import Observation, Track
    from features.spec import Column, family
    from features.version import __version__

_MODULES = {
    "deepcue.clips": ("evidence", "extract", "families", "features", "measure", "observe"),
    "deepcue.models": ("load_model", "predict", "save_model", "train"),
    "ensemble.evaluate": ("Evaluation",),
    "ensemble.model": ("Model",),
    "ensemble.verdict": ("Verdict",),
    "extract.run.sandbox": ("Limits",),
    "features.spec": ("Column", "family"),
    "features.observation": ("Observation", "Track"),
    "features.evidence": ("ClipEvidence", "Event", "Series"),
    "features.version": ("__version__",),
    "features.errors": (
        "ClipError",
        "DatasetError",
        "DeepcueError",
        "InputError",
        "ModelError",
        "NotFoundError",
        "TableError",
        "UnknownFamilyError",
        "UnreadableError",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ClipError",
    "ClipEvidence",
    "Column",
    "DatasetError",
    "DeepcueError",
    "Evaluation",
    "Event",
    "InputError",
    "Limits",
    "Model",
    "ModelError",
    "NotFoundError",
    "Observation",
    "Series",
    "TableError",
    "Track",
    "UnknownFamilyError",
    "UnreadableError",
    "Verdict",
    "__version__",
    "evidence",
    "extract",
    "families",
    "family",
    "features",
    "load_model",
    "measure",
    "observe",
    "predict",
    "save_model",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it.

    Raises
    ------
    AttributeError
        deepcue has no such public name.
    ImportError
        A file of the user, such as ``features.py`` beside the script, hides one of deepcue's packages.
    """
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_packages()
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
