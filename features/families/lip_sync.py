"""lip_sync: whether the lips move when, and as, the voice does.

Mouth series come from landmarks in the head's frame (iod), voice series from :mod:`features.measures.speech_series`;
both meet on the voice's grid of 100 Hz, and the file's own offset between video and audio is kept. Correlation over
lags after Slaney & Covell, "FaceSync", NIPS 2000; windowed distances in the manner of SyncNet's LSE (Chung & Zisserman
2016), not comparable with it; mouth closures after Agarwal et al. 2020. How two series are compared is in
:mod:`features.measures.synchrony`. Of all these, the lag of the canonical correlation of the whole mouth and the whole
voice detects shifted audio and another person's voice best (docs/experiments/028-jitter-lip-sync-flicker.md).

Two unrelated smooth series of 10 s correlate by chance (sd of r 0.2-0.3), so every measure that matters comes as a
robust z against 50 circular shifts of the voice, the same maximum over lags being taken for each; below 7.9 s there are
too few moments to shift it to, and z is undefined. A lag is positive when the audio is late; broadcast tolerates 90 ms
early to 185 ms late (EBU R37).

Confounds: another speaker or music, noise less than 12 dB below the voice (it counts as speech), a face turned away,
low or variable frame rate. Below 14.3 frames per second, where five samples last longer than 0.35 s, the velocity of
the mouth is undefined, and with it ``vel_onset`` and ``silent_moving_share``; the canonical correlation is then of the
other measures. A face swap keeps its driver's mouth, and the challenge's swapped voices are not labelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.evidence import Series
from features.measures import series
from features.measures.geometry import HeadTrack, align, moving_head
from features.measures.mouth_closures import CLOSURE_LAG_S, WIDE_QUANTILE, closure_lag_abs_s, closure_z, dips
from features.measures.series import Segment
from features.measures.speech_series import GRID_HZ, short_time_series, speech_mask
from features.measures.synchrony import (
    LSE_LAG_S,
    MAX_LAG_S,
    MIN_JOINT_S,
    WIN_PEAK,
    WIN_S,
    cca,
    cca_lag,
    lag_agreement,
    lse,
    pair_columns,
    window_lags,
)
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

MAX_YAW_DEG = 40.0
MIN_SPEECH_SHARE, MIN_MOUTH_IOD = 0.15, 0.03
CLOSED_FRACTION = 0.1  # of it
MOVING_QUANTILE = 0.6
MIN_SILENCE_S = 0.3

PAIRS = {"open_rms": ("open", "rms"), "vel_onset": ("vel", "onset"), "area_band": ("area", "band")}
MOUTH = ("open", "width", "vel", "area")  # the mouth's side of the canonical correlation

_SYNC, _LSE = "Slaney & Covell 2000", "Chung & Zisserman 2016"
_CLOSURE, _CCA = "Agarwal et al. 2020", "Hotelling 1936; null by shifts"
_WORDS = {
    "open_rms": "the opening of the mouth and the loudness of the voice",
    "vel_onset": "the speed at which the mouth opens and the rise of the voice's loudness",
    "area_band": "the area of the open mouth and the strength of the voice between 300 and 1000 Hz",
}

_column = columns_of("lip_sync", reference=_SYNC, invariant_to=EVERY_CHANGE)


def _pair_columns() -> Iterator[Column]:
    for pair, both in _WORDS.items():
        yield _column(
            f"{pair}_peak",
            f"Highest correlation, from -1 to 1, of {both}, if one may be shifted by up to half a second; 1 if they "
            "change exactly together.",
            range=(-1, 1),
            direction="down",
        )
        yield _column(
            f"{pair}_z",
            f"How far the correlation of {both} is above what the same voice reaches at other moments of the clip, in "
            "standard deviations; about 0 if they have nothing to do with each other. Missing below 7.9 s.",
            direction="down",
        )
        yield _column(
            f"{pair}_lag_s",
            f"Delay in seconds at which {both} agree best; above 0 if the audio is late.",
            unit="s",
            range=(-MAX_LAG_S, MAX_LAG_S),
        )
        yield _column(
            f"{pair}_lag_abs_s",
            f"Absolute delay in seconds, early or late, at which {both} agree best.",
            unit="s",
            range=(0, MAX_LAG_S),
            direction="up",
        )
        yield _column(
            f"{pair}_sharp",
            f"How clearly one delay stands out among all others at which {both} agree, in standard deviations.",
            direction="down",
        )


COLUMNS = (
    *_pair_columns(),
    _column(
        "lsd",
        "Distance between the motion of the lips and the loudness of the voice, compared in pieces of 0.2 seconds at "
        "the delay that fits best; 0 if both have the same course, about 1.25 if they are unrelated.",
        range=(0, 2), direction="up", reference=_LSE,
    ),
    _column(
        "lsc",
        "How much better the best delay between lips and loudness fits than a usual one, compared in pieces of 0.2 "
        "seconds; near 0 if none fits.",
        range=(0, 2), direction="down", reference=_LSE,
    ),
    _column(
        "ls_offset_s",
        "Delay in seconds at which lips and loudness fit best, compared in pieces of 0.2 seconds; above 0 if the "
        "audio is late.",
        unit="s", range=(-LSE_LAG_S, LSE_LAG_S), reference=_LSE,
    ),
    _column(
        "cca1_z",
        "How far the agreement of all of the mouth's motion with all of the voice's sound is above what the same voice "
        "reaches at other moments of the clip, in standard deviations. Missing below 7.9 s.",
        direction="down", reference=_CCA,
    ),
    _column(
        "cca1_p",
        "Fraction of other moments of the clip at which the voice would fit the mouth's motion at least as well; small "
        "if lips and voice belong together. Missing below 7.9 s.",
        range=(0, 1), direction="up", reference=_CCA,
    ),
    _column(
        "cca_lag_s",
        "Delay in seconds at which all of the mouth's motion agrees best with all of the voice's sound; above 0 if the "
        "audio is late.",
        unit="s", range=(-MAX_LAG_S, MAX_LAG_S), reference=_CCA,
    ),
    _column(
        "cca_lag_abs_s",
        "Absolute delay in seconds, early or late, at which all of the mouth's motion agrees best with "
        "all of the voice's sound.",
        unit="s", range=(0, MAX_LAG_S), direction="up", reference=_CCA,
    ),
    _column(
        "cca_in_sync",
        "How much better all of the mouth's motion agrees with all of the voice's sound at delays that broadcast "
        "tolerates (90 ms early to 185 ms late) than at others; above 0 if they are in sync.",
        range=(-1, 1), direction="down", reference=_CCA,
    ),
    _column(
        "winlag_mad_s",
        "How much the delay between lips and voice differs from one 2-second piece of the clip to another, in seconds.",
        unit="s", range=(0, 2 * MAX_LAG_S), direction="up",
    ),
    _column(
        "winlag_ok_share",
        "Fraction of the 2-second pieces with speech in which lips and voice clearly agree, all at nearly one delay.",
        range=(0, 1), direction="down",
    ),
    _column(
        "voiced_closed_share",
        "Fraction of the time with speech in which the lips are nearly shut (under 10 % of their widest opening).",
        range=(0, 1), direction="up", reference=_CLOSURE,
    ),
    _column(
        "silent_moving_share",
        "Fraction of the time without speech in which the lips move faster than they do for 60 % of the clip; muted "
        "stretches (digital silence) are left out.",
        range=(0, 1), direction="up",
    ),
    _column(
        "closure_hit_z",
        "How much more often than at other moments the lips are shut when the voice breaks off for an instant, as in "
        "p, b and m, in standard deviations. Missing below 7.9 s.",
        direction="down", reference=_CLOSURE,
    ),
    _column(
        "closure_lag_abs_s",
        "Time in seconds from the instants at which the voice breaks off, as in p, b and m, to when the lips are on "
        "average most shut, before or after.",
        unit="s", range=(0, CLOSURE_LAG_S), direction="up", reference=_CLOSURE,
    ),
    _column(
        "mouth_range_iod",
        "How far the mouth opens and shuts in the clip, as a fraction of the distance between the eyes.",
        unit="iod", range=(0, inf), direction="covariate",
    ),
    _column(
        "speech_share", "Fraction of the time in which the audio is as loud as speech.",
        range=(0, 1), direction="covariate",
    ),
    _column(
        "valid_share",
        "Fraction of the time, from the face's first frame to its last, in which the mouth could be followed while "
        "there was audio.",
        range=(0, 1), direction="covariate",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Joint:
    """Mouth and voice on the same 100 Hz grid."""

    mouth: dict[str, F64]
    """``open``, ``width``, ``area`` (iod), ``vel`` (iod/s), each [n]; NaN in gaps of the track."""
    voice: dict[str, F64]
    """The series of :func:`features.measures.speech_series.short_time_series`, each [n] or, ``mfcc``, [n, 13]."""
    speech: NDArray[np.bool_]
    """[n]."""
    start_s: float
    """Time of the grid's first sample."""


