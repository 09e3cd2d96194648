"""blink: how often, how far and how fast the eyes shut.

Openness is the eye aspect ratio (EAR: Soukupova & Cech 2016, "Real-Time Eye Blink Detection using Facial
Landmarks") over the clip's own level, since eyes differ in shape: a running 75 % quantile over +-2.5 s.
An event starts where openness falls through 0.85 and ends where it comes back, provided that it fell below 0.65.

A resting person blinks 17 times a minute (26 talking, 4.5 reading: Bentivoglio 1997), so 6 % of real people do
not blink in 10 s: rates come with their exposure and a shrunk form. Early fakes blinked too little (Li et al. 2018,
"In Ictu Oculi"); later ones blink. Durations, amplitudes and speeds are undefined without an event; the time to
the clip's end is no interval between blinks.

Confounds: frame rate (speeds), reading or talking, glasses, downward gaze, compression (EAR noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from features import series
from features.geometry import F64, LEFT_EYE, RIGHT_EYE, RIGID, Head, crop_landmarks, eye_aspect_ratio, head
from features.observation import Observation, Track
from features.series import Segment
from features.spec import EVERY_CHANGE, Column, family

BASE_QUANTILE, BASE_HALF_S = 0.75, 2.5
CLOSED, OPEN = 0.65, 0.85  # of the clip's own level
COMPLETE = 0.3  # a lid that reaches this is shut
MERGE_S = 0.08
SHORTEST_S, LONGEST_S = 0.05, 0.5  # beyond: tremble, closure
MEDIAN_FPS = 24.0  # slower clips lose blinks to a 3-point median, and cannot show lid speed
ONE_EYE_YAW_DEG, MAX_YAW_DEG, MAX_PITCH_DEG = 25.0, 40.0, 30.0
MAX_HEAD_IOD_S, HEAD_STEP_S = 1.0, 0.1  # speed over +-0.1 s; talking heads move at 0.3 most of the time
BLUR_QUANTILE, BLUR_SHARE = 0.05, 0.7  # sharpness in the lowest 5 % and clearly under the median: motion blur
RESTING_PER_MIN = 17.0  # Bentivoglio 1997
MIN_OBS_S, MIN_FPS = 3.0, 12.0
AROUND_S, MAX_EYE_LAG_S = 0.3, 0.1
MIN_CROPS = 8
EYE_PATCH = (48, 24)  # width, height of a warped eye, px
EYE_PATCH_SCALE = 1.4  # its width over the distance of the eye's corners

_PICTURE = EVERY_CHANGE - {"mirror", "scale"}
_INF = float("inf")


def _column(
    name: str, unit: str, low: float, high: float, direction: str, reference: str = "Soukupova & Cech 2016"
) -> Column:
    return Column(f"blink.{name}", unit, (low, high), reference, direction, EVERY_CHANGE)


COLUMNS = (
    _column("count", "1", 0, _INF, "down", "Li et al. 2018"),
    _column("obs_s", "s", 0, _INF, "covariate"),
    _column("rate_per_min", "1/min", 0, 1200, "down", "Li et al. 2018"),
    _column("rate_shrunk_per_min", "1/min", 0, 1200, "down", "Bentivoglio 1997"),
    _column("none_logp", "1", -_INF, 0, "down", "Bentivoglio 1997"),
    _column("dur_med_s", "s", 0, LONGEST_S + MERGE_S, "either"),
    _column("dur_mad_s", "s", 0, LONGEST_S, "either"),
    _column("amp_med", "1", 0, 1, "down"),
    _column("complete_share", "1", 0, 1, "down"),
    _column("close_speed_med", "1/s", 0, _INF, "either"),
    _column("open_speed_med", "1/s", 0, _INF, "either"),
    _column("close_open_ratio", "1", -_INF, _INF, "either"),
    _column("ibi_med_s", "s", 0, _INF, "either"),
    _column("ibi_cv", "1", 0, _INF, "either"),
    _column("lr_corr", "1", -1, 1, "down"),
    _column("lr_lag_s", "s", 0, MAX_EYE_LAG_S, "up"),
    _column("lr_amp_gap", "1", 0, 1, "up"),
    Column("blink.patch_ear_corr", "1", (-1, 1), "picture against landmarks, after Li et al. 2018", "down", _PICTURE),
    _column("ear_base_mad", "1", 0, _INF, "up"),
    _column("valid_share", "1", 0, 1, "covariate"),
)


@dataclass(frozen=True)
class Blink:
    """One event in a segment; times in s, openness relative to the clip's level."""

    start_s: float
    end_s: float
    moment_s: float
    lowest: float
    whole: bool
    """False when the segment begins or ends inside the event: it counts, but has no length or speed."""


