"""spectrum: what synthesis and resampling leave in a face's spatial frequencies.

After Durall et al. 2019, "Unmasking DeepFakes with simple Features": the azimuthal mean of the power spectrum,
here of native luma squares of 128 px in the face and in the background, Hann-windowed, as log10 power L(f) over
f in cycles per px. The published form divides a log spectrum by its first bin, which depends on gain; here the mean
of L over 0.02-0.1 is subtracted. ``_fmb`` is face minus background: the codec treats both, so what differs is the
face's own. A second set (``iod...``) is taken from crops reduced to D = 60 px, where a bin means a detail of the
face whatever its size: bin f is 60 f cycles per iod.

``flicker`` stands on the per-frame sharpness of the face (mean absolute Laplacian at D = 60 px), log10 and differenced
from frame to frame, in place of spectra of three runs of frames: those are not kept. DCT and first-digit statistics
(Bonettini et al. 2020, "On the use of Benford's law to detect GAN-generated images") use the patch's own 8 x 8 grid.

Confounds, all strong: blur, noise, compression, scaling of the clip. Only beside ``quality`` do these columns mean
anything; plain face columns of real clips differ more by camera than by forgery.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from features import series
from features.geometry import F64, crop_landmarks, eye_distance
from features.observation import Observation, Track
from features.series import distinct
from features.spec import EVERY_CHANGE, Column, family

SIDE = 128  # px of every analysed square
MIN_PATCHES = 8
BINS = np.linspace(0.02, 0.5, 24)  # cycles per px
LEVEL_BAND = (0.02, 0.1)  # mean L over it is the zero of L
SLOPE_BAND, LINE_BAND, TAIL_BAND = (0.05, 0.45), (0.05, 0.25), (0.35, 0.5)
IOD_PX = 60.0
BLOCK = 8
DCT_GROUPS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 14))  # zig-zag diagonals u + v, first to last
FLAT = 1e-9  # power per px of a square without texture

_REFERENCE = "Durall et al. 2019"
_BENFORD = "Bonettini et al. 2020"
_ALL = EVERY_CHANGE - {"scale"}
_SCALED = _ALL | {"scale"}
_INF = float("inf")


def _column(
    name: str, direction: str = "either", low: float = -_INF, high: float = _INF, reference: str = _REFERENCE
) -> Column:
    unit = "grey levels" if name.startswith("dct_b") else "bit" if name.startswith("benford") else "log10"
    return Column(f"spectrum.{name}", unit, (low, high), reference, direction, _ALL)


COLUMNS = (
    *(_column(f"rad{k:02d}_{kind}") for kind in ("med", "fmb") for k in range(len(BINS))),
    _column("slope"),
    _column("slope_fmb"),
    _column("tail"),
    _column("tail_fmb", "down"),
    _column("peak_half", "up"),
    _column("peak_quarter", "up"),
    *(_column(f"dct_b{k}", low=0, reference=_BENFORD) for k in range(len(DCT_GROUPS))),
    *(_column(f"dct_kurt{k}", low=0, reference=_BENFORD) for k in range(len(DCT_GROUPS))),
    _column("benford_kl", "up", low=0, reference=_BENFORD),
    _column("benford_kl_fmb", "up", reference=_BENFORD),
    _column("flicker_hf_mad", "up", low=0),
    _column("flicker_fmb", "up"),
    *(_column(f"iodrad{k:02d}_med") for k in range(len(BINS))),
    _column("iodslope"),
    _column("iodtail"),
    Column("spectrum.valid_share", range=(0, 1), direction="covariate", invariant_to=_SCALED),
)


@functools.cache
def _radius(side: int) -> NDArray[np.int64]:
    axis = np.fft.fftfreq(side, 1.0 / side)
    return np.rint(np.hypot(axis[:, None], axis[None])).astype(np.int64)


@functools.cache
def _window(side: int) -> F64:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)  # symmetric: mirrors agree
    return hann[:, None] * hann[None]


def power(luma: NDArray) -> F64:
    """Power spectra [..., s, s] of squares [..., s, s]: mean subtracted, Hann by Hann, unshifted.

    A square without texture gives NaN.
    """
    squares = np.asarray(luma, dtype=np.float64)
    squares = squares - squares.mean(axis=(-2, -1), keepdims=True)
    spectrum = np.abs(fft.fft2(squares * _window(squares.shape[-1]))) ** 2
    flat = spectrum.mean(axis=(-2, -1), keepdims=True) < FLAT * squares.shape[-1] ** 2
    return np.where(flat, np.nan, spectrum)


def radial(spectrum: F64) -> F64:
    """L: log10 of the mean power at integer radius 1 ... s/2, [..., s/2], of spectra [..., s, s]."""
    side = spectrum.shape[-1]
    radius = _radius(side).ravel()
    order = np.argsort(radius, kind="stable")
    starts = np.searchsorted(radius[order], np.arange(1, side // 2 + 2))
    flat = spectrum.reshape(*spectrum.shape[:-2], -1)[..., order]
    sums = np.add.reduceat(flat, starts, axis=-1)[..., :-1]
    return np.log10(np.maximum(sums / np.diff(starts), np.finfo(float).tiny))


def frequencies(bins: int) -> F64:
    """Cycles per px of :func:`radial`'s bins."""
    return np.arange(1, bins + 1) / (2.0 * bins)


