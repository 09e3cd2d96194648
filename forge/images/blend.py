"""Forgeries by blending: self-blended images, and faces or parts of faces from elsewhere.

Self-blending after Shiohara & Yamasaki 2022, "Detecting deepfakes with self-blended images"; the nearest
donor by landmarks after Li et al. 2020, "Face X-ray for more general face forgery detection".
Landmarks are the 68 points of iBUG/dlib, in px of the image.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from forge.images.augment import Image, sharpened

Points = NDArray[np.float32]
Mask = NDArray[np.float32]

REGIONS = {
    "face": list(range(68)),
    "inner": list(range(17, 68)),
    "lower": [*range(2, 15), *range(29, 36)],
    "mouth": list(range(48, 60)),
    "eyes": [*range(17, 28), *range(36, 48)],
    "nose": list(range(27, 36)),
}
LEFT_EYE, RIGHT_EYE, BROWS = slice(36, 42), slice(42, 48), slice(17, 27)
FOREHEAD = 0.35  # of the height from brows to chin: how far the face reaches above the brows
LOW_PASS = 1 / 24  # of the width: coarser colours than this tell nothing of a forgery
BLEND_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # Shiohara & Yamasaki 2022, section 3.1


def plausible(points: Points, box: NDArray[np.float32]) -> bool:
    """True when landmarks [68, 2] can be those of the face in ``box`` [4]: eyes apart, centre near the middle."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    off = np.abs(points.mean(axis=0) - centre).max() / side
    return bool(0.2 < eye_distance(points) / side < 0.75 and off < 0.3)


def eye_distance(points: Points) -> float:
    """Distance between the eyes' centres in px."""
    return float(np.linalg.norm(points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0)))


def region_mask(points: Points, shape: tuple[int, ...], region: str, *, grow: float = 0.0) -> Mask:
    """1 inside the hull of a region's landmarks, 0 outside, [h, w]; ``grow`` dilates it, in eye distances.

    The face reaches above the brows, to where its own forehead would end.
    """
    chosen = points[REGIONS[region]]
    if region in {"face", "eyes"}:
        height = FOREHEAD if region == "face" else 0.1
        up = height * (points[BROWS].mean(axis=0) - points[8])
        chosen = np.concatenate([chosen, points[BROWS] + up])
    mask = np.zeros(shape[:2], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(chosen).astype(np.int32), 1.0)
    radius = round(grow * eye_distance(points))
    return cv2.dilate(mask, np.ones((radius, radius), np.uint8)) if radius > 1 else mask


def soft_mask(mask: Mask, scale_px: float, rng: np.random.Generator) -> Mask:
    """A mask with its outline bent and its edge blurred at random; ``scale_px`` is the eye distance."""
    bent = _bend(mask, 0.08 * scale_px, rng)
    kernel = max(3, round(float(rng.uniform(0.05, 0.5)) * scale_px)) | 1
    if rng.random() < 0.5:  # Shiohara & Yamasaki: blur, keep the core, blur again
        bent = np.asarray(cv2.GaussianBlur(bent, (kernel, kernel), 0) > rng.uniform(0.3, 0.9), np.float32)
    return cv2.GaussianBlur(bent, (kernel, kernel), 0)


def _bend(mask: Mask, amplitude_px: float, rng: np.random.Generator) -> Mask:
    height, width = mask.shape
    coarse = rng.standard_normal((2, 5, 5)).astype(np.float32) * amplitude_px
    x, y = (cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in coarse)
    grid_x, grid_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(mask, grid_x + x, grid_y + y, cv2.INTER_LINEAR)


def mix(inside: Image, outside: Image, mask: Mask) -> Image:
    """``inside`` where the mask [h, w] is 1, ``outside`` where it is 0."""
    weight = mask[:, :, None]
    return (inside * weight + outside * (1 - weight) + 0.5).astype(np.uint8)


def with_coarse_colours(drawn: NDArray[np.float32], like: Image) -> Image:
    """``drawn`` with the colours of ``like`` wherever they are coarser than ``LOW_PASS``; both [h, w, 3], 0-255."""
    spread = like.shape[1] * LOW_PASS
    moved = cv2.GaussianBlur(like.astype(np.float32), (0, 0), spread) - cv2.GaussianBlur(drawn, (0, 0), spread)
    return np.clip(drawn + moved + 0.5, 0, 255).astype(np.uint8)


