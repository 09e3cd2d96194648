"""identity: how steadily a face recogniser sees the same person.

Frame-wise synthesis makes the embeddings of the person less steady (Liu et al. 2023, "TI2Net", there on other
embeddings). The embeddings here are the 128 outputs of dlib's ResNet on aligned face chips (150 px, padding 0.25),
compared by Euclidean distance; below 0.6 counts as the same person. At most ``MAX_CHIPS`` well-spread crops are
embedded, frontal within 45 degrees and not among the most blurred tenth of the track. Quantiles are taken of few
values: this family requires fewer samples than the others.

Confounds: pose and blur (hence ``pose_corr`` and ``resid_med``), expression, light; the length of the clip, of which a
step is a ninth: ``step`` and ``step_over_pair`` are larger in longer clips, and ``drift`` is of what the clip happens
to begin and end with. Nine crops decide little: to cut half a second off the start of four clips of 2 to 10 s moved
``step_over_pair`` by 0.05 to 0.33. Embeddings are biometric data: a table holds distances, never vectors.
"""

from __future__ import annotations

from math import inf

import numpy as np
from scipy.spatial import distance

from features.arrays import F64
from features.evidence import Series
from features.measures import robust, series
from features.measures.comparison import log_ratio
from features.measures.geometry import pose
from features.networks.face_embedding import MAX_CHIPS, MAX_OTHERS, MIN_CHIPS, OTHER_CHIPS, embeddings, suitable
from features.observation import Observation, Track
from features.spec import Column, columns_of, complete_row, family

MIN_DRIFT_CHIPS = 9
MIN_TOGETHER_S = 1.0
JUMP_MADS = 4.0

_REFERENCE = "Liu et al. 2023"
_ALL = frozenset({"translation", "gain", "clock"})


_column = columns_of("identity", range=(0.0, inf), reference=_REFERENCE, direction="up", invariant_to=_ALL)


COLUMNS = (
    _column(
        "pair_med",
        "Median distance between two face crops for a face recogniser: between their embeddings, the 128 "
        "numbers it describes a face by.",
    ),
    _column("pair_q90", "Distance between two embeddings that a tenth of the pairs exceed."),
    _column("medoid_med", "Median distance of the embeddings from the most central one."),
    _column("medoid_q90", "Distance from the most central embedding that a tenth of them exceed."),
    _column("medoid_max", "Distance from the most central embedding to the one farthest from it."),
    _column("step_med", "Median distance between the embeddings of crops that follow each other in time."),
    _column("step_q90", "Distance between successive embeddings that a tenth of the steps exceed."),
    _column(
        "step_over_pair",
        "Logarithm of the median step over the median distance of all pairs: 0 where the look changes at random, below "
        "where it changes slowly.",
        range=(-inf, inf),
    ),
    _column(
        "drift",
        "Distance between the mean embeddings of the first and the last third of the crops, over the median distance "
        "of all pairs.",
        direction="either",
    ),
    _column("jump_share", "Fraction of the steps between successive embeddings that stand out as large.", range=(0, 1)),
    _column(
        "pose_corr",
        "How far the distance from the most central embedding rises with the turn of the head (rank correlation).",
        range=(-1, 1),
        direction="covariate",
    ),
    _column("resid_med", "Median distance from the most central embedding that head pose and blur do not explain."),
    _column(
        "tracks_dist_min",
        "Least distance between the most central embeddings of this face and of another that is on screen with it "
        "for a second or more; missing without such a face.",
        direction="either",
    ),
    Column(
        "identity.valid_share",
        range=(0, 1),
        direction="covariate",
        invariant_to=_ALL | {"mirror", "scale"},
        description="Number of crops that are sharp and frontal enough for the face recogniser, over the nine it uses.",
    ),
)


def medoid(e: F64) -> int:
    """Row of ``e`` [n, d] with the least sum of distances to the others."""
    return int(distance.cdist(e, e).sum(axis=1).argmin())


def to_medoid(e: F64) -> F64:
    """Distances [n] of embeddings ``e`` [n, d] to the most central one.

    >>> to_medoid(np.array([[0.0], [1.0], [3.0]])).tolist()
    [1.0, 0.0, 2.0]
    """
    return np.linalg.norm(e - e[medoid(e)], axis=1)


