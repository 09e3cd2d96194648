"""Tracks of an edited clip: another person's shot goes before the third of the same one."""

import numpy as np
import pytest

from extract.clip import track_choice
from extract.clip.track_choice import MAX_COMPARED, one_per_person


class Named:
    """A track of a person (None: no crop that can be used); its embedding lies at a distance of 1 from others'."""

    def __init__(self, person):
        self.person = person


@pytest.fixture
def asked(monkeypatch):
    seen = []

    def embeddings(track, numbers):
        seen.append(track)
        if track.person is None:
            return np.empty((0, 128))
        rng = np.random.default_rng(ord(track.person))
        centre = rng.standard_normal(128)
        noise = np.random.default_rng(id(track)).standard_normal(128)
        return (centre / np.linalg.norm(centre) + 0.1 * noise / np.linalg.norm(noise))[None]

    monkeypatch.setattr(track_choice, "embeddings", embeddings)
    monkeypatch.setattr(track_choice, "suitable", lambda track, *, most: np.arange(most))
    return seen


def chosen(people, most=3):
    tracks = [Named(person) for person in people]
    return [tracks.index(track) for track in one_per_person(tracks, most)]


@pytest.mark.parametrize(
    ("people", "kept"),
    [
        ("bbbab", [0, 1, 3]),
        ("bbbb", [0, 1, 2]),
        ("abcd", [0, 1, 2]),
        ("aaabbcc", [0, 3, 5]),
        (["a", None, "a", "b"], [0, 1, 3]),
        ([None, "a", "a", "b"], [0, 1, 3]),
        ([None, None, None, None], [0, 1, 2]),
    ],
)
def test_of_every_person_one_before_a_second_of_anybody(asked, people, kept):
    assert chosen(people) == kept


def test_nothing_is_computed_where_all_are_kept(asked):
    assert chosen("aab") == [0, 1, 2]
    assert asked == []


def test_people_are_sought_in_some_tracks_alone(asked):
    assert chosen("a" * (MAX_COMPARED + 5) + "b") == [0, 1, 2]
    assert len(asked) == MAX_COMPARED
