"""quality: how good the image is: covariates, never evidence.

Other families' columns change with size, blur, noise and compression; these columns say how much of each there is. They
are measured from pixels alone: no container field (size, frame rate, codec, bit rate, duration, tags, file name)
enters. Suffix ``_face``: the native luma patches of the face; ``_bg``: those of the background; ``med`` and ``mad``
over the patches.
Grey levels count from 0, black, to 255, white, whatever range the video is coded in.
``clip_share`` counts every frame, also those that equal the one before, as in a title card. Models should use these
columns in interactions only, and every leak report should include them.

Sources: noise after Immerkaer 1996, "Fast noise variance estimation"; blur after Crete et al. 2007, "The blur effect".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.evidence import Series
from features.measures import robust, series
from features.measures.geometry import RIGID, HeadTrack, head
from features.measures.luma import block_steps, filtered, grey_levels, noise_imm, noise_mad
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

MIN_PATCHES = 5
LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=np.float64)
BLUR_SIDE = 11
CLIP_LOW, CLIP_HIGH = 2, 253

_PIXELS = EVERY_CHANGE - {"scale"}  # patches are native: the same face in more pixels has other finest details
_LEVEL = _PIXELS - {"brightness"}


def blur_lap(luma: F64) -> float:
    """log10 of the variance of the 3 x 3 Laplacian of grey levels [h, w]; NaN for a constant image."""
    variance = float(filtered(luma, LAPLACIAN).var())
    return float(np.log10(variance)) if variance > 0 else np.nan


def blur_ten(luma: F64) -> float:
    """log10 of Tenengrad, the mean of Gx^2 + Gy^2 of the Sobel gradient, of [h, w]; NaN for a constant image."""
    gx, gy = (cv2.Sobel(luma, cv2.CV_64F, dx, 1 - dx, ksize=3)[1:-1, 1:-1] for dx in (1, 0))
    energy = float((gx**2 + gy**2).mean())
    return float(np.log10(energy)) if energy > 0 else np.nan


def blur_eff(luma: F64) -> float:
    """Blur of [h, w] by blurring again (Crete et al. 2007), 0 sharp to 1 blurred; NaN for a constant image."""
    from skimage.measure import blur_effect

    return float(blur_effect(luma, h_size=BLUR_SIDE)) if np.ptp(luma) > 0 else np.nan


def blockiness(luma: F64) -> float:
    """Grid of 8 px: step across the worst of 8 phases over the median of the others, rows and columns averaged.

    About 1 without a grid; NaN for a constant image [h, w].
    """
    ratios = []
    for axis in (0, 1):
        phases = block_steps(luma, axis=axis)
        worst = int(phases.argmax())
        rest = float(np.median(np.delete(phases, worst)))
        ratios.append(phases[worst] / rest if rest > 0 else np.nan)
    return float(np.mean(ratios))


def expo_med(luma: F64) -> float:
    """Median of grey levels [h, w], those beyond black and white counted as such."""
    return float(np.median(np.clip(luma, 0, 255)))


def expo_clip_share(luma: F64) -> float:
    """Fraction of pixels of [h, w] at most 2 or at least 253.

    >>> expo_clip_share(np.array([[0.0, 100.0], [200.0, 255.0]]))
    0.5
    """
    return float(((luma <= CLIP_LOW) | (luma >= CLIP_HIGH)).mean())


def contrast(luma: F64) -> float:
    """Grey levels between the 5 % and 95 % quantiles of [h, w]."""
    low, high = np.quantile(np.clip(luma, 0, 255), [0.05, 0.95])
    return float(high - low)


@dataclass(frozen=True)
class PatchMeasure:
    """A measure of one luma patch, and the text of its columns, in which ``{}`` stands for face or background."""

    function: Callable[[F64], float]
    sentence: str
    """Of the median over the patches."""
    noun: str
    """What the mad over the patches is of."""
    unit: str
    range: tuple[float, float]
    reference: str
    invariant_to: frozenset[str] = _PIXELS


MEASURES = {
    "blur_lap": PatchMeasure(
        blur_lap,
        "How sharp {} is, by how unevenly neighbouring pixels differ, in powers of ten; low if blurred.",
        "the sharpness of {} (how unevenly neighbouring pixels differ, in powers of ten)",
        "log10", (-inf, inf), "variance of the Laplacian",
    ),
    "blur_ten": PatchMeasure(
        blur_ten,
        "How sharp {} is, by how steeply brightness changes from pixel to pixel, in powers of ten; low if blurred.",
        "the sharpness of {} (how steeply brightness changes from pixel to pixel, in powers of ten)",
        "log10", (-inf, inf), "Tenengrad",
    ),
    "blur_eff": PatchMeasure(
        blur_eff,
        "How blurred {} is, measured by how little further blurring changes it, from 0 (sharp) to 1 (blurred).",
        "the blur of {} (from 0, sharp, to 1, blurred)",
        "1", (0, 1), "Crete et al. 2007", _PIXELS - {"mirror"},
    ),
    "noise_imm": PatchMeasure(
        noise_imm,
        "Strength of the noise in {}, in grey levels (of 255); fine texture also counts as noise.",
        "the noise in {}, fine texture included, in grey levels,",
        "grey levels", (0, inf), "Immerkaer 1996",
    ),
    "noise_mad": PatchMeasure(
        noise_mad,
        "Strength of the noise in the smoother half of {}, in grey levels (of 255).",
        "the noise in the smoother half of {}, in grey levels,",
        "grey levels", (0, inf), "Immerkaer 1996",
    ),
    "blockiness": PatchMeasure(
        blockiness,
        "How clearly the grid of 8 pixels that compression leaves shows in {}; 1 if it does not show.",
        "the visibility of the grid of 8 pixels that compression leaves in {}",
        "1", (0, inf), "8 px phase of luma steps",
    ),
    "expo_med": PatchMeasure(
        expo_med,
        "Brightness of {}, from 0 (black) to 255 (white).",
        "the brightness of {}, in grey levels,",
        "grey levels", (0, 255), "exposure", _LEVEL,
    ),
    "expo_clip_share": PatchMeasure(
        expo_clip_share,
        "Fraction of {} that is entirely black or white.",
        "the fraction of {} that is entirely black or white",
        "1", (0, 1), "exposure", _LEVEL,
    ),
    "contrast": PatchMeasure(
        contrast,
        "Contrast of {}: the difference between its bright and its dark parts, in grey levels (of 255).",
        "the contrast of {}, in grey levels,",
        "grey levels", (0, 255), "exposure",
    ),
}  # fmt: skip
SHOWN = (("sharpness", "blur_lap", "Sharpness of the face"), ("light", "expo_med", "Light on the face"))
"""Series, the measure that it shows, title."""
PLACES = {"face": "the face", "bg": "the background"}


_covariate = columns_of("quality", direction="covariate", invariant_to=EVERY_CHANGE)


def _patch_columns() -> Iterator[Column]:
    for name, measure_of in MEASURES.items():
        for place, words in PLACES.items():
            for statistic, span, description in (
                ("med", measure_of.range, measure_of.sentence.format(words)),
                (
                    "mad",
                    (0.0, inf),
                    f"How much {measure_of.noun.format(words)} differs between the sampled frames; 0 if it stays "
                    "the same.",
                ),
            ):
                yield _covariate(
                    f"{name}_{place}_{statistic}",
                    description,
                    unit=measure_of.unit,
                    range=span,
                    reference=measure_of.reference,
                    invariant_to=measure_of.invariant_to,
                )


COLUMNS = (
    _covariate(
        "iod_px", "Size of the face: the distance between its eyes, in pixels.",
        unit="px", range=(0, inf), reference="inter-ocular distance", invariant_to=_PIXELS,
    ),
    _covariate(
        "face_area_share", "Fraction of the frame that the face covers.",
        range=(0, 1), reference="hull of the landmarks",
    ),
    *_patch_columns(),
    _covariate(
        "motion_med", "Typical (median) speed of the head across the frame, in distances between the eyes per second.",
        unit="iod/s", range=(0, inf), reference="speed of nose and eye corners",
    ),
    _covariate(
        "yaw_abs_med",
        "How far the head is typically (median) turned to one side, in degrees; 0 if it looks into the camera.",
        unit="deg", range=(0, 90), reference="weak-perspective pose",
    ),
    _covariate(
        "detector_conf_med", "How sure the face detector typically (median) is that this is a face, from 0 to 1.",
        range=(0, 1), reference="score of the face detector", invariant_to=_PIXELS,
    ),
    _covariate(
        "clip_share", "Fraction of the clip's frames in which the face was found.",
        range=(0, 1), reference="frames with a face",
    ),
    _covariate(
        "valid_share", "Fraction of the frames, from the face's first to its last, in which the face was found.",
        range=(0, 1), reference="frames with a face",
    ),
)  # fmt: skip


def face_area_share(face: HeadTrack, *, frame_size: tuple[int, int]) -> float:
    """Median area of the landmarks' hull over the frame's, whose width and height are in px; NaN without a face."""
    seen = face.landmarks[face.seen]
    few = seen[:: max(1, len(seen) // 32)]  # the area changes slowly
    areas = [cv2.contourArea(cv2.convexHull(points.astype(np.float32))) for points in few]
    return min(1.0, robust.median(areas, 1) / (frame_size[0] * frame_size[1])) if areas else np.nan


def motion_med(face: HeadTrack) -> float:
    """Median speed of the rigid points' centroid, iod/s, from steps over 0.2 s so that landmark noise fades."""
    parts = series.segments(face.landmarks[:, RIGID].mean(axis=1) / face.scale_px, times_s=face.times_s)
    speeds = []
    for part in parts:
        apart = max(1, series.n_samples(0.2, rate_hz=part.rate_hz))
        speeds.append(np.linalg.norm(part.values[apart:] - part.values[:-apart], axis=1) * part.rate_hz / apart)
    return robust.median(np.concatenate(speeds)) if speeds else np.nan


