from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from clip_maker import frames_of, write_clip
from people import rng, talking_head

__all__ = ["make_clip", "rng", "talking_head"]


@pytest.fixture(scope="session")
def make_clip(portrait, tmp_path_factory) -> Callable[..., Path]:
    """Write a clip of the portrait (``face=False``: of background) and give its path; once, if asked again."""
    folder, written = tmp_path_factory.mktemp("clips"), {}

    def make(name: str, *, n: int = 30, size: tuple[int, int] = (320, 240), face: bool = True, **options) -> Path:
        path, what = folder / name, (n, size, face, options)
        if written.get(name) != what:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_clip(path, frames_of(portrait if face else None, n, size), **options)
            written[name] = what
        return path

    return make
