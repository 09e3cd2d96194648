"""blink: how often, how far and how fast the eyes shut.

Openness is the eye aspect ratio (EAR: Soukupova & Cech 2016, "Real-Time Eye Blink Detection using Facial
Landmarks") over the clip's own level, since eyes differ in shape: a running 75 % quantile over +-2.5 s.
A blink starts where openness falls through 0.85 and ends where it comes back, provided that it fell below 0.65.

A blink during a fast head movement (over 1 iod/s) or in blurred frames is discarded: it is not counted, its time does
not count as time without blinking (``obs_s``), and no interval between blinks spans it. A freeze frame, in which
nothing in the face moves for a second or more, does not count as time either.

A resting person blinks 17 times a minute (26 talking, 4.5 reading: Bentivoglio 1997), so 6 % of real people do
not blink in 10 s: rates come with their exposure and a shrunk form. Early fakes blinked too little (Li et al. 2018,
"In Ictu Oculi"); later ones blink. Durations, amplitudes and speeds are undefined without a blink, speeds and
``lr_lag_s`` also below 23.5 frames per second, ``dur_mad_s`` and intervals below three blinks. Intervals between blinks
include neither the time up to the end of the clip nor time in which the eyes could not be seen.

A blink that reaches one of the two thresholds only just is counted or not by the noise of the landmarks: where faces
were found anew in other versions of four clips (mirrored, in a larger frame, starting later), ``count`` changed by 1 in
two of them. The landmarks of shut lids still lie apart: ``complete_share`` is 0 in 86 % of the genuine clips in which
somebody blinks.

Confounds: frame rate (speeds; a variable one smooths), reading or talking, glasses, downward gaze, compression (EAR
noise).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import cv2
import numpy as np

from features.arrays import F64
from features.evidence import Event, Series
from features.measures import robust, series
from features.measures.blink_statistics import (
    MAX_EYE_LAG_S,
    amplitudes,
    close_open_ratio,
    complete_share,
    durations,
    ear_base_mad,
    eyes_together,
    interval_cv,
    intervals,
    lid_speeds,
    none_logp,
    rate_per_min,
    rate_shrunk_per_min,
)
from features.measures.eyelids import (
    BASE_QUANTILE,
    LONGEST_S,
    MEDIAN_FPS,
    MERGE_S,
    Blink,
    disturbed_times,
    eye_opening,
    find_blinks,
    openness,
    usable_ear,
)
from features.measures.geometry import LEFT_EYE, RIGHT_EYE, HeadTrack, crop_landmarks, eye_aspect_ratio, moving_head
from features.measures.series import Segment
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

MIN_OBS_S, MIN_FPS = 3.0, 11.9  # half a frame less is enough; 12 fps, also by rounded time stamps
MIN_CROPS = 8

_IMAGE = EVERY_CHANGE - {"mirror", "scale"}
_EAR, _FEW, _RATE = "Soukupova & Cech 2016", "Li et al. 2018", "Bentivoglio 1997"


_column = columns_of("blink", reference=_EAR, direction="down", invariant_to=EVERY_CHANGE)


COLUMNS = (
    _column(
        "count", "Number of blinks in the clip, except those during a fast head movement or in blurred frames.",
        range=(0, inf), reference=_FEW,
    ),
    _column(
        "obs_s",
        "Seconds in which blinks could be counted: the eyes were visible, and no blink was discarded because of head "
        "movement or blur.",
        unit="s", range=(0, inf), direction="covariate",
    ),
    _column(
        "rate_per_min",
        "Blinks per minute, over the time in which blinks could be counted; people at rest have about 17.",
        unit="1/min", range=(0, 1200), reference=_FEW,
    ),
    _column(
        "rate_shrunk_per_min",
        "Blinks per minute, (count + 1) / (minutes + 1/17): pulled about half way to the usual 17 in a clip of 3 s, "
        "and a quarter of the way in one of 10 s.",
        unit="1/min", range=(0, 1200), reference=_RATE,
    ),
    _column(
        "none_logp",
        "How unlikely it is that no blink was seen: the natural logarithm of the probability that a person who blinks "
        "17 times a minute does not blink in that time; 0 if any blink was seen.",
        range=(-inf, 0), reference=_RATE,
    ),
    _column(
        "dur_med_s",
        "Duration of a typical (median) blink in seconds, from the lid leaving its usual opening to its return.",
        unit="s", range=(0, LONGEST_S + MERGE_S), direction="either",
    ),
    _column(
        "dur_mad_s", "How much the durations of the blinks differ, in seconds.",
        unit="s", range=(0, LONGEST_S), direction="either",
    ),
    _column(
        "amp_med",
        "How far the lids close in a typical (median) blink, as a fraction of their usual opening; 1 is fully shut.",
        range=(0, 1),
    ),
    _column(
        "complete_share",
        "Fraction of the blinks in which the eyes really shut (to less than 30 % of their usual opening).",
        range=(0, 1),
    ),
    _column(
        "close_speed_med",
        "Top speed of the lids as they close in a typical (median) blink, in usual eye openings per second.",
        unit="1/s", range=(0, inf), direction="either",
    ),
    _column(
        "open_speed_med",
        "Top speed of the lids as they open again in a typical (median) blink, in usual eye openings per second.",
        unit="1/s", range=(0, inf), direction="either",
    ),
    _column(
        "close_open_ratio",
        "Whether lids close faster than they open again: the logarithm of the ratio of both speeds, above 0 if closing "
        "is faster.",
        direction="either",
    ),
    _column(
        "ibi_med_s",
        "Typical (median) time from one blink to the next, in seconds, without intervals that a discarded blink or "
        "hidden eyes interrupt.",
        unit="s", range=(0, inf), direction="either",
    ),
    _column(
        "ibi_cv",
        "How irregularly blinks follow each other: the spread of the times between them over their mean; 0 is regular "
        "as a clock.",
        range=(0, inf), direction="either",
    ),
    _column(
        "lr_corr",
        "How alike the left and the right eye move around a blink, from -1 to 1; 1 if both do exactly the same.",
        range=(-1, 1),
    ),
    _column(
        "lr_lag_s", "How much later one eye blinks than the other, in seconds.",
        unit="s", range=(0, MAX_EYE_LAG_S), direction="up",
    ),
    _column(
        "lr_amp_gap",
        "How much further one eye closes than the other in a typical (median) blink, as a fraction of the usual "
        "opening.",
        range=(0, 1), direction="up",
    ),
    Column(
        "blink.patch_ear_corr", "1", (-1, 1), "image against landmarks, after Li et al. 2018", "down", _IMAGE,
        description="How well the opening of the eyes in the image itself agrees with the opening that the tracked "
        "points of the face show, from -1 to 1; 1 if both always change together.",
    ),
    _column(
        "ear_base_mad", "How unsteady the opening of the eyes is between blinks, as a fraction of the usual opening.",
        range=(0, inf), direction="up",
    ),
    _column(
        "valid_share",
        "Fraction of the frames, from the face's first to its last, in which at least one eye was turned to the camera "
        "and could be followed.",
        range=(0, 1), direction="covariate",
    ),
)  # fmt: skip


def patch_ear_corr(track: Track) -> float:
    """Correlation over the track's crops of EAR with the lid gap measured in the image; NaN below 8 crops.

    Both are means over the two eyes, :func:`eye_opening` and :func:`features.measures.geometry.eye_aspect_ratio`.
    """
    from_image, from_landmarks = [], []
    for number, crop in enumerate(track.crops):
        points = crop_landmarks(track, number)
        if not np.isfinite(points).all():
            continue
        luma = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
        corners = [points[eye[[0, 3]]] for eye in (RIGHT_EYE, LEFT_EYE)]
        if min(np.hypot(*(pair[1] - pair[0])) for pair in corners) > 0:
            from_image.append(np.mean([eye_opening(luma, corners=pair) for pair in corners]))
            from_landmarks.append(eye_aspect_ratio(points[None])[0].mean())
    return robust.correlation(from_image, from_landmarks, least=MIN_CROPS)


def _blink_columns(seen: Lids) -> dict[str, float]:
    """The columns that describe the blinks alone, by their names without the family."""
    blinks, obs_s = seen.blinks, seen.countable_s
    lengths, gaps = durations(blinks), intervals(seen.opened, blinks=blinks, discarded=seen.discarded)
    close, reopen = lid_speeds(seen.opened, blinks=blinks) if seen.fast else (np.array([]), np.array([]))
    return {
        "count": float(len(blinks)),
        "obs_s": obs_s,
        "rate_per_min": rate_per_min(count=len(blinks), obs_s=obs_s),
        "rate_shrunk_per_min": rate_shrunk_per_min(count=len(blinks), obs_s=obs_s),
        "none_logp": none_logp(seen=len(seen.every), obs_s=obs_s),
        "dur_med_s": robust.median(lengths, 1),
        "dur_mad_s": robust.mad(lengths, 3),
        "amp_med": robust.median(amplitudes(blinks), 1),
        "complete_share": complete_share(blinks),
        "close_speed_med": robust.median(close, 1),
        "open_speed_med": robust.median(reopen, 1),
        "close_open_ratio": close_open_ratio(close=close, reopen=reopen),
        "ibi_med_s": robust.median(gaps, 2),
        "ibi_cv": interval_cv(gaps),
    }


@dataclass(frozen=True)
class Lids:
    """The eyes of a track over time, from which both the series and the columns are computed."""

    face: HeadTrack
    ear: F64
    """[n, 2] EAR of the right and left eye in each frame."""
    valid_share: float
    """Fraction of the track's frames in which an eye could be seen."""
    obs_s: float
    """Seconds in which an eye could be seen."""
    fps: float
    opened: tuple[Segment, ...]
    """Openness of the eyes, values of shape (m,)."""
    every: tuple[Blink, ...]
    """Blinks of ``opened``."""
    blinks: tuple[Blink, ...]
    """The blinks that are not discarded because of a fast head movement or blur."""

    @property
    def discarded(self) -> tuple[Blink, ...]:
        """The blinks during a fast head movement or in blurred frames."""
        return tuple(blink for blink in self.every if blink not in self.blinks)

    @property
    def countable_s(self) -> float:
        """Seconds in which blinks are counted: the time in which the eyes are seen, without the discarded blinks."""
        return self.obs_s - sum(blink.end_s - blink.start_s for blink in self.discarded)

    @property
    def enough(self) -> bool:
        """Whether blinks can be detected: the eyes are seen for 3 s, at 12 frames per second."""
        long_enough = self.fps >= MIN_FPS and self.obs_s >= MIN_OBS_S - 0.5 / self.fps
        return long_enough and self.valid_share >= series.MIN_VALID_SHARE

    @property
    def fast(self) -> bool:
        """Whether the speed of the lids can be measured: 23.5 frames per second."""
        return self.fps >= MEDIAN_FPS


