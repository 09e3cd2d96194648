"""Fuse landmarks with optical flow, and measure their motion from flow alone.

The landmark detector jitters and flow drifts; a Kalman filter for each point weighs both by their reliability (LRNet:
Sun et al. 2021).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.measures import robust
from features.measures.geometry import RIGID, HeadTrack, similarity
from features.observation import LANDMARK_SCALE, LANDMARK_SIDE_PX, Track

KALMAN_Q = 0.3  # process noise of LRNet's calibrator per frame of its videos ...
KALMAN_HZ = 30.0  # ... which have about this many frames per second


def flow_displacement(face: HeadTrack, *, track: Track) -> F64:
    """Return each point's displacement [n, 68, 2] by optical flow since the frame before, in px; NaN if unreliable."""
    displacement = np.full(face.landmarks.shape, np.nan)
    before = face.index[1:] - 1  # flow starts at the sample before, be it a repeated frame or not
    displacement[1:] = track.flow[face.index[1:]].astype(np.float64) - track.landmarks[before]
    return displacement


def flow_steps(face: HeadTrack, *, track: Track, displacement: F64) -> F64:
    """Return the motion [n, 68, 2] of each point relative to the head by optical flow, between frames, in iod.

    The similarity transform that moves the rigid points is removed; gaps of a point are interpolated in time. NaN where
    the face is lost in this frame or the one before.

    Parameters
    ----------
    face : HeadTrack
        Head track of n frames.
    track : Track
        Track that ``face`` was made from.
    displacement : ndarray of shape (n, 68, 2)
        From :func:`flow_displacement`.
    """
    before = np.full(face.landmarks.shape, np.nan)
    before[1:] = track.landmarks[face.index[1:] - 1]
    after = before + _bridged(displacement)
    rotation, source, target = similarity(before[:, RIGID], target=after[:, RIGID])
    steps = (after - (before - source[:, None]) @ rotation - target[:, None]) / face.scale_px
    steps[~face.seen] = np.nan
    return steps


def _bridged(values: F64) -> F64:
    """Values [n, p, 2] whose gaps are interpolated in time, for each point; NaN for a point that has none."""
    flat = values.reshape(len(values), -1).copy()
    at = np.arange(len(flat))
    for column in flat.T:
        ok = np.isfinite(column)
        if ok.any():
            column[~ok] = np.interp(at[~ok], at[ok], column[ok])
    return flat.reshape(values.shape)


def flow_reject_share(displacement: F64, *, seen: NDArray[np.bool_]) -> float:
    """Fraction of untrusted points in the steps between two frames with a face; NaN without such a step.

    Parameters
    ----------
    displacement : ndarray of shape (n, p, 2)
        From :func:`flow_displacement`.
    seen : ndarray of shape (n,)
        True where the face was found.
    """
    steps = seen[1:] & seen[:-1]
    return float(np.isnan(displacement[1:][steps]).any(axis=2).mean()) if steps.any() else np.nan


def half_grid_px(track: Track) -> float:
    """Half a pixel of the grid on which the landmarks of a track were found, in px of the frame; NaN without a box."""
    sides = (track.box[:, 2:] - track.box[:, :2]).max(axis=1)
    return 0.5 * LANDMARK_SCALE / LANDMARK_SIDE_PX * robust.median(sides, 1)


def calibrate(detected: F64, *, displacement: F64, rate_hz: float = KALMAN_HZ, rounding_px: float = 0.0) -> F64:
    """Fuse detected points with optical flow: one scalar Kalman filter per point.

    ``R = |z' - z| / |flow|`` (1 for no flow), ``P += Q``, ``K = P / (P + R)``, ``x' = p + K (z' - p)`` with
    ``p = x + flow``, ``P = (1 - K) P`` (Sun et al. 2021, code of the calibrator). Two things differ, for clips of
    many frames a second: a detection that stays on its whole pixel while the face moves by less than one is no exact
    one, so ``|z' - z|`` counts as half a pixel at least; and ``Q`` is of a time, ``0.3 * 30 / rate_hz``.

    Parameters
    ----------
    detected : ndarray of shape (n, p, 2)
        Landmarks; NaN where lost.
    displacement : ndarray of shape (n, p, 2)
        How flow moves each point from sample t-1 to t; NaN where untrusted: the detection is taken, P stays.
    rate_hz : float
        Frames per second.
    rounding_px : float
        From :func:`half_grid_px`; 0 for points that are not rounded.

    Returns
    -------
    ndarray of shape (n, p, 2)
        Calibrated landmarks; NaN where lost.
    """
    calibrated = detected.copy()
    variance = np.zeros(detected.shape[1])
    process = KALMAN_Q * KALMAN_HZ / rate_hz
    move = np.maximum(np.linalg.norm(np.diff(detected, axis=0, prepend=detected[:1]), axis=2), rounding_px)
    flow = np.linalg.norm(displacement, axis=2)
    trusted = np.isfinite(flow) & np.isfinite(move)
    noise = np.where(flow > 0, move / np.where(flow > 0, flow, 1.0), move)
    for t in range(1, len(detected)):
        ok = trusted[t] & np.isfinite(calibrated[t - 1, :, 0])
        raised = variance + process
        gain = raised / (raised + np.where(ok, noise[t], 0.0))
        predicted = calibrated[t - 1] + displacement[t]
        fused = predicted + gain[:, None] * (detected[t] - predicted)
        calibrated[t] = np.where(ok[:, None], fused, detected[t])
        variance = np.where(ok, (1.0 - gain) * raised, variance)
    return calibrated


def detection_residual(*, detected: F64, calibrated: F64, scale_px: float) -> float:
    """Median of ``|z - x| / D`` over points and frames, iod; NaN below 5 points.

    Parameters
    ----------
    detected, calibrated : ndarray of shape (n, p, 2)
        Before and after :func:`calibrate`, px.
    scale_px : float
        ``D``.
    """
    return robust.median(np.linalg.norm(detected - calibrated, axis=2) / scale_px)
