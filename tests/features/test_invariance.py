"""What must not change when the picture is mirrored, moved, scaled or lit, or the sound amplified.

Each column says in ``invariant_to`` what it is proof against; this test takes it by its word.
"""

from dataclasses import replace

import numpy as np
import pytest

from features import spec
from features.geometry import MIRROR
from features.networks import face_embedding
from features.observation import RAGGED

TOLERANCE = {"mirror": 1e-3, "brightness": 1e-3, "translation": 1e-3, "scale": 0.05, "gain": 1e-3, "clock": 1e-6}
NETWORKS = {
    "cnn_embedding",
    "face_contrast",
    "forensic_cnn",
    "forensic_residual",
}  # tested with their weights, in their own module


def flipped(images):
    return tuple(np.ascontiguousarray(image[:, ::-1]) for image in images)


def mirror(observation):
    width = observation.frame_size[0]

    def one(track):
        box, crop_box = track.box.copy(), track.crop_box.copy()
        box[:, [0, 2]] = width - 1 - track.box[:, [2, 0]]
        crop_box[:, 0] = width - track.crop_box[:, 0] - track.crop_box[:, 2]
        points = {
            name: (getattr(track, name)[:, MIRROR] * np.float32([-1, 1]) + np.float32([width - 1, 0]))
            for name in ("landmarks", "flow")
        }
        pictures = {name: flipped(getattr(track, name)) for name in RAGGED}
        return replace(track, box=box, crop_box=crop_box, **points, **pictures)

    return replace(observation, tracks=tuple(one(track) for track in observation.tracks))


def brightness(observation):
    def one(track):
        pictures = {name: tuple(image + np.uint8(10) for image in getattr(track, name)) for name in RAGGED}
        return replace(track, **pictures)

    return replace(observation, tracks=tuple(one(track) for track in observation.tracks))


def moved(observation, scale, shift):
    def one(track):
        shift2 = np.float32(shift)
        return replace(
            track,
            landmarks=track.landmarks * np.float32(scale) + shift2,
            flow=track.flow * np.float32(scale) + shift2,
            box=track.box * np.float32(scale) + np.tile(shift2, 2),
            crop_box=track.crop_box * np.float32(scale) + np.append(shift2, np.float32(0)),
        )

    size = tuple(round(scale * side) for side in observation.frame_size)
    return replace(observation, frame_size=size, tracks=tuple(one(track) for track in observation.tracks))


CHANGES = {
    "mirror": [mirror],
    "brightness": [brightness],
    "translation": [lambda o: moved(o, 1.0, (37.0, -21.0))],
    "scale": [lambda o: moved(o, 0.5, (0.0, 0.0)), lambda o: moved(o, 2.0, (0.0, 0.0))],
    "gain": [
        lambda o: replace(o, audio=o.audio * np.float32(0.5)),
        lambda o: replace(o, audio=o.audio * np.float32(-2.0)),
    ],
    "clock": [lambda o: replace(o, times_s=o.times_s + 7.3, audio_start_s=o.audio_start_s + 7.3)],
}


def test_every_change_that_a_column_may_name_is_made():
    assert set(CHANGES) == spec.EVERY_CHANGE


@pytest.fixture
def stand_in(monkeypatch):
    """In place of the recogniser: numbers that depend on picture and landmarks, and cost nothing."""

    def embed(crop, points):
        grey = np.resize(crop[::7, ::7].astype(float).ravel(), 128)
        return grey / 100.0 + (points.ravel()[:128] - points.mean()) / 1000.0

    monkeypatch.setattr(face_embedding, "embed", embed)


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("family", [f for f in spec.families() if f.name not in NETWORKS], ids=lambda f: f.name)
def test_declared_invariances_hold(stand_in, talking_head, family, change):
    names = [column.name for column in family.columns if change in column.invariant_to]
    if not names:
        pytest.skip(f"{family.name} declares nothing proof against {change}")
    observation = talking_head()
    before = family.measure(observation, observation.tracks[0])
    for apply in CHANGES[change]:
        other = apply(observation)
        after = family.measure(other, other.tracks[0])
        wrong = {
            name: (before[name], after[name])
            for name in names
            if before[name]
            != pytest.approx(after[name], rel=TOLERANCE[change], abs=TOLERANCE[change] / 10, nan_ok=True)
        }
        assert not wrong


@pytest.mark.parametrize("family", [f for f in spec.families() if f.name not in NETWORKS], ids=lambda f: f.name)
def test_values_lie_in_their_declared_range(stand_in, talking_head, family):
    observation = talking_head()
    values = family.measure(observation, observation.tracks[0])
    spans = {column.name: column.range for column in family.columns}
    outside = {n: v for n, v in values.items() if np.isfinite(v) and not spans[n][0] <= v <= spans[n][1]}
    assert not outside
    assert not np.isinf(list(values.values())).any()


@pytest.mark.parametrize("family", [f for f in spec.families() if f.name not in NETWORKS], ids=lambda f: f.name)
@pytest.mark.parametrize("case", ["lost", "one_frame", "no_crops"])
def test_degenerate_tracks_give_nan_not_errors(stand_in, talking_head, family, case):
    observation = talking_head()
    track = observation.tracks[0]
    if case == "lost":
        nothing = np.full_like(track.landmarks, np.nan)
        track = replace(track, landmarks=nothing, flow=nothing)
    if case == "one_frame":
        arrays = ("frame_index", "landmarks", "flow", "box", "detector_score", "sharpness")
        track = replace(track, crop_index=track.crop_index[:0], **{n: getattr(track, n)[:1] for n in arrays})
    if case != "lost":
        track = replace(
            track, crop_index=track.crop_index[:0], crop_box=track.crop_box[:0],
            crops=(), patch_face=(), patch_background=(),
        )  # fmt: skip
    values = family.measure(replace(observation, tracks=(track,)), track)
    assert 0.0 <= values[f"{family.name}.valid_share"] <= 1.0
    assert not np.isinf(list(values.values())).any()
