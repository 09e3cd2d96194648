"""blending: whether the face differs from its own surroundings, as one does that was pasted in.

A swapped or reenacted face is generated small, enlarged, recoloured and blended into the frame along a contour: it can
be softer, smoother or of another colour than the skin just outside, or leave a step there. After Li et al. 2020, "Face
X-ray for More General Face Forgery Detection", and Li & Lyu 2019, "Exposing DeepFake Videos by Detecting Face Warping
Artifacts"; both are networks, the measures here are made by hand.

Regions are those of :mod:`features.face_regions`, in the kept crops: the inside of the face, the rim just inside its
contour, the skin, hair and neck just around it, and the background farther off. ``ten`` is Tenengrad (mean
squared Sobel gradient), ``lap`` the variance of the Laplacian, ``noise`` Immerkaer's noise in the smoother half of the
region: natural logarithms of the ratio of two regions of one frame, so that gain cancels. ``lab`` is the CIE76 colour
difference of two regions' medians, ``chroma`` the same without lightness, ``bhatt`` the Bhattacharyya distance of
their colours. ``med`` and ``mad`` are over the sampled frames.

``seam`` reads the profile of the colour gradient across the contour, from 0.30 iod inside to 0.30 iod outside in 20
steps, pooled over the frames, in each of four sectors: how far its largest value inside the skin stands out, in robust
standard deviations of the profile. Pooling matters: in one frame of strong texture no seam can be told.

Confounds: beards, hair, glasses, shadows, shallow depth of field (a sharp face before a soft background), compression
that spares faces, make-up. Frames turned by more than 35 degrees are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from features import series
from features.evidence import Series
from features.face_regions import SPANS, FaceCrop, Mask, each_distinct, face_crops, sampled
from features.families.quality import IMMERKAER
from features.geometry import F64, pose
from features.observation import Float, Observation, Track
from features.spec import EVERY_CHANGE, Column, family

MIN_PIXELS = 400  # of a region
MIN_FRAMES = 5
MAX_YAW_DEG = 35.0
FLAT_SIGMA_PX = 2.0  # smoothing before the smoother half of a region is chosen, as in quality.noise_mad
RATIOS = ("ten", "lap", "noise")

SEAM_IOD, SEAM_BINS = 0.30, 20
SEAM_WINDOW_IOD = (-0.25, -0.05)  # inside the skin, away from the true edge of the face
SEAM_BIN_PIXELS = 40  # pooled over the frames
SCHARR_SUM = 32.0
MIN_SPREAD = 0.01  # L*, a*, b* a px: below it a profile is flat, and nothing stands out of it

_XRAY, _FWA = "Li et al. 2020", "Li & Lyu 2019"
_SAME = EVERY_CHANGE - {"scale"}  # landmarks that move by half a pixel take the regions with them
_LIT = _SAME - {"brightness"}
_INF = float("inf")
_PAIRS = {
    "inside_around": "inside the face than just around it",
    "rim_around": "along the edge of the face than just outside it",
    "inside_background": "inside the face than in the background",
}
_QUANTITIES = {
    "ten": "How much sharper the picture is {} (natural logarithm of the ratio of squared gradients)",
    "lap": "How much more fine detail the picture has {} (natural logarithm of the ratio of Laplacian variances)",
    "noise": "How much noisier the picture is {} (natural logarithm of the ratio)",
}
_COLOURS = {
    "lab_inside_around": "colour inside the face and just around it (CIE76; 2 can just be seen)",
    "lab_rim_around": "colour along the edge of the face and just outside it (CIE76; 2 can just be seen)",
    "chroma_inside_around": "colour inside the face and just around it, lightness left out (CIE76)",
    "bhatt_inside_around": "colour inside the face and just around it, with how each varies (Bhattacharyya distance)",
}
MEASURED = (
    *(f"{ratio}_{pair}" for ratio in ("ten", "lap") for pair in _PAIRS),
    "noise_inside_around",
    *_COLOURS,
)
"""What each frame gives."""


def _ratio_column(name: str, statistic: str) -> Column:
    ratio, _, pair = name.partition("_")
    sentence = _QUANTITIES[ratio].format(_PAIRS[pair])
    if statistic == "med":
        return Column(f"blending.{name}_med", "1", (-_INF, _INF), _FWA, "down", _SAME, "", f"{sentence}.")
    return _unsteady(name, sentence, _FWA, _SAME)


def _unsteady(name: str, sentence: str, reference: str, invariant_to: frozenset[str]) -> Column:
    described = f"{sentence[0].lower()}{sentence[1:]}"
    return Column(
        f"blending.{name}_mad", "1", (0, _INF), reference, "up", invariant_to,
        description=f"How unsteady it is from frame to frame {described}; 0 if it stays the same.",
    )  # fmt: skip


def _colour_column(name: str, statistic: str) -> Column:
    sentence = f"Difference between the {_COLOURS[name]}"
    if statistic == "med":
        return Column(f"blending.{name}_med", "1", (0, _INF), _XRAY, "up", _LIT, "", f"{sentence}.")
    return Column(
        f"blending.{name}_mad", "1", (0, _INF), _XRAY, "up", _LIT,
        description=f"How unsteady the difference is between the {_COLOURS[name]} from frame to frame.",
    )  # fmt: skip


def _columns() -> Iterator[Column]:
    for name in MEASURED:
        make = _colour_column if name in _COLOURS else _ratio_column
        yield make(name, "med")
        yield make(name, "mad")


def _seam(
    name: str, description: str, *, unit: str = "1", span: tuple[float, float] = (0, _INF), proof: bool = False
) -> Column:
    return Column(
        f"blending.seam_{name}", unit, span, _XRAY, "up" if unit == "1" else "either",
        _SAME if proof else _LIT, description=description,
    )  # fmt: skip


COLUMNS = (
    *_columns(),
    _seam(
        "z",
        "How far a step in colour that runs along the inside of the face's edge stands out, in standard deviations of "
        "the changes across the edge.",
    ),
    _seam(
        "pos_iod",
        "Where the step in colour that stands out most runs: distance from the face's edge, below 0 inside, as a "
        "fraction of the distance between the eyes.",
        unit="iod",
        span=SEAM_WINDOW_IOD,
    ),
    _seam(
        "lightness_z",
        "How far a step in lightness that runs along the inside of the face's edge stands out, in standard deviations "
        "of the changes across the edge.",
    ),
    _seam(
        "chroma_z",
        "How far a step in hue or saturation that runs along the inside of the face's edge stands out, in standard "
        "deviations of the changes across the edge; missing for grey pictures.",
    ),
    _seam(
        "ten_rise",
        "How abruptly the picture gets sharper across a line that runs along the inside of the face's edge, going out "
        "(natural logarithm of the largest ratio of squared gradients).",
        span=(-_INF, _INF),
        proof=True,
    ),
    Column(
        "blending.valid_share", range=(0, 1), direction="covariate", invariant_to=EVERY_CHANGE,
        description="Fraction of the sampled frames with a face that is large enough and looks towards the camera.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Gradients:
    """Filtered luma of a crop, [s, s] each."""

    tenengrad: Float
    """Squared Sobel gradient."""
    laplacian: Float
    """Response of the 3 x 3 Laplacian."""
    noise: Float
    """Absolute response of Immerkaer's operator."""
    rough: Float
    """Squared gradient of the smoothed luma: where it is small, the noise is no texture."""

    @classmethod
    def of(cls, luma: Float) -> Gradients:
        """Filter a luma [s, s]."""
        smooth = cv2.GaussianBlur(luma, (0, 0), FLAT_SIGMA_PX)
        return cls(
            _squared_gradient(luma),
            cv2.Laplacian(luma, cv2.CV_32F, ksize=1),
            np.abs(cv2.filter2D(luma, cv2.CV_32F, IMMERKAER)),
            _squared_gradient(smooth),
        )


