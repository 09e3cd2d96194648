"""Eyelids: how far the eyes are open in each frame, and the blinks in that series.

Openness is the eye aspect ratio (EAR: Soukupova & Cech 2016) over the person's own level, since eyes differ in shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from features.arrays import F64
from features.measures import robust, series
from features.measures.geometry import RIGID, HeadTrack, eye_aspect_ratio
from features.measures.series import Segment

BASE_QUANTILE, BASE_HALF_S = 0.75, 2.5
CLOSED, OPEN = 0.65, 0.85  # of the person's own level
MERGE_S = 0.08
SHORTEST_S, LONGEST_S = 0.05, 0.5  # shorter is noise, longer are closed eyes
# In slower clips a 3-point median removes blinks, and the speed of the lids can't be seen. Film has 24 or 23.976 frames
# per second, which is 23.81 where time stamps are whole milliseconds.
MEDIAN_FPS = 23.5
ONE_EYE_YAW_DEG, MAX_YAW_DEG, MAX_PITCH_DEG = 25.0, 40.0, 30.0
MAX_HEAD_IOD_S, HEAD_STEP_S = 1.0, 0.1  # speed over +-0.1 s; talking heads move at 0.3 most of the time
BLUR_QUANTILE, BLUR_FRACTION = 0.05, 0.7  # sharpness in the lowest 5 % and clearly under the median: motion blur
EYE_PATCH = (48, 24)  # width, height of a warped eye, px
EYE_PATCH_SCALE = 1.4  # its width over the distance of the eye's corners


def usable_ear(face: HeadTrack) -> F64:
    """EAR [n, 2] of the right and left eye; NaN for an eye, or both, that the head is turned away from."""
    ear = eye_aspect_ratio(face.landmarks)
    pitch, yaw = face.pose_deg[:, 0], face.pose_deg[:, 1]
    ear[~((np.abs(yaw) <= MAX_YAW_DEG) & (np.abs(pitch) <= MAX_PITCH_DEG))] = np.nan
    ear[yaw > ONE_EYE_YAW_DEG, 0] = np.nan  # nose to image left hides the subject's right eye
    ear[yaw < -ONE_EYE_YAW_DEG, 1] = np.nan
    return ear


def openness(part: Segment, *, level: float) -> F64:
    """EAR over its own running level, or over ``level`` where the segment is shorter than 5 s.

    Parameters
    ----------
    part : Segment
        EAR, values of shape (n,).
    level : float
        The clip's 75 % quantile of EAR.

    Returns
    -------
    ndarray of shape (n,)
        About 1 for open eyes, 0 for shut ones; NaN where the level is 0.
    """
    values = part.values
    if len(values) >= series.n_samples(2 * BASE_HALF_S, rate_hz=part.rate_hz):
        size = 2 * series.n_samples(BASE_HALF_S, rate_hz=part.rate_hz) + 1
        base = ndimage.percentile_filter(values, 100 * BASE_QUANTILE, size=size, mode="reflect")
    else:
        base = np.full(len(values), level)
    return values / np.where(base > 0, base, np.nan)


@dataclass(frozen=True)
class Blink:
    """One blink in a segment; times in s, openness relative to the clip's level."""

    start_s: float
    end_s: float
    moment_s: float
    """When the eyes are most shut."""
    lowest: float
    """Openness at that moment, 0 shut to 1 as usual."""
    whole: bool
    """False when the segment begins or ends inside the blink: it counts, but has no length or speed."""


