"""Repeated frames of a face track."""

import numpy as np

from features.measures import freeze_frames


def test_repeated_frames_are_left_out(make_track, make_observation, rng):
    track = make_track(rng.uniform(100, 200, (40, 68, 2)), crops=0)
    duplicate = np.arange(40) % 5 == 4
    index = freeze_frames.distinct(make_observation(track, duplicate=duplicate), track)
    assert np.array_equal(index, np.flatnonzero(~duplicate))
