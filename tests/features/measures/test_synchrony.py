"""Lags of known size and sign, nulls that unrelated series stay inside."""

import numpy as np
import pytest
from people import smooth_noise
from scipy import signal

from features.measures import synchrony

T = 1000  # 10 s at 100 Hz


@pytest.mark.parametrize("lag_s", [-0.2, 0.0, 0.1, 0.35])
def test_lag_is_recovered_with_its_sign(rng, lag_s):
    lips = smooth_noise(rng, T + 200, 100.0, 0.1)
    shift = round(lag_s * 100)
    voice = lips[100 - shift : 100 - shift + T]  # voice(t + lag) = lips(t)
    values = synchrony.pair_columns(mouth=lips[100 : 100 + T], voice=40.0 + 3.0 * voice)
    assert values["lag_s"] == pytest.approx(lag_s, abs=0.005)
    assert values["lag_abs_s"] == pytest.approx(abs(lag_s), abs=0.005)
    assert values["peak"] == pytest.approx(1.0, abs=1e-6)
    assert values["z"] > 3.0


def test_correlation_agrees_with_numpy_on_the_overlap(rng):
    lips, voice = rng.standard_normal((2, 400))
    lips[120:180] = np.nan
    r = synchrony.lag_correlation(mouth=lips, voice=voice[None], max_lag=30)[0]
    for lag in (-30, -7, 0, 19):
        x, y = lips[max(0, -lag) : 400 - max(0, lag)], voice[max(0, lag) : 400 - max(0, -lag)]
        ok = np.isfinite(x)
        assert r[30 + lag] == pytest.approx(np.corrcoef(x[ok], y[ok])[0, 1])


def test_unrelated_series_stay_inside_their_null(rng):
    pairs = [[smooth_noise(rng, T, 100.0, 0.08) for _ in range(2)] for _ in range(12)]
    z = [synchrony.pair_columns(mouth=lips, voice=voice)["z"] for lips, voice in pairs]
    assert np.abs(z).max() < 4.0
    assert np.median(np.abs(z)) < 1.5


@pytest.mark.parametrize("still", [np.full(T, np.nan), np.ones(T)], ids=["no_face", "still"])
def test_no_movement_has_no_lag(rng, still):
    assert np.isnan(list(synchrony.pair_columns(mouth=still, voice=rng.standard_normal(T)).values())).all()


def unrelated(rng, seconds):
    """A mouth of four series and a voice of thirteen, each first-order autoregressive with a memory of 0.2 s."""
    n, keep = round(seconds * 100), np.exp(-1 / 20)
    series = signal.lfilter([1.0], [1.0, -keep], rng.standard_normal((n + 200, 17)), axis=0)[200:]
    return series[:, :4], series[:, 4:]


@pytest.mark.parametrize("seconds", [3.5, 4.5, 6.0, 7.8])
def test_short_clips_have_a_peak_but_no_null(rng, seconds):
    mouth, voice = unrelated(rng, seconds)
    values = synchrony.pair_columns(mouth=mouth[:, 0], voice=mouth[:, 0])
    assert values["peak"] == pytest.approx(1.0)
    assert np.isnan(values["z"])
    assert np.isnan(synchrony.cca(mouth=mouth, voice=voice)).all()


@pytest.mark.parametrize("seconds", [8.0, 10.0])
def test_unrelated_series_of_some_length_have_a_sane_null(rng, seconds):
    z = np.array(
        [
            synchrony.pair_columns(mouth=mouth[:, 0], voice=voice[:, 0])["z"]
            for mouth, voice in (unrelated(rng, seconds) for _ in range(60))
        ]
    )
    assert abs(np.median(z)) < 0.6
    assert np.mean(np.abs(z) > 2.5) < 0.2


def test_windowed_distance_of_a_series_to_itself_and_to_another(rng):
    lips, other = (smooth_noise(rng, T, 100.0, 0.03) for _ in range(2))
    distance, confidence, offset = synchrony.lse(mouth=lips, voice=lips)
    assert (distance, offset) == (pytest.approx(0.0, abs=1e-6), 0.0)
    assert confidence == pytest.approx(1.25, abs=0.15)
    distance, confidence, _ = synchrony.lse(mouth=lips, voice=other)
    assert distance == pytest.approx(1.25, abs=0.1)
    assert confidence < 0.2


def test_windowed_offset_has_the_sign_of_the_lag(rng):
    lips = smooth_noise(rng, T, 100.0, 0.05)
    assert synchrony.lse(mouth=lips, voice=np.roll(lips, 12))[2] == pytest.approx(0.12)


def test_canonical_correlation_of_equal_parts_is_one(rng):
    x = rng.standard_normal((500, 3))
    y = np.column_stack([x[:, 1], rng.standard_normal((500, 2))])
    sxx, syy, sxy = x.T @ x / 500, y.T @ y / 500, x.T @ y / 500
    assert synchrony.canonical(sxx=sxx, syy=syy, sxy=sxy) == pytest.approx(1.0, abs=0.01)


def test_canonical_z_is_inside_the_null_for_strangers_and_out_for_company(rng):
    def draw(weight):
        voice = np.stack([smooth_noise(rng, T, 100.0, 0.08) for _ in range(13)], axis=1)
        mouth = np.stack([smooth_noise(rng, T, 100.0, 0.08) for _ in range(4)], axis=1)
        mouth[:, 0] += weight * voice[:, 0]
        return synchrony.cca(mouth=mouth, voice=voice)

    strangers = [draw(0.0) for _ in range(12)]
    assert np.abs([z for z, _ in strangers]).max() < 3.5
    assert np.median([p for _, p in strangers]) == pytest.approx(0.5, abs=0.35)
    company = [draw(1.0) for _ in range(6)]
    assert np.median([z for z, _ in company]) > 2.0
    assert all(0.0 < p <= 1.0 for _, p in company)


