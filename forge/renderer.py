"""Forgeries by a decoder's hand: real faces through small autoencoders.

Every neural renderer ends in a decoder that draws pixels from a narrow representation; its traces (up-sampling
patterns, texture that is nearly right) are what generators share. A detector that learns to tell a real picture from
its own reconstruction carries over to generators that it never saw (Rajan et al. 2024, "Aligned datasets improve
detection of latent diffusion-generated images", there with a large model's autoencoder; ours are small, of several
designs, and trained on the same real faces: :mod:`forge.renderer_training`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from features.errors import ModelError
from forge.blend import Points, confined, with_coarse_colours
from forge.crops import Image, sharpened

SCALE = (0.55, 1.05)  # of the picture when it is rendered: the decoder's own resolution
MAX_NOISE = 0.15  # of the code, in its standard deviations: texture that is no longer the original's
P_EVERYWHERE, P_SHARPENED = 0.5, 0.3


@dataclass(frozen=True)
class Design:
    """An autoencoder: halvings, channels of the code and of the inner layers, and how the decoder doubles."""

    halvings: int
    code: int
    width: int
    doubling: Literal["nearest", "bilinear", "shuffle", "deconvolution"]
    adversarial: float
    """Weight of the discriminator's judgement in training."""


DESIGNS = (
    Design(2, 6, 32, "nearest", 0.05),
    Design(2, 4, 32, "shuffle", 0.1),
    Design(3, 24, 40, "deconvolution", 0.05),
)


class _Doubling(nn.Module):
    def __init__(self, inputs: int, outputs: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.layer: nn.Module
        if kind == "deconvolution":
            self.layer = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
        elif kind == "shuffle":
            self.layer = nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, 1, 1), nn.PixelShuffle(2))
        else:
            self.layer = nn.Conv2d(inputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] to [n, outputs, 2 h, 2 w]."""
        if self.kind in {"nearest", "bilinear"}:
            x = functional.interpolate(x, scale_factor=2, mode=self.kind)
        y: Tensor = self.layer(x)
        return y


class Autoencoder(nn.Module):
    """Pictures [n, 3, h, w] in -1..1 to the same through a code; sides must be multiples of ``2 ** halvings``."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        widths = [design.width] + [2 * design.width] * (design.halvings - 1)
        encoder: list[nn.Module] = []
        for before, after in zip([3, *widths], widths, strict=False):
            encoder += [nn.Conv2d(before, after, 4, 2, 1), nn.SiLU()]
        inner = widths[-1]
        self.encoder = nn.Sequential(
            *encoder, nn.Conv2d(inner, inner, 3, 1, 1), nn.SiLU(), nn.Conv2d(inner, design.code, 1)
        )
        decoder: list[nn.Module] = [nn.Conv2d(design.code, inner, 3, 1, 1), nn.SiLU()]
        decoder += [nn.Conv2d(inner, inner, 3, 1, 1), nn.SiLU()]
        for before, after in zip(widths[::-1], [*widths[-2::-1], 16], strict=False):
            decoder += [_Doubling(before, after, design.doubling), nn.SiLU()]
            if after != 16:
                decoder += [nn.Conv2d(after, after, 3, 1, 1), nn.SiLU()]
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(16, 3, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction."""
        y: Tensor = self.decoder(self.encoder(x))
        return y


def save(net: Autoencoder, file: Path) -> None:
    """Write weights in half precision with the design in the header; the file appears whole or not at all."""
    from safetensors.torch import save_file

    state = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    partial = file.with_suffix(".partial")
    save_file(state, str(partial), metadata={"design": json.dumps(asdict(net.design))})
    partial.replace(file)


def load(file: Path) -> Autoencoder:
    """What :func:`save` wrote, ready to run.

    Raises
    ------
    ModelError
        The file is missing, damaged, or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as opened:
            net = Autoencoder(Design(**json.loads((opened.metadata() or {})["design"])))
            net.load_state_dict({name: opened.get_tensor(name).float() for name in opened.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{file} holds no autoencoder of forge.renderer ({error})") from error
    return net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def rerender(image: Image, points: Points | None, nets: Sequence[Autoencoder], rng: np.random.Generator) -> Image:
    """The image [h, w, 3], RGB, as one of the decoders draws it.

    ``points`` [68, 2] confine the change to the face or a part of it in half of the cases; None: everywhere. Coarse
    colours stay the original's, so that they tell nothing.
    """
    net = nets[int(rng.integers(len(nets)))]
    height, width = image.shape[:2]
    small = _resized(image, float(rng.uniform(*SCALE)), 2**net.design.halvings)
    drawn = with_coarse_colours(_drawn(net, small, float(rng.uniform(0, MAX_NOISE)), rng), small)
    enlarging = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    out = np.asarray(cv2.resize(drawn, (width, height), interpolation=enlarging), np.uint8)
    if rng.random() < P_SHARPENED:
        out = sharpened(out, float(rng.uniform(0.2, 0.8)))
    if points is None or rng.random() < P_EVERYWHERE:
        return out
    return confined(out, image, points, rng)


def _resized(image: Image, scale: float, multiple: int) -> Image:
    height, width = (max(64, round(side * scale / multiple) * multiple) for side in image.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=way)


def _drawn(
    net: Autoencoder, image: Image, noise: float, rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        code = net.encoder(pixels.contiguous(memory_format=torch.channels_last))
        grain = torch.from_numpy(rng.standard_normal(tuple(code.shape), dtype=np.float32))
        drawn = net.decoder(code + noise * code.std() * grain)
    return (drawn[0].permute(1, 2, 0).numpy() + 1) * np.float32(127.5)
