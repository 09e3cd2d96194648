"""head_pose: whether the inner face is turned as the whole head is, and how smoothly the head turns.

A face pasted into another head keeps a pose of its own, so the pose of the inner points (17-35, 48, 54: brows, nose,
corners of the mouth) differs from that of the whole set, which has the jaw line as well; no set has the eyes (Yang et
al. 2019, "Exposing Deep Fakes Using Inconsistent Head Poses", and its code; there AUC 0.89, by an SVM on the plain
differences). Each frame has both poses by a perspective fit (:mod:`features.measures.perspective`) of one symmetric
mean face. The focal length is one frame width, as published, but at least 12 iod: in a video cropped to the face the
frame says nothing about the camera, and nobody is filmed from nearer than that (black bars beside the video count as
frame). Translations are compared as fractions of the distance. "Angle" is that of ``R = R_inner R_whole^T``.

Left out: frames turned by over 45 degrees, and those where a fit misses the landmarks by over 0.15 iod.

Confounds: a person's own face against the mean one (a constant difference that a real face has, too), the detector's
noise (1 px of 92 gives 0.5 degrees in one frame, hence the mean vector, in which it cancels), expression (brows), the
unknown focal length, frame rate (speed, acceleration, jerk: undefined below 14.3 frames per second, where five samples
last longer than 0.35 s; in a clip of variable frame rate, which is resampled by linear interpolation, noise comes out
smaller and the jerk of real motion up to 40 % larger; several times larger where frames are shown at other moments than
they were taken, as by a rate conversion that :func:`features.measures.frame_clock.taken_times` doesn't recognise:
repeats that are not equal, fewer than four of them (24 shown at 25 below 4 s), or a noisy or still face). Others found
the published feature at chance on FaceForensics++ and Celeb-DF (AUC 0.47 and 0.55; doi 10.1186/s13640-023-00614-z). On
unseen manipulations it tells the source rather than the forgery; beside its original, a swapped face jerks more inside
than its jaw does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.evidence import Series
from features.measures import robust, series
from features.measures.comparison import log_ratio
from features.measures.geometry import REGIONS, HeadTrack, moving_head
from features.measures.perspective import Pose, fit, only, rotation_matrices, rotation_vectors
from features.measures.series import Segment
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

INNER = np.r_[17:36, 48, 54]
WHOLE = np.r_[0:36, 48, 54]
MAX_YAW_DEG = 45.0
MAX_MISS_IOD = 0.15
NEAREST_IOD = 12.0  # from the camera, three quarters of a metre
MIN_FRAMES = 20
MIN_JAW_IN_VIEW = 12
RANGE = (0.05, 0.95)  # quantiles whose distance is a range
AXES = ("pitch", "yaw", "roll")

_REFERENCE = "Yang et al. 2019"
_ALL = EVERY_CHANGE - {"translation"}  # perspective depends on the place in the frame
_UNMIRRORED = _ALL - {"mirror"}

_column = columns_of("head_pose", unit="deg", range=(0.0, inf), reference=_REFERENCE, direction="up", invariant_to=_ALL)


_TURN = "between the way the inner face (brows, nose, corners of the mouth) is turned and the whole head with its jaw"

COLUMNS = (
    _column("diff_angle_med_deg", f"Typical (median) angle {_TURN}, in degrees.", range=(0.0, 180)),
    _column("diff_angle_q90_deg", f"Angle {_TURN} in the worst tenth of the frames, in degrees.", range=(0.0, 180)),
    _column(
        "diff_meanvec_deg",
        f"Angle {_TURN}, averaged over the clip with its direction, in degrees; noise of single frames cancels.",
        range=(0.0, 180),
    ),
    *(
        _column(
            f"diff_{axis}_deg",
            f"Typical (median) part of the turn {_TURN} about the {words} axis, in degrees, with its sign.",
            range=(-180, 180), direction="either", invariant_to=_ALL if axis == "x" else _UNMIRRORED,
        )
        for axis, words in (("x", "left-right"), ("y", "vertical"), ("z", "viewing"))
    ),
    _column(
        "diff_cos_med",
        "Typical (median) difference between the directions in which the inner face and the whole head look: 1 minus "
        "the cosine of the angle between them.",
        unit="1", range=(0.0, 2),
    ),
    _column(
        "diff_t_med",
        "Typical (median) distance between the places of the inner face and of the whole head, as a fraction of the "
        "distance from the camera.",
        unit="1",
    ),
    _column(
        "reproj_inner_iod",
        "How far the inner face's points typically (median) lie from a mean face turned to fit them, as a fraction of "
        "the distance between the eyes.",
        unit="iod", range=(0.0, MAX_MISS_IOD),
    ),
    _column(
        "reproj_whole_iod",
        "How far the points of the whole face typically (median) lie from a mean face turned to fit them, as a "
        "fraction of the distance between the eyes.",
        unit="iod", range=(0.0, MAX_MISS_IOD),
    ),
    _column(
        "vel_q90_deg_s", "Speed at which the head turns in its fastest tenth, in degrees per second.",
        unit="deg/s",
    ),
    _column(
        "acc_q90_deg_s2",
        "Acceleration of the head's turns in the tenth of the frames with the most, in degrees per second squared.",
        unit="deg/s^2",
    ),
    _column(
        "jerk_q90_deg_s3",
        "Jerk of the head's turns (how much acceleration changes in a second; large if motion is abrupt) in the "
        "jerkiest tenth of the frames, in degrees per second cubed.",
        unit="deg/s^3",
    ),
    _column(
        "jerk_inner_over_outer",
        "How much more abruptly the inner face turns than the jaw line: the logarithm of the ratio of their jerks; "
        "above 0 if it does.",
        unit="1", range=(-inf, inf), reference="inner face against jaw, after Yang et al. 2019",
    ),
    *(
        _column(
            f"{axis}_range_deg",
            f"How far the head {verb} over the clip, without the outermost tenth, in degrees.",
            range=(0.0, 360), direction="covariate", reference="pose of the whole face",
        )
        for axis, verb in zip(AXES, ("nods", "turns", "tilts"), strict=True)
    ),
    Column(
        "head_pose.valid_share", range=(0, 1), direction="covariate", invariant_to=_ALL,
        description="Fraction of the frames, from the face's first to its last, in which the pose of the inner face "
        "and of the whole head could be estimated.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Poses:
    """Both poses of a face in each of n frames: what series and columns are both made of."""

    face: HeadTrack
    inner: Pose
    whole: Pose
    difference: F64
    """[n, 3] rotation vector of ``R_inner R_whole^T``, rad; NaN in frames left out."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """[n] True where both poses hold."""
        return np.asarray(np.isfinite(self.difference).all(axis=1), dtype=np.bool_)

    @property
    def angle_deg(self) -> F64:
        """[n] angle between the two."""
        return np.degrees(np.linalg.norm(self.difference, axis=1))

    @property
    def valid_share(self) -> float:
        """Fraction of usable frames."""
        return float(self.usable.mean()) if len(self.difference) else 0.0

    @property
    def enough(self) -> bool:
        """Whether there are columns: 20 frames, a fifth of all."""
        return self.valid_share >= series.MIN_VALID_SHARE and self.usable.sum() >= MIN_FRAMES


def focal_length_px(face: HeadTrack, *, frame_size: tuple[int, int]) -> float:
    """One frame width, but at least 12 iod; NaN without a face."""
    return float(max(frame_size[0], NEAREST_IOD * face.scale_px)) if np.isfinite(face.scale_px) else np.nan


def poses(face: HeadTrack, *, frame_size: tuple[int, int]) -> Poses:
    """Fit the inner and the whole face in each frame; NaN where one does not fit or the head is turned away."""
    focal_px = focal_length_px(face, frame_size=frame_size)
    inner, whole = (
        fit(face.landmarks, points=points, frame_size=frame_size, focal_px=focal_px) for points in (INNER, WHOLE)
    )
    miss = np.maximum(inner.error_px, whole.error_px) / face.scale_px
    ok = (miss <= MAX_MISS_IOD) & (np.abs(whole.angles_deg[:, 1]) <= MAX_YAW_DEG)
    inner, whole = only(inner, ok), only(whole, ok)
    return Poses(face, inner, whole, rotation_vectors(inner.rotation @ np.swapaxes(whole.rotation, 1, 2)))


def mean_vector_deg(vectors: F64) -> float:
    """Length in degrees of the mean of rotation vectors [n, 3] in rad; those of NaN don't count.

    >>> round(mean_vector_deg(np.radians([[1.0, 0, 0], [3.0, 0, 0], [2.0, 5.0, 0], [2.0, -5.0, 0]])), 6)
    2.0
    """
    ok = np.isfinite(vectors).all(axis=1)
    return float(np.degrees(np.linalg.norm(vectors[ok].mean(axis=0)))) if ok.any() else np.nan


def turn_rates(pose: Pose, *, times_s: F64) -> list[Segment]:
    """Angular velocity of a head, deg/s, values of shape (m, 3), from the turn between neighbouring frames.

    Gaps up to 0.12 s are bridged; a segment of one frame gives none.
    """
    rates = []
    for part in series.segments(rotation_vectors(pose.rotation), times_s=times_s):
        rotation = rotation_matrices(part.values)
        steps = rotation_vectors(rotation[1:] @ np.swapaxes(rotation[:-1], 1, 2))
        rates.append(Segment(part.start_s + 0.5 / part.rate_hz, part.rate_hz, np.degrees(steps) * part.rate_hz))
    return rates


def turn_q90(rates: Sequence[Segment], *, order: int) -> float:
    """90 % quantile of the size of the ``order``-th derivative of angular velocities, deg/s^(order + 1).

    Savitzky-Golay over 0.23 s; order 0 smooths. NaN below 20 samples, and below 14.3 a second.

    Parameters
    ----------
    rates : sequence of Segment
        From :func:`turn_rates`.
    order : int
        0 for speed, 1 for acceleration, 2 for jerk.
    """
    sizes = [np.linalg.norm(series.smoothed(part, order=order), axis=1) for part in rates]
    return robust.quantile(np.concatenate(sizes), 0.9) if sizes else np.nan


def jaw_pose(measured: Poses, *, frame_size: tuple[int, int]) -> Pose:
    """Pose of the jaw line alone (0-16), from the whole head's; NaN with under 12 of its points in the frame."""
    jaw = measured.face.landmarks[:, REGIONS["jaw"]]
    inside = ((jaw >= 0) & (jaw <= np.asarray(frame_size) - 1)).all(axis=2).sum(axis=1)
    focal_px = focal_length_px(measured.face, frame_size=frame_size)
    fitted = fit(
        measured.face.landmarks, points=REGIONS["jaw"], frame_size=frame_size, focal_px=focal_px, start=measured.whole
    )
    return only(fitted, inside >= MIN_JAW_IN_VIEW)


