"""Lips that shut, rest and move at known moments; whole people in and out of sync."""

from dataclasses import replace

import numpy as np
import pytest
from people import pose_points

from features.families import lip_sync
from features.measures import mouth_closures
from features.measures.geometry import head

T = 1000  # 10 s at 100 Hz


def test_the_mouth_is_measured_in_inter_ocular_distances_and_not_from_the_side(make_track, make_observation):
    n = 60
    still, opened = np.zeros(n), np.linspace(0.1, 0.3, n)
    yaw = np.where(np.arange(n) < 50, 0.0, 45.0)
    points = pose_points(np.arange(n) / 30.0, pose_deg=(still, yaw, still), closed=still, mouth_open=opened)
    track = make_track(points, crops=0)
    values = lip_sync.mouth_series(head(make_observation(track), track))
    assert values[:50, 0] == pytest.approx(opened[:50], abs=0.002)
    assert np.ptp(values[:50, 1]) == pytest.approx(0.0, abs=1e-3)  # it grows no wider
    assert np.isnan(values[50:]).all()


def test_the_mouth_on_the_voices_grid_has_its_speed_and_its_gaps():
    times = np.arange(90) / 30.0
    values = np.stack([0.1 * times, 0.0 * times, 0.0 * times], axis=1)
    values[40:60] = np.nan
    mouth = lip_sync.on_grid(values, times_s=times, grid_s=np.arange(290) / 100.0)
    assert mouth["open"][:100] == pytest.approx(0.1 * np.arange(100) / 100.0, abs=1e-6)
    assert mouth["vel"][:100] == pytest.approx(0.1)
    assert all(np.isnan(series[140:195]).all() for series in mouth.values())


def test_a_slow_mouth_has_no_velocity():
    times = np.arange(30) / 10.0
    values = np.stack([0.1 * times, 0.0 * times, 0.0 * times], axis=1)
    mouth = lip_sync.on_grid(values, times_s=times, grid_s=np.arange(290) / 100.0)
    assert np.isfinite(mouth["open"]).all()
    assert np.isnan(mouth["vel"]).all()


def test_lips_shut_in_speech_and_moving_in_silence_are_counted():
    speech = np.arange(T) < 600
    opened = np.where(np.arange(T) < 150, 0.0, 0.3)
    assert lip_sync.voiced_closed_share(opened, speech=speech) == pytest.approx(0.25)
    speed = np.where(np.arange(T) >= 900, 1.0, 0.0)
    level = np.zeros(T)
    assert lip_sync.silent_moving_share(speed, speech=speech, level_db=level) == pytest.approx(0.25)
    assert np.isnan(lip_sync.voiced_closed_share(opened, speech=np.zeros(T, bool)))
    assert np.isnan(lip_sync.silent_moving_share(speed, speech=np.arange(T) >= 29, level_db=level))
    level[600:800] = np.nan  # muted
    assert lip_sync.silent_moving_share(speed, speech=speech, level_db=level) == pytest.approx(0.5)


def test_a_dip_of_the_voice_is_found_between_words(rng):
    level = np.zeros(600)
    level[200:209] = -30.0  # 90 ms
    level[400:440] = -30.0  # a pause, too long
    assert mouth_closures.dips(level, speech=np.ones(600, bool)).tolist() == [204]


@pytest.mark.parametrize("spoken", [slice(0, 200), slice(209, 600)], ids=["before", "after"])
def test_a_dip_at_the_edge_of_speech_is_none(spoken):
    level = np.zeros(600)
    level[200:209] = -30.0
    speech = np.zeros(600, bool)
    speech[spoken] = True
    assert mouth_closures.dips(level, speech=speech).tolist() == []


def test_lips_that_shut_at_the_dips_score_above_the_null(rng):
    places = np.cumsum(rng.integers(40, 110, 12))  # at no regular distance
    lips = np.full(T, 0.3)
    for place in places:
        lips[place - 2 : place + 3] = 0.0
    assert mouth_closures.closure_z(lips, places=places) > 2.0
    assert mouth_closures.closure_z(np.roll(lips, 20), places=places) < 2.0
    assert np.isnan(mouth_closures.closure_z(lips, places=places[:4]))


