"""The global random states, as they were, after a block that may have seeded or used them."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Restore the states of :mod:`random`, NumPy and, where it was imported before, torch."""
    torch = sys.modules.get("torch")
    python, numpy = random.getstate(), np.random.get_state()
    pytorch = torch.random.get_rng_state() if torch is not None else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch is not None:
            torch.random.set_rng_state(pytorch)
