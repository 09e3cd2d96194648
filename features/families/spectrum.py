"""spectrum: what synthesis and resampling leave in a face's spatial frequencies.

After Durall et al. 2019, "Unmasking DeepFakes with simple Features": the azimuthal mean of the power spectrum,
here of native luma patches of 128 x 128 px in the face and in the background (grey levels from black, 0, to white, 255,
however the file codes them), Hann-windowed, as log10 power L(f) over f in cycles per px. The published form divides a
log spectrum by its first bin, which depends on gain; here the mean of L over 0.02-0.1 is subtracted.
``_fmb`` is face minus background: the codec treats both, so what differs is the
face's own. A second set (``iod...``) is taken from crops reduced to D = 60 px, where a bin means a detail of the
face whatever its size: bin f is 60 f cycles per iod.

``flicker`` is the change of the face's log10 sharpness from frame to frame (sharpness: mean absolute Laplacian at the
scale where the face box is 171 px wide). Motion blur also changes sharpness, so ``flicker_still`` uses only steps in
which the head is still, and ``flicker_still_own`` subtracts the change in a ring around the face, which the codec
treats alike. (Durall's spectra over time would need runs of frames, which observations do not hold.) DCT and
first-digit statistics (Bonettini et al. 2020, "On the use of Benford's law to detect GAN-generated images") use the
patch's own 8 x 8 grid. All the measures themselves are in :mod:`features.measures.spectral`.

Confounds, all strong: blur, noise, compression, scaling of the clip. ``flicker`` leaves out frames that equal the one
before; if the frame rate was converted before lossy coding, repeats differ a little, count as very small steps, and
make ``flicker`` small. A change that repeats every three frames hardly counts: two of its three steps are equal, and
their median is subtracted. These columns are meaningful only together with ``quality``; plain face columns of genuine
clips differ more by camera than by forgery.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.evidence import Series
from features.measures import robust, series, spectral
from features.measures.face_patch import face_patch
from features.measures.geometry import RIGID, crop_landmarks, head
from features.measures.luma import grey_levels
from features.measures.spectral import BINS
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

SIDE = 128  # side of every analysed patch in px
MIN_PATCHES = 8
IOD_PX = 60.0
STILL_IOD_S = 0.2  # speed of the rigid points
MIN_STEPS = 25
FLICKER_HZ = (4.0, 10.0)
MIN_FLICKER_FPS = FLICKER_HZ[1] / series.BAND_LIMIT  # 22.2

_REFERENCE = "Durall et al. 2019"
_BENFORD = "Bonettini et al. 2020"
_ALL = EVERY_CHANGE - {"scale"}
_FINENESS = ("coarsest", "second coarsest", "third coarsest", "third finest", "second finest", "finest")
"""Of the groups of DCT coefficients."""


_column = columns_of("spectrum", unit="log10", reference=_REFERENCE, invariant_to=_ALL)


def _profile_columns() -> Iterator[Column]:
    for k, f in enumerate(BINS):
        yield _column(
            f"rad{k:02d}_med",
            f"How strong the detail is that repeats every {1 / f:.3g} pixels in the face, against the face's coarse "
            "shading, in powers of ten.",
        )
    for k, f in enumerate(BINS):
        yield _column(
            f"rad{k:02d}_fmb",
            f"How much stronger the detail that repeats every {1 / f:.3g} pixels is in the face than in the "
            "background, in powers of ten; above 0 if the face has more of it.",
        )


def _dct_columns() -> Iterator[Column]:
    for k, fineness in enumerate(_FINENESS):
        yield _column(
            f"dct_b{k}",
            f"Mean strength, in grey levels, of the {fineness} of six steps of detail in the face, measured in blocks "
            "of 8 by 8 pixels.",
            unit="grey levels",
            range=(0, inf),
            reference=_BENFORD,
        )
    for k, fineness in enumerate(_FINENESS):
        yield _column(
            f"dct_kurt{k}",
            f"How unevenly the {fineness} of six steps of detail is spread over the face, measured in blocks of 8 by "
            "8 pixels: 3 for plain noise, more if a few strong edges stand out of smooth skin.",
            unit="1",
            range=(0, inf),
            reference=_BENFORD,
        )


def _iod_columns() -> Iterator[Column]:
    for k, f in enumerate(BINS):
        yield _column(
            f"iodrad{k:02d}_med",
            f"How strong the detail is that repeats {IOD_PX * f:.3g} times over the distance between the eyes, against "
            "the face's coarse shading, in powers of ten.",
        )
    yield _column(
        "iodslope",
        "How quickly detail fades from coarse to fine in the face reduced to 60 pixels between the eyes: the slope of "
        "the logarithm of its power over that of its frequency; the lower, the softer the face.",
        unit="1",
    )
    yield _column(
        "iodtail",
        "How much more of the very finest detail the face, reduced to 60 pixels between the eyes, has than its coarser "
        "detail leads one to expect, in powers of ten; below 0 if blurred, above 0 if noisy or enlarged.",
    )


COLUMNS = (
    *_profile_columns(),
    _column(
        "slope",
        "How quickly detail fades from coarse to fine in the face: the slope of the logarithm of its power over that "
        "of its frequency; about -2 in photographs, lower in soft images.",
        unit="1",
    ),
    _column(
        "slope_fmb",
        "Difference between how quickly detail fades from coarse to fine in the face and in the background; above 0 "
        "if the face keeps more of its fine detail.",
        unit="1",
    ),
    _column(
        "tail",
        "How much more of the very finest detail (2 to 3 pixels) the face has than its coarser detail leads one to "
        "expect, in powers of ten; below 0 if blurred, above 0 if noisy or enlarged.",
    ),
    _column(
        "tail_fmb",
        "How much more of the very finest detail (2 to 3 pixels) is left in the face than in the background, each "
        "against its own coarser detail, in powers of ten; below 0 if the face is the blurrier.",
        direction="down",
    ),
    _column(
        "peak_half",
        "How far a pattern that repeats every 2 pixels stands out of the rest of the face, in powers of ten; networks "
        "that enlarge images can leave one.",
        direction="up",
    ),
    _column(
        "peak_quarter",
        "How far a pattern that repeats every 4 pixels stands out of the rest of the face, in powers of ten; networks "
        "that enlarge images can leave one.",
        direction="up",
    ),
    *_dct_columns(),
    _column(
        "benford_kl",
        "How far the first digits of the strengths of the face's details depart from Benford's law, which those of "
        "natural images follow, in bits; 0 is perfect agreement.",
        unit="bit",
        range=(0, inf),
        direction="up",
        reference=_BENFORD,
    ),
    _column(
        "benford_kl_fmb",
        "How much further the first digits of the strengths of details depart from Benford's law, which those of "
        "natural images follow, in the face than in the background, in bits.",
        unit="bit",
        direction="up",
        reference=_BENFORD,
    ),
    _column(
        "flicker_hf_mad",
        "How much the sharpness of the face changes from one frame to the next, in powers of ten; 0 if it never does.",
        range=(0, inf),
        direction="up",
    ),
    _column(
        "flicker_fmb",
        "How much more sharpness changes from one frame to the next in the face than in the background, in powers of "
        "ten.",
        direction="up",
    ),
    _column(
        "flicker_still_mad",
        "How much the sharpness of the face changes from one frame to the next while the head is still, in powers of "
        "ten.",
        range=(0, inf),
        direction="up",
    ),
    _column(
        "flicker_still_own_mad",
        "How much the sharpness of the face changes from one frame to the next, while the head is still, beyond that "
        "of what lies around it, in powers of ten.",
        range=(0, inf),
        direction="up",
    ),
    _column(
        "flicker_bp4_10",
        "Fraction of the changes of the face's sharpness that repeats 4 to 10 times a second. Missing below 22.2 "
        "frames per second.",
        unit="1",
        range=(0, 1),
        direction="up",
    ),
    *_iod_columns(),
    Column(
        "spectrum.valid_share",
        range=(0, 1),
        direction="covariate",
        invariant_to=_ALL,
        description="Fraction of the sampled frames with a face large enough for a patch of 128 by 128 pixels.",
    ),
)


def over_patches(values: F64) -> F64:
    """Median over those of k patches [k, ...] whose values are all finite, [...]; NaN below 8 of them.

    >>> float(over_patches(np.array([np.nan, *range(9)])))
    4.0
    """
    ok = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return np.median(values[ok], axis=0) if ok.sum() >= MIN_PATCHES else np.full(values.shape[1:], np.nan)


def profile_columns(*, face: F64, background: F64) -> dict[str, float]:
    """Columns ``rad``, ``slope`` and ``tail``, of the face and face minus background.

    Medians over patches of :func:`features.measures.spectral.levelled`, ``slope`` and ``tail``; a difference is taken
    within each frame.

    Parameters
    ----------
    face, background : ndarray of shape (k, s/2)
        L of the patches of k frames; NaN where the frame has no room for a background.
    """
    level, level_b = spectral.levelled(face), spectral.levelled(background)
    values = _numbered("rad{:02d}_med", over_patches(level))
    values |= _numbered("rad{:02d}_fmb", over_patches(level - level_b))
    for name, measure_of in (("slope", spectral.slope), ("tail", spectral.tail)):
        values[name] = float(over_patches(measure_of(face)))
        values[f"{name}_fmb"] = float(over_patches(measure_of(face) - measure_of(background)))
    return values


def peak_columns(spectra: F64) -> dict[str, float]:
    """Medians over power spectra [k, s, s] of :func:`features.measures.spectral.peak` at 1/2 and 1/4 cycles per px."""
    return {
        f"peak_{name}": float(over_patches(spectral.peak(spectra, period_px=period)))
        for name, period in (("half", 2), ("quarter", 4))
    }


def dct_columns(coefficients: F64) -> dict[str, float]:
    """Medians over patches of :func:`features.measures.spectral.dct_groups`, of coefficients [k, blocks, 8, 8]."""
    sizes, kurtoses = spectral.dct_groups(coefficients)
    return _numbered("dct_b{}", over_patches(sizes)) | _numbered("dct_kurt{}", over_patches(kurtoses))


def benford_columns(*, face: F64, background: F64) -> dict[str, float]:
    """Medians over patches of :func:`features.measures.spectral.benford_kl`, of the face and face minus background.

    Parameters
    ----------
    face, background : ndarray of shape (k, blocks, 8, 8)
        DCT coefficients of the patches of k frames; NaN where the frame has no room for a background.
    """
    digits, digits_b = (np.array([spectral.benford_kl(patch) for patch in place]) for place in (face, background))
    return {"benford_kl": float(over_patches(digits)), "benford_kl_fmb": float(over_patches(digits - digits_b))}


def log_sharpness(track: Track, index: NDArray[np.int64]) -> F64:
    """log10 of the sharpness [n, 3] of the samples ``index`` [n]: face, ring around it, background; NaN if missing."""
    sharpness = track.sharpness[index].astype(np.float64)
    return np.log10(np.where(sharpness > 0, sharpness, np.nan))


def sharpness_steps(logs: F64, *, times_s: F64) -> F64:
    """Change of log10 sharpness [n, c] from each frame to the next one, [n - 1, c]; NaN over 1.5 frames and more.

    >>> sharpness_steps(np.array([[0.0], [0.5], [0.7]]), times_s=np.array([0.0, 0.1, 0.2])).round(3).tolist()
    [[0.5], [0.2]]
    """
    steps = np.diff(logs, axis=0)
    if len(steps):
        steps[np.diff(times_s) >= 1.5 / series.rate(times_s)] = np.nan
    return steps


def flicker(steps: F64) -> F64:
    """Take the mad of the change of log10 sharpness from each frame to the next one, of every column.

    Parameters
    ----------
    steps : ndarray of shape (m, c)
        In c places, see :func:`sharpness_steps`; NaN is missing.

    Returns
    -------
    ndarray of shape (c,)
        NaN below 25 steps.
    """
    return np.array([robust.mad(column, MIN_STEPS) for column in steps.T])


def still_steps(observation: Observation, track: Track) -> NDArray[np.bool_]:
    """Between which of the track's n distinct frames the head moves by under 0.2 iod/s, [n - 1]."""
    face = head(observation, track)
    centre = face.landmarks[:, RIGID].mean(axis=1) / face.scale_px
    speed = np.linalg.norm(np.diff(centre, axis=0), axis=1) / np.diff(face.times_s)
    return np.asarray(speed < STILL_IOD_S, dtype=np.bool_)


