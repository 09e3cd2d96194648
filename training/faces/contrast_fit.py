"""Fit the axes of ``face_contrast`` (:mod:`features.networks.region_contrast`) to development crops, without labels.

Development crops are frames of labelled clips, and labelled images, whatever their labels. Each clip counts once: its
contrasts are averaged over some of its crops, as in the family; otherwise clips with many frames would dominate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError, ModelError
from features.networks.region_contrast import (
    DIMENSIONS,
    FAMILY,
    LARGEST_DEVIATION,
    Axes,
    ContrastMetadata,
    LowLayers,
    save_contrast,
)
from training.faces.pools import Pool, rows_by_key, spread_rows
from training.faces.projection_fit import principal_axes
from training.progress import Progress, no_progress, tracked

F64 = NDArray[np.float64]

CROPS_PER_CLIP = 6
SMALLEST_SCALE = 1e-9  # a contrast with a smaller scale is constant, and is not scaled up to noise


@dataclass(frozen=True)
class ContrastFit:
    """The written file of layers and axes."""

    file: Path
    n_clips: int
    """Number of clips and images that the axes were fitted to."""
    explained: float
    """Fraction of the contrasts' variance that the axes explain."""


def fit_axes(contrasts: F64) -> tuple[Axes, float]:
    """Return the axes of contrasts [n, d], and the fraction of the variance that they explain.

    Raises
    ------
    DatasetError
        There are fewer rows or contrasts than :data:`features.networks.region_contrast.DIMENSIONS`.
    """
    if min(contrasts.shape) < DIMENSIONS:
        raise DatasetError(f"{contrasts.shape[0]} clips to fit {DIMENSIONS} axes on; give at least {DIMENSIONS}")
    centre, scale = np.median(contrasts, axis=0), contrasts.std(axis=0)
    scale = np.where(scale > SMALLEST_SCALE, scale, 1.0)
    deviations = np.clip((contrasts - centre) / scale, -LARGEST_DEVIATION, LARGEST_DEVIATION)
    axes = principal_axes(deviations, DIMENSIONS)
    explained = float((deviations @ axes).var(axis=0).sum() / deviations.var(axis=0).sum())
    return Axes(centre, scale, axes), explained


def clip_contrasts(pool: Pool, layers: LowLayers, progress: Progress = no_progress) -> F64:
    """Return contrasts [n, d] of all clips and images of a pool; crops are ``CROP_SCALE`` times as wide as the face."""
    means, keys = [], sorted(rows_by_key(pool))
    for key in tracked(keys, "development crops", len(keys), progress):
        faces = (pool.face(int(row), with_landmarks=False) for row in spread_rows(pool, key, CROPS_PER_CLIP))
        means.append(layers.contrasts([image for image, _, _ in faces]).mean(axis=0))
    return np.stack(means) if means else np.empty((0, 0))


def fit_contrast(pool: Pool, base: Path, folder: Path, progress: Progress = no_progress) -> ContrastFit:
    """Fit the axes and write ``face_contrast.safetensors`` into a folder.

    Parameters
    ----------
    pool
        Development crops: :attr:`training.faces.data.FaceData.labelled`.
    base
        Weights of a network on high-pass residuals that saw no labelled clip: the phase ``residual`` of a training.
    folder
        Existing folder to write into.
    progress
        Called with the stage, the number of clips done, and their total.

    Raises
    ------
    DatasetError
        There are too few clips for the axes.
    ModelError
        The base can't be used, or its input is not residuals.
    """
    from features.networks.efficientnet_lite import read_weights

    metadata, state = read_weights(base)
    if metadata.input_representation != "residual":
        raise ModelError(
            f"{base} sees {metadata.input_representation}, not residuals; give the weights of a residual phase"
        )
    arrays = {
        name: tensor.half().float().numpy() if tensor.is_floating_point() else tensor.numpy()
        for name, tensor in state.items()
    }
    contrasts = clip_contrasts(pool, LowLayers(arrays, ContrastMetadata.input_size), progress)
    axes, explained = fit_axes(contrasts)
    file = folder / f"{FAMILY}.safetensors"
    save_contrast(arrays, axes, file, ContrastMetadata())
    return ContrastFit(file, len(contrasts), explained)
