"""The verdict on a clip: probability, in words, contributions of families, what could not be measured, caveats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ensemble.learners.late_fusion import ALL_FACES_SUFFIX
from ensemble.missingness import is_unusable, unmeasured_families
from ensemble.model import Model
from ensemble.training_set import family_of
from features.discovery import families
from features.spec import SOUND_ALONE, family_modules

# "Likely" and "unlikely" as the IPCC's calibrated language has them (Mastrandrea et al. 2010): above 66 %,
# below 33 %. The words are of the probability at the model's target prior.
LIKELY_REAL_BELOW, LIKELY_FAKE_ABOVE = 1 / 3, 2 / 3
LIKELY_REAL, UNCERTAIN, LIKELY_FAKE, NOTHING = "likely real", "uncertain", "likely fake", "nothing measured"
NOTE = (
    "A score is evidence, not proof: it reflects how similar training clips were labelled, and says nothing of intent."
)
NOTE_NOTHING = "Nothing could be measured in this clip: the number is the assumed fraction of FAKE, no finding."
NOTE_NO_FINDING = (
    "Nothing could be measured in this clip, so there is no finding: neither that it is real nor that it is fake."
)
"""What stands in place of :data:`NOTE_NOTHING` where no number is shown."""
NOTE_SOUND = (
    "Only the sound was judged: {why}, and the picture stays at its prior. How good the speech detector is by itself "
    "is on the model card (docs/MODEL_CARD.md)."
)
NO_PICTURE, NO_PICTURE_CUE = "the file holds no picture", "no cue of the picture could be measured"
NO_SPEECH = "no picture in the file, and no speech was found in its sound"
NOTE_NO_SPEECH = "The file holds no picture, and no speech was found in its sound."
CONTEXT_FAMILIES = frozenset({"quality"})
"""Families that are measured for what is said beside a number, whether the model reads them or not."""
EYES_PX = "quality.iod_px"
FACE_WIDTH_IOD = 2.3  # from ear to ear (jaw points 0 and 16) over the distance of the eyes: median of every 24th copy
# A convention: the mean of both face networks on the re-encoded copies of docs/experiments/032, out of fold, has AUC
# 0.51 where the eyes are under 32 px apart (101 clips, 28 of them FAKE) and 0.56 above (133, 90), one of several cuts
# that were looked at, and no more apart than chance would have it. 32 px between the eyes are a face of 74 px.
SMALL_FACE_PX = 74
NOTE_SMALL = (
    "The face is only about {width} px wide in the file. On re-encoded copies with faces under {limit} px the face "
    "networks told forged from genuine pictures hardly better than chance (AUC 0.51; 0.56 with larger faces: "
    "docs/experiments/032-reencoded-copies.md)."
)
SEEN = "quality.clip_share"
# A convention: of the 282 research clips one in twenty is under 1.1 s, none under 0.76 s; the face networks judge up to
# eight faces of a clip.
SHORT_S, FEW_FRAMES = 1.0, 8
NOTE_SHORT = (
    "Judged on {frames}: that is little to rest a number on, and the number is not moved towards the prior for it."
)
NOTE_SHORT_PICTURE = (
    "The picture was judged on {frames}: that is little to rest its part of the number on, and that part is not moved "
    "towards the prior for it."
)
"""What stands in place of :data:`NOTE_SHORT` where speech counts as well."""
# Median distance of a face's sharpness from its median: 0 to 0.002 where most pictures are one that is held (encoded at
# CRF 0 to 30), 0.015 and more in the 281 research clips that have it.
SHARPNESS_SPREAD, HELD_SPREAD = "quality.blur_lap_face_mad", 0.005
NOTE_STILL = (
    "Most faces that were looked at are the same picture, as of one that is held: the number rests on few pictures, "
    "and cues of motion say little."
)
NOTE_STILL_PICTURE = NOTE_STILL.replace("the number rests", "the picture's part of the number rests")
AT_BOUND = 1e-6  # so near to a bound of the model's probabilities a number is at it
MAIN_FACE = "Most cues are measured on the main one{others}: a fake of another face may be missed."
HIGHEST_OF_OTHERS = "; of the others the face networks' highest score counts"
NOTE_FACES = "{n} faces were tracked (counted anew after an absence of over 1 s). {main_face}"
NOTE_FACES_OF_LIST = "Some clips have several faces. {main_face}"
NOTE_LITTLE_OF_LIST = "Some numbers rest on a short stretch, or on one picture that is held: --json says which."


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
        Of the measurement, as in the feature table; ``error`` is empty when all went well.
    n_faces, duration_s, n_frames
        Faces (at least so many; one is counted anew after an absence of over 1 s), seconds (None where unknown) and
        frames of the clip.
    base
        Log-odds of FAKE before any cue has contributed.
    contributions
        Family to log-odds towards FAKE, for every family of the model. With ``base`` they sum to the logit of
        ``probability``. A family that was not measured contributes as well, where the model knows what its absence is
        worth; JSON has these in one sum (``log_odds_unmeasured``), and only measured ones in ``log_odds_by_family``.
    unmeasured
        Family to the reason why no cue that the model reads of it is defined.
    face_width_px
        Of the main face, from ear to ear, in pixels of the file, to about a tenth; None where unknown.
    at_bound
        Whether ``probability`` is the lowest or the highest that the model gives: the evidence may say more.
    seen_share
        Fraction of the frames in which the main face was found; None where unknown.
    still
        Whether most pictures of the main face that were looked at are the same one.
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

    @property
    def bound(self) -> str:
        """``or more``, ``or less`` of a probability at the model's bound; else empty."""
        return bound_in_words(self.probability) if self.at_bound else ""

    @property
    def family_contributions(self) -> list[tuple[str, float]]:
        """Family and log-odds of the measured families, those towards FAKE first."""
        measured = [(name, z) for name, z in self.contributions.items() if name not in self.unmeasured]
        return sorted(measured, key=lambda pair: (-pair[1], pair[0]))

    @property
    def contribution_unmeasured(self) -> float:
        """Log-odds that come from families being unmeasured."""
        return sum(self.contributions.get(name, 0.0) for name in self.unmeasured)

    @property
    def log_odds_base(self) -> float:
        """``base``, by its name in JSON."""
        return self.base

    @property
    def log_odds_by_family(self) -> dict[str, float]:
        """Log-odds of the measured families, those towards FAKE first, by its name in JSON."""
        return dict(self.family_contributions)

    @property
    def log_odds_unmeasured(self) -> float:
        """``contribution_unmeasured``, by its name in JSON."""
        return self.contribution_unmeasured

    @property
    def sound_alone(self) -> bool:
        """Whether the file holds sound and no picture."""
        return self.n_frames == 0 and self.duration_s is not None

    @property
    def reason(self) -> str:
        """``error``; of a file of sound alone in which no speech was found, with that in place of its first message."""
        if not self._lacks_speech:
            return self.error
        _, *others = self.error.split("; ")  # the first says that only the sound was measured
        return "; ".join([NO_SPEECH, *others])

    @property
    def notes(self) -> list[str]:
        """Sentences that belong beside the number."""
        if self.verdict == NOTHING:
            return [NOTE_NO_SPEECH, NOTE_NOTHING] if self._lacks_speech else [NOTE_NOTHING]
        if self.sound_alone:
            return [NOTE_SOUND.format(why=NO_PICTURE), NOTE]
        sound = [NOTE_SOUND.format(why=NO_PICTURE_CUE)] if self._only_heard else []
        faces = [self.faces_note] if self.faces_note else []
        return [*sound, *faces, *self.little_notes, *self._of_small_face, NOTE]

    @property
    def main_face(self) -> str:
        """Which of several faces the number is of."""
        networks = any(
            column.name.endswith(ALL_FACES_SUFFIX)
            for one in families(self.contributions.keys() & set(family_modules()))
            for column in one.table_columns
        )
        return MAIN_FACE.format(others=HIGHEST_OF_OTHERS if networks else "")

    @property
    def faces_note(self) -> str:
        """What is said of a clip with several faces; empty for any other, and of a model that reads sound alone."""
        if self.n_faces <= 1 or not self._reads_picture:
            return ""
        return NOTE_FACES.format(n=self.n_faces, main_face=self.main_face)

    @property
    def _lacks_speech(self) -> bool:
        """Whether families looked for speech in a file of sound alone, and none found enough of it."""
        if not (self.sound_alone and self.verdict == NOTHING):
            return False
        reasons = [self.unmeasured[name] for name in self.unmeasured.keys() & _of_sound()]
        return bool(reasons) and all(map(is_unusable, reasons))

    @property
    def _reads_picture(self) -> bool:
        """Whether the model reads a family that needs more than sound."""
        return bool(self.contributions.keys() - _of_sound())

    @property
    def _picture_counts(self) -> bool:
        """Whether a family that needs more than sound was measured."""
        return bool(dict(self.family_contributions).keys() - _of_sound())

    @property
    def _speech_counts(self) -> bool:
        """Whether a family that needs nothing but sound was measured."""
        return bool(dict(self.family_contributions).keys() & _of_sound())

    @property
    def _only_heard(self) -> bool:
        """Whether every family that contributes needs nothing but sound, where the model reads some of the picture."""
        return self._speech_counts and not self._picture_counts and self._reads_picture

    @property
    def _of_small_face(self) -> list[str]:
        if self.face_width_px is None or self.face_width_px >= SMALL_FACE_PX or not self._picture_counts:
            return []
        return [NOTE_SMALL.format(width=math.floor(self.face_width_px), limit=SMALL_FACE_PX)]

    @property
    def little_notes(self) -> list[str]:
        """What is said of a number, or of the picture's part of it, that rests on a short stretch or on one picture."""
        if self.duration_s is None or not self._picture_counts:
            return []
        short, still = (NOTE_SHORT_PICTURE, NOTE_STILL_PICTURE) if self._speech_counts else (NOTE_SHORT, NOTE_STILL)
        share = 1.0 if self.seen_share is None else self.seen_share
        n, seconds = max(1, round(share * self.n_frames)), round(share * self.duration_s, 2)
        if n >= FEW_FRAMES and seconds >= SHORT_S:
            return [still] if self.still else []
        over = f" over {seconds:g} s" if seconds else ""  # of one frame, no time is known
        return [short.format(frames=f"{n} frame{'s' * (n != 1)}{over}")]

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
            "log_odds_base": self.log_odds_base,
            "log_odds_by_family": self.log_odds_by_family,
            "log_odds_unmeasured": self.log_odds_unmeasured,
            "unmeasured": self.unmeasured,
            "notes": self.notes,
        }


