"""What the family makes of audio: the detector's logit, missing weights, silence, and what must not raise it."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest

from features import discovery, measuring
from features.families import forensic_voice
from features.families.forensic_voice import NAME
from features.measures import voice_measures
from features.measures.voice_measures import cues
from features.networks.speech_model import INPUTS, PARTS, VoiceModel
from features.networks.weights import PRETRAINED, use_weights
from forge.speech_synthesis import Speaker, speak

RATE = 16_000


@pytest.fixture
def rise_and_fall(noise):
    """Noise whose level rises and falls three times a second, as that of speech does."""
    return (noise * np.sin(2 * np.pi * 1.5 * np.arange(noise.size) / RATE)).astype(np.float32)


def steady_sounds():
    t = np.arange(3 * RATE) / RATE
    hiss = np.random.default_rng(0).standard_normal(t.size)
    hum = np.sin(2 * np.pi * 50 * t) + 0.4 * np.sin(2 * np.pi * 100 * t)
    return {"hum": hum, "hum and hiss": hum + 0.01 * hiss, "tone": np.sin(2 * np.pi * 1000 * t), "noise": hiss}


def measured(clip, file):
    with use_weights({NAME: file}):
        values, failures = measuring.measure_clip(clip, discovery.families([NAME]))
    assert not failures
    return values


def test_a_clip_gets_the_logit_of_its_audio(talking_head, speech_model, rise_and_fall, tmp_path):
    speech_model.save(tmp_path / "voice.safetensors")
    clip = dataclasses.replace(talking_head(duration_s=2.0), audio=rise_and_fall)
    values = measured(clip, tmp_path / "voice.safetensors")
    assert values == {
        f"{NAME}.logit": pytest.approx(speech_model.logit(speech_model.inputs(rise_and_fall)), abs=1e-3),
        f"{NAME}.valid_share": 1.0,
    }
    assert values == measured(clip, tmp_path / "voice.safetensors")


@pytest.mark.parametrize("audio", [None, np.zeros(32_000, np.float32), np.ones(1_000, np.float32)])
def test_without_a_voice_the_logit_is_nan(talking_head, audio):
    values = measured(
        dataclasses.replace(talking_head(duration_s=2.0), audio=audio), PRETRAINED / f"{NAME}.safetensors"
    )
    assert np.isnan(values[f"{NAME}.logit"])
    assert values[f"{NAME}.valid_share"] == 0


@pytest.mark.parametrize("sound", steady_sounds().values(), ids=steady_sounds())
def test_steady_sound_is_no_speech(talking_head, sound):
    """The shipped detector gives mains hum a logit of 5.5: P(FAKE) 0.97 for a genuine clip in which nobody speaks."""
    clip, file = talking_head(duration_s=3.0), PRETRAINED / f"{NAME}.safetensors"
    audio = (0.05 * sound).astype(np.float32)
    values = measured(dataclasses.replace(clip, audio=audio), file)
    assert np.isnan(values[f"{NAME}.logit"])
    assert values[f"{NAME}.valid_share"] == 0
    assert forensic_voice.window_series(dataclasses.replace(clip, audio=audio), None) == {}


def test_an_utterance_in_a_long_hum_is_scored(talking_head, babble):
    hum = 0.02 * np.sin(2 * np.pi * 50 * np.arange(60 * RATE) / RATE)
    hum[30 * RATE : 31 * RATE] += babble[:RATE]
    clip = dataclasses.replace(talking_head(duration_s=2.0), audio=hum.astype(np.float32))
    assert np.isfinite(measured(clip, PRETRAINED / f"{NAME}.safetensors")[f"{NAME}.logit"])


def test_without_weights_the_logit_is_nan(talking_head, rise_and_fall, tmp_path):
    values = measured(
        dataclasses.replace(talking_head(duration_s=2.0), audio=rise_and_fall), tmp_path / "none.safetensors"
    )
    assert np.isnan(values[f"{NAME}.logit"])


def test_the_shipped_weights_are_of_these_inputs():
    speech_model = VoiceModel.load(PRETRAINED / f"{NAME}.safetensors")
    assert np.isfinite(speech_model.linear.weight).all()
    assert sum(one.size for one in speech_model.network.arrays().values()) > 40_000
    assert np.isfinite(speech_model.encoded.weight).all()


def test_weights_trained_into_the_same_file_are_seen(talking_head, speech_model, rise_and_fall, tmp_path):
    file = tmp_path / "voice.safetensors"
    clip = dataclasses.replace(talking_head(duration_s=2.0), audio=rise_and_fall)
    found = []
    for bias in (-0.5, 0.5):
        linear = dataclasses.replace(speech_model.linear, weight=np.zeros(len(INPUTS)), bias=bias)
        dataclasses.replace(speech_model, linear=linear).save(file)
        found.append(measured(clip, file)[f"{NAME}.logit"])
    assert found[1] - found[0] == pytest.approx(1 / len(PARTS))


@pytest.fixture(scope="module")
def babble():
    rng = np.random.default_rng(4)
    speech = speak(3.0, Speaker.sample(rng), rng).audio
    return (speech + 1e-4 * rng.standard_normal(speech.size)).astype(np.float32)


def test_level_polarity_and_digital_silence_do_not_move_the_shipped_logit(talking_head, babble):
    clip, file = talking_head(duration_s=2.0), PRETRAINED / f"{NAME}.safetensors"
    gap = np.zeros(16_000, np.float32)
    logits = [
        measured(dataclasses.replace(clip, audio=one), file)[f"{NAME}.logit"]
        for one in (babble, 0.1 * babble, -babble, np.concatenate([gap, babble, gap]))
    ]
    np.testing.assert_allclose(logits, logits[0], atol=0.05)


def test_the_cues_of_a_clip_are_computed_once_and_go_with_it(talking_head, rise_and_fall, monkeypatch):
    calls = []
    monkeypatch.setattr(voice_measures, "cues", lambda audio: calls.append(len(audio)) or cues(audio))
    one, other = (
        dataclasses.replace(talking_head(duration_s=2.0), audio=part) for part in (rise_and_fall, rise_and_fall[:-800])
    )
    for clip in (one, other):
        first, _ = measuring.measure_clip(clip, discovery.families(["voice", NAME]))
        again, _ = measuring.measure_clip(clip, discovery.families(["voice", NAME]))
        assert first == pytest.approx(again, nan_ok=True)
    assert calls == [len(rise_and_fall), len(rise_and_fall) - 800]
    clips = [weakref.ref(one), weakref.ref(other)]
    del one, other, clip
    gc.collect()
    assert [clip() for clip in clips] == [None, None]