def patch_columns(
    patches: Sequence[NDArray[np.uint8]], *, place: str, luma_levels: tuple[int, int]
) -> dict[str, float]:
    """Median and mad over luma patches of every measure of :data:`MEASURES`.

    Parameters
    ----------
    patches : sequence of ndarray of shape (p, p)
        As the file codes them; empty ones are left out.
    place : str
        ``face`` or ``bg``, part of the names.
    luma_levels : (int, int)
        Black and white of the coding, which become 0 and 255.

    Returns
    -------
    dict
        A median is NaN below 5 patches, a mad below 8.
    """
    lumas = grey_levels([patch for patch in patches if patch.size], luma_levels=luma_levels)
    named = {}
    for name, measure_of in MEASURES.items():
        values = [measure_of.function(luma) for luma in lumas]
        named[f"{name}_{place}_med"] = robust.median(values, MIN_PATCHES)
        named[f"{name}_{place}_mad"] = robust.mad(values)
    return named


def patch_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``quality.sharpness`` and ``quality.light`` of the face in each of its patches; NaN where it is too small.

    The medians of these values are the columns ``blur_lap_face_med`` and ``expo_med_face_med``. Empty without a patch.
    """
    if not any(patch.size for patch in track.patch_face):
        return {}
    times_s = observation.crop_times_s(track)
    lumas = grey_levels(track.patch_face, luma_levels=observation.luma_levels)
    return {
        f"quality.{name}": Series(
            times_s,
            [MEASURES[measure_of].function(luma) if luma.size else np.nan for luma in lumas],
            unit=MEASURES[measure_of].unit,
            title=title,
            evidence=False,
        )
        for name, measure_of, title in SHOWN
    }


@family("quality", version=7, needs={"track", "crops"}, columns=COLUMNS, series=patch_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure size, sharpness, noise, blocking, exposure and pose; a place without five patches is NaN."""
    face = head(observation, track)
    valid = float(face.seen.mean()) if len(face.seen) else 0.0
    named = {"valid_share": valid}
    if valid >= series.MIN_VALID_SHARE:
        for place, patches in (("face", track.patch_face), ("bg", track.patch_background)):
            named |= patch_columns(patches, place=place, luma_levels=observation.luma_levels)
        named |= {
            "iod_px": face.scale_px,
            "face_area_share": face_area_share(face, frame_size=observation.frame_size),
            "motion_med": motion_med(face),
            "yaw_abs_med": robust.median(np.abs(face.yaw_deg)),
            "detector_conf_med": robust.median(track.detector_score[face.index][face.seen]),
            "clip_share": float(np.isfinite(track.landmarks[:, 0, 0]).sum()) / len(observation.times_s),
        }
    return complete_row(COLUMNS, named)
