"""identity: how steadily a face recogniser sees the same person.

Frame-wise synthesis makes the recogniser's view of the person less steady (Liu et al. 2023, "TI2Net", there on other
embeddings). dlib's ResNet gives 128 numbers for a face chip of 150 px (0.25 padding, aligned by the landmarks), used
as given: Euclidean distance, under 0.6 for one person. At most ``MAX_CHIPS`` well-spread crops are embedded, frontal
within 45 degrees and not among the most blurred tenth of the track.
Quantiles come from these few values, below the sample counts that other families keep.

Confounds: pose and blur (hence ``pose_corr`` and ``resid_med``), expression, light. Embeddings are biometric data:
a table holds distances, never vectors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.spatial import distance

from features import series
from features.geometry import F64, crop_landmarks, pose
from features.observation import Observation, Track
from features.spec import Column, family

MAX_CHIPS, MIN_CHIPS = 9, 8
MIN_DRIFT_CHIPS = 9
OTHER_CHIPS, MAX_OTHERS = 3, 3  # of up to so many other people of the clip
MAX_YAW_DEG = 45.0
BLUR_QUANTILE = 0.1
CHIP_PX, CHIP_PADDING = 150, 0.25  # of the recogniser
JUMP_MADS = 4.0
DIMENSIONS = 128

_REFERENCE = "Liu et al. 2023"
_ALL = frozenset({"translation", "gain", "clock"})
_INF = float("inf")


def _column(name: str, direction: str, low: float = 0.0, high: float = _INF) -> Column:
    return Column(f"identity.{name}", "1", (low, high), _REFERENCE, direction, _ALL)


COLUMNS = (
    _column("pair_med", "up"),
    _column("pair_q90", "up"),
    _column("medoid_med", "up"),
    _column("medoid_q90", "up"),
    _column("medoid_max", "up"),
    _column("step_med", "up"),
    _column("step_q90", "up"),
    _column("step_over_pair", "up", -_INF),
    _column("drift", "either"),
    _column("jump_share", "up", 0, 1),
    _column("pose_corr", "covariate", -1, 1),
    _column("resid_med", "up"),
    _column("tracks_dist_min", "either"),
    Column("identity.valid_share", range=(0, 1), direction="covariate", invariant_to=_ALL | {"mirror", "scale"}),
)


def suitable(track: Track, *, most: int) -> NDArray[np.int64]:
    """Numbers of up to ``most`` well-spread crops that are frontal within 45 degrees and reasonably sharp."""
    points = track.landmarks[track.crop_index]
    sharp = track.sharpness[:, 0].astype(np.float64)
    floor = series.quantile(sharp, BLUR_QUANTILE, least=1)
    good = np.abs(pose(points)[:, 1]) < MAX_YAW_DEG
    good &= ~(sharp[track.crop_index] < floor)
    numbers = np.flatnonzero(good)
    if len(numbers) <= most:
        return numbers
    return numbers[((np.arange(most) + 0.5) * len(numbers) / most).astype(int)]


def embed(crop: NDArray[np.uint8], points: F64) -> F64:
    """Embed an RGB crop [s, s, 3] with its 68 landmarks in px of the crop as dlib's 128 numbers."""
    import dlib

    from features import recogniser

    whole = [dlib.point(int(x), int(y)) for x, y in np.rint(points).astype(int)]
    rectangle = dlib.rectangle(0, 0, crop.shape[1] - 1, crop.shape[0] - 1)
    shape = dlib.full_object_detection(rectangle, dlib.points(whole))
    chip = dlib.get_face_chip(np.ascontiguousarray(crop), shape, CHIP_PX, CHIP_PADDING)
    return recogniser.embedding(chip)


def embeddings(track: Track, numbers: NDArray[np.int64]) -> F64:
    """Embeddings [n, 128] of the numbered crops: those that the track carries, else computed; whole float32 values."""
    rows = np.array([_embedding(track, n) for n in numbers.tolist()], np.float32).reshape(-1, DIMENSIONS)
    return rows.astype(np.float64)


def _embedding(track: Track, number: int) -> NDArray[np.float32] | F64:
    kept = track.embedding[number]
    return kept if np.isfinite(kept).all() else embed(track.crops[number], crop_landmarks(track, number))


