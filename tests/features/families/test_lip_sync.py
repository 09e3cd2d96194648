"""Lags of known size and sign, nulls that unrelated series stay inside, closures that coincide."""

from dataclasses import replace

import numpy as np
import pytest
from people import smooth_noise

from features.families import lip_sync

T = 1000  # 10 s at 100 Hz


def delayed(x, samples):
    return np.roll(x, samples)


@pytest.mark.parametrize("lag_s", [-0.2, 0.0, 0.1, 0.35])
def test_lag_is_recovered_with_its_sign(rng, lag_s):
    lips = smooth_noise(rng, T + 200, 100.0, 0.1)
    shift = round(lag_s * 100)
    voice = lips[100 - shift : 100 - shift + T]  # voice(t + lag) = lips(t)
    values = lip_sync.pair_columns(lips[100 : 100 + T], 40.0 + 3.0 * voice)
    assert values["lag_s"] == pytest.approx(lag_s, abs=0.005)
    assert values["lag_abs_s"] == pytest.approx(abs(lag_s), abs=0.005)
    assert values["peak"] == pytest.approx(1.0, abs=1e-6)
    assert values["z"] > 3.0


def test_correlation_agrees_with_numpy_on_the_overlap(rng):
    lips, voice = rng.standard_normal((2, 400))
    lips[120:180] = np.nan
    r = lip_sync.lag_correlation(lips, voice[None], 30)[0]
    for lag in (-30, -7, 0, 19):
        x, y = lips[max(0, -lag) : 400 - max(0, lag)], voice[max(0, lag) : 400 - max(0, -lag)]
        ok = np.isfinite(x)
        assert r[30 + lag] == pytest.approx(np.corrcoef(x[ok], y[ok])[0, 1])


def test_unrelated_series_stay_inside_their_null(rng):
    z = [lip_sync.pair_columns(*(smooth_noise(rng, T, 100.0, 0.08) for _ in range(2)))["z"] for _ in range(12)]
    assert np.abs(z).max() < 4.0
    assert np.median(np.abs(z)) < 1.5


@pytest.mark.parametrize("still", [np.full(T, np.nan), np.ones(T)], ids=["no_face", "still"])
def test_no_movement_has_no_lag(rng, still):
    assert np.isnan(list(lip_sync.pair_columns(still, rng.standard_normal(T)).values())).all()


def test_short_clips_have_a_peak_but_no_null(rng):
    lips = smooth_noise(rng, 350, 100.0, 0.1)
    values = lip_sync.pair_columns(lips, lips)
    assert values["peak"] == pytest.approx(1.0)
    assert np.isnan(values["z"])


def test_windowed_distance_of_a_series_to_itself_and_to_another(rng):
    lips, other = (smooth_noise(rng, T, 100.0, 0.03) for _ in range(2))
    distance, confidence, offset = lip_sync.lse(lips, lips)
    assert (distance, offset) == (pytest.approx(0.0, abs=1e-6), 0.0)
    assert confidence == pytest.approx(1.25, abs=0.15)
    distance, confidence, _ = lip_sync.lse(lips, other)
    assert distance == pytest.approx(1.25, abs=0.1)
    assert confidence < 0.2


def test_windowed_offset_has_the_sign_of_the_lag(rng):
    lips = smooth_noise(rng, T, 100.0, 0.05)
    assert lip_sync.lse(lips, delayed(lips, 12))[2] == pytest.approx(0.12)


def test_canonical_correlation_of_equal_parts_is_one(rng):
    x = rng.standard_normal((500, 3))
    y = np.column_stack([x[:, 1], rng.standard_normal((500, 2))])
    sxx, syy, sxy = x.T @ x / 500, y.T @ y / 500, x.T @ y / 500
    assert lip_sync.canonical(sxx, syy, sxy) == pytest.approx(1.0, abs=0.01)


def test_canonical_z_is_inside_the_null_for_strangers_and_out_for_company(rng):
    def draw(share):
        voice = np.stack([smooth_noise(rng, T, 100.0, 0.08) for _ in range(13)], axis=1)
        mouth = np.stack([smooth_noise(rng, T, 100.0, 0.08) for _ in range(4)], axis=1)
        mouth[:, 0] += share * voice[:, 0]
        return lip_sync.cca(mouth, voice)

    strangers = [draw(0.0) for _ in range(12)]
    assert np.abs([z for z, _ in strangers]).max() < 3.5
    assert np.median([p for _, p in strangers]) == pytest.approx(0.5, abs=0.35)
    company = [draw(1.0) for _ in range(6)]
    assert np.median([z for z, _ in company]) > 2.0
    assert all(0.0 < p <= 1.0 for _, p in company)


def test_windows_agree_on_a_steady_lag_only(rng):
    lips, speech = smooth_noise(rng, T, 100.0, 0.06), np.ones(T, bool)
    spread, share = lip_sync.window_lags(lips, delayed(lips, 8), speech)
    assert (spread, share) == (pytest.approx(0.0), 1.0)
    _, stranger = lip_sync.window_lags(lips, smooth_noise(rng, T, 100.0, 0.06), speech)
    assert stranger < 0.7
    assert np.isnan(lip_sync.window_lags(lips, lips, ~speech)).all()


def test_a_dip_of_the_voice_is_found_between_words(rng):
    level = np.zeros(600)
    level[200:209] = -30.0  # 90 ms
    level[400:440] = -30.0  # a pause, too long
    assert lip_sync.dips(level, np.ones(600, bool)).tolist() == [204]


def test_lips_that_shut_at_the_dips_score_above_the_null(rng):
    places = np.cumsum(rng.integers(40, 110, 12))  # at no regular distance
    lips = np.full(T, 0.3)
    for place in places:
        lips[place - 2 : place + 3] = 0.0
    assert lip_sync.closure_z(lips, places) > 2.0
    assert lip_sync.closure_z(np.roll(lips, 20), places) < 2.0
    assert np.isnan(lip_sync.closure_z(lips, places[:4]))


def test_a_speaking_person_is_in_sync(talking_head):
    observation = talking_head()
    values = lip_sync.measure(observation, observation.tracks[0])
    assert values["lip_sync.open_rms_lag_s"] == pytest.approx(0.0, abs=0.02)
    assert values["lip_sync.cca1_z"] > 2.0
    assert values["lip_sync.valid_share"] == pytest.approx(1.0, abs=0.01)


def test_late_sound_is_late(talking_head):
    observation = talking_head()
    late = replace(observation, audio_start_s=0.18)
    values = lip_sync.measure(late, late.tracks[0])
    assert values["lip_sync.open_rms_lag_s"] == pytest.approx(0.18, abs=0.02)
    assert values["lip_sync.ls_offset_s"] == pytest.approx(0.18, abs=0.03)


@pytest.mark.parametrize("case", ["none", "silence", "late", "mute_lips"])
def test_without_voice_or_lips_the_family_is_nan(rng, talking_head, case):
    observation = talking_head(sound=case != "none")
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
    assert share == 0.0 if case != "mute_lips" else share > 0.9
    assert np.isnan([v for k, v in values.items() if k.endswith(("_z", "_lag_s", "lsd", "closed_share"))]).all()
