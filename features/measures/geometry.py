"""Geometry of the 68 landmarks: scale, mirror, alignment, pose, eye openness, regions.

Indices are dlib's / iBUG-300-W's, 0-based. Left and right are the subject's, so the right eye (36-41) lies
on the image's left. Lengths are divided by the clip's inter-ocular distance ``D`` (unit "iod"), never by a frame's own,
which jitters. Everything is float64 and vectorised over frames; a lost frame (NaN) stays NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.arrays import F32, F64
from features.measures.frame_clock import taken_times
from features.measures.freeze_frames import distinct, held
from features.object_cache import ObjectCache
from features.observation import Observation, Track

RIGHT_EYE, LEFT_EYE = np.arange(36, 42), np.arange(42, 48)
REGIONS: dict[str, NDArray[np.int64]] = {
    "jaw": np.arange(0, 17),
    "brows": np.arange(17, 27),
    "nose": np.arange(27, 36),
    "eyes": np.arange(36, 48),
    "mouth": np.arange(48, 68),
}
RIGID = np.r_[27:36, 36, 39, 42, 45]  # nose and eye corners: bone moves them, not expression
POSE_POINTS = np.r_[17:36, 36, 39, 42, 45, 48, 54]  # brows, nose, eye and mouth corners
MIRROR = np.r_[
    16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40,
    54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1,
]  # fmt: skip
"""Landmark i of the mirrored image is landmark ``MIRROR[i]`` of the original; applied twice, it changes nothing."""
FRONTAL_YAW_DEG = 25.0  # D comes from frames that look this straight at the camera
FRONTAL_FRAMES_MIN = 10  # fewer: D comes from all frames

# Mean face, x right, y down, z away from the camera, in iod, origin between the eyes. Rank-3 factorisation
# (Tomasi & Kanade 1992) of dlib's landmarks on 2,297 portraits (LFW, FFHQ) and their mirror images.
FACE_MODEL: F64 = np.array(
    [
        (-1.18, 0.05, 1.23),
        (-1.17, 0.35, 1.16),
        (-1.14, 0.66, 1.12),
        (-1.08, 0.96, 1.06),
        (-0.98, 1.24, 0.90),
        (-0.80, 1.48, 0.66),
        (-0.57, 1.69, 0.37),
        (-0.30, 1.85, 0.10),
        (0.00, 1.90, 0.00),
        (0.30, 1.85, 0.10),
        (0.57, 1.69, 0.37),
        (0.80, 1.48, 0.66),
        (0.98, 1.24, 0.90),
        (1.08, 0.96, 1.06),
        (1.14, 0.66, 1.12),
        (1.17, 0.35, 1.16),
        (1.18, 0.05, 1.23),
        (-0.93, -0.19, 0.25),
        (-0.79, -0.32, 0.04),
        (-0.59, -0.36, -0.14),
        (-0.38, -0.34, -0.28),
        (-0.19, -0.27, -0.37),
        (0.19, -0.27, -0.37),
        (0.38, -0.34, -0.28),
        (0.59, -0.36, -0.14),
        (0.79, -0.32, 0.04),
        (0.93, -0.19, 0.25),
        (0.00, -0.04, -0.39),
        (0.00, 0.15, -0.53),
        (0.00, 0.34, -0.69),
        (0.00, 0.54, -0.85),
        (-0.23, 0.68, -0.42),
        (-0.12, 0.72, -0.50),
        (0.00, 0.76, -0.56),
        (0.12, 0.72, -0.50),
        (0.23, 0.68, -0.42),
        (-0.69, 0.01, 0.10),
        (-0.57, -0.06, -0.01),
        (-0.43, -0.06, -0.04),
        (-0.30, 0.02, -0.02),
        (-0.43, 0.05, -0.03),
        (-0.58, 0.05, 0.00),
        (0.30, 0.02, -0.02),
        (0.43, -0.06, -0.04),
        (0.57, -0.06, -0.01),
        (0.69, 0.01, 0.10),
        (0.58, 0.05, 0.00),
        (0.43, 0.05, -0.03),
        (-0.45, 1.08, 0.06),
        (-0.29, 0.99, -0.25),
        (-0.12, 0.96, -0.41),
        (0.00, 0.98, -0.43),
        (0.12, 0.96, -0.41),
        (0.29, 0.99, -0.25),
        (0.45, 1.08, 0.06),
        (0.30, 1.23, -0.16),
        (0.13, 1.29, -0.31),
        (0.00, 1.31, -0.34),
        (-0.13, 1.29, -0.31),
        (-0.30, 1.23, -0.16),
        (-0.38, 1.08, 0.01),
        (-0.12, 1.05, -0.37),
        (0.00, 1.06, -0.39),
        (0.12, 1.05, -0.37),
        (0.38, 1.08, 0.01),
        (0.13, 1.15, -0.32),
        (0.00, 1.16, -0.34),
        (-0.13, 1.15, -0.32),
    ]
)


def inter_ocular_distance(landmarks: F64 | F32) -> F64:
    """Inter-ocular distance: between the centroids of the two eyes, [...], px, of ``landmarks`` [..., 68, 2].

    >>> round(float(inter_ocular_distance(90.0 * FACE_MODEL[:, :2])), 1)
    90.0
    """
    points = np.asarray(landmarks, dtype=np.float64)
    gap = points[..., LEFT_EYE, :].mean(axis=-2) - points[..., RIGHT_EYE, :].mean(axis=-2)
    return np.hypot(gap[..., 0], gap[..., 1])


def clip_scale(landmarks: F64 | F32, *, yaw_deg: F64) -> float:
    """``D``: median inter-ocular distance over frames with absolute yaw below 25 degrees; over all if under 10 are.

    Parameters
    ----------
    landmarks : ndarray of shape (n, 68, 2)
        Pixels; NaN where the face was lost.
    yaw_deg : ndarray of shape (n,)
        From :func:`pose`.

    Returns
    -------
    float
        Pixels; NaN without a face, or when the eyes coincide.
    """
    distance = inter_ocular_distance(landmarks)
    frontal = np.isfinite(distance) & (np.abs(yaw_deg) < FRONTAL_YAW_DEG)
    chosen = distance[frontal if frontal.sum() >= FRONTAL_FRAMES_MIN else np.isfinite(distance)]
    scale = float(np.median(chosen)) if chosen.size else np.nan
    return scale if scale > 0 else np.nan


def pose(landmarks: F64 | F32) -> F64:
    """Head pose of each frame, from a weak-perspective fit of the mean face to brows, nose and corners.

    Good to a few degrees: meant for gates (which frames are frontal), not for measuring motion.

    Parameters
    ----------
    landmarks : ndarray of shape (n, 68, 2)
        Pixels, x right, y down.

    Returns
    -------
    ndarray of shape (n, 3)
        Pitch (+ nose down), yaw (+ nose to image left), roll (+ clockwise in the image), degrees; NaN where the
        face was lost, or its points coincide.

    Examples
    --------
    >>> bool(np.abs(pose(90.0 * FACE_MODEL[None, :, :2])).max() < 1e-6)
    True
    """
    model = FACE_MODEL[POSE_POINTS] - FACE_MODEL[POSE_POINTS].mean(axis=0)
    points = np.asarray(landmarks, dtype=np.float64)[:, POSE_POINTS]
    angles = np.full((len(points), 3), np.nan)
    seen = np.isfinite(points).all(axis=(1, 2)) & (np.ptp(points, axis=1).min(axis=1) > 0)
    centred = points[seen] - points[seen].mean(axis=1, keepdims=True)
    affine = np.swapaxes(np.linalg.pinv(model) @ centred, 1, 2)  # [n, 2, 3]
    u, _, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt  # nearest pair of orthonormal rows
    third = np.cross(rows[:, 0], rows[:, 1])
    pitch = np.arctan2(third[:, 1], third[:, 2])
    yaw = np.arcsin(np.clip(-third[:, 0], -1.0, 1.0))
    roll = np.arctan2(rows[:, 1, 0], rows[:, 0, 0])
    angles[seen] = np.degrees(np.stack([pitch, yaw, roll], axis=1))
    return angles


def similarity(points: F64, *, target: F64) -> tuple[F64, F64, F64]:
    """Least-squares similarities that carry point sets onto a target (Umeyama 1991, no reflection).

    Parameters
    ----------
    points : ndarray of shape (n, p, 2)
    target : ndarray of shape (p, 2) or (n, p, 2)

    Returns
    -------
    rotation : ndarray of shape (n, 2, 2)
        Rotation times scale, for row vectors: ``q @ rotation``.
    source_centre, target_centre : ndarray of shape (n, 2)
        ``(q - source_centre) @ rotation + target_centre`` maps a point q. NaN where points are NaN or coincide.
    """
    target = np.broadcast_to(target, points.shape)
    source_centre, target_centre = points.mean(axis=1), target.mean(axis=1)
    a, b = points - source_centre[:, None], target - target_centre[:, None]
    dot = (a * b).sum(axis=(1, 2))
    cross = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(axis=1)
    size = (a**2).sum(axis=(1, 2))
    size = np.where(size > 0, size, np.nan)
    c, s = dot / size, cross / size  # in the plane Umeyama's fit is one complex number, cos and sin times scale
    rotation = np.stack([np.stack([c, s], axis=1), np.stack([-s, c], axis=1)], axis=1)
    return rotation, source_centre, target_centre


def align(landmarks: F64 | F32, *, scale_px: float) -> F64:
    """Landmarks in the head's own frame: each frame laid on the clip's median shape by its rigid points.

    Parameters
    ----------
    landmarks : ndarray of shape (n, 68, 2)
        Pixels; NaN where lost.
    scale_px : float
        ``D`` of :func:`clip_scale`.

    Returns
    -------
    ndarray of shape (n, 68, 2)
        In iod, eyes level, origin at the centroid of the rigid points; NaN where lost.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if not np.isfinite(points).any() or not np.isfinite(scale_px):
        return np.full(points.shape, np.nan)
    centred = points - points[:, RIGID].mean(axis=1, keepdims=True)
    gap = points[:, LEFT_EYE].mean(axis=1) - points[:, RIGHT_EYE].mean(axis=1)
    c, s = (gap / np.where(inter_ocular_distance(points) > 0, inter_ocular_distance(points), np.nan)[:, None]).T
    level = np.stack([np.stack([c, -s], axis=1), np.stack([s, c], axis=1)], axis=1)
    seen = np.isfinite(points).all(axis=(1, 2)) & np.isfinite(c)
    if not seen.any():
        return np.full(points.shape, np.nan)
    median_shape = np.median((centred @ level)[seen], axis=0) / scale_px
    rotation, source, target = similarity(points[:, RIGID], target=median_shape[RIGID])
    return (points - source[:, None]) @ rotation + target[:, None]