def levelled(profile: F64) -> F64:
    """L at the 24 bins of 0.02-0.5 less its mean over 0.02-0.1, [..., 24]."""
    f = frequencies(profile.shape[-1])
    level = profile[..., _band(f, LEVEL_BAND)].mean(axis=-1, keepdims=True)
    flat = profile.reshape(-1, profile.shape[-1])
    kept = np.stack([np.interp(BINS, f, row) for row in flat])
    return kept.reshape(*profile.shape[:-1], -1) - level


def slope(profile: F64) -> F64:
    """Slope of L on log10 f over 0.05-0.45, [...]: -beta for a spectrum of 1/f^beta."""
    f = frequencies(profile.shape[-1])
    chosen = _band(f, SLOPE_BAND)
    return _line(np.log10(f[chosen]), profile[..., chosen])[0]


def tail(profile: F64) -> F64:
    """Mean of L over 0.35-0.5 less the line through 0.05-0.25, [...]: below 0 blurred, above 0 upsampled or noisy."""
    f = frequencies(profile.shape[-1])
    line, end = _band(f, LINE_BAND), _band(f, TAIL_BAND)
    gradient, offset = _line(np.log10(f[line]), profile[..., line])
    expected = gradient[..., None] * np.log10(f[end]) + offset[..., None]
    return (profile[..., end] - expected).mean(axis=-1)


def _band(f: F64, band: tuple[float, float]) -> NDArray[np.bool_]:
    return (f >= band[0] - 1e-9) & (f <= band[1] + 1e-9)


def _line(x: F64, y: F64) -> tuple[F64, F64]:
    centred = x - x.mean()
    gradient = (y * centred).sum(axis=-1) / (centred**2).sum()
    return gradient, y.mean(axis=-1) - gradient * x.mean()


def peak(spectrum: F64, part: int) -> F64:
    """Height of the lattice peaks that upsampling leaves at 1/2 (``part`` 2) or 1/4 (``part`` 4) cycles per px.

    log10 of the largest power in 3 x 3 bins less that of the median of the 17 x 17 bins around without their
    5 x 5 centre; the largest over both axes and the diagonals. Of spectra [..., s, s], unshifted.
    """
    at, side = spectrum.shape[-1] // part, spectrum.shape[-1]
    places = [(at, 0), (0, at), (at, at)] + ([(at, side - at)] if part != 2 else [])
    ring = np.ones((17, 17), dtype=bool)
    ring[6:11, 6:11] = False
    heights = []
    for row, column in places:
        rows, columns = np.arange(row - 8, row + 9) % side, np.arange(column - 8, column + 9) % side
        around = spectrum[..., rows[:, None], columns[None]]
        top = around[..., 7:10, 7:10].max(axis=(-2, -1))
        heights.append(np.log10(top) - np.log10(np.median(around[..., ring], axis=-1)))
    return np.max(heights, axis=0)


