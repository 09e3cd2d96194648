"""Irises: an eye laid level, the circle of its iris, the colour of the iris and the highlights in it.

The circle is found by Daugman's operator (2004, "How iris recognition works"): where brightness rises most from the
inside to the outside, along the arcs left and right that lids leave free. Hough's transform, which the published cue
takes, needs edges of eyes three times as large as those of stored crops. For the same reason the colour is that of a
ring, without the pupil in the middle: the published limit of brightness for the pupil leaves nothing of brown eyes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.measures import robust
from features.measures.outlines import inside_convex

EYE_PX = 64  # between the corners of a level eye
PATCH = (96, 56)  # width, height
BLUR_PX = 1.5
RADII_PX = (13.0, 18.0)  # 5.9 mm of an eye of 24 mm is 15
REACH_PX = (16, 6)  # of the circle's centre from the middle of the corners, across and down
ARC_DEG = 40.0  # either side of the horizontal
ARC_POINTS = 7  # on either side
MIN_CONTRAST = 6.0  # grey levels across the circle, on either side
RING = (0.4, 0.9)  # of the radius: iris without pupil and rim
MIN_RING_SHARE = 0.2  # of the ring, not hidden by lids and highlights
HIGHLIGHT_V, HIGHLIGHT_OVER_MEDIAN = 150.0, 60.0
HIGHLIGHT_SHARES = (0.002, 0.2)  # of the iris
HIGHLIGHT_REACH = 0.85  # of the radius: a circle that is 1 px off has the white of the eye at its rim
LID_PX = 2  # of the patch: rows at the lids that may be skin, where landmarks are 0.3 px off
IRIS_OVER_MEDIAN, MAX_IRIS_V = 30.0, 220.0  # brighter pixels of a light iris belong to a highlight or to glasses
BINS = 64  # of a channel's histogram
MIN_SATURATION = 0.02  # of 1: below it, as in a clip without colour, the hue is that of rounding


@dataclass(frozen=True)
class Eye:
    """One eye, its corners level and ``EYE_PX`` apart."""

    rgb: F64
    """[h, w, 3] grey levels."""
    open: NDArray[np.bool_]
    """[h, w] between the lids."""

    @property
    def value(self) -> F64:
        """[h, w] the largest of the three channels (V of HSV), grey levels."""
        return self.rgb.max(axis=2)


@dataclass(frozen=True)
class Circle:
    """An iris in a level eye; px of the patch."""

    x: float
    y: float
    radius: float

    def between(self, low: float, high: float) -> NDArray[np.bool_]:
        """[h, w] between two fractions of the radius, the outer one included."""
        rows, columns = np.arange(PATCH[1])[:, None], np.arange(PATCH[0])[None]
        squared = ((columns - self.x) ** 2 + (rows - self.y) ** 2) / self.radius**2
        return np.asarray((squared <= high**2) & (squared > low**2 if low > 0 else True))


def level_eye(crop: NDArray[np.uint8], *, points: F64) -> Eye:
    """Lay an eye level.

    Parameters
    ----------
    crop : ndarray of shape (s, s, 3)
        RGB.
    points : ndarray of shape (6, 2)
        The eye's landmarks in px of the crop; the first and the fourth are the corners, image-left one first, and
        differ.

    Returns
    -------
    Eye
    """
    gap = points[3] - points[0]
    turn = EYE_PX / float(gap @ gap) * np.array([[gap[0], gap[1]], [-gap[1], gap[0]]])
    shift = (np.array(PATCH) - 1.0) / 2.0 - turn @ points[[0, 3]].mean(axis=0)
    return Eye(_sampled(crop, turn=turn, shift=shift), inside_convex(points @ turn.T + shift, size=PATCH))


def _sampled(crop: NDArray[np.uint8], *, turn: F64, shift: F64) -> F64:
    """Resample a crop [s, s, 3] to the patch [h, w, 3], bilinear; beyond the crop its edge is repeated.

    OpenCV's warps round places to 1/32 px, so that an eye and its mirror image would differ.
    """
    from scipy import ndimage

    places = np.stack(np.meshgrid(np.arange(PATCH[0]), np.arange(PATCH[1])), axis=-1)
    across, down = np.moveaxis((places - shift) @ np.linalg.inv(turn).T, -1, 0)
    channels = np.moveaxis(crop.astype(np.float64), -1, 0)
    return np.stack(
        [ndimage.map_coordinates(channel, (down, across), order=1, mode="nearest") for channel in channels], axis=-1
    )


@functools.cache
def _arcs() -> tuple[F64, F64]:
    """Unit vectors [q, 2] of the arcs left and right of a circle."""
    angle = np.radians(np.linspace(-ARC_DEG, ARC_DEG, ARC_POINTS))
    right = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return right * (-1.0, 1.0), right


@functools.cache
def _circles() -> F64:
    """Circles [k, 3] (x, y, radius) that are tried first."""
    x, y = (np.arange(-reach, reach + 1, 2.0) + (side - 1.0) / 2.0 for reach, side in zip(REACH_PX, PATCH, strict=True))
    return np.stack(np.meshgrid(x, y, np.arange(*RADII_PX, 2.0)), axis=-1).reshape(-1, 3)


def find_iris(eye: Eye) -> Circle | None:
    """Circle of the iris; None where brightness does not rise by 6 grey levels across it on both sides."""
    grey = cv2.GaussianBlur(eye.rgb.mean(axis=2), (0, 0), BLUR_PX)
    first = _circles()[_contrasts(grey, _circles()).argmax()]
    near = np.arange(-1.0, 2.0)
    circles = first + np.stack(np.meshgrid(near, near, near), axis=-1).reshape(-1, 3)
    circles = circles[(circles[:, 2] >= RADII_PX[0]) & (circles[:, 2] <= RADII_PX[1])]
    contrasts = _contrasts(grey, circles)
    x, y, radius = circles[contrasts.argmax()]
    return Circle(float(x), float(y), float(radius)) if contrasts.max() >= MIN_CONTRAST else None


def _contrasts(grey: F64, circles: F64) -> F64:
    """Rise of brightness over 4 px across the arc left or right, the lesser of the two, [k], of circles [k, 3]."""
    rises = []
    for arc in _arcs():
        outer, inner = (circles[:, None, :2] + (circles[:, 2:, None] + step) * arc for step in (2.0, -2.0))
        rises.append((_at(grey, outer) - _at(grey, inner)).mean(axis=1))
    return np.minimum(*rises)


def _at(grey: F64, places: F64) -> F64:
    """Values at places [k, q, 2] between pixels, [k, q]."""
    across, down = np.moveaxis(places.astype(np.float32), -1, 0)
    return cv2.remap(grey, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def highlights(eye: Eye, *, iris: Circle) -> NDArray[np.bool_]:
    """Mark the highlights [h, w] of an iris: pixels with V above 150 and above the iris's median plus 60.

    The rim of the iris and the rows next to the lids are left out: there the white of the eye and the skin of the lids
    are as bright as a highlight. None are marked where they would cover less than 0.2 % or more than 20 % of the rest.
    """
    lids = np.ones((2 * LID_PX + 1, 1), np.uint8)
    free = cv2.erode(eye.open.astype(np.uint8), lids).astype(bool) & iris.between(0.0, HIGHLIGHT_REACH)
    if not free.any():
        return free
    limit = max(HIGHLIGHT_V, float(np.median(eye.value[free])) + HIGHLIGHT_OVER_MEDIAN)
    bright = free & (eye.value > limit)
    share = bright.sum() / free.sum()
    return bright if HIGHLIGHT_SHARES[0] <= share <= HIGHLIGHT_SHARES[1] else np.zeros_like(bright)


def iris_pixels(eye: Eye, *, iris: Circle) -> F64:
    """Return the colours [k, 3] of the iris, in grey levels: its ring without highlights; empty where little shows.

    Pixels with V of 150 or more are left out as in the published cue, in a light iris those above its median plus 30.
    """
    ring = iris.between(*RING)
    shown = ring & eye.open
    if shown.any():
        limit = max(HIGHLIGHT_V, float(np.median(eye.value[shown])) + IRIS_OVER_MEDIAN)
        shown &= eye.value < min(limit, MAX_IRIS_V)
    return eye.rgb[shown] if shown.sum() >= MIN_RING_SHARE * ring.sum() else np.empty((0, 3))


def hue_distance(a: float, b: float) -> float:
    """Distance of two hues in OpenCV's half degrees on their circle of 180, over 90: 0 to 1.

    >>> round(hue_distance(179.0, 1.0), 4)
    0.0222
    """
    apart = abs(a - b) % 180.0
    return min(apart, 180.0 - apart) / 90.0


def colour_differences(first: F64, second: F64) -> dict[str, float]:
    """Differences between two irises' colours [k, 3] and [m, 3], RGB in grey levels, none empty.

    Returns
    -------
    dict
        ``dh``, ``ds``, ``dv``: of hue, saturation and brightness of the mean colours, each in [0, 1], the hue's NaN
        where one has too little saturation to have a hue; ``dlab``: their distance in CIE L*a*b* (1976); ``hist_r``,
        ``_g``, ``_b``: ``(1 - r) / 2`` of the channels' histograms.

    Examples
    --------
    >>> brown = np.tile([90.0, 60.0, 40.0], (50, 1))
    >>> {name: round(value, 3) for name, value in colour_differences(brown, 2 * brown).items()}["dv"]
    0.353
    """
    means = np.stack([first.mean(axis=0), second.mean(axis=0)])[None].astype(np.float32) / 255.0
    (h1, s1, v1), (h2, s2, v2) = cv2.cvtColor(means, cv2.COLOR_RGB2HSV)[0].astype(np.float64)
    lab = cv2.cvtColor(means, cv2.COLOR_RGB2Lab)[0].astype(np.float64)
    histograms = {
        f"hist_{name}": (1.0 - robust.correlation(_histogram(first[:, k]), _histogram(second[:, k]))) / 2.0
        for k, name in enumerate("rgb")
    }
    return {
        "dh": hue_distance(h1 / 2.0, h2 / 2.0) if min(s1, s2) >= MIN_SATURATION else np.nan,
        "ds": float(abs(s1 - s2)),
        "dv": float(abs(v1 - v2)),
        "dlab": float(np.linalg.norm(lab[0] - lab[1])),
        **histograms,
    }


def _histogram(values: F64) -> F64:
    return np.histogram(values, bins=BINS, range=(0.0, 256.0))[0] / len(values)


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks [h, w] after the shift that fits best; NaN where one is empty."""
    from scipy import signal

    if not (first.any() and second.any()):
        return np.nan
    a, b = (_cut(mask).astype(np.float64) for mask in (first, second))
    common = float(np.rint(signal.correlate(a, b, method="direct").max()))
    return common / float(a.sum() + b.sum() - common)


def _cut(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The smallest window that holds all of a mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def place_in_iris(mask: NDArray[np.bool_], *, iris: Circle) -> F64:
    """Centroid [2] of a mask [h, w] from the iris's centre, over its radius; NaN for an empty one."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return np.full(2, np.nan)
    return np.array([columns.mean() - iris.x, rows.mean() - iris.y]) / iris.radius
