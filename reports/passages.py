"""Passages of a clip whose faces look much more like a fake to the face networks than all other faces of the clip.

P(FAKE) describes the whole clip: over it, a forgery of some seconds, or of one person of several, is averaged away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.evidence import ClipEvidence, JudgedFace
from reports.lines import unbroken
from reports.series_words import LEAST_ABOVE, listed, short, stretches_in_words
from reports.timeline import person_name

LEAST_FACES = 3  # scored faces of a passage, and outside all passages: 1.5 s at two a second
STANDS_OUT = 1.0  # log-odds above the mean of the other faces; where benchmarks.short_swap calls a forgery noticed
MOST_NAMED = 3  # passages of a note
NOTE_PASSAGES = (
    "The face networks score {faces} much more like a fake than the rest: {passages}; elsewhere {elsewhere} (mean "
    "log-odds, above 0 towards FAKE). The probability describes the whole clip and may hide a forgery of a part. "
    "Genuine faces can stand out, too, where they are covered, blurred, turned or badly lit."
)

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Passage:
    """Successive scored faces of one person."""

    person: int
    """1 for the main face, as on the page of the clip."""
    start_s: float
    end_s: float
    """Times of the first and of the last of these faces."""
    log_odds: float
    """Mean over the faces and the networks."""
    log_odds_elsewhere: float
    """The same of all scored faces of the clip that are in no passage."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "person": self.person,
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "log_odds": self.log_odds,
            "log_odds_elsewhere": self.log_odds_elsewhere,
        }


def passages(evidence: ClipEvidence) -> list[Passage]:
    """Return the passages that stand out, the highest mean first.

    A passage is a stretch of :data:`LEAST_FACES` faces or more whose scores, the mean of the networks in a running
    median over three faces, are above 0. It stands out if its mean is :data:`STANDS_OUT` above that of the faces in no
    such stretch.
    """
    scored = [_scores(person.faces) for person in evidence.people]
    stretches = [(n, a, b) for n, (times, z) in enumerate(scored) for a, b in _above_0(times, z)]
    outside = [np.ones(len(z), bool) for _, z in scored]
    for n, a, b in stretches:
        outside[n][a:b] = False
    rest = np.concatenate([[], *(z[kept] for (_, z), kept in zip(scored, outside, strict=True))])
    if len(rest) < LEAST_FACES:
        return []
    elsewhere = float(rest.mean())
    every = [
        Passage(n + 1, float(scored[n][0][a]), float(scored[n][0][b - 1]), float(scored[n][1][a:b].mean()), elsewhere)
        for n, a, b in stretches
    ]
    high = [passage for passage in every if passage.log_odds - elsewhere >= STANDS_OUT]
    return sorted(high, key=lambda passage: -passage.log_odds)


def passages_note(evidence: ClipEvidence | None) -> str:
    """Return which passages stand out, in words; empty where none does."""
    if evidence is None or not (every := passages(evidence)):
        return ""
    total = len(evidence.people)
    words = [_in_words(passage, total) for passage in every[:MOST_NAMED]]
    if len(every) > MOST_NAMED:
        words.append(f"{len(every) - MOST_NAMED} more")
    faces = "one passage" if len(every) == 1 else f"{len(every)} passages"
    return NOTE_PASSAGES.format(faces=faces, passages=listed(words), elsewhere=short(every[0].log_odds_elsewhere))


def _in_words(passage: Passage, total: int) -> str:
    when = f"{stretches_in_words([(passage.start_s, passage.end_s)])} ({short(passage.log_odds)})"
    return f"{person_name(passage.person - 1, total)} {when}" if total > 1 else when


def _scores(faces: Sequence[JudgedFace]) -> tuple[F64, F64]:
    """Times [n] of the faces that a network scored, and the mean [n] of the networks' log-odds."""
    scored = [face for face in faces if face.logits]
    times = np.array([face.time_s for face in scored], np.float64)
    return times, np.array([np.mean(list(face.logits.values())) for face in scored], np.float64)


def _above_0(times: F64, z: F64) -> list[tuple[int, int]]:
    """Half-open ranges of faces whose scores stay above 0, one outlier on either side left aside."""
    if len(z) < LEAST_FACES:
        return []
    neighbours = np.stack([np.r_[z[:1], z[:-1]], z, np.r_[z[1:], z[-1:]]])
    above = np.where(np.median(neighbours, axis=0) >= LEAST_ABOVE, 1.0, np.nan)
    return [(a, b) for a, b in unbroken(times, above) if b - a >= LEAST_FACES]
