"""Bands of speech: known spreads and correlations, and what must not matter: level, silence, colour, polarity."""

import numpy as np
import pytest

from features.measures.speech_bands import LAGS, N_MEL, N_WIDE, STATISTICS, band_statistics, bands
from forge.speech_synthesis import Speaker, speak

RATE = 16_000


@pytest.fixture(scope="module")
def speech():
    rng = np.random.default_rng(4)
    babble = speak(3.0, Speaker.sample(rng), rng).audio
    return (babble + 1e-4 * rng.standard_normal(babble.size)).astype(np.float32)


def named(values, name):
    return np.array([value for key, value in zip(STATISTICS, values, strict=True) if key.endswith(f"_{name}")])


def test_statistics_of_known_levels():
    """Levels of every band go up and down by a tenth of a decade each second frame; in band 0 they stay."""
    n = 200
    level = np.where(np.arange(n) % 2, 0.1, -0.1) * np.ones((64, 1))
    level[:4] = 0
    values = band_statistics(10.0**level, np.ones(n, bool))
    assert len(values) == len(STATISTICS) == N_WIDE * (3 + len(LAGS))
    assert np.isfinite(values).all()
    np.testing.assert_allclose(named(values, "log_std")[1:], np.log(0.1), atol=1e-3)
    np.testing.assert_allclose(named(values, "skewness")[1:], 0, atol=1e-3)
    np.testing.assert_allclose(named(values, "log_kurtosis")[1:], 0, atol=1e-3)
    np.testing.assert_allclose(named(values, "lag1")[1:], -1, atol=1e-3)
    np.testing.assert_allclose(named(values, "lag8")[1:], 1, atol=1e-3)


def test_frames_that_are_no_speech_do_not_count():
    rng = np.random.default_rng(0)
    power = 10.0 ** rng.normal(0, 0.2, (64, 300))
    speech = np.arange(300) < 200
    changed = power.copy()
    changed[:, 200:] *= 10.0 ** rng.normal(0, 0.05, (64, 100))
    changed *= power.mean() / changed.mean()  # the floor is of the whole audio
    one, other = band_statistics(power, speech), band_statistics(changed, speech)
    np.testing.assert_allclose(one, other, atol=0.01)


def test_smooth_noise_is_told_from_rough_noise():
    rng = np.random.default_rng(1)
    rough = rng.normal(0, 0.3, (64, 500))
    smooth = np.apply_along_axis(lambda row: np.convolve(row, np.ones(8) / 8, "same"), 1, rough)
    values = [band_statistics(10.0**level, np.ones(500, bool)) for level in (rough, smooth)]
    assert named(values[0], "lag2").max() < 0.2
    assert named(values[1], "lag2").min() > 0.5
    assert (named(values[1], "log_std") < named(values[0], "log_std")).all()


def test_level_polarity_and_digital_silence_do_not_matter(speech):
    one = bands(speech)
    gap = np.zeros(RATE, np.float32)
    for other in (0.05 * speech, -speech, np.concatenate([gap, speech, gap])):
        found = bands(other)
        np.testing.assert_allclose(found.statistics, one.statistics, atol=2e-3)
        np.testing.assert_allclose(found.mel, one.mel, atol=2e-3)


def test_a_microphones_colour_mostly_leaves_the_spectrogram(speech):
    """A tilt of 12 dB moves levels by 0.3 of a decade on average; without each band's mean, loud cells by a third."""
    size = speech.size
    tilt = 10 ** (np.linspace(-6, 6, size // 2 + 1) / 20)
    coloured = np.fft.irfft(np.fft.rfft(speech) * tilt, size).astype(np.float32)
    one, other = bands(speech).mel, bands(coloured).mel
    assert np.abs((one - other)[one > 0]).mean() < 0.1


def test_a_mel_spectrogram_has_no_mean_over_the_speech(speech):
    mel = bands(speech).mel
    assert mel.shape[0] == N_MEL
    assert mel.dtype == np.float32
    assert mel.shape[1] == pytest.approx(speech.size / 160, abs=2)
    assert np.abs(mel.max(axis=1)).min() > 0


@pytest.mark.parametrize("audio", [np.zeros(2 * RATE), np.ones(1_000), np.zeros(0)])
def test_without_speech_there_are_none(audio):
    assert bands(audio.astype(np.float32)) is None
