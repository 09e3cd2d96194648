"""Train the autoencoders of :mod:`forge.renderer` on real faces: minutes on one core each."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from forge.crops import Image
from forge.renderer import DESIGNS, Autoencoder, Design, load, save

logger = logging.getLogger(__name__)

CROP_PX, BATCH = 128, 8
RATE, JUDGE_RATE, BETAS = 2e-3, 1e-3, (0.5, 0.99)
WARM_UP_STEPS = 100
DETAIL_WEIGHT = 2.0  # of what a low pass takes away: a mean error alone draws waxy skin
JUDGE_FROM, JUDGED_FROM = 0.3, 0.35  # shares of the time: the discriminator first learns alone

Source = Callable[[np.random.Generator], Image]


def cached(folder: Path, source: Source, minutes: float, *, seed: int = 0) -> tuple[Autoencoder, ...]:
    """The renderers in ``folder``, one of each of :data:`~forge.renderer.DESIGNS`; those missing are trained first.

    Parameters
    ----------
    source
        Draws a real face, RGB [h, w, 3].
    minutes
        For each that is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nets = []
    for number, design in enumerate(DESIGNS):
        file = folder / f"renderer{number}.safetensors"
        if not file.exists():
            save(train(design, source, minutes, seed=seed + number), file)
        nets.append(load(file))
    return tuple(nets)


def train(design: Design, source: Source, minutes: float, *, seed: int = 0) -> Autoencoder:
    """Reconstruction with absolute errors, fine detail counted again; then against a discriminator of patches.

    Isola et al. 2017, "Image-to-image translation with conditional adversarial networks", with the hinge loss.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net, judge = Autoencoder(design), _discriminator()
    drawing = torch.optim.Adam(net.parameters(), RATE, betas=BETAS)
    judging = torch.optim.Adam(judge.parameters(), JUDGE_RATE, betas=BETAS)
    began, step = time.monotonic(), 0
    while (spent := (time.monotonic() - began) / (60 * minutes)) < 1:
        step += 1
        rate = RATE * min(1.0, step / WARM_UP_STEPS) * max(0.02, math.cos(spent * math.pi / 2))
        for group in drawing.param_groups:
            group["lr"] = rate
        real = _batch(source, rng)
        drawn = net(real)
        loss = (drawn - real).abs().mean() + DETAIL_WEIGHT * (_detail(drawn) - _detail(real)).abs().mean()
        if spent > JUDGED_FROM:
            loss = loss - design.adversarial * judge(drawn).mean()
        _descend(drawing, loss)
        if spent > JUDGE_FROM:
            hinge = functional.relu(1 - judge(real)).mean() + functional.relu(1 + judge(drawn.detach())).mean()
            _descend(judging, hinge)
    logger.info("renderer with %s: %d steps, loss %.3f", design.doubling, step, float(loss.detach()))
    return net


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _discriminator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.GroupNorm(8, 64),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 96, 3, 1, 1),
        nn.GroupNorm(8, 96),
        nn.LeakyReLU(0.2),
        nn.Conv2d(96, 1, 3, 1, 1),
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _detail(x: Tensor) -> Tensor:
    return x - functional.interpolate(functional.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")


def _batch(source: Source, rng: np.random.Generator) -> Tensor:
    crops = np.stack([_crop(source(rng), rng) for _ in range(BATCH)])
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def _crop(image: Image, rng: np.random.Generator) -> Image:
    import cv2

    scale = max(CROP_PX / min(image.shape[:2]), float(rng.uniform(0.5, 1.0)))
    height, width = (max(CROP_PX, round(side * scale)) for side in image.shape[:2])
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (int(rng.integers(side - CROP_PX + 1)) for side in (height, width))
    part = image[top : top + CROP_PX, left : left + CROP_PX]
    return part[:, ::-1] if rng.random() < 0.5 else part
