"""residual: noise and fine texture of the face against those of its surroundings and of the background.

A camera's noise, a codec and enlarging leave traces in the residual, the part of the image that high-pass filters let
through. Three filters are those of the spatial rich model (Fridrich & Kodovsky 2012, "Rich Models for
Steganalysis of Digital Images"), each divided by its largest weight: ``kb``, the 3 x 3 square; ``kv``, the 5 x 5
square; ``h2``, the second difference along rows and along columns. Each gives its standard deviation, ``kurt``
(logarithm of the kurtosis), ``ac1`` (correlation of neighbouring residuals, which enlarging raises), the fraction of
zeros after rounding, and co-occurrences: four neighbouring residuals, rounded (halves away from 0) and clipped to +-2,
form one of 625 patterns, of which 169 remain when mirror images and negatives are merged. The cues are the entropy of
their histogram and its distance from the background's. Whole levels of 16-235 are steps of 1.16 of 0-255: the same
image in full range has about a tenth fewer zeros, and an entropy that differs by up to 0.4 bits.

``face`` is the native luma patch within the landmarks' hull, black 0 and white 255 however the file codes them; ``fb``
compares it with the native background patch of the same frame; ``fo`` compares inside and outside of the face's contour
in the colour crop (:mod:`features.measures.face_regions`), which is reduced where the face is large. Ratios are natural
logarithms.

``ela`` is error level analysis: how much a JPEG of quality 90 changes the image. It shows mostly the last encoder, so
only ratios within a frame are kept. ``grid8_same_share`` asks whether face and background lie on the same grid of 8 px
blocks; how visible the grids are is ``quality.blockiness_face_med``.

Confounds, all strong: the camera's noise reduction, compression (deblocking, which hides grids), focus, make-up and
age; a codec spends more bits on faces, and on some frames: noise is 3 to 13 % stronger in the P-frames of three clips
than in their B-frames. Face columns of genuine clips differ more by source than by forgery: only the ratios describe
the face.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F32, F64, U8
from features.measures import robust, series
from features.measures.comparison import entropy, js_distance, log_ratio
from features.measures.face_regions import FaceCrop, Mask, contour, distance_map, each_distinct, face_crops, sampled
from features.measures.geometry import head
from features.measures.luma import IMMERKAER, block_steps, grey_levels, noise_mad
from features.measures.rich_model import (
    BORDER_PX,
    KERNELS,
    N_CLASSES,
    co_occurrences,
    moments,
    neighbour_correlation,
    responses,
    standard_deviation,
    within,
)
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

MIN_FRAMES = 5
MIN_PIXELS = 2000  # of a region
MAX_CLIPPED = 0.3
CLIP_LOW, CLIP_HIGH = 2, 253
ERODED_IOD = 0.1
JPEG_QUALITY = 90
GREY = 0.01
MIN_GRID = 1.05  # contrast from which a grid is believed

_SRM, _ELA, _GRID = "Fridrich & Kodovsky 2012", "Krawetz 2007", "8 px phase of luma steps"
_ENLARGED = "Popescu & Farid 2005"
_SAME = EVERY_CHANGE - {"scale"}  # patches are native: the same face in more pixels has other finest details
_WORDS = {"kb": "3 by 3 square filter", "kv": "5 by 5 square filter", "h2": "second difference"}

_column = columns_of("residual", reference=_SRM, invariant_to=_SAME)


def _kernel_columns(kernel: str) -> Iterator[Column]:
    detail = f"fine detail (what a {_WORDS[kernel]} lets through)"
    yield _column(
        f"{kernel}_std_med", f"Strength of the {detail} of the face: its standard deviation in grey levels.",
        unit="grey levels", range=(0, inf), direction="down",
    )  # fmt: skip
    yield _column(
        f"{kernel}_kurt_med",
        f"How much a few strong edges stand out of the {detail} of the face: logarithm of the kurtosis, 1.1 for plain "
        "noise.",
        range=(0, inf),
    )  # fmt: skip
    yield _column(
        f"{kernel}_ac1_med",
        f"How alike the {detail} of neighbouring pixels of the face is, from -1 to 1; enlarged images have more.",
        range=(-1, 1), direction="up", reference=_ENLARGED,
    )  # fmt: skip
    yield _column(
        f"{kernel}_zero_share_med", f"Fraction of the face in which the {detail} is below half a grey level.",
        range=(0, 1), direction="up",
    )  # fmt: skip
    yield _column(
        f"{kernel}_fb_std_med",
        f"How much stronger the {detail} is in the face than in the background (natural logarithm of the ratio).",
        direction="down",
    )  # fmt: skip
    yield _column(
        f"{kernel}_fo_std_med",
        f"How much stronger the {detail} is inside the face than just around it (natural logarithm of the ratio).",
        direction="down",
    )  # fmt: skip
    yield _column(
        f"{kernel}_fo_ac1_med",
        f"How much more alike the {detail} of neighbouring pixels is inside the face than just around it.",
        range=(-2, 2), direction="up", reference=_ENLARGED,
    )  # fmt: skip
    yield _column(
        f"{kernel}_cooc_ent", f"How varied runs of four values of the {detail} of the face are: entropy in bits.",
        unit="bit", range=(0, np.log2(169)), direction="down",
    )  # fmt: skip
    yield _column(
        f"{kernel}_cooc_fb_js",
        f"How differently runs of four values of the {detail} are distributed in the face and in the background, from "
        "0 (alike) to 1.",
        range=(0, 1), direction="up",
    )  # fmt: skip


COLUMNS = (
    *(column for kernel in KERNELS for column in _kernel_columns(kernel)),
    _column(
        "noise_fb_med",
        "How much noisier the smoother half of the face is than that of the background (natural logarithm of the "
        "ratio).",
        direction="down", reference="Immerkaer 1996",
    ),
    _column(
        "chroma_noise_fo_med",
        "How much noisier the colour is inside the face than just around it (natural logarithm of the ratio).",
        direction="down", reference="Immerkaer 1996",
    ),
    _column(
        "ela_fb_med",
        "How much more JPEG compression changes the face than the background (natural logarithm of the ratio).",
        reference=_ELA, invariant_to=_SAME - {"mirror", "brightness"},
    ),
    _column(
        "ela_fo_med",
        "How much more JPEG compression changes the inside of the face than what lies just around it (natural "
        "logarithm of the ratio).",
        reference=_ELA, invariant_to=_SAME - {"mirror", "brightness"},
    ),
    _column(
        "grid8_same_share",
        "Fraction of the frames with a visible grid of compression blocks in which face and background have the same "
        "grid; below 1 if the face was compressed on another one.",
        range=(0, 1), direction="down", reference=_GRID,
    ),
    _column(
        "valid_share", "Fraction of the sampled frames with a face large enough for a patch.",
        range=(0, 1), direction="covariate", reference="",
    ),
)  # fmt: skip


def error_level(luma: NDArray) -> F32:
    """Return how much a JPEG of quality 90 changes each pixel of an image [h, w], in whole grey levels (0 to 255)."""
    whole = np.clip(np.rint(luma), 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.float32)
    return np.abs(decoded - whole)


def grid(luma: NDArray) -> tuple[tuple[int, int], float]:
    """Find the phase of a grid of 8 px in an image [h, w], and how clearly the grid stands out.

    Returns
    -------
    phase : (int, int)
        Phase of the rows and of the columns: a block begins after each pixel ``phase``, ``phase + 8``, ...
    contrast : float
        Mean step at the phase over the median of the other seven, the smaller of rows and columns; NaN if flat.
    """
    phases, contrasts = [], []
    for axis in (0, 1):
        each = block_steps(luma.astype(np.float32), axis=axis)
        phases.append(int(each.argmax()))
        rest = float(np.median(np.delete(each, phases[-1])))
        contrasts.append(float(each.max()) / rest if rest > 0 else np.nan)
    return (phases[0], phases[1]), float(np.min(contrasts))


def same_grid(face: NDArray, background: NDArray) -> float:
    """Return 1 if two images in the same coordinates have the same block grid, else 0; NaN unless both have one."""
    (a, a_contrast), (b, b_contrast) = grid(face), grid(background)
    return float(a == b) if a_contrast > MIN_GRID and b_contrast > MIN_GRID else np.nan


@dataclass(frozen=True)
class Patches:
    """Native luma of one frame, with the part of it that is the face."""

    face: F64
    """[p, p] grey levels from black, 0, to white, 255."""
    background: F64 | None
    """[p, p]; None where there is no room."""
    region: Mask
    """[p - 4, p - 4] within the landmarks' hull, of the pixels that have residuals."""

    def clipped(self) -> float:
        """Fraction of the face that is black or white."""
        inside = within(self.face)[self.region]
        return float(((inside <= CLIP_LOW) | (inside >= CLIP_HIGH)).mean())


