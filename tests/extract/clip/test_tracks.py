"""Which of many faces are followed: three at a time, and a much larger one that comes late in place of the smallest."""

import pytest

from extract.clip.faces import Face
from extract.clip.tracks import Tracker

SMALL = [Face((0, top, 100, top + 100), 0.9) for top in (0, 150, 300)]


def square(left, top, side):
    return Face((left, top, left + side, top + side), 0.9)


def sides(tracker):
    return sorted(builder.side for builder in tracker.open)


def test_a_large_face_that_comes_fourth_is_followed_in_place_of_the_smallest():
    """Non-regression: three small faces held the places to the end of the clip."""
    tracker, large = Tracker(300), square(300, 0, 500)
    tracker.detections(SMALL)
    first = list(tracker.open)
    for _ in range(5):
        tracker.detections([large, *SMALL])
    assert sides(tracker) == [100, 100, 500]
    (closed,) = tracker.closed  # once, and a candidate still
    assert closed in first


@pytest.mark.parametrize("side", [100, 150])
def test_a_fourth_face_of_about_the_size_of_the_others_waits(side):
    tracker = Tracker(300)
    tracker.detections(SMALL)
    tracker.detections([square(300, 0, side), *SMALL])
    assert sides(tracker) == [100, 100, 100]
    assert not tracker.closed


def test_one_of_three_faces_that_jumps_and_grows_costs_no_other_its_track():
    tracker, jumped = Tracker(300), square(300, 0, 200)
    tracker.detections(SMALL)
    others = tracker.open[:2]
    tracker.detections([jumped, *SMALL[:2]])
    assert sides(tracker) == [100, 100, 100]
    tracker.detections([jumped, *SMALL[:2]])
    assert sides(tracker) == [100, 100, 200]
    assert all(builder in tracker.open for builder in others)


def test_of_several_large_faces_the_largest_come_first():
    tracker = Tracker(300)
    tracker.detections(SMALL)
    tracker.detections([*SMALL, square(300, 0, 180), square(600, 0, 400), square(300, 300, 300)])
    assert sides(tracker) == [180, 300, 400]
