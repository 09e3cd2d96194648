"""The network of the forensic families of faces: EfficientNet-Lite0 with one output, and its file format.

Tan & Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks"; the Lite variant
(Liu 2020, TensorFlow blog) has neither squeeze-and-excitation nor swish, so it runs fast on a CPU.
Importing this module imports torch, so families import it only where they run it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from features.errors import ModelError
from features.networks.weights import STORED_NAME, read_arrays, save_arrays, unusable
from features.threads import torch_on_one_thread

# Repeats, kernel, stride, expansion, output channels of each stage: Tan & Le 2019, table 1 (B0), with the
# Lite variant's unscaled first and last stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS, EMBEDDING = 32, 1280
BN_EPS, BN_MOMENTUM = 1e-3, 0.01  # as the published weights were trained
RESIDUAL_GAIN, RESIDUAL_LIMIT = 12.0, 3.0  # to about the spread of an image
BLOCKS_BEFORE_CELLS = 11  # the last blocks that tell an eye from a mouth: 8 x 8 cells of 128 px, then 4 x 4
DROP_PATH = 0.2  # stochastic depth of the last block, rising linearly from 0 (Huang et al. 2016)


@dataclass(frozen=True)
class WeightsMetadata:
    """The metadata of a weights file: how crops must be cut and what a logit means."""

    name: str = "forensic_cnn"
    version: str = "1"
    input_size: int = 160
    margin: float = 1.25
    """Side of the square crop over the longer side of the face box."""
    mean: float = 127.0
    std: float = 128.0
    """Pixels (0-255) enter as (x - mean) / std."""
    logit_positive: str = "fake"
    input_representation: str = field(default="rgb", metadata={STORED_NAME: "front"})
    """``"rgb"``: the network sees the pixels; ``"residual"``: their :func:`residual`, no colours or shapes. In the
    file's header the field is called ``front``, as it was when the shipped weights were written."""


class ConvBN(nn.Sequential):
    """Convolution with TensorFlow's "same" padding, batch norm, and ReLU6 when ``active``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        layers: list[nn.Module] = []
        if stride == 2:  # an even side: one pixel less is padded before than after
            layers.append(nn.ZeroPad2d(((kernel - 2) // 2, (kernel - 1) // 2) * 2))
        padding = 0 if stride == 2 else kernel // 2
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
        layers.append(nn.BatchNorm2d(outputs, eps=BN_EPS, momentum=BN_MOMENTUM))
        if active:
            layers.append(nn.ReLU6(inplace=True))
        super().__init__(*layers)

    def fuse(self) -> None:
        """Fold batch norm and uneven padding into the convolution: the same output in eval mode in half the time."""
        position = next(number for number, layer in enumerate(self) if isinstance(layer, nn.Conv2d))
        convolution, norm = self[position], self[position + 1]
        fused: nn.Conv2d = fuse_conv_bn_eval(convolution, norm)  # type: ignore[arg-type,type-var,assignment]
        self[position], self[position + 1] = fused, nn.Identity()
        if position:
            self[0], self[position] = nn.Identity(), _evenly_padded(fused)


def _evenly_padded(convolution: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution of stride 2 whose kernel begins with a row and a column of zeros, to replace padding.

    A padding layer copies the image, which takes as long as the convolution itself.
    """
    assert convolution.bias is not None
    kernel = convolution.kernel_size[0]
    with torch.device("meta"):
        wider = nn.Conv2d(
            convolution.in_channels,
            convolution.out_channels,
            kernel + 1,
            stride=2,
            padding=kernel // 2,
            groups=convolution.groups,
        )
    wider.weight = nn.Parameter(functional.pad(convolution.weight.detach(), (1, 0, 1, 0)), requires_grad=False)
    wider.bias = convolution.bias
    return wider.eval()


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection, and the shortcut past them (Sandler et al. 2018)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int, expansion: int, drop_path: float
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = ConvBN(inputs, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvBN(wide, wide, kernel, stride=stride, groups=wide)
        self.project = ConvBN(wide, outputs, 1, active=False)
        self.skips = stride == 1 and inputs == outputs
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, inputs, h, w] to [n, outputs, h / stride, w / stride]."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        if not self.skips:
            return y
        if self.training and self.drop_path:
            kept = torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop_path
            y = y * (kept / (1.0 - self.drop_path))
        return x + y


