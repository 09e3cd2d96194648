"""landmark_jitter: whether the face's geometry jitters against its head, as frame-by-frame synthesis makes it.

The detector's own noise hides it, so detected landmarks are first fused with optical flow by a scalar Kalman
filter per point (LRNet: Sun et al. 2021, "Improving the Efficiency and Robustness of Deepfakes Detection through
Precise Geometric Features", there read by an RNN: AUC 0.999 on FaceForensics++, lost under strong compression).
Unlike LRNet, nothing is rounded. The observation's flow starts at the previous frame's *detected* points, so the
filter adds the flow's displacement to its calibrated state; flow that fails its forward-backward test is NaN.

``jaw_inner_flow_ratio`` reads the flow alone, without the detector: each step minus the similarity that carries the
rigid points along, minus its own smooth. What remains is how unsteadily the image itself moves there.

Freeze frames of a second or more (:func:`features.measures.freeze_frames.held`) are left out, as they have no jitter.

Lengths are in iod (``D``); ``z`` are detected, ``x`` calibrated points, ``y`` the calibrated points in the head's frame
(:func:`features.measures.geometry.align`), ``e`` the residual of ``y`` against a Savitzky-Golay smooth over 0.23 s.

dlib answers in whole pixels of a square scaled to the face, so rounding adds the same iod to every face size; the
filter counts half a pixel as the least move of a detection, its process noise is of a time and not of a frame, and so
the same motion gives about the same numbers from 30 to 120 frames per second. The fused points are no whole pixels,
and no rounding floor is subtracted.

The ``_15hz`` columns sample 15 moments a second: widely different rates become comparable, but not equal. There is no
low-pass filter before: what is faster than 7.5 Hz is aliased, and moments between frames are interpolated, which
smooths.
``jerk_q90_15hz`` of the same white jitter is 114 iod/s^3 at 30 and 60 frames per second, 100 at 29.97, 96 at 25. A
filter would make motion agree, but not the detector's noise, of which each frame has its own.

Confounds: strong compression (detector noise), frame rate (see the ``_15hz`` twins), a variable one (a track is then
resampled, which smooths: jitter of about half), frames that are shown at other moments than they were taken, as by a
rate conversion that :func:`features.measures.frame_clock.taken_times` doesn't recognise: repeats that are not equal,
fewer than four of them (24 shown at 25 below 4 s), or a noisy or still face (motion against the head is then jitter),
expression and speech (mouth). Below 14.3 frames per second, where the smooth's five samples last longer than 0.35 s,
residuals, derivatives and what is made of them are undefined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.evidence import Series
from features.measures import robust, series
from features.measures.calibrated_points import (
    calibrate,
    detection_residual,
    flow_displacement,
    flow_reject_share,
    flow_steps,
    half_grid_px,
)
from features.measures.comparison import log_ratio
from features.measures.geometry import REGIONS, RIGID, HeadTrack, align, moving_head
from features.measures.series import Segment
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

STATIC_IOD_S, MOVING_IOD_S = 0.05, 0.2  # rigid-set speed
MIN_STATE_FRAMES = 15
MIN_TRACK_S = 2.0
MAX_REJECT_SHARE = 0.5
LOW_HZ = 15.0  # the grid that every clip from 15 fps up can fill
BAND_HZ, BAND_15HZ_HZ = (3.0, 12.0), (1.0, 6.0)
MIN_BAND_FPS, MIN_LOW_FPS = BAND_HZ[1] / series.BAND_LIMIT, 14.5  # 26.7
INNER = np.arange(17, 68)  # all but the jaw
CORE = np.arange(27, 68)  # without the brows, too
SHOWN = ("mouth", "jaw")  # regions with a series: the most often forged one, and where a pasted face ends

_REFERENCE = "Sun et al. 2021"
_WORST_OF = frozenset({"jaw", "mouth"})  # regions whose largest jitter over all people is a column of its own
_AT_15_HZ = ", sampled 15 times a second"


_column = columns_of("landmark_jitter", reference=_REFERENCE, direction="up", invariant_to=EVERY_CHANGE)


def _region_columns() -> Iterator[Column]:
    stray = "how far the points tracked there stray from their own smooth path against the head"
    for region in REGIONS:
        yield _column(
            f"{region}_jitter_med_iod",
            f"Typical (median) jitter of the {region}: {stray}, as a fraction of the distance between the eyes.",
            unit="iod",
            range=(0.0, np.inf),
            worst="max" if region in _WORST_OF else "",
        )
        yield _column(
            f"{region}_jitter_q90_iod",
            f"Jitter of the {region} in the worst tenth of the frames: {stray}, as a fraction of the distance between "
            "the eyes.",
            unit="iod",
            range=(0.0, np.inf),
        )
        yield _column(
            f"{region}_jitter_bp3_12",
            f"Fraction of the jitter of the {region} that repeats 3 to 12 times a second. Missing below 26.7 frames "
            "per second.",
            range=(0.0, 1.0),
        )
        yield _column(
            f"{region}_jitter_bp1_6_15hz",
            f"Fraction of the jitter of the {region} that repeats 1 to 6 times a second{_AT_15_HZ}. "
            "Missing below 4.3 s.",
            range=(0.0, 1.0),
        )


COLUMNS = (
    *_region_columns(),
    _column(
        "detres_med_iod",
        "How far the points that the detector finds typically (median) lie from where the motion of the image "
        "carries them, as a fraction of the distance between the eyes.",
        unit="iod", range=(0.0, np.inf), worst="max",
    ),
    _column(
        "flow_reject_share",
        "Fraction of the points whose motion from one frame to the next could not be tracked reliably in the image.",
        range=(0.0, 1.0),
    ),
    _column(
        "static_ratio",
        "Jitter of the face over that of the jaw line while the head is still; 1 if both jitter alike. Missing below "
        "15 such frames.",
        range=(0.0, np.inf),
    ),
    _column(
        "moving_ratio",
        "Jitter of the face over that of the jaw line while the head moves; 1 if both jitter alike. Missing below 15 "
        "such frames.",
        range=(0.0, np.inf),
    ),
    _column(
        "vel_q90",
        "Speed against the head that the fastest tenth of the face's tracked points exceeds, in distances between the "
        "eyes per second.",
        unit="iod/s", range=(0.0, np.inf),
    ),
    _column(
        "acc_q90",
        "Acceleration against the head that the most accelerated tenth of the face's tracked points exceeds: by how "
        "many distances between the eyes per second their speed changes in a second.",
        unit="iod/s^2", range=(0.0, np.inf),
    ),
    _column(
        "jerk_q90",
        "Jerk (how much acceleration changes in a second; large if motion is abrupt) that the jerkiest tenth of the "
        "face's tracked points exceeds, in distances between the eyes per second cubed.",
        unit="iod/s^3", range=(0.0, np.inf),
    ),
    _column(
        "jerk_over_vel",
        "How abrupt the motion of the face's points is for its speed: the logarithm of jerk over speed.",
        range=(-np.inf, np.inf),
    ),
    _column(
        "jerk_q90_15hz",
        "Jerk (how much acceleration changes in a second; large if motion is abrupt) that the jerkiest tenth of the "
        f"face's tracked points exceeds, in distances between the eyes per second cubed{_AT_15_HZ}.",
        unit="iod/s^3", range=(0.0, np.inf),
    ),
    _column(
        "jerk_over_vel_15hz",
        f"How abrupt the motion of the face's points is for its speed: the logarithm of jerk over speed{_AT_15_HZ}.",
        range=(-np.inf, np.inf),
    ),
    _column(
        "inner_outer_corr",
        "How alike the inner face (eyes, nose, mouth) and the jaw line jitter, from -1 to 1; 1 if they move as one.",
        range=(-1.0, 1.0), direction="down",
    ),
    _column(
        "jaw_inner_flow_ratio",
        "How much less steadily the image moves along the jaw line than at eyes and nose: the logarithm of the "
        "ratio; low if the inner face is the unsteady part.",
        range=(-np.inf, np.inf), direction="down",
    ),
    Column(
        "landmark_jitter.valid_share", range=(0, 1), direction="covariate", invariant_to=EVERY_CHANGE,
        description="Fraction of the frames, from the face's first to its last, in which its points were found.",
    ),
)  # fmt: skip


def jaw_inner_flow_ratio(residuals: Sequence[Segment]) -> float:
    """Log of the jaw's jitter over the mean of those of nose and eyes; NaN below 5 frames, or without either.

    Parameters
    ----------
    residuals : sequence of Segment
        Of :func:`flow_steps`, less their smooth, values of shape (m, 68, 2).
    """
    if not residuals:
        return np.nan
    jaw, nose, eyes = (
        robust.median(region_rms(residuals, points=REGIONS[region])) for region in ("jaw", "nose", "eyes")
    )
    return log_ratio(jaw, (nose + eyes) / 2, floor=series.ROUNDING)


def residual(part: Segment) -> Segment:
    """Subtract the Savitzky-Golay smooth (0.23 s, order 2) of a series [n, ...]; empty or NaN where that is.

    See :func:`features.measures.series.smoothed`.
    """
    smooth = series.smoothed(part)
    return Segment(part.start_s, part.rate_hz, part.values[: len(smooth)] - smooth)


def region_rms(residuals: Sequence[Segment], *, points: NDArray[np.int64]) -> F64:
    """Root mean square length [n] of a region's residuals in each frame, iod.

    Parameters
    ----------
    residuals : sequence of Segment
        ``e``, values of shape (m, 68, 2), iod; n is the sum of their m.
    points : ndarray of int
        The region's landmarks.
    """
    return np.concatenate([np.sqrt((part.values[:, points] ** 2).sum(axis=2).mean(axis=1)) for part in residuals])


def region_band(
    residuals: Sequence[Segment], *, points: NDArray[np.int64], band_hz: tuple[float, float], least_hz: float
) -> float:
    """Fraction of the power of a region's residuals in a band, see :func:`features.measures.series.band_fraction`.

    Parameters
    ----------
    residuals : sequence of Segment
        ``e``, values of shape (m, 68, 2).
    points : ndarray of int
        The region's landmarks.
    band_hz : (float, float)
    least_hz : float
        Segments of a lower rate are left out.
    """
    parts = [Segment(p.start_s, p.rate_hz, p.values[:, points]) for p in residuals if p.rate_hz >= least_hz]
    return series.band_fraction(parts, band_hz=band_hz)


def state_ratio(*, face: F64, jaw: F64, chosen: NDArray[np.bool_]) -> float:
    """Median face jitter over median jaw jitter [n] in the chosen frames [n]; NaN below 15, or for a still jaw.

    >>> state_ratio(face=np.full(20, 3.0), jaw=np.full(20, 2.0), chosen=np.ones(20, bool))
    1.5
    """
    if chosen.sum() < MIN_STATE_FRAMES:
        return np.nan
    below = float(np.median(jaw[chosen]))
    return float(np.median(face[chosen])) / below if below > series.ROUNDING else np.nan


def inner_outer_corr(residuals: Sequence[Segment]) -> float:
    """Pearson's r of the mean residual vectors of the inner face (27-67) and the jaw (0-16), x and y pooled."""
    e = np.concatenate([part.values for part in residuals])
    return robust.correlation(e[:, CORE].mean(axis=1), e[:, REGIONS["jaw"]].mean(axis=1))


