"""landmark_jitter: whether the face's geometry trembles against its head, as frame-by-frame synthesis makes it.

The detector's own noise hides it, so detected landmarks are first fused with optical flow by a scalar Kalman
filter per point (LRNet: Sun et al. 2021, "Improving the Efficiency and Robustness of Deepfakes Detection through
Precise Geometric Features", there read by an RNN: AUC 0.999 on FaceForensics++, lost under strong compression).
Unlike LRNet, nothing is rounded. The observation's flow starts at the previous frame's *detected* points, so the
filter adds the flow's displacement to its calibrated state; flow that fails its forward-backward test is NaN.

Lengths are in iod (``D``); ``z`` are detected, ``x`` calibrated points, ``y`` the calibrated points in the head's
frame (:func:`features.geometry.align`), ``e`` the residual of ``y`` against a Savitzky-Golay smooth over 0.23 s.

dlib answers in whole pixels of a square scaled to the face, so rounding adds the same iod to every face size; the
fused points are no whole pixels, and no rounding floor is subtracted.

Confounds: strong compression (detector noise), frame rate (hence the ``_15hz`` twins), expression and speech (mouth).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from features import series
from features.geometry import F64, REGIONS, RIGID, align, head
from features.observation import Observation, Track
from features.series import Segment
from features.spec import EVERY_CHANGE, Column, family

KALMAN_Q = 0.3  # process noise of LRNet's calibrator
STATIC_IOD_S, MOVING_IOD_S = 0.05, 0.2  # rigid-set speed
MIN_STATE_FRAMES = 15
MIN_TRACK_S = 2.0
MAX_REJECT_SHARE = 0.5
LOW_HZ = 15.0  # the grid that every clip from 15 fps up can fill
BAND, BAND_15HZ = (3.0, 12.0), (1.0, 6.0)
MIN_BAND_FPS, MIN_LOW_FPS = 26.0, 14.5

_REFERENCE = "Sun et al. 2021"


def _column(name: str, unit: str, high: float, direction: str, worst: str = "") -> Column:
    low = -high if name.startswith("jerk_over_vel") or name == "inner_outer_corr" else 0.0
    return Column(f"landmark_jitter.{name}", unit, (low, high), _REFERENCE, direction, EVERY_CHANGE, worst)


COLUMNS = (
    *(
        column
        for region in REGIONS
        for column in (
            _column(f"{region}_jitter_med_iod", "iod", np.inf, "up", "max" if region in {"jaw", "mouth"} else ""),
            _column(f"{region}_jitter_q90_iod", "iod", np.inf, "up"),
            _column(f"{region}_jitter_bp3_12", "1", 1.0, "up"),
            _column(f"{region}_jitter_bp1_6_15hz", "1", 1.0, "up"),
        )
    ),
    _column("detres_med_iod", "iod", np.inf, "up", "max"),
    _column("flow_reject_share", "1", 1.0, "up"),
    _column("static_ratio", "1", np.inf, "up"),
    _column("moving_ratio", "1", np.inf, "up"),
    _column("vel_q90", "iod/s", np.inf, "up"),
    _column("acc_q90", "iod/s^2", np.inf, "up"),
    _column("jerk_q90", "iod/s^3", np.inf, "up"),
    _column("jerk_over_vel", "1", np.inf, "up"),
    _column("jerk_q90_15hz", "iod/s^3", np.inf, "up"),
    _column("jerk_over_vel_15hz", "1", np.inf, "up"),
    _column("inner_outer_corr", "1", 1.0, "down"),
    Column("landmark_jitter.valid_share", range=(0, 1), direction="covariate", invariant_to=EVERY_CHANGE),
)


def calibrate(detected: F64, displacement: F64) -> F64:
    """Fuse detected points with optical flow: one scalar Kalman filter per point.

    ``R = |z' - z| / |flow|`` (1 for no flow), ``P += Q``, ``K = P / (P + R)``, ``x' = p + K (z' - p)`` with
    ``p = x + flow``, ``P = (1 - K) P`` (Sun et al. 2021, code of the calibrator).

    Parameters
    ----------
    detected : ndarray of shape (n, p, 2)
        Landmarks; NaN where lost.
    displacement : ndarray of shape (n, p, 2)
        How flow moves each point from sample t-1 to t; NaN where untrusted: the detection is taken, P stays.

    Returns
    -------
    ndarray of shape (n, p, 2)
        Calibrated landmarks; NaN where lost.
    """
    calibrated = detected.copy()
    variance = np.zeros(detected.shape[1])
    move = np.linalg.norm(np.diff(detected, axis=0, prepend=detected[:1]), axis=2)
    flow = np.linalg.norm(displacement, axis=2)
    trusted = np.isfinite(flow) & np.isfinite(move)
    noise = np.where(flow > 0, move / np.where(flow > 0, flow, 1.0), move)
    for t in range(1, len(detected)):
        ok = trusted[t] & np.isfinite(calibrated[t - 1, :, 0])
        raised = variance + KALMAN_Q
        gain = raised / (raised + np.where(ok, noise[t], 0.0))
        predicted = calibrated[t - 1] + displacement[t]
        fused = predicted + gain[:, None] * (detected[t] - predicted)
        calibrated[t] = np.where(ok[:, None], fused, detected[t])
        variance = np.where(ok, (1.0 - gain) * raised, variance)
    return calibrated


def residual(part: Segment) -> F64:
    """Subtract a Savitzky-Golay smooth (0.23 s, order 2) from a series [n, ...]; of length 0 when it is too short."""
    window = series.savgol_window(part.rate_hz)
    if len(part.values) < window:
        return part.values[:0]
    return part.values - signal.savgol_filter(part.values, window, series.POLYORDER, axis=0)


def region_rms(e: F64, points: NDArray[np.int64]) -> F64:
    """RMS length [n] of a region's residuals ``e`` [n, 68, 2], iod."""
    return np.sqrt((e[:, points] ** 2).sum(axis=2).mean(axis=1))


def state_ratio(face: F64, jaw: F64, chosen: NDArray[np.bool_]) -> float:
    """Median face jitter over median jaw jitter in the chosen frames; NaN below 15 frames, or for a still jaw."""
    if chosen.sum() < MIN_STATE_FRAMES:
        return np.nan
    below = float(np.median(jaw[chosen]))
    return float(np.median(face[chosen])) / below if below > 0 else np.nan


def inner_outer_corr(e: F64) -> float:
    """Pearson's r of the mean residual vectors of the inner face (27-67) and the jaw, x and y pooled."""
    return series.correlation(e[:, 27:].mean(axis=1), e[:, :17].mean(axis=1))


def _log_ratio(a: float, b: float) -> float:
    return float(np.log(a / b)) if a > 0 and b > 0 else np.nan


def _dynamics(parts: list[Segment], orders: tuple[int, ...]) -> dict[int, float]:
    """90 % quantile of point speed, acceleration, jerk over all points and samples."""
    values: dict[int, float] = {}
    for order in orders:
        lengths = [np.linalg.norm(series.derivative(part, order), axis=2).ravel() for part in parts]
        values[order] = series.quantile(np.concatenate(lengths), 0.9) if lengths else np.nan
    return values


def _regions(parts: list[Segment], low: list[Segment]) -> dict[str, float]:
    residuals = [Segment(p.start_s, p.rate_hz, residual(p)) for p in parts]
    low_residuals = [Segment(p.start_s, p.rate_hz, residual(p)) for p in low]
    values: dict[str, float] = {}
    for region, points in REGIONS.items():
        size = np.concatenate([region_rms(p.values, points) for p in residuals])
        values[f"{region}_jitter_med_iod"] = series.median(size)
        values[f"{region}_jitter_q90_iod"] = series.quantile(size, 0.9)
        for name, chosen, band, least in (
            ("bp3_12", residuals, BAND, MIN_BAND_FPS),
            ("bp1_6_15hz", low_residuals, BAND_15HZ, MIN_LOW_FPS),
        ):
            of_region = [Segment(p.start_s, p.rate_hz, p.values[:, points]) for p in chosen if p.rate_hz >= least]
            values[f"{region}_jitter_{name}"] = series.band_shares(of_region, [band])[0]
    return values


def _states(y_parts: list[Segment], rigid_parts: list[Segment]) -> dict[str, float]:
    """Face against jaw while the head rests, and while it moves."""
    face, jaw, speed, errors = [], [], [], []
    for part, rigid in zip(y_parts, rigid_parts, strict=True):
        e = residual(part)
        errors.append(e)
        face.append(region_rms(e, np.arange(17, 68)))
        jaw.append(region_rms(e, REGIONS["jaw"]))
        speed.append(np.linalg.norm(series.derivative(rigid, 1), axis=1))
    faces, jaws, speeds = np.concatenate(face), np.concatenate(jaw), np.concatenate(speed)
    return {
        "static_ratio": state_ratio(faces, jaws, speeds < STATIC_IOD_S),
        "moving_ratio": state_ratio(faces, jaws, speeds > MOVING_IOD_S),
        "inner_outer_corr": inner_outer_corr(np.concatenate(errors)),
    }


@family("landmark_jitter", version=1, needs={"track"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure the tremble of a track; NaN below 2 s of track, or when flow fails in over half of the steps."""
    face = head(observation, track)
    valid = float(face.seen.mean()) if len(face.seen) else 0.0
    named = {"valid_share": valid}
    before = face.index[1:] - 1  # flow starts at the sample before, be it a repeated frame or not
    displacement = np.full(face.landmarks.shape, np.nan)
    displacement[1:] = track.flow[face.index[1:]].astype(np.float64) - track.landmarks[before]
    calibrated = calibrate(face.landmarks, displacement)
    steps = face.seen[1:] & face.seen[:-1]
    reject = float(np.isnan(displacement[1:][steps]).any(axis=2).mean()) if steps.any() else np.nan
    y = align(calibrated, face.scale_px)
    centre = calibrated[:, RIGID].mean(axis=1) / face.scale_px
    both = series.segments(face.times_s, np.concatenate([y, centre[:, None]], axis=1))
    enough = valid >= series.MIN_VALID_SHARE and sum(p.length_s for p in both) >= MIN_TRACK_S - 0.1
    if enough and reject <= MAX_REJECT_SHARE:
        parts = [Segment(p.start_s, p.rate_hz, p.values[:, :68]) for p in both]
        rigid = [Segment(p.start_s, p.rate_hz, p.values[:, 68]) for p in both]
        fast = series.rate(face.times_s) >= MIN_LOW_FPS
        low = series.segments(face.times_s, y, rate_hz=LOW_HZ) if fast else []
        named |= _regions(parts, low)
        named |= _states(parts, rigid)
        speed, slow = _dynamics(parts, (1, 2, 3)), _dynamics(low, (1, 3))
        named |= {
            "detres_med_iod": series.median(np.linalg.norm(face.landmarks - calibrated, axis=2) / face.scale_px),
            "flow_reject_share": reject,
            "vel_q90": speed[1],
            "acc_q90": speed[2],
            "jerk_q90": speed[3],
            "jerk_over_vel": _log_ratio(speed[3], speed[1]),
            "jerk_q90_15hz": slow[3],
            "jerk_over_vel_15hz": _log_ratio(slow[3], slow[1]),
        }
    missing = {column.name.split(".", 1)[1]: np.nan for column in COLUMNS}
    return {f"landmark_jitter.{name}": value for name, value in (missing | named).items()}
