"""eyes_teeth: whether both eyes have the same colour and the same highlights, and whether teeth have texture.

After Matern et al. 2019, "Exploiting Visual Artifacts to Expose Deepfakes and Face Manipulations" (there AUC up to
0.87), and its code: generators draw each eye by itself, and teeth as one white patch. Highlights after Hu et al. 2021,
"Exposing GAN-generated Faces Using Inconsistent Corneal Specular Highlights", there of portraits. Everything is
measured in the stored crops, about 16 a clip, and summed up by medians over those in which it can be seen.

A pair of irises counts when both are found (:mod:`features.measures.irises`), have 5 px of radius in the crop (55 px
between the eyes), agree in where they lie in their eyes and are of about equal size; teeth
(:mod:`features.measures.teeth`) count when the lips are apart by 15 % of the mouth's width. The published code counts
an eye without an iris as 0, and wraps in 8 bits.

Confounds: light from one side (brightness of the irises), glasses, dark eyes, blur, compression (chroma), the size of
the face, what is said (whether teeth show). On stills of 224 px, enlarged from smaller faces, it tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.evidence import Series
from features.measures import irises, robust, series
from features.measures.face_regions import each_distinct
from features.measures.geometry import LEFT_EYE, RIGHT_EYE, crop_landmarks, eye_aspect_ratio
from features.measures.laws_texture import ENERGIES
from features.measures.teeth import Teeth, measure_teeth
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, columns_of, complete_row, family

MIN_FRAMES = 5
MIN_RADIUS_PX = 5.0  # of an iris, in px of the crop
MIN_EAR = 0.15  # a lid that hides no more than the upper part of the iris
MAX_CENTRE_GAP = 0.15  # of the irises' places in their eyes, over the width of an eye
MAX_SIZE_GAP = 0.4  # of the eyes' widths and of the irises' radii, over the larger

_EYES, _LIGHTS = "Matern et al. 2019", "Hu et al. 2021"
_GEOMETRIC = EVERY_CHANGE - {"brightness", "scale"}
_LAWS_WORDS = {"l": "levels", "e": "edges", "s": "spots", "r": "ripples"}

_column = columns_of("eyes_teeth", range=(0.0, 1.0), direction="up", reference=_EYES, invariant_to=_GEOMETRIC)


def _laws_words(pair: str) -> str:
    first, second = (_LAWS_WORDS[letter] for letter in pair)
    return f"{first} in both directions" if first == second else f"{first} one way and {second} the other"


COLUMNS = (
    _column(
        "iris_dh",
        "Typical (median) difference of hue between the two irises, from 0 (same) to 1 (opposite); missing without "
        "colour.",
    ),
    _column("iris_ds", "Typical (median) difference of saturation between the two irises, from 0 to 1."),
    _column("iris_dv", "Typical (median) difference of brightness between the two irises, from 0 to 1."),
    _column(
        "iris_dlab",
        "Typical (median) difference of colour between the two irises as people see it (CIE 1976); about 2 can just "
        "be seen.",
        range=(0.0, inf),
    ),
    *(
        _column(
            f"iris_hist_{letter}",
            f"How unlike the {colour} values are spread in the two irises, from 0 (alike) to 1 (opposite).",
        )
        for letter, colour in (("r", "red"), ("g", "green"), ("b", "blue"))
    ),
    _column(
        "iris_dlab_mad",
        "How much the difference of colour between the two irises changes from frame to frame; 0 if it never does.",
        range=(0.0, inf),
    ),
    _column("spec_missing_share", "Fraction of the frames in which no iris has a highlight.", reference=_LIGHTS),
    _column(
        "spec_one_eye_share", "Fraction of the frames in which one iris has a highlight and the other none.",
        reference=_LIGHTS,
    ),
    _column(
        "spec_iou_med",
        "How alike the highlights of the two irises are in shape and size, typically (median), from 0 to 1: their "
        "common area over that of both, laid on each other.",
        direction="down", reference=_LIGHTS,
    ),
    _column(
        "spec_offset_med",
        "Typical (median) distance between the places of the highlights in the two irises, in radii of an iris.",
        range=(0.0, 2.0), reference=_LIGHTS,
    ),
    *(
        _column(
            f"teeth_laws_{pair}",
            f"Strength of fine structure in the teeth, as a logarithm: {_laws_words(pair)}; low if they are one patch.",
            range=(-inf, inf), direction="down",
        )
        for pair in ENERGIES
    ),
    _column(
        "teeth_ten", "How sharp the teeth are, by how steeply brightness changes from pixel to pixel, as a logarithm.",
        range=(-inf, inf), direction="down",
    ),
    _column(
        "teeth_skin_ratio",
        "How much more fine structure the teeth have than the cheeks: the logarithm of the ratio; low if the teeth are "
        "blurred and the skin is not.",
        range=(-inf, inf), direction="down",
    ),
    _column("teeth_area_share", "Fraction of the open mouth that is teeth, typically (median).", direction="covariate"),
    _column(
        "valid_iris_share", "Fraction of the sampled frames in which both irises could be seen.",
        direction="covariate",
    ),
    _column("valid_teeth_share", "Fraction of the sampled frames in which teeth could be seen.", direction="covariate"),
    _column(
        "valid_share", "Fraction of the sampled frames with a face.",
        direction="covariate", invariant_to=EVERY_CHANGE,
    ),
)  # fmt: skip

COLOURS = ("dh", "ds", "dv", "dlab", "hist_r", "hist_g", "hist_b")


@dataclass(frozen=True)
class Irises:
    """Both irises of one frame."""

    colours: dict[str, float]
    """From :func:`features.measures.irises.colour_differences`."""
    lights: int
    """Number of irises, of the two, that have a highlight."""
    overlap: float
    """Intersection over union of the highlights, 0 to 1; NaN unless both irises have one."""
    offset: float
    """Difference of the highlights' places, in radii; NaN unless both irises have one."""