def face_part(landmarks: F64, *, side: int, iod_px: float) -> Mask:
    """Pixels [s - 4, s - 4] of a native patch [s, s] that lie 0.1 iod or more inside the face's contour.

    Parameters
    ----------
    landmarks : ndarray of shape (68, 2)
        Px of the frame; their mean is where the patch's middle is, to the 4 px by which patches follow coding blocks.
    side : int
    iod_px : float
    """
    points = contour(landmarks) - landmarks.mean(axis=0) + (side - 1) / 2
    return np.asarray(within(distance_map(points, side=side)) < -ERODED_IOD * iod_px, dtype=np.bool_)


@dataclass(frozen=True)
class PatchValues:
    """The measures of the patches of one frame."""

    values: dict[str, float]
    """Column without ``_med`` to value."""
    face: dict[str, F64]
    """Kernel to co-occurrences [169]."""
    background: dict[str, F64]
    """The same; zeros without a background."""


def of_patches(patches: Patches) -> PatchValues | None:
    """Measure a frame's patches; None for a face of under 2,000 px, or of which 30 % are black or white."""
    if patches.region.sum() < MIN_PIXELS or patches.clipped() > MAX_CLIPPED:
        return None
    values: dict[str, float] = {}
    face, background = {}, {}
    everywhere = np.ones_like(patches.region)
    for kernel in KERNELS:
        inside = responses(patches.face, kernel)
        measured = moments(inside, patches.region) | {"ac1": neighbour_correlation(inside, patches.region)}
        face[kernel] = co_occurrences(inside, patches.region)
        background[kernel] = np.zeros(N_CLASSES)
        if patches.background is not None:
            behind = responses(patches.background, kernel)
            measured["fb_std"] = log_ratio(measured["std"], standard_deviation(behind, everywhere))
            background[kernel] = co_occurrences(behind, everywhere)
        values |= {f"{kernel}_{name}": value for name, value in measured.items()}
    if patches.background is not None:
        values |= _face_to_background(patches, patches.background)
    return PatchValues(values, face, background)


