"""Twenty signals of expression and head over time, from landmarks alone.

They stand in for the action units of the facial action coding system, pitch, roll and distances of the mouth that
Agarwal et al. 2019 read with OpenFace. Points are those of :func:`features.geometry.align`, in the head's own frame, so
that a turn or step of the head moves none; right and left are averaged, so that mirrors agree.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from features import series
from features.geometry import F64, Head, align
from features.series import Segment

GRID_HZ = 25.0
SMOOTH_S = 0.2
BROWS_EYES = ("inner_brow", "outer_brow", "brow_gap", "lid_gap", "upper_lid", "cheek", "lower_lid")
NOSE = ("nose",)
MOUTH = (
    "upper_lip",
    "corner_height",
    "mouth_width",
    "lip_gap",
    "lip_thickness",
    "corner_depth",
    "chin",
    "jaw",
    "mouth_area",
    "corner_asymmetry",
)
HEAD = ("pitch", "roll_speed")
SIGNALS = (*BROWS_EYES, *NOSE, *MOUTH, *HEAD)
"""Their names, in the order of the last axis of every array here."""


def expression_signals(face: Head) -> F64:
    """Signals [n, 20] in each frame: iod, ``mouth_area`` iod^2, ``pitch`` deg, ``roll_speed`` deg/s; NaN where lost.

    Heights count upwards. ``corner_asymmetry`` and ``roll_speed`` are sizes, whose signs a mirror would turn.
    """
    points = align(face.landmarks, scale_px=face.scale_px)

    def apart(i: int, j: int) -> F64:
        return np.hypot(*np.moveaxis(points[:, i] - points[:, j], -1, 0))

    def height(*numbers: int) -> F64:
        return -points[:, list(numbers), 1].mean(axis=1)

    corners = height(36, 39, 42, 45)
    lips = points[:, 60:68]
    x, y = lips[..., 0], lips[..., 1]
    area = 0.5 * np.abs((x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1))
    found = {
        "inner_brow": height(21, 22) - height(27),
        "outer_brow": height(17, 26) - height(36, 45),
        "brow_gap": apart(21, 22),
        "lid_gap": np.mean([apart(37, 41), apart(38, 40), apart(43, 47), apart(44, 46)], axis=0),
        "upper_lid": height(37, 38, 43, 44) - corners,
        "cheek": np.mean([apart(41, 48), apart(46, 54)], axis=0),
        "lower_lid": height(40, 41, 46, 47) - corners,
        "nose": apart(27, 33),
        "upper_lip": apart(33, 51),
        "corner_height": height(48, 54) - height(33),
        "mouth_width": apart(48, 54),
        "lip_gap": apart(62, 66),
        "lip_thickness": np.mean([apart(51, 62), apart(66, 57)], axis=0),
        "corner_depth": height(48, 54) - height(57),
        "chin": apart(57, 8),
        "jaw": apart(33, 8),
        "mouth_area": area,
        "corner_asymmetry": np.abs(points[:, 48, 1] - points[:, 54, 1]),
        "pitch": face.pose_deg[:, 0],
        "roll_speed": roll_speed(face),
    }
    return np.stack([found[name] for name in SIGNALS], axis=1)


def roll_speed(face: Head) -> F64:
    """Size of the change of roll around each frame, deg/s, [n]; NaN where lost, or where no neighbour is seen."""
    roll, times_s = np.radians(face.pose_deg[:, 2]), face.times_s
    if len(roll) < 2:
        return np.full(len(roll), np.nan)
    before, after = np.maximum(np.arange(len(roll)) - 1, 0), np.minimum(np.arange(len(roll)) + 1, len(roll) - 1)
    change = roll[after] - roll[before]
    change = np.arctan2(np.sin(change), np.cos(change))  # across the half turn
    return np.degrees(np.abs(change)) / (times_s[after] - times_s[before])


def smooth_signals(signals: F64, *, times_s: F64) -> list[Segment]:
    """Lay signals [n, 20] on a grid of 25 Hz, split at gaps, and average each over 0.2 s; segments under it go.

    Values of shape (m, 20).
    """
    window = series.savgol_window(GRID_HZ, SMOOTH_S)
    parts = series.segments(signals, times_s=times_s, rate_hz=GRID_HZ)
    return [
        Segment(p.start_s, p.rate_hz, ndimage.uniform_filter1d(p.values, window, axis=0, mode="nearest"))
        for p in parts
        if len(p.values) >= window
    ]
