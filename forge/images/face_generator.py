"""Generate faces of new identities with a published GAN: MobileStyleGAN.

Belousov 2021, "MobileStyleGAN: a lightweight convolutional neural network for high-fidelity image synthesis", distilled
from StyleGAN2 on FFHQ. The package ``random-face`` carries its weights for the runtime OpenVINO; nothing of it is
imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from features.errors import ModelError
from forge.face_ops import Image
from forge.images.super_resolution import packaged

PACKAGE = "random-face"
STYLE_SIZE = 512
MEAN_OF = 4096  # number of styles whose mean is the mean style
TRUNCATION = (0.5, 0.95)  # factor of the distance from the mean style (Karras et al. 2019, appendix B)


class FaceGenerator:
    """Generate faces, on one core.

    Raises
    ------
    ModelError
        ``openvino`` or the package with the weights is not installed.
    """

    def __init__(self) -> None:
        files = [packaged(PACKAGE, f"data/{name}.xml") for name in ("MappingNetwork", "SynthesisNetwork")]
        try:
            import openvino
        except ImportError as error:
            raise ModelError("the package openvino is missing; `make cnn` installs it") from error
        core = openvino.Core()
        core.set_property("CPU", {"INFERENCE_NUM_THREADS": 1})
        mapping, synthesis = (core.read_model(file) for file in files)
        mapping.reshape({"var": [MEAN_OF, STYLE_SIZE]})
        self._mapping, self._synthesis = core.compile_model(mapping, "CPU"), core.compile_model(synthesis, "CPU")
        self._mean = self._styles(np.random.default_rng(0)).mean(axis=0, keepdims=True)
        self._waiting: list[Any] = []

    def __call__(self, rng: np.random.Generator) -> Image:
        """Generate a random portrait, RGB [1024, 1024, 3]."""
        return self.portrait(self.style(rng))

    def style(self, rng: np.random.Generator) -> Any:
        """Draw a style [1, 512] for :meth:`portrait`: the identity, the pose and the background."""
        if not self._waiting:
            self._waiting = list(self._styles(rng))
        return self._mean + np.float32(rng.uniform(*TRUNCATION)) * (self._waiting.pop() - self._mean)

    def portrait(self, style: Any) -> Image:
        """Generate the portrait of a style, RGB [1024, 1024, 3]."""
        portrait = self._synthesis(style)[0][0].transpose(1, 2, 0)
        return np.ascontiguousarray(np.clip(127.5 * (portrait + 1) + 0.5, 0, 255).astype(np.uint8))

    def _styles(self, rng: np.random.Generator) -> Any:
        return self._mapping(rng.standard_normal((MEAN_OF, STYLE_SIZE), dtype=np.float32))[0]
