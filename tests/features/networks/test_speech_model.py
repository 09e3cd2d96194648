"""The speech detector: known sums, its parts, files of others, and how windows cover audio."""

import numpy as np
import pytest

from features.errors import ModelError
from features.measures.speech_bands import STATISTICS, bands
from features.measures.voice_measures import CUES, cues
from features.networks.speech_model import INPUTS, PARTS, SpeechMetadata, VoiceModel, speech_inputs
from features.networks.speech_net import WINDOW, windows
from features.networks.weights import save_arrays


def test_the_linear_logit_is_the_weighted_sum_of_standardised_inputs(speech_model):
    linear = speech_model.linear
    x = linear.mean + 2 * linear.scale
    assert linear.logit(x) == pytest.approx(2 * linear.weight.sum() - 0.5)
    x[0] = np.nan
    assert linear.logit(x) == pytest.approx(2 * linear.weight[1:].sum() - 0.5)
    assert linear.logit(np.full(len(INPUTS), 1e9)) in (-12, 12)


def test_inputs_are_the_cues_and_the_statistics_in_order(noise, speech_encoder):
    inputs = speech_inputs(noise, speech_encoder)
    assert len(INPUTS) == len(CUES) + len(STATISTICS) == len(inputs.x)
    values = cues(noise)
    np.testing.assert_array_equal(inputs.x[: len(CUES)], [values[name] for name in CUES])
    np.testing.assert_array_equal(inputs.x[len(CUES) :], bands(noise).statistics)
    np.testing.assert_array_equal(inputs.encoded, speech_encoder.statistics(noise))
    np.testing.assert_array_equal(speech_inputs(noise, speech_encoder, values).x, inputs.x)
    assert speech_inputs(noise[:800], speech_encoder) is None
    assert speech_inputs(noise, speech_encoder, {}) is None


def test_the_logit_is_the_mean_of_the_parts(speech_model, noise):
    inputs = speech_model.inputs(noise)
    parts = [
        speech_model.linear.logit(inputs.x),
        speech_model.network.logit(inputs.mel),
        speech_model.encoded.logit(inputs.encoded),
    ]
    assert speech_model.parts(inputs) == pytest.approx(dict(zip(PARTS, parts, strict=True)))
    assert speech_model.logit(inputs) == pytest.approx(np.mean(parts))


def test_a_model_is_read_as_it_was_written(speech_model, noise, tmp_path):
    file = tmp_path / "voice.safetensors"
    speech_model.save(file)
    assert file.stat().st_size < 1_500_000
    first = VoiceModel.load(file)
    assert first.logit(first.inputs(noise)) == pytest.approx(speech_model.logit(speech_model.inputs(noise)), abs=1e-3)
    first.save(file)  # the encoder is in half precision by now
    again = VoiceModel.load(file)
    assert again.encoder.digest == first.encoder.digest
    assert again.logit(again.inputs(noise)) == first.logit(first.inputs(noise))


def test_the_weights_of_others_are_refused(speech_model, tmp_path):
    file = tmp_path / "voice.safetensors"
    with pytest.raises(ModelError, match="voice"):
        VoiceModel.load(file)
    file.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="voice"):
        VoiceModel.load(file)
    arrays = {
        "mean": speech_model.linear.mean,
        "scale": speech_model.linear.scale,
        "weight": speech_model.linear.weight,
    }
    for metadata in (SpeechMetadata(inputs=("f0",)), SpeechMetadata(logit_positive="real")):
        save_arrays(arrays, file, metadata)
        with pytest.raises(ModelError, match="others"):
            VoiceModel.load(file)
    save_arrays(arrays, file, SpeechMetadata())
    with pytest.raises(ModelError, match="lacks 'bias'"):
        VoiceModel.load(file)
    save_arrays({**arrays, "bias": np.zeros(1)}, file, SpeechMetadata())
    with pytest.raises(ModelError, match="voice"):  # no network in it
        VoiceModel.load(file)
    arrays |= {"bias": np.zeros(1)} | {f"network.{name}": one for name, one in speech_model.network.arrays().items()}
    save_arrays(arrays, file, SpeechMetadata())
    with pytest.raises(ModelError, match="of the encoder is missing"):  # as a detector of version 0.8 lacks it
        VoiceModel.load(file)


@pytest.mark.parametrize("n", [30, WINDOW - 1, WINDOW, WINDOW + 1, 500])
def test_windows_cover_audio_from_start_to_end(n):
    mel = np.tile(np.arange(n, dtype=np.float32), (64, 1))
    found = windows(mel)
    assert found.shape[1:] == (64, WINDOW)
    assert set(found[:, 0].ravel().tolist()) == set(range(n))
    assert found[0, 0, 0] == 0
    if n >= WINDOW:
        assert found[-1, 0, -1] == n - 1
        assert np.diff(found[:, 0, 0]).max(initial=0) <= WINDOW / 2 + 1


def test_the_network_is_small_and_its_logit_that_of_its_windows(speech_network, rng):
    assert sum(one.numel() for one in speech_network.net.parameters()) < 200_000
    mel = rng.standard_normal((64, 300)).astype(np.float32)
    each = [speech_network.logit(window) for window in windows(mel)]
    assert speech_network.logit(mel) == pytest.approx(np.mean(each), abs=1e-5)