def _face_to_background(patches: Patches, background: F64) -> dict[str, float]:
    inner = within(error_level(patches.face))[patches.region]
    noise, noise_behind = noise_mad(patches.face), noise_mad(background)
    return {
        "ela_fb": log_ratio(float(inner.mean()), float(error_level(background).mean())),
        "noise_fb": log_ratio(noise, noise_behind),
        "grid8_same": same_grid(patches.face, background),
    }


def of_crop(crop: FaceCrop | None) -> dict[str, float]:
    """Columns ``fo`` of a frame, without ``_med``; none where the face was lost, or a region is under 2,000 px.

    A face's outer rim is small: it needs a fifth of that.
    """
    if crop is None:
        return {}
    inside, around = crop.region("inside"), crop.region("around")
    if inside.sum() < MIN_PIXELS or around.sum() < MIN_PIXELS / 5:
        return {}
    rows, columns = (_extent(inside | around, axis) for axis in (1, 0))
    inside, around = inside[rows, columns], around[rows, columns]
    wide = tuple(slice(part.start - BORDER_PX, part.stop + BORDER_PX) for part in (rows, columns))
    values = {}
    for kernel in KERNELS:
        residuals = responses(crop.luma[wide], kernel)
        values[f"{kernel}_fo_std"] = log_ratio(
            standard_deviation(residuals, inside), standard_deviation(residuals, around)
        )
        values[f"{kernel}_fo_ac1"] = neighbour_correlation(residuals, inside) - neighbour_correlation(residuals, around)
    noise = within(_chroma_noise(crop.rgb[wide]))
    level = within(error_level(crop.luma[wide]))
    for name, image in (("chroma_noise_fo", noise), ("ela_fo", level)):
        values[name] = log_ratio(*(_or_zero(float(image[region].mean())) for region in (inside, around)))
    return values