def difference_columns(measured: Poses) -> dict[str, float]:
    """Columns of the difference of the two poses and of how well each fits."""
    degrees = np.degrees(measured.difference)
    axes = {f"diff_{axis}_deg": robust.median(degrees[:, k]) for k, axis in enumerate("xyz")}
    looks = (measured.inner.rotation[:, :, 2] * measured.whole.rotation[:, :, 2]).sum(axis=1)
    apart = np.linalg.norm(measured.inner.translation - measured.whole.translation, axis=1)
    return axes | {
        "diff_angle_med_deg": robust.median(measured.angle_deg),
        "diff_angle_q90_deg": robust.quantile(measured.angle_deg, 0.9),
        "diff_meanvec_deg": mean_vector_deg(measured.difference),
        "diff_cos_med": robust.median(np.clip(1.0 - looks, 0.0, 2.0)),
        "diff_t_med": robust.median(apart / np.linalg.norm(measured.whole.translation, axis=1)),
        "reproj_inner_iod": robust.median(measured.inner.error_px / measured.face.scale_px),
        "reproj_whole_iod": robust.median(measured.whole.error_px / measured.face.scale_px),
    }


def motion_columns(measured: Poses, *, frame_size: tuple[int, int]) -> dict[str, float]:
    """Columns of how the head turns."""
    times_s = measured.face.times_s
    vel, acc, jerk = (turn_q90(turn_rates(measured.whole, times_s=times_s), order=order) for order in (0, 1, 2))
    inner, outer = (
        turn_q90(turn_rates(pose, times_s=times_s), order=2)
        for pose in (measured.inner, jaw_pose(measured, frame_size=frame_size))
    )
    angles = measured.whole.angles_deg
    ranges = {
        f"{axis}_range_deg": robust.quantile(angles[:, k], RANGE[1]) - robust.quantile(angles[:, k], RANGE[0])
        for k, axis in enumerate(AXES)
    }
    return ranges | {
        "vel_q90_deg_s": vel,
        "acc_q90_deg_s2": acc,
        "jerk_q90_deg_s3": jerk,
        "jerk_inner_over_outer": log_ratio(inner, outer),
    }


def pose_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``head_pose.difference``: the angle between inner face and whole head in each frame; empty without columns.

    NaN in frames that are left out. The columns ``diff_angle`` are its quantiles.
    """
    measured = poses(moving_head(observation, track), frame_size=observation.frame_size)
    if not measured.enough:
        return {}
    title = "Inner face turned against the head"
    return {"head_pose.difference": Series(measured.face.times_s, measured.angle_deg, unit="deg", title=title)}


@family("head_pose", version=5, needs={"track"}, columns=COLUMNS, series=pose_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure the two poses of a track; NaN below 20 frames in which both can be estimated."""
    measured = poses(moving_head(observation, track), frame_size=observation.frame_size)
    named = {"valid_share": measured.valid_share}
    if measured.enough:
        named |= difference_columns(measured)
        named |= motion_columns(measured, frame_size=observation.frame_size)
    return complete_row(COLUMNS, named)
