"""Augmentations of a face crop that keep its label: geometry, colour, and effects of cameras and codecs.

The REAL and the FAKE of a pair get the same geometric and photometric augmentation, so that softness, size and
compression do not reveal the label. Parameters are sampled first, as plain values, and applied to both.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from extract.clip.square_crop import SquareCrop
from forge.face_ops import Image, sharpened

MARGIN = 1.25  # side of a network's crop relative to the longer side of the face box
MAX_SHIFT, MAX_SCALE, MAX_ANGLE_DEG = 0.06, 0.12, 12.0  # about twice the variation of the face detector's boxes


@dataclass(frozen=True)
class GeometricAugmentation:
    """A square crop: ``zoom`` relative to ``MARGIN``, shift in box sides, angle, mirroring."""

    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    angle_deg: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True)
class PhotometricAugmentation:
    """Steps of the augmentation, in this order; None or 0 skips a step."""

    gain: float = 1.0
    offset: float = 0.0
    gamma: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    reduction: float = 1.0
    """Side relative to the original's, before the image is enlarged again."""
    interpolation: int = cv2.INTER_LINEAR
    blur_px: float = 0.0
    motion_px: int = 0
    sharpening: float = 0.0
    noise: float = 0.0
    """Standard deviation in grey levels."""
    jpeg: tuple[int, ...] = ()
    webp: int | None = None
    h264_crf: int | None = None
    erased: tuple[float, float, float, float] | None = None
    """Left, top, width, height as fractions of the side."""


def sample_geometric(rng: np.random.Generator) -> GeometricAugmentation:
    """Sample a slightly wrong box, like those of face detectors, mirrored in half of the cases."""
    return GeometricAugmentation(
        zoom=float(np.exp(rng.uniform(-MAX_SCALE, MAX_SCALE))),
        shift=(float(rng.uniform(-MAX_SHIFT, MAX_SHIFT)), float(rng.uniform(-MAX_SHIFT, MAX_SHIFT))),
        angle_deg=float(rng.uniform(-MAX_ANGLE_DEG, MAX_ANGLE_DEG)) if rng.random() < 0.3 else 0.0,
        mirrored=bool(rng.random() < 0.5),
    )


