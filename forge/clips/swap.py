"""Swap a face by landmarks: warp, colour, seam.

The classic pipeline (Kowalski's FaceSwap, FaceForensics++; Perez et al. 2003, "Poisson image editing";
Reinhard et al. 2001, "Color transfer between images"): a thin-plate spline warps the donor's face onto the
target's landmarks, its colours are matched, and the hull of the face is blended in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from features.measures.geometry import LEFT_EYE, RIGHT_EYE, inter_ocular_distance
from forge.face_ops import Image, Mask, Points, iod
from forge.images.blend import mix

GRID_PX = 8  # the spline is evaluated at every eighth pixel
STIFFNESS = 0.02  # smoothing of the spline, so that touching lips do not tear it
FOREHEAD_IOD = 0.22  # height of the hull above the brows, below the hair, which a swap must not cover
MIN_POISSON_PX = 25  # smaller masks are feathered
JUMP_COST = 0.12  # cost of a cut between donor frames, as a distance of expressions


@dataclass(frozen=True)
class Region:
    """A rectangle around a face, inside the frame."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, landmarks: Points, shape: tuple[int, ...], margin: float = 0.7) -> Region:
        """Return the box of landmarks [68, 2] with a ``margin`` in IOD, inside a frame of ``shape`` (height, width).

        Landmarks are finite, in px of the frame.
        """
        pad = margin * iod(landmarks)
        low, high = landmarks.min(0) - pad, landmarks.max(0) + pad
        return cls(max(0, int(low[0])), max(0, int(low[1])), min(shape[1], int(high[0])), min(shape[0], int(high[1])))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices that cut the region from an image [h, w, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def inside(self, landmarks: Points) -> Points:
        """Convert landmarks [..., 2] from px of the frame to px of the region; NaN stays NaN."""
        return landmarks - np.array([self.left, self.top], np.float32)


def hull_mask(landmarks: Points, shape: tuple[int, ...], *, grow: float, soft: float) -> Mask:
    """Return a mask [h, w] 0-1 of the face's hull, with the brows raised to the forehead.

    Parameters
    ----------
    landmarks
        Landmarks [68, 2] in px of the image.
    shape
        Height and width of the mask.
    grow
        Dilation (negative: erosion) of the hull in IOD, before softening.
    soft
        Standard deviation of the softening in IOD.
    """
    scale = iod(landmarks)
    up = landmarks[27] - landmarks[30]
    up = up / (np.linalg.norm(up) + 1e-6) * FOREHEAD_IOD * scale
    outline = cv2.convexHull(np.concatenate([landmarks[:27], landmarks[17:27] + up]).astype(np.float32))
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.round(outline).astype(np.int32), 255)
    side = int(2 * round(abs(grow) * scale) + 1)
    if side > 1:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        mask = cv2.dilate(mask, kernel) if grow > 0 else cv2.erode(mask, kernel)
    if soft > 0:
        mask = cv2.GaussianBlur(mask, (0, 0), max(0.3, soft * scale))
    mask[[0, -1]] = mask[:, [0, -1]] = 0
    return mask.astype(np.float32) / 255.0


