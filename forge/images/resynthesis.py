"""Forgeries by resynthesis: traces of a generator's bottleneck and up-sampling.

Real pixels pass through a narrow representation: they are reduced and enlarged with the periodic marks of strided
deconvolution (Odena et al. 2016, "Deconvolution and checkerboard artifacts"), smoothed between edges, thresholded in a
transform, or their spectrum is bent (Durall et al. 2020). The change is inside the face only, as in reenactment, or
everywhere, as in talking-head generators.

Each step is a class that samples its parameters and applies them: every training image samples new parameters, a clip
uses one set for all its frames (:mod:`forge.clips.video`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from forge.face_ops import Image, Points, sharpened, to_bytes
from forge.images.blend import Area, mix

BLOCK = 8
RESYNTHESISED = {"face": 0.5, "inner": 0.2, "lower": 0.15, "mouth": 0.15}  # probabilities of the regions
GRAIN_PX = 0.8  # standard deviation of the Gaussian that turns noise into grain


class Step(Protocol):
    """A step through a narrow representation."""

    def apply(self, image: Image) -> Image:
        """The image [h, w, 3] after the step."""


@dataclass(frozen=True)
class Bottleneck:
    """Reduced by ``factor`` and enlarged again."""

    factor: float
    interpolation: int
    pattern: NDArray[np.float32] | None = None
    """Gains [p, p, 1] of the enlarged image's pixels, repeated over the image; None: all 1."""
    deconvolved: bool = False
    """True: enlarge by two with :func:`zero_inserted` first."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Bottleneck:
        """Sample a factor of 1.5 to 3.5, in six of ten cases with gains that differ with a period of 2 or 4 pixels."""
        factor = float(rng.uniform(1.5, 3.5))
        way = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
        pattern = None
        if rng.random() < 0.6:
            period = int(rng.choice([2, 4]))
            pattern = rng.normal(1.0, rng.uniform(0.005, 0.03), (period, period, 1)).astype(np.float32)
        return cls(factor, way, pattern)

    def apply(self, image: Image) -> Image:
        """The image [h, w, 3] after the step."""
        height, width = image.shape[:2]
        size = (max(8, round(width / self.factor)), max(8, round(height / self.factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if self.deconvolved:
            small = zero_inserted(small)
        large = cv2.resize(small, (width, height), interpolation=self.interpolation).astype(np.float32)
        if self.pattern is not None:
            period = len(self.pattern)
            large *= np.tile(self.pattern, (height // period + 1, width // period + 1, 1))[:height, :width]
        return to_bytes(large)


def zero_inserted(small: Image) -> Image:
    """Double an image [h, w, 3] by a transposed convolution whose kernel size is not a multiple of its stride.

    Zeros are inserted between pixels, and a 3x3 kernel is applied: even and odd rows and columns get different sums,
    the checkerboard of Odena et al. 2016.
    """
    height, width = small.shape[:2]
    spread = np.zeros((2 * height, 2 * width, 3), np.float32)
    spread[::2, ::2] = small
    line = np.array([0.54, 1.0, 0.54], np.float32)
    return to_bytes(cv2.sepFilter2D(spread, -1, line, line))


@dataclass(frozen=True)
class Smooth:
    """Smoothing between edges: the waxy skin of a decoder that is trained on mean errors."""

    median_px: int = 0
    """Side of a median filter; 0: bilateral."""
    colour_sd: float = 0.0
    space_sd: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Smooth:
        """Sample a median filter in one of four cases, else a bilateral filter."""
        if rng.random() < 0.25:
            return cls(median_px=int(rng.choice([3, 5])))
        return cls(0, float(rng.uniform(12, 45)), float(rng.uniform(2, 5)))

    def apply(self, image: Image) -> Image:
        """The image [h, w, 3] after the step."""
        if self.median_px:
            return cv2.medianBlur(image, self.median_px)
        return cv2.bilateralFilter(image, 7, self.colour_sd, self.space_sd)


@dataclass(frozen=True)
class Shrink:
    """Small coefficients of 8x8 cosine transforms set to 0, averaged over two grids: texture without noise."""

    threshold: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Shrink:
        """Sample a threshold of 8 to 30 grey levels."""
        return cls(float(rng.uniform(8, 30)))

    def apply(self, image: Image) -> Image:
        """The image [h, w, 3] after the step."""
        first = self._shrunk(image)
        shifted = np.roll(self._shrunk(np.roll(image, (-3, -5), (0, 1))), (3, 5), (0, 1))
        return to_bytes((first + shifted) / 2)

    def _shrunk(self, image: Image) -> NDArray[np.float32]:
        from scipy.fft import dctn, idctn

        height, width = (side // BLOCK * BLOCK for side in image.shape[:2])
        blocks = image[:height, :width].astype(np.float32).reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
        coefficients = dctn(blocks, axes=(1, 3), norm="ortho")
        coefficients[np.abs(coefficients) < self.threshold] = 0
        out = image.astype(np.float32)
        out[:height, :width] = idctn(coefficients, axes=(1, 3), norm="ortho").reshape(height, width, 3)
        return out


@dataclass(frozen=True)
class BentSpectrum:
    """The luma's spectrum bent above a corner frequency: it falls faster or is raised, as by up-convolutions."""

    corner: float
    """Corner frequency in cycles per pixel."""
    slope: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> BentSpectrum:
        """Sample an exponent from -3 to 1."""
        return cls(float(rng.uniform(0.12, 0.3)), float(rng.uniform(-3.0, 1.0)))

    def apply(self, image: Image) -> Image:
        """The image [h, w, 3] after the step."""
        ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
        luma = ycc[:, :, 0].astype(np.float32)
        height, width = luma.shape
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
        gain = np.where(radius > self.corner, (np.maximum(radius, 1e-6) / self.corner) ** self.slope, 1.0)
        bent: NDArray[np.float64] = np.fft.irfft2(np.fft.rfft2(luma) * gain, s=luma.shape)
        ycc[:, :, 0] = to_bytes(bent)
        return cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)