def compare_irises(crop: NDArray[np.uint8], *, points: F64) -> Irises | None:
    """Compare both irises in a crop; None where one can't be seen or the two don't belong together.

    Parameters
    ----------
    crop : ndarray of shape (s, s, 3)
        RGB.
    points : ndarray of shape (68, 2)
        Landmarks in px of the crop; NaN where lost.
    """
    widths = np.array([float(np.hypot(*(points[eye[3]] - points[eye[0]]))) for eye in (RIGHT_EYE, LEFT_EYE)])
    if not (eye_aspect_ratio(points[None])[0].min() >= MIN_EAR and _gap(widths) <= MAX_SIZE_GAP):
        return None
    largest_px = irises.RADII_PX[1] / irises.EYE_PX * widths
    if largest_px.min() < MIN_RADIUS_PX:
        return None
    eyes = [irises.level_eye(crop, points=points[eye]) for eye in (RIGHT_EYE, LEFT_EYE)]
    found = [irises.find_iris(eye) for eye in eyes]
    circles = [circle for circle in found if circle is not None]
    if len(circles) < 2 or not belong_together(circles, widths_px=widths):
        return None
    pixels = [irises.iris_pixels(eye, iris=circle) for eye, circle in zip(eyes, circles, strict=True)]
    if not all(len(one) for one in pixels):
        return None
    lights = [irises.highlights(eye, iris=circle) for eye, circle in zip(eyes, circles, strict=True)]
    places = [irises.place_in_iris(light, iris=circle) for light, circle in zip(lights, circles, strict=True)]
    return Irises(
        irises.colour_differences(pixels[0], pixels[1]),
        sum(bool(light.any()) for light in lights),
        irises.overlap(lights[0], lights[1]),
        float(np.hypot(*(places[0] - places[1]))),
    )


def belong_together(circles: Sequence[irises.Circle], *, widths_px: F64) -> bool:
    """Whether two irises are large enough, of about equal size, and at about the same place in their eyes.

    Parameters
    ----------
    circles : sequence of Circle
        Of the right and the left eye.
    widths_px : ndarray of shape (2,)
        Of the two eyes in px of the crop.
    """
    radii_px = np.array([circle.radius for circle in circles]) / irises.EYE_PX * widths_px
    apart = np.hypot(circles[0].x - circles[1].x, circles[0].y - circles[1].y) / irises.EYE_PX
    return bool(radii_px.min() >= MIN_RADIUS_PX and _gap(radii_px) <= MAX_SIZE_GAP and apart <= MAX_CENTRE_GAP)