def block_dct(luma: NDArray) -> F64:
    """Orthonormal 8 x 8 DCT of squares [..., s, s] in blocks from their corner: [..., blocks, 8, 8]."""
    squares = np.asarray(luma, dtype=np.float64)
    n = squares.shape[-1] // BLOCK
    blocks = squares.reshape(*squares.shape[:-2], n, BLOCK, n, BLOCK).swapaxes(-3, -2)
    basis = fft.dct(np.eye(BLOCK), axis=0, norm="ortho")
    return (basis @ blocks @ basis.T).reshape(*squares.shape[:-2], n * n, BLOCK, BLOCK)


def dct_groups(coefficients: F64) -> tuple[F64, F64]:
    """Mean absolute value and kurtosis (about zero) of six zig-zag groups of AC coefficients, each [..., 6]."""
    diagonal = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    sizes, kurtoses = [], []
    for first, last in DCT_GROUPS:
        group = coefficients[..., (diagonal >= first) & (diagonal <= last)]
        squared = group**2
        second = squared.mean(axis=(-2, -1))
        sizes.append(np.abs(group).mean(axis=(-2, -1)))
        fourth = (squared**2).mean(axis=(-2, -1))
        kurtoses.append(fourth / np.where(second > FLAT, second, np.nan) ** 2)
    return np.stack(sizes, axis=-1), np.stack(kurtoses, axis=-1)


def benford_kl(coefficients: F64) -> float:
    """Divergence in bits of the first digits of AC coefficients >= 1 from log10(1 + 1/d); NaN below 100 of them."""
    size = np.abs(coefficients.reshape(-1, BLOCK * BLOCK)[:, 1:]).ravel()
    size = size[size >= 1.0]
    if size.size < 100:
        return np.nan
    digits = (size / 10.0 ** np.floor(np.log10(size))).astype(int).clip(1, 9)
    share = np.bincount(digits, minlength=10)[1:] / size.size
    expected = np.log10(1.0 + 1.0 / np.arange(1, 10))
    seen = share > 0
    return float(max(0.0, (share[seen] * np.log2(share[seen] / expected[seen])).sum()))


def reduced(crop: NDArray[np.uint8], points: F64) -> NDArray[np.uint8] | None:
    """Luma square of 128 px around the landmarks of a crop reduced to D = 60 px; None where D is smaller."""
    distance = float(eye_distance(points))
    if not distance >= IOD_PX:
        return None
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    scale = IOD_PX / distance
    side = round(grey.shape[0] * scale)
    if side < SIDE:
        return None
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    centre = (points.mean(axis=0) + 0.5) * (side / grey.shape[0])  # from the crop's edge, so that mirrors agree
    left, top = np.clip(np.rint(centre - SIDE / 2).astype(int), 0, side - SIDE)
    return small[top : top + SIDE, left : left + SIDE]


def flicker(sharpness: F64, times_s: F64) -> F64:
    """Take the mad of the frame-to-frame change of log10 sharpness, per column of ``sharpness`` [n, c]: [c]."""
    logs = np.log10(np.where(sharpness > 0, sharpness, np.nan))
    steps = np.diff(logs, axis=0)
    steps = steps[np.diff(times_s) < 1.5 / series.rate(times_s)] if len(times_s) > 1 else steps
    return np.array([series.mad(column, 25) for column in steps.T])


def _profiles(squares: Sequence[NDArray[np.uint8]]) -> tuple[F64, F64]:
    spectra = power(np.stack(squares))
    return spectra, radial(spectra)


