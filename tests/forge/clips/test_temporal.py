"""Landmarks smoothed over frames, drifting parameters, and the frames from which a donor's face is taken."""

import numpy as np
import pytest

from forge.clips import temporal


def faces(n, rng):
    """Landmarks [n, 68, 2] of one face that stands still, with a pixel of noise."""
    return (rng.uniform(0, 100, (1, 68, 2)) + rng.standard_normal((n, 68, 2))).astype(np.float32)


def test_smoothing_takes_noise_away_and_bridges_a_gap():
    rng = np.random.default_rng(0)
    landmarks = faces(200, rng)
    landmarks[50:52], landmarks[100:110] = np.nan, np.nan
    smooth = temporal.smoothed_landmarks(landmarks)
    assert smooth.shape == landmarks.shape
    assert np.isfinite(smooth[50:52]).all()
    assert np.isnan(smooth[102:108]).all()
    assert smooth[5:45].std(axis=0).mean() < 0.6 * landmarks[5:45].std(axis=0).mean()
    assert smooth[0] == pytest.approx(landmarks[:3].mean(axis=0), abs=1.0)


@pytest.mark.parametrize(("n", "frames"), [(3, 5), (20, 1)])
def test_a_short_clip_is_not_smoothed(n, frames):
    landmarks = faces(n, np.random.default_rng(0))
    assert temporal.smoothed_landmarks(landmarks, frames) is landmarks


def test_a_drift_is_stationary_and_forgets_at_its_rate():
    rng = np.random.default_rng(0)
    drifts = np.stack([temporal.stationary_ar1(300, rng, forgetting=0.05) for _ in range(2000)])
    assert drifts[:, [0, -1]].std(axis=0) == pytest.approx([1.0, 1.0], abs=0.06)
    assert drifts.mean() == pytest.approx(0.0, abs=0.03)
    assert (drifts[:, :-1] * drifts[:, 1:]).mean() == pytest.approx(0.95, abs=0.03)


def test_a_donor_that_never_holds_still_while_large_gives_its_large_frames():
    """Sixty frames: forty small and still, twenty large and moving."""
    points = np.random.default_rng(0).uniform(0, 1, (68, 2)).astype(np.float32)
    points[36:42], points[42:48] = (0.0, 0.0), (1.0, 0.0)
    size = np.r_[np.full(40, 40.0), np.full(20, 75.0)][:, None, None]
    drift = np.r_[np.zeros(40), 12 * np.arange(20.0)][:, None, None]
    chosen = temporal.usable_frames((points * size + drift).astype(np.float32))
    assert np.flatnonzero(chosen).tolist() == list(range(40, 60))
