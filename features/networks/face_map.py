"""Map where in a face the forensic networks see a fake: how far the log-odds fall without each region.

The method is occlusion (Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks"), applied to
features instead of pixels: halfway through the network, the region's features are replaced by their mean over the crop.
To these networks, blurred, inpainted or greyed pixels are themselves a trace of forgery, and maps made with such pixels
hardly found a swapped region. The features of a crop of 128 px are 8 x 8 cells, so regions are coarse: one for both
eyes and brows, one for both cheeks. ``python -m benchmarks.face_map`` measures how often the map finds the swapped
region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from features.measures.geometry import REGIONS as POINTS
from features.measures.geometry import crop_landmarks, inter_ocular_distance
from features.networks.crop_views import middle, middle_points
from features.networks.logit_columns import ready_detector
from features.observation import Track

if TYPE_CHECKING:
    from features.networks.efficientnet_lite import Detector

REGIONS = ("eyes", "nose", "mouth", "cheeks", "chin", "forehead", "surroundings")
"""Eyes include the brows; chin includes the jaw; surroundings are everything outside the face."""
MAX_FACES = 6  # per person: 25 ms each
# Log-odds: faces that score so far below the highest are left out, because those of a short forgery's other moments
# would blur its map.
NEAR = 1.0
MIN_AREA = 0.01  # fraction of the crop: a smaller region is not measured
BRIDGE, NOSE_BASE, CHIN = 27, 33, 8
FOREHEAD = 0.35  # height of the face above the brows, over the distance from chin to brows
GROWN_IOD = 0.1  # regions of eyes, nose and mouth reach this far around their landmarks

MAP_PX = 320
FOR_FAKE, FOR_REAL = (230, 110, 0), (0, 90, 200)
SHADE, HATCH_FROM = 0.3, 0.25  # opacity of the strongest region; weaker ones than this fraction of it stay unhatched
CALM = 0.5  # log-odds: if no region changes the log-odds by more, the face is drawn in weaker shades
PLATE_PX = 2  # by which the black behind a number is larger than it
HATCH_PX, DARK, LIGHT = 9, 0.35, 0.8  # dark next to light is visible on any skin, and in a black-and-white print

Image = NDArray[np.uint8]
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class FaceMap:
    """Scores of the regions of a person's face, and an image that shows them."""

    scores: Mapping[str, float]
    """Region to log-odds that the face loses without it, mean over networks and faces: positive where the region
    points to a fake. NaN for a region outside every crop."""
    image: Image
    """RGB [320, 320, 3]: the first of the faces, with its regions outlined and scored. Regions that point to a fake are
    hatched with slanting lines, regions that point to a real face with dots; weak regions are plain."""
    crops: tuple[int, ...]
    """Positions of the faces among the crops that were given; of a track, the highest-scoring one first."""

    @property
    def strongest(self) -> str:
        """The region that points most strongly to a fake."""
        return max(REGIONS, key=lambda region: np.nan_to_num(self.scores[region], nan=-np.inf))


def of_track(track: Track, logits: Sequence[float], families: Sequence[str]) -> FaceMap | None:
    """Map the highest-scoring crops of a track: those within :data:`NEAR` of the highest, at most :data:`MAX_FACES`.

    Parameters
    ----------
    track
        Track of an observation, with k crops.
    logits
        [k] logit of each crop, mean over the networks; NaN for a crop that was not scored.
    families
        Face networks; those whose weights are missing are left out.

    Returns
    -------
    FaceMap or None
        None if no crop was scored, or no network has weights.

    Raises
    ------
    ModelError
        A weights file exists but can't be used.
    """
    landmarks = [crop_landmarks(track, number) for number in range(len(track.crops))]
    usable = [n for n, points in enumerate(landmarks) if np.isfinite(points).all() and np.isfinite(logits[n])]
    ranked = sorted(usable, key=lambda number: -logits[number])[:MAX_FACES]
    chosen = [number for number in ranked if logits[number] >= logits[ranked[0]] - NEAR]
    detectors = [detector for family in families if (detector := ready_detector(family)) is not None]
    if not chosen or not detectors:
        return None
    mapped = face_map([track.crops[n] for n in chosen], [landmarks[n] for n in chosen], detectors)
    return replace(mapped, crops=tuple(chosen))


def face_map(
    crops: Sequence[Image], landmarks: Sequence[NDArray[np.floating]], detectors: Sequence[Detector]
) -> FaceMap:
    """Measure the regions of one person's faces, and draw them on the first.

    Parameters
    ----------
    crops
        RGB square crops [s, s, 3] as an observation keeps them; at least one.
    landmarks
        Landmarks [68, 2] of each crop, in px of the crop, finite.
    detectors
        The networks; at least one.
    """
    _, scores_of_faces = region_scores(crops, landmarks, detectors)
    scores = dict(zip(REGIONS, _mean(scores_of_faces).tolist(), strict=True))
    margin = detectors[0].metadata.margin
    points = middle_points(landmarks[0], crops[0].shape[0], margin=margin, size=MAP_PX)
    image = draw(middle(crops[0], margin=margin, size=MAP_PX), points, scores)
    return FaceMap(scores, image, tuple(range(len(crops))))


