"""The audio on its grid: times, cepstra, speech."""

import numpy as np
import pytest

from features.measures import speech_series
from features.observation import AUDIO_RATE_HZ


def test_speech_mask_closes_short_gaps_only():
    level = np.full(400, -50.0)
    level[100:300] = 0.0
    level[150:157] = -50.0  # 70 ms
    level[200:230] = -50.0  # 300 ms
    mask = speech_series.speech_mask(level)
    assert mask[100:200].all()
    assert not mask[201:229].any()
    assert not mask[:100].any()


def test_digital_silence_sets_no_threshold(rng):
    """A tenth of the clip is muted: the room's noise is not speech for that, and no frame of the mute is either."""
    y = 0.01 * rng.standard_normal(10 * AUDIO_RATE_HZ)
    y[4 * AUDIO_RATE_HZ : 6 * AUDIO_RATE_HZ] *= 30.0  # somebody speaks
    muted = y.copy()
    muted[: 2 * AUDIO_RATE_HZ] = 0.0
    masks = [speech_series.speech_mask(speech_series.short_time_series(one)["level"]) for one in (y, muted)]
    np.testing.assert_array_equal(*masks)
    assert masks[0].mean() == pytest.approx(0.2, abs=0.01)
    assert np.isnan(speech_series.short_time_series(muted)["level"][5:195]).all()


@pytest.mark.parametrize("range_db", [25.0, 8.0])
def test_all_that_is_heard_of_a_gated_voice_is_speech(rng, range_db):
    """Non-regression test: with its pauses left out, quiet syllables, or all of a levelled voice, were no speech."""
    level = -range_db * rng.random(1000)
    pauses = (np.arange(1000) % 100) >= 70
    level[pauses] = np.nan
    mask = speech_series.speech_mask(level)
    assert mask[~pauses].all()
    assert not mask[pauses].any()


@pytest.mark.parametrize(("n_dropouts", "seconds"), [(3, 0.2), (8, 0.1), (3, 0.03), (20, 0.05)])
def test_dropouts_of_noisy_audio_do_not_make_its_noise_speech(rng, n_dropouts, seconds):
    """Non-regression test: with three of them in 20 s, noise 40 dB under the voice was speech."""
    y = 0.003 * rng.standard_normal(20 * AUDIO_RATE_HZ)
    spoken = (np.arange(len(y)) / AUDIO_RATE_HZ) % 2.5 < 1.5
    y[spoken] *= 100.0
    for start in np.linspace(1.0, 18.0, n_dropouts):
        y[round(start * AUDIO_RATE_HZ) : round((start + seconds) * AUDIO_RATE_HZ)] = 0.0
    mask = speech_series.speech_mask(speech_series.short_time_series(y)["level"])
    assert mask.mean() == pytest.approx(0.6, abs=0.05)
    assert not mask[160:240].any()


@pytest.mark.parametrize("pause_s", [0.0, 0.5, 0.95, 3.0])
@pytest.mark.parametrize("swing_db", [6.0, 10.0])
def test_who_speaks_without_pauses_speaks_all_the_time(rng, pause_s, swing_db):
    """Non-regression test: with less than a tenth of pauses, the quietest tenth of the speech set the threshold."""
    level = -swing_db * rng.random(1000)
    level[300 : 300 + round(100 * pause_s)] = -50.0
    mask = speech_series.speech_mask(level)
    assert mask.mean() == pytest.approx(1.0 - pause_s / 10.0, abs=0.005)


@pytest.mark.parametrize("offset", [-0.3, 0.001, 0.3])
def test_an_offset_changes_nothing(rng, offset):
    """Non-regression test: in a recording with an offset, every pause was as loud as the offset."""
    y = 0.0003 * rng.standard_normal(4 * AUDIO_RATE_HZ)
    y[AUDIO_RATE_HZ : 3 * AUDIO_RATE_HZ] *= 100.0
    y[: AUDIO_RATE_HZ // 4] = 0.0  # a mute stays one
    a, b = speech_series.short_time_series(y), speech_series.short_time_series(y + offset)
    assert all(a[name] == pytest.approx(b[name], abs=1e-5, nan_ok=True) for name in a)
    assert np.isnan(b["level"][2:23]).all()


@pytest.mark.parametrize("hertz", [5.0, 20.0, 30.0])
def test_rumble_is_not_loud(rng, hertz):
    t = np.arange(4 * AUDIO_RATE_HZ) / AUDIO_RATE_HZ
    y = 0.0003 * rng.standard_normal(t.size)
    y[AUDIO_RATE_HZ : 3 * AUDIO_RATE_HZ] *= 100.0
    rumble = 0.03 * np.sin(2 * np.pi * hertz * t)
    a, b = (speech_series.speech_mask(speech_series.short_time_series(one)["level"]) for one in (y, y + rumble))
    assert a.mean() == pytest.approx(0.5, abs=0.02)
    assert np.mean(a != b) < 0.01


def test_voice_frames_are_centred_on_their_time():
    y = 1e-4 * np.sin(np.arange(3 * AUDIO_RATE_HZ))
    y[AUDIO_RATE_HZ : AUDIO_RATE_HZ + 16] = 1.0  # a click at 1 s
    assert np.argmax(speech_series.short_time_series(y)["level"]) == 100


def test_mfcc_are_librosas_own(monkeypatch):
    """The numbers are those of librosa 0.11.0, so that the test need not wait until its functions are compiled.

    ``librosa.feature.mfcc(y=y, sr=16000, n_mfcc=13, n_mels=40, n_fft=512, win_length=400, hop_length=160)``, smoothed
    by ``low_pass``, at 0.5 s. c0 is left out: it has the windows' constant gain. What lies
    below 60 Hz is kept, as librosa does.
    """
    monkeypatch.setattr(speech_series, "without_rumble", lambda y: y)
    t = np.arange(AUDIO_RATE_HZ) / AUDIO_RATE_HZ
    y = np.sin(2 * np.pi * (200 * t + 900 * t**2)) + 0.1 * np.random.default_rng(0).standard_normal(AUDIO_RATE_HZ)
    theirs = [8.53, -12.53, -19.31, -4.54, 16.55, 17.83, 0.67, -18.62, -12.9, 5.18, 14.97, 6.57]
    assert speech_series.short_time_series(y)["mfcc"][50, 1:] == pytest.approx(theirs, abs=0.006)


@pytest.mark.parametrize(
    "audio",
    [np.zeros(32_000), np.full(64_000, np.float32(0.1)), np.ones(100), np.empty(0)],
    ids=["silence", "constant", "short", "empty"],
)
def test_nothing_to_hear_gives_nothing(audio):
    assert speech_series.short_time_series(audio) == {}


def test_gain_and_polarity_change_nothing(rng):
    y = rng.standard_normal(2 * AUDIO_RATE_HZ)
    y.flags.writeable = False
    a, b = speech_series.short_time_series(y), speech_series.short_time_series(-0.25 * y)
    assert all(a[name] == pytest.approx(b[name]) for name in a)


@pytest.mark.parametrize(("hertz", "left"), [(1.0, 1.0), (40.0, 0.0)])
def test_low_pass_keeps_syllables_and_drops_what_is_faster(hertz, left):
    t = np.arange(400) / speech_series.GRID_HZ
    wave = np.sin(2 * np.pi * hertz * t)
    assert speech_series.low_pass(wave)[50:-50] == pytest.approx(left * wave[50:-50], abs=0.01)