STEPS: dict[str, type[Bottleneck | Smooth | Shrink | BentSpectrum]] = {
    "bottleneck": Bottleneck,
    "smooth": Smooth,
    "shrink": Shrink,
    "spectrum": BentSpectrum,
}


@dataclass(frozen=True)
class Decoder:
    """Steps that are applied to an image in turn, then unsharp masking."""

    steps: tuple[Step, ...]
    sharpening: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Decoder:
        """Sample one step, or in four of ten cases two; half of the images are sharpened."""
        names = rng.choice(list(STEPS), size=1 + int(rng.random() < 0.4), replace=False)
        steps = tuple(STEPS[str(name)].sample(rng) for name in names)
        return cls(steps, sampled_sharpening(rng))

    def apply(self, image: Image) -> Image:
        """Render an image [h, w, 3] like a decoder."""
        for step in self.steps:
            image = step.apply(image)
        return sharpened(image, self.sharpening) if self.sharpening else image


def sampled_sharpening(rng: np.random.Generator) -> float:
    """Sample the amount of unsharp masking, or 0: generators render crisp edges over lost texture."""
    return float(rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else 0.0


def resynthesise(image: Image, points: Points | None, rng: np.random.Generator) -> Image:
    """Render an image as a generator might: RGB [h, w, 3].

    ``points`` [68, 2] confine the change to the face or mouth in two of three cases; None: the change is everywhere.
    """
    out = Decoder.sample(rng).apply(image)
    if rng.random() < 0.25:
        grain = cv2.GaussianBlur(rng.standard_normal(image.shape[:2]).astype(np.float32), (0, 0), GRAIN_PX)
        out = to_bytes(out + rng.uniform(1, 5) * grain[:, :, None])
    if points is None or rng.random() < 0.35:
        return out
    return mix(out, image, Area.sample(rng, RESYNTHESISED).mask(points, image.shape))