def mouth_series(face: HeadTrack) -> F64:
    """Mouth measures [n, 3] of each frame: opening, width, area of the inner lips, in iod.

    The opening is the mean of three gaps between the lips, the area that of the polygon of points 60-67. NaN where the
    face is lost or turned by more than 40 degrees.
    """
    y = align(face.landmarks, scale_px=face.scale_px)
    gaps = [np.linalg.norm(y[:, a] - y[:, b], axis=1) for a, b in ((61, 67), (62, 66), (63, 65))]
    x, v = y[:, 60:68, 0], y[:, 60:68, 1]
    area = 0.5 * np.abs((x * np.roll(v, -1, axis=1) - np.roll(x, -1, axis=1) * v).sum(axis=1))
    values = np.stack([np.mean(gaps, axis=0), np.linalg.norm(y[:, 60] - y[:, 64], axis=1), area], axis=1)
    values[~(np.abs(face.yaw_deg) <= MAX_YAW_DEG)] = np.nan
    return values


def on_grid(values: F64, *, times_s: F64, grid_s: F64) -> dict[str, F64]:
    """Mouth measures on the voice's grid, with the opening's velocity (Savitzky-Golay over 0.23 s).

    Parameters
    ----------
    values : ndarray of shape (n, 3)
        From :func:`mouth_series`.
    times_s : ndarray of shape (n,)
    grid_s : ndarray of shape (g,)

    Returns
    -------
    dict
        ``open``, ``width``, ``area`` and ``vel``, each of shape (g,); NaN in gaps, and ``vel`` below 14.3 frames per
        second, too.
    """
    out = np.full((len(grid_s), 4), np.nan)
    for part in series.segments(values, times_s=times_s):
        speed = series.derivative(Segment(part.start_s, part.rate_hz, part.values[:, 0]), order=1)
        if not len(speed):
            continue
        inside = (grid_s >= part.times_s[0] - 1e-9) & (grid_s <= part.times_s[-1] + 1e-9)
        for column, series_values in enumerate([*part.values.T, speed]):
            out[inside, column] = np.interp(grid_s[inside], part.times_s, series_values)
    return dict(zip(("open", "width", "area", "vel"), out.T, strict=True))


