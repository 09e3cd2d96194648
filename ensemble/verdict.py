"""The verdict on a clip: probability, verdict in words, contributions of families, unmeasured families, caveats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ensemble import wording
from ensemble.learners.late_fusion import ALL_FACES_SUFFIX
from ensemble.missingness import is_unusable, unmeasured_families
from ensemble.model import Model
from ensemble.training_set import family_of
from ensemble.wording import (
    LITTLE_DETAIL,
    NO_SPEECH,
    NO_VIDEO,
    NO_VIDEO_CUE,
    NOTE,
    NOTE_AUDIO_ONLY,
    NOTE_FACES,
    NOTE_NO_DETAIL,
    NOTE_NO_SPEECH,
    NOTE_NOTHING,
    NOTE_PEAK,
    NOTE_STILL,
    NOTE_STILL_VIDEO,
    SMALL_FACE_PX,
    bound_in_words,
)
from features.discovery import families
from features.spec import AUDIO_ONLY, family_modules, is_share
from features.table import check_table

BASE = ("filename", "status", "error", "n_faces", "duration_s", "n_frames")  # columns that a verdict repeats
# "Likely" and "unlikely" as the IPCC's calibrated language has them (Mastrandrea et al. 2010): above 66 %,
# below 33 %. The words describe the probability at the model's target prior.
LIKELY_REAL_BELOW, LIKELY_FAKE_ABOVE = 1 / 3, 2 / 3
LIKELY_REAL, UNCERTAIN, LIKELY_FAKE, NOTHING = "likely real", "uncertain", "likely fake", "nothing measured"
CONTEXT_FAMILIES = frozenset({"quality"})
"""Families that are measured for the caveats beside a number, whether or not the model reads them."""
EYES_PX = "quality.iod_px"
FACE_WIDTH_IOD = 2.3  # from ear to ear (jaw points 0 and 16) over the distance of the eyes: median of every 24th copy
SEEN = "quality.clip_share"
FINE_DETAIL = "quality.noise_imm_face_med"
# A convention: of the 282 research clips one in twenty is under 1.1 s, none under 0.76 s; the face networks score up to
# eight faces of a clip.
SHORT_S, FEW_FRAMES = 1.0, 8
# Median deviation of a face's sharpness from its median: 0 to 0.002 where most frames are one frozen image (encoded at
# CRF 0 to 30), 0.015 and more in the 281 research clips that have it.
SHARPNESS_SPREAD, HELD_SPREAD = "quality.blur_lap_face_mad", 0.005
# Log-odds by which the highest-scoring of a person's faces exceeds their median in every face network. None of the 282
# research clips reaches it (the highest has 1.93); with another face pasted into one of 6.6 s, a clip had 2.2.
PEAK = 2.0
SAID_BY_STATUS = frozenset({"no_face", "no_audio"})  # the first message says the same
AT_BOUND = 1e-6  # a probability this near to a bound of the model is at the bound


@dataclass(frozen=True)
class Verdict:
    """The verdict on one clip.

    Attributes
    ----------
    filename
        As in the feature table.
    probability
        P(FAKE) at the model's target prior.
    verdict
        ``likely real`` below one third, ``likely fake`` above two thirds, else ``uncertain``; or ``nothing measured``.
    status, error
        Status and error of the measurement, as in the feature table; ``error`` is empty when all went well.
    n_faces, duration_s, n_frames
        Number of detected faces, of which at most three in the clip are tracked (a face that reappears after more than
        1 s counts again), duration in seconds (None where unknown) and number of frames.
    base
        Log-odds of FAKE before any cue has contributed.
    contributions
        Family to log-odds towards FAKE, for every family of the model. With ``base`` and ``log_odds_limit`` they sum to
        the logit of ``probability``. An unmeasured family can contribute if the model has learned what its absence
        means.
    log_odds_base, log_odds_by_family, log_odds_unmeasured
        As in JSON: ``base``; the contributions of the measured families, those towards FAKE first; the sum of the
        contributions of the others.
    unmeasured
        Family to the reason why none of the cues that the model reads is defined.
    face_width_px
        Width of the main face from ear to ear, in pixels of the file, to about a tenth; None where unknown.
    at_bound
        Whether ``probability`` is the lowest or highest that the model can give: the evidence may be stronger.
    seen_share
        Fraction of the frames in which the main face was found; None where unknown.
    still
        Whether most of the analysed images of the main face are identical.
    has_peak
        Whether every face network scores one image of the main face far above the median of its images.
    lacks_detail
        Whether the main face has hardly any fine detail, as one that was blurred or pixelated.
    log_odds_limit
        Log-odds that the model's bound takes away from the sum of ``base`` and ``contributions``; 0 within the bounds.
    """

    filename: str
    probability: float
    verdict: str
    status: str
    error: str
    n_faces: int
    duration_s: float | None
    n_frames: int
    base: float
    contributions: dict[str, float] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    face_width_px: float | None = None
    at_bound: bool = False
    seen_share: float | None = None
    still: bool = False
    has_peak: bool = False
    lacks_detail: bool = False
    log_odds_limit: float = 0.0

    @property
    def bound(self) -> str:
        """``or more`` or ``or less`` where the probability is at the model's bound; otherwise empty."""
        return bound_in_words(self.probability) if self.at_bound else ""

    @property
    def log_odds_base(self) -> float:
        """``base``, by its name in JSON."""
        return self.base

    @property
    def log_odds_by_family(self) -> dict[str, float]:
        """Log-odds of each measured family, those towards FAKE first, by its name in JSON."""
        measured = [(name, z) for name, z in self.contributions.items() if name not in self.unmeasured]
        return dict(sorted(measured, key=lambda pair: (-pair[1], pair[0])))

    @property
    def log_odds_unmeasured(self) -> float:
        """Sum of the log-odds of unmeasured families, by its name in JSON."""
        return sum(self.contributions.get(name, 0.0) for name in self.unmeasured)

    @property
    def log_odds(self) -> float:
        """The logit of ``probability``: the sum of ``base``, ``contributions`` and ``log_odds_limit``."""
        return self.base + sum(self.contributions.values()) + self.log_odds_limit

    @property
    def audio_only(self) -> bool:
        """Whether the file holds audio and no video."""
        return self.n_frames == 0 and self.duration_s is not None

    @property
    def sound_alone(self) -> bool:
        """Deprecated: use ``audio_only``."""
        return self.audio_only

    @property
    def reason(self) -> str:
        """``error``; for an audio file without speech, its first message is replaced by that finding."""
        if not self.lacks_speech:
            return self.error
        _, *others = self.error.split("; ")  # the first message says that only the audio was measured
        return "; ".join([NO_SPEECH, *others])

    @property
    def messages(self) -> list[str]:
        """The messages of ``error``, without the first where ``status`` and the families' reasons say the same."""
        messages = list(filter(None, self.error.split("; ")))
        return messages[1:] if self.status in SAID_BY_STATUS else messages

    @property
    def notes(self) -> list[str]:
        """The sentences to show beside the number."""
        if self.verdict == NOTHING:
            return [NOTE_NO_SPEECH, NOTE_NOTHING] if self.lacks_speech else [NOTE_NOTHING]
        if self.audio_only:
            return [NOTE_AUDIO_ONLY.format(why=NO_VIDEO), NOTE]
        audio = [NOTE_AUDIO_ONLY.format(why=NO_VIDEO_CUE)] if self._only_heard else []
        faces = [self.faces_note] if self.faces_note else []
        peak = [NOTE_PEAK] if self.has_peak and self.verdict != LIKELY_FAKE else []
        return [*audio, *faces, *peak, *self.little_notes, *self._of_small_face, *self.detail_notes, NOTE]

    @property
    def main_face(self) -> str:
        """The sentence on which of several faces the number describes."""
        networks = any(
            column.name.endswith(ALL_FACES_SUFFIX)
            for family in families(self.contributions.keys() & set(family_modules()))
            for column in family.table_columns
        )
        return wording.main_face(with_networks=networks)

    @property
    def faces_note(self) -> str:
        """The caveat for a clip with several faces; empty for other clips and for models that read audio alone."""
        if self.n_faces <= 1 or not self._reads_video:
            return ""
        return NOTE_FACES.format(n=self.n_faces, main_face=self.main_face)

    @property
    def lacks_speech(self) -> bool:
        """Whether, in a file without video, every speech family that was measured found too little speech."""
        if not (self.audio_only and self.verdict == NOTHING):
            return False
        reasons = [self.unmeasured[name] for name in self.unmeasured.keys() & _audio_families()]
        return bool(reasons) and all(map(is_unusable, reasons))

    @property
    def _reads_video(self) -> bool:
        """Whether the model reads a family that needs more than audio."""
        return bool(self.contributions.keys() - _audio_families())

    @property
    def _video_counts(self) -> bool:
        """Whether a family that needs more than audio was measured."""
        return bool(self.log_odds_by_family.keys() - _audio_families())

    @property
    def _speech_counts(self) -> bool:
        """Whether a family that needs only audio was measured."""
        return bool(self.log_odds_by_family.keys() & _audio_families())

    @property
    def _only_heard(self) -> bool:
        """Whether only audio families contribute, although the model also reads the video."""
        return self._speech_counts and not self._video_counts and self._reads_video

    @property
    def _of_small_face(self) -> list[str]:
        if self.face_width_px is None or self.face_width_px >= SMALL_FACE_PX or not self._video_counts:
            return []
        return [wording.of_small_face(self.face_width_px)]

    @property
    def detail_notes(self) -> list[str]:
        """The caveat for a video part that rests on a face with hardly any fine detail."""
        return [NOTE_NO_DETAIL] if self.lacks_detail and self._video_counts else []

    @property
    def little_notes(self) -> list[str]:
        """The caveats for a number, or its video part, that rests on a short stretch or on one frozen image."""
        if self.duration_s is None or not self._video_counts:
            return []
        share = 1.0 if self.seen_share is None else self.seen_share
        n, seconds = max(1, round(share * self.n_frames)), round(share * self.duration_s, 2)
        if n >= FEW_FRAMES and seconds >= SHORT_S:
            return [NOTE_STILL_VIDEO if self._speech_counts else NOTE_STILL] if self.still else []
        return [wording.of_short_stretch(n, seconds, with_speech=self._speech_counts)]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "filename": self.filename,
            "probability": self.probability,
            "at_bound": self.at_bound,
            "verdict": self.verdict,
            "status": self.status,
            "error": self.error,
            "n_faces": self.n_faces,
            "face_width_px": self.face_width_px,
            "duration_s": self.duration_s,
            "n_frames": self.n_frames,
            "seen_share": self.seen_share,
            "still": self.still,
            "has_peak": self.has_peak,
            "lacks_detail": self.lacks_detail,
            "log_odds_base": self.log_odds_base,
            "log_odds_by_family": self.log_odds_by_family,
            "log_odds_unmeasured": self.log_odds_unmeasured,
            "log_odds_limit": self.log_odds_limit,
            "unmeasured": self.unmeasured,
            "notes": self.notes,
        }


