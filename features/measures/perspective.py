"""Perspective pose: the rotation and place of a head under a pinhole camera, fitted to some of its landmarks.

:func:`features.measures.geometry.pose` says which frames are frontal; this says how a face is turned when only some of
its points are asked. The camera looks through the middle of the frame, without distortion. All frames are fitted at
once by Levenberg and Marquardt's method.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from features.arrays import F64
from features.measures.geometry import FACE_MODEL

MAX_ITERATIONS = 30
STEP_TOLERANCE = 1e-8  # radians, and iod over the distance
FIRST_DAMPING, LEAST_DAMPING = 1e-3, 1e-12
LEAST_POINTS = 4  # of a pose: three have several solutions


@dataclass(frozen=True)
class Pose:
    """Pose of a head in each of n frames; NaN where it can't be fitted.

    A point ``m`` of :data:`features.measures.geometry.FACE_MODEL` lies at ``rotation @ m + translation`` before the
    camera, x right, y down, z away from it, in iod; a face that looks straight at the camera has no rotation.
    """

    rotation: F64
    """[n, 3, 3]."""
    translation: F64
    """[n, 3] iod; the third is above 0."""
    error_px: F64
    """[n] root mean square distance of the projected points from the landmarks."""

    @property
    def angles_deg(self) -> F64:
        """[n, 3] pitch (+ nose down), yaw (+ nose to image left), roll (+ clockwise): ``R = Rz Ry Rx``."""
        r = self.rotation
        pitch = np.arctan2(r[:, 2, 1], r[:, 2, 2])
        yaw = np.arcsin(np.clip(-r[:, 2, 0], -1.0, 1.0))
        return np.degrees(np.stack([pitch, yaw, np.arctan2(r[:, 1, 0], r[:, 0, 0])], axis=1))


def rotation_vectors(rotations: F64) -> F64:
    """Axis times angle in radians, [n, 3], of rotations [n, 3, 3]; NaN for one that is NaN.

    >>> rotation_vectors(np.eye(3)[None]).tolist()
    [[0.0, 0.0, 0.0]]
    """
    vectors = np.full((len(rotations), 3), np.nan)
    ok = np.isfinite(rotations).all(axis=(1, 2))
    if ok.any():
        vectors[ok] = Rotation.from_matrix(rotations[ok]).as_rotvec()
    return vectors


def rotation_matrices(vectors: F64) -> F64:
    """Inverse of :func:`rotation_vectors`, of finite vectors [n, 3]."""
    return np.asarray(Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix(), dtype=np.float64)


def fit(
    landmarks: F64,
    *,
    points: NDArray[np.int64],
    frame_size: tuple[int, int],
    focal_px: float,
    start: Pose | None = None,
) -> Pose:
    """Pose of the mean face whose projection comes nearest to some of the landmarks.

    The sum of squared distances in px is least. The start is a weak-perspective fit of the same points; a set that
    nearly lies in a plane fits almost as well turned the other way, and needs a ``start``.

    Parameters
    ----------
    landmarks : ndarray of shape (n, 68, 2)
        Pixels of the full frame, x right, y down; NaN where lost.
    points : ndarray of int
        Which of the 68 to fit, at least 4.
    frame_size : (int, int)
        Width and height in px.
    focal_px : float
        Focal length in px, above 0.
    start : Pose, optional
        Of the same n frames; one of NaN is left out.

    Returns
    -------
    Pose
        NaN where a landmark is lost, the points coincide, or the head would lie behind the camera.

    Raises
    ------
    ValueError
        Fewer than four points.

    Examples
    --------
    >>> ahead = FACE_MODEL + (0.0, 0.0, 10.0)
    >>> seen = 1000.0 * ahead[None, :, :2] / ahead[None, :, 2:] + (499.5, 299.5)
    >>> found = fit(seen, points=np.arange(36), frame_size=(1000, 600), focal_px=1000.0)
    >>> round(float(found.translation[0, 2]), 6), bool(np.abs(found.angles_deg).max() < 1e-6)
    (10.0, True)
    """
    if len(points) < LEAST_POINTS:
        raise ValueError(f"{len(points)} points; a pose needs at least {LEAST_POINTS}")
    centre = (np.asarray(frame_size, dtype=np.float64) - 1.0) / 2.0  # of pixel centres, so that mirrors agree
    seen = (np.asarray(landmarks, dtype=np.float64)[:, points] - centre) / focal_px
    model = FACE_MODEL[points]
    first = _weak_perspective(seen, model) if start is None else start
    ok = np.isfinite(seen).all(axis=(1, 2)) & np.isfinite(first.translation).all(axis=1)
    rotation, translation, error = (np.full_like(x, np.nan) for x in (first.rotation, first.translation, seen[:, 0, 0]))
    if ok.any():
        rotation[ok], translation[ok], error[ok] = _refine(seen[ok], model, first.rotation[ok], first.translation[ok])
    behind = ~(translation[:, 2] > 0)
    rotation[behind], translation[behind], error[behind] = np.nan, np.nan, np.nan
    return Pose(rotation, translation, error * focal_px)


def only(pose: Pose, chosen: NDArray[np.bool_]) -> Pose:
    """The same pose with NaN in the frames that are not chosen [n]."""
    kept = {
        name: np.where(chosen.reshape(-1, *[1] * (getattr(pose, name).ndim - 1)), getattr(pose, name), np.nan)
        for name in ("rotation", "translation", "error_px")
    }
    return replace(pose, **kept)


def _weak_perspective(seen: F64, model: F64) -> Pose:
    """Pose of points [n, p, 2] in focal lengths, as if all were equally far away."""
    n = len(seen)
    rotation, translation = np.full((n, 3, 3), np.nan), np.full((n, 3), np.nan)
    ok = np.isfinite(seen).all(axis=(1, 2)) & (np.ptp(seen, axis=1).min(axis=1) > 0)
    middle = seen[ok].mean(axis=1)
    affine = np.swapaxes(np.linalg.pinv(model - model.mean(axis=0)) @ (seen[ok] - middle[:, None]), 1, 2)  # [n, 2, 3]
    u, size, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    rotation[ok] = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)
    away = 1.0 / size.mean(axis=1, keepdims=True)
    at_middle = np.concatenate([middle * away, away], axis=1)
    translation[ok] = at_middle - rotation[ok] @ model.mean(axis=0)
    return Pose(rotation, translation, np.full(n, np.nan))


def _refine(seen: F64, model: F64, rotation: F64, translation: F64) -> tuple[F64, F64, F64]:
    """Least-squares poses and their root mean square errors in focal lengths, from those given."""
    rotation, translation = rotation.copy(), translation.copy()
    residual, jacobian = _linearised(seen, model, rotation, translation)
    error = (residual**2).sum(axis=1)
    damping = np.full(len(seen), FIRST_DAMPING)
    open_ = np.arange(len(seen))  # frames that still move
    for _ in range(MAX_ITERATIONS):
        jt = np.swapaxes(jacobian, 1, 2)
        normal = jt @ jacobian
        diagonal = np.einsum("nii->ni", normal)
        damped = normal + (damping[open_, None] * diagonal + 1e-30)[:, :, None] * np.eye(6)
        step = -np.linalg.solve(damped, jt @ residual[..., None])[..., 0]
        turned = rotation_matrices(step[:, :3]) @ rotation[open_]
        moved = translation[open_] + step[:, 3:]
        new_residual, new_jacobian = _linearised(seen[open_], model, turned, moved)
        new_error = (new_residual**2).sum(axis=1)
        better = (new_error <= error[open_]) & (moved[:, 2] > 0)
        taken = open_[better]
        rotation[taken], translation[taken], error[taken] = turned[better], moved[better], new_error[better]
        residual = np.where(better[:, None], new_residual, residual)
        jacobian = np.where(better[:, None, None], new_jacobian, jacobian)
        damping[open_] = np.where(better, np.maximum(damping[open_] / 10.0, LEAST_DAMPING), damping[open_] * 10.0)
        step[:, 3:] /= translation[open_, 2:]
        still = np.abs(step).max(axis=1) > STEP_TOLERANCE
        open_, residual, jacobian = open_[still], residual[still], jacobian[still]
        if not len(open_):
            break
    return rotation, translation, np.sqrt(error / seen.shape[1])


def _linearised(seen: F64, model: F64, rotation: F64, translation: F64) -> tuple[F64, F64]:
    """Residuals [n, 2p] in focal lengths, and their derivatives [n, 2p, 6] by a small turn and a shift."""
    turned = model @ np.swapaxes(rotation, 1, 2)
    x, y, z = np.moveaxis(turned + translation[:, None], -1, 0)
    z = np.where(np.abs(z) > 1e-9, z, 1e-9)
    u, v = x / z, y / z
    a, b, c = np.moveaxis(turned, -1, 0)
    zero, inverse = np.zeros_like(z), 1.0 / z
    # a turn w moves a point by w x (a, b, c)
    along_u = np.stack([-u * b, c + u * a, -b, np.ones_like(z), zero, -u], axis=-1) * inverse[..., None]
    along_v = np.stack([-c - v * b, v * a, a, zero, np.ones_like(z), -v], axis=-1) * inverse[..., None]
    n = len(seen)
    residual = np.stack([u, v], axis=-1) - seen
    return residual.reshape(n, -1), np.stack([along_u, along_v], axis=2).reshape(n, -1, 6)
