"""Measure clips together with their evidence in a child process whose death does not cost the row.

This is the parent's half; :mod:`extract.run.evidence` runs in the child.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from extract.run import evidence_store
from extract.run.messages import Tell, decode
from extract.run.sandbox import Limits, Sandbox
from extract.run.worker import Result, Settings
from features import reasons
from features.errors import DatasetError
from features.evidence import FACES_PER_SECOND, ClipEvidence
from features.reasons import Reason

PROGRAM = "extract.run.evidence"
ROW = "row"  # the message that the child sends before it makes the evidence
DIED = frozenset({Reason.CRASHED, Reason.OUT_OF_MEMORY})
"""Failures that the evidence may have caused: the row is then measured again without evidence."""
MILDER = frozenset({"ok", "no_audio"})
"""Statuses that ``partial`` replaces when the evidence is missing."""


@dataclass(frozen=True)
class Request:
    """Which evidence to make of a clip, and where to write it."""

    file: str
    """File to write the evidence to; see :mod:`extract.run.evidence_store`."""
    faces_per_second: float = FACES_PER_SECOND
    """How many faces of each person the networks score, per second."""
    show_faces: bool = True
    """Whether images are kept; if not, the evidence holds no pixel of the clip."""


def without_evidence(row: Result, why: str) -> Result:
    """Return the row with an ``error`` that says why the evidence could not be made."""
    error = "; ".join(line for line in (row.error, f"the evidence could not be made: {why}") if line)
    return replace(row, status="partial" if row.status in MILDER else row.status, error=error)


class Examiner:
    """Measure one clip after the other in a child process that is kept between clips.

    Parameters
    ----------
    settings
        Settings that the rows depend on.
    limits
        CPU time and memory that one clip may take, row and evidence together.
    faces_per_second, show_faces
        Fields of the :class:`Request`.
    folder
        Folder for the evidence of the clip that is being measured, which may hold images of faces; by default the
        system's folder for temporary files. :meth:`measure` leaves no file there.
    tell
        Called with the progress of a clip: its ``stage`` in words, the fraction done as ``share``, from 0 to 1, and,
        once it is known and before the evidence is made, its ``row``, a :class:`~extract.run.worker.Result`.
    """

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        *,
        faces_per_second: float,
        show_faces: bool,
        folder: Path | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._tell = tell
        self._folder = tempfile.TemporaryDirectory(prefix="deepcue-", dir=folder)
        self._file = Path(self._folder.name) / "evidence"
        request = Request(str(self._file), faces_per_second, show_faces)
        program = (PROGRAM, json.dumps(asdict(request)))
        self._sandbox = Sandbox(settings, limits, program=program, tell=self._receive)
        self._plain = Sandbox(settings, limits)
        self._row: Result | None = None

    def close(self) -> None:
        """End the child process. A clip that another thread is measuring gets a row which says that it was stopped."""
        self._sandbox.retire()
        self._plain.retire()
        self._folder.cleanup()

    def measure(self, filename: str, path: str) -> tuple[Result, ClipEvidence | None]:
        """Return a clip's row and its evidence, or None where the row's ``error`` says why there is no evidence.

        Raises
        ------
        InputError
            The child process does not find a family that this process knows.
        """
        self._row = None
        try:
            result = self._measured(filename, path)
            try:
                return result, evidence_store.load(self._file) if self._file.exists() else None
            except DatasetError as error:
                return without_evidence(result, str(error)), None
        finally:
            self._forget()

    def _measured(self, filename: str, path: str) -> Result:
        """Return the row of a clip; the child process writes the evidence to its file."""
        result = self._sandbox.measure(filename, path)
        if self._row is not None:
            if reasons.CLIP in result.reasons and reasons.CLIP not in self._row.reasons:  # ended by the evidence
                result = replace(without_evidence(self._row, result.error), log=(*self._row.log, *result.log))
        elif result.reasons.get(reasons.CLIP) in DIED:
            result = self._again(result, filename, path)
        return result

    def _forget(self) -> None:
        """Remove the evidence, including the partial file that a killed child process leaves."""
        for file in self._file.parent.glob(f"{self._file.name}*"):
            file.unlink(missing_ok=True)

    def _again(self, ended: Result, filename: str, path: str) -> Result:
        """Measure the row alone, for a clip at which the child process that makes evidence died."""
        row = self._plain.measure(filename, path)
        self._plain.close()
        if reasons.CLIP in row.reasons:
            return row
        return replace(without_evidence(row, ended.error), log=(*ended.log, *row.log))

    def _receive(self, message: Mapping[str, Any]) -> None:
        if ROW in message:
            self._row = decode(message[ROW])
        if self._tell is not None and "stage" in message:
            row = {ROW: self._row} if ROW in message else {}
            self._tell({"stage": message["stage"], "share": message["share"], **row})
