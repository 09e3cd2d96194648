"""Measure clips with their evidence in a child process; the row survives a crash of the evidence.

This is the parent's side of :mod:`extract.run.evidence`, which runs in the child.
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
ROW = "row"  # key of the row, which the child sends before it collects the evidence
DIED = frozenset({Reason.CRASHED, Reason.OUT_OF_MEMORY})
"""Failures that the evidence may have caused: the row is measured again without evidence."""
MILDER = frozenset({"ok", "no_audio"})
"""Statuses that are milder than ``partial``."""


@dataclass(frozen=True)
class Request:
    """The evidence that is requested for a clip."""

    file: str
    """Where the evidence is written, see :mod:`extract.run.evidence_store`."""
    faces_per_second: float = FACES_PER_SECOND
    """Faces of each person and second that the networks score."""
    show_faces: bool = True
    """Whether images are kept; without, no pixel of the clip is kept."""


def without_evidence(row: Result, why: str) -> Result:
    """Return the row with a remark that the evidence could not be produced."""
    error = "; ".join(line for line in (row.error, f"the evidence could not be produced: {why}") if line)
    return replace(row, status="partial" if row.status in MILDER else row.status, error=error)


class Examiner:
    """Measure one clip after the other; the child process is kept between them.

    Parameters
    ----------
    settings
        What rows depend on.
    limits
        Limits of one clip, for row and evidence together.
    faces_per_second, show_faces
        See :class:`Request`.
    tell
        Called with the progress of a clip: its ``stage`` in words, the ``share`` done, from 0 to 1, and its ``row``, a
        :class:`~extract.run.worker.Result`, as soon as it is known, before the evidence.
    """

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        *,
        faces_per_second: float,
        show_faces: bool,
        tell: Tell | None = None,
    ) -> None:
        self._tell = tell
        self._folder = tempfile.TemporaryDirectory(prefix="deepcue-")
        self._file = Path(self._folder.name) / "evidence"
        request = Request(str(self._file), faces_per_second, show_faces)
        program = (PROGRAM, json.dumps(asdict(request)))
        self._sandbox = Sandbox(settings, limits, program=program, tell=self._told)
        self._plain = Sandbox(settings, limits)
        self._row: Result | None = None

    def close(self) -> None:
        """End the child process; the row of a clip that another thread waits for reports it."""
        self._sandbox.retire()
        self._plain.retire()
        self._folder.cleanup()

    def measure(self, filename: str, path: str) -> tuple[Result, ClipEvidence | None]:
        """Return a clip's row and its evidence; None where the evidence could not be produced, as the row reports.

        Raises
        ------
        InputError
            The child process lacks a family that is known here.
        """
        self._row = None
        self._file.unlink(missing_ok=True)
        result = self._sandbox.measure(filename, path)
        if self._row is not None:
            if reasons.CLIP in result.reasons and reasons.CLIP not in self._row.reasons:  # ended by the evidence
                result = replace(without_evidence(self._row, result.error), log=(*self._row.log, *result.log))
        elif result.reasons.get(reasons.CLIP) in DIED:
            result = self._again(result, filename, path)
        try:
            return result, evidence_store.load(self._file) if self._file.exists() else None
        except DatasetError as error:
            return without_evidence(result, str(error)), None

    def _again(self, ended: Result, filename: str, path: str) -> Result:
        """Measure the row alone, after the child that records evidence has died."""
        row = self._plain.measure(filename, path)
        self._plain.close()
        if reasons.CLIP in row.reasons:
            return row
        return replace(without_evidence(row, ended.error), log=(*ended.log, *row.log))

    def _told(self, message: Mapping[str, Any]) -> None:
        if ROW in message:
            self._row = decode(message[ROW])
        if self._tell is not None and "stage" in message:
            row = {ROW: self._row} if ROW in message else {}
            self._tell({"stage": message["stage"], "share": message["share"], **row})
