"""The pulse signal: a planted beat is found, light and noise are not taken for one."""

import numpy as np
import pytest

from features.pulse_signal import band_passed, chrom, peak, pos

RATE_HZ = 30.0
SKIN = np.array([180.0, 130.0, 110.0])
BLOOD = np.array([0.33, 0.77, 0.53])  # how a pulse divides among red, green and blue, de Haan & van Leest 2014
METHODS = [pos, chrom]


def _times(seconds=10.0, rate_hz=RATE_HZ):
    return np.arange(round(seconds * rate_hz)) / rate_hz


def _skin(rng, *, beat_hz=1.2, size=0.005, noise=0.0005, light=0.0, seconds=10.0, rate_hz=RATE_HZ):
    times = _times(seconds, rate_hz)
    pulse = size * np.sin(2 * np.pi * beat_hz * times)[:, None] * BLOOD
    moved = 1.0 + light * np.sin(2 * np.pi * 1.9 * times)[:, None]
    return SKIN * moved * (1.0 + pulse + noise * rng.standard_normal((len(times), 3)))


def _peak(method, rgb, rate_hz=RATE_HZ):
    return peak(band_passed(method(rgb, rate_hz=rate_hz), rate_hz=rate_hz), rate_hz=rate_hz)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("beat_hz", [0.9, 1.2, 1.83])
@pytest.mark.parametrize("rate_hz", [24.0, 25.0, 30.0, 60.0])
def test_a_planted_beat_is_found(rng, method, beat_hz, rate_hz):
    found = _peak(method, _skin(rng, beat_hz=beat_hz, rate_hz=rate_hz), rate_hz)
    assert found.frequency_hz == pytest.approx(beat_hz, abs=0.05)
    assert found.snr_db > 6.0


@pytest.mark.parametrize("method", METHODS)
def test_light_that_changes_ten_times_as_much_does_not_hide_it(rng, method):
    rgb = _skin(rng, light=0.05)
    plain = peak(band_passed(rgb[:, 1], rate_hz=RATE_HZ), rate_hz=RATE_HZ)
    assert plain.frequency_hz == pytest.approx(1.9, abs=0.05)  # green alone follows the light
    assert _peak(method, rgb).frequency_hz == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_noise_has_no_beat(rng, method):
    snr_db = [_peak(method, _skin(rng, size=0.0)).snr_db for _ in range(100)]
    assert np.median(snr_db) == pytest.approx(-5.0, abs=1.0)
    assert np.quantile(snr_db, 0.95) < 0.0
    assert _peak(method, _skin(rng)).snr_db > max(snr_db)


@pytest.mark.parametrize("method", METHODS)
def test_light_alone_gives_nothing(rng, method):
    rgb = _skin(rng, size=0.0, noise=0.0, light=0.05)
    assert np.abs(method(rgb, rate_hz=RATE_HZ)).max() < 1e-8
    assert np.isnan(_peak(method, rgb).snr_db)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", [0.9, 1.1, [1.2, 1.0, 0.7]], ids=["darker", "brighter", "white balance"])
def test_the_colour_of_the_light_changes_nothing(rng, method, change):
    rgb = _skin(rng)
    assert method(rgb * change, rate_hz=RATE_HZ) == pytest.approx(method(rgb, rate_hz=RATE_HZ), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_series_read_backwards_is_the_same_read_backwards(rng, method):
    rgb = _skin(rng)
    backwards = method(rgb[::-1], rate_hz=RATE_HZ)[::-1]
    assert backwards == pytest.approx(method(rgb, rate_hz=RATE_HZ), abs=2e-4)  # the filter begins at an end


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rgb", [np.ones((20, 3)), np.zeros((300, 3)), np.full((300, 3), np.nan)])
def test_undefined_is_nan(method, rgb):
    assert np.isnan(method(rgb, rate_hz=RATE_HZ)).all()
    assert np.isnan(peak(method(rgb, rate_hz=RATE_HZ), rate_hz=RATE_HZ).frequency_hz)
