"""Forgeries by blending: self-blended images, and faces or parts of faces from other images.

Self-blending follows Shiohara & Yamasaki 2022, "Detecting deepfakes with self-blended images"; the choice of the
nearest donor by landmarks follows Li et al. 2020, "Face X-ray for more general face forgery detection". Landmarks are
the 68 points of iBUG/dlib, in px of the image. Each step is a small class that samples its parameters (``sample``) and
applies them (``apply``): every training image samples new parameters, a clip uses one set for all its frames
(:mod:`forge.clips.video`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from forge.face_ops import Image, Mask, Matrix, Points, affine, colour, iod, sharpened, to_bytes, transfer_colour

REGIONS = {
    "face": list(range(68)),
    "inner": list(range(17, 68)),
    "lower": [*range(2, 15), *range(29, 36)],
    "mouth": list(range(48, 60)),
    "eyes": [*range(17, 28), *range(36, 48)],
    "nose": list(range(27, 36)),
}
BROWS, EYES_AND_NOSE = slice(17, 27), slice(27, 48)
FOREHEAD = 0.35  # height of the forehead above the brows, relative to the height from brows to chin
LOW_PASS = 1 / 24  # of the width: coarser colours say nothing about a forgery
BLEND_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # Shiohara & Yamasaki 2022, section 3.1
SELF_BLENDED = {"face": 0.45, "inner": 0.25, "lower": 0.15, "mouth": 0.1, "eyes": 0.05}  # probabilities of the regions
CONFINED = {"face": 0.6, "inner": 0.2, "lower": 0.2}
BEND_IOD = 0.08  # standard deviation of the displacement of a mask's outline


def plausible(points: Points, box: NDArray[np.float32]) -> bool:
    """Return True when landmarks [68, 2] may belong to the face in ``box`` [4]: eyes apart, centre near the middle."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    off = np.abs(points.mean(axis=0) - centre).max() / side
    return bool(0.2 < iod(points) / side < 0.75 and off < 0.3)


def region_mask(points: Points, shape: tuple[int, ...], region: str, *, grow: float = 0.0) -> Mask:
    """Return a mask [h, w], 1 inside the hull of a region's landmarks and 0 outside, dilated by ``grow`` IOD.

    The region of the face includes the forehead above the brows.
    """
    chosen = points[REGIONS[region]]
    if region in {"face", "eyes"}:
        height = FOREHEAD if region == "face" else 0.1
        up = height * (points[BROWS].mean(axis=0) - points[8])
        chosen = np.concatenate([chosen, points[BROWS] + up])
    mask = np.zeros(shape[:2], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(chosen).astype(np.int32), 1.0)
    radius = round(grow * iod(points))
    return cv2.dilate(mask, np.ones((radius, radius), np.uint8)) if radius > 1 else mask