def lids(observation: Observation, track: Track) -> Lids:
    """The openness of a track's eyes and its blinks; neither where the eyes are not seen for long enough."""
    face = moving_head(observation, track)
    ear = usable_ear(face)
    both = np.where(np.isnan(ear), ear[:, ::-1], ear).mean(axis=1)
    valid_share = float(np.isfinite(both).mean()) if len(both) else 0.0
    parts = series.segments(both, times_s=face.times_s)
    obs_s, fps = sum(part.length_s for part in parts), series.rate(face.times_s)
    seen = Lids(face, ear, valid_share, obs_s, fps, (), (), ())
    if not seen.enough:
        return seen
    level = float(np.quantile(np.concatenate([part.values for part in parts]), BASE_QUANTILE))
    opened = tuple(Segment(part.start_s, part.rate_hz, openness(part, level=level)) for part in parts)
    every = tuple(blink for part in opened for blink in find_blinks(part, fps=fps))
    disturbed = disturbed_times(face, sharpness=track.sharpness[face.index, 0].astype(np.float64))
    blinks = tuple(blink for blink in every if not (np.abs(disturbed - blink.moment_s) < 0.5 / fps).any())
    return replace(seen, opened=opened, every=every, blinks=blinks)


def lid_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``blink.openness``, about 1 for open eyes, with the blinks as events; empty if blinks can't be detected."""
    seen = lids(observation, track)
    if not seen.enough:
        return {}
    events = tuple(Event(blink.start_s, blink.end_s, "blink") for blink in seen.blinks)
    times_s, values = series.with_gaps(seen.opened)
    return {"blink.openness": Series(times_s, values, unit="1", title="Eye openness", events=events)}


@family("blink", version=6, needs={"track", "crops"}, columns=COLUMNS, series=lid_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure a track's blinks; NaN if the eyes are seen for less than 3 s, or below 12 frames per second."""
    seen = lids(observation, track)
    named = {"valid_share": seen.valid_share}
    if seen.enough:
        ear, times_s, blinks = seen.ear, seen.face.times_s, seen.blinks
        levels = np.nanquantile(ear, BASE_QUANTILE, axis=0) if np.isfinite(ear).any(axis=0).all() else np.ones(2)
        corr, lag_s, gap = eyes_together(series.segments(ear / levels, times_s=times_s), blinks=blinks)
        named |= _blink_columns(seen)
        named |= {
            "lr_corr": corr,
            "lr_lag_s": lag_s if seen.fast else np.nan,
            "lr_amp_gap": gap,
            "patch_ear_corr": patch_ear_corr(track),
            "ear_base_mad": ear_base_mad(seen.opened, blinks=seen.every),
        }
    return complete_row(COLUMNS, named)
