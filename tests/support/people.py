"""Synthetic people: a three-dimensional mean face that nods, blinks and speaks, as an Observation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from features.measures.geometry import FACE_MODEL, LEFT_EYE, RIGHT_EYE
from features.observation import AUDIO_RATE_HZ, CROPS_PER_TRACK, Observation, Track

FRAME_SIZE = (1280, 720)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20191211)


def rotations(pitch_deg, yaw_deg, roll_deg):
    """[n, 3, 3] with R = Rz Ry Rx."""
    (a, b, c), (d, e, f) = ([g(np.radians(x)) for x in (pitch_deg, yaw_deg, roll_deg)] for g in (np.cos, np.sin))
    zero, one = np.zeros_like(a), np.ones_like(a)

    def matrix(rows):
        return np.moveaxis(np.array(rows), -1, 0)

    rx = matrix([[one, zero, zero], [zero, a, -d], [zero, d, a]])
    ry = matrix([[b, zero, e], [zero, one, zero], [-e, zero, b]])
    rz = matrix([[c, -f, zero], [f, c, zero], [zero, zero, one]])
    return rz @ ry @ rx


def smooth_noise(rng, n, fps, seconds):
    """Unit-variance noise of a correlation time."""
    from scipy.ndimage import gaussian_filter1d

    x = gaussian_filter1d(rng.standard_normal(n + 200), seconds * fps)[100 : 100 + n]
    return (x - x.mean()) / x.std()


def blink_curve(times, moments, *, width_s=0.2, depth=0.85):
    """Lid closure in 0..depth: raised cosines of full width ``width_s``."""
    closed = np.zeros_like(times)
    for moment in moments:
        phase = np.clip((times - moment) / width_s, -0.5, 0.5)
        closed = np.maximum(closed, depth * (0.5 + 0.5 * np.cos(2 * np.pi * phase)))
    return closed


def pose_points(times, *, pose_deg, closed, mouth_open, scale_px=90.0, centre=(640.0, 330.0)):
    """Weak-perspective landmarks [n, 68, 2] of the mean face with lids and lips moved."""
    n = len(times)
    model = np.repeat(FACE_MODEL[None], n, axis=0)
    for eye in (RIGHT_EYE, LEFT_EYE):
        middle = model[:, eye[[0, 3]], 1].mean(axis=1, keepdims=True)
        lids = eye[[1, 2, 4, 5]]
        model[:, lids, 1] = middle + (model[:, lids, 1] - middle) * (1.0 - closed[:, None])
    model[:, [61, 62, 63], 1] = model[:, [67, 66, 65], 1] - mouth_open[:, None]
    rotated = model @ np.swapaxes(rotations(*np.asarray(pose_deg, dtype=float)), 1, 2)
    return rotated[..., :2] * scale_px + np.asarray(centre)


def texture(rng, side, *, beta=2.0, mean=120.0, sd=25.0):
    """A grey image [side, side] of power spectrum 1/f^beta, uint8."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    image = np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) * radius ** (-beta / 2)).real
    return np.clip(np.rint(mean + sd * (image - image.mean()) / image.std()), 0, 255).astype(np.uint8)


def boxes(landmarks):
    low, high = np.nanmin(landmarks, axis=1), np.nanmax(landmarks, axis=1)
    centre, side = (low + high) / 2, (high - low).max(axis=1, keepdims=True) * 0.9
    return np.concatenate([centre - side / 2, centre + side / 2], axis=1)