@dataclass(frozen=True)
class Edge:
    """The bending and softening of a mask's edge."""

    bend: NDArray[np.float32]
    """Displacements [2, 5, 5] on a coarse grid over the image, in units of ``BEND_IOD``."""
    kernel_iod: float
    """Side of the Gaussian kernel in IOD."""
    core: float | None
    """Level at which the blurred mask is cut and blurred again; None: blurred once."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Edge:
        """Sample an edge; half of the masks are blurred, cut and blurred again, as in Shiohara & Yamasaki."""
        bend = rng.standard_normal((2, 5, 5)).astype(np.float32)
        kernel = float(rng.uniform(0.05, 0.5))
        return cls(bend, kernel, float(rng.uniform(0.3, 0.9)) if rng.random() < 0.5 else None)

    def apply(self, mask: Mask, iod_px: float) -> Mask:
        """Bend the outline of a mask [h, w] and blur its edge."""
        bent = self._bent(mask, BEND_IOD * iod_px)
        kernel = max(3, round(self.kernel_iod * iod_px)) | 1
        if self.core is not None:
            bent = np.asarray(cv2.GaussianBlur(bent, (kernel, kernel), 0) > self.core, np.float32)
        return cv2.GaussianBlur(bent, (kernel, kernel), 0)

    def _bent(self, mask: Mask, amplitude_px: float) -> Mask:
        height, width = mask.shape
        coarse = self.bend * amplitude_px
        x, y = (cv2.resize(axis, (width, height), interpolation=cv2.INTER_CUBIC) for axis in coarse)
        grid_x, grid_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        return cv2.remap(mask, grid_x + x, grid_y + y, cv2.INTER_LINEAR)


def mix(inside: Image, outside: Image, mask: Mask) -> Image:
    """Mix images: ``inside`` where the mask [h, w] is 1, ``outside`` where it is 0."""
    weight = mask[:, :, None]
    return (inside * weight + outside * (1 - weight) + 0.5).astype(np.uint8)


def with_coarse_colours(generated: NDArray[np.float32], like: Image) -> Image:
    """Return ``generated`` with the coarse colours (beyond ``LOW_PASS``) of ``like``; both [h, w, 3], 0-255."""
    spread = like.shape[1] * LOW_PASS
    moved = cv2.GaussianBlur(like.astype(np.float32), (0, 0), spread) - cv2.GaussianBlur(generated, (0, 0), spread)
    return np.clip(generated + moved + 0.5, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Area:
    """The part of a face that is forged, and its edge."""

    region: str
    """A key of :data:`REGIONS`."""
    grow_iod: float
    edge: Edge

    @classmethod
    def sample(cls, rng: np.random.Generator, shares: Mapping[str, float]) -> Area:
        """Sample a region with probabilities ``shares``, its dilation of up to a quarter of the IOD, and its edge."""
        region = str(rng.choice(list(shares), p=list(shares.values())))
        return cls(region, float(rng.uniform(0, 0.25)), Edge.sample(rng))

    def mask(self, points: Points, shape: tuple[int, ...]) -> Mask:
        """Return the mask [h, w], 0 to 1, for a face with landmarks [68, 2]."""
        return self.edge.apply(region_mask(points, shape, self.region, grow=self.grow_iod), iod(points))


def confined(forged: Image, image: Image, points: Points, rng: np.random.Generator) -> Image:
    """Mix ``forged`` into the face of ``image``, or a part of it; both images [h, w, 3] show the same."""
    return mix(forged, image, Area.sample(rng, CONFINED).mask(points, image.shape))


@dataclass(frozen=True)
class Statistics:
    """A change of colour, brightness, contrast and sharpness (Shiohara & Yamasaki 2022, table 9)."""

    gain: tuple[float, ...]
    """Gain of each channel, around 128."""
    offset: tuple[float, ...]
    """Offset of each channel, in grey levels."""
    reduction: float = 1.0
    """Factor by which the image is reduced before it is enlarged again."""
    interpolation: int = cv2.INTER_LINEAR
    sharpening: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Statistics:
        """Sample a change: softer in 45 of 100 cases, sharper in 25."""
        gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
        offset = rng.uniform(-20, 20) + rng.uniform(-8, 8, 3)
        sharpness: dict[str, Any] = {}
        kind = rng.random()
        if kind < 0.45:
            ways = [cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC]
            sharpness["reduction"] = float(rng.uniform(1.3, 4.0))
            sharpness["interpolation"] = int(rng.choice(ways, p=[0.1, 0.5, 0.4]))
        elif kind < 0.7:
            sharpness["sharpening"] = float(rng.uniform(0.3, 1.2))
        return cls(tuple(gain.tolist()), tuple(offset.tolist()), **sharpness)

    def apply(self, image: Image) -> Image:
        """Apply the change to an image [h, w, 3]."""
        curve = (np.arange(256)[:, None] - 128.0) * np.array(self.gain) + 128.0 + np.array(self.offset)
        out = cv2.LUT(image, to_bytes(curve)[None])
        if self.reduction > 1:
            width, height = image.shape[1], image.shape[0]
            small = (max(8, round(width / self.reduction)), max(8, round(height / self.reduction)))
            out = cv2.resize(out, small, interpolation=cv2.INTER_AREA)
            out = cv2.resize(out, (width, height), interpolation=self.interpolation)
        return sharpened(out, self.sharpening) if self.sharpening else out


@dataclass(frozen=True)
class Move:
    """A small zoom, rotation and shift around the face's centre."""

    zoom: float
    angle_deg: float
    shift_iod: tuple[float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Move:
        """Sample a move of up to 5 %, 2 degrees and 0.06 IOD."""
        zoom, angle = float(rng.uniform(0.95, 1.05)), float(rng.uniform(-2, 2))
        x, y = rng.uniform(-0.06, 0.06, 2).tolist()
        return cls(zoom, angle, (x, y))

    def apply(self, image: Image, points: Points) -> Image:
        """Move an image [h, w, 3]; it is mirrored beyond its edges."""
        centre = points.mean(axis=0)
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), self.angle_deg, self.zoom)
        matrix[:, 2] += np.array(self.shift_iod) * iod(points)
        return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class SelfBlend:
    """All parameters of a self-blended image."""

    statistics: Statistics
    changes_face: bool
    """True: the changed image lies inside the mask; False: outside."""
    move: Move
    area: Area
    ratio: float
    """Weight of the mask."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> SelfBlend:
        """Sample the parameters of one image."""
        statistics, changes_face, move = Statistics.sample(rng), bool(rng.random() < 0.6), Move.sample(rng)
        return cls(statistics, changes_face, move, Area.sample(rng, SELF_BLENDED), float(rng.choice(BLEND_RATIOS)))

    def apply(self, image: Image, points: Points) -> Image:
        """Blend an image [h, w, 3] onto itself."""
        changed = self.statistics.apply(image)
        inside, outside = (changed, image) if self.changes_face else (image, changed)
        return mix(self.move.apply(inside, points), outside, self.area.mask(points, image.shape) * self.ratio)


def self_blend(image: Image, points: Points, rng: np.random.Generator) -> Image:
    """Blend a face onto itself after a change of its statistics and a small move.

    Parameters
    ----------
    image
        RGB [h, w, 3].
    points
        Landmarks [68, 2].

    Returns
    -------
    ndarray
        RGB [h, w, 3]: a forgery with traces of blending only, not of a generator.
    """
    return SelfBlend.sample(rng).apply(image, points)


def shape_distance(a: Points, b: Points) -> float:
    """Return the difference in shape and pose of two faces [68, 2]: RMS distance of aligned landmarks, in IOD."""
    first, second = ((p - p.mean(axis=0)) / max(iod(p), 1e-3) for p in (a, b))
    return float(np.sqrt(np.mean((first - second) ** 2)))


def transplant(
    target: Image, points: Points, donor: Image, donor_points: Points, rng: np.random.Generator, *, region: str
) -> Image:
    """Blend a region of the donor's face into the target's, aligned by landmarks and in the target's colours.

    Parameters
    ----------
    target, donor
        RGB [h, w, 3] and [k, l, 3].
    points, donor_points
        Landmarks [68, 2] of their faces, in px.
    region
        A key of ``REGIONS``; ``"face"`` gives a face swap.

    Returns
    -------
    ndarray
        RGB [h, w, 3].
    """
    chosen = REGIONS[region]
    fit = (
        affine(donor_points[chosen], points[chosen])
        if region in {"face", "inner", "lower"}
        else anchored(donor_points, points, chosen)
    )
    warped = cv2.warpAffine(donor, fit, target.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    grow = rng.uniform(0.15, 0.45) if region in {"mouth", "nose"} else rng.uniform(0.0, 0.15)
    hard = region_mask(points, target.shape, region, grow=float(grow))
    if rng.random() < 0.9:
        warped = recoloured(warped, target, hard, strength=float(rng.uniform(0.6, 1.0)))
    if rng.random() < 0.3:
        warped = Statistics.sample(rng).apply(warped)
    return mix(warped, target, Edge.sample(rng).apply(hard, iod(points)))


def anchored(source: Points, target: Points, chosen: list[int]) -> Matrix:
    """Fit an affine map [2, 3] to eyes and nose, shifted so that the centres of the chosen points coincide."""
    fit = affine(source[EYES_AND_NOSE], target[EYES_AND_NOSE])
    fit[:, 2] = target[chosen].mean(axis=0) - fit[:, :2] @ source[chosen].mean(axis=0)
    return fit


def recoloured(image: Image, like: Image, mask: Mask, *, strength: float = 1.0) -> Image:
    """Give the image the colours of ``like`` inside the mask [h, w]; unchanged if the mask is empty."""
    inside = mask > 0.5
    if not inside.any():
        return image
    return transfer_colour(image, colour(image, inside), colour(like, inside), strength=strength)