def _audio_families() -> set[str]:
    """Return the families that need only audio."""
    return {family.name for family in families() if family.needs <= AUDIO_ONLY}


def verdict_of(probability: float) -> str:
    """``likely real`` below one third, ``likely fake`` above two thirds, else ``uncertain``."""
    if probability < LIKELY_REAL_BELOW:
        return LIKELY_REAL
    return LIKELY_FAKE if probability > LIKELY_FAKE_ABOVE else UNCERTAIN


def judge(model: Model, table: pa.Table) -> list[Verdict]:
    """Return the verdict on each row of a feature table, in its order.

    Raises
    ------
    ModelError
        The table's families or columns differ from the model's.
    TableError
        The table has lost its description, lacks a base column, or has one of the wrong type.
    """
    from scipy.special import expit

    check_table(table, "the table", needed=[*BASE, "reasons"])
    explanation = model.explain(table)
    probability = expit(explanation.log_odds)
    unmeasured = unmeasured_families(table, model.columns_read, untrained=model.untrained_columns)
    read = {family_of(name) for name in model.columns_read}
    with_cues = {family_of(name) for name in model.columns_read if not is_share(name)}  # that training clips had
    known = {name for name, z in explanation.contributions.items() if name in with_cues or (name in read and z.any())}
    verdicts = []
    for number, measurement in enumerate(_measurements(table)):
        p = float(probability[number])
        absent = {name: reason for name, reason in unmeasured[number].items() if name in known}
        in_words = NOTHING if known & with_cues <= absent.keys() else verdict_of(p)
        verdicts.append(
            Verdict(
                **measurement,
                probability=p,
                verdict=in_words,
                base=float(explanation.base[number]),
                contributions={name: float(explanation.contributions[name][number]) for name in sorted(known)},
                unmeasured=absent,
                at_bound=in_words != NOTHING and at_bound(p, model.head.clip),
                log_odds_limit=float(explanation.limit[number]),
            )
        )
    return verdicts


