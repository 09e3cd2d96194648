"""The encoder of speech: its spectrogram's known answers, what its statistics ignore, and weights of other shapes."""

import numpy as np
import pytest

from features.networks.speech_encoder import CHANNELS, SHAPES, STATISTICS, SpeechEncoder, log_mel, mel_filters

RATE = 16_000


def tone(hertz, seconds=1.0):
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


@pytest.fixture
def speech(rng):
    """Two seconds of noise whose level moves as that of syllables."""
    t = np.arange(2 * RATE) / RATE
    return (0.05 * (1.2 + np.sin(2 * np.pi * 4 * t)) * rng.standard_normal(len(t))).astype(np.float32)


def test_a_tone_is_loudest_in_the_band_of_its_frequency():
    level = log_mel(tone(1_000))
    assert level.shape == (80, 100)
    hertz = np.arange(201) * RATE / 400
    assert abs(hertz[mel_filters()[level.mean(axis=1).argmax()].argmax()] - 1_000) <= 40


def test_levels_are_below_the_loudest_cell_down_to_a_floor():
    """A tone of 0.1, the same 40 dB and 120 dB lower."""
    level = log_mel(np.concatenate([factor * tone(1_000) for factor in (1.0, 1e-2, 1e-6)]))
    band = level[level[:, 50].argmax()]
    assert band.max() == 0
    np.testing.assert_allclose(band[[50, 150, 250]], [0, -4, -8], atol=0.02)
    assert level.min() == -8


def test_neither_level_nor_polarity_nor_silence_matter(speech_encoder, speech):
    found = speech_encoder.statistics(speech)
    assert found.shape == (2 * CHANNELS,) == (len(STATISTICS),)
    np.testing.assert_allclose(speech_encoder.statistics(-0.01 * speech), found, rtol=1e-3, atol=1e-5)
    silence = np.zeros(RATE, np.float32)
    np.testing.assert_allclose(
        speech_encoder.statistics(np.concatenate([silence, speech, silence])), found, rtol=1e-3, atol=1e-5
    )


def test_what_moves_slowly_changes_little_from_frame_to_frame(speech_encoder):
    seconds = np.arange(3 * RATE) / RATE
    slow, fast = (
        speech_encoder.statistics((tone(1_000, 3.0) * (1 + 0.9 * np.sin(2 * np.pi * hertz * seconds))).astype("f4"))
        for hertz in (1, 10)
    )
    ratios = [np.median(found[CHANNELS:] / found[:CHANNELS]) for found in (slow, fast)]
    assert ratios[0] < 0.7 * ratios[1]


def test_the_convolutions_are_those_of_their_definition(speech_encoder, speech):
    """One channel that passes one band on, at the frame itself: its spread is that of the band through both GELUs."""
    from scipy.special import erf

    arrays = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    arrays["conv1.weight"][0, 40, 1] = arrays["conv2.weight"][0, 0, 1] = 1.0
    found = SpeechEncoder(arrays).statistics(speech)
    level = log_mel(speech)

    def gelu(x):
        return x * (1 + erf(x / np.sqrt(2))) / 2

    expected = gelu(gelu((level[40] + 2.5 + 4) / 4))[::2]
    assert found[0] == pytest.approx(expected.std(), rel=1e-4)
    assert found[CHANNELS] == pytest.approx(np.diff(expected).std(), rel=1e-4)
    assert not found[1:CHANNELS].any()


@pytest.mark.parametrize("name", SHAPES)
def test_weights_that_are_missing_or_of_another_shape_are_refused(name):
    arrays = {one: np.zeros(shape) for one, shape in SHAPES.items()}
    with pytest.raises(RuntimeError, match=name):
        SpeechEncoder(arrays | {name: np.zeros(3)})
    del arrays[name]
    with pytest.raises(RuntimeError, match=name):
        SpeechEncoder(arrays)