def _of_sound() -> set[str]:
    """Families that need nothing but sound."""
    return {one.name for one in families() if one.needs <= SOUND_ALONE}


def verdict_of(probability: float) -> str:
    """``likely real`` below one third, ``likely fake`` above two thirds, else ``uncertain``."""
    if probability < LIKELY_REAL_BELOW:
        return LIKELY_REAL
    return LIKELY_FAKE if probability > LIKELY_FAKE_ABOVE else UNCERTAIN


def judge(model: Model, table: pa.Table) -> list[Verdict]:
    """A verdict for each row of a feature table, in its order.

    Raises
    ------
    ModelError
        The table's families or columns are not the model's.
    """
    from scipy.special import expit

    explanation = model.explain(table)
    probability = expit(explanation.log_odds)
    unmeasured = unmeasured_families(table, model.columns_read)
    rows = table.select(["filename", "status", "error", "n_faces", "duration_s", "n_frames"]).to_pylist()
    read = {family_of(name) for name in model.columns_read}
    known = explanation.contributions.keys() & read
    eyes_px, seen, spread = (_defined(table, name) for name in (EYES_PX, SEEN, SHARPNESS_SPREAD))
    verdicts = []
    for number, row in enumerate(rows):
        absent = {name: reason for name, reason in unmeasured[number].items() if name in known}  # of a wider table
        duration = row["duration_s"]
        in_words = NOTHING if known <= absent.keys() else verdict_of(float(probability[number]))
        verdicts.append(
            Verdict(
                filename=row["filename"],
                probability=float(probability[number]),
                verdict=in_words,
                status=row["status"],
                error=row["error"] or "",
                n_faces=int(row["n_faces"] or 0),
                duration_s=duration if duration is not None and math.isfinite(duration) else None,
                n_frames=int(row["n_frames"] or 0),
                base=float(explanation.base[number]),
                contributions={name: float(explanation.contributions[name][number]) for name in sorted(known)},
                unmeasured=absent,
                face_width_px=_face_width_px(eyes_px[number]),
                at_bound=in_words != NOTHING and at_bound(float(probability[number]), model.head.clip),
                seen_share=seen[number],
                still=_is_held(spread[number]),
            )
        )
    return verdicts


