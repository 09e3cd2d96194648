"""The encoder for a training of the speech detector, read from a detector or from Whisper's weights."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from artifacts import PRETRAINED
from features.errors import ModelError
from features.families.forensic_voice import NAME
from features.networks.speech_encoder import SHAPES, SpeechEncoder
from features.networks.speech_model import VoiceModel

SHIPPED = PRETRAINED / f"{NAME}.safetensors"
CONVERTED = ".bin"  # Whisper's weights as CTranslate2 stores them
_SPECIFICATION = "WhisperSpec"
_TYPES = ("<f4", "<i1", "<i2", "<i4", "<f2")  # types of arrays, by their number in the file


def read_encoder(file: Path = SHIPPED) -> SpeechEncoder:
    """Read the encoder of a speech detector (``.safetensors``) or of Whisper in CTranslate2's format (``.bin``).

    Whisper's models tiny and tiny.en have an encoder of the right shape; the shipped encoder is that of tiny.en.

    Raises
    ------
    ModelError
        The file is missing, damaged, or of another kind.
    """
    if file.suffix != CONVERTED:
        return VoiceModel.load(file).encoder
    try:
        with file.open("rb") as opened:
            arrays = _converted(opened)
        weights = {name: arrays[f"encoder/{name.replace('.', '/')}"] for name in SHAPES}
        if other := [name for name, array in weights.items() if array.dtype.kind != "f"]:
            raise ValueError(f"{other[0]} is quantised; give one that is not")
        return SpeechEncoder(weights)
    except (OSError, struct.error, UnicodeDecodeError, IndexError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{file}: no weights of a Whisper tiny model in CTranslate2's format ({error})") from error


def _converted(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """Read the arrays of a model converted by CTranslate2: little-endian, each after its name, shape, type, length."""

    def numbers(form: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))

    def text() -> str:
        return file.read(numbers("H")[0]).rstrip(b"\0").decode()

    numbers("I")  # version of the format
    if (specification := text()) != _SPECIFICATION:
        raise ValueError(f"it holds a {specification or 'nameless model'}")
    numbers("I")  # revision of the specification
    arrays = {}
    for _ in range(numbers("I")[0]):
        name = text()
        shape = numbers(f"{numbers('B')[0]}I")
        kind, n_bytes = numbers("BI")
        arrays[name] = np.frombuffer(file.read(n_bytes), _TYPES[kind]).reshape(shape)
    return arrays
