"""Compare two regions of a face crop by the output of the first layers of a network on high-pass residuals.

A generator, or a blend, leaves its texture in the part of the image that it made. The strength of this texture alone
says little about an unknown clip, because camera, light and codec change it more. The difference between two regions of
one crop says more, because camera and codec are the same in both. Low layers are used instead of logits because they
describe texture and not what the image shows, and because such layers generalise best over generators (Chai et al.
2020, "What makes fake images detectable?").

The network is the stem and the first blocks of EfficientNet-Lite0 on high-pass residuals
(:mod:`features.networks.efficientnet_lite`), from a base that was trained without labelled clips. Each channel of each
block gives two contrasts: the difference of the means of two regions, in standard deviations of the whole crop, and the
logarithm of the ratio of their standard deviations. Fixed principal axes, found without labels, reduce the contrasts to
32 components. The file ``face_contrast.safetensors`` holds layers and axes; ``deepcue fit-contrast`` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from features.arrays import F64
from features.errors import ModelError
from features.networks.weights import kept_in_memory, read_arrays, save_arrays, unusable
from features.observation import CROP_SCALE

if TYPE_CHECKING:  # torch is imported where it is used
    from torch import Tensor


FAMILY = "face_contrast"  # the file's family
DIMENSIONS = 32
N_BLOCKS = 5  # to an eighth of the crop's side; later ones describe what is shown
BATCH = 8  # crops at a time: memory does not grow with the clip
LARGEST_DEVIATION = 4.0  # of a contrast from its median, in its scale: larger deviations are clipped
_SMALLEST_SPREAD = 1e-3  # of a channel: a region without any detail has a spread of 0
_HALF_WIDTH, _HALF_HEIGHT = 0.34, 0.44  # of an ellipse about the face, over the longer side of its box
_CENTRE, _EDGE, _ABOVE = 0.5, (0.8, 1.1), 1.15  # radii, 1 on that ellipse
_ABOVE_FROM = 0.19  # over the middle of the box, in its longer side: from here up is "above"
PAIRS = ((1, 2), (1, 3))
"""Regions that are compared, by their place in :func:`regions`: the centre of the face with its edge, and with what
lies above it."""


@dataclass(frozen=True)
class ContrastMetadata:
    """The metadata in a file's header."""

    name: str = FAMILY
    version: str = "1"
    input_size: int = 160
    """Side in px at which a whole crop, ``CROP_SCALE`` times as wide as the face box, enters."""


@dataclass(frozen=True, eq=False)
class Axes:
    """The linear map from contrasts [n, d] to components [n, 32]."""

    centre: F64
    """[d] median of each contrast."""
    scale: F64
    """[d] standard deviation of each contrast."""
    axes: F64
    """[d, 32] orthonormal columns."""

    def project(self, contrasts: NDArray[np.floating]) -> F64:
        """Return the components [n, 32] of contrasts [n, d], which are clipped to :data:`LARGEST_DEVIATION` first.

        >>> Axes(np.array([1.0, 0.0]), np.array([2.0, 1.0]), np.array([[0.0], [1.0]])).project(np.array([[3.0, 9.0]]))
        array([[4.]])
        """
        deviations = (contrasts.astype(np.float64) - self.centre) / self.scale
        return np.clip(deviations, -LARGEST_DEVIATION, LARGEST_DEVIATION) @ self.axes


