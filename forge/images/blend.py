"""Forgeries by blending: self-blended images, and faces or parts of faces from elsewhere.

Self-blending after Shiohara & Yamasaki 2022, "Detecting deepfakes with self-blended images"; the nearest
donor by landmarks after Li et al. 2020, "Face X-ray for more general face forgery detection".
Landmarks are the 68 points of iBUG/dlib, in px of the image. Each step is a small class that samples its parameters
(``sample``) and applies them (``apply``): a training image samples new ones, a clip keeps one set for all its frames
(:mod:`forge.clips.picture`).
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
FOREHEAD = 0.35  # of the height from brows to chin: how far the face reaches above the brows
LOW_PASS = 1 / 24  # of the width: coarser colours than this tell nothing of a forgery
BLEND_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # Shiohara & Yamasaki 2022, section 3.1
SELF_BLENDED = {"face": 0.45, "inner": 0.25, "lower": 0.15, "mouth": 0.1, "eyes": 0.05}  # shares of the regions
CONFINED = {"face": 0.6, "inner": 0.2, "lower": 0.2}
BEND_IOD = 0.08  # standard deviation by which a mask's outline is bent


def plausible(points: Points, box: NDArray[np.float32]) -> bool:
    """True when landmarks [68, 2] can be those of the face in ``box`` [4]: eyes apart, centre near the middle."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    off = np.abs(points.mean(axis=0) - centre).max() / side
    return bool(0.2 < iod(points) / side < 0.75 and off < 0.3)