class LiteNet(nn.Module):
    """EfficientNet-Lite0 trunk, pooled to an embedding of 1280, and one logit, positive for a forgery."""

    def __init__(self, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.stem = ConvBN(3, STEM_CHANNELS, 3, stride=2)
        blocks: list[nn.Module] = []
        inputs, total = STEM_CHANNELS, sum(stage[0] for stage in STAGES)
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for number in range(repeats):
                blocks.append(
                    InvertedResidual(
                        inputs,
                        outputs,
                        kernel,
                        stride=stride if number == 0 else 1,
                        expansion=expansion,
                        drop_path=DROP_PATH * len(blocks) / total,
                    )
                )
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvBN(inputs, EMBEDDING, 1)
        self.dropout = nn.Dropout(dropout)
        self.logit = nn.Linear(EMBEDDING, 1)

    def embed(self, x: Tensor) -> Tensor:
        """Map normalised crops [n, 3, s, s] to embeddings [n, 1280]."""
        return functional.adaptive_avg_pool2d(self.head(self.blocks(self.stem(x))), 1).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised crops [n, 3, s, s] to logits [n]."""
        y: Tensor = self.logit(self.dropout(self.embed(x)))
        return y.squeeze(1)


def normalised(crops: Tensor, metadata: WeightsMetadata) -> Tensor:
    """Normalise pixels 0-255 [n, 3, s, s] of any type for the network, with channels last in memory."""
    pixels = (crops.float() - metadata.mean) / metadata.std
    if metadata.input_representation == "residual":
        pixels = residual(pixels)
    return pixels.contiguous(memory_format=torch.channels_last)


def residual(x: Tensor) -> Tensor:
    """Return the high-pass residual of ``x`` [n, 3, s, s], amplified and clipped: noise, edges, a decoder's texture.

    After the fixed high-pass filters of Fridrich & Kodovsky 2012, "Rich models for steganalysis of digital images".
    The only filter here is the pixel minus a 3 x 3 box mean applied twice.
    """
    low = x
    for _ in range(2):
        low = functional.pad(low, (1, 1, 1, 1), mode="reflect")
        low = low[..., :-2] + low[..., 1:-1] + low[..., 2:]  # one axis, then the other: a fifth of avg_pool2d's time
        low = (low[..., :-2, :] + low[..., 1:-1, :] + low[..., 2:, :]) / 9
    return ((x - low) * RESIDUAL_GAIN).clamp(-RESIDUAL_LIMIT, RESIDUAL_LIMIT)


def save_weights(net: LiteNet, file: Path, metadata: WeightsMetadata) -> None:
    """Write the weights in half precision, with the metadata in the header; the file appears whole or not at all."""
    state = {name: value.detach().cpu() for name, value in net.state_dict().items()}
    arrays = {name: (tensor.half() if tensor.is_floating_point() else tensor).numpy() for name, tensor in state.items()}
    save_arrays(arrays, file, metadata)


def read_weights(file: Path) -> tuple[WeightsMetadata, dict[str, Tensor]]:
    """Read what :func:`save_weights` wrote: metadata, and the state in single precision.

    Raises
    ------
    ModelError
        The file is missing, damaged, or of another kind.
    """
    metadata, arrays = read_arrays(file, WeightsMetadata)
    return metadata, {name: torch.from_numpy(tensor).float() for name, tensor in arrays.items()}


class Detector:
    """A network ready to run on one thread; results are deterministic and do not depend on the order in a batch.

    Parameters
    ----------
    file
        A file that :func:`save_weights` wrote.

    Raises
    ------
    ModelError
        The file is missing, damaged or of another network, or its logits are positive for real faces.
    """

    def __init__(self, file: Path) -> None:
        self.metadata, state = read_weights(file)
        with torch.device("meta"):  # on no device: initial weights would draw from the caller's random numbers
            self._net = LiteNet()
        try:
            self._net.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise unusable(file, error) from error
        if self.metadata.logit_positive != "fake":
            raise ModelError(
                f"{file} counts logits as positive for {self.metadata.logit_positive!r}, not for a fake; retrain it"
            )
        self._net.eval()
        for module in [module for module in self._net.modules() if isinstance(module, ConvBN)]:
            module.fuse()
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from its stub

    def predict(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits [n] and embeddings [n, 1280] of RGB crops [n, s, s, 3]."""
        with torch_on_one_thread(), torch.inference_mode():
            embeddings = self._net.embed(normalised(torch.from_numpy(crops).permute(0, 3, 1, 2), self.metadata))
            return self._net.logit(embeddings)[:, 0].numpy(), embeddings.numpy()

    def logits_without(
        self, crops: NDArray[np.uint8], masks: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits [n] of RGB crops [n, s, s, 3], and [n, r] of each crop without each region [n, r, s, s].

        To remove a region, its features after ``BLOCKS_BEFORE_CELLS`` blocks are replaced by their mean over the crop.
        """
        net = self._net
        with torch_on_one_thread(), torch.inference_mode():
            pixels = normalised(torch.from_numpy(crops).permute(0, 3, 1, 2), self.metadata)
            features = net.blocks[:BLOCKS_BEFORE_CELLS](net.stem(pixels))
            cells = functional.adaptive_avg_pool2d(torch.from_numpy(masks).float(), features.shape[-2:])[:, :, None]
            mean = features.mean(dim=(2, 3), keepdim=True)
            without = features[:, None] + cells * (mean - features)[:, None]
            every = torch.cat([features, without.flatten(0, 1)]).contiguous(memory_format=torch.channels_last)
            top = net.head(net.blocks[BLOCKS_BEFORE_CELLS:](every))
            logits = net.logit(functional.adaptive_avg_pool2d(top, 1).flatten(1))[:, 0].numpy()
        return logits[: len(crops)], logits[len(crops) :].reshape(masks.shape[:2])