def eye_aspect_ratio(landmarks: F64 | F32) -> F64:
    """Eye aspect ratio (EAR) of the right and left eye: ``(|p1-p5| + |p2-p4|) / (2 |p0-p3|)``.

    p0 to p5 are the eye's points, p0 and p3 its corners (Soukupova & Cech 2016).

    Parameters
    ----------
    landmarks : ndarray of shape (n, 68, 2)

    Returns
    -------
    ndarray of shape (n, 2)
        About 0.3 for an open eye, 0 for a shut one; NaN where lost, or for an eye without width.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    eyes = np.stack([points[:, RIGHT_EYE], points[:, LEFT_EYE]], axis=1)  # [n, 2, 6, 2]

    def apart(i: int, j: int) -> F64:
        return np.linalg.norm(eyes[:, :, i] - eyes[:, :, j], axis=-1)

    width = apart(0, 3)
    return (apart(1, 5) + apart(2, 4)) / np.where(width > 0, 2.0 * width, np.nan)


def rescaled(points: F64, factor: float) -> F64:
    """Map points in px of an image to px of the same image scaled by ``factor``; pixel p covers [p - 0.5, p + 0.5].

    >>> rescaled(np.array([-0.5, 0.0, 99.5]), 2.0).tolist()
    [-0.5, 0.5, 199.5]
    """
    return (points + 0.5) * factor - 0.5


def crop_landmarks(track: Track, number: int) -> F64:
    """Landmarks [68, 2] in px of the track's crop ``number``; NaN where the face was lost in that frame."""
    left, top, side = track.crop_box[number].astype(np.float64)
    points = track.landmarks[track.crop_index[number]].astype(np.float64)
    scale = track.crops[number].shape[0] / side
    return rescaled(points - (left, top), scale)