def find_blinks(part: Segment, *, fps: float | None = None) -> list[Blink]:
    """Find the blinks of an openness series: falls below 0.65, from and to 0.85, merged if under 80 ms apart.

    Parameters
    ----------
    part : Segment
        Openness, values of shape (n,), 1 = the clip's level.
    fps : float, optional
        Frames per second of the clip, by default the segment's rate. From 23.5 up, a 3-point median is applied first.

    Returns
    -------
    list of Blink
        Blinks that last 50 to 500 ms, in order of time.

    Examples
    --------
    >>> lids = np.ones(60)
    >>> lids[23:28] = 0.6, 0.3, 0.2, 0.3, 0.6
    >>> [(b.moment_s, b.lowest) for b in find_blinks(Segment(10.0, 25.0, lids))]
    [(11.0, 0.2)]
    """
    o, rate_hz = part.values, part.rate_hz
    smooth = ndimage.median_filter(o, 3, mode="nearest") if (fps or rate_hz) >= MEDIAN_FPS else o
    shortest_gap = MERGE_S * rate_hz * (1.0 - series.RATE_ROUNDING)  # samples
    spans: list[list[int]] = []
    for low in np.flatnonzero(smooth < CLOSED).tolist():
        if spans and low <= spans[-1][1]:
            continue
        before = np.flatnonzero(smooth[: low + 1] >= OPEN)
        after = np.flatnonzero(smooth[low:] >= OPEN)
        first = int(before[-1]) if before.size else -1
        last = low + int(after[0]) if after.size else len(smooth)
        if spans and first - spans[-1][1] < shortest_gap:
            spans[-1][1] = last
        else:
            spans.append([first, last])
    blinks = [_blink(part, smooth, first, last) for first, last in spans]
    return [blink for blink in blinks if SHORTEST_S <= blink.end_s - blink.start_s <= LONGEST_S]


def _blink(part: Segment, smooth: F64, first: int, last: int) -> Blink:
    """The blink between samples ``first`` and ``last``, which lie outside the series where it has no such end."""
    o = part.values
    whole = first >= 0 and last < len(smooth)
    inside = np.arange(max(first, 0), min(last, len(smooth) - 1) + 1)
    low = int(inside[np.argmin(o[inside])])
    lowest, moment = series.parabola(o, at=low)

    def crossing(a: int, b: int) -> float:
        fraction = (smooth[a] - OPEN) / (smooth[a] - smooth[b]) if smooth[a] != smooth[b] else 0.0
        return a + (b - a) * float(fraction)

    left = crossing(first, first + 1) if first >= 0 else 0.0
    right = crossing(last, last - 1) if last < len(smooth) else float(len(smooth) - 1)
    start_s, end_s, moment_s = (part.start_s + x / part.rate_hz for x in (left, right, moment))
    return Blink(start_s, end_s, moment_s, float(np.clip(lowest, 0.0, 1.0)), whole)


def disturbed_times(face: HeadTrack, *, sharpness: F64) -> F64:
    """Find the times [k] of frames in which EAR can't be trusted: the head moves fast, or the face is blurred.

    Fast is over 1 iod/s, between 0.1 s before and after. Blurred is a sharpness in the clip's lowest 5 % and under 0.7
    of its median.

    Parameters
    ----------
    face : HeadTrack
        Of n frames.
    sharpness : ndarray of shape (n,)
        Of the face in each frame, any unit.
    """
    seen, times = face.seen, face.times_s
    if not seen.any():
        return times[:0]
    centre = face.landmarks[seen][:, RIGID].mean(axis=1) / face.scale_px
    before, after = times - HEAD_STEP_S, times + HEAD_STEP_S
    move = [np.interp(after, times[seen], axis) - np.interp(before, times[seen], axis) for axis in centre.T]
    speed = np.hypot(*move) / (2 * HEAD_STEP_S)
    level = np.nanmedian(sharpness) if np.isfinite(sharpness).any() else np.nan
    low = min(robust.quantile(sharpness, BLUR_QUANTILE), BLUR_FRACTION * level)
    return times[(speed > MAX_HEAD_IOD_S) | (sharpness < low)]


def eye_opening(luma: NDArray[np.uint8], *, corners: F64) -> float:
    """Lid gap over eye width in an image: distance between the strongest dark and bright edges of the rows.

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
