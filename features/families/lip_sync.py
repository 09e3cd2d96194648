"""lip_sync: whether the lips move when, and as, the voice does.

Mouth series come from landmarks in the head's frame (iod), voice series from :mod:`features.speech_series`; both meet
on the voice's grid of 100 Hz, the file's own offset between picture and sound kept. Correlation over
lags after Slaney & Covell, "FaceSync", NIPS 2000; windowed distances in the manner of SyncNet's LSE (Chung &
Zisserman 2016), not comparable with it; mouth closures after Agarwal et al. 2020.

Two unrelated smooth series of 10 s correlate by chance (sd of r 0.2-0.3), so every measure that matters comes as a
robust z against 50 circular shifts of the voice, the same maximum over lags being taken for each. A lag is positive
when the sound is late; broadcast tolerates 90 ms early to 185 ms late (EBU R37).

Confounds: another speaker or music, a face turned away, low frame rate. A face swap keeps its driver's mouth, and
the challenge's swapped voices are not labelled.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from features import series
from features.geometry import F64, Head, align, head
from features.observation import Observation, Track
from features.series import Segment
from features.spec import EVERY_CHANGE, Column, family
from features.speech_series import GRID_HZ, speech_mask, voice_series

MAX_YAW_DEG = 40.0
MAX_LAG_S, WIDE_LAG_S = 0.5, 1.0
N_SHIFTS, MIN_SHIFT_S = 50, 1.5
MIN_JOINT_S, MIN_SPEECH_SHARE, MIN_MOUTH_IOD = 3.0, 0.15, 0.03
MIN_OVERLAP_S = 1.0  # of usable pairs behind a correlation
LSE_WINDOW_S, LSE_HOP_S, LSE_LAG_S = 0.2, 0.04, 0.4
CCA_SHRINK, CCA_LAG_S, CCA_STEP_S = 0.1, 0.2, 0.04
WIN_S, WIN_HOP_S, WIN_SPEECH, WIN_PEAK, WIN_NEAR_S = 2.0, 0.5, 0.5, 0.3, 0.15
DIP_S, DIP_DB, DIP_SHOULDER_S, MIN_DIPS = (0.04, 0.16), 10.0, 0.25, 5
CLOSED_SHARE, HIT_SHARE, HIT_S = 0.1, 0.2, 0.08
MOVING_QUANTILE = 0.6
MIN_SILENCE_S = 0.3

PAIRS = {"open_rms": ("open", "rms"), "vel_onset": ("vel", "onset"), "area_band": ("area", "band")}
MOUTH = ("open", "width", "vel", "area")  # the mouth's side of the canonical correlation

_SYNC, _LSE = "Slaney & Covell 2000", "Chung & Zisserman 2016"
_CLOSURE = "Agarwal et al. 2020"
_INF = float("inf")


def _column(name: str, direction: str, low: float, high: float, unit: str = "1", reference: str = _SYNC) -> Column:
    return Column(f"lip_sync.{name}", unit, (low, high), reference, direction, EVERY_CHANGE)


COLUMNS = (
    *(
        column
        for pair in PAIRS
        for column in (
            _column(f"{pair}_peak", "down", -1, 1),
            _column(f"{pair}_z", "down", -_INF, _INF),
            _column(f"{pair}_lag_s", "either", -MAX_LAG_S, MAX_LAG_S, "s"),
            _column(f"{pair}_lag_abs_s", "up", 0, MAX_LAG_S, "s"),
            _column(f"{pair}_sharp", "down", -_INF, _INF),
        )
    ),
    _column("lsd", "up", 0, 2, reference=_LSE),
    _column("lsc", "down", 0, 2, reference=_LSE),
    _column("ls_offset_s", "either", -LSE_LAG_S, LSE_LAG_S, "s", reference=_LSE),
    _column("cca1_z", "down", -_INF, _INF, reference="Hotelling 1936; null by shifts"),
    _column("cca1_p", "up", 0, 1, reference="Hotelling 1936; null by shifts"),
    _column("winlag_mad_s", "up", 0, 2 * MAX_LAG_S, "s"),
    _column("winlag_ok_share", "down", 0, 1),
    _column("voiced_closed_share", "up", 0, 1, reference=_CLOSURE),
    _column("silent_moving_share", "up", 0, 1),
    _column("closure_hit_z", "down", -_INF, _INF, reference=_CLOSURE),
    _column("mouth_range_iod", "covariate", 0, _INF, "iod"),
    _column("speech_share", "covariate", 0, 1),
    _column("valid_share", "covariate", 0, 1),
)


@dataclass(frozen=True)
class Joint:
    """Mouth and voice on the same 100 Hz grid."""

    mouth: dict[str, F64]
    """``open``, ``width``, ``area`` (iod), ``vel`` (iod/s), each [n]; NaN in gaps of the track."""
    voice: dict[str, F64]
    """``rms`` (dB), ``onset``, ``band`` (log10 power), low-passed, each [n]; ``mfcc`` [n, 13]; ``closure`` (dB) [n]."""
    speech: NDArray[np.bool_]
    """[n]."""


def mouth_series(face: Head) -> tuple[F64, F64]:
    """Mouth measures [n, 3] of each frame: opening, width, area of the inner lips, in iod, and the times [n].

    NaN where the face is lost or turned by more than 40 degrees.
    """
    y = align(face.landmarks, face.scale_px)
    gaps = [np.linalg.norm(y[:, a] - y[:, b], axis=1) for a, b in ((61, 67), (62, 66), (63, 65))]
    x, v = y[:, 60:68, 0], y[:, 60:68, 1]
    area = 0.5 * np.abs((x * np.roll(v, -1, axis=1) - np.roll(x, -1, axis=1) * v).sum(axis=1))
    values = np.stack([np.mean(gaps, axis=0), np.linalg.norm(y[:, 60] - y[:, 64], axis=1), area], axis=1)
    values[~(np.abs(face.yaw_deg) <= MAX_YAW_DEG)] = np.nan
    return values, face.times_s


def on_grid(values: F64, times_s: F64, grid_s: F64) -> dict[str, F64]:
    """Mouth measures at ``grid_s`` [g], with the opening's velocity (Savitzky-Golay over 0.23 s); NaN in gaps."""
    out = np.full((len(grid_s), 4), np.nan)
    for part in series.segments(times_s, values):
        speed = series.derivative(Segment(part.start_s, part.rate_hz, part.values[:, 0]), 1)
        if not len(speed):
            continue
        inside = (grid_s >= part.times_s[0] - 1e-9) & (grid_s <= part.times_s[-1] + 1e-9)
        for column, series_values in enumerate([*part.values.T, speed]):
            out[inside, column] = np.interp(grid_s[inside], part.times_s, series_values)
    return dict(zip(("open", "width", "area", "vel"), out.T, strict=True))


