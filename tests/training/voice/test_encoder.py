"""Where a training's encoder is from: a detector, or Whisper's weights as CTranslate2 stores them."""

import struct

import numpy as np
import pytest

from features.errors import ModelError
from features.networks.speech_encoder import SHAPES
from training.voice.encoder import SHIPPED, read_encoder


def converted(arrays, specification="WhisperSpec"):
    """A file of CTranslate2, version 6: each array after its name, shape, type (4: half precision) and length."""

    def text(value):
        raw = value.encode() + b"\0"
        return struct.pack("<H", len(raw)) + raw

    parts = [struct.pack("<I", 6), text(specification), struct.pack("<II", 3, len(arrays))]
    for name, array in arrays.items():
        half = array.astype("<f2").tobytes()
        shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        parts += [text(name), shape, struct.pack("<BI", 4, len(half)), half]
    return b"".join(parts)


@pytest.fixture
def whisper(rng):
    arrays = {name: 0.1 * rng.standard_normal(shape) for name, shape in SHAPES.items()}
    return {f"encoder/{name.replace('.', '/')}": one for name, one in arrays.items()} | {"decoder/bias": np.zeros(3)}


def test_the_shipped_detector_has_an_encoder():
    assert {name: one.shape for name, one in read_encoder(SHIPPED).arrays().items()} == SHAPES


def test_weights_of_whisper_are_read(whisper, tmp_path):
    file = tmp_path / "model.bin"
    file.write_bytes(converted(whisper))
    found = read_encoder(file).arrays()
    for name in SHAPES:
        np.testing.assert_array_equal(found[name], whisper[f"encoder/{name.replace('.', '/')}"].astype(np.float16))


def test_quantised_weights_are_refused(whisper, tmp_path, monkeypatch):
    """Their scales lie in arrays of their own: the numbers alone mean nothing."""
    monkeypatch.setattr("training.voice.encoder._TYPES", ("<f4", "<i1", "<i2", "<i4", "<i2"))
    file = tmp_path / "model.bin"
    file.write_bytes(converted(whisper))
    with pytest.raises(ModelError, match="is quantised"):
        read_encoder(file)


def test_what_is_no_such_model_is_refused_in_one_sentence(whisper, tmp_path):
    file = tmp_path / "model.bin"
    whole = converted(whisper)
    larger = whisper | {"encoder/conv1/bias": np.zeros(512)}
    for content in (b"", b"text", whole[:5_000], converted(whisper, "OtherSpec"), converted(larger)):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.bin: no weights of a Whisper tiny model"):
            read_encoder(file)
    for missing in (tmp_path / "none.bin", tmp_path / "none.safetensors"):
        with pytest.raises(ModelError, match="none"):
            read_encoder(missing)
