"""Compare the audio that the header of a WAVE file announces with what the file holds.

FFmpeg silently corrects a header by the file's length, so that a truncated file looks complete.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

MAX_CHUNKS = 100  # that are read before the audio
STREAMED = 0x7FFF0000  # bytes: a header written before the length is known holds 0, or about 2 or 4 GB


def announced_share(source: str | bytes) -> float:
    """Return how many times as much audio is announced as the file holds; 1 if none is missing, announced or held.

    A file without any of the announced audio has no audio, and is refused when it is decoded.

    Parameters
    ----------
    source
        Path of a local file, or the content of one.

    Raises
    ------
    OSError
        The file can't be read.

    Examples
    --------
    A header of 8 bytes of audio, and the first two of them:

    >>> announced_share(b"RIFF" + bytes(4) + b"WAVEdata" + bytes([8, 0, 0, 0]) + bytes(2))
    4.0
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        announced, held = _audio_bytes(file)
    return announced / held if 0 < held < announced < STREAMED else 1.0


def _audio_bytes(file: BinaryIO) -> tuple[int, int]:
    """Return the bytes of audio by the header, and those up to the file's end; (0, 0) if it is no WAVE file."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0, 0
    for _ in range(MAX_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        size = int(struct.unpack("<I", chunk[4:])[0])
        if chunk[:4] == b"data":
            start = file.tell()
            return size, file.seek(0, io.SEEK_END) - start
        file.seek(size + size % 2, io.SEEK_CUR)
    return 0, 0
