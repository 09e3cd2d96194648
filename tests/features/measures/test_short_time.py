"""Spectra of short frames, against another library's and against signals that are known."""

import numpy as np
import pytest
from scipy import signal

from features.measures import short_time
from features.observation import AUDIO_RATE_HZ


@pytest.mark.parametrize(("pad_mode", "padding"), [("constant", "zeros"), ("reflect", "even")])
@pytest.mark.parametrize("samples", [4000, 4161])
def test_power_is_that_of_scipys_transform(rng, samples, pad_mode, padding):
    y = rng.standard_normal(samples)
    ours = short_time.power_spectrogram(y, n_fft=512, width=320, hop=160, window="hamming", pad_mode=pad_mode)
    transform = signal.ShortTimeFFT(signal.get_window("hamming", 320), 160, AUDIO_RATE_HZ, mfft=512)
    theirs = np.abs(transform.stft(y, p0=0, p1=samples // 160 + 1, padding=padding)) ** 2
    assert ours.shape == (257, samples // 160 + 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12 * theirs.max())


def test_blocks_are_frames_of_one_sequence(rng, monkeypatch):
    y = rng.standard_normal(4000)
    options = {"n_fft": 64, "width": 64, "hop": 16, "window": "hann"}
    whole = short_time.power_spectrogram(y, **options)
    monkeypatch.setattr(short_time, "BLOCK", 7)
    np.testing.assert_array_equal(short_time.power_spectrogram(y, **options), whole)


def test_a_tone_excites_the_filter_of_its_frequency():
    """Slaney's mel scale is linear up to 1 kHz, 200/3 Hz a mel: with 10 mel between filters they lie 667 Hz apart."""
    filters = short_time.mel_filters(2, n_fft=512, low_hz=0.0, high_hz=1000.0)
    assert [filters[number].argmax() * AUDIO_RATE_HZ / 512 for number in range(2)] == pytest.approx([333, 667], abs=16)
    assert filters.sum(axis=1) == pytest.approx([512 / AUDIO_RATE_HZ] * 2, rel=0.01)  # of equal area, 1 in Hz
