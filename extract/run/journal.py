"""The journal of a run: one JSON line per finished clip, durable across interruption and crashes.

The first line, the header, says what the results below it depend on; it is repeated where journals were concatenated.
Each line is written whole and flushed; a line torn by a kill is dropped when the journal is read. Failures of the
machine (``crashed``, ``timeout``) and failed families are recorded but retried by the next run, since their cause may
be gone. A lock, which ends with the process, ensures that only one run at a time uses the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from extract.run.messages import decode, encode
from extract.run.worker import Result
from features.errors import DatasetError
from features.places import file_to_write, in_place_of
from features.reasons import Reason

logger = logging.getLogger(__name__)

IDENTITY = b'{"identity": '  # the reasons of a result may begin so, too, with the family identity
HEADER = re.compile(rb"[0-9a-f]{8} " + re.escape(IDENTITY))  # with a checksum before it, only a header does
RETRIED = frozenset({"crashed", "timeout"})


class Journal:
    """Results on disk, keyed by filename and the file's fingerprint.

    ``identity`` is what results depend on besides the clip (families and their versions, the extractor, limits on
    length). A journal with another identity is kept as ``<file>.<its digest>`` and used again by the next run with that
    identity; ``fresh`` discards the results of this identity.

    Raises
    ------
    InputError
        The file is a URL, a folder or a device, can't be written, is not a journal, or another run uses it.
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
        """Rewrite the file with the results that are kept, locked and open for appending."""
        self._set_aside(header)
        if fresh:
            self._aside(header).unlink(missing_ok=True)
        kept = {} if fresh else self._read(header)
        temporary = self.file.with_name(self.file.name + ".part")
        stream = temporary.open("wb")
        try:
            _lock(stream, self.file)  # before the rename, so that the name is never unlocked
            stream.write(header)
            for file, positions in kept.items():
                stream.writelines(_lines_at(file, positions))  # without torn lines, so that appending is safe
            stream.flush()
            os.replace(temporary, self.file)
        except OSError:
            with contextlib.suppress(OSError):  # the disk is full, which the first error reports
                stream.close()
            temporary.unlink(missing_ok=True)  # it would take the room that the user makes
            raise
        return stream

    def _read(self, header: bytes) -> dict[Path, list[int]]:
        """Remember the last result of each clip, and return the byte positions of their lines in each file."""
        kept: dict[tuple[str, str], tuple[Path, int]] = {}
        for file in (self._aside(header), self.file):
            for position, line in _lines_below(file, header):
                if (record := _record(line)) is None:
                    continue
                result = decode(record["result"])
                if result.status not in RETRIED and Reason.FAILED not in result.reasons.values():
                    key = (result.filename, record["fingerprint"])
                    self._done[key], kept[key] = result, (file, position)
        positions: dict[Path, list[int]] = {}
        for file, position in kept.values():
            positions.setdefault(file, []).append(position)
        return positions

    def _aside(self, header: bytes) -> Path:
        """Return where a journal is kept while the file has another identity."""
        return self.file.with_name(f"{self.file.name}.{zlib.crc32(header):08x}")

    def _set_aside(self, header: bytes) -> None:
        """Copy the results of other identities to their own files, where later runs find them."""
        with self.file.open("rb") as lines:
            headers = dict.fromkeys(line[start:] for line in lines if (start := _header_in(line)) is not None)
        for other in (written for written in headers if written != header and _record(written)):
            aside = self._aside(other)
            with in_place_of(aside) as temporary, temporary.open("wb") as stream:
                stream.write(other)
                stream.writelines(_different(aside, self.file, header=other))
            logger.warning(
                "%s: is of other families, versions, weights or limits; its results are kept in %s", self.file, aside
            )

    def get(self, filename: str, fingerprint: str) -> Result | None:
        """Return the clip's result from an earlier run, if the file is unchanged; else None."""
        return self._done.get((filename, fingerprint))

    def add(self, result: Result, fingerprint: str) -> None:
        """Record a finished clip.

        Raises
        ------
        DatasetError
            The disk is full or gone; earlier records are kept.
        """
        try:
            self._stream.write(_line({"fingerprint": fingerprint, "result": encode(result)}))
            self._stream.flush()
        except OSError as error:
            message = f"{self.file}: can't be written ({error}); earlier results are kept: free space and run again"
            raise DatasetError(message) from error

    def close(self) -> None:
        """Close the file; the journal stays, so that the next run can resume from it."""
        with contextlib.suppress(OSError):  # reported when it happened
            self._stream.close()


def _lines_below(file: Path, header: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines below each copy of the header, with their byte positions; none where there is no file.

    Journals of several machines may be concatenated. Only one line is in memory at a time: the journal of a million
    clips has 4 GB.
    """
    if not file.is_file():
        return
    is_below, position = False, 0
    with file.open("rb") as lines:
        for line in lines:
            if _header_in(line) is not None:  # also after a torn line
                is_below = line.endswith(header)
            elif is_below:
                yield position, line
            position += len(line)


def _lines_at(file: Path, positions: Iterable[int]) -> Iterator[bytes]:
    """Yield the lines that begin at byte positions of a file."""
    with file.open("rb") as lines:
        for position in positions:
            lines.seek(position)
            yield lines.readline()


def _different(*files: Path, header: bytes) -> Iterator[bytes]:
    """Yield the lines below the header in each file, equal ones once."""
    seen: set[bytes] = set()
    for file in files:
        for _, line in _lines_below(file, header):
            digest = hashlib.blake2b(line, digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                yield line


def _header_in(line: bytes) -> int | None:
    """Return where a header begins in a line; None without one."""
    match = HEADER.search(line) if IDENTITY in line else None  # the pattern alone takes 40 times as long
    return None if match is None else match.start()


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Create the file if it is missing, and hold its lock."""
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
            f"{file}: another run uses this journal; wait for it, or give another --out or --journal"
        ) from error
    except OSError as error:  # some network file systems have no locks
        logger.warning("%s: can't be locked (%s); make sure that no other run uses it", file, error)


def _check_is_journal(file: Path) -> None:
    """Refuse to overwrite a file that is not a journal; an empty file is accepted."""
    with file.open("rb") as opened:
        first = opened.readline()
    if first and "identity" not in (_record(first) or {}):
        raise DatasetError(f"{file}: is not a journal of finished clips and is left as it is; give another --journal")


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record