def _squared_gradient(luma: Float) -> Float:
    gx, gy = (cv2.Sobel(luma, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    squared: Float = gx * gx + gy * gy
    return squared


def strengths(gradients: Gradients, region: Mask) -> dict[str, float]:
    """Tenengrad, variance of the Laplacian and noise of a region [s, s]; all NaN below 400 px."""
    pixels = np.flatnonzero(region)
    if len(pixels) < MIN_PIXELS:
        return dict.fromkeys(RATIOS, np.nan)
    tenengrad, laplacian, noise, rough = (
        image.ravel()[pixels] for image in (gradients.tenengrad, gradients.laplacian, gradients.noise, gradients.rough)
    )
    return {
        "ten": float(tenengrad.mean(dtype=np.float64)),
        "lap": float(laplacian.var(dtype=np.float64)),
        "noise": float(noise[rough <= np.median(rough)].mean(dtype=np.float64)),
    }


def log_ratio(a: float, b: float) -> float:
    """Natural logarithm of a / b; NaN unless both are above 0.

    >>> log_ratio(1.0, 0.0), log_ratio(2.0, 2.0)
    (nan, 0.0)
    """
    return float(np.log(a / b)) if a > 0 and b > 0 else np.nan


def bhattacharyya(a: NDArray, b: NDArray) -> float:
    """Bhattacharyya distance of two sets of colours [n, c], read as normal distributions; 0 or above.

    1 is added to the variance of each channel, so that even colours have a distance.

    >>> bhattacharyya(np.full((9, 1), 2.0), np.full((9, 1), 6.0))
    2.0
    """
    middles, covariances = zip(*(_normal(x) for x in (a, b)), strict=True)
    pooled = (covariances[0] + covariances[1]) / 2
    gap = middles[0] - middles[1]
    spread = np.linalg.slogdet(pooled)[1] - sum(np.linalg.slogdet(each)[1] for each in covariances) / 2
    return max(0.0, float(gap @ np.linalg.solve(pooled, gap) / 8 + spread / 2))


def _normal(colours: NDArray) -> tuple[F64, F64]:
    """Mean [c] and covariance [c, c] of colours [n, c], the latter with 1 added to each variance."""
    middle = colours.mean(axis=0, dtype=np.float64)
    apart = colours - middle
    return middle, apart.T @ apart / len(colours) + np.eye(colours.shape[1])


def colour_differences(lab: Float, regions: Mapping[str, Mask]) -> dict[str, float]:
    """CIE76 differences of medians, and the Bhattacharyya distance, of a picture [s, s, 3] in L*, a*, b*.

    Parameters
    ----------
    lab : ndarray of shape (s, s, 3)
    regions : mapping of str to ndarray of shape (s, s)
        ``inside``, ``rim`` and ``around``; one below 400 px makes its differences NaN.
    """
    colours = {name: lab[regions[name]] for name in ("inside", "rim", "around")}
    middles = {
        name: np.median(pixels.T.copy(), axis=1) if len(pixels) >= MIN_PIXELS else np.full(3, np.nan)
        for name, pixels in colours.items()
    }
    enough = min(len(colours["inside"]), len(colours["around"])) >= MIN_PIXELS
    return {
        "lab_inside_around": float(np.linalg.norm(middles["inside"] - middles["around"])),
        "lab_rim_around": float(np.linalg.norm(middles["rim"] - middles["around"])),
        "chroma_inside_around": float(np.linalg.norm((middles["inside"] - middles["around"])[1:])),
        "bhatt_inside_around": bhattacharyya(colours["inside"], colours["around"]) if enough else np.nan,
    }


@dataclass(frozen=True)
class Band:
    """Pixels of a crop within 0.30 iod of the contour."""

    place: NDArray[np.uint8]
    """[n] which of 20 distances, from inside to outside, times 4, plus which sector."""
    steps: Float
    """[n, 3] change of L*, a* and b* going out, a px."""
    tenengrad: Float
    """[n] squared gradient of the luma."""


def band(crop: FaceCrop, tenengrad: Float) -> Band:
    """The pixels about the contour that are skin or outside, with how their colour changes across it."""
    distance = crop.distance_iod
    thinned = _every_second(distance.shape[0])  # neighbouring steps overlap: a quarter of them says the same
    rows, columns = np.nonzero((np.abs(distance) < SEAM_IOD) & crop.skin & crop.visible & thinned)
    near = distance[rows, columns]
    outward = np.stack(
        [cv2.Scharr(distance, cv2.CV_32F, dx, 1 - dx)[rows, columns] for dx in (1, 0)], axis=1
    )  # of a distance: the normal of the contour
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    steps = sum(cv2.Scharr(crop.lab, cv2.CV_32F, dx, 1 - dx)[rows, columns] * outward[:, 1 - dx, None] for dx in (1, 0))
    bins = np.clip((near + SEAM_IOD) / (2 * SEAM_IOD) * SEAM_BINS, 0, SEAM_BINS - 1).astype(np.uint8)
    sector = _sector(crop, np.stack([columns, rows], axis=1))
    return Band(4 * bins + sector, (steps / SCHARR_SUM).astype(np.float32), tenengrad[rows, columns])


def _every_second(side: int) -> Mask:
    """A quarter of the pixels [s, s]: in every second row, every second counted from the middle, as in the mirror."""
    from_middle = np.abs(2 * np.arange(side) - (side - 1)) // 2
    return np.asarray((np.arange(side)[:, None] % 2 == 0) & (from_middle % 2 == 0), dtype=np.bool_)


def _sector(crop: FaceCrop, pixels: NDArray) -> NDArray[np.uint8]:
    """0 the subject's right cheek, 1 chin, 2 left cheek, 3 forehead: quarters about the middle of the face."""
    eyes = crop.landmarks[36:48].reshape(2, 6, 2).mean(axis=1)
    right = (eyes[1] - eyes[0]) / np.linalg.norm(eyes[1] - eyes[0])
    middle = (crop.landmarks[:17].mean(axis=0) + crop.landmarks[17:27].mean(axis=0)) / 2
    across = (pixels - middle) @ right
    down = (pixels - middle) @ np.array([-right[1], right[0]])
    return np.where(np.abs(across) > np.abs(down), np.where(across < 0, 0, 2), np.where(down > 0, 1, 3)).astype(
        np.uint8
    )


def profiles(bands: Sequence[Band]) -> tuple[F64, F64]:
    """Medians of the steps, and the logarithm of mean Tenengrad, of each distance and sector, all frames pooled.

    Returns
    -------
    steps : ndarray of shape (20, 4, 3)
    tenengrad : ndarray of shape (20, 4)
        NaN for fewer than 40 px.
    """
    place = np.concatenate([one.place for one in bands])
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=4 * SEAM_BINS)
    ends = np.cumsum(counts)
    steps = np.concatenate([one.steps for one in bands])[order]
    energy = np.bincount(place, np.concatenate([one.tenengrad for one in bands]), 4 * SEAM_BINS)
    middles = np.full((4 * SEAM_BINS, 3), np.nan)
    for k in np.flatnonzero(counts >= SEAM_BIN_PIXELS):
        middles[k] = np.median(steps[ends[k] - counts[k] : ends[k]], axis=0)
    known = (counts >= SEAM_BIN_PIXELS) & (energy > 0)
    logs = np.log(np.where(known, energy, np.nan) / np.maximum(counts, 1))
    return middles.reshape(SEAM_BINS, 4, 3), logs.reshape(SEAM_BINS, 4)


def seam_columns(steps: F64, tenengrad: F64) -> dict[str, float]:
    """Columns ``seam`` of the profiles that :func:`profiles` returns.

    Parameters
    ----------
    steps : ndarray of shape (20, 4, 3)
        Of L*, a*, b*; a channel or sector whose profile is flat or mostly unknown says nothing.
    tenengrad : ndarray of shape (20, 4)
        Logarithms.
    """
    middles = (np.arange(SEAM_BINS) + 0.5) / SEAM_BINS * 2 * SEAM_IOD - SEAM_IOD
    window = (middles > SEAM_WINDOW_IOD[0]) & (middles < SEAM_WINDOW_IOD[1])
    out = np.abs(_standing_out(steps))[window]  # [w, 4, 3]
    rises = np.diff(tenengrad, axis=0)[window[:-1] & window[1:]]
    named = {"seam_ten_rise": _largest(rises)[0], "seam_lightness_z": _largest(out[..., 0])[0]}
    named["seam_chroma_z"] = _largest(_mean_square(out[..., 1:]))[0]
    named["seam_z"], where = _largest(_mean_square(out))
    return named | {"seam_pos_iod": float(middles[window][where // 4]) if where >= 0 else np.nan}


def _standing_out(profile: F64) -> F64:
    """Robust z of each value of profiles [20, ...] among the values of its own profile; NaN in flat ones."""
    flat = profile.reshape(SEAM_BINS, -1)
    z = np.full(flat.shape, np.nan)
    for k, line in enumerate(flat.T):
        spread = series.mad(line, SEAM_BINS // 2)
        if spread > MIN_SPREAD:
            z[:, k] = (line - np.nanmedian(line)) / spread
    return z.reshape(profile.shape)


def _mean_square(z: F64) -> F64:
    """Root of the mean square over the last axis, of the values that are known."""
    known = np.isfinite(z)
    total = np.where(known, z, 0.0) ** 2
    return np.sqrt(total.sum(axis=-1) / np.where(known.any(axis=-1), known.sum(axis=-1), np.nan))


def _largest(values: F64) -> tuple[float, int]:
    """The largest finite value and its flat position; NaN and -1 without one."""
    if not np.isfinite(values).any():
        return np.nan, -1
    where = int(np.nanargmax(values))
    return float(values.flat[where]), where


@dataclass(frozen=True)
class Frame:
    """What one frame says."""

    values: dict[str, float]
    """Of :data:`MEASURED`; NaN where a region is too small."""
    band: Band

    @property
    def valid(self) -> bool:
        """Whether the face could be compared with what lies around it."""
        return bool(np.isfinite(self.values["ten_inside_around"]))


def compared(crop: FaceCrop) -> Frame:
    """Compare the regions of a crop."""
    regions = {name: crop.region(name) for name in SPANS}
    gradients = Gradients.of(crop.luma)
    strength = {name: strengths(gradients, region) for name, region in regions.items()}
    values = {
        name: log_ratio(strength[a][ratio], strength[b][ratio])
        for name in MEASURED
        if name not in _COLOURS
        for ratio, a, b in [name.split("_")]
    }
    return Frame(values | colour_differences(crop.lab, regions), band(crop, gradients.tenengrad))


def frames(observation: Observation, track: Track, numbers: range) -> list[Frame | None]:
    """What some of the track's crops say; None where the face was lost or turned by more than 35 degrees."""
    crops = face_crops(observation, track, numbers)
    yaw_deg = pose(track.landmarks[track.crop_index[numbers.start : numbers.stop : numbers.step]])[:, 1]
    usable = [crop if abs(yaw) <= MAX_YAW_DEG else None for crop, yaw in zip(crops, yaw_deg.tolist(), strict=True)]
    return each_distinct(usable, lambda crop: None if crop is None else compared(crop))


SHOWN = {
    "sharpness": ("ten_inside_around", "Face sharper than around it"),
    "colour": ("lab_inside_around", "Colour of face and surroundings"),
}
"""Series, what it shows of a frame, title."""


def region_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``blending.sharpness`` and ``blending.colour``: face against its surroundings in each of the crops.

    Medians over a sample of them are the columns ``ten_inside_around_med`` and ``lab_inside_around_med``. Empty where
    no frame is usable.
    """
    found = frames(observation, track, range(len(track.crops)))
    if not any(one is not None and one.valid for one in found):
        return {}
    times_s = observation.times_s[track.frame_index[track.crop_index]]
    return {
        f"blending.{name}": Series(
            times_s, [np.nan if one is None else one.values[measured] for one in found], unit="1", title=title
        )
        for name, (measured, title) in SHOWN.items()
    }


@family("blending", version=1, needs={"track", "crops"}, columns=COLUMNS, series=region_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Compare a face with its surroundings; NaN below 5 usable crops or a fifth of those looked at."""
    found = frames(observation, track, sampled(track))
    usable = [one for one in found if one is not None and one.valid]
    valid = len(usable) / len(found) if found else 0.0
    named: dict[str, float] = {"valid_share": valid}
    if valid >= series.MIN_VALID_SHARE and len(usable) >= MIN_FRAMES:
        for name in MEASURED:
            values = [one.values[name] for one in usable]
            named |= {f"{name}_med": series.median(values, MIN_FRAMES), f"{name}_mad": series.mad(values, MIN_FRAMES)}
        distinct = list({id(one): one for one in usable}.values())  # a still that is held counts once
        named |= seam_columns(*profiles([one.band for one in distinct]))
    missing = {column.name.split(".", 1)[1]: np.nan for column in COLUMNS}
    return {f"blending.{name}": value for name, value in (missing | named).items()}