def shifts(n: int) -> NDArray[np.int64]:
    """Circular shifts of the null, evenly over [1.5 s, T - 1.5 s], in samples; none when T is under 4 s."""
    least = MIN_SHIFT_S * GRID_HZ
    if n - 2 * least < GRID_HZ:
        return np.empty(0, dtype=np.int64)
    return np.rint(np.linspace(least, n - least, N_SHIFTS)).astype(np.int64)


def lag_correlation(mouth: F64, voice: F64, max_lag: int) -> F64:
    """Pearson's r of ``mouth[t]`` with ``voice[t + lag]`` on their overlap, for lags -max_lag ... max_lag.

    Parameters
    ----------
    mouth : ndarray of shape (n,)
        NaN where missing.
    voice : ndarray of shape (k, n)
        One or more series without gaps.

    Returns
    -------
    ndarray of shape (k, 2 * max_lag + 1)
        NaN where under 1 s overlaps, or without variance.
    """
    n = len(mouth)
    ok = np.isfinite(mouth)
    m = np.where(ok, mouth - mouth[ok].mean(), 0.0) if ok.any() else np.zeros(n)
    a = voice - voice.mean(axis=1, keepdims=True)
    size = fft.next_fast_len(n + max_lag + 1, real=True)
    at = np.arange(-max_lag, max_lag + 1)

    def cross(x: F64, y: F64) -> F64:
        return fft.irfft(np.conj(fft.rfft(x, size)) * fft.rfft(y, size), size)[..., at]

    mask, ones = ok.astype(np.float64), np.ones(n)
    count = np.maximum(cross(mask, ones), 1.0)
    sum_m, sum_mm = cross(m, ones), cross(m**2, ones)
    sum_a, sum_aa, sum_ma = cross(mask, a), cross(mask, a**2), cross(m, a)
    variance = (sum_mm - sum_m**2 / count) * (sum_aa - sum_a**2 / count)
    defined = (
        variance > 1e-12 * count**2 * max(m.var(), 1e-300) * np.maximum(a.var(axis=1, keepdims=True), 1e-300)
    ) & (count >= MIN_OVERLAP_S * GRID_HZ - 0.5)
    r = (sum_ma - sum_m * sum_a / count) / np.sqrt(np.where(defined, variance, np.nan))
    return np.clip(r, -1.0, 1.0)


