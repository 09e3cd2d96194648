"""Augmentation of speech: what each step keeps, and what it changes."""

import numpy as np
import pytest

from training.voice import augment

RATE = 16_000


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def noise(rng):
    return rng.standard_normal(2 * RATE).astype(np.float32)


def tone(hertz, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def peak_hz(audio):
    return np.abs(np.fft.rfft(audio * np.hanning(audio.size))).argmax() * RATE / audio.size


def test_a_cut_is_a_piece_and_never_longer_than_the_audio(noise, rng):
    for _ in range(20):
        piece = augment.cut(noise, rng)
        assert augment.SHORTEST_S * RATE - 1 <= piece.size <= noise.size
        start = int(np.flatnonzero(noise == piece[0])[0])
        np.testing.assert_array_equal(noise[start : start + piece.size], piece)
    assert augment.cut(noise[:800], rng).size == 800


@pytest.mark.parametrize("factor", [0.92, 1.0, 1.08])
def test_speed_moves_pitch_and_length_alike(factor):
    out = augment.at_speed(tone(1000.0), factor)
    assert out.size == pytest.approx(RATE / factor, abs=1)
    assert peak_hz(out) == pytest.approx(1000 * factor, abs=4)
    middle = out[2000:-2000]
    assert np.abs(middle).max() == pytest.approx(1.0, abs=0.05)


def test_joined_audio_holds_the_same_samples(noise, rng):
    orders = [augment.joined(noise, rng) for _ in range(12)]
    same = [np.array_equal(np.sort(one), np.sort(noise)) for one in orders]
    assert any(same)
    assert not all(same)  # with fades
    assert all(one.size == noise.size for one in orders)
    assert not any(np.array_equal(one, noise) for one, is_same in zip(orders, same, strict=True) if is_same)


@pytest.mark.parametrize("size", [1, 100, 159])
def test_audio_shorter_than_the_loudness_window_keeps_its_length(noise, rng, size):
    found = [augment.levelled(noise[:size], rng) for _ in range(20)]
    assert all(one.size == size and np.isfinite(one).all() for one in found)


def test_levels_change_and_the_order_of_magnitude_stays(noise, rng):
    found = [augment.levelled(noise, rng) for _ in range(20)]
    assert all(one.shape == noise.shape and one.dtype == np.float32 and np.isfinite(one).all() for one in found)
    assert not any(np.allclose(one, noise) for one in found)
    assert min(np.corrcoef(one, noise)[0, 1] for one in found) > 0.3


def test_every_codec_gives_the_tone_back():
    for codec in augment.CODECS:
        out = augment.compressed(0.3 * tone(1000.0), codec)
        assert peak_hz(out) == pytest.approx(1000, abs=4), codec
        assert out.size == pytest.approx(RATE, rel=0.15)


def test_each_encoder_is_drawn(noise, rng, monkeypatch):
    drawn = []
    monkeypatch.setattr(augment, "compressed", lambda audio, codec: drawn.append(codec.encoder) or audio)
    for _ in range(150):
        augment.through_codec(noise, rng)
    counts = {encoder: drawn.count(encoder) for encoder in {codec.encoder for codec in augment.CODECS}}
    assert min(counts.values()) > 10


def test_what_a_codec_swallows_stays_as_it_is(noise, rng, monkeypatch):
    monkeypatch.setattr(augment, "compressed", lambda audio, codec: np.empty(0, np.float32))
    assert augment.through_codec(noise, rng) is noise


def test_damaged_audio_is_still_audio(noise, rng):
    other = rng.standard_normal(5_000).astype(np.float32)
    found = [augment.damaged(noise, other, rng) for _ in range(40)]
    assert all(each.shape == noise.shape and np.isfinite(each).all() for each in found)
    correlation = [np.corrcoef(each, noise)[0, 1] for each in found]
    assert min(correlation) > 0.1
    assert min(correlation) < 0.95


def test_the_telephone_band_passes_speech_and_stops_the_rest(rng):
    frequency = np.linspace(0, 1, 801)  # steps of 10 Hz
    bands = [augment._band(frequency, rng) for _ in range(60)]
    telephone = [band for band in bands if band[0] == pytest.approx(0, abs=1e-9)]
    assert 8 < len(telephone) < 40
    for band in telephone:
        assert band[[50, 100, 300]].min() > 0.8  # 500, 1000, 3000 Hz
        assert band[[5, 450]].max() < 0.1  # 50, 4500 Hz
    assert all(band[1:300].min() > 0.9 for band in bands if band[0] == 1)  # other limits lie above 3.4 kHz


def test_versions_are_short_and_differ(noise, rng):
    found = [augment.version(noise, noise[::-1], rng) for _ in range(12)]
    assert all(one.ndim == 1 and np.isfinite(one).all() for one in found)
    assert all(0.5 * RATE < one.size < 4.8 * RATE for one in found)
    assert len({one.size for one in found}) > 8


def test_the_same_seed_gives_the_same_version(noise):
    one, same = (augment.version(noise, noise[::-1], np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, same)
