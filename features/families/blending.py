"""blending: whether the core of the face differs from the rest of its own skin, as one that was replaced does.

A swapped or reenacted face is generated small, enlarged, recoloured and blended in about the eyes, nose and mouth: it
can be softer, smoother or of another colour than cheeks, jaw and forehead of the same frame, which stay as they were.
After Li & Lyu 2019, "Exposing DeepFake Videos by Detecting Face Warping Artifacts", and Li et al. 2020, "Face X-ray for
More General Face Forgery Detection"; both are networks, while the measures here are hand-crafted.

Both regions are bare skin of the kept crops (:mod:`features.measures.face_regions`). ``ten`` is Tenengrad (mean squared
Sobel gradient), ``lap`` the variance of the Laplacian, ``noise`` Immerkaer's noise in the smoother half of the region:
natural logarithms of the ratio of core and rest, so that gain cancels. ``lab`` is the CIE76 colour difference of the
medians, ``chroma`` the same without lightness; ``lightness``, ``red`` and ``yellow`` are its parts L*, a* and b*, core
minus rest. All are medians over the sampled frames.

What lies outside the face's contour is not compared: whether hair and background are sharper than a face depends on the
camera and the place, and neither that nor a seam along the contour detected forgeries (docs/rejected.md).

Confounds: make-up, beards, a fringe over the forehead, shadows, glasses; compression that spares eyes and mouth.
Frames turned by more than 35 degrees are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F32
from features.evidence import Series
from features.measures import robust, series
from features.measures.comparison import log_ratio
from features.measures.face_regions import FaceCrop, Mask, each_distinct, face_crops, sampled
from features.measures.geometry import pose
from features.measures.luma import FLAT_SIGMA_PX, IMMERKAER
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, complete_row, family

MIN_PIXELS = 300  # of a region
MIN_FRAMES = 5
MAX_YAW_DEG = 35.0
STRENGTHS = ("ten", "lap", "noise")

_FWA, _XRAY = "Li & Lyu 2019", "Li et al. 2020"
_SAME = EVERY_CHANGE - {"scale"}  # landmarks that move by half a pixel take the regions with them
_LIT = _SAME - {"brightness"}
_PLACES = "in the core of the face (about eyes, nose and mouth) than on its cheeks, jaw and forehead"


def _detail(name: str, description: str) -> Column:
    return Column(
        f"blending.{name}_core_rest_med", "1", (-inf, inf), _FWA, "down", _SAME,
        description=f"{description} {_PLACES} (natural logarithm of the ratio).",
    )  # fmt: skip


def _colour(name: str, description: str, *, low: float = 0.0) -> Column:
    return Column(
        f"blending.{name}_core_rest_med", "1", (low, inf), _XRAY, "either" if low else "up", _LIT,
        description=description,
    )  # fmt: skip


COLUMNS = (
    _detail("ten", "How much steeper brightness changes from pixel to pixel"),
    _detail("lap", "How much more fine detail there is"),
    _detail("noise", "How much noisier the smoother half of the skin is"),
    _colour(
        "lab",
        "Difference in colour between the core of the face and its cheeks, jaw and forehead (CIE76; 2 can just be "
        "seen).",
    ),
    _colour(
        "chroma",
        "Difference in colour, lightness left out, between the core of the face and its cheeks, jaw and forehead "
        "(CIE76).",
    ),
    _colour("lightness", f"How much lighter skin is {_PLACES} (L*, of 100).", low=-inf),
    _colour("red", f"How much redder, rather than greener, skin is {_PLACES} (a* of CIELAB).", low=-inf),
    _colour("yellow", f"How much yellower, rather than bluer, skin is {_PLACES} (b* of CIELAB).", low=-inf),
    Column(
        "blending.valid_share", range=(0, 1), direction="covariate", invariant_to=EVERY_CHANGE,
        description="Fraction of the sampled frames with a face that is large enough and looks towards the camera.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Gradients:
    """Filtered luma of a crop, [s, s] each."""

    tenengrad: F32
    """Squared Sobel gradient."""
    laplacian: F32
    """Response of the 3 x 3 Laplacian."""
    noise: F32
    """Absolute response of Immerkaer's operator."""
    rough: F32
    """Squared gradient of the smoothed luma: where it is small, the noise is no texture."""

    @classmethod
    def of(cls, luma: F32) -> Gradients:
        """Filter a luma [s, s]."""
        smooth = cv2.GaussianBlur(luma, (0, 0), FLAT_SIGMA_PX)
        return cls(
            squared_gradient(luma),
            cv2.Laplacian(luma, cv2.CV_32F, ksize=1),
            np.abs(cv2.filter2D(luma, cv2.CV_32F, IMMERKAER)),
            squared_gradient(smooth),
        )


