"""Read the body of a refused request for a moment: a browser does not receive the answer while it is still sending."""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers
from starlette.types import Receive

DRAIN_S = 1.0  # limit in seconds, however much arrives; the data is discarded


async def drain(receive: Receive, headers: Headers) -> None:
    """Read and discard the body of a request for up to :data:`DRAIN_S`.

    A client that sent ``Expect: 100-continue`` is skipped: it sends no body before it receives an answer, and reading
    would tell it to send.
    """
    if headers.get("expect", "").lower() == "100-continue":
        return
    with anyio.move_on_after(DRAIN_S):
        while (await receive()).get("more_body", False):
            pass
