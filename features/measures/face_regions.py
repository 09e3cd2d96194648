"""Where in a kept crop the face is: its inside, what lies around it, its core and the rest of its skin.

The contour is the convex hull of jaw and brows, the brows raised by 0.25 iod to take in the forehead; the core is the
hull of brows, eyes, nose and mouth, which most forgeries replace. Every pixel has its signed distances to both in iod,
negative inside. Regions are bare skin: eyes, brows and mouth belong to none, nor does what is not seen:

=========  ======================================================
inside     0.15 iod or more inside the contour
around     up to 0.15 iod outside it: skin, hair, neck, background
core       0.05 iod or more inside the core's outline
rest       the rest of the face: cheeks, jaw, forehead
=========  ======================================================

Several families look at them; they are computed once for a track.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F32, F64, U8
from features.measures.geometry import crop_landmarks, head
from features.object_cache import ObjectCache
from features.observation import Observation, Track

Mask = NDArray[np.bool_]
Item = TypeVar("Item")
Value = TypeVar("Value")

FOREHEAD_IOD = 0.25  # how far the brows are raised
FEATURE_MARGIN_IOD = 0.05  # eyes, brows and mouth are widened by it
FEATURES = (np.r_[17:22], np.r_[22:27], np.r_[36:42], np.r_[42:48], np.r_[48:60])  # brows, eyes, outer lips
CORE = np.arange(17, 68)
COARSE = 40  # distances are computed on a grid of about so many points a side: they change linearly between
ENOUGH = 8  # crops of a track that its regions are measured in: twice as many cost twice as much and say little more
KERNEL_MARGIN_PX = 3  # pixels this near to the crop's or the frame's edge are no measurements of any 5 x 5 filter


def contour(landmarks: F64) -> F64:
    """The points that the face's contour is the convex hull of, [27, 2]: jaw, and the brows raised to the forehead.

    Parameters
    ----------
    landmarks : ndarray of shape (68, 2)
        Px.
    """
    brows = landmarks[17:27]
    eyes = landmarks[36:48].reshape(2, 6, 2).mean(axis=1)
    up = brows.mean(axis=0) - landmarks[31:36].mean(axis=0)  # away from the nose
    up = up / max(float(np.linalg.norm(up)), np.finfo(float).tiny)
    return np.concatenate([landmarks[:17], brows + FOREHEAD_IOD * float(np.linalg.norm(eyes[1] - eyes[0])) * up])


def signed_distance(points: F64, *, x: F64, y: F64) -> F32:
    """Signed distance of a grid's places to the convex hull of some points, negative inside.

    Parameters
    ----------
    points : ndarray of shape (p, 2)
        x and y in px.
    x : ndarray of shape (n,)
    y : ndarray of shape (m,)
        Px of the grid's columns and rows.

    Returns
    -------
    ndarray of shape (m, n)
        Px; NaN everywhere for points on one line.

    Examples
    --------
    >>> square = np.array([[2.0, 2.0], [2.0, 6.0], [6.0, 6.0], [6.0, 2.0]])
    >>> signed_distance(square, x=np.arange(9.0), y=np.array([4.0])).tolist()
    [[2.0, 1.0, 0.0, -1.0, -2.0, -1.0, 0.0, 1.0, 2.0]]
    """
    corners = cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
    edges = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(edges, axis=1)
    area = cv2.contourArea(corners.astype(np.float32), oriented=True)
    if len(corners) < 3 or not area or not lengths.all():
        return np.full((len(y), len(x)), np.nan, np.float32)
    edges = edges / lengths[:, None]
    off = _along(np.sign(area) * np.stack([edges[:, 1], -edges[:, 0]], axis=1), corners, x, y)
    along = _along(edges, corners, x, y)
    past = np.maximum(np.maximum(-along, along - lengths[:, None, None].astype(np.float32)), 0)  # an edge's ends
    inside = off.max(axis=0)
    return np.where(inside <= 0, inside, np.sqrt((off**2 + past**2).min(axis=0)))


def _along(directions: F64, origins: F64, x: F64, y: F64) -> F32:
    """Coordinate along each direction [e, 2], counted from its origin [e, 2], of a grid's places: [e, m, n]."""
    across = (directions[:, :1] * (x - origins[:, :1])).astype(np.float32)
    down = (directions[:, 1:] * (y - origins[:, 1:])).astype(np.float32)
    return across[:, None, :] + down[:, :, None]