def squared_gradient(luma: F32) -> F32:
    """Return the squared Sobel gradient of an image [h, w]."""
    gx, gy = (cv2.Sobel(luma, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    squared: F32 = gx * gx + gy * gy
    return squared


def strengths(gradients: Gradients, region: Mask) -> dict[str, float]:
    """Tenengrad, variance of the Laplacian and noise of a region [s, s] that is not empty."""
    pixels = np.flatnonzero(region)
    tenengrad, laplacian, noise, rough = (
        image.ravel()[pixels] for image in (gradients.tenengrad, gradients.laplacian, gradients.noise, gradients.rough)
    )
    return {
        "ten": float(tenengrad.mean(dtype=np.float64)),
        "lap": float(laplacian.var(dtype=np.float64)),
        "noise": float(noise[rough <= np.median(rough)].mean(dtype=np.float64)),
    }


def colour_differences(core: NDArray, rest: NDArray) -> dict[str, float]:
    """Columns of colour, without ``_core_rest_med``, of two colours [3] in L*, a*, b*.

    >>> colour_differences(np.array([53.0, 4.0, 0.0]), np.array([50.0, 0.0, 0.0]))
    {'lab': 5.0, 'chroma': 4.0, 'lightness': 3.0, 'red': 4.0, 'yellow': 0.0}
    """
    gap = np.asarray(core, dtype=np.float64) - rest
    parts = dict(zip(("lightness", "red", "yellow"), gap.tolist(), strict=True))
    return {"lab": float(np.linalg.norm(gap)), "chroma": float(np.linalg.norm(gap[1:]))} | parts


def compared(crop: FaceCrop) -> dict[str, float] | None:
    """Column without ``_core_rest_med`` to value of a crop; None where a region is under 300 px, or all is flat."""
    core, rest = crop.region("core"), crop.region("rest")
    if min(core.sum(), rest.sum()) < MIN_PIXELS:
        return None
    gradients = Gradients.of(crop.luma)
    inner, outer = (strengths(gradients, region) for region in (core, rest))
    values = {name: log_ratio(inner[name], outer[name]) for name in STRENGTHS}
    if not np.isfinite(values["ten"]):
        return None
    middle, other = (np.median(crop.lab[region].T.copy(), axis=1) for region in (core, rest))
    return values | colour_differences(middle, other)


def frames(observation: Observation, track: Track, numbers: range) -> list[dict[str, float] | None]:
    """Return the result of :func:`compared` for some of a track's crops; None for a face that is lost or turned."""
    crops = face_crops(observation, track, numbers)
    yaw_deg = pose(track.landmarks[track.crop_index[numbers.start : numbers.stop : numbers.step]])[:, 1]
    usable = [crop if abs(yaw) <= MAX_YAW_DEG else None for crop, yaw in zip(crops, yaw_deg.tolist(), strict=True)]
    return each_distinct(usable, lambda crop: None if crop is None else compared(crop))


SHOWN = {
    "detail": ("lap", "1", "Detail, core against rest of the face"),
    "lightness": ("lightness", "L* difference", "Lightness, core against rest of the face"),
}
"""Name of the series, the value that it shows, unit, title."""


def region_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``blending.detail`` and ``blending.lightness``: the core of the face against its rest in each of the crops.

    Medians over a sample of them are the columns ``lap_core_rest_med`` and ``lightness_core_rest_med``. Empty where no
    frame is usable.
    """
    measured_frames = frames(observation, track, range(len(track.crops)))
    if not any(measured_frames):
        return {}
    times_s = observation.crop_times_s(track)
    return {
        f"blending.{name}": Series(
            times_s, [frame[measured] if frame else np.nan for frame in measured_frames], unit=unit, title=title
        )
        for name, (measured, unit, title) in SHOWN.items()
    }


@family("blending", version=1, needs={"track", "crops"}, columns=COLUMNS, series=region_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Compare the core of a face with its rest; NaN below 5 usable crops or a fifth of the sampled ones."""
    measured_frames = frames(observation, track, sampled(track))
    usable = [frame for frame in measured_frames if frame]
    valid = len(usable) / len(measured_frames) if measured_frames else 0.0
    named = {"valid_share": valid}
    if valid >= series.MIN_VALID_SHARE and len(usable) >= MIN_FRAMES:
        named |= {
            f"{name}_core_rest_med": robust.median([frame[name] for frame in usable], MIN_FRAMES) for name in usable[0]
        }
    return complete_row(COLUMNS, named)
