"""The body of a refused request, read on for a little: a browser that still sends does not hear the answer."""

from __future__ import annotations

import anyio
from starlette.types import Receive

DRAIN_S = 1.0  # at most, however much comes in it: nothing of it is held


async def drain(receive: Receive) -> None:
    """Read a body for up to :data:`DRAIN_S`, and throw it away."""
    with anyio.move_on_after(DRAIN_S):
        while (await receive()).get("more_body", False):
            pass
