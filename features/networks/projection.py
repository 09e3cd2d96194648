"""A fixed linear projection of the face networks' embeddings, with prototypes of genuine faces: file format and use.

A network's last layer before the logit has 1,280 numbers. The file ``cnn_embedding.safetensors`` beside the weights
holds, for each network, a centre, orthonormal axes [1280, 32] that reduce these numbers to 32, and prototypes of
genuine faces in the reduced space. It names the SHA-256 of the weights that it belongs to, because other weights need
other axes. :mod:`training.faces.projections` fits it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts import PRETRAINED
from features.arrays import F64
from features.errors import ModelError
from features.networks.weights import kept_in_memory, read_arrays, save_arrays, weights_digest, weights_file

FAMILY = "cnn_embedding"  # the file's family
NETWORKS = {"forensic_cnn": "cnn", "forensic_residual": "residual"}
"""Family of each network to the prefix of its columns and arrays."""
DIMENSIONS = 32
REMEDY = "fit it again with `deepcue fit-projection`"


@dataclass(frozen=True)
class ProjectionMetadata:
    """The metadata in the header of a file of projections."""

    name: str = FAMILY
    version: str = "1"
    networks: Mapping[str, str] = field(default_factory=dict)
    """Family of each network to the SHA-256 of the weights that its projection belongs to."""


@dataclass(frozen=True, eq=False)
class Projection:
    """The projection of one network's embeddings.

    Examples
    --------
    >>> flat = Projection(np.zeros(3), np.eye(3)[:, :2], np.array([[0.0, 0.0], [3.0, 0.0]]))
    >>> flat.project(np.array([[3.0, 4.0, 5.0]])).tolist()
    [[3.0, 4.0]]
    >>> flat.distance(np.array([[3.0, 4.0]])).tolist()
    [4.0]
    """

    centre: F64
    """[d] centre, subtracted first."""
    axes: F64
    """[d, 32] orthonormal columns."""
    prototypes: F64
    """[k, 32] centres of clusters of genuine faces."""

    def project(self, embeddings: NDArray[np.floating]) -> F64:
        """Project embeddings [n, d] to [n, 32]."""
        return (embeddings.astype(np.float64) - self.centre) @ self.axes

    def distance(self, projected: F64) -> F64:
        """Return the Euclidean distance [n] of projected embeddings [n, 32] to the nearest prototype."""
        return np.linalg.norm(projected[:, None] - self.prototypes, axis=2).min(axis=1)


def save_projections(projections: Mapping[str, Projection], weights: Mapping[str, Path], file: Path) -> None:
    """Write the projections of some networks; the file appears whole or not at all.

    Parameters
    ----------
    projections, weights
        Family of each network to its projection, and to the weights file that it belongs to.
    """
    arrays = {
        f"{NETWORKS[family]}.{name}": getattr(projection, name).astype(np.float32)
        for family, projection in projections.items()
        for name in ("centre", "axes", "prototypes")
    }
    save_arrays(
        arrays, file, ProjectionMetadata(networks={family: weights_digest(weights[family]) for family in projections})
    )


@kept_in_memory
def read_projections(file: Path) -> tuple[ProjectionMetadata, dict[str, Projection]]:
    """Read what :func:`save_projections` wrote: metadata, and projections by family of the network.

    Raises
    ------
    ModelError
        The file is missing, damaged, or of another kind.
    """
    try:
        metadata, arrays = read_arrays(file, ProjectionMetadata)
        return metadata, {family: _of_network(arrays, NETWORKS[family]) for family in metadata.networks}
    except (ModelError, KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"{file}: no projections of embeddings; {REMEDY} ({error.__cause__ or error})") from error


def _of_network(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Projection:
    centre, axes, prototypes = (
        arrays[f"{prefix}.{name}"].astype(np.float64) for name in ("centre", "axes", "prototypes")
    )
    if axes.shape != (len(centre), DIMENSIONS) or prototypes.shape[1:] != (DIMENSIONS,) or not len(prototypes):
        raise ValueError(f"arrays of {prefix} have the shapes {centre.shape}, {axes.shape}, {prototypes.shape}")
    return Projection(centre, axes, prototypes)


def projection_of(family: str) -> Projection | None:
    """Return the projection in use for a network; None if the projection or the network's weights are missing.

    The projection must have been fitted for the weights in use. The shipped projections do not apply to custom weights,
    which then have no projection.

    Raises
    ------
    ModelError
        The file exists but can't be used, or was fitted for other weights.
    """
    file, weights = weights_file(FAMILY), weights_file(family)
    if not (file.exists() and weights.exists()):
        return None
    metadata, projections = read_projections(file)
    if family not in projections:
        return None
    if metadata.networks[family] == weights_digest(weights):
        return projections[family]
    if file.parent == PRETRAINED != weights.parent:
        return None
    raise ModelError(f"{file}: fitted for other weights of {family} than {weights}; {REMEDY}")


def known_networks() -> list[str]:
    """Return the networks whose weights and projections exist; raises as :func:`projection_of`."""
    return [family for family in NETWORKS if projection_of(family) is not None]