def distance_map(points: F64, *, side: int) -> F32:
    """Signed distance of every pixel [s, s] to the convex hull of some points, px; linear between coarser places."""
    count = -(-side // max(1, side // COARSE))
    axis = (np.arange(count) + 0.5) * side / count - 0.5  # where cv2.resize sees the coarse grid's places
    coarse = signed_distance(points, x=axis, y=axis)
    return coarse if count == side else cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)


def _bare(points: F64, side: int, margin_px: float) -> Mask:
    """Return a mask [s, s] that is false on eyes, brows and mouth, and within a margin around them."""
    bare = np.ones((side, side), dtype=np.bool_)
    for feature in FEATURES:
        low = np.clip(np.floor(points[feature].min(axis=0) - margin_px), 0, side).astype(int)
        high = np.clip(np.ceil(points[feature].max(axis=0) + margin_px) + 1, 0, side).astype(int)
        x, y = (np.arange(first, last, dtype=np.float64) for first, last in zip(low, high, strict=True))
        near = signed_distance(points[feature], x=x, y=y) < margin_px
        bare[low[1] : low[1] + len(y), low[0] : low[0] + len(x)] &= ~near
    return bare


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """A kept crop and the regions of its pixels; its arrays are read-only."""

    rgb: U8
    """[s, s, 3]."""
    landmarks: F64
    """[68, 2] in px of the crop."""
    iod_px: float
    """The clip's ``D`` in px of the crop."""
    distance_iod: F32
    """[s, s] signed distance to the contour, negative inside."""
    core_iod: F32
    """[s, s] signed distance to the outline of brows, eyes, nose and mouth, negative inside."""
    bare: Mask
    """[s, s] False on eyes, brows and mouth, which are widened a little."""
    visible: Mask
    """[s, s] False beyond the frame's edge, on the boxes of other tracks, and within 3 px of the crop's edge."""

    @functools.cached_property
    def luma(self) -> F32:
        """[s, s] BT.601 luma, 0 to 255, not rounded."""
        grey: F32 = cv2.cvtColor(self.rgb.astype(np.float32), cv2.COLOR_RGB2GRAY)
        return grey

    @functools.cached_property
    def lab(self) -> F32:
        """[s, s, 3] CIE L*, a*, b* of the pixels read as sRGB, L* from 0 to 100."""
        lab: F32 = cv2.cvtColor(self.rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)
        return lab

    def region(self, name: str) -> Mask:
        """Pixels [s, s] of ``inside``, ``around``, ``core`` or ``rest``, see the module."""
        where = {
            "inside": lambda: self.distance_iod < -0.15,
            "around": lambda: (self.distance_iod >= 0) & (self.distance_iod < 0.15),
            "core": lambda: self.core_iod < -0.05,
            "rest": lambda: (self.core_iod > 0.03) & (self.distance_iod < -0.05),
        }[name]()
        return np.asarray(where & self.bare & self.visible, dtype=np.bool_)


