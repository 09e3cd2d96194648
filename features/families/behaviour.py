"""behaviour: how the parts of a face move together: brows with lips, lids with the head.

After Agarwal et al. 2019, "Protecting World Leaders Against Deep Fakes": people have mannerisms, which show as
correlations between twenty signals of expression and head (:mod:`features.expressions`); there a model of one person
tells others from him (AUC above 0.9). Here nothing is known of the person, so columns say how tightly all signals hang
together: a face whose mouth or whose whole expression is driven from elsewhere is expected to be looser.

Correlations of short, smooth series are large by chance (0.13 on average over 10 s): ``_z`` compares with the same
signals shifted against each other in time, in spreads of that null.

Confounds: length of the clip (chance correlations, ``halves_dist``), talking or silent, noise of the landmarks, which
moves neighbouring points together. None of it identifies a forgery by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features import series
from features.expressions import BROWS_EYES, GRID_HZ, HEAD, MOUTH, SIGNALS, expression_signals, smooth_signals
from features.geometry import F64, head
from features.observation import Observation, Track
from features.series import Segment
from features.spec import EVERY_CHANGE, Column, family

MIN_OBS_S = 6.0
MIN_SD = 1e-3  # iod, or the signal's own unit: below, it does not move
MIN_SIGNALS = 15
MAX_LAG_S = 0.4
NULL_DRAWS = 40
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0  # multiples of it, modulo 1, spread evenly
FORGED = np.array([SIGNALS.index(name) for name in MOUTH])
REST = np.array([SIGNALS.index(name) for name in (*BROWS_EYES, *HEAD)])

_REFERENCE = "Agarwal et al. 2019"
_INF = float("inf")


def _column(name: str, direction: str, description: str, *, low: float = 0.0, high: float = 1.0) -> Column:
    return Column(f"behaviour.{name}", "1", (low, high), _REFERENCE, direction, EVERY_CHANGE, description=description)


COLUMNS = (
    _column(
        "abs_mean", "down",
        "How strongly any two movements of the face and head go together on average, from 0 (not at all) to 1.",
    ),
    _column(
        "abs_mean_z", "down",
        "How much more strongly the movements of the face and head go together than they would by chance, in spreads "
        "of chance.",
        low=-_INF, high=_INF,
    ),
    _column(
        "eff_rank", "up",
        "How many movements the face seems to make independently of each other, from 1 (all go together) to 20.",
        low=1, high=len(SIGNALS),
    ),
    _column(
        "max_eig_share", "down", "Fraction of all movements of the face that one common movement explains.",
    ),
    _column(
        "inner_outer_abs", "down",
        "How strongly movements of the mouth go together with those of brows, lids and head, from 0 to 1.",
    ),
    _column(
        "inner_outer_z", "down",
        "How much more strongly movements of the mouth go together with those of brows, lids and head than they would "
        "by chance, in spreads of chance.",
        low=-_INF, high=_INF,
    ),
    _column(
        "lagmax_gap", "up",
        "How much more strongly two movements go together if one is shifted in time by up to 0.4 seconds, on average; "
        "0 if none is late.",
    ),
    _column(
        "halves_dist", "up",
        "How much the way in which movements go together changes from the first half of the clip to the second; 0 if "
        "it stays.",
        high=2.1,
    ),
    _column(
        "valid_share", "covariate", "Fraction of the frames in which the face could be followed.",
    ),
)  # fmt: skip


def correlations(signals: F64) -> F64:
    """Pearson's r of each pair of columns of ``signals`` [m, s], [s, s]; NaN for one that does not move, 1 on itself.

    >>> correlations(np.array([[0.0, 1.0, 5.0], [1.0, 0.0, 5.0]])).round(6).tolist()[0]
    [1.0, -1.0, nan]
    """
    centred = signals - signals.mean(axis=0)
    spread = centred.std(axis=0)
    moving = spread >= MIN_SD
    scaled = centred / np.where(moving, spread, np.nan)
    return np.clip(scaled.T @ scaled / len(signals), -1.0, 1.0)


def pairs(matrix: F64) -> F64:
    """Values above the diagonal, flat: of 20 signals 190."""
    return matrix[np.triu_indices(len(matrix), 1)]


def abs_mean(matrix: F64) -> float:
    """Mean absolute correlation over the pairs that have one; NaN without any."""
    r = series.finite(pairs(matrix))
    return float(np.abs(r).mean()) if r.size else np.nan


def inner_outer_abs(matrix: F64) -> float:
    """Mean absolute correlation of signals of the mouth with those of brows, lids and head; NaN without any."""
    r = series.finite(matrix[np.ix_(FORGED, REST)])
    return float(np.abs(r).mean()) if r.size else np.nan


def spectrum_of(matrix: F64) -> tuple[float, float]:
    """Effective rank and largest share of the eigenvalues of a correlation matrix, without signals that don't move.

    The effective rank is ``exp(-sum p log p)`` of the eigenvalues' shares p.

    >>> [round(value, 3) for value in spectrum_of(np.eye(4))]
    [4.0, 0.25]
    """
    there = np.isfinite(np.diag(matrix))
    if not there.any():
        return np.nan, np.nan
    values = np.linalg.eigvalsh(matrix[np.ix_(there, there)])
    shares = np.clip(values, 0.0, None) / np.clip(values, 0.0, None).sum()
    seen = shares[shares > 0]
    return float(np.exp(-(seen * np.log(seen)).sum())), float(min(shares.max(), 1.0))


def shifted_draws(signals: F64) -> list[F64]:
    """Correlation matrices of 40 nulls: each signal of [m, s] turned round in time by its own shift.

    Shifts are multiples of the golden ratio of the length, the same in every run.
    """
    length, count = signals.shape
    draws = []
    for draw in range(1, NULL_DRAWS + 1):
        shift = np.floor(length * ((np.arange(count) * draw * GOLDEN) % 1.0)).astype(int)
        rows = (np.arange(length)[:, None] + shift) % length
        draws.append(correlations(np.take_along_axis(signals, rows, axis=0)))
    return draws


def lagmax_gap(signals: F64, *, rate_hz: float) -> float:
    """Mean over pairs of the largest absolute correlation within +-0.4 s less that without a shift.

    Parameters
    ----------
    signals : ndarray of shape (m, s)
    rate_hz : float

    Returns
    -------
    float
        In [0, 1]; NaN without a pair that moves, or under 2 s.
    """
    reach = round(MAX_LAG_S * rate_hz)
    if len(signals) < 5 * reach:
        return np.nan
    now = np.abs(correlations(signals))
    best = now.copy()
    count = signals.shape[1]
    for lag in range(1, reach + 1):
        both = correlations(np.hstack([signals[:-lag], signals[lag:]]))
        late = np.abs(both[:count, count:])
        best = np.fmax(best, np.fmax(late, late.T))
    gap = series.finite(pairs(best - now))
    return float(gap.mean()) if gap.size else np.nan


def halves_dist(signals: F64) -> float:
    """Frobenius distance of the correlation matrices of both halves of [m, s], over s - 1; NaN without a pair.

    Pairs of which a half does not move count as the mean of the others.
    """
    middle, count = len(signals) // 2, signals.shape[1]
    change = series.finite(pairs(correlations(signals[:middle]) - correlations(signals[middle:])))
    return float(np.sqrt((change**2).mean() * count / (count - 1))) if change.size else np.nan


def coupling_columns(parts: Sequence[Segment]) -> dict[str, float]:
    """All columns but ``valid_share``, of signals in segments, values of shape (m, 20); empty if too few move."""
    signals = np.concatenate([part.values for part in parts])
    matrix = correlations(signals)
    if np.isfinite(np.diag(matrix)).sum() < MIN_SIGNALS:
        return {}
    null = shifted_draws(signals)
    rank, largest = spectrum_of(matrix)
    longest = max(parts, key=lambda part: len(part.values))
    return {
        "abs_mean": abs_mean(matrix),
        "abs_mean_z": series.null_z(abs_mean(matrix), null=[abs_mean(one) for one in null]),
        "eff_rank": rank,
        "max_eig_share": largest,
        "inner_outer_abs": inner_outer_abs(matrix),
        "inner_outer_z": series.null_z(inner_outer_abs(matrix), null=[inner_outer_abs(one) for one in null]),
        "lagmax_gap": lagmax_gap(longest.values, rate_hz=longest.rate_hz),
        "halves_dist": halves_dist(signals),
    }


@family("behaviour", version=1, needs={"track"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure how a track's expressions hang together; NaN below 6 s of face."""
    face = head(observation, track)
    signals = expression_signals(face)
    valid = float(np.isfinite(signals).all(axis=1).mean()) if len(signals) else 0.0
    named = {"valid_share": valid}
    parts = smooth_signals(signals, times_s=face.times_s)
    if valid >= series.MIN_VALID_SHARE and sum(part.length_s for part in parts) >= MIN_OBS_S - 1.0 / GRID_HZ:
        named |= coupling_columns(parts)
    missing = {column.name.split(".", 1)[1]: np.nan for column in COLUMNS}
    return {f"behaviour.{name}": value for name, value in (missing | named).items()}