def pair_columns(mouth: F64, voice: F64) -> dict[str, float]:
    """``peak``, ``z``, ``lag_s``, ``lag_abs_s`` and ``sharp`` of one mouth series [n] against one voice series [n]."""
    names = ("peak", "z", "lag_s", "lag_abs_s", "sharp")
    wide, near = round(WIDE_LAG_S * GRID_HZ), round(MAX_LAG_S * GRID_HZ)
    r = lag_correlation(mouth, voice[None], wide)[0]
    middle = r[wide - near : wide + near + 1]
    if not np.isfinite(middle).all():
        return dict.fromkeys(names, np.nan)
    peak, at = series.parabola(middle, int(middle.argmax()))
    lag = float(np.clip((at - near) / GRID_HZ, -MAX_LAG_S, MAX_LAG_S))
    rolled = [np.roll(voice, int(shift)) for shift in shifts(len(voice))]
    null = lag_correlation(mouth, np.stack(rolled), near).max(axis=1) if rolled else []
    spread = series.mad(r)
    sharp = (middle.max() - np.nanmedian(r)) / spread if spread > 0 else np.nan
    z = series.null_z(float(middle.max()), null)
    return dict(zip(names, (min(peak, 1.0), z, lag, abs(lag), float(sharp)), strict=True))


def lse(mouth: F64, voice: F64) -> tuple[float, float, float]:
    """Windowed distance of mouth and voice [n]: least distance, confidence, offset in s (sound late positive).

    0.2 s windows, each standardised, distance over the root of their samples, averaged over time for each offset
    in +-0.4 s by 40 ms; confidence is the median over offsets less the least. Windows that meet a gap or an end of
    the series at any offset are left out.
    """
    size, hop = round(LSE_WINDOW_S * GRID_HZ), round(LSE_HOP_S * GRID_HZ)
    offsets = np.arange(-round(LSE_LAG_S * GRID_HZ), round(LSE_LAG_S * GRID_HZ) + 1, hop)
    if len(mouth) < size + 2 * offsets[-1] + hop:
        return np.nan, np.nan, np.nan
    starts = np.arange(offsets[-1], len(mouth) - size - offsets[-1] + 1, hop)
    lips, sound = (_standard_windows(x, size) for x in (mouth, voice))
    pairs = lips[starts][None] * sound[starts[None] + offsets[:, None]]  # [offsets, starts, size]
    r = pairs.mean(axis=2)
    r = r[:, np.isfinite(r).all(axis=0)]
    if r.shape[1] < MIN_OVERLAP_S / LSE_HOP_S:
        return np.nan, np.nan, np.nan
    distance = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * r)).mean(axis=1)
    best = int(distance.argmin())
    return float(distance[best]), float(np.median(distance) - distance[best]), float(offsets[best] / GRID_HZ)


def _standard_windows(x: F64, size: int) -> F64:
    windows = np.lib.stride_tricks.sliding_window_view(x, size)
    centred = windows - windows.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return centred / np.where(spread > 1e-9, spread, np.nan)


def cca(mouth: F64, voice: F64) -> tuple[float, float]:
    """First canonical correlation of mouth [n, p] and voice [n, q] against circular shifts: z, and rank share.

    Covariances are shrunk, ``(1 - 0.1) S + 0.1 tr(S)/p I``; the correlation is taken anew on the variates; each
    shift of the null, and the observed one, takes the largest over lags of +-0.2 s. Raw values mean nothing: 0.4 for
    independent series of 10 s.
    """
    ok = np.asarray(np.isfinite(mouth).all(axis=1), dtype=np.bool_)
    n, null_shifts = len(mouth), shifts(len(mouth))
    if ok.sum() < MIN_JOINT_S * GRID_HZ or not null_shifts.size:
        return np.nan, np.nan
    x, y = _standard(mouth, ok), _standard(voice, np.ones(n, bool))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.nan, np.nan
    reach, step = round(CCA_LAG_S * GRID_HZ), round(CCA_STEP_S * GRID_HZ)
    lags = np.arange(-reach, reach + 1, step)
    # sum over t of x[t] y[t + lag], for every circular lag at once
    product = np.conj(fft.rfft(x, axis=0))[:, :, None] * fft.rfft(y, axis=0)[:, None, :]
    every = fft.irfft(product, n, axis=0) / n  # [n, p, q]
    wanted = (lags[None] - np.r_[0, null_shifts][:, None]) % n
    r = canonical(x.T @ x / n, y.T @ y / n, every[wanted])
    best = r.max(axis=1)
    share = (1.0 + np.sum(best[1:] >= best[0])) / len(best)
    return series.null_z(float(best[0]), best[1:]), float(share)