def _or_zero(strength: float) -> float:
    """Return a strength in grey levels; 0 if it does not exceed the rounding errors of a grey or flat image."""
    return strength if strength > GREY else 0.0


def _extent(region: Mask, axis: int) -> slice:
    where = np.flatnonzero(region.any(axis=axis))
    return slice(int(where[0]), int(where[-1]) + 1)


def _chroma_noise(rgb: U8) -> F32:
    """Return the absolute response of Immerkaer's operator, summed over Cb and Cr of an image [h, w, 3]: [h, w]."""
    chroma = cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2YCrCb)[..., 1:]
    noise: F32 = np.abs(cv2.filter2D(chroma, cv2.CV_32F, IMMERKAER)).sum(axis=2)
    return noise


def _patches(observation: Observation, track: Track, number: int, iod_px: float) -> Patches | None:
    """Return the patches of a crop; None if the face is too small or lost."""
    face, background = track.patch_face[number], track.patch_background[number]
    landmarks = track.landmarks[track.crop_index[number]].astype(np.float64)
    if not face.size or not np.isfinite(landmarks).all() or not iod_px > 0:
        return None
    luma, behind = grey_levels([face, background], luma_levels=observation.luma_levels)
    return Patches(
        luma,
        behind if behind.shape == luma.shape else None,
        face_part(landmarks, side=face.shape[0], iod_px=iod_px),
    )


def _co_occurrence_columns(usable: Sequence[PatchValues]) -> dict[str, float]:
    """Columns ``cooc``, of co-occurrences summed over the frames; the distance is over those with a background.

    NaN below 5 frames.
    """
    named: dict[str, float] = {}
    for kernel in KERNELS:
        pairs = [(patch.face[kernel], patch.background[kernel]) for patch in usable if patch.background[kernel].any()]
        named[f"{kernel}_cooc_ent"] = entropy(np.sum([patch.face[kernel] for patch in usable], axis=0))
        if len(pairs) >= MIN_FRAMES:
            face, background = np.sum(pairs, axis=0)
            named[f"{kernel}_cooc_fb_js"] = js_distance(face, background)
    return named


@family("residual", version=4, needs={"track", "crops"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure the residuals of a track's patches and crops; NaN below 5 usable patches, or a fifth of those seen."""
    numbers = sampled(track)
    iod_px = head(observation, track).scale_px

    def measured(number: int) -> PatchValues | None:
        patches = _patches(observation, track, number, iod_px)
        return None if patches is None else of_patches(patches)

    every = each_distinct(numbers, measured, key=lambda number: id(track.patch_face[number]))
    usable = [patch for patch in every if patch is not None]
    valid = len(usable) / len(numbers) if numbers else 0.0
    named: dict[str, float] = {"valid_share": valid}
    if valid >= series.MIN_VALID_SHARE and len(usable) >= MIN_FRAMES:
        rows = [patch.values for patch in usable]
        around = each_distinct(face_crops(observation, track, numbers), of_crop)
        named |= robust.medians_over_frames(
            (column.name for column in COLUMNS), lambda name: around if "_fo" in name else rows, least=MIN_FRAMES
        )
        named |= _co_occurrence_columns(usable)
        grids = robust.finite([row.get("grid8_same", np.nan) for row in rows])
        named["grid8_same_share"] = float(grids.mean()) if grids.size >= MIN_FRAMES else np.nan
    return complete_row(COLUMNS, named)