def usable_ear(face: Head) -> F64:
    """EAR [n, 2] of the right and left eye; NaN for an eye, or both, that the head is turned away from."""
    ear = eye_aspect_ratio(face.landmarks)
    pitch, yaw = face.pose_deg[:, 0], face.pose_deg[:, 1]
    ear[~((np.abs(yaw) <= MAX_YAW_DEG) & (np.abs(pitch) <= MAX_PITCH_DEG))] = np.nan
    ear[yaw > ONE_EYE_YAW_DEG, 0] = np.nan  # nose to image left hides the subject's right eye
    ear[yaw < -ONE_EYE_YAW_DEG, 1] = np.nan
    return ear


def openness(part: Segment, level: float) -> F64:
    """EAR [n] over its own running level, or over the clip's ``level`` where the segment is shorter than 5 s."""
    values = part.values
    if part.length_s >= 2 * BASE_HALF_S:
        size = 2 * round(BASE_HALF_S * part.rate_hz) + 1
        base = ndimage.percentile_filter(values, 100 * BASE_QUANTILE, size=size, mode="reflect")
    else:
        base = np.full(len(values), level)
    return values / np.where(base > 0, base, np.nan)


def find_blinks(o: F64, *, start_s: float, rate_hz: float) -> list[Blink]:
    """Events of an openness series, merged when under 80 ms apart; those of 50-500 ms are kept.

    Parameters
    ----------
    o : ndarray of shape (n,)
        Openness on a uniform grid, 1 = the clip's level.
    """
    smooth = ndimage.median_filter(o, 3, mode="nearest") if rate_hz >= MEDIAN_FPS else o
    spans: list[list[int]] = []
    for low in np.flatnonzero(smooth < CLOSED).tolist():
        if spans and low <= spans[-1][1]:
            continue
        before = np.flatnonzero(smooth[: low + 1] >= OPEN)
        after = np.flatnonzero(smooth[low:] >= OPEN)
        first = int(before[-1]) if before.size else -1
        last = low + int(after[0]) if after.size else len(smooth)
        if spans and first - spans[-1][1] < MERGE_S * rate_hz:
            spans[-1][1] = last
        else:
            spans.append([first, last])
    found = [_blink(smooth, o, first, last, start_s, rate_hz) for first, last in spans]
    return [one for one in found if SHORTEST_S <= one.end_s - one.start_s <= LONGEST_S]


def _blink(smooth: F64, o: F64, first: int, last: int, start_s: float, rate_hz: float) -> Blink:
    whole = first >= 0 and last < len(smooth)
    inside = np.arange(max(first, 0), min(last, len(smooth) - 1) + 1)
    low = int(inside[np.argmin(o[inside])])
    lowest, moment = series.parabola(o, low)

    def crossing(a: int, b: int) -> float:
        share = (smooth[a] - OPEN) / (smooth[a] - smooth[b]) if smooth[a] != smooth[b] else 0.0
        return a + (b - a) * float(share)

    left = crossing(first, first + 1) if first >= 0 else 0.0
    right = crossing(last, last - 1) if last < len(smooth) else float(len(smooth) - 1)
    at = [start_s + x / rate_hz for x in (left, right, moment)]
    return Blink(at[0], at[1], at[2], float(np.clip(lowest, 0.0, 1.0)), whole)