def build_track(landmarks, *, flow=None, rng, patch=128, sharpness=None, crops=CROPS_PER_TRACK):
    """A Track of these landmarks [m, 68, 2]; its images are random textures."""
    m = len(landmarks)
    box = boxes(np.where(np.isfinite(landmarks), landmarks, np.nanmedian(landmarks, axis=0)))
    index = np.unique(np.floor((np.arange(crops) + 0.5) * m / crops).astype(int)) if crops else np.empty(0, int)
    if flow is None:
        flow = landmarks.copy()
        flow[0] = np.nan
    side = np.round((box[index, 2] - box[index, 0]) * 1.6)
    left_top = np.round((box[index, :2] + box[index, 2:]) / 2 - side[:, None] / 2)
    images = [texture(rng, int(min(320, s))) for s in side]
    if sharpness is None:
        sharpness = rng.uniform(4.0, 5.0, (m, 3))
    return Track(
        frame_index=np.arange(m, dtype=np.int32),
        landmarks=landmarks.astype(np.float32),
        flow=flow.astype(np.float32),
        box=box.astype(np.float32),
        detector_score=np.full(m, 0.9, np.float32),
        sharpness=sharpness.astype(np.float32),
        crop_index=index.astype(np.int32),
        crop_box=np.concatenate([left_top, side[:, None]], axis=1).astype(np.float32),
        embedding=np.full((len(images), 128), np.nan, np.float32),
        crops=tuple(np.repeat(p[..., None], 3, axis=2) for p in images),
        patch_face=tuple(texture(rng, patch) if patch else np.empty((0, 0), np.uint8) for _ in index),
        patch_background=tuple(texture(rng, patch) if patch else np.empty((0, 0), np.uint8) for _ in index),
    )


def build_observation(track, *, times=None, fps=30.0, audio=None, audio_start_s=0.0, duplicate=None):
    m = int(track.frame_index[-1]) + 1
    times = np.arange(m) / fps if times is None else np.asarray(times, dtype=float)
    return Observation(
        times_s=times,
        frame_size=FRAME_SIZE,
        duration_s=float(times[-1] - times[0] + np.diff(times).mean()),
        duplicate=np.zeros(m, bool) if duplicate is None else duplicate,
        tracks=(track,),
        audio=None if audio is None else audio.astype(np.float32),
        audio_start_s=np.nan if audio is None else audio_start_s,
        n_faces=1,
    )


def speech(rng, mouth_open, times, duration_s):
    """Noise whose loudness follows the mouth [n], with a quiet floor; 16 kHz."""
    t = np.arange(int(duration_s * AUDIO_RATE_HZ)) / AUDIO_RATE_HZ
    loud = np.interp(t, times, mouth_open / max(mouth_open.max(), 1e-9))
    return rng.standard_normal(len(t)) * (0.0005 + 0.2 * loud**2)


@pytest.fixture
def make_track(rng) -> Callable[..., Track]:
    """Factory: ``make_track(landmarks, flow=..., patch=...)``."""
    return lambda landmarks, **more: build_track(landmarks, rng=rng, **more)


@pytest.fixture
def make_observation() -> Callable[..., Observation]:
    """Factory: ``make_observation(track, fps=..., audio=...)``."""
    return build_observation


def build_talking_head(
    rng, *, duration_s=10.0, fps=30.0, noise_px=0.4, patch=128, audio=True, blinks=(1.5, 4.2, 7.7)
) -> Observation:
    """A person who nods, blinks at the seconds ``blinks`` and speaks, with ``noise_px`` of landmark noise."""
    n = round(duration_s * fps)
    times = np.arange(n) / fps
    pose_deg = [scale * smooth_noise(rng, n, fps, 0.8) for scale in (3.0, 6.0, 2.0)]
    mouth = np.clip(0.12 + 0.12 * smooth_noise(rng, n, fps, 0.1), 0.0, None)
    mouth *= np.sin(2 * np.pi * times / 3.3) > -0.7  # pauses
    true = pose_points(times, pose_deg=pose_deg, closed=blink_curve(times, blinks), mouth_open=mouth)
    true = true + 8.0 * np.stack([smooth_noise(rng, n, fps, 1.0), smooth_noise(rng, n, fps, 1.0)], -1)[:, None]
    seen = true + noise_px * rng.standard_normal(true.shape)
    flow = np.full_like(seen, np.nan)
    flow[1:] = seen[:-1] + np.diff(true, axis=0) + 0.1 * rng.standard_normal(true[1:].shape)
    samples = speech(rng, mouth, times, duration_s) if audio else None
    return build_observation(build_track(seen, flow=flow, rng=rng, patch=patch), fps=fps, audio=samples)


@pytest.fixture
def talking_head(rng) -> Callable[..., Observation]:
    """Factory: ``talking_head(duration_s=..., fps=..., ...)``, see :func:`build_talking_head`."""
    return lambda **more: build_talking_head(rng, **more)


CHEAP = ("blink", "landmark_jitter", "lip_sync", "quality", "spectrum")
"""Families that need no network: whole measures of these are quick."""