def canonical(sxx: F64, syy: F64, sxy: F64) -> F64:
    """First canonical correlations [...] of covariances ``sxx`` [p, p], ``syy`` [q, q], ``sxy`` [..., p, q]."""
    white_x, white_y = (np.linalg.inv(np.linalg.cholesky(_shrunk(s))) for s in (sxx, syy))
    u, _, vt = np.linalg.svd(white_x @ sxy @ white_y.T, full_matrices=False)
    a, b = u[..., :, 0] @ white_x, vt[..., 0, :] @ white_y  # weights of the variates
    top = np.einsum("...i,...ij,...j->...", a, sxy, b)
    below = np.einsum("...i,ij,...j->...", a, sxx, a) * np.einsum("...i,ij,...j->...", b, syy, b)
    return top / np.sqrt(below)


def _shrunk(s: F64) -> F64:
    return (1.0 - CCA_SHRINK) * s + CCA_SHRINK * np.trace(s) / len(s) * np.eye(len(s))


def _standard(x: F64, ok: NDArray[np.bool_]) -> F64:
    centred = x - x[ok].mean(axis=0)
    spread = x[ok].std(axis=0)
    return np.where(ok[:, None], centred / np.where(spread > 1e-12, spread, np.nan), 0.0)


def window_lags(mouth: F64, voice: F64, speech: NDArray[np.bool_]) -> tuple[float, float]:
    """Lags of 2 s windows every 0.5 s, half of them speech: their mad, and the share that agree.

    A window agrees when its peak is above 0.3 and its lag within 0.15 s of the median. NaN below four windows.
    """
    size, hop, reach = (round(s * GRID_HZ) for s in (WIN_S, WIN_HOP_S, MAX_LAG_S))
    lags, peaks = [], []
    for start in range(reach, len(mouth) - size - reach + 1, hop):
        lips = mouth[start : start + size]
        if np.isnan(lips).any() or speech[start : start + size].mean() < WIN_SPEECH:
            continue
        around = np.lib.stride_tricks.sliding_window_view(voice[start - reach : start + size + reach], size)
        lips, sound = lips - lips.mean(), around - around.mean(axis=1, keepdims=True)
        norm = np.sqrt((lips**2).sum() * (sound**2).sum(axis=1))
        if norm.min() > 1e-9:
            r = sound @ lips / norm
            lags.append((int(r.argmax()) - reach) / GRID_HZ)
            peaks.append(float(r.max()))
    if len(lags) < 4:
        return np.nan, np.nan
    near = np.abs(np.array(lags) - np.median(lags)) <= WIN_NEAR_S
    return series.mad(lags, 4), float(np.mean(near & (np.array(peaks) > WIN_PEAK)))


