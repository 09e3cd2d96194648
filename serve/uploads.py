"""Uploads: streamed to disk instead of memory, within limits, a few at a time."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from serve.clips import ClipList
from serve.drain import drain
from serve.folder import Arrival, FullError, WorkFolder, gigabytes

MAX_AT_ONCE = 4
STALL_S = 60.0  # an upload ends after this time without a byte
BLOCK = 1 << 20  # bytes that are collected before they are written
MAX_NAME = 255
RETRY_AFTER_S = 2
CONTENT_TYPES = re.compile(r"(video|audio)/[\w.+-]+|application/(octet-stream|mxf|ogg|vnd\.rn-realmedia)|image/gif")
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_DISK = "the disk is full; make room, and drop the clip again"


class RefusedError(Exception):
    """A refused upload: the HTTP status, and a message for the user."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def kept_name(name: str) -> str:
    """Return a clip's name in the list: without folders, at most :data:`MAX_NAME` long, invalid UTF-8 escaped."""
    base = re.split(r"[/\\]", name)[-1]
    text = base.encode("utf-8", "backslashreplace").decode("utf-8") if base.strip() else "clip"
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME // 2]}…{text[-MAX_NAME // 2 + 1 :]}"


def write(file: BinaryIO, block: bytes) -> None:
    """Write a block of an upload."""
    file.write(block)


class Uploads:
    """Receive uploaded clips.

    Parameters
    ----------
    clips, work
        The list of clips, and the folder with their files.
    max_bytes
        Limit for one clip.
    """

    def __init__(self, clips: ClipList, work: WorkFolder, *, max_bytes: int) -> None:
        self._clips, self._work = clips, work
        self.max_bytes = max_bytes
        self.under_way = 0
        self.most_at_once = 0

    async def take(self, request: Request) -> JSONResponse:
        """Store the body of a request as a clip with the request's ``name``; answer 201 with its ID, or the reason."""
        if self.under_way >= MAX_AT_ONCE:
            answer = _refused(503, f"{MAX_AT_ONCE} uploads are under way; try again in a moment")
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        else:
            answer = await self._taken(request)
        if answer.status_code not in {201, 400, 408}:
            await drain(request.receive, request.headers)
        return answer

    async def _taken(self, request: Request) -> JSONResponse:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            return JSONResponse({"id": await self._received(request)}, 201)
        except (RefusedError, FullError, ClientDisconnect, TimeoutError, OSError, sqlite3.Error) as error:
            return _refused(*_why(error))
        finally:
            self.under_way -= 1

    async def _received(self, request: Request) -> str:
        content_type = request.headers.get("content-type", "application/octet-stream").split(";")[0].strip().lower()
        if not CONTENT_TYPES.fullmatch(content_type):
            raise RefusedError(415, f"{content_type} is not a video or audio type")
        announced = request.headers.get("content-length", "")
        if announced.isdigit():
            self._check(int(announced))
        with self._work.arriving() as arrival:
            arrival.reserve(int(announced) if announced.isdigit() else 0)
            size = await self._written(request, arrival)
            if not size:
                raise RefusedError(400, "the file is empty")
            name = kept_name(request.query_params.get("name", ""))
            arrival.settle()
            self._clips.add(arrival.clip_id, name, size=size)
            arrival.kept = True
            return arrival.clip_id

    def _check(self, size: int) -> None:
        if size > self.max_bytes:
            raise RefusedError(
                413,
                f"larger than {gigabytes(self.max_bytes)}; cut it, or start the server with a larger --max-upload",
            )

    async def _written(self, request: Request, arrival: Arrival) -> int:
        """Stream a body to its file and return its size."""
        size, reserved = 0, int(request.headers.get("content-length", "0"))
        with open(await run_sync(_made, arrival.file), "wb") as file:
            async for block in _blocks(request):
                size += len(block)
                self._check(size)
                if size > reserved:  # the length was not announced
                    reserved = size + BLOCK
                    arrival.reserve(reserved)
                await run_sync(write, file, block)
        return size


def _made(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """Yield a body in blocks of about :data:`BLOCK` bytes.

    Raises
    ------
    TimeoutError
        Nothing arrived for :data:`STALL_S`.
    """
    buffer = bytearray()
    chunks = request.stream().__aiter__()
    while True:
        with anyio.fail_after(STALL_S):
            chunk = await anext(chunks, None)
        if chunk is None:
            break
        buffer += chunk
        if len(buffer) >= BLOCK:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _why(error: Exception) -> tuple[int, str]:
    """Return the HTTP status and the message for an error that ended an upload."""
    match error:
        case RefusedError():
            return error.status, str(error)
        case FullError():
            return 507, str(error)
        case ClientDisconnect():
            return 400, "the upload broke off"
        case TimeoutError():
            return 408, f"no data for {STALL_S:g} s; drop the clip again"
        case OSError():
            return 507, NO_DISK if error.errno in DISK_FULL else f"can't be kept ({error.strerror})"
        case _:
            return 507, f"the list of clips can't be written ({error}); make room, and drop the clip again"


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