@pytest.mark.parametrize("late", [-15, 0, 12])
def test_the_lips_shut_as_late_as_they_do(rng, late):
    places = np.cumsum(rng.integers(90, 140, 8))
    lips = 0.3 + 0.02 * rng.standard_normal(T + 200)
    for place in places:
        lips[place + late - 3 : place + late + 4] = 0.15 + 0.01 * np.abs(np.arange(-3, 4))
    assert mouth_closures.closure_lag_abs_s(lips, places=places) == pytest.approx(abs(late) / 100.0, abs=0.02)
    assert np.isnan(mouth_closures.closure_lag_abs_s(lips, places=places[:4]))
    lips[places[3:] + 30] = np.nan
    assert np.isnan(mouth_closures.closure_lag_abs_s(lips, places=places))


def test_a_speaking_person_is_in_sync(talking_head):
    observation = talking_head()
    values = lip_sync.measure(observation, observation.tracks[0])
    assert values["lip_sync.open_rms_lag_s"] == pytest.approx(0.0, abs=0.02)
    assert values["lip_sync.cca1_z"] > 2.0
    assert values["lip_sync.cca_in_sync"] > 0.0
    assert values["lip_sync.cca_lag_abs_s"] < 0.05
    assert values["lip_sync.valid_share"] == pytest.approx(1.0, abs=0.01)


def test_late_audio_is_late(talking_head):
    observation = talking_head()
    late = replace(observation, audio_start_s=0.18)
    later = replace(observation, audio_start_s=0.3)
    values = lip_sync.measure(late, late.tracks[0])
    assert values["lip_sync.open_rms_lag_s"] == pytest.approx(0.18, abs=0.02)
    assert values["lip_sync.ls_offset_s"] == pytest.approx(0.18, abs=0.03)
    out_of_sync = lip_sync.measure(later, later.tracks[0])
    assert out_of_sync["lip_sync.cca_lag_s"] == pytest.approx(0.3, abs=0.03)
    assert out_of_sync["lip_sync.cca_in_sync"] < 0.0


def test_early_audio_has_a_delay_below_0_and_a_size(talking_head):
    early = replace(talking_head(), audio_start_s=-0.2)
    values = lip_sync.measure(early, early.tracks[0])
    assert values["lip_sync.cca_lag_s"] == pytest.approx(-0.2, abs=0.03)
    assert values["lip_sync.cca_lag_abs_s"] == -values["lip_sync.cca_lag_s"]


@pytest.mark.parametrize(("face_s", "audio_s", "share"), [(2.0, 2.0, 1.0), (10.0, 2.5, 0.25)])
def test_too_little_of_both_is_still_counted(talking_head, face_s, audio_s, share):
    """Non-regression test: below 3 s of both the valid_share was 0."""
    observation = talking_head(duration_s=face_s)
    observation = replace(observation, audio=observation.audio[: round(16_000 * audio_s)])
    values = lip_sync.measure(observation, observation.tracks[0])
    assert values["lip_sync.valid_share"] == pytest.approx(share, abs=0.01)
    assert np.isnan([value for name, value in values.items() if not name.endswith("valid_share")]).all()


@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_three_seconds_less_a_frame_are_enough(talking_head, fps):
    observation = talking_head(duration_s=3.0, fps=fps)
    values = lip_sync.measure(observation, observation.tracks[0])
    assert np.isfinite([values["lip_sync.mouth_range_iod"], values["lip_sync.cca_lag_s"]]).all()


@pytest.mark.parametrize("case", ["none", "silence", "late", "mute_lips"])
def test_without_voice_or_lips_the_family_is_nan(rng, talking_head, case):
    observation = talking_head(audio=case != "none")
    if case == "silence":
        observation = replace(observation, audio=np.zeros(160_000, np.float32))
    if case == "late":
        observation = replace(observation, audio_start_s=8.0)
    if case == "mute_lips":
        track = observation.tracks[0]
        still = replace(track, landmarks=np.repeat(track.landmarks[:1], len(track), axis=0))
        observation = replace(observation, tracks=(still,))
    values = lip_sync.measure(observation, observation.tracks[0])
    share = values["lip_sync.valid_share"]
    assert share == pytest.approx({"none": 0.0, "silence": 0.0, "late": 0.2, "mute_lips": 1.0}[case], abs=0.01)
    assert np.isnan([v for k, v in values.items() if k.endswith(("_z", "_lag_s", "lsd", "closed_share"))]).all()