def apply_geometric(image: Image, box: NDArray[np.float32], augmentation: GeometricAugmentation, size: int) -> Image:
    """Cut the square crop [size, size, 3] around ``box`` [4] (left, top, right, bottom in px).

    The image is extended by repeating its edges.
    """
    longer = float(max(box[2] - box[0], box[3] - box[1]))
    side = max(8.0, longer * MARGIN * augmentation.zoom)
    x = float(box[0] + box[2]) / 2 + augmentation.shift[0] * longer
    y = float(box[1] + box[3]) / 2 + augmentation.shift[1] * longer
    if augmentation.angle_deg:
        turn = cv2.getRotationMatrix2D((x, y), augmentation.angle_deg, 1.0)
        image = cv2.warpAffine(image, turn, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    crop = SquareCrop(round(x - side / 2), round(y - side / 2), round(side)).cut(image, size)
    return np.ascontiguousarray(crop[:, ::-1]) if augmentation.mirrored else crop


def sample_photometric(rng: np.random.Generator) -> PhotometricAugmentation:
    """Sample colour, softness, noise and compression as in clips of any source; one in seven crops is unchanged."""
    if rng.random() < 0.15:
        return PhotometricAugmentation()
    steps: dict[str, object] = {}
    if rng.random() < 0.7:
        steps |= {
            "gain": float(rng.uniform(0.7, 1.3)),
            "offset": float(rng.uniform(-25, 25)),
            "gamma": float(np.exp(rng.uniform(-0.35, 0.35))),
            "balance": tuple(rng.uniform(0.92, 1.08, 3).tolist()),
            "saturation": float(rng.uniform(0.4, 1.4)) if rng.random() > 0.03 else 0.0,
        }
    if rng.random() < 0.4:
        steps["reduction"] = float(rng.uniform(0.4, 0.95))
        steps["interpolation"] = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
    if rng.random() < 0.2:
        steps["blur_px"] = float(rng.uniform(0.4, 1.3))
    if rng.random() < 0.03:
        steps["motion_px"] = int(rng.integers(2, 5))
    if rng.random() < 0.1:
        steps["sharpening"] = float(rng.uniform(0.2, 1.0))
    if rng.random() < 0.2:
        steps["noise"] = float(rng.uniform(1.0, 7.0))
    steps |= _codec(rng)
    if rng.random() < 0.2:
        width, height = rng.uniform(0.1, 0.4, 2)
        steps["erased"] = (
            float(rng.uniform(0, 1 - width)),
            float(rng.uniform(0, 1 - height)),
            float(width),
            float(height),
        )
    return PhotometricAugmentation(**steps)  # type: ignore[arg-type]


def _codec(rng: np.random.Generator) -> dict[str, object]:
    kind = rng.random()
    if kind < 0.35:
        return {"jpeg": (int(rng.integers(45, 96)),)}
    if kind < 0.42:
        return {"jpeg": (int(rng.integers(60, 96)), int(rng.integers(50, 90)))}
    if kind < 0.48:
        return {"webp": int(rng.integers(50, 96))}
    if kind < 0.74:
        return {"h264_crf": int(rng.integers(18, 37))}
    return {}


def apply_photometric(image: Image, augmentation: PhotometricAugmentation, rng: np.random.Generator) -> Image:
    """Apply all steps of an augmentation to an RGB crop [s, s, 3]; ``rng`` samples only the noise."""
    image = _coloured(image, augmentation)
    side = image.shape[0]
    if augmentation.reduction < 1:
        small = max(16, round(side * augmentation.reduction))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (side, side), interpolation=augmentation.interpolation)
    if augmentation.blur_px:
        image = cv2.GaussianBlur(image, (0, 0), augmentation.blur_px)
    if augmentation.motion_px:
        image = cv2.blur(image, (augmentation.motion_px, 1))
    if augmentation.sharpening:
        image = sharpened(image, augmentation.sharpening)
    if augmentation.noise:
        grain = rng.standard_normal((side, side, 1 if rng.random() < 0.5 else 3), dtype=np.float32)
        image = np.clip(image + augmentation.noise * grain, 0, 255).astype(np.uint8)
    for level in augmentation.jpeg:
        image = jpeg(image, level)
    if augmentation.webp is not None:
        image = webp(image, augmentation.webp)
    if augmentation.h264_crf is not None:
        image = h264(image, augmentation.h264_crf)
    if augmentation.erased:
        left, top, width, height = (round(fraction * side) for fraction in augmentation.erased)
        image = image.copy()
        image[top : top + height, left : left + width] = image.mean(axis=(0, 1)).astype(np.uint8)
    return image


def _coloured(image: Image, augmentation: PhotometricAugmentation) -> Image:
    levels = np.arange(256) / 255.0
    curve = 255.0 * levels**augmentation.gamma * augmentation.gain + augmentation.offset
    if augmentation.saturation != 1.0:
        grey = np.outer(np.ones(3), (0.299, 0.587, 0.114))
        image = cv2.transform(image, augmentation.saturation * np.eye(3) + (1 - augmentation.saturation) * grey)
    if np.allclose(curve, np.arange(256)) and augmentation.balance == (1.0, 1.0, 1.0):
        return image
    table = np.clip(np.outer(curve, augmentation.balance), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def jpeg(image: Image, quality: int) -> Image:
    """Compress the image [h, w, 3] as JPEG of ``quality`` 1-100, with chroma halved, like most cameras and sites."""
    data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def webp(image: Image, quality: int) -> Image:
    """Compress the image [h, w, 3] as lossy WebP of ``quality`` 1-100, like sites that convert images."""
    data = cv2.imencode(".webp", image[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    return cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def h264(image: Image, crf: int) -> Image:
    """Compress the image [h, w, 3] as a single H.264 key frame; ``crf`` 18 is hardly visible, 40 very coarse.

    The sides must be even.
    """
    import av

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = image.shape[1], image.shape[0]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    encoder.options = {"crf": str(crf), "preset": "superfast", "tune": "zerolatency"}
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + list(decoder.decode(None))
    return frames[0].to_ndarray(format="rgb24")
