"""What is done already: a file of lines, one a finished clip, that survives any end of the run.

The first line says what the results below it depend on; it comes again where journals were put together. A line is
written whole and flushed; one torn by a kill is dropped when the journal is read again. Failures of the machine
(``crashed``, ``timeout``) and families that failed are recorded but never taken for done: the next run tries them
again, since what they lacked may be there by then. One run at a time holds the file, by a lock that ends with its
process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from extract.run.messages import decode, encode
from extract.run.worker import Result
from features.errors import DatasetError
from features.places import file_to_write
from features.reasons import Reason

logger = logging.getLogger(__name__)

HEADER = re.compile(rb'[0-9a-f]{8} \{"identity": ')
RETRIED = frozenset({"crashed", "timeout"})


class Journal:
    """Results on disk, keyed by filename and the file's fingerprint.

    ``identity`` is what results depend on besides the clip (families and their versions, the extractor,
    limits on length). One that was written under another identity is kept as ``<file>.<digest of it>``, and taken up
    again by a run of that identity; ``fresh`` forgets what is noted under this one.

    Raises
    ------
    InputError
        The file is a URL, a folder or a device, can't be written, is no journal, or another run notes its clips there.
    """

    def __init__(self, file: Path, identity: dict[str, Any], *, fresh: bool = False) -> None:
        file = self.file = file_to_write(file)
        self._done: dict[tuple[str, str], Result] = {}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with _locked(file):
                _check_is_journal(file)
                self._stream = self._begun(_line({"identity": identity}), fresh=fresh)
        except OSError as error:
            raise DatasetError(
                f"{file}: can't be written ({error}); free space or give another --out or --journal"
            ) from error

    def _begun(self, header: bytes, *, fresh: bool) -> BinaryIO:
        """The file with what is kept of it, and locked, to append to."""
        self._set_aside(header)
        if fresh:
            self._aside(header).unlink(missing_ok=True)
        kept = [] if fresh else self._read(header)
        temporary = self.file.with_name(self.file.name + ".part")
        stream = temporary.open("wb")
        try:
            _lock(stream, self.file)  # before it takes the name, so that the name is never free
            stream.write(header + b"".join(kept))  # without torn lines, so that appending is safe
            stream.flush()
            os.replace(temporary, self.file)
        except OSError:
            with contextlib.suppress(OSError):  # the disk is full, which is what is told
                stream.close()
            raise
        return stream

    def _read(self, header: bytes) -> list[bytes]:
        kept: dict[tuple[str, str], bytes] = {}
        for line in (*self._lines(self._aside(header), header), *self._lines(self.file, header)):
            if (record := _record(line)) is None:
                continue
            result = decode(record["result"])
            if result.status not in RETRIED and Reason.FAILED not in result.reasons.values():
                key = (result.filename, record["fingerprint"])
                self._done[key], kept[key] = result, line
        return list(kept.values())

    @staticmethod
    def _lines(file: Path, header: bytes) -> list[bytes]:
        """What stands below the header, once or more: journals of several machines may follow one another in a file."""
        is_below, lines = False, []
        for line in file.read_bytes().splitlines(keepends=True) if file.is_file() else []:
            if HEADER.search(line):  # behind a torn line, too
                is_below = line.endswith(header)
            elif is_below:
                lines.append(line)
        return lines

    def _aside(self, header: bytes) -> Path:
        """Where a journal of an identity is kept while the file is of another one."""
        return self.file.with_name(f"{self.file.name}.{zlib.crc32(header):08x}")

    def _set_aside(self, header: bytes) -> None:
        """Copy what was noted of other identities, so that runs of these find it."""
        with self.file.open("rb") as lines:
            headers = dict.fromkeys(line[match.start() :] for line in lines if (match := HEADER.search(line)))
        for other in (written for written in headers if written != header and _record(written)):
            aside = self._aside(other)
            noted = dict.fromkeys([*self._lines(aside, other), *self._lines(self.file, other)])
            temporary = aside.with_name(f"{aside.name}.part")
            temporary.write_bytes(other + b"".join(noted))
            os.replace(temporary, aside)
            logger.warning(
                "%s: is of other families, weights or limits; what was noted is kept in %s", self.file, aside
            )

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


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """The file, made where it is missing, is held by this run alone."""
    while True:
        with file.open("ab") as held:
            _lock(held, file)
            if os.path.samestat(os.fstat(held.fileno()), os.stat(file)):  # else another run has just replaced it
                yield
                return


def _lock(stream: BinaryIO, file: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DatasetError(
            f"{file}: another run notes its clips here; wait for it, or give another --out or --journal"
        ) from error
    except OSError as error:  # not every network's file system has locks
        logger.warning("%s: can't be locked (%s); see to it that no other run notes its clips there", file, error)


def _check_is_journal(file: Path) -> None:
    """Refuse, rather than overwrite, a file of something else; an empty one is none yet."""
    with file.open("rb") as opened:
        first = opened.readline()
    if first and "identity" not in (_record(first) or {}):
        raise DatasetError(f"{file}: is no journal of finished clips, and is left as it is; give another --journal")


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record