def sampled(track: Track) -> range:
    """Numbers of the crops to measure regions in: evenly spread, 8 to 15 of 8 or more."""
    return range(0, len(track.crops), max(1, len(track.crops) // ENOUGH))


# families of one person follow each other; crops with their masks are some megabytes
_crops: ObjectCache[tuple[FaceCrop | None, ...]] = ObjectCache(most=2)


def face_crops(observation: Observation, track: Track, numbers: range) -> tuple[FaceCrop | None, ...]:
    """Some of a track's crops with their regions, computed once for the same objects; None where the face was lost.

    Crops that are one object with the same landmarks, as those of a still that is held, share one result.
    """
    return _crops.get(track, observation, lambda: _face_crops(observation, track, numbers), key=numbers)


def _face_crops(observation: Observation, track: Track, numbers: range) -> tuple[FaceCrop | None, ...]:
    scale_px = head(observation, track).scale_px
    made: dict[tuple[int, bytes], FaceCrop | None] = {}
    crops = []
    for number in numbers:
        key = (id(track.crops[number]), track.landmarks[track.crop_index[number]].tobytes())
        if key not in made:
            made[key] = _face_crop(observation, track, number, scale_px)
        crops.append(made[key])
    return tuple(crops)


def _face_crop(observation: Observation, track: Track, number: int, scale_px: float) -> FaceCrop | None:
    points = crop_landmarks(track, number)
    rgb = track.crops[number]
    side = rgb.shape[0]
    iod_px = scale_px * side / float(track.crop_box[number, 2])
    if not np.isfinite(points).all() or not iod_px > 0:
        return None
    distance_iod, core_iod = (distance_map(p, side=side) / np.float32(iod_px) for p in (contour(points), points[CORE]))
    bare = _bare(points, side, FEATURE_MARGIN_IOD * iod_px)
    visible = _visible(observation, track, number)
    for array in (distance_iod, core_iod, bare, visible):
        array.flags.writeable = False
    return FaceCrop(rgb, points, iod_px, distance_iod, core_iod, bare, visible)


def _visible(observation: Observation, track: Track, number: int) -> Mask:
    side = track.crops[number].shape[0]
    width, height = observation.frame_size
    visible = np.zeros((side, side), dtype=np.bool_)
    left, top, right, bottom = _in_crop(track, number, np.array([-0.5, -0.5, width - 0.5, height - 0.5]))
    m = KERNEL_MARGIN_PX
    visible[_rows(top + m, bottom - m, m, side), _rows(left + m, right - m, m, side)] = True
    sample = track.crop_index[number]
    for other in observation.tracks:
        position = int(np.searchsorted(other.frame_index, track.frame_index[sample]))
        if position == len(other) or other.frame_index[position] != track.frame_index[sample]:
            continue
        itself = np.array_equal(other.box[position], track.box[sample])  # maybe with other crops, as for a page
        if not itself and np.isfinite(other.landmarks[position]).all():
            left, top, right, bottom = _in_crop(track, number, other.box[position].astype(np.float64))
            visible[_rows(top, bottom, 0, side), _rows(left, right, 0, side)] = False
    return visible


def _in_crop(track: Track, number: int, box: F64) -> F64:
    """Left, top, right and bottom [4] in frame px, as edges in px of the crop that count from its own edge."""
    left, top, side = track.crop_box[number].astype(np.float64)
    return (box - np.array([left, top, left, top]) + 0.5) * track.crops[number].shape[0] / side


def _rows(low: float, high: float, margin: int, side: int) -> slice:
    """Pixels whose centres lie from ``low`` to ``high``, and ``margin`` px off the crop's edges."""
    first, last = np.ceil(low - 0.5 - 1e-6), np.floor(high - 0.5 + 1e-6) + 1
    return slice(int(np.clip(first, margin, side)), int(np.clip(last, 0, side - margin)))


def each_distinct(
    items: Sequence[Item], function: Callable[[Item], Value], *, key: Callable[[Item], object] = id
) -> list[Value]:
    """``function`` of every item, computed once for items of one ``key``: by default, for one and the same object.

    A still that is held has the same crop again and again.

    >>> seen = []
    >>> each_distinct([item := object(), item], lambda one: seen.append(one) or len(seen))
    [1, 1]
    """
    made: dict[object, Value] = {}
    for item in items:
        if key(item) not in made:
            made[key(item)] = function(item)
    return [made[key(item)] for item in items]