def eye_opening(luma: NDArray[np.uint8], corners: F64) -> float:
    """Lid gap over eye width from the picture: distance between the strongest dark and bright edges of the rows.

    Parameters
    ----------
    luma : ndarray of shape (h, w)
        Grey crop.
    corners : ndarray of shape (2, 2)
        The eye's two corners in px of the crop, image-left one first.

    Returns
    -------
    float
        Rows between the strongest bright-to-dark and dark-to-bright edge over the patch's eye width; NaN for
        a flat patch.
    """
    width, height = EYE_PATCH
    gap = corners[1] - corners[0]
    scale = width / (EYE_PATCH_SCALE * float(np.hypot(*gap)))
    turn = scale * np.array([[gap[0], gap[1]], [-gap[1], gap[0]]]) / float(np.hypot(*gap))
    shift = np.array([(width - 1) / 2, (height - 1) / 2]) - turn @ corners.mean(axis=0)
    patch = cv2.warpAffine(luma, np.column_stack([turn, shift]), EYE_PATCH, borderMode=cv2.BORDER_REPLICATE)
    rows = patch[:, width // 3 : 2 * width // 3].astype(np.float64).mean(axis=1)
    edges = np.diff(ndimage.gaussian_filter1d(rows, 1.0))
    if not np.ptp(edges) > 0:
        return np.nan
    return float(abs(int(edges.argmax()) - int(edges.argmin()))) * EYE_PATCH_SCALE / width


def patch_ear_corr(track: Track) -> float:
    """Correlation over the track's crops of the lid gap seen in the picture with EAR; NaN below 8 crops."""
    seen, told = [], []
    for number, crop in enumerate(track.crops):
        points = crop_landmarks(track, number)
        if not np.isfinite(points).all():
            continue
        luma = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
        if min(np.hypot(*(points[eye[3]] - points[eye[0]])) for eye in (RIGHT_EYE, LEFT_EYE)) > 0:
            seen.append(np.mean([eye_opening(luma, points[eye[[0, 3]]]) for eye in (RIGHT_EYE, LEFT_EYE)]))
            told.append(eye_aspect_ratio(points[None])[0].mean())
    return series.correlation(seen, told, least=MIN_CROPS)


def eyes_together(parts: list[Segment], blinks: list[Blink]) -> tuple[float, float, float]:
    """Left against right eye in +-0.3 s around the events: correlation, absolute lag in s, gap of amplitudes.

    ``parts`` hold openness [n, 2] of both eyes. Medians over events; NaN without an event that both eyes show.
    """
    rows = []
    for part in parts:
        reach = round(AROUND_S * part.rate_hz)
        for one in blinks:
            at = round((one.moment_s - part.start_s) * part.rate_hz)
            if reach <= at < len(part.values) - reach:
                pair = part.values[at - reach : at + reach + 1]
                lags = np.arange(-round(MAX_EYE_LAG_S * part.rate_hz), round(MAX_EYE_LAG_S * part.rate_hz) + 1)
                r = np.array([_shifted_corr(pair, int(lag)) for lag in lags])
                if np.isfinite(r).all():
                    _, best = series.parabola(r, int(r.argmax()))
                    lag = abs(float(best) + lags[0]) / part.rate_hz
                    rows.append((r[len(r) // 2], min(lag, MAX_EYE_LAG_S), abs(np.ptp(pair[:, 0]) - np.ptp(pair[:, 1]))))
    if not rows:
        return np.nan, np.nan, np.nan
    corr, lag, gap = np.median(rows, axis=0)
    return float(corr), float(lag), float(min(gap, 1.0))


def _shifted_corr(pair: F64, lag: int) -> float:
    n = len(pair)
    return series.correlation(pair[max(0, -lag) : n - max(0, lag), 0], pair[max(0, lag) : n - max(0, -lag), 1])


def rates(count: int, obs_s: float) -> dict[str, float]:
    """Relate a count to its exposure: plain rate, one shrunk by a Gamma prior of 1 event per 1/17 min, log P(none)."""
    minutes = obs_s / 60.0
    return {
        "count": float(count),
        "obs_s": obs_s,
        "rate_per_min": count / minutes,
        "rate_shrunk_per_min": (count + 1) / (minutes + 1.0 / RESTING_PER_MIN),
        "none_logp": -RESTING_PER_MIN * minutes if count == 0 else 0.0,
    }


def _shapes(parts: list[Segment], blinks: list[Blink], fps: float) -> dict[str, float]:
    """Length, depth and speed of the events; ``parts`` hold openness [n]."""
    whole = [one for one in blinks if one.whole]
    close, reopen = [], []
    for part in parts:
        speed = np.diff(part.values) * part.rate_hz
        times = part.times_s[:-1] + 0.5 / part.rate_hz
        for one in whole:
            falling = speed[(times >= one.start_s - 0.05) & (times <= one.moment_s)]
            rising = speed[(times >= one.moment_s) & (times <= one.end_s + 0.05)]
            if falling.size and rising.size and falling.min() < 0 < rising.max():
                close.append(-float(falling.min()))
                reopen.append(float(rising.max()))
    fast = fps >= MEDIAN_FPS
    lengths = [one.end_s - one.start_s for one in whole]
    gaps = np.diff([one.moment_s for one in blinks]) if len(blinks) >= 3 else np.array([])
    return {
        "dur_med_s": series.median(lengths, 1),
        "dur_mad_s": series.mad(lengths, 3),
        "amp_med": series.median([1.0 - one.lowest for one in blinks], 1),
        "complete_share": float(np.mean([one.lowest < COMPLETE for one in blinks])) if blinks else np.nan,
        "close_speed_med": series.median(close, 1) if fast else np.nan,
        "open_speed_med": series.median(reopen, 1) if fast else np.nan,
        "close_open_ratio": series.median(np.log(np.divide(close, reopen)), 1) if fast and close else np.nan,
        "ibi_med_s": series.median(gaps, 2),
        "ibi_cv": float(gaps.std(ddof=1) / gaps.mean()) if gaps.size else np.nan,
    }


def _disturbed(face: Head, track: Track) -> F64:
    """Find the times [k] of frames in which the head moves fast or the face is blurred."""
    seen, times = face.seen, face.times_s
    if not seen.any():
        return times[:0]
    centre = face.landmarks[seen][:, RIGID].mean(axis=1) / face.scale_px
    before, after = times - HEAD_STEP_S, times + HEAD_STEP_S
    move = [np.interp(after, times[seen], axis) - np.interp(before, times[seen], axis) for axis in centre.T]
    speed = np.hypot(*move) / (2 * HEAD_STEP_S)
    sharp = track.sharpness[face.index, 0].astype(np.float64)
    level = np.nanmedian(sharp) if np.isfinite(sharp).any() else np.nan
    low = min(series.quantile(sharp, BLUR_QUANTILE), BLUR_SHARE * level)
    return face.times_s[(speed > MAX_HEAD_IOD_S) | (sharp < low)]


def _base_mad(parts: list[Segment], blinks: list[Blink]) -> float:
    """Spread of the openness outside the events."""
    calm = []
    for part in parts:
        times, keep = part.times_s, np.ones(len(part.values), dtype=bool)
        for one in blinks:
            keep &= (times < one.start_s - 0.1) | (times > one.end_s + 0.1)
        calm.append(part.values[keep])
    return series.mad(np.concatenate(calm))


@family("blink", version=1, needs={"track", "crops"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure a track's blinks; NaN below 3 s of eyes seen or 12 frames a second."""
    face = head(observation, track)
    ear = usable_ear(face)
    both = np.where(np.isnan(ear), ear[:, ::-1], ear).mean(axis=1)
    named = {"valid_share": float(np.isfinite(both).mean()) if len(both) else 0.0}
    parts = series.segments(face.times_s, both)
    obs_s, fps = sum(part.length_s for part in parts), series.rate(face.times_s)
    if named["valid_share"] >= series.MIN_VALID_SHARE and obs_s >= MIN_OBS_S and fps >= MIN_FPS:
        level = float(np.quantile(np.concatenate([part.values for part in parts]), BASE_QUANTILE))
        opened = [Segment(part.start_s, part.rate_hz, openness(part, level)) for part in parts]
        all_blinks = [b for p in opened for b in find_blinks(p.values, start_s=p.start_s, rate_hz=p.rate_hz)]
        disturbed = _disturbed(face, track)
        blinks = [b for b in all_blinks if not (np.abs(disturbed - b.moment_s) < 0.5 / fps).any()]
        levels = np.nanquantile(ear, BASE_QUANTILE, axis=0) if np.isfinite(ear).any(axis=0).all() else np.ones(2)
        corr, lag, gap = eyes_together(series.segments(face.times_s, ear / levels), blinks)
        named |= rates(len(blinks), obs_s) | _shapes(opened, blinks, fps)
        named |= {
            "lr_corr": corr,
            "lr_lag_s": lag if fps >= MEDIAN_FPS else np.nan,
            "lr_amp_gap": gap,
            "patch_ear_corr": patch_ear_corr(track),
            "ear_base_mad": _base_mad(opened, all_blinks),
        }
    missing = {column.name.split(".", 1)[1]: np.nan for column in COLUMNS}
    return {f"blink.{name}": value for name, value in (missing | named).items()}