def motion_q90(parts: Sequence[Segment], *, order: int) -> float:
    """90 % quantile over all points and samples of the speed (order 1), acceleration (2) or jerk (3), iod/s^order.

    Parameters
    ----------
    parts : sequence of Segment
        ``y``, values of shape (n, 68, 2), iod.
    order : int
        Of the derivative, see :func:`features.measures.series.derivative`.

    Returns
    -------
    float
        NaN below 20 values.
    """
    lengths = [np.linalg.norm(series.derivative(part, order=order), axis=2).ravel() for part in parts]
    return robust.quantile(np.concatenate(lengths), 0.9) if lengths else np.nan


def jerk_over_vel(*, jerk: float, vel: float) -> float:
    """``log(jerk / vel)``; NaN for a face that keeps still."""
    return log_ratio(jerk, vel, floor=series.ROUNDING)


def region_columns(residuals: Sequence[Segment], *, low: Sequence[Segment]) -> dict[str, float]:
    """Jitter of the five regions: size and band of :func:`region_rms` and :func:`region_band`.

    Parameters
    ----------
    residuals, low : sequence of Segment
        ``e`` at the clip's own rate and at 15 Hz, values of shape (n, 68, 2), iod.
    """
    values: dict[str, float] = {}
    for region, points in REGIONS.items():
        size = region_rms(residuals, points=points)
        values |= {
            f"{region}_jitter_med_iod": robust.median(size),
            f"{region}_jitter_q90_iod": robust.quantile(size, 0.9),
            f"{region}_jitter_bp3_12": region_band(residuals, points=points, band_hz=BAND_HZ, least_hz=MIN_BAND_FPS),
            f"{region}_jitter_bp1_6_15hz": region_band(low, points=points, band_hz=BAND_15HZ_HZ, least_hz=MIN_LOW_FPS),
        }
    return values