def regions(cells: int) -> NDArray[np.float32]:
    """Return weights [4, cells, cells] of a crop's cells in each region: everything, centre, edge, above the face.

    The weights of each region sum to 1. The middle of a crop is the middle of the face box.

    >>> regions(20).sum(axis=(1, 2)).round(5).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    place = ((np.arange(cells) + 0.5) / cells - 0.5) * CROP_SCALE
    down, right = np.meshgrid(place, place, indexing="ij")
    radius = np.hypot(right / _HALF_WIDTH, down / _HALF_HEIGHT)
    inside = (
        np.ones_like(radius, bool),
        radius < _CENTRE,
        (radius >= _EDGE[0]) & (radius < _EDGE[1]),
        (radius > _ABOVE) & (down < -_ABOVE_FROM),
    )
    return np.stack([region / region.sum() for region in inside]).astype(np.float32)


def contrasts(mean: F64, spread: F64) -> F64:
    """Return contrasts of the :data:`PAIRS` of regions from each region's mean and standard deviation by channel.

    Parameters
    ----------
    mean, spread : ndarray of shape (n, 4, channels)
        Moments of n crops; regions in the order of :func:`regions`.

    Returns
    -------
    ndarray of shape (n, 4 * channels)
        For each pair, the differences of the means divided by the whole crop's standard deviation, then the logarithms
        of the ratios of the standard deviations.

    Examples
    --------
    >>> mean, spread = np.zeros((1, 4, 1)), np.ones((1, 4, 1))
    >>> mean[0, 1], spread[0, 1] = 2.0, 3.0
    >>> contrasts(mean, spread).round(2).tolist()
    [[2.0, 1.1, 2.0, 1.1]]
    """
    whole, spread = spread[:, 0] + _SMALLEST_SPREAD, spread + _SMALLEST_SPREAD
    parts = []
    for region, other in PAIRS:
        parts += [(mean[:, region] - mean[:, other]) / whole, np.log(spread[:, region] / spread[:, other])]
    return np.concatenate(parts, axis=1)


def texture_ratios(values: F64) -> F64:
    """Return the mean [n, 2] over channels of each pair's logarithms of contrasts [n, d]; above 0: more in the centre.

    >>> mean, spread = np.zeros((1, 4, 2)), np.ones((1, 4, 2))
    >>> spread[0, 3] = np.exp([1.0, 3.0])  # above the face there is more
    >>> texture_ratios(contrasts(mean, spread)).round(1).tolist()
    [[0.0, -2.0]]
    """
    return values.reshape(len(values), len(PAIRS), 2, -1)[:, :, 1].mean(axis=2)


class LowLayers:
    """The stem and the first :data:`N_BLOCKS` blocks of a network on high-pass residuals, ready to run on one thread.

    Parameters
    ----------
    state : mapping of str to ndarray
        Weights under the names of :class:`features.networks.efficientnet_lite.LiteNet`; those of later layers are
        ignored.
    input_size
        Side in px at which a whole crop enters.

    Raises
    ------
    RuntimeError
        Weights are missing, or of other shapes.
    """

    def __init__(self, state: dict[str, NDArray[np.float32]], input_size: int) -> None:
        import torch

        from features.networks.efficientnet_lite import ConvBN, LiteNet

        self.input_size = input_size
        with torch.device("meta"):  # on no device: initial weights would draw from the caller's random numbers
            self._net = LiteNet()
        del self._net.blocks[N_BLOCKS:], self._net.head, self._net.logit
        weights = {name: torch.from_numpy(state[name]) for name in self._net.state_dict() if name in state}
        self._net.load_state_dict(weights, assign=True)
        self._net.eval()
        for module in [module for module in self._net.modules() if isinstance(module, ConvBN)]:
            module.fuse()
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from its stub

    def contrasts(self, crops: list[NDArray[np.uint8]]) -> F64:
        """Return the contrasts [n, d] of RGB crops [s, s, 3], of any size, ``CROP_SCALE`` times as wide as the box."""
        batches = (crops[first : first + BATCH] for first in range(0, len(crops), BATCH))
        return np.concatenate([self._of_batch(batch) for batch in batches])

    def _of_batch(self, crops: list[NDArray[np.uint8]]) -> F64:
        import torch

        from features.networks.efficientnet_lite import WeightsMetadata, normalised
        from features.threads import torch_on_one_thread

        size = self.input_size
        images = np.stack([_resized(crop, size) for crop in crops]).transpose(0, 3, 1, 2)
        with torch_on_one_thread(), torch.inference_mode():
            x = self._net.stem(normalised(torch.from_numpy(images), WeightsMetadata(input_representation="residual")))
            parts = []
            for block in self._net.blocks:
                x = block(x)
                parts.append(_moments(x))
        mean, spread = (np.concatenate(values, axis=2) for values in zip(*parts, strict=True))
        return contrasts(mean, spread)


def _resized(crop: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    smaller = size < crop.shape[0]
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _moments(x: Tensor) -> tuple[F64, F64]:
    """Return mean and standard deviation [n, 4, channels] of features [n, channels, cells, cells] in every region."""
    import torch

    weights = torch.from_numpy(regions(x.shape[-1]))
    mean = torch.einsum("nchw,rhw->nrc", x, weights)
    variance = torch.einsum("nchw,rhw->nrc", x * x, weights) - mean * mean
    return mean.numpy().astype(np.float64), np.sqrt(np.maximum(variance.numpy().astype(np.float64), 0.0))


class FaceContrast:
    """The layers and axes of a file.

    Parameters
    ----------
    file
        A file that :func:`save_contrast` wrote.

    Raises
    ------
    ModelError
        The file is missing, damaged, or of another kind.
    """

    def __init__(self, file: Path) -> None:
        self.metadata, arrays = read_arrays(file, ContrastMetadata)
        try:
            self.axes = Axes(*(arrays.pop(name).astype(np.float64) for name in ("centre", "scale", "axes")))
            self.layers = LowLayers(arrays, self.metadata.input_size)
        except (KeyError, RuntimeError) as error:
            raise unusable(file, error) from error
        if self.axes.axes.shape[1] != DIMENSIONS:
            raise ModelError(f"{file}: {self.axes.axes.shape[1]} components, not {DIMENSIONS}; fit it again")

    def components(self, crops: list[NDArray[np.uint8]]) -> F64:
        """Return the components [n, 32] of RGB crops; see :meth:`LowLayers.contrasts`."""
        return self.axes.project(self.layers.contrasts(crops))


@kept_in_memory
def read_contrast(file: Path) -> FaceContrast:
    """Read the :class:`FaceContrast` of a file and keep it in memory."""
    return FaceContrast(file)


def save_contrast(state: dict[str, NDArray[np.float32]], axes: Axes, file: Path, metadata: ContrastMetadata) -> None:
    """Write the low layers of ``state``, in half precision, and the axes; the file appears whole or not at all.

    Parameters
    ----------
    state : mapping of str to ndarray
        Weights of a network on residuals, as :class:`LowLayers` takes them.
    axes, file, metadata
        The linear map to components, the file to write, and its header.

    Raises
    ------
    OSError
        The file can't be written.
    """
    blocks = tuple(f"blocks.{number}." for number in range(N_BLOCKS))
    kept = {name: tensor.astype(np.float16) for name, tensor in state.items() if name.startswith(("stem.", *blocks))}
    kept |= {name: getattr(axes, name).astype(np.float32) for name in ("centre", "scale", "axes")}
    save_arrays(kept, file, metadata)
