import numpy as np
import pytest
from scipy.signal import welch

from forge.speech_synthesis import MOUTH_HZ, RATE_HZ, Speaker, speak

WOMAN = Speaker(pitch_hz=200.0, tract=1.0, syllables_hz=4.0)


def spoken(seed=0, speaker=WOMAN, duration_s=4.0):
    return speak(duration_s, speaker, np.random.default_rng(seed))


def test_same_seed_says_the_same_and_another_does_not():
    assert np.array_equal(spoken(1).audio, spoken(1).audio)
    assert not np.array_equal(spoken(1).audio, spoken(2).audio)


def test_lengths_and_ranges():
    speech = spoken(duration_s=3.37)
    assert speech.audio.size == round(3.37 * RATE_HZ)
    assert speech.opening.size == speech.width.size == round(3.37 * MOUTH_HZ)
    assert np.abs(speech.audio).max() < 1.0
    assert 0.0 <= speech.opening.min() < 0.05
    assert speech.opening.max() <= 1.0


def test_mouth_opens_with_the_voice():
    speech = spoken()
    hop = RATE_HZ // MOUTH_HZ
    loud = np.sqrt((speech.audio[: speech.opening.size * hop].reshape(-1, hop) ** 2).mean(1))
    assert np.corrcoef(loud, speech.opening)[0, 1] > 0.6


@pytest.mark.parametrize("pitch_hz", [110.0, 210.0])
def test_pitch_is_the_speakers(pitch_hz):
    audio = spoken(speaker=Speaker(pitch_hz, 1.0, 4.0)).audio.astype(float)
    lags = np.arange(int(RATE_HZ / 320), int(RATE_HZ / 80))
    frames = [audio[i : i + 1024] for i in range(0, audio.size - 1024, 512)]
    loud = [f for f in frames if np.sqrt(np.mean(f**2)) > 0.08]
    found = [RATE_HZ / lags[np.argmax([np.dot(f[:-lag], f[lag:]) for lag in lags])] for f in loud]
    assert np.median(found) == pytest.approx(pitch_hz, rel=0.2)


def test_a_shorter_tract_has_a_brighter_voice():
    def centroid(tract):
        freq, power = welch(spoken(speaker=Speaker(200.0, tract, 4.0)).audio, RATE_HZ, nperseg=1024)
        return float((freq * power).sum() / power.sum())

    assert centroid(0.9) > 1.05 * centroid(1.2)