def test_windows_agree_on_a_steady_lag_only(rng):
    lips, speech = smooth_noise(rng, T, 100.0, 0.06), np.ones(T, bool)
    middles_s, lags_s, peaks = synchrony.window_lags(mouth=lips, voice=np.roll(lips, 8), speech=speech)
    assert middles_s[:3].tolist() == [1.5, 2.0, 2.5]
    assert lags_s == pytest.approx(0.08)
    assert synchrony.lag_agreement(lags_s=lags_s, peaks=peaks) == (pytest.approx(0.0), 1.0)
    other = smooth_noise(rng, T, 100.0, 0.06)
    _, lags_s, peaks = synchrony.window_lags(mouth=lips, voice=other, speech=speech)
    assert synchrony.lag_agreement(lags_s=lags_s, peaks=peaks)[1] < 0.7
    _, lags_s, peaks = synchrony.window_lags(mouth=lips, voice=lips, speech=~speech)
    assert lags_s.size == 0
    assert np.isnan(synchrony.lag_agreement(lags_s=lags_s, peaks=peaks)).all()


def test_a_lag_that_changes_on_the_way_shows_where_it_does(rng):
    lips, speech = smooth_noise(rng, T, 100.0, 0.06), np.ones(T, bool)
    voice = np.concatenate([lips[: T // 2], np.roll(lips, 30)[T // 2 :]])
    middles_s, lags_s, _ = synchrony.window_lags(mouth=lips, voice=voice, speech=speech)
    half_s = T / 2 / 100.0
    assert lags_s[middles_s < half_s - 1.5] == pytest.approx(0.0)
    assert lags_s[middles_s > half_s + 1.5] == pytest.approx(0.3)


def test_a_window_over_a_gap_of_the_mouth_is_left_out(rng):
    lips, speech = smooth_noise(rng, T, 100.0, 0.06), np.ones(T, bool)
    whole, _, _ = synchrony.window_lags(mouth=lips, voice=lips, speech=speech)
    holed = lips.copy()
    holed[400] = np.nan
    middles_s, _, _ = synchrony.window_lags(mouth=holed, voice=lips, speech=speech)
    assert set(whole) - set(middles_s) == {t for t in whole if t - 1.0 <= 4.0 < t + 1.0}


def mouth_and_voice(rng, lag_s):
    """Four series of a mouth and thirteen of a voice that share one course, the voice ``lag_s`` late; noise in each."""
    shift = round(lag_s * 100)
    course = smooth_noise(rng, T + 200, 100.0, 0.06)
    heard = course[100 - shift : 100 - shift + T]  # voice(t + lag) = mouth(t)
    own = np.stack([smooth_noise(rng, T, 100.0, 0.06) for _ in range(17)], axis=1)
    mouth = own[:, :4] + np.outer(course[100 : 100 + T], [1.0, 0.5, 0.0, 1.0])
    return mouth, own[:, 4:] + np.outer(heard, np.linspace(-1.0, 1.0, 13))


@pytest.mark.parametrize("lag_s", [-0.3, -0.16, 0.0, 0.1, 0.16, 0.35])
def test_the_lag_of_the_canonical_correlation_has_its_sign(rng, lag_s):
    mouth, voice = mouth_and_voice(rng, lag_s)
    mouth[300:340] = np.nan
    found, in_sync = synchrony.cca_lag(mouth=mouth, voice=5.0 - 3.0 * voice)
    assert found == pytest.approx(lag_s, abs=0.02)
    assert (in_sync > 0) == (-0.09 <= lag_s <= 0.185)


def test_no_delay_of_unrelated_series_stands_out(rng):
    mouth, voice = mouth_and_voice(rng, 0.0)
    _, together = synchrony.cca_lag(mouth=mouth, voice=voice)
    _, apart = synchrony.cca_lag(mouth=mouth, voice=mouth_and_voice(rng, 0.0)[1])
    assert together > 0.1 > abs(apart)


def test_without_three_seconds_less_a_frame_of_a_moving_mouth_there_is_no_lag(rng):
    mouth, voice = mouth_and_voice(rng, 0.0)
    assert np.isfinite(synchrony.cca_lag(mouth=mouth[:290], voice=voice[:290])).all()
    assert np.isnan(synchrony.cca_lag(mouth=mouth[:289], voice=voice[:289])).all()
    assert np.isnan(synchrony.cca_lag(mouth=np.ones((T, 4)), voice=voice)).all()


def test_the_sharpness_of_a_peak_in_white_noise(rng):
    lips = rng.standard_normal(1000)  # r elsewhere has a deviation of 1 / sqrt(1000)
    assert synchrony.pair_columns(mouth=lips, voice=lips)["sharp"] == pytest.approx(np.sqrt(1000), rel=0.25)


def test_company_is_the_first_of_its_null_also_when_late(rng):
    voice = np.stack([smooth_noise(rng, 1000, 100.0, 0.05) for _ in range(13)], axis=1)
    mouth = voice[:, :4] + 0.3 * rng.standard_normal((1000, 4))
    for late in (0, 16):
        z, p = synchrony.cca(mouth=mouth, voice=np.roll(voice, late, axis=0))
        assert z > 5
        assert p == pytest.approx(1 / 51)


def test_lags_agree_that_are_near_the_median_and_clear():
    lags_s, peaks = np.array([0.1, 0.2, 0.3, 0.4, 0.9]), np.array([0.9, 0.9, 0.9, 0.1, 0.9])
    assert synchrony.lag_agreement(lags_s=lags_s, peaks=peaks) == pytest.approx((1.4826 * 0.1, 0.4))
