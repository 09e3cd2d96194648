"""Frames of a rate conversion have the times of their own clock; where frames were lost, all others keep theirs."""

import numpy as np
import pytest

from features.measures.frame_clock import smoother, taken_times

CONVERSIONS = [(24, 25), (24, 30), (25, 30), (20, 30), (24, 60), (15, 30), (50, 59.94), (23.976, 29.97), (48, 60)]


def moving(taken_s, rng, *, noise_px=0.1):
    """Where two parts of a face are, [n, 4] px, that moves by some 20 px a second, in the frames of these times."""
    size_px, speed, start = np.array([20, 9, 6, 12]), np.array([2.5, 5.1, 3.7, 2.0]), np.arange(4)
    path = size_px * np.sin(taken_s[:, None] * speed + start)
    return path + noise_px * rng.standard_normal((len(taken_s), 4))


def observed(make_track, make_observation, times, source):
    """An observation of frames ``source`` [n] shown at ``times``: those of the same number are repeats."""
    track = make_track(np.zeros((len(times), 68, 2)), crops=0, patch=0)
    return make_observation(track, times=times, duplicate=np.diff(source, prepend=-1) == 0)


@pytest.fixture
def converted(rng, make_track, make_observation):
    """When frames of a rate were taken [n], an observation of their conversion to another by repeats, and a path."""

    def make(fps, display_fps, *, seconds=10.0, unit_s=1e-9, noise_px=0.1, phase=0.0):
        times = np.arange(round(seconds * display_fps)) / display_fps
        source = np.floor(times * fps + phase + 1e-6)
        path = moving(source / fps, rng, noise_px=noise_px)
        return source / fps, observed(make_track, make_observation, np.round(times / unit_s) * unit_s, source), path

    return make


@pytest.fixture
def lossy(rng, make_track, make_observation):
    """An observation of a clip in which frames were lost, the one before shown in place of each, and a path."""

    def make(n, lost, *, fps=30.0, noise_px=0.1):
        source = np.arange(n)
        for number in np.sort(lost):
            source[number] = source[number - 1]
        times = np.arange(n) / fps
        path = moving(times, rng, noise_px=noise_px)[source]
        return observed(make_track, make_observation, times, source), path

    return make


@pytest.mark.parametrize("unit_s", [1e-9, 1e-3])
@pytest.mark.parametrize("noise_px", [0.0, 0.2])
@pytest.mark.parametrize(("fps", "display_fps"), CONVERSIONS)
def test_frames_of_a_rate_conversion_have_the_times_of_their_own_clock(converted, fps, display_fps, noise_px, unit_s):
    taken, observation, path = converted(fps, display_fps, noise_px=noise_px, unit_s=unit_s)
    first = ~observation.duplicate
    times = taken_times(observation, paths=[path])
    assert np.diff(times[first]) == pytest.approx(1 / fps, abs=2e-4)
    assert np.abs(times - taken)[first].max() < 1 / display_fps + unit_s  # shown once the display comes to it
    assert np.array_equal(times[~first], observation.times_s[~first])


@pytest.mark.parametrize("seconds", [1.5, 2.0, 3.0, 40.0])
@pytest.mark.parametrize("phase", [0.0, 0.5])
@pytest.mark.parametrize(("fps", "display_fps"), [(24, 30), (25, 30), (20, 30), (15, 30), (24, 60)])
def test_a_conversion_is_known_at_any_length_and_phase(converted, fps, display_fps, phase, seconds):
    _, observation, path = converted(fps, display_fps, seconds=seconds, phase=phase)
    times = taken_times(observation, paths=[path])[~observation.duplicate]
    assert np.diff(times) == pytest.approx(np.full(len(times) - 1, 1 / fps), rel=0.02)


@pytest.mark.parametrize("noise_px", [0.0, 0.3])
@pytest.mark.parametrize("every", [3, 4, 5, 6, 10, 12, 25])
@pytest.mark.parametrize(("n", "fps"), [(60, 30), (180, 30), (250, 25), (1200, 60)])
def test_frames_keep_their_times_where_others_were_lost_at_equal_distances(lossy, n, fps, every, noise_px):
    observation, path = lossy(n, np.arange(every // 2 + 1, n, every), fps=fps, noise_px=noise_px)
    assert taken_times(observation, paths=[path]) is observation.times_s


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("noise_px", [0.0, 3.0])
@pytest.mark.parametrize(("n", "lost"), [(20, 1), (30, 1), (33, 1), (60, 2), (66, 2), (90, 4), (300, 12)])
def test_frames_keep_their_times_where_others_were_lost_here_and_there(lossy, n, lost, noise_px, seed):
    at = np.random.default_rng(seed).choice(np.arange(2, n - 1), lost, replace=False)
    observation, path = lossy(n, at, noise_px=noise_px)
    assert taken_times(observation, paths=[path]) is observation.times_s


@pytest.mark.parametrize("held", [[150], [20, 21, 140, 141, 142, 250], range(100, 150), range(1, 300, 2)])
def test_a_stretch_that_is_held_moves_no_times(lossy, held):
    observation, path = lossy(300, list(held))
    times = taken_times(observation, paths=[path])
    assert np.abs(times - observation.times_s).max() < 1e-9


def test_without_repeats_nothing_is_looked_at(lossy):
    observation, _ = lossy(300, [])

    def unseen():
        raise AssertionError("paths are read")
        yield

    assert taken_times(observation, paths=unseen()) is observation.times_s


@pytest.mark.parametrize("fps", [24, 25])
def test_where_motion_does_not_tell_presentation_times_are_kept(rng, converted, fps):
    _, observation, path = converted(fps, 30)
    noise = rng.standard_normal(path.shape)
    for untold in ([], [np.zeros_like(path)], [np.full_like(path, np.nan)], [noise]):
        assert taken_times(observation, paths=untold) is observation.times_s


@pytest.mark.parametrize(("fps", "display_fps"), [(24, 60), (15, 30), (25, 60)])
def test_most_frames_are_not_lost_so_even_a_still_face_has_its_own_clock(converted, fps, display_fps):
    _, observation, path = converted(fps, display_fps)
    times = taken_times(observation, paths=[np.zeros_like(path)])[~observation.duplicate]
    assert np.diff(times) == pytest.approx(1 / fps, abs=1e-4)


def test_the_faces_that_are_seen_and_move_decide(converted):
    _, observation, path = converted(24, 30)
    seen = path.copy()
    seen[100:200] = np.nan
    times = taken_times(observation, paths=[np.full_like(path, np.nan), np.zeros_like(path), seen])
    assert np.array_equal(times, taken_times(observation, paths=[path]))


@pytest.mark.slow
def test_noise_above_motion_seldom_passes_for_a_conversion(lossy):
    """Where motion is a twentieth of its noise nothing tells the two apart: presentation times are what is left."""
    moved = 0
    for seed in range(100):
        observation, path = lossy(150, np.arange(2 + seed % 5, 150, 5), noise_px=40.0)
        moved += taken_times(observation, paths=[path]) is not observation.times_s
    assert moved <= 8


def test_noise_is_no_smoother_on_either_clock(rng):
    shown = np.floor(np.arange(4000) * 1.25) / 30
    gains = smoother(rng.standard_normal((4000, 4)), than=shown, on=np.arange(4000) / 24)
    assert abs(gains.mean()) < 3 * gains.std() / np.sqrt(len(gains) / 3)
