"""Signals of faces that move one thing at a time."""

import numpy as np
import pytest
from people import build_observation, build_track, pose_points

from features import expressions
from features.geometry import MIRROR, head

T = np.arange(90) / 30.0
STILL = np.zeros((3, len(T)))


def signals(points, rng):
    track = build_track(points, rng=rng, crops=0)
    return dict(
        zip(
            expressions.SIGNALS,
            expressions.expression_signals(head(build_observation(track), track)).T,
            strict=True,
        )
    )


def face(*, pose_deg=STILL, closed=0.0, mouth_open=0.1):
    closed, mouth_open = (np.broadcast_to(np.asarray(x, float), T.shape) for x in (closed, mouth_open))
    return pose_points(T, pose_deg=pose_deg, closed=closed, mouth_open=mouth_open)


def moving(found):
    return {name for name, values in found.items() if np.ptp(values) > 2e-3}


def test_there_are_twenty_of_them_and_a_still_face_moves_none(rng):
    assert len(set(expressions.SIGNALS)) == 20
    assert moving(signals(face(), rng)) == set()


def test_lips_and_lids_move_their_own_signals(rng):
    swing = 0.5 + 0.5 * np.sin(2 * np.pi * T)
    lips = signals(face(mouth_open=0.3 * swing), rng)
    assert {"lip_gap", "lip_thickness", "mouth_area"} == moving(lips)
    assert np.ptp(lips["lip_gap"]) == pytest.approx(0.3, abs=0.02)
    lids = signals(face(closed=0.8 * swing), rng)
    assert {"lid_gap", "upper_lid", "lower_lid"} <= moving(lids)
    assert not moving(lids) & set(expressions.MOUTH)
    # lids that shut come nearer to the corners from both sides
    assert np.corrcoef(lids["upper_lid"], lids["lower_lid"])[0, 1] < -0.9


def test_heights_count_upwards(rng):
    raised = face()
    raised[45:, 17:27, 1] -= 9.0
    found = signals(raised, rng)
    assert moving(found) >= {"inner_brow", "outer_brow"}
    assert found["inner_brow"][-1] - found["inner_brow"][0] == pytest.approx(0.1, abs=0.01)


def test_a_head_that_moves_in_the_picture_moves_no_expression(rng):
    pushed = face() + np.stack([60 * np.sin(T), 30 * np.cos(T)], axis=1)[:, None]
    assert moving(signals(pushed, rng)) == set()
    tilted = signals(face(pose_deg=np.stack([0 * T, 0 * T, 10.0 * T])), rng)
    assert moving(tilted) == set()
    assert tilted["roll_speed"] == pytest.approx(np.full(90, 10.0), abs=0.1)
    nodding = signals(face(pose_deg=np.stack([5 * np.sin(T), 0 * T, 0 * T])), rng)
    assert np.ptp(nodding["pitch"]) > 3.0


def test_a_mirror_changes_nothing(rng):
    points = face(pose_deg=np.stack([5 * np.sin(T), 10 * np.cos(T), 5.0 * T]))
    points = points + rng.normal(0.0, 1.0, points.shape)
    one, other = (signals(p, rng) for p in (points, points[:, MIRROR] * (-1, 1) + (1279, 0)))
    for name in expressions.SIGNALS:
        assert other[name] == pytest.approx(one[name], abs=2e-4), name


def test_lost_frames_are_missing_and_split_the_signals(rng):
    points = face()
    points[40:50] = np.nan
    found = signals(points, rng)
    assert np.isnan(found["jaw"][40:50]).all()
    stacked = np.stack(list(found.values()), axis=1)
    parts = expressions.smooth_signals(stacked, times_s=T)
    assert len(parts) == 2
    assert {part.rate_hz for part in parts} == {expressions.GRID_HZ}
    assert parts[0].values.shape[1] == 20
    assert expressions.smooth_signals(stacked[:3], times_s=T[:3]) == []


def test_noise_is_averaged_over_a_fifth_of_a_second(rng):
    noise = rng.normal(0.0, 1.0, (250, 20))
    (part,) = expressions.smooth_signals(noise, times_s=np.arange(250) / 25.0)
    assert part.values.std() == pytest.approx(1 / np.sqrt(5), rel=0.05)