def confined(drawn: Image, image: Image, points: Points, rng: np.random.Generator) -> Image:
    """``drawn`` in the face of ``image`` or a part of it, the image elsewhere; both show the same, [h, w, 3]."""
    region = str(rng.choice(["face", "inner", "lower"], p=[0.6, 0.2, 0.2]))
    hard = region_mask(points, image.shape, region, grow=float(rng.uniform(0, 0.25)))
    return mix(drawn, image, soft_mask(hard, eye_distance(points), rng))


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
    changed = _other_statistics(image, rng)
    source, target = (changed, image) if rng.random() < 0.6 else (image, changed)
    scale = eye_distance(points)
    source = _moved(source, points.mean(axis=0), scale, rng)
    region = str(rng.choice(["face", "inner", "lower", "mouth", "eyes"], p=[0.45, 0.25, 0.15, 0.1, 0.05]))
    mask = soft_mask(region_mask(points, image.shape, region, grow=float(rng.uniform(0, 0.25))), scale, rng)
    return mix(source, target, mask * float(rng.choice(BLEND_RATIOS)))


def _other_statistics(image: Image, rng: np.random.Generator) -> Image:
    """Colour, brightness and contrast shifted; softer or sharper (Shiohara & Yamasaki 2022, table 9)."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
    curve = (np.arange(256)[:, None] - 128.0) * gain + 128.0 + rng.uniform(-20, 20) + rng.uniform(-8, 8, 3)
    out = cv2.LUT(image, np.clip(curve, 0, 255).astype(np.uint8)[None])
    kind = rng.random()
    if kind < 0.45:
        factor = rng.uniform(1.3, 4.0)
        small = (max(8, round(image.shape[1] / factor)), max(8, round(image.shape[0] / factor)))
        up = int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC], p=[0.1, 0.5, 0.4]))
        out = cv2.resize(cv2.resize(out, small, interpolation=cv2.INTER_AREA), image.shape[1::-1], interpolation=up)
    elif kind < 0.7:
        out = sharpened(out, float(rng.uniform(0.3, 1.2)))
    return out


def _moved(image: Image, centre: Points, scale_px: float, rng: np.random.Generator) -> Image:
    zoom = float(rng.uniform(0.95, 1.05))
    move = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), float(rng.uniform(-2, 2)), zoom)
    move[:, 2] += rng.uniform(-0.06, 0.06, 2) * scale_px
    return cv2.warpAffine(image, move, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def shape_distance(a: Points, b: Points) -> float:
    """How differently two faces are shaped and turned: RMS gap of landmarks in eye distances, after aligning."""
    first, second = ((p - p.mean(axis=0)) / max(eye_distance(p), 1e-3) for p in (a, b))
    return float(np.sqrt(np.mean((first - second) ** 2)))


def transplant(
    target: Image, points: Points, donor: Image, donor_points: Points, rng: np.random.Generator, *, region: str
) -> Image:
    """A region of the donor's face, fitted to the target's by its landmarks, in the target's colours, blended in.

    ``region`` is a key of ``REGIONS``; ``"face"`` gives a face swap.
    """
    chosen = REGIONS[region]
    fit = (
        affine(donor_points[chosen], points[chosen])
        if region in {"face", "inner", "lower"}
        else similarity(donor_points, points, chosen)
    )
    warped = cv2.warpAffine(donor, fit, target.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    scale = eye_distance(points)
    grow = rng.uniform(0.15, 0.45) if region in {"mouth", "nose"} else rng.uniform(0.0, 0.15)
    hard = region_mask(points, target.shape, region, grow=float(grow))
    if rng.random() < 0.9:
        warped = recoloured(warped, target, hard, strength=float(rng.uniform(0.6, 1.0)))
    if rng.random() < 0.3:
        warped = _other_statistics(warped, rng)
    return mix(warped, target, soft_mask(hard, scale, rng))


def affine(source: Points, target: Points) -> NDArray[np.float64]:
    """The least-squares affine map [2, 3] from points [n, 2] to points [n, 2]."""
    solution = np.linalg.lstsq(np.c_[source, np.ones(len(source))], target, rcond=None)[0]
    return np.asarray(solution.T, np.float64)


def similarity(source: Points, target: Points, chosen: list[int]) -> NDArray[np.float64]:
    """Scale and rotation from the eyes and nose, shift so that the chosen points' centres meet, [2, 3]."""
    fit = affine(source[27:48], target[27:48])
    fit[:, 2] = target[chosen].mean(axis=0) - fit[:, :2] @ source[chosen].mean(axis=0)
    return fit


def recoloured(image: Image, like: Image, mask: Mask, *, strength: float) -> Image:
    """Mean and spread of L*a*b* inside the mask made those of ``like`` (Reinhard et al. 2001)."""
    lab, wanted = (cv2.cvtColor(one, cv2.COLOR_RGB2LAB).astype(np.float32) for one in (image, like))
    inside = mask > 0.5
    if not inside.any():
        return image
    mean, spread = lab[inside].mean(axis=0), lab[inside].std(axis=0) + 1.0
    goal, goal_spread = wanted[inside].mean(axis=0), wanted[inside].std(axis=0) + 1.0
    moved = (lab - mean) * np.clip(goal_spread / spread, 0.5, 2.0) + goal
    mixed = np.clip(strength * moved + (1 - strength) * lab, 0, 255).astype(np.uint8)
    return cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB)