@dataclass(frozen=True)
class HeadTrack:
    """A track's landmarks without repeated frames, with pose and scale: the input of every geometric family."""

    index: NDArray[np.int64]
    """[n] positions in the track."""
    times_s: F64
    """[n] times from :func:`features.measures.frame_clock.taken_times`, by the motion of the clip's faces."""
    landmarks: F64
    """[n, 68, 2] px."""
    pose_deg: F64
    """[n, 3] pitch, yaw and roll from :func:`pose`."""
    scale_px: float
    """D of :func:`clip_scale`."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """[n] true where the face was found."""
        return np.asarray(np.isfinite(self.landmarks).all(axis=(1, 2)), dtype=np.bool_)

    @property
    def yaw_deg(self) -> F64:
        """[n] yaw in degrees, positive with the nose to the left of the image."""
        return self.pose_deg[:, 1]


_heads: ObjectCache[HeadTrack] = ObjectCache(most=4)  # shared by all families: the people of one clip


def head(observation: Observation, track: Track) -> HeadTrack:
    """Take a track's distinct frames, with pose and scale.

    The result is computed once for each pair of objects; its arrays are read-only, since all families share them.
    """
    return _heads.get(track, observation, lambda: _head(observation, track))


def moving_head(observation: Observation, track: Track) -> HeadTrack:
    """Return :func:`head` without the samples in which a still is held (:func:`features.measures.freeze_frames.held`).

    Nobody blinks, speaks or moves in a freeze frame: cues of motion leave it out. The scale is that of the whole track.
    """
    whole = head(observation, track)  # before the cache is asked: it forgets values made in between
    return _heads.get(track, observation, lambda: _without_stills(whole, observation, track), key="moving")


def _without_stills(whole: HeadTrack, observation: Observation, track: Track) -> HeadTrack:
    kept = ~held(observation, track)[whole.index]
    if kept.all():
        return whole
    arrays = {name: getattr(whole, name)[kept] for name in ("index", "times_s", "landmarks", "pose_deg")}
    for array in arrays.values():
        array.flags.writeable = False
    return replace(whole, **arrays)


def _head(observation: Observation, track: Track) -> HeadTrack:
    index = distinct(observation, track)
    landmarks = track.landmarks[index].astype(np.float64)
    pose_deg = pose(landmarks)
    times_s = taken_times(observation, paths=_paths(observation))[track.frame_index[index]]
    for array in (index, landmarks, pose_deg, times_s):
        array.flags.writeable = False
    return HeadTrack(index, times_s, landmarks, pose_deg, scale_px=clip_scale(landmarks, yaw_deg=pose_deg[:, 1]))


def _paths(observation: Observation) -> Iterator[F64]:
    """Yield, for each face, the centres of its regions in each frame of the clip, [n, 10] px; NaN where not seen."""
    for track in observation.tracks:
        path = np.full((len(observation.times_s), 2 * len(REGIONS)), np.nan)
        regions = [track.landmarks[:, points].mean(axis=1, dtype=np.float64) for points in REGIONS.values()]
        path[track.frame_index] = np.concatenate(regions, axis=1)
        yield path