def at_bound(probability: float, clip: float) -> bool:
    """Whether a probability is at a bound of a model's: at its ``clip`` (0 where it has none), or at 1 less that.

    >>> at_bound(0.97, 0.03), at_bound(0.03, 0.03), at_bound(0.96, 0.03), at_bound(1.0, 0.0)
    (True, True, False, False)
    """
    return clip > 0 and min(probability, 1 - probability) <= clip + AT_BOUND


def bound_in_words(probability: float) -> str:
    """What is said beside a probability that is at a bound of its model's.

    >>> bound_in_words(0.97), bound_in_words(0.03)
    ('or more', 'or less')
    """
    return "or more" if probability > 0.5 else "or less"


def _is_held(sharpness_spread: float | None) -> bool:
    """Whether most pictures of a face are one that is held, by the column :data:`SHARPNESS_SPREAD`."""
    return sharpness_spread is not None and sharpness_spread < HELD_SPREAD


def _defined(table: pa.Table, column: str) -> list[float | None]:
    """The values of a column; None where one is undefined, or there is no such column."""
    values = table.column(column).to_pylist() if column in table.column_names else [None] * table.num_rows
    return [value if value is not None and math.isfinite(value) else None for value in values]


def _face_width_px(eyes_px: float | None) -> float | None:
    """Width of a face whose eyes are so far apart; None where that is unknown."""
    return round(FACE_WIDTH_IOD * eyes_px, 1) if eyes_px is not None and eyes_px > 0 else None