def _medians(values: F64, least: int = MIN_PATCHES) -> F64:
    """Median over squares [k, ...] that are finite; NaN below ``least``."""
    ok = np.isfinite(values).reshape(len(values), -1).all(axis=1) if len(values) else np.zeros(0, bool)
    return np.median(values[ok], axis=0) if ok.sum() >= least else np.full(values.shape[1:], np.nan)


def _native(face: list[NDArray[np.uint8]], back: list[NDArray[np.uint8] | None]) -> dict[str, float]:
    """Columns of the native squares; ``back`` has None where the frame leaves no room."""
    spectra, profile = _profiles(face)
    behind = [(i, b) for i, b in enumerate(back) if b is not None]
    rows = [i for i, _ in behind]
    profile_b = _profiles([b for _, b in behind])[1] if behind else np.empty((0, SIDE // 2))
    gap = levelled(profile[rows]) - levelled(profile_b) if behind else np.empty((0, len(BINS)))
    radials, differences = _medians(levelled(profile)), _medians(gap)
    values = {f"rad{k:02d}_med": radials[k] for k in range(len(BINS))}
    values |= {f"rad{k:02d}_fmb": differences[k] for k in range(len(BINS))}
    for name, function in (("slope", slope), ("tail", tail)):
        values[name] = float(_medians(function(profile)))
        values[f"{name}_fmb"] = float(_medians(function(profile[rows]) - function(profile_b)))
    values |= {f"peak_{word}": float(_medians(peak(spectra, part))) for word, part in (("half", 2), ("quarter", 4))}
    coefficients = block_dct(np.stack(face))
    sizes, kurtoses = (_medians(one) for one in dct_groups(coefficients))
    values |= {f"dct_b{k}": sizes[k] for k in range(len(DCT_GROUPS))}
    values |= {f"dct_kurt{k}": kurtoses[k] for k in range(len(DCT_GROUPS))}
    digits = np.array([benford_kl(one) for one in coefficients])
    digits_b = np.array([benford_kl(block_dct(b)) for _, b in behind])
    values["benford_kl"] = float(_medians(digits))
    values["benford_kl_fmb"] = float(_medians(digits[rows] - digits_b))
    return values


def _of_the_face(track: Track) -> dict[str, float]:
    """Columns of the crops reduced to D = 60 px."""
    found = [reduced(crop, crop_landmarks(track, number)) for number, crop in enumerate(track.crops)]
    squares = [one for one in found if one is not None]
    if len(squares) < MIN_PATCHES:
        return {}
    _, profile = _profiles(squares)
    radials = _medians(levelled(profile))
    values = {f"iodrad{k:02d}_med": radials[k] for k in range(len(BINS))}
    return values | {"iodslope": float(_medians(slope(profile))), "iodtail": float(_medians(tail(profile)))}


@family("spectrum", version=1, needs={"track", "crops"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure the spectra of a track's patches and crops; NaN below 8 squares of 128 px."""
    usable = [n for n, patch in enumerate(track.patch_face) if patch.shape[0] == SIDE]
    valid = len(usable) / len(track.patch_face) if track.patch_face else 0.0
    named: dict[str, float] = {"valid_share": valid}
    if len(usable) >= MIN_PATCHES and valid >= series.MIN_VALID_SHARE:
        face = [track.patch_face[n] for n in usable]
        back = [b if b.shape[0] == SIDE else None for b in (track.patch_background[n] for n in usable)]
        index = distinct(observation, track)
        sharp = track.sharpness[index].astype(np.float64)
        trembles = flicker(sharp, observation.times_s[track.frame_index[index]])
        named |= _native(face, back) | _of_the_face(track)
        named |= {"flicker_hf_mad": trembles[0], "flicker_fmb": trembles[0] - trembles[2]}
    missing = {column.name.split(".", 1)[1]: np.nan for column in COLUMNS}
    return {f"spectrum.{name}": float(value) for name, value in (missing | named).items()}
