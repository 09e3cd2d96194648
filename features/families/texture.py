"""texture: whether the face has the local patterns and co-occurrences of grey levels that skin has.

Networks that generate a face smooth it; so do enlarging and blending. Local binary patterns (LBP: Ojala, Pietikainen
& Maenpaa 2002, "Multiresolution gray-scale and rotation invariant texture classification") say of each pixel which of
its eight neighbours are at least as bright. ``bin`` is the fraction of pixels of each of the ten rotation-invariant
classes: bright dots (0), edges (about 4), dark dots and flat places (8), and whatever is no such pattern (9). They do
not depend on light or contrast. Grey-level co-occurrences (GLCM: Haralick et al. 1973, "Textural features for image
classification") say which of 32 levels lie beside which, at distances of 1, 2 and 4 px, averaged over four directions.

The face is measured in crops reduced to D = 32 px (LBP) and 48 px (GLCM), where a pixel is the same detail of any
face; ``fb`` compares the native luma patches of face and background of one frame. ``step`` compares the face with
itself in the next of the sampled frames. Of the published dynamic patterns (LBP-TOP: Zhao & Pietikainen 2007) only the
image plane is measured, since runs of neighbouring frames are not kept.

Confounds: compression and focus, as for ``spectrum``; beards, make-up, age; for GLCM also light and contrast. Contrast,
energy and entropy of 1 and 2 px rank clips alike (Spearman's rho above 0.997 on 41 clips): count them as one cue.
``lbp_step_js_med`` depends on the time between the sampled frames, and so on the length of the clip, and on whether the
codec coded them alike (I, P or B).
Alone, the family separates known manipulations of new people better than unseen manipulations, where it is near
chance (docs/experiments/025).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from features.arrays import F64, U8
from features.measures import robust, series
from features.measures.comparison import entropy, js_distance, log_ratio
from features.measures.face_patch import face_patch
from features.measures.face_regions import each_distinct, sampled
from features.measures.geometry import crop_landmarks
from features.measures.luma import grey_levels
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

MIN_FRAMES = 5
MAX_CLIPPED = 0.3
LBP_IOD_PX, LBP_SIDE = 32.0, 64
GLCM_IOD_PX, GLCM_SIDE = 48.0, 96  # half of all clips have faces of less than D = 64 px
NEIGHBOURS, RADIUS = 8, 1
CLASSES = NEIGHBOURS + 2
LEVELS = 32
DISTANCES = (1, 2, 4)
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)

_LBP, _GLCM, _DYNAMIC = "Ojala et al. 2002", "Haralick et al. 1973", "Zhao & Pietikainen 2007"
_PIXELS = EVERY_CHANGE - {"scale"}  # a face that is smaller than what it is reduced to has fewer details
_LIT = _PIXELS - {"brightness"}
PROPERTIES = {
    "contrast": ("the squared difference of grey levels (in steps of 8)", "down", (0.0, inf)),
    "homogeneity": ("how alike grey levels are, from 0 to 1", "up", (0.0, 1.0)),
    "energy": ("how few pairs of grey levels there are, from 0 to 1", "up", (0.0, 1.0)),
    "correlation": ("the correlation of grey levels, from -1 to 1", "up", (-1.0, 1.0)),
    "entropy": ("how varied pairs of grey levels are (entropy in nats)", "down", (0.0, float(np.log(LEVELS**2)))),
}
"""Property of a co-occurrence matrix to its description, the direction expected in a fake, and its range."""


def _pattern(k: int) -> str:
    if k == NEIGHBOURS + 1:
        return "of an irregular pattern: brighter and darker neighbours alternate more than twice"
    if k == NEIGHBOURS:
        return "none of whose eight neighbours is darker: dark dots and flat places"
    if k == 0:
        return "all of whose eight neighbours are darker: bright dots"
    return f"with an edge that leaves {k} of eight neighbours on the side that is at least as bright"


_column = columns_of("texture", invariant_to=_PIXELS)


def _lbp_columns() -> Iterator[Column]:
    for k in range(CLASSES):
        yield _column(
            f"lbp_bin{k}_med", f"Fraction of the pixels of the reduced face {_pattern(k)}.",
            range=(0, 1), reference=_LBP,
        )  # fmt: skip
    yield _column(
        "lbp_ent_med", "How varied the local patterns of the face are: entropy, from 0 to 1.",
        range=(0, 1), direction="down", reference=_LBP,
    )  # fmt: skip
    yield _column(
        "lbp_step_js_med",
        "How much the local patterns of the face change from one sampled frame to the next, from 0 (not at all) to 1.",
        range=(0, 1), direction="up", reference=_DYNAMIC,
    )  # fmt: skip
    yield _column(
        "lbp_fb_js_med", "How differently local patterns are distributed in face and background, from 0 (alike) to 1.",
        range=(0, 1), direction="up", reference=_LBP,
    )  # fmt: skip


def _glcm_columns() -> Iterator[Column]:
    for name, (words, direction, span) in PROPERTIES.items():
        for distance in DISTANCES:
            yield _column(
                f"glcm_{name}_d{distance}_med",
                f"Texture of the face reduced to 48 px between the eyes: {words}, of pixels {distance} px apart.",
                range=span, direction=direction, reference=_GLCM, invariant_to=_LIT,
            )  # fmt: skip
    for name, (words, direction, _) in PROPERTIES.items():
        signed = name == "correlation"
        how = "difference" if signed else "natural logarithm of the ratio"
        yield _column(
            f"glcm_fb_{name}_d1_med",
            f"Texture of the face against that of the background: {words}, of neighbouring pixels ({how}).",
            range=(-2, 2) if signed else (-inf, inf), direction=direction, reference=_GLCM, invariant_to=_LIT,
        )  # fmt: skip


COLUMNS = (
    *_lbp_columns(),
    *_glcm_columns(),
    _column(
        "ent_luma_med", "How varied the grey levels of the face are: entropy of 32 levels in bits.",
        unit="bit", range=(0, float(np.log2(LEVELS))), reference="Shannon 1948", invariant_to=_LIT,
    ),
    _column(
        "valid_share", "Fraction of the sampled frames with a face of 32 pixels or more between the eyes.",
        range=(0, 1), direction="covariate",
    ),
)  # fmt: skip


def pattern_counts(luma: U8) -> F64:
    """Return the counts [10] of the rotation-invariant uniform patterns of an image [h, w] without its border.

    A pattern compares a pixel with eight neighbours at a distance of 1 px; those on the diagonals are interpolated.
    """
    from skimage.feature import local_binary_pattern

    codes = local_binary_pattern(luma, NEIGHBOURS, RADIUS, method="uniform")[1:-1, 1:-1]
    return np.bincount(codes.astype(np.int64).ravel(), minlength=CLASSES).astype(np.float64)


def co_occurrence_properties(luma: U8, distances: tuple[int, ...]) -> dict[str, F64]:
    """Return the :data:`PROPERTIES` of an image [h, w], quantised to 32 levels: one value for each distance.

    Values are means over four directions; the correlation is NaN in an image of one level.
    """
    from skimage.feature import graycomatrix, graycoprops

    matrix = graycomatrix(luma // (256 // LEVELS), distances, ANGLES, LEVELS, symmetric=True, normed=True)
    properties = {name: graycoprops(matrix, name).mean(axis=1) for name in PROPERTIES}
    properties["correlation"] = np.where(np.ptp(luma // (256 // LEVELS)) > 0, properties["correlation"], np.nan)
    return properties


@dataclass(frozen=True)
class CropTexture:
    """The texture of one face crop."""

    patterns: F64
    """[10] counts of the reduced face."""
    values: dict[str, float]
    """Column without ``_med`` to value."""


def of_face(track: Track, number: int) -> CropTexture | None:
    """Measure a crop; None where the face is lost, smaller than D = 32 px, or more than 30 % black or white."""
    points = crop_landmarks(track, number)
    small = face_patch(track.crops[number], points=points, iod_px=LBP_IOD_PX, side_px=LBP_SIDE)
    if small is None or ((small <= 2) | (small >= 253)).mean() > MAX_CLIPPED:
        return None
    counts = pattern_counts(small)
    values = {f"lbp_bin{k}": float(count / counts.sum()) for k, count in enumerate(counts)}
    values["lbp_ent"] = entropy(counts) / np.log2(CLASSES)
    values["ent_luma"] = entropy(np.bincount(small.ravel() // (256 // LEVELS), minlength=LEVELS).astype(np.float64))
    large = face_patch(track.crops[number], points=points, iod_px=GLCM_IOD_PX, side_px=GLCM_SIDE)
    if large is not None:
        for name, each in co_occurrence_properties(large, DISTANCES).items():
            values |= {f"glcm_{name}_d{distance}": float(v) for distance, v in zip(DISTANCES, each, strict=True)}
    return CropTexture(counts, values)


def of_patches(face: U8, background: U8, *, luma_levels: tuple[int, int]) -> dict[str, float]:
    """Columns ``fb`` of a frame, without ``_med``, of native patches [p, p]; none where one is missing.

    Co-occurrences count levels of grey, so that black and white, coded as ``luma_levels``, are 0 and 255 there.
    """
    if not face.size or face.shape != background.shape:
        return {}
    values = {"lbp_fb_js": js_distance(pattern_counts(face), pattern_counts(background))}
    inner, outer = (
        co_occurrence_properties(luma.round().clip(0, 255).astype(np.uint8), (1,))
        for luma in grey_levels([face, background], luma_levels=luma_levels)
    )
    for name in PROPERTIES:
        a, b = float(inner[name][0]), float(outer[name][0])
        values[f"glcm_fb_{name}_d1"] = a - b if name == "correlation" else log_ratio(a, b)
    return values


@family("texture", version=2, needs={"track", "crops"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure the texture of a track's crops and patches; NaN below 5 usable crops, or a fifth of those seen."""
    numbers = sampled(track)
    every = each_distinct(
        numbers,
        lambda number: of_face(track, number),
        key=lambda number: (id(track.crops[number]), track.landmarks[track.crop_index[number]].tobytes()),
    )
    usable = [crop for crop in every if crop is not None]
    valid = len(usable) / len(numbers) if numbers else 0.0
    named: dict[str, float] = {"valid_share": valid}
    if valid >= series.MIN_VALID_SHARE and len(usable) >= MIN_FRAMES:
        steps = [js_distance(a.patterns, b.patterns) for a, b in itertools.pairwise(usable)]
        patches = each_distinct(
            numbers,
            lambda number: of_patches(
                track.patch_face[number], track.patch_background[number], luma_levels=observation.luma_levels
            ),
            key=lambda number: (id(track.patch_face[number]), id(track.patch_background[number])),
        )
        faces = [crop.values for crop in usable]
        named |= robust.medians_over_frames(
            (column.name for column in COLUMNS), lambda name: patches if "_fb_" in name else faces, least=MIN_FRAMES
        )
        named["lbp_step_js_med"] = robust.median(steps, MIN_FRAMES - 1)
    return complete_row(COLUMNS, named)