def region_mask(points: Points, shape: tuple[int, ...], region: str, *, grow: float = 0.0) -> Mask:
    """1 inside the hull of a region's landmarks, 0 outside, [h, w]; ``grow`` dilates it, in IOD.

    The face reaches above the brows, to where its own forehead would end.
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
    """How a mask's edge is bent and softened."""

    bend: NDArray[np.float32]
    """[2, 5, 5] displacements on a coarse grid over the image, in units of ``BEND_IOD``."""
    kernel_iod: float
    """Side of the Gaussian kernel in IOD."""
    core: float | None
    """Level at which the blurred mask is cut and blurred again; None: blurred once."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Edge:
        """Half of the masks are blurred, cut and blurred again, as Shiohara & Yamasaki do."""
        bend = rng.standard_normal((2, 5, 5)).astype(np.float32)
        kernel = float(rng.uniform(0.05, 0.5))
        return cls(bend, kernel, float(rng.uniform(0.3, 0.9)) if rng.random() < 0.5 else None)

    def apply(self, mask: Mask, iod_px: float) -> Mask:
        """The mask [h, w] with its outline bent and its edge blurred."""
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
    """``inside`` where the mask [h, w] is 1, ``outside`` where it is 0."""
    weight = mask[:, :, None]
    return (inside * weight + outside * (1 - weight) + 0.5).astype(np.uint8)


def with_coarse_colours(generated: NDArray[np.float32], like: Image) -> Image:
    """``generated`` with the colours of ``like`` wherever they are coarser than ``LOW_PASS``; [h, w, 3], 0-255."""
    spread = like.shape[1] * LOW_PASS
    moved = cv2.GaussianBlur(like.astype(np.float32), (0, 0), spread) - cv2.GaussianBlur(generated, (0, 0), spread)
    return np.clip(generated + moved + 0.5, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Area:
    """Which part of a face is forged, and how its edge runs."""

    region: str
    """A key of :data:`REGIONS`."""
    grow_iod: float
    edge: Edge

    @classmethod
    def sample(cls, rng: np.random.Generator, shares: Mapping[str, float]) -> Area:
        """A region sampled by the weights of ``shares``, dilated by up to a quarter of the IOD, with a sampled edge."""
        region = str(rng.choice(list(shares), p=list(shares.values())))
        return cls(region, float(rng.uniform(0, 0.25)), Edge.sample(rng))

    def mask(self, points: Points, shape: tuple[int, ...]) -> Mask:
        """The mask [h, w], 0 to 1, of a face with landmarks [68, 2]."""
        return self.edge.apply(region_mask(points, shape, self.region, grow=self.grow_iod), iod(points))


def confined(forged: Image, image: Image, points: Points, rng: np.random.Generator) -> Image:
    """``forged`` in the face of ``image`` or a part of it, the image elsewhere; both show the same, [h, w, 3]."""
    return mix(forged, image, Area.sample(rng, CONFINED).mask(points, image.shape))


@dataclass(frozen=True)
class Statistics:
    """A change of colour, brightness and contrast, softer or sharper (Shiohara & Yamasaki 2022, table 9)."""

    gain: tuple[float, ...]
    """Of each channel about 128."""
    offset: tuple[float, ...]
    """Of each channel, grey levels."""
    reduction: float = 1.0
    """The image is reduced by this and enlarged again."""
    interpolation: int = cv2.INTER_LINEAR
    sharpening: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Statistics:
        """Softer in 45 of 100 cases, sharper in 25."""
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
        """The image [h, w, 3] after the change."""
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
    """A small move about the face's centre."""

    zoom: float
    angle_deg: float
    shift_iod: tuple[float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Move:
        """Up to 5 %, 2 degrees and 0.06 IOD."""
        zoom, angle = float(rng.uniform(0.95, 1.05)), float(rng.uniform(-2, 2))
        x, y = rng.uniform(-0.06, 0.06, 2).tolist()
        return cls(zoom, angle, (x, y))

    def apply(self, image: Image, points: Points) -> Image:
        """The image [h, w, 3] moved; beyond its edge it is mirrored."""
        centre = points.mean(axis=0)
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), self.angle_deg, self.zoom)
        matrix[:, 2] += np.array(self.shift_iod) * iod(points)
        return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class SelfBlend:
    """Everything that a self-blended image is made with."""

    statistics: Statistics
    changes_face: bool
    """True: the changed image lies in the mask; False: around it."""
    move: Move
    area: Area
    ratio: float
    """Weight of the mask."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> SelfBlend:
        """Parameters of one image."""
        statistics, changes_face, move = Statistics.sample(rng), bool(rng.random() < 0.6), Move.sample(rng)
        return cls(statistics, changes_face, move, Area.sample(rng, SELF_BLENDED), float(rng.choice(BLEND_RATIOS)))

    def apply(self, image: Image, points: Points) -> Image:
        """The image [h, w, 3] blended onto itself."""
        changed = self.statistics.apply(image)
        inside, outside = (changed, image) if self.changes_face else (image, changed)
        return mix(self.move.apply(inside, points), outside, self.area.mask(points, image.shape) * self.ratio)


def self_blend(image: Image, points: Points, rng: np.random.Generator) -> Image:
    """The face blended onto itself after a change of its statistics and a small move.

    Parameters
    ----------
    image
        RGB [h, w, 3].
    points
        [68, 2].

    Returns
    -------
    ndarray
        RGB [h, w, 3]: a forgery without a generator's marks, only those of blending.
    """
    return SelfBlend.sample(rng).apply(image, points)


def shape_distance(a: Points, b: Points) -> float:
    """How differently two faces [68, 2] are shaped and turned: RMS gap of landmarks in IOD, after aligning."""
    first, second = ((p - p.mean(axis=0)) / max(iod(p), 1e-3) for p in (a, b))
    return float(np.sqrt(np.mean((first - second) ** 2)))


def transplant(
    target: Image, points: Points, donor: Image, donor_points: Points, rng: np.random.Generator, *, region: str
) -> Image:
    """A region of the donor's face, fitted to the target's by its landmarks, in the target's colours, blended in.

    Parameters
    ----------
    target, donor
        RGB [h, w, 3] and [k, l, 3].
    points, donor_points
        Their faces' landmarks [68, 2], px.
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
    """The affine map [2, 3] of eyes and nose, shifted so that the chosen points' centres meet."""
    fit = affine(source[EYES_AND_NOSE], target[EYES_AND_NOSE])
    fit[:, 2] = target[chosen].mean(axis=0) - fit[:, :2] @ source[chosen].mean(axis=0)
    return fit


def recoloured(image: Image, like: Image, mask: Mask, *, strength: float = 1.0) -> Image:
    """The image in the colours that ``like`` has inside the mask [h, w]; itself where the mask is empty."""
    inside = mask > 0.5
    if not inside.any():
        return image
    return transfer_colour(image, colour(image, inside), colour(like, inside), strength=strength)