def state_columns(residuals: Sequence[Segment], *, rigid: Sequence[Segment]) -> dict[str, float]:
    """Face against jaw while the head rests, under 0.05 iod/s, and while it moves, over 0.2 iod/s.

    Parameters
    ----------
    residuals : sequence of Segment
        ``e``, values of shape (n, 68, 2), iod.
    rigid : sequence of Segment
        Centroid of the rigid points on the same grid, values of shape (n, 2), iod.
    """
    face, jaw = (region_rms(residuals, points=points) for points in (INNER, REGIONS["jaw"]))
    speed = np.concatenate([np.linalg.norm(series.derivative(part, order=1), axis=1) for part in rigid])
    return {
        "static_ratio": state_ratio(face=face, jaw=jaw, chosen=speed < STATIC_IOD_S),
        "moving_ratio": state_ratio(face=face, jaw=jaw, chosen=speed > MOVING_IOD_S),
    }


def motion_columns(parts: Sequence[Segment], *, low: Sequence[Segment]) -> dict[str, float]:
    """Speed, acceleration and jerk of ``y`` [n, 68, 2] at the clip's own rate, and what ``low``, at 15 Hz, shows."""
    vel, acc, jerk = (motion_q90(parts, order=order) for order in (1, 2, 3))
    low_vel, low_jerk = (motion_q90(low, order=order) for order in (1, 3))
    return {
        "vel_q90": vel,
        "acc_q90": acc,
        "jerk_q90": jerk,
        "jerk_over_vel": jerk_over_vel(jerk=jerk, vel=vel),
        "jerk_q90_15hz": low_jerk,
        "jerk_over_vel_15hz": jerk_over_vel(jerk=low_jerk, vel=low_vel),
    }


