"""One clip after the other with its evidence, in a child process that may die without harm to the row.

The light half of :mod:`extract.run.evidence`, which runs in the child.
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
ROW = "row"  # what the child tells before it makes the evidence
DIED = frozenset({Reason.CRASHED, Reason.OUT_OF_MEMORY})
"""Ways to end a clip that may be the evidence's fault: the row is measured again without."""
MILDER = frozenset({"ok", "no_audio"})
"""Statuses that say less than that something is missing."""


@dataclass(frozen=True)
class Request:
    """What is wanted of a clip beside its row."""

    file: str
    """Where the evidence is written, see :mod:`extract.run.evidence_store`."""
    faces_per_second: float = FACES_PER_SECOND
    """How many faces of each person the networks judge."""
    show_faces: bool = True
    """Whether pictures are kept; without, not a pixel of the clip is."""


def without_evidence(row: Result, why: str) -> Result:
    """The row of a clip whose evidence could not be made, which it says."""
    error = "; ".join(line for line in (row.error, f"the evidence could not be made: {why}") if line)
    return replace(row, status="partial" if row.status in MILDER else row.status, error=error)


class Examiner:
    """Measures one clip after the other; the child process stays between them.

    Parameters
    ----------
    settings
        What rows depend on.
    limits
        What one clip may take, row and evidence together.
    faces_per_second, show_faces
        Of the :class:`Request`.
    tell
        Takes how far a clip is: its ``stage`` in words, the ``share`` that is done, from 0 to 1, and its ``row``, a
        :class:`~extract.run.worker.Result`, as soon as that is known, before the evidence.
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
        """End the child process, also while another thread waits for a clip: that clip's row says so."""
        self._sandbox.retire()
        self._plain.retire()
        self._folder.cleanup()

    def measure(self, filename: str, path: str) -> tuple[Result, ClipEvidence | None]:
        """A clip's row and its evidence; None where that could not be made, as the row says.

        Raises
        ------
        InputError
            A family that is known here is not to be found in the child process.
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
        """The row by itself, of a clip at which the child with the recorder ended."""
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