def flicker_columns(observation: Observation, track: Track) -> dict[str, float]:
    """Columns ``flicker``: of all steps, of those of a still head, and the fraction that is fast."""
    face = head(observation, track)
    times_s, logs = face.times_s, log_sharpness(track, face.index)
    steps = sharpness_steps(logs, times_s=times_s)
    still = steps[still_steps(observation, track)]
    at_face, _, at_background = flicker(steps)
    parts = [p for p in series.segments(logs[:, 0], times_s=times_s) if p.rate_hz >= MIN_FLICKER_FPS]
    return {
        "flicker_hf_mad": at_face,
        "flicker_fmb": at_face - at_background,
        "flicker_still_mad": flicker(still)[0],
        "flicker_still_own_mad": flicker(still[:, :1] - still[:, 1:2])[0],
        "flicker_bp4_10": series.band_fraction(parts, band_hz=FLICKER_HZ),
    }


def flicker_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``spectrum.flicker``: how the face's sharpness changes from the frame before; empty where it never can.

    The spread of its values is ``flicker_hf_mad``.
    """
    face = head(observation, track)
    steps = sharpness_steps(log_sharpness(track, face.index), times_s=face.times_s)[:, 0]
    if not np.isfinite(steps).any():
        return {}
    return {"spectrum.flicker": Series(face.times_s[1:], steps, unit="log10", title="Flicker of the face's sharpness")}


def _reduced(track: Track, number: int) -> NDArray[np.uint8] | None:
    return face_patch(track.crops[number], points=crop_landmarks(track, number), iod_px=IOD_PX, side_px=SIDE)


def iod_columns(profile: F64) -> dict[str, float]:
    """Medians over profiles L [k, s/2] of patches at D = 60 px: ``iodrad``, ``iodslope``, ``iodtail``."""
    return _numbered("iodrad{:02d}_med", over_patches(spectral.levelled(profile))) | {
        "iodslope": float(over_patches(spectral.slope(profile))),
        "iodtail": float(over_patches(spectral.tail(profile))),
    }


def _numbered(name: str, values: Iterable[float]) -> dict[str, float]:
    return {name.format(k): float(value) for k, value in enumerate(values)}


def _native_columns(face: F64, background: Sequence[F64]) -> dict[str, float]:
    """Columns of the native patches [k, s, s], grey levels, and of as many of the background, smaller without room."""
    same_size = np.array([patch.shape == face.shape[1:] for patch in background])
    behind = np.array([patch for patch in background if patch.shape == face.shape[1:]]).reshape(-1, SIDE, SIDE)

    def by_frame(values: F64) -> F64:
        """Values of the patches that are there, at their frames [k, ...]; NaN at the others."""
        every = np.full((len(face), *values.shape[1:]), np.nan)
        every[same_size] = values
        return every

    spectra, coefficients = spectral.power(face), spectral.block_dct(face)
    profile_b, coefficients_b = spectral.radial(spectral.power(behind)), spectral.block_dct(behind)
    return {
        **profile_columns(face=spectral.radial(spectra), background=by_frame(profile_b)),
        **peak_columns(spectra),
        **dct_columns(coefficients),
        **benford_columns(face=coefficients, background=by_frame(coefficients_b)),
    }


@family("spectrum", version=5, needs={"track", "crops"}, columns=COLUMNS, series=flicker_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure the spectra of a track's patches and crops; NaN below 8 patches of 128 x 128 px."""
    usable = [n for n, patch in enumerate(track.patch_face) if patch.shape[0] == SIDE]
    valid = len(usable) / len(track.patch_face) if track.patch_face else 0.0
    named: dict[str, float] = {"valid_share": valid}
    if len(usable) >= MIN_PATCHES and valid >= series.MIN_VALID_SHARE:
        face, behind = (
            grey_levels([patches[n] for n in usable], luma_levels=observation.luma_levels)
            for patches in (track.patch_face, track.patch_background)
        )
        named |= _native_columns(np.stack(face), behind)
        small = [_reduced(track, n) for n in range(len(track.crops))]
        patches = [patch for patch in small if patch is not None]
        if len(patches) >= MIN_PATCHES:
            named |= iod_columns(spectral.radial(spectral.power(np.stack(patches))))
        named |= flicker_columns(observation, track)
    return complete_row(COLUMNS, named)