def joint(face: HeadTrack, *, observation: Observation) -> Joint | None:
    """Return mouth and voice on the time grid that track and audio share; None if they share none."""
    if observation.audio is None or not np.isfinite(observation.audio_start_s) or len(face.times_s) < 2:
        return None
    voice = short_time_series(observation.audio)
    if not voice:
        return None
    # a common shift of both clocks must not move a rounding: count from the start of the audio
    times_s = face.times_s - observation.audio_start_s
    first = int(np.ceil(round(max(0.0, times_s[0]) * GRID_HZ, 3)))
    last = min(int(np.floor(round(times_s[-1] * GRID_HZ, 3))), len(voice["level"]) - 1)
    if last < first:
        return None
    speech = speech_mask(voice["level"])[first : last + 1]
    mouth = on_grid(mouth_series(face), times_s=times_s, grid_s=np.arange(first, last + 1) / GRID_HZ)
    start_s = observation.audio_start_s + first / GRID_HZ
    return Joint(mouth, {name: x[first : last + 1] for name, x in voice.items()}, speech, start_s)


def voiced_closed_share(mouth_open: F64, *, speech: NDArray[np.bool_]) -> float:
    """Fraction of speech [n] with an opening [n] under 0.1 of its 95 % quantile; NaN without speech.

    >>> voiced_closed_share(np.array([0.0, 1.0, 1.0, 1.0]), speech=np.array([True, True, True, True]))
    0.25
    """
    seen = np.isfinite(mouth_open)
    spoken = mouth_open[seen & speech]
    wide = np.quantile(mouth_open[seen], WIDE_QUANTILE) if spoken.size else np.nan
    return float(np.mean(spoken < CLOSED_FRACTION * wide)) if spoken.size else np.nan


def silent_moving_share(mouth_speed: F64, *, speech: NDArray[np.bool_], level_db: F64) -> float:
    """Fraction of silence with a speed [n] of the lips over its 60 % quantile; NaN below 0.3 s of silence.

    Where ``level_db`` [n] is NaN (digital silence), the audio is muted, and whether somebody speaks is unknown.
    """
    seen = np.isfinite(mouth_speed)
    silent = mouth_speed[seen & ~speech & np.isfinite(level_db)]
    if silent.size < MIN_SILENCE_S * GRID_HZ:
        return np.nan
    return float(np.mean(silent > np.quantile(mouth_speed[seen], MOVING_QUANTILE)))


