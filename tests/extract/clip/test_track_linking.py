"""Pieces of tracks joined into people."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from extract.clip.track_linking import linked
from features.networks.dlib_models import EMBEDDING_DIMENSIONS
from features.observation import Track

K = 2  # crops a piece


def piece(start, n, person, left):
    """A face of ``person`` at ``left`` in n frames; its embedding says who it is."""
    embedding = np.zeros((K, EMBEDDING_DIMENSIONS), np.float32)
    embedding[:, person] = 1.0
    grey = tuple(np.zeros((8, 8), np.uint8) for _ in range(K))
    return Track(
        frame_index=np.arange(start, start + n, dtype=np.int32),
        landmarks=np.zeros((n, 68, 2), np.float32),
        flow=np.zeros((n, 68, 2), np.float32),
        box=np.tile(np.float32([left, 10, left + 50, 60]), (n, 1)),
        detector_score=np.ones(n, np.float32),
        sharpness=np.zeros((n, 3), np.float32),
        crop_index=np.array([0, n // 2], np.int32),
        crop_box=np.zeros((K, 3), np.float32),
        crops=tuple(np.zeros((8, 8, 3), np.uint8) for _ in range(K)),
        patch_face=grey,
        patch_background=grey,
        embedding=embedding,
    )


@pytest.mark.parametrize("seed", range(20))
def test_in_a_clip_of_many_shots_nobody_becomes_another(seed):
    """Sixteen shots of one or two people who change places: tracks that were joined go, and their ids with them."""
    rng = np.random.default_rng(seed)
    pieces, cuts, at = [], [], 0
    for _ in range(16):
        n = int(rng.integers(8, 16))
        cuts.append(at)
        pieces += [piece(at, n, person, 200 * rng.integers(6)) for person in rng.permutation(2)[: rng.integers(1, 3)]]
        at += n
    people = [set(track.embedding.argmax(1).tolist()) for track in linked(pieces, np.arange(at) / 25, cuts)]
    assert all(len(one) == 1 for one in people)
    assert {person for one in people for person in one} == {0, 1}


def test_memory_grows_no_faster_than_the_pieces():
    """Non-regression test: each intermediate track was kept, gigabytes of a clip with a black frame in three."""
    pieces = [piece(12 * n, 10, 0, 0) for n in range(150)]
    size = sum(getattr(one, field).nbytes for one in pieces for field in ("landmarks", "flow", "box"))
    tracemalloc.start()
    try:
        (track,) = linked(pieces, np.arange(12 * 150) / 25, [12 * n for n in range(150)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(track) == 12 * 150 - 2
    assert peak < 5 * size


def test_a_gap_of_more_than_a_second_is_not_bridged():
    pieces = [piece(0, 10, 0, 0), piece(20, 10, 0, 0), piece(60, 10, 0, 0)]
    tracks = linked(pieces, np.arange(70) / 25, [])
    assert [len(track) for track in tracks] == [30, 10]
    assert np.isnan(tracks[0].landmarks[10:20]).all()


def with_crops(track, at):
    """The piece with crops at these of its samples."""
    one = {name: getattr(track, name)[:1] for name in ("crops", "patch_face", "patch_background")}
    return replace(
        track,
        crop_index=np.array(at, np.int32),
        crop_box=np.zeros((len(at), 3), np.float32),
        embedding=np.repeat(track.embedding[:1], len(at), axis=0),
        **{name: value * len(at) for name, value in one.items()},
    )


def test_crops_of_joined_pieces_are_evenly_spread():
    """The second piece is short and has its crops at half the steps of the first."""
    first = with_crops(piece(0, 240, person=0, left=10), range(0, 240, 15))
    second = with_crops(piece(240, 60, person=0, left=10), range(0, 60, 8))
    (track,) = linked([first, second], np.arange(300) / 30, [])
    assert len(track.crops) == len(track.crop_index) == len(track.embedding) == 16
    assert np.sum(track.crop_index >= 240) in (3, 4)
    assert (np.diff(track.crop_index) >= 15).all()


def test_a_piece_that_lost_crops_costs_the_other_none():
    first = with_crops(piece(0, 150, person=0, left=10), range(0, 150, 15))
    second = with_crops(piece(150, 60, person=0, left=10), [0, 45])
    (track,) = linked([first, second], np.arange(210) / 30, [])
    assert len(track.crops) == 12
