"""Distances of embeddings with known geometry; which crops are asked."""

from dataclasses import replace

import numpy as np
import pytest

from features.families import identity
from features.networks import face_embedding


def around(rng, n, spread=0.05):
    return rng.standard_normal(128)[None] * 0.1 + spread * rng.standard_normal((n, 128))


@pytest.fixture
def embedded(monkeypatch):
    """Replace the network: ``embedded(rows)`` makes the n-th asked crop give row n."""

    def give(rows):
        queue = iter(rows)
        monkeypatch.setattr(face_embedding, "embed", lambda crop, points: next(queue))

    return give


def test_one_unchanging_person_has_no_distance(rng, embedded, talking_head):
    embedded(np.ones((9, 128)))
    observation = talking_head(audio=False)
    values = identity.measure(observation, observation.tracks[0])
    for name in ("pair_med", "pair_q90", "medoid_max", "step_q90", "drift", "jump_share", "resid_med"):
        assert values[f"identity.{name}"] == 0.0
    assert np.isnan(values["identity.pose_corr"])
    assert np.isnan(values["identity.tracks_dist_min"])
    assert values["identity.valid_share"] == 1.0


def test_noise_of_known_size_gives_its_distance(rng):
    assert identity.distances(around(rng, 60))["pair_med"] == pytest.approx(0.05 * np.sqrt(256), abs=0.03)


def test_two_blocks_make_one_jump_and_all_the_drift(rng):
    e = np.repeat(rng.standard_normal((2, 128)), [4, 5], axis=0) + 1e-3 * rng.standard_normal((9, 128))
    values = identity.distances(e)
    assert values["jump_share"] == pytest.approx(1 / 8)
    assert values["drift"] == pytest.approx(1.0, abs=0.01)
    assert values["step_over_pair"] < -3


def test_equal_steps_are_no_jumps():
    """Non-regression test: of steps that are equal but for their last digit, one in eight stood out."""
    assert identity.distances(0.1 * np.arange(9.0)[:, None])["jump_share"] == 0.0


def test_order_matters_to_steps_only(rng):
    e = np.cumsum(around(rng, 9), axis=0)
    a, b = identity.distances(e), identity.distances(e[rng.permutation(9)])
    for name in ("pair_med", "pair_q90", "medoid_med", "medoid_q90", "medoid_max"):
        assert a[name] == pytest.approx(b[name])
    assert a["step_med"] < b["step_med"]


def test_pose_explains_a_distance_that_follows_it():
    angle = np.arange(9.0)
    e = np.zeros((9, 128))
    e[:, 0] = angle**2
    pose_deg = np.zeros((9, 3))
    centre = identity.medoid(e)
    pose_deg[:, 1] = e[:, 0] - e[centre, 0]  # the further the head turns, the further the embedding
    values = identity.explained(e, pose_deg=pose_deg, sharpness=np.ones(9))
    assert values["pose_corr"] == pytest.approx(1.0)
    flat = identity.explained(e, pose_deg=np.zeros((9, 3)), sharpness=np.ones(9))
    assert values["resid_med"] < flat["resid_med"]


def test_turned_and_blurred_crops_are_not_asked(rng, talking_head):
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    blurred = track.crop_index[3]
    sharpness = track.sharpness.copy()
    sharpness[blurred] = 0.1
    turned = track.landmarks.copy()
    turned[track.crop_index[5]] = np.nan
    chosen = face_embedding.suitable(replace(track, sharpness=sharpness, landmarks=turned), most=16)
    assert 3 not in chosen
    assert 5 not in chosen
    assert len(face_embedding.suitable(track, most=face_embedding.MAX_CHIPS)) == face_embedding.MAX_CHIPS


def test_too_few_crops_are_nan(rng, embedded, talking_head):
    embedded([])
    observation = talking_head(audio=False)
    track = observation.tracks[0]
    few = replace(track, crop_index=track.crop_index[:7], crops=track.crops[:7], crop_box=track.crop_box[:7])
    values = identity.measure(observation, few)
    assert 0.0 < values.pop("identity.valid_share") <= 1.0
    assert np.isnan(list(values.values())).all()


def test_the_same_face_on_two_people_is_close(rng, embedded, talking_head):
    one, two = talking_head(audio=False), talking_head(audio=False)
    observation = replace(one, tracks=(one.tracks[0], two.tracks[0]))
    embedded(np.concatenate([np.ones((9, 128)), np.full((3, 128), 1.1)]))
    values = identity.measure(observation, observation.tracks[0])
    assert values["identity.tracks_dist_min"] == pytest.approx(0.1 * np.sqrt(128))


def test_faces_seen_one_after_the_other_are_not_compared(rng, embedded, talking_head):
    """They may be one person's, before and after an absence; half a second together is no proof of two."""
    one, two = talking_head(audio=False), talking_head(audio=False)
    first, second = one.tracks[0], two.tracks[0]
    lost = first.landmarks.copy()
    lost[-285:] = np.nan  # seen for the first 0.5 s of 10
    observation = replace(one, tracks=(first, replace(second, landmarks=lost)))
    embedded(np.ones((9, 128)))
    values = identity.measure(observation, first)
    assert np.isfinite(values["identity.pair_med"])
    assert np.isnan(values["identity.tracks_dist_min"])


def test_the_network_sees_a_face_where_the_landmarks_are(talking_head):
    """dlib's own chip and network: equal inputs give equal, finite, different-for-different-images numbers."""
    from features.measures.geometry import crop_landmarks

    track = talking_head(audio=False).tracks[0]
    first, again = (face_embedding.embed(track.crops[0], crop_landmarks(track, 0)) for _ in range(2))
    other = face_embedding.embed(track.crops[1], crop_landmarks(track, 1))
    assert first.shape == (128,)
    assert np.array_equal(first, again)
    assert 0.01 < np.linalg.norm(first - other) < 2.0