def _columns(both: Joint) -> dict[str, float]:
    named: dict[str, float] = {}
    for pair, (lips, voice) in PAIRS.items():
        values = pair_columns(mouth=both.mouth[lips], voice=both.voice[voice])
        named |= {f"{pair}_{name}": value for name, value in values.items()}
    opened, rms = both.mouth["open"], both.voice["rms"]
    distance, confidence, offset_s = lse(mouth=opened, voice=rms)
    seen = [both.mouth[name] for name in MOUTH if np.isfinite(both.mouth[name]).any()]  # no velocity of a slow clip
    mouth = np.stack(seen, axis=1)
    z, p = cca(mouth=mouth, voice=both.voice["mfcc"])
    lag_s, in_sync = cca_lag(mouth=mouth, voice=both.voice["mfcc"])
    _, lags_s, peaks = window_lags(mouth=opened, voice=rms, speech=both.speech)
    spread_s, agreeing = lag_agreement(lags_s=lags_s, peaks=peaks)
    places = dips(both.voice["closure"], speech=both.speech)
    return named | {
        "lsd": distance,
        "lsc": confidence,
        "ls_offset_s": offset_s,
        "cca1_z": z,
        "cca1_p": p,
        "cca_lag_s": lag_s,
        "cca_lag_abs_s": abs(lag_s),
        "cca_in_sync": in_sync,
        "winlag_mad_s": spread_s,
        "winlag_ok_share": agreeing,
        "voiced_closed_share": voiced_closed_share(opened, speech=both.speech),
        "silent_moving_share": silent_moving_share(
            np.abs(both.mouth["vel"]), speech=both.speech, level_db=both.voice["level"]
        ),
        "closure_hit_z": closure_z(opened, places=places),
        "closure_lag_abs_s": closure_lag_abs_s(opened, places=places),
    }


def lip_series(observation: Observation, track: Track | None) -> dict[str, Series]:
    """Series of a face: ``lip_sync.opening`` of the mouth, ``lip_sync.lag`` and ``lip_sync.agreement`` with the voice.

    The lag is that of windows of 2 s; NaN where lips and voice agree so little (r up to 0.3) that it means nothing.
    Without a face track, ``lip_sync.loudness`` of the voice. Columns are of the opening and the loudness.
    """
    if track is None:
        return _loudness(observation)
    face = moving_head(observation, track)
    opening = mouth_series(face)[:, 0]
    if not np.isfinite(opening).any():
        return {}
    named = {"lip_sync.opening": Series(face.times_s, opening, unit="iod", title="Mouth opening")}
    both = joint(face, observation=observation)
    if both is None or not moves(both):
        return named
    middles_s, lags_s, peaks = window_lags(mouth=both.mouth["open"], voice=both.voice["rms"], speech=both.speech)
    if not middles_s.size:
        return named
    times_s, clear = both.start_s + middles_s, np.where(peaks > WIN_PEAK, lags_s, np.nan)
    return named | {
        "lip_sync.lag": Series(times_s, clear, unit="s", title="Delay of the voice behind the lips", window_s=WIN_S),
        "lip_sync.agreement": Series(times_s, peaks, unit="1", title="Agreement of lips and voice", window_s=WIN_S),
    }


def _loudness(observation: Observation) -> dict[str, Series]:
    voice = {} if observation.audio is None else short_time_series(observation.audio)
    if not voice:
        return {}
    times_s = observation.audio_start_s + np.arange(len(voice["rms"])) / GRID_HZ
    return {"lip_sync.loudness": Series(times_s, voice["rms"], unit="dB", title="Loudness of the voice")}


def mouth_range(both: Joint) -> float:
    """Range of the mouth's opening, from its 5 % to its 95 % quantile, iod; NaN where it is never seen."""
    seen = np.isfinite(both.mouth["open"])
    low, high = np.quantile(both.mouth["open"][seen], [0.05, WIDE_QUANTILE]) if seen.any() else (np.nan, np.nan)
    return float(high - low)


def moves(both: Joint) -> bool:
    """Whether somebody speaks and the lips move, so that they can be compared."""
    return bool(both.speech.mean() >= MIN_SPEECH_SHARE and mouth_range(both) >= MIN_MOUTH_IOD)


@family("lip_sync", version=9, needs={"track", "sound"}, columns=COLUMNS, series=lip_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure lips against voice; NaN below 2.9 s of both, with little speech, or with lips that do not move."""
    face = moving_head(observation, track)
    both = joint(face, observation=observation)
    named: dict[str, float] = {"valid_share": 0.0}
    if both is not None:
        seen = np.isfinite(both.mouth["open"])
        expected = max((face.times_s[-1] - face.times_s[0]) * GRID_HZ, 1.0)
        named["valid_share"] = float(min(1.0, seen.sum() / expected))
        if named["valid_share"] >= series.MIN_VALID_SHARE and seen.sum() >= MIN_JOINT_S * GRID_HZ:
            named |= {"mouth_range_iod": mouth_range(both), "speech_share": float(both.speech.mean())}
            if moves(both):
                named |= _columns(both)
    return complete_row(COLUMNS, named)