def _measurements(table: pa.Table) -> list[dict[str, Any]]:
    """Return, for each row, the fields of a :class:`Verdict` that do not depend on a model."""
    eyes_px, seen, spread, detail = (_defined(table, name) for name in (EYES_PX, SEEN, SHARPNESS_SPREAD, FINE_DETAIL))
    peaks, duration_s = _peaks(table), _defined(table, "duration_s")
    return [
        {
            "filename": row["filename"],
            "status": row["status"],
            "error": row["error"] or "",
            "n_faces": _count(row["n_faces"]),
            "duration_s": duration_s[number],
            "n_frames": _count(row["n_frames"]),
            "face_width_px": _face_width_px(eyes_px[number]),
            "seen_share": seen[number],
            "still": _is_held(spread[number]),
            "has_peak": peaks[number],
            "lacks_detail": _lacks_detail(detail[number]),
        }
        for number, row in enumerate(table.select(list(BASE)).to_pylist())
    ]


def _count(number: float | None) -> int:
    """Return a number of faces or frames; 0 where it is missing, which other programs store as NaN."""
    return int(number) if number is not None and math.isfinite(number) else 0


def at_bound(probability: float, clip: float) -> bool:
    """Whether a probability is at a bound of its model: ``clip`` (0 where there is none) or ``1 - clip``.

    >>> at_bound(0.97, 0.03), at_bound(0.03, 0.03), at_bound(0.96, 0.03), at_bound(1.0, 0.0)
    (True, True, False, False)
    """
    return clip > 0 and min(probability, 1 - probability) <= clip + AT_BOUND


