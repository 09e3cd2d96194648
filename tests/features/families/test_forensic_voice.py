"""What the voice model makes of the voice cues: known sums, missing and foreign weights, silence."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest

from features import spec, voice_measures
from features.errors import ModelError
from features.families import forensic_voice
from features.families.forensic_voice import NAME, VoiceModel
from features.families.voice import CUES
from features.networks.weights import PRETRAINED, save_arrays, use_weights
from features.voice_measures import cues


@pytest.fixture
def model(rng):
    n = len(CUES)
    return VoiceModel(rng.standard_normal(n), rng.uniform(0.5, 2, n), 0.05 * rng.standard_normal(n), -0.5)


@pytest.fixture
def sound(rng):
    return (0.1 * rng.standard_normal(3 * 16_000)).astype(np.float32)


def measured(clip, file):
    with use_weights({NAME: file}):
        values, failures = spec.measure_clip(clip, spec.families([NAME]))
    assert not failures
    return values


def test_a_logit_is_the_weighted_sum_of_standardised_cues(model):
    values = dict(zip(CUES, model.mean + 2 * model.scale, strict=True))
    assert model.logit(values) == pytest.approx(2 * model.weight.sum() - 0.5)
    assert model.logit(values | {CUES[0]: np.nan}) == pytest.approx(2 * model.weight[1:].sum() - 0.5)
    assert model.logit(dict.fromkeys(CUES, 1e9)) in (-12, 12)


def test_a_clip_gets_the_logit_of_its_sound(talking_head, model, sound, tmp_path):
    model.save(tmp_path / "voice.safetensors")
    clip = dataclasses.replace(talking_head(duration_s=2.0), audio=sound)
    values = measured(clip, tmp_path / "voice.safetensors")
    assert values == {f"{NAME}.logit": pytest.approx(model.logit(cues(sound))), f"{NAME}.valid_share": 1.0}
    assert values == measured(clip, tmp_path / "voice.safetensors")


@pytest.mark.parametrize("audio", [None, np.zeros(32_000, np.float32), np.ones(1_000, np.float32)])
def test_without_a_voice_the_logit_is_nan(talking_head, audio):
    values = measured(
        dataclasses.replace(talking_head(duration_s=2.0), audio=audio), PRETRAINED / f"{NAME}.safetensors"
    )
    assert np.isnan(values[f"{NAME}.logit"])
    assert values[f"{NAME}.valid_share"] == 0


def test_without_weights_the_logit_is_nan(talking_head, sound, tmp_path):
    values = measured(dataclasses.replace(talking_head(duration_s=2.0), audio=sound), tmp_path / "none.safetensors")
    assert np.isnan(values[f"{NAME}.logit"])


def test_the_shipped_weights_are_of_these_cues():
    assert np.isfinite(VoiceModel.load(PRETRAINED / f"{NAME}.safetensors").weight).all()


def test_weights_trained_into_the_same_file_are_seen(talking_head, model, sound, tmp_path):
    file = tmp_path / "voice.safetensors"
    clip = dataclasses.replace(talking_head(duration_s=2.0), audio=sound)
    for bias in (-0.5, 0.5):
        dataclasses.replace(model, weight=np.zeros(len(CUES)), bias=bias).save(file)
        assert measured(clip, file)[f"{NAME}.logit"] == pytest.approx(bias)


def test_the_cues_of_a_clip_are_computed_once_and_go_with_it(talking_head, sound, monkeypatch):
    calls = []
    monkeypatch.setattr(voice_measures, "cues", lambda sound: calls.append(len(sound)) or cues(sound))
    one, other = (dataclasses.replace(talking_head(duration_s=2.0), audio=part) for part in (sound, sound[:-800]))
    for clip in (one, other):
        first, _ = spec.measure_clip(clip, spec.families(["voice", NAME]))
        again, _ = spec.measure_clip(clip, spec.families(["voice", NAME]))
        assert first == pytest.approx(again, nan_ok=True)
    assert calls == [len(sound), len(sound) - 800]
    clips = [weakref.ref(one), weakref.ref(other)]
    del one, other, clip
    gc.collect()
    assert [clip() for clip in clips] == [None, None]


def test_foreign_weights_are_refused(tmp_path, model):
    file = tmp_path / "voice.safetensors"
    with pytest.raises(ModelError, match="voice"):
        VoiceModel.load(file)
    file.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="voice"):
        VoiceModel.load(file)
    arrays = {"mean": model.mean, "scale": model.scale, "weight": model.weight, "bias": np.zeros(1)}
    for metadata in (forensic_voice.VoiceMetadata(cues=("f0",)), forensic_voice.VoiceMetadata(logit_positive="real")):
        save_arrays(arrays, file, metadata)
        with pytest.raises(ModelError, match="others"):
            VoiceModel.load(file)
    save_arrays({"mean": model.mean}, file, forensic_voice.VoiceMetadata())
    with pytest.raises(ModelError, match="lacks"):
        VoiceModel.load(file)
