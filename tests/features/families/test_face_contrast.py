"""face_contrast: which crops count, what is missing, and that a held still is measured once."""

import dataclasses

import numpy as np
import pytest

from features import discovery, measuring
from features.families import face_contrast
from features.networks.region_contrast import FaceContrast
from features.networks.weights import use_weights

pytest.importorskip("torch")


def test_small_crops_are_left_out(talking_head):
    track = talking_head(duration_s=2.0).tracks[0]
    tiny = [crop[:10, :10] for crop in track.crops]
    half = len(track.crops) // 2
    some = face_contrast.of_crops([*track.crops[:half], *tiny[half:]])
    assert 0 < some["face_contrast.valid_share"] < 1
    assert np.isfinite(list(some.values())).all()
    none = face_contrast.of_crops(tiny)
    assert none.pop("face_contrast.valid_share") == 0
    assert np.isnan(list(none.values())).all()


def test_values_are_in_their_declared_ranges(talking_head):
    values, failures = measuring.measure_clip(talking_head(duration_s=2.0), discovery.families(["face_contrast"]))
    assert not failures
    for column in face_contrast.COLUMNS:
        low, high = column.range
        assert low <= values[column.name] <= high, column.name
    assert values["face_contrast.valid_share"] == 1


def test_a_clip_is_the_mean_of_its_crops(rng):
    crops = [rng.normal(120, spread, (64, 64, 3)).clip(0, 255).astype(np.uint8) for spread in (2, 4, 60)]
    together, *alone = (face_contrast.of_crops(some) for some in (crops, *([crop] for crop in crops)))
    for name in ("face_contrast.c01_mean", "face_contrast.c32_mean"):
        each = [one[name] for one in alone]
        assert together[name] == pytest.approx(np.mean(each), abs=1e-3)
        assert abs(np.mean(each) - np.median(each)) > 1e-2  # or a median would pass


def test_a_still_that_is_held_is_looked_at_once(talking_head, monkeypatch):
    seen, components = [], FaceContrast.components
    monkeypatch.setattr(
        FaceContrast, "components", lambda self, crops: seen.append(len(crops)) or components(self, crops)
    )
    crop = talking_head(duration_s=2.0).tracks[0].crops[0]
    held = face_contrast.of_crops([crop] * 8)
    assert seen == [1]
    assert held == pytest.approx(face_contrast.of_crops([crop]))


def test_without_weights_nothing_is_measured(talking_head, tmp_path):
    observation = talking_head(duration_s=2.0)
    with use_weights({"face_contrast": tmp_path / "absent.safetensors"}):
        values = face_contrast.measure(observation, observation.tracks[0])
    assert values.pop("face_contrast.valid_share") == 0
    assert np.isnan(list(values.values())).all()


def test_a_lane_shows_where_texture_is_planted(talking_head, rng):
    """Half of the crops get noise in their centre, some are too small."""
    observation = talking_head(duration_s=2.0)
    track = observation.tracks[0]
    side = min(track.crops[0].shape[:2])
    inside = np.zeros((side, side, 1))
    inside[3 * side // 8 : 5 * side // 8, 3 * side // 8 : 5 * side // 8] = 1
    flat = np.full((side, side, 3), 120.0) + rng.normal(0, 2, (side, side, 1))
    forged = flat + inside * rng.normal(0, 12, (side, side, 1))
    crops = [(forged if k % 2 else flat).clip(0, 255).astype(np.uint8) for k in range(len(track.crops))]
    crops[-1] = crops[-1][:10, :10]
    lanes = face_contrast.texture_series(observation, dataclasses.replace(track, crops=tuple(crops)))
    assert lanes.keys() == {"face_contrast.edge", "face_contrast.above"}
    for lane in lanes.values():
        assert np.isnan(lane.values[-1])
        assert lane.values[1:-1:2].min() > lane.values[0:-1:2].max() + 0.1
    assert face_contrast.texture_series(observation, dataclasses.replace(track, crops=())) == {}


def test_a_track_without_crops_has_none(talking_head):
    observation = talking_head(duration_s=2.0)
    track = dataclasses.replace(observation.tracks[0], crops=())
    assert np.isnan(face_contrast.measure(observation, track)["face_contrast.c01_mean"])