def with_embeddings(track: Track, *, main: bool) -> Track:
    """The track with the embeddings that :func:`measure` will ask for, of the ``main`` person or of another."""
    numbers = suitable(track, most=MAX_CHIPS if main else OTHER_CHIPS)
    filled = np.full((len(track.crops), DIMENSIONS), np.nan, np.float32)
    filled[numbers] = embeddings(track, numbers)
    return replace(track, embedding=filled)


def medoid(e: F64) -> int:
    """Row of ``e`` [n, d] with the least sum of distances to the others."""
    return int(distance.cdist(e, e).sum(axis=1).argmin())


def _log_ratio(a: float, b: float) -> float:
    return float(np.log(a / b)) if a > 0 and b > 0 else np.nan


def distances(e: F64) -> dict[str, float]:
    """Pairwise, medoid and consecutive distances of embeddings ``e`` [n, d] in their order of time."""
    pairs = distance.pdist(e)
    to_medoid = np.linalg.norm(e - e[medoid(e)], axis=1)
    steps = np.linalg.norm(np.diff(e, axis=0), axis=1)
    third = len(e) // 3
    ends = np.linalg.norm(e[:third].mean(axis=0) - e[-third:].mean(axis=0)) if third else np.nan
    pair, spread = series.median(pairs), series.mad(steps, 7)
    whole = len(e) >= MIN_DRIFT_CHIPS and pair > 0
    limit = np.median(steps) + JUMP_MADS * spread
    return {
        "pair_med": pair,
        "pair_q90": series.quantile(pairs, 0.9),
        "medoid_med": series.median(to_medoid),
        "medoid_q90": series.quantile(to_medoid, 0.9, MIN_CHIPS),
        "medoid_max": float(to_medoid.max()),
        "step_med": series.median(steps),
        "step_q90": series.quantile(steps, 0.9, MIN_CHIPS - 1),
        "step_over_pair": _log_ratio(series.median(steps), pair),
        "drift": float(ends) / pair if whole else 0.0 if len(e) >= MIN_DRIFT_CHIPS else np.nan,
        "jump_share": float(np.mean(steps > limit)),
    }


def explained(e: F64, *, pose_deg: F64, sharpness: F64) -> dict[str, float]:
    """How far pose and blur explain the distances to the medoid.

    Parameters
    ----------
    e : ndarray of shape (n, d)
    pose_deg : ndarray of shape (n, 3)
    sharpness : ndarray of shape (n,)

    Returns
    -------
    dict
        ``pose_corr``: Spearman's correlation of medoid distance with the angle from the median pose; NaN without
        variance. ``resid_med``: median absolute rest after isotonic fits, rising with angle, then with blur.
    """
    to_medoid = np.linalg.norm(e - e[medoid(e)], axis=1)
    angle = np.linalg.norm(pose_deg - np.median(pose_deg, axis=0), axis=1)
    varied = np.ptp(to_medoid) > 1e-9 and np.ptp(angle) > 1e-9
    rest = to_medoid
    for reason in (angle, -sharpness):
        order = np.argsort(reason, kind="stable")
        fitted = np.empty(len(rest))
        fitted[order] = optimize.isotonic_regression(rest[order]).x
        rest = rest - fitted
    return {
        "pose_corr": float(stats.spearmanr(to_medoid, angle).statistic) if varied else np.nan,
        "resid_med": series.median(np.abs(rest)),
    }


def _others(observation: Observation, track: Track, centre: F64) -> float:
    """Least distance from this person's medoid ``centre`` [128] to another's in the clip; NaN when alone."""
    found = []
    for other in [one for one in observation.tracks if one is not track][:MAX_OTHERS]:
        e = embeddings(other, suitable(other, most=OTHER_CHIPS))
        if len(e):
            found.append(float(np.linalg.norm(e[medoid(e)] - centre)))
    return min(found) if found else np.nan


@family("identity", version=2, needs={"track", "crops"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure how steadily a recogniser sees the track's person; NaN below eight suitable crops."""
    numbers = suitable(track, most=MAX_CHIPS)
    named = {"valid_share": min(1.0, len(numbers) / MAX_CHIPS)}
    if len(numbers) >= MIN_CHIPS:
        e = embeddings(track, numbers)
        at = track.crop_index[numbers]
        named |= distances(e)
        named |= explained(e, pose_deg=pose(track.landmarks[at]), sharpness=track.sharpness[at, 0].astype(np.float64))
        named["tracks_dist_min"] = _others(observation, track, e[medoid(e)])
    missing = {column.name.split(".", 1)[1]: np.nan for column in COLUMNS}
    return {f"identity.{name}": value for name, value in (missing | named).items()}
