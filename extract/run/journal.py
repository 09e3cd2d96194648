"""What is done already: a file of lines, one a finished clip, that survives any end of the run.

The first line says what the results depend on. A line is written whole and flushed; one torn by a kill is
dropped when the journal is read again. Failures of the machine (``crashed``, ``timeout``) and families that failed are
recorded but never taken for done: the next run tries them again, since what they lacked may be there by then.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

from extract.run.sandbox import decode, encode
from extract.run.worker import Result
from features.errors import DatasetError
from features.reasons import Reason

RETRIED = frozenset({"crashed", "timeout"})


class Journal:
    """Results on disk, keyed by filename and the file's fingerprint.

    ``identity`` is what results depend on besides the clip (families and their versions, the extractor,
    limits on length); lines written under another identity are dropped with the journal.
    """

    def __init__(self, file: Path, identity: dict[str, Any], *, fresh: bool = False) -> None:
        self.file = file
        self._done: dict[tuple[str, str], Result] = {}
        header = _line({"identity": identity})
        kept = [] if fresh else self._read(header)
        temporary = file.with_name(file.name + ".part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(header + b"".join(kept))  # without torn lines, so that appending is safe
            os.replace(temporary, file)
            self._stream = file.open("ab")
        except OSError as error:
            raise DatasetError(
                f"{file}: can't be written ({error}); free space or give another --out or --journal"
            ) from error

    def _read(self, header: bytes) -> list[bytes]:
        if not self.file.is_file():
            return []
        lines = self.file.read_bytes().splitlines(keepends=True)
        if not lines or lines[0] != header:
            return []
        kept: dict[tuple[str, str], bytes] = {}
        for line in lines[1:]:
            if (record := _record(line)) is None:
                continue
            result = decode(record["result"])
            if result.status not in RETRIED and Reason.FAILED not in result.reasons.values():
                key = (result.filename, record["fingerprint"])
                self._done[key], kept[key] = result, line
        return list(kept.values())

    def get(self, filename: str, fingerprint: str) -> Result | None:
        """The clip's result from an earlier run, if the file is still the same."""
        return self._done.get((filename, fingerprint))

    def add(self, result: Result, fingerprint: str) -> None:
        """Record a finished clip.

        Raises
        ------
        DatasetError
            The disk is full or gone; what was recorded before is kept.
        """
        try:
            self._stream.write(_line({"fingerprint": fingerprint, "result": encode(result)}))
            self._stream.flush()
        except OSError as error:
            message = f"{self.file}: can't be written ({error}); what is done is kept: free space and run again"
            raise DatasetError(message) from error

    def close(self) -> None:
        """Close the file; the journal stays, so that a further run has nothing to do."""
        with contextlib.suppress(OSError):  # reported when it happened
            self._stream.close()


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record
