"""Functions that numba compiles, librosa's and our own, also where the compiled code can't be kept beside them.

librosa has numba compile some functions when it is imported, and keep the code in its own folder or below the home
folder. In a container without a home, or a shared installation, neither can be written to, and the import fails.
Our own functions are compiled again by each process there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

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


F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Decorate a function to be compiled at its first call; the code is kept for other processes if it can be.

    Results are those of the function as it is written: no reordered sums, no fused operations. Positions in arrays are
    not checked.
    """
    import numba

    config: Any = numba.config
    uncompiled, config.DISABLE_JIT = config.DISABLE_JIT, 0  # it is set for librosa's sake alone
    try:
        compiled: Any = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no place for it
        compiled = numba.njit(error_model="numpy")(function)
    else:
        _forgive(compiled._cache)
    finally:
        config.DISABLE_JIT = uncompiled
    return cast(F, compiled)


def _forgive(cache: Any) -> None:
    """Make one of numba's caches treat damaged files as missing, and continue without a cache on a full disk."""
    load, save = cache.load_overload, cache.save_overload

    def load_overload(*key: Any) -> Any:
        try:
            return load(*key)
        except Exception:  # unpickling a damaged file may raise anything
            with contextlib.suppress(OSError):
                cache.flush()
            return None

    def save_overload(*code: Any) -> None:
        try:
            save(*code)
        except (OSError, EOFError) as error:
            logger.info("compiled code is not kept for other processes in %s: %s", cache.cache_path, error)

    cache.load_overload, cache.save_overload = load_overload, save_overload


def _usual_places() -> list[Path]:
    """Return the folders where numba caches by default: beside the functions, and below the home folder."""
    spec = importlib.util.find_spec("librosa")
    beside = [Path(spec.origin).parent / "util"] if spec and spec.origin else []
    return [*beside, Path(os.path.expanduser("~/.cache"))]


def _is_writable(folder: Path) -> bool:
    """Return whether files can be created in the folder, which is created if missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