@dataclass(frozen=True)
class LandmarkMotion:
    """The points of a track over time: what series and columns are both made of."""

    face: HeadTrack
    calibrated: F64
    """[n, 68, 2] px."""
    aligned: F64
    """[n, 68, 2] ``y``, iod."""
    reject_share: float
    flow: tuple[Segment, ...]
    """:func:`flow_steps` less their smooth, values of shape (m, 68, 2), iod."""
    parts: tuple[Segment, ...]
    """``y``, values of shape (m, 68, 2); none where the face is not followed for long enough."""
    rigid: tuple[Segment, ...]
    """Centroid of the rigid points, values of shape (m, 2), iod."""
    residuals: tuple[Segment, ...]
    """``e``, values of shape (m, 68, 2); empty where a part is too short, NaN where it is too slow."""

    @property
    def valid_share(self) -> float:
        """Fraction of the track's frames with a face."""
        return float(self.face.seen.mean()) if len(self.face.seen) else 0.0


def motion(observation: Observation, track: Track) -> LandmarkMotion:
    """Follow a track's points; no parts below 2 s of track, or when flow fails in over half of the steps."""
    face = moving_head(observation, track)
    displacement = flow_displacement(face, track=track)
    rate_hz = series.rate(face.times_s)
    calibrated = calibrate(face.landmarks, displacement=displacement, rate_hz=rate_hz, rounding_px=half_grid_px(track))
    y = align(calibrated, scale_px=face.scale_px)
    moved = LandmarkMotion(face, calibrated, y, flow_reject_share(displacement, seen=face.seen), (), (), (), ())
    centre = calibrated[:, RIGID].mean(axis=1) / face.scale_px
    both = series.segments(np.concatenate([y, centre[:, None]], axis=1), times_s=face.times_s)
    enough = moved.valid_share >= series.MIN_VALID_SHARE and sum(p.length_s for p in both) >= MIN_TRACK_S - 0.1
    if not (enough and moved.reject_share <= MAX_REJECT_SHARE):
        return moved
    parts = tuple(Segment(p.start_s, p.rate_hz, p.values[:, :68]) for p in both)
    rigid = tuple(Segment(p.start_s, p.rate_hz, p.values[:, 68]) for p in both)
    steps = series.segments(flow_steps(face, track=track, displacement=displacement), times_s=face.times_s)
    flow, residuals = (tuple(residual(part) for part in some) for some in (steps, parts))
    return replace(moved, flow=flow, parts=parts, rigid=rigid, residuals=residuals)


def jitter_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``landmark_jitter.mouth`` and ``.jaw``: :func:`region_rms` in each frame; empty where there are no columns."""
    usable = [part for part in motion(observation, track).residuals if np.isfinite(part.values).any()]
    named = {}
    for region in SHOWN if usable else ():
        sizes = [Segment(p.start_s, p.rate_hz, region_rms([p], points=REGIONS[region])) for p in usable]
        times_s, values = series.with_gaps(sizes)
        named[f"landmark_jitter.{region}"] = Series(times_s, values, unit="iod", title=f"Jitter of the {region}")
    return named


@family("landmark_jitter", version=7, needs={"track"}, columns=COLUMNS, series=jitter_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure the jitter of a track; NaN below 2 s of track, or when flow fails in over half of the steps."""
    moved = motion(observation, track)
    face, residuals = moved.face, moved.residuals
    named = {"valid_share": moved.valid_share}
    if moved.parts:
        fast = series.rate(face.times_s) >= MIN_LOW_FPS
        low = series.segments(moved.aligned, times_s=face.times_s, rate_hz=LOW_HZ) if fast else []
        named |= region_columns(residuals, low=[residual(part) for part in low])
        named |= state_columns(residuals, rigid=moved.rigid)
        named |= motion_columns(moved.parts, low=low)
        named |= {
            "detres_med_iod": detection_residual(
                detected=face.landmarks, calibrated=moved.calibrated, scale_px=face.scale_px
            ),
            "flow_reject_share": moved.reject_share,
            "inner_outer_corr": inner_outer_corr(residuals),
            "jaw_inner_flow_ratio": jaw_inner_flow_ratio(moved.flow),
        }
    return complete_row(COLUMNS, named)