def warp(image: Image, source: Points, target: Points, shape: tuple[int, ...]) -> Image:
    """Warp ``image`` so that its ``source`` points [k, 2] move to ``target`` points [k, 2].

    Uses a thin-plate spline with :data:`STIFFNESS`, evaluated every :data:`GRID_PX` pixels. The result has the size of
    the frame, whose ``shape`` begins with height and width; the image is mirrored beyond its edges.
    """
    from scipy.interpolate import RBFInterpolator

    height, width = shape[:2]
    middle, scale = target.mean(0), float(target.std()) + 1e-6
    spline = RBFInterpolator((target - middle) / scale, source, kernel="thin_plate_spline", smoothing=STIFFNESS)
    xs = np.arange(-(-width // GRID_PX) + 1) * GRID_PX
    ys = np.arange(-(-height // GRID_PX) + 1) * GRID_PX
    grid = (np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2) - middle) / scale
    coarse = spline(grid).reshape(len(ys), len(xs), 2).astype(np.float32)
    fine = np.meshgrid(np.arange(width, dtype=np.float32) / GRID_PX, np.arange(height, dtype=np.float32) / GRID_PX)
    flow = cv2.remap(coarse, *fine, cv2.INTER_LINEAR)
    return cv2.remap(image, flow[..., 0], flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def blend(image: Image, target: Image, mask: Mask, way: str) -> Image:
    """Blend ``image`` over ``target``, both [h, w, 3], by ``mask`` [h, w] 0-1.

    ``way`` is ``poisson`` (gradients) or ``feather`` (alpha).
    """
    if way == "poisson" and (mask > 0.5).sum() > MIN_POISSON_PX:
        binary = ((mask > 0.5) * 255).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(binary)
        image = cv2.seamlessClone(image, target, binary, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)
    return mix(image, target, mask)


def mouth_gap(landmarks: Points) -> NDArray[np.float64]:
    """Return the gap [n] of the inner lips in IOD for faces [n, 68, 2]; NaN for a face with NaN."""
    gap = np.linalg.norm(landmarks[:, [61, 62, 63]] - landmarks[:, [67, 66, 65]], axis=-1).mean(-1)
    return np.asarray(gap / inter_ocular_distance(landmarks), np.float64)


def expression(landmarks: Points) -> NDArray[np.float64]:
    """Return mouth gap, head turn, nod, and eye opening [n, 4] in IOD for faces [n, 68, 2]; NaN for a face with NaN."""
    right, left = landmarks[:, RIGHT_EYE].mean(1), landmarks[:, LEFT_EYE].mean(1)
    scale = inter_ocular_distance(landmarks)
    across = (left - right) / scale[:, None]
    nose = (landmarks[:, 30] - (right + left) / 2) / scale[:, None]
    turn = (nose * across).sum(-1)
    nod = nose[:, 1] * across[:, 0] - nose[:, 0] * across[:, 1]
    eyes = np.linalg.norm(landmarks[:, [37, 38, 43, 44]] - landmarks[:, [41, 40, 47, 46]], axis=-1).mean(-1) / scale
    return np.stack([mouth_gap(landmarks), turn, nod, 2.0 * eyes], axis=-1)


def choose_frames(target: Points, donor: Points) -> tuple[NDArray[np.int64], float]:
    """Choose a donor frame for each target frame: similar pose and expression, few cuts (Viterbi).

    ``target`` [n, 68, 2] and ``donor`` [m, 68, 2] may hold NaN: such donor frames are never chosen, and such target
    frames get the cheapest donor frame.

    Returns
    -------
    path : ndarray of int [n]
        Numbers of the donor frames.
    unlikeness : float
        Mean distance of the expressions, in IOD.
    """
    unlike = np.linalg.norm(expression(target)[:, None] - expression(donor)[None], axis=-1)
    lost = ~np.isfinite(donor).all((1, 2))
    unlike = np.where(np.isfinite(unlike), unlike, 0.0)
    unlike[:, lost] = 1e6
    n, m = unlike.shape
    back = np.zeros((n, m), np.int64)
    cost = unlike[0].copy()
    for t in range(1, n):
        stay, go_on = cost, np.r_[np.inf, cost[:-1]]
        cut = int(np.argmin(cost))
        options = np.stack([stay, go_on, np.full(m, cost[cut] + JUMP_COST)])
        best = options.argmin(0)
        back[t] = np.choose(best, [np.arange(m), np.arange(m) - 1, np.full(m, cut)])
        cost = options.min(0) + unlike[t]
    path = np.zeros(n, np.int64)
    path[-1] = int(np.argmin(cost))
    for t in range(n - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path, float(unlike[np.arange(n), path].mean())