def ranked(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Sorted by probability, highest first; equal ones by name; clips in which nothing was measured last."""
    return sorted(verdicts, key=lambda verdict: (verdict.verdict == NOTHING, -verdict.probability, verdict.filename))


def model_line(manifest: dict[str, Any], folder: Path) -> str:
    """Which model predicts, what it was trained on, and how good it is.

    A manifest may hold the log loss of a stricter protocol than the training's own folds, under ``reported``
    (``protocol``, ``log_loss`` with ``value``, ``low`` and ``high``, ``constant``): that is said in place of it.
    """
    summary = manifest.get("summary") or {}
    kind = "SYNTHETIC clips" if summary.get("synthetic") else "clips"
    text = f"model {folder}: trained on {summary.get('n_clips', '?')} {kind} of {summary.get('n_groups', '?')} groups"
    try:
        if reported := manifest.get("reported"):
            where, loss, constant = f"on {reported['protocol']}", reported["log_loss"], reported["constant"]
        else:
            scores = manifest["metrics"]
            where, loss = "out of fold", scores["stack"]["log_loss_target_prior"]
            constant = scores["constant"]["log_loss_target_prior"]["value"]
        return f"{text}; log loss {where} {_with_interval(loss)}, of the constant predictor {constant:.3f}"
    except (AttributeError, KeyError, TypeError, ValueError):
        return text


def _with_interval(score: Mapping[str, float | None]) -> str:
    """``0.580 [0.548, 0.611]`` of a score as JSON has it; without an interval where none is defined."""
    value, low, high = score["value"], score.get("low"), score.get("high")
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
