"""The body of a refused request, read on for a little: a browser that still sends does not hear the answer."""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers
from starlette.types import Receive

DRAIN_S = 1.0  # at most, however much comes in it: nothing of it is held


async def drain(receive: Receive, headers: Headers) -> None:
    """Read the body of a request for up to :data:`DRAIN_S`, and throw it away.

    Not where it waits, by its ``headers``, to be told to go on (``Expect: 100-continue``): to read is to tell it so,
    and it hears the answer without.
    """
    if headers.get("expect", "").lower() == "100-continue":
        return
    with anyio.move_on_after(DRAIN_S):
        while (await receive()).get("more_body", False):
            pass
