"""Forgeries by resynthesis: what a generator's bottleneck and its up-sampling leave in a picture.

Real pixels go through a narrow representation and back: reduced and enlarged with the periodic marks of
strided deconvolution (Odena et al. 2016, "Deconvolution and checkerboard artifacts"), smoothed between edges,
thresholded in a transform, or with their spectrum bent (Durall et al. 2020). Inside the face only, as
reenactment does, or everywhere, as talking-head generators do.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from forge.images.augment import Image, sharpened
from forge.images.blend import Points, eye_distance, mix, region_mask, soft_mask

BLOCK = 8
CHOICES = ("bottleneck", "smooth", "shrink", "spectrum")


def resynthesise(image: Image, points: Points | None, rng: np.random.Generator) -> Image:
    """The image as a generator might render it: RGB [h, w, 3].

    ``points`` [68, 2] confine the change to the face or mouth in two of three cases; None: everywhere.
    """
    out = image
    for name in rng.choice(CHOICES, size=1 + int(rng.random() < 0.4), replace=False):
        out = _STEPS[str(name)](out, rng)
    if rng.random() < 0.5:
        out = sharpened(out, float(rng.uniform(0.2, 1.0)))  # generators render crisp edges over lost texture
    if rng.random() < 0.25:
        grain = cv2.GaussianBlur(rng.standard_normal(image.shape[:2]).astype(np.float32), (0, 0), 0.8)
        out = np.clip(out + rng.uniform(1, 5) * grain[:, :, None], 0, 255).astype(np.uint8)
    if points is None or rng.random() < 0.35:
        return out
    region = str(rng.choice(["face", "inner", "lower", "mouth"], p=[0.5, 0.2, 0.15, 0.15]))
    hard = region_mask(points, image.shape, region, grow=float(rng.uniform(0, 0.25)))
    return mix(out, image, soft_mask(hard, eye_distance(points), rng))


def bottleneck(image: Image, rng: np.random.Generator) -> Image:
    """Reduced by 1.5 to 3.5 and enlarged, with the gain of every second or fourth pixel a little off."""
    height, width = image.shape[:2]
    factor = float(rng.uniform(1.5, 3.5))
    small = cv2.resize(
        image, (max(8, round(width / factor)), max(8, round(height / factor))), interpolation=cv2.INTER_AREA
    )
    up = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
    large = cv2.resize(small, (width, height), interpolation=up).astype(np.float32)
    if rng.random() < 0.6:
        period = int(rng.choice([2, 4]))
        tile = rng.normal(1.0, rng.uniform(0.005, 0.03), (period, period, 1)).astype(np.float32)
        large *= np.tile(tile, (height // period + 1, width // period + 1, 1))[:height, :width]
    return np.clip(large, 0, 255).astype(np.uint8)


def smooth(image: Image, rng: np.random.Generator) -> Image:
    """Smoothed between edges: the waxy skin of a decoder trained on mean errors."""
    if rng.random() < 0.25:
        return cv2.medianBlur(image, int(rng.choice([3, 5])))
    return cv2.bilateralFilter(image, 7, float(rng.uniform(12, 45)), float(rng.uniform(2, 5)))


def shrink(image: Image, rng: np.random.Generator) -> Image:
    """Small coefficients of 8x8 cosine transforms set to 0 on two grids, averaged: texture that is no noise."""
    threshold = float(rng.uniform(8, 30))
    first = _shrunk(image, threshold)
    shifted = np.roll(_shrunk(np.roll(image, (-3, -5), (0, 1)), threshold), (3, 5), (0, 1))
    return ((first.astype(np.uint16) + shifted) // 2).astype(np.uint8)


def _shrunk(image: Image, threshold: float) -> Image:
    from scipy.fft import dctn, idctn

    height, width = (side // BLOCK * BLOCK for side in image.shape[:2])
    blocks = image[:height, :width].astype(np.float32).reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    coefficients = dctn(blocks, axes=(1, 3), norm="ortho")
    coefficients[np.abs(coefficients) < threshold] = 0
    out = image.copy()
    back = idctn(coefficients, axes=(1, 3), norm="ortho").reshape(height, width, 3)
    out[:height, :width] = np.clip(back, 0, 255).astype(np.uint8)
    return out


def spectrum(image: Image, rng: np.random.Generator) -> Image:
    """The luma's spectrum bent above a corner: falling faster, or held up, as up-convolutions do."""
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    luma = ycc[:, :, 0].astype(np.float32)
    height, width = luma.shape
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    corner, slope = float(rng.uniform(0.12, 0.3)), float(rng.uniform(-3.0, 1.0))
    gain = np.where(radius > corner, (np.maximum(radius, 1e-6) / corner) ** slope, 1.0)
    bent: NDArray[np.float64] = np.fft.irfft2(np.fft.rfft2(luma) * gain, s=luma.shape)
    ycc[:, :, 0] = np.clip(bent, 0, 255).astype(np.uint8)
    return cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)


_STEPS = {"bottleneck": bottleneck, "smooth": smooth, "shrink": shrink, "spectrum": spectrum}
