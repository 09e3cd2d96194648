"""librosa, also where its compiled code can't be kept beside it.

librosa has numba compile some functions when it is imported, and keep the code in its own folder or below the home
folder. In a container without a home, or a shared installation, neither can be written to, and the import fails.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)


def import_librosa() -> ModuleType:
    """Import librosa after finding a place for its compiled code: its usual ones, else the temporary folder, else none.

    Without any place the functions run uncompiled, slower and with the same results.
    """
    import numba

    config: Any = numba.config  # its settings are set by name when it is imported
    if not config.CACHE_DIR and not any(map(_is_writable, _usual_places())):
        try:
            config.CACHE_DIR = tempfile.mkdtemp(prefix="deepcue-numba-")
        except OSError as error:  # no temporary folder either
            logger.warning("librosa's functions run uncompiled: no folder can be written to (%s)", error)
            config.DISABLE_JIT = 1
    import librosa

    return librosa


def _usual_places() -> list[Path]:
    """Where numba looks by itself: beside the functions, and below the home folder."""
    spec = importlib.util.find_spec("librosa")
    beside = [Path(spec.origin).parent / "util"] if spec and spec.origin else []
    return [*beside, Path(os.path.expanduser("~/.cache"))]


def _is_writable(folder: Path) -> bool:
    """A file can be made in the folder, which is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
