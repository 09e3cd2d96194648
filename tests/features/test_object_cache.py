"""What is computed for objects is computed once, and nothing is kept of those that are gone."""

import gc
import weakref

import pytest

from features import discovery, measuring
from features.object_cache import ObjectCache


class Thing:
    """Something that can be referred to weakly."""


def test_a_value_is_made_once_for_two_objects_and_a_key():
    a, b, c, cache = Thing(), Thing(), Thing(), ObjectCache()
    calls = iter(range(9))
    ask = [(a, b, None), (a, b, None), (a, c, None), (a, b, "x"), (b, a, None), (a, b, None)]
    assert [cache.get(one, other, lambda: next(calls), key) for one, other, key in ask] == [0, 0, 1, 2, 3, 0]


def test_only_the_last_ones_are_kept():
    a, b, c, other, cache = Thing(), Thing(), Thing(), Thing(), ObjectCache(most=2)
    calls = iter(range(9))
    assert [cache.get(one, other, lambda: next(calls)) for one in (a, b, a, c, a, b)] == [0, 1, 0, 2, 0, 3]


def test_what_cannot_be_made_is_made_the_next_time():
    a, b, cache = Thing(), Thing(), ObjectCache()
    with pytest.raises(ZeroDivisionError):
        cache.get(a, b, lambda: 1 / 0)
    assert cache.get(a, b, lambda: 7) == 7


@pytest.mark.parametrize("gone", [0, 1])
def test_a_value_goes_with_either_object(gone):
    objects, cache = [Thing(), Thing()], ObjectCache()
    alive = weakref.ref(cache.get(*objects, Thing))
    del objects[gone]
    gc.collect()
    assert alive() is None


def test_nothing_is_left_of_a_clip_that_was_measured(talking_head):
    """Non-regression test: crops of the faces of the last four clips stayed in memory."""
    observation = talking_head(duration_s=4.0, audio=False)
    values, failures = measuring.measure_clip(observation, discovery.families(["blink", "blending"]))
    assert failures == {}
    assert values["blending.valid_share"] > 0
    alive = [weakref.ref(observation), *(weakref.ref(track) for track in observation.tracks)]
    del observation
    gc.collect()
    assert [one() for one in alive] == [None, None]