def _is_held(sharpness_spread: float | None) -> bool:
    """Whether most images of a face are one frozen image, by the column :data:`SHARPNESS_SPREAD`."""
    return sharpness_spread is not None and sharpness_spread < HELD_SPREAD


def _lacks_detail(fine_detail: float | None) -> bool:
    """Whether a face has hardly any fine detail, by the column :data:`FINE_DETAIL`."""
    return fine_detail is not None and fine_detail < LITTLE_DETAIL


def _peaks(table: pa.Table) -> list[bool]:
    """Return for each row whether one face stands out by :data:`PEAK` in every face network of the table."""
    networks = [name.removesuffix("max") for name in table.column_names if name.endswith(".logit_max")]
    gaps = []
    for name in networks:
        top, median = (np.array(_defined(table, name + kind), np.float64) for kind in ("max", "med"))
        gaps.append(top - median)
    return [bool(gaps) and all(gap[row] >= PEAK for gap in gaps) for row in range(table.num_rows)]


def _defined(table: pa.Table, column: str) -> list[float | None]:
    """Return the values of a column; None where undefined, or where the table lacks the column."""
    values = table.column(column).to_pylist() if column in table.column_names else [None] * table.num_rows
    return [value if value is not None and math.isfinite(value) else None for value in values]


def _face_width_px(eyes_px: float | None) -> float | None:
    """Return the width of a face from the distance of its eyes; None where that is unknown."""
    return round(FACE_WIDTH_IOD * eyes_px, 1) if eyes_px is not None and eyes_px > 0 else None


def ranked(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Sort by probability, highest first, then by name; clips in which nothing was measured come last."""
    return sorted(verdicts, key=lambda verdict: (verdict.verdict == NOTHING, -verdict.probability, verdict.filename))