def region_scores(
    crops: Sequence[Image], landmarks: Sequence[NDArray[np.floating]], detectors: Sequence[Detector]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each face's logit, and how far it falls without each region; parameters as in :func:`face_map`.

    Returns
    -------
    logits : ndarray of shape (n,)
        Mean over the networks.
    scores : ndarray of shape (n, 7)
        In the order of ``REGIONS``, mean over the networks; NaN for a region that hardly shows in the crop.
    """
    logits, scores = zip(*(_scores_of(detector, crops, landmarks) for detector in detectors), strict=True)
    return np.mean(logits, axis=0), np.mean(scores, axis=0)


def _scores_of(
    detector: Detector, crops: Sequence[Image], landmarks: Sequence[NDArray[np.floating]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    margin, size = detector.metadata.margin, detector.metadata.input_size
    faces = np.stack([middle(crop, margin=margin, size=size) for crop in crops])
    points = [
        middle_points(face_points, crop.shape[0], margin=margin, size=size)
        for face_points, crop in zip(landmarks, crops, strict=True)
    ]
    masks = np.stack([region_masks(face_points, size) for face_points in points])
    logits, without = (values.astype(np.float64) for values in detector.logits_without(faces, masks))
    return logits, np.where(masks.mean(axis=(2, 3)) < MIN_AREA, np.nan, logits[:, None] - without)


def _mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean score of each region over the faces [n, 7] in which it was measured; NaN if in none."""
    count = np.isfinite(scores).sum(axis=0)
    return np.where(count > 0, np.nansum(scores, axis=0) / np.maximum(count, 1), np.nan)


def region_masks(points: NDArray[np.floating], size: int) -> Masks:
    """Return the mask of each region of a square crop, [7, size, size]; every pixel belongs to exactly one region.

    Parameters
    ----------
    points
        Landmarks [68, 2] in px of the crop; they may lie outside the crop.
    size
        Side of the crop in px.
    """
    grown = GROWN_IOD * float(inter_ocular_distance(points))
    brows = points[POINTS["brows"]]
    up = FOREHEAD * (brows.mean(axis=0) - points[CHIN])
    face = _hull(np.concatenate([points, brows + up]), size)
    nose = _hull(points[POINTS["nose"]], size, grown)
    mouth = _hull(points[POINTS["mouth"]], size, grown) & ~nose
    eyes = _hull(np.concatenate([brows, points[POINTS["eyes"]]]), size, grown) & ~nose & ~mouth
    skin = face & ~(nose | mouth | eyes)
    down = points[CHIN] - points[BRIDGE]
    y, x = np.mgrid[:size, :size]
    height = ((x - points[BRIDGE, 0]) * down[0] + (y - points[BRIDGE, 1]) * down[1]) / max(float(down @ down), 1e-9)
    lower = float((points[NOSE_BASE] - points[BRIDGE]) @ down) / max(float(down @ down), 1e-9)
    cheeks, chin, forehead = skin & (height >= 0) & (height < lower), skin & (height >= lower), skin & (height < 0)
    return np.stack([eyes, nose, mouth, cheeks, chin, forehead, ~(eyes | nose | mouth | skin)])


def _hull(points: NDArray[np.floating], size: int, grown: float = 0.0) -> NDArray[np.bool_]:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.asarray(points, np.float32)).round().astype(np.int32), 1)
    if radius := round(grown):
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
    return mask.astype(bool)


def draw(face: Image, points: NDArray[np.floating], scores: Mapping[str, float]) -> Image:
    """Draw the regions on a face, legible without colour: :attr:`FaceMap.image`.

    Parameters
    ----------
    face
        RGB image [s, s, 3].
    points
        Landmarks [68, 2] in px of the image.
    scores
        Scores of ``REGIONS``; regions with NaN are only outlined.
    """
    masks = region_masks(points, face.shape[0])
    values = np.nan_to_num([scores[region] for region in REGIONS])
    image = face.astype(np.float32)
    strongest = max(float(np.abs(values).max()), CALM)
    for mask, value, shown in zip(masks, values, values.round(1), strict=True):
        strength = value / strongest
        colour = np.array(FOR_FAKE if strength > 0 else FOR_REAL, np.float32)
        image[mask] += SHADE * abs(strength) * (colour - image[mask])
        if abs(shown) >= HATCH_FROM * strongest:  # by the number that is written: equal ones look equal
            dark, light = (_lines if strength > 0 else _dots)(face.shape[0])
            image[mask & dark] = DARK * colour
            image[mask & light] = LIGHT * 255 + (1 - LIGHT) * colour
    drawn = image.round().astype(np.uint8)
    for mask in masks[:-1]:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, contours, -1, (255, 255, 255), 1)
    for region, mask in zip(REGIONS, masks, strict=True):
        if np.isfinite(scores[region]) and mask.mean() >= MIN_AREA:
            _write(drawn, f"{scores[region]:+.1f}" if round(scores[region], 1) else "0.0", _inside(mask))
    return drawn


def _lines(size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the dark and the light pixels [size, size] of slanting lines."""
    y, x = np.mgrid[:size, :size]
    return (x + y) % HATCH_PX < 2, (x + y) % HATCH_PX == 2


def _dots(size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the dark and the light pixels [size, size] of dots."""
    column, row = np.meshgrid(*[np.arange(size) % HATCH_PX] * 2)
    dark = (column < 2) & (row < 2)
    return dark, (column < 3) & (row < 3) & ~dark


def _inside(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the pixel (x, y) of a mask that is farthest from its edge."""
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), mask.shape)
    return int(x), int(y)


def _write(image: Image, text: str, centre: tuple[int, int]) -> None:
    """Write text in white on a black plate, centred, and kept inside the image."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    (width, height), _ = cv2.getTextSize(text, font, scale, 1)
    limit = image.shape[0] - PLATE_PX - 1
    x = min(max(centre[0] - width // 2, PLATE_PX), limit - width)
    y = min(max(centre[1] + height // 2, height + PLATE_PX), limit)
    # an outline of the same text, thicker, would be wider than the text
    corner, opposite = (x - PLATE_PX, y - height - PLATE_PX), (x + width + PLATE_PX, y + PLATE_PX)
    cv2.rectangle(image, corner, opposite, (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (x, y), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