def dips(closure_db: F64, speech: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Places of the voice's dips of 40-160 ms, 10 dB under both shoulders, with speech on either side."""
    reach = round(DIP_SHOULDER_S * GRID_HZ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # on the floor of silence nothing stands out
        places, _ = signal.find_peaks(
            -closure_db, prominence=DIP_DB, width=[s * GRID_HZ for s in DIP_S], rel_height=0.5, wlen=2 * reach + 1
        )
    before = np.array([speech[max(0, p - reach) : p].any() for p in places], dtype=bool)
    after = np.array([speech[p + 1 : p + 1 + reach].any() for p in places], dtype=bool)
    return np.asarray(places[before & after], dtype=np.int64)


def closure_z(mouth_open: F64, places: NDArray[np.int64]) -> float:
    """Compare the share of dips with shut lips (opening under 20 % of its q95) within 80 ms to the shifts: its z.

    Many dips are k, t or s, which need no shut lips: the share itself means little. NaN below five dips.
    """
    n = len(mouth_open)
    null_shifts = shifts(n)
    if len(places) < MIN_DIPS or not null_shifts.size:
        return np.nan
    level = HIT_SHARE * np.nanquantile(mouth_open, 0.95)
    lowest = ndimage.minimum_filter1d(np.nan_to_num(mouth_open, nan=np.inf), 2 * round(HIT_S * GRID_HZ) + 1)
    hit = lowest < level
    null = [hit[(places + shift) % n].mean() for shift in null_shifts]
    return series.null_z(float(hit[places].mean()), null)


def joint(face: Head, observation: Observation) -> Joint | None:
    """Mouth and voice on the grid that track and sound share; None without sound, or below 3 s of it."""
    if observation.audio is None or not np.isfinite(observation.audio_start_s) or len(face.times_s) < 2:
        return None
    voice = voice_series(observation.audio)
    if not voice:
        return None
    # a common shift of both clocks must not move a rounding: count from the sound's start
    times = face.times_s - observation.audio_start_s
    first = int(np.ceil(round(max(0.0, times[0]) * GRID_HZ, 3)))
    last = min(int(np.floor(round(times[-1] * GRID_HZ, 3))), len(voice["level"]) - 1)
    if last - first + 1 < MIN_JOINT_S * GRID_HZ - 0.5:
        return None
    speech = speech_mask(voice["level"])[first : last + 1]
    values, _ = mouth_series(face)
    mouth = on_grid(values, times, np.arange(first, last + 1) / GRID_HZ)
    return Joint(mouth, {name: x[first : last + 1] for name, x in voice.items()}, speech)


def _moments(both: Joint) -> dict[str, float]:
    """Lips against speech, moment by moment."""
    opened, speed, speech = both.mouth["open"], np.abs(both.mouth["vel"]), both.speech
    seen = np.isfinite(opened)
    spoken, silent = opened[seen & speech], speed[seen & ~speech]
    closed = np.mean(spoken < CLOSED_SHARE * np.quantile(opened[seen], 0.95)) if spoken.size else np.nan
    enough = silent.size >= MIN_SILENCE_S * GRID_HZ
    moving = np.mean(silent > np.quantile(speed[seen], MOVING_QUANTILE)) if enough else np.nan
    return {"voiced_closed_share": float(closed), "silent_moving_share": float(moving)}


def _columns(both: Joint) -> dict[str, float]:
    named: dict[str, float] = {}
    for pair, (lips, sound) in PAIRS.items():
        values = pair_columns(both.mouth[lips], both.voice[sound])
        named |= {f"{pair}_{name}": value for name, value in values.items()}
    opened, rms = both.mouth["open"], both.voice["rms"]
    named |= dict(zip(("lsd", "lsc", "ls_offset_s"), lse(opened, rms), strict=True))
    z, share = cca(np.stack([both.mouth[name] for name in MOUTH], axis=1), both.voice["mfcc"])
    spread, agree = window_lags(opened, rms, both.speech)
    return (
        named
        | _moments(both)
        | {
            "cca1_z": z,
            "cca1_p": share,
            "winlag_mad_s": spread,
            "winlag_ok_share": agree,
            "closure_hit_z": closure_z(opened, dips(both.voice["closure"], both.speech)),
        }
    )


@family("lip_sync", version=1, needs={"track", "sound"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Measure lips against voice; NaN below 3 s of both, with little speech, or with lips that do not move."""
    face = head(observation, track)
    both = joint(face, observation)
    named: dict[str, float] = {"valid_share": 0.0}
    if both is not None:
        opened = both.mouth["open"]
        seen = np.isfinite(opened)
        expected = max((face.times_s[-1] - face.times_s[0]) * GRID_HZ, 1.0)
        named["valid_share"] = float(min(1.0, seen.sum() / expected))
        if named["valid_share"] >= series.MIN_VALID_SHARE and seen.sum() >= MIN_JOINT_S * GRID_HZ - 0.5:
            low, high = np.quantile(opened[seen], [0.05, 0.95])
            named |= {"mouth_range_iod": float(high - low), "speech_share": float(both.speech.mean())}
            if both.speech.mean() >= MIN_SPEECH_SHARE and high - low >= MIN_MOUTH_IOD:
                named |= _columns(both)
    missing = {column.name.split(".", 1)[1]: np.nan for column in COLUMNS}
    return {f"lip_sync.{name}": value for name, value in (missing | named).items()}