def _gap(pair: F64) -> float:
    """Difference of two lengths over the larger; NaN for none."""
    return float(np.ptp(pair) / pair.max()) if pair.max() > 0 else np.nan


def iris_columns(seen: Sequence[Irises]) -> dict[str, float]:
    """Columns of the irises, of the frames in which both can be seen; all NaN below 5."""
    if len(seen) < MIN_FRAMES:
        return {}
    colours = {f"iris_{name}": robust.median([one.colours[name] for one in seen], MIN_FRAMES) for name in COLOURS}
    return colours | {
        "iris_dlab_mad": robust.mad([one.colours["dlab"] for one in seen]),
        "spec_missing_share": float(np.mean([one.lights == 0 for one in seen])),
        "spec_one_eye_share": float(np.mean([one.lights == 1 for one in seen])),
        "spec_iou_med": robust.median([one.overlap for one in seen], MIN_FRAMES),
        "spec_offset_med": robust.median([one.offset for one in seen], MIN_FRAMES),
    }


def teeth_columns(seen: Sequence[Teeth]) -> dict[str, float]:
    """Columns of the teeth, of the frames that show some; NaN below 5."""
    laws = {
        f"teeth_laws_{pair}": robust.median([one.laws[k] for one in seen], MIN_FRAMES)
        for k, pair in enumerate(ENERGIES)
    }
    return laws | {
        "teeth_ten": robust.median([one.ten for one in seen], MIN_FRAMES),
        "teeth_skin_ratio": robust.median([one.over_skin for one in seen], MIN_FRAMES),
        "teeth_area_share": robust.median([one.area_share for one in seen], MIN_FRAMES),
    }


Face = tuple[NDArray[np.uint8], F64]  # a crop [s, s, 3] and its landmarks [68, 2]


def _faces(track: Track) -> list[Face]:
    """Each of a track's crops, with its landmarks."""
    return [(crop, crop_landmarks(track, number)) for number, crop in enumerate(track.crops)]


def _same(face: Face) -> object:
    """Return a key that is equal only for crops of one frozen image."""
    return id(face[0]), face[1].tobytes()


def every_iris(track: Track) -> list[Irises | None]:
    """Both irises of each of a track's crops; None where they can't be seen."""
    return each_distinct(_faces(track), lambda face: compare_irises(face[0], points=face[1]), key=_same)


def iris_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``eyes_teeth.irises``: difference of colour of the irises in each crop; empty where there are no columns.

    NaN where they can't be seen. Its median is the column ``iris_dlab``.
    """
    pairs = every_iris(track)
    if sum(pair is not None for pair in pairs) < MIN_FRAMES:
        return {}
    times_s = observation.crop_times_s(track)
    values = [np.nan if pair is None else pair.colours["dlab"] for pair in pairs]
    return {"eyes_teeth.irises": Series(times_s, values, unit="1", title="Difference of the irises' colours")}


@family("eyes_teeth", version=3, needs={"track", "crops"}, columns=COLUMNS, series=iris_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure the eyes and teeth of a track's crops; each is NaN below five crops that show it."""
    faces = _faces(track)
    valid = float(np.mean([np.isfinite(points).all() for _, points in faces])) if faces else 0.0
    named = {"valid_share": valid, "valid_iris_share": 0.0, "valid_teeth_share": 0.0}
    if valid >= series.MIN_VALID_SHARE:
        pairs = [one for one in every_iris(track) if one is not None]
        found = each_distinct(faces, lambda face: measure_teeth(face[0], points=face[1]), key=_same)
        teeth = [one for one in found if one is not None]
        named |= iris_columns(pairs) | teeth_columns(teeth)
        named |= {"valid_iris_share": len(pairs) / len(faces), "valid_teeth_share": len(teeth) / len(faces)}
    return complete_row(COLUMNS, named)
