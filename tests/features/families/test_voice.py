"""Voice cues: known answers on tones and noise, and what must not matter."""

import dataclasses

import numpy as np
import pytest

from features import discovery, measuring
from features.families import voice
from features.measures import voice_measures
from features.measures.voice_measures import CUES, cues, without_silence

RATE = 16_000


@pytest.fixture
def noise(rng):
    return (0.1 * rng.standard_normal(4 * RATE)).astype(np.float32)


@pytest.fixture
def speech(rng):
    from forge.speech_synthesis import Speaker, speak

    return speak(4.0, Speaker.sample(rng), rng).audio


def test_every_cue_is_measured_of_speech_and_in_its_range(speech):
    values = cues(speech)
    assert set(values) == {*CUES, "speech_share"}
    assert [column.name for column in voice.COLUMNS] == [
        f"voice.{name}" for name in (*CUES, "speech_share", "valid_share")
    ]
    for column in voice.COLUMNS:
        if (name := column.name.split(".")[1]) in values:
            assert column.range[0] <= values[name] <= column.range[1], name


@pytest.mark.parametrize("gain", [-1.0, 10.0, 0.01])
def test_level_and_polarity_say_nothing(speech, gain):
    known, changed = cues(speech), cues((gain * speech).astype(np.float32))
    for name in CUES:
        assert changed[name] == pytest.approx(known[name], rel=1e-3, abs=1e-4), name


def test_white_noise(noise):
    """Geometric over arithmetic mean: exp(-Euler's gamma) of an exponential, 1 over 1 + a^2 of pre-emphasis."""
    values, pre_emphasis = cues(noise), 1 + voice_measures.PRE_EMPHASIS**2
    assert values["flatness_med"] == pytest.approx(np.exp(-0.5772) / pre_emphasis, abs=0.01)
    assert values["bw99_hz"] == pytest.approx(7950, abs=60)
    assert values["bands_all_corr"] == pytest.approx(0, abs=0.05)
    assert values["speech_share"] > 0.99
    upper = 0.5 + 2 * voice_measures.PRE_EMPHASIS / np.pi / pre_emphasis  # |1 - a exp(-iw)|^2 is 1 + a^2 - 2 a cos w
    assert values["hf_share_db"] == pytest.approx(10 * np.log10(upper), abs=0.1)


def test_a_low_pass_is_found(noise):
    from scipy.signal import butter, sosfilt

    low = sosfilt(butter(10, 3000, fs=RATE, output="sos"), noise).astype(np.float32)
    values = cues(low)
    assert values["bw99_hz"] == pytest.approx(3100, abs=250)
    assert values["hf_share_db"] < -15


@pytest.mark.parametrize(("hertz", "name"), [(10.0, "fast1_share"), (25.0, "very_fast1_share")])
def test_the_rate_of_a_modulation_is_found(noise, hertz, name):
    level = 10 ** (np.sin(2 * np.pi * hertz * np.arange(noise.size) / RATE) / 2)
    values = cues((noise * level).astype(np.float32))
    assert values[name] > 0.6
    assert values["bands_all_corr"] > 0.7


def test_smoothing_over_time_lowers_the_spread_of_cepstra(noise):
    """What a generator that regresses to the mean does; noise kept, since its bins scatter in any case."""
    from scipy import signal

    _, _, spectrum = signal.stft(noise, RATE, nperseg=512, noverlap=352)
    shape = np.random.default_rng(0).standard_normal((257 // 8 + 1, spectrum.shape[1])).repeat(8, axis=0)[:257]
    smooth = np.apply_along_axis(lambda x: np.convolve(x, np.ones(15) / 15, "same"), 1, shape)
    rough, even = (
        signal.istft(spectrum * np.exp(one), RATE, nperseg=512, noverlap=352)[1].astype(np.float32)
        for one in (shape, smooth)
    )
    assert all(cues(even)[f"lfcc{n:02}_std"] < cues(rough)[f"lfcc{n:02}_std"] for n in range(5, 15))


def test_pauses_do_not_count(speech):
    hiss = 1e-4 * np.abs(speech).max() * np.random.default_rng(0).standard_normal(RATE)
    with_pause = np.concatenate([speech, hiss.astype(np.float32)])
    known, found = cues(speech), cues(with_pause)
    heard = without_silence(speech).size
    assert found["speech_share"] == pytest.approx(known["speech_share"] * heard / (heard + RATE), rel=0.05)
    assert found["lfcc05_std"] == pytest.approx(known["lfcc05_std"], rel=0.1)


def test_a_mute_is_no_trait_of_the_voice(speech):
    """Stretches that an editor muted, or that stand where audio is missing."""
    middle = int(np.argmax(np.abs(speech)))
    muted = np.concatenate([speech[:middle], np.zeros(RATE // 3, np.float32), speech[middle:]])
    assert cues(muted) == cues(speech)
    short = np.concatenate([speech[:middle], np.zeros(100, np.float32), speech[middle:]])  # as between two periods
    assert cues(short) != cues(speech)


def test_a_mute_with_an_offset_is_no_trait_of_the_voice(speech):
    middle = int(np.argmax(np.abs(speech)))
    held = [np.concatenate([speech[:middle], np.full(n, 0.01, np.float32), speech[middle:]]) for n in (799, 800)]
    assert cues(held[1]) == cues(speech)
    assert cues(held[0]) != cues(speech)


def test_coarse_steps_are_no_mute(rng):
    """Runs of few equal samples, as of 8 bits, one beside the other."""
    coarse = np.repeat(rng.integers(-3, 4, 4000), 7).astype(np.float32)
    assert without_silence(coarse).size == coarse.size


@pytest.mark.parametrize(
    "audio", [np.zeros(RATE), np.zeros(0), np.ones(5 * RATE), np.r_[np.ones(1000), np.zeros(RATE)]]
)
def test_too_little_speech_gives_nothing(audio):
    assert cues(audio.astype(np.float32)) == {}


def test_a_clip_without_audio_is_nan(talking_head):
    clip = dataclasses.replace(talking_head(duration_s=2.0), audio=None)
    values, failures = measuring.measure_clip(clip, discovery.families(["voice"]))
    assert not failures
    assert values.pop("voice.valid_share") == 0
    assert np.isnan(list(values.values())).all()


def test_a_voice_is_heard_where_nobody_is_seen(talking_head, speech):
    clip = dataclasses.replace(talking_head(duration_s=2.0), audio=speech, tracks=(), n_faces=0)
    values, failures = measuring.measure_clip(clip, discovery.families(["voice", "forensic_voice", "lip_sync"]))
    assert not failures
    assert values["voice.valid_share"] == values["forensic_voice.valid_share"] == 1
    assert values["lip_sync.valid_share"] == 0