def distances(e: F64) -> dict[str, float]:
    """Pairwise, medoid and consecutive distances of embeddings ``e`` [n, d] in their order of time."""
    pairs = distance.pdist(e)
    central = to_medoid(e)
    steps = np.linalg.norm(np.diff(e, axis=0), axis=1)
    third = len(e) // 3
    ends = np.linalg.norm(e[:third].mean(axis=0) - e[-third:].mean(axis=0)) if third else np.nan
    pair, spread = robust.median(pairs), robust.mad(steps, 7)
    whole = len(e) >= MIN_DRIFT_CHIPS and pair > 0
    limit = np.median(steps) + JUMP_MADS * spread
    return {
        "pair_med": pair,
        "pair_q90": robust.quantile(pairs, 0.9),
        "medoid_med": robust.median(central),
        "medoid_q90": robust.quantile(central, 0.9, MIN_CHIPS),
        "medoid_max": float(central.max()),
        "step_med": robust.median(steps),
        "step_q90": robust.quantile(steps, 0.9, MIN_CHIPS - 1),
        "step_over_pair": log_ratio(robust.median(steps), pair),
        "drift": float(ends) / pair if whole else 0.0 if len(e) >= MIN_DRIFT_CHIPS else np.nan,
        "jump_share": float(np.mean(steps > limit + series.ROUNDING)),
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
    from scipy import optimize, stats

    central = to_medoid(e)
    angle = np.linalg.norm(pose_deg - np.median(pose_deg, axis=0), axis=1)
    varied = np.ptp(central) > 1e-9 and np.ptp(angle) > 1e-9
    rest = central
    for reason in (angle, -sharpness):
        order = np.argsort(reason, kind="stable")
        fitted = np.empty(len(rest))
        fitted[order] = optimize.isotonic_regression(rest[order]).x
        rest = rest - fitted
    return {
        "pose_corr": float(stats.spearmanr(central, angle).statistic) if varied else np.nan,
        "resid_med": robust.median(np.abs(rest)),
    }


def _others(observation: Observation, track: Track, centre: F64) -> float:
    """Least distance from this face track's medoid ``centre`` [128] to one on screen with it; NaN without such."""
    least = []
    others = [candidate for candidate in observation.tracks if candidate is not track]
    for other in [candidate for candidate in others if _together_s(observation, track, candidate) >= MIN_TOGETHER_S][
        :MAX_OTHERS
    ]:
        e = embeddings(other, suitable(other, most=OTHER_CHIPS))
        if len(e):
            least.append(float(np.linalg.norm(e[medoid(e)] - centre)))
    return min(least) if least else np.nan


def _together_s(observation: Observation, a: Track, b: Track) -> float:
    """Seconds in which two faces are both seen. Tracks that only follow each other may be one person's."""
    seen_a, seen_b = (track.frame_index[np.isfinite(track.landmarks[:, 0, 0])] for track in (a, b))
    return len(np.intersect1d(seen_a, seen_b)) * observation.duration_s / len(observation.times_s)


def medoid_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``identity.distance``: how far each crop is from the person's most central one; empty below eight suitable crops.

    NaN for a crop that is turned away or blurred. The columns are of ``MAX_CHIPS`` of these crops.
    """
    numbers = suitable(track, most=len(track.crops))
    if len(numbers) < MIN_CHIPS:
        return {}
    values = np.full(len(track.crops), np.nan)
    values[numbers] = to_medoid(embeddings(track, numbers))
    times_s = observation.crop_times_s(track)
    return {"identity.distance": Series(times_s, values, unit="1", title="Distance from the person's usual face")}


@family("identity", version=4, needs={"track", "crops"}, columns=COLUMNS, series=medoid_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure how steadily a recogniser sees the face of a track; NaN below eight suitable crops."""
    numbers = suitable(track, most=MAX_CHIPS)
    named = {"valid_share": min(1.0, len(numbers) / MAX_CHIPS)}
    if len(numbers) >= MIN_CHIPS:
        e = embeddings(track, numbers)
        at = track.crop_index[numbers]
        named |= distances(e)
        named |= explained(e, pose_deg=pose(track.landmarks[at]), sharpness=track.sharpness[at, 0].astype(np.float64))
        named["tracks_dist_min"] = _others(observation, track, e[medoid(e)])
    return complete_row(COLUMNS, named)
