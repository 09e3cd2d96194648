"""The recogniser on torch says what dlib says."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from features.errors import ModelError
from features.networks import dlib_models, face_recogniser


def test_embeddings_are_those_of_dlib():
    import dlib

    reference = dlib.face_recognition_model_v1(dlib_models.dlib_model(dlib_models.DLIB_RECOGNITION))
    face = cv2.resize(astronaut()[20:240, 110:330], (150, 150), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)
    for chip in (face, np.ascontiguousarray(face[:, ::-1]), noise):
        wanted = np.array(reference.compute_face_descriptor(chip))
        np.testing.assert_allclose(face_recogniser.embedding(chip), wanted, atol=2e-6)


def test_a_foreign_file_is_refused(tmp_path):
    file = tmp_path / "other.dat"
    file.write_bytes(bytes(1000))
    with pytest.raises(ModelError, match="is not dlib's face recogniser"):
        face_recogniser.load(file)
