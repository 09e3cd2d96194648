"""Fits the axes of ``face_contrast`` (:mod:`features.networks.region_contrast`) to development crops, without labels.

Frames of labelled clips and labelled pictures, whatever their labels. A clip counts once: its contrasts are averaged
over some of its crops, as the family averages them, or clips of many frames would decide the axes.
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
SMALLEST_SCALE = 1e-9  # of a contrast: one that never varies must not become noise


@dataclass(frozen=True)
class ContrastFit:
    """A file of layers and axes that was written."""

    file: Path
    n_clips: int
    """Clips and pictures that the axes were fitted to."""
    explained: float
    """Fraction of the contrasts' variance that the axes hold."""


def fit_axes(contrasts: F64) -> tuple[Axes, float]:
    """The axes of contrasts [n, d], and the fraction of the variance that they hold.

    Raises
    ------
    DatasetError
        Fewer rows or contrasts than :data:`features.networks.region_contrast.DIMENSIONS`.
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
    """[n, d] contrasts of every clip and picture of a pool of crops ``CROP_SCALE`` times as wide as the face box."""
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
        Development crops: :attr:`training.faces.data.Data.labelled`.
    base
        Weights of a network on high-pass residuals that saw no labelled clip: the phase ``residual`` of a training.
    folder
        Existing folder to write into.
    progress
        Called with the stage, the number of clips done, and their total.

    Raises
    ------
    DatasetError
        Too few clips for the axes.
    ModelError
        The base can't be used, or sees something else.
    """
    from features.networks.efficientnet_lite import read_weights

    metadata, state = read_weights(base)
    if metadata.input_representation != "residual":
        raise ModelError(
            f"{base} sees {metadata.input_representation}, not residuals; give the weights of a residual phase"
        )
    arrays = {
        name: one.half().float().numpy() if one.is_floating_point() else one.numpy() for name, one in state.items()
    }
    found = clip_contrasts(pool, LowLayers(arrays, ContrastMetadata.input_size), progress)
    axes, explained = fit_axes(found)
    file = folder / f"{FAMILY}.safetensors"
    save_contrast(arrays, axes, file, ContrastMetadata())
    return ContrastFit(file, len(found), explained)
