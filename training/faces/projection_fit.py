"""Fit axes and prototypes of a network's embeddings, without labels, optionally aligned to another network's axes.

Axes are the principal components of the embeddings of development crops. Prototypes are k-means centres of the
projected REAL crops.

The axes of other networks, such as those of training folds, are aligned to a reference: the orthonormal ``R`` that
minimises ``|E R - T|``, where ``T`` is the reference's projection of the same crops. This is a Procrustes problem on
the Stiefel manifold, without a closed form for a non-square ``R``. It is solved by majorisation (Kiers & ten Berge
1992, "Minimization of a class of matrix trace functions by means of refined majorization"), which never raises the loss
and starts from the solution for a square ``R`` (Schonemann 1966). Prototypes start from the reference's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError
from features.networks.projection import DIMENSIONS, Projection
from features.threads import algebra_on_one_thread

F64 = NDArray[np.float64]

N_PROTOTYPES = 16
MAX_STEPS, TOLERANCE = 1000, 1e-6  # of the majorisation; it ends at this relative decrease of the loss


def principal_axes(E: F64, n_axes: int = DIMENSIONS) -> F64:
    """Return orthonormal principal axes [d, n_axes] of rows ``E`` [n, d], in order of variance.

    The entry of an axis with the largest absolute value is positive.

    Examples
    --------
    >>> principal_axes(np.array([[0.0, 3.0], [0.0, -3.0], [1.0, 0.0], [-1.0, 0.0]]), 1).ravel().round(6).tolist()
    [0.0, 1.0]
    """
    _, _, rows = np.linalg.svd(E - E.mean(axis=0), full_matrices=False)
    axes = rows[:n_axes].T
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.sign(axes[largest, np.arange(axes.shape[1])])


def aligned_axes(E: F64, T: F64) -> F64:
    """Return the orthonormal ``R`` [d, k] that minimises ``|E R - T|``, both centred; see the module.

    Parameters
    ----------
    E : ndarray of shape (n, d)
        Embeddings.
    T : ndarray of shape (n, k)
        Target of the projection; k at most d.
    """
    E, T = E - E.mean(axis=0), T - T.mean(axis=0)
    variance, basis = np.linalg.eigh(E.T @ E)  # in this basis the quadratic form is diagonal, and a step costs little
    M, variance = basis.T @ (E.T @ T), variance[:, None]
    R, before = _orthonormal(M), None
    for _ in range(MAX_STEPS):
        loss = float(np.sum(R * (variance * R - 2 * M)) + np.sum(T**2))
        if before is not None and before - loss <= TOLERANCE * before:
            break
        R, before = _orthonormal(M + (variance.max() - variance) * R), loss
    return basis @ R


def _orthonormal(M: F64) -> F64:
    """Return the nearest matrix with orthonormal columns."""
    U, _, V = np.linalg.svd(M, full_matrices=False)
    return U @ V


def prototypes(Z: F64, *, start: F64 | None = None, seed: int = 0) -> F64:
    """Return k-means centres [k, 32] of projected REAL crops ``Z`` [n, 32], at most ``N_PROTOTYPES``.

    ``start`` [k, 32] are the initial centres; without it, the best of ten starts drawn by ``seed`` is used.

    Raises
    ------
    DatasetError
        There is no REAL crop.
    """
    from sklearn.cluster import KMeans

    if not len(Z):
        raise DatasetError("no REAL face among the development crops; give genuine faces (--faces)")
    k = min(N_PROTOTYPES if start is None else len(start), len(Z))
    init, n_init = ("k-means++", 10) if start is None else (start[:k], 1)
    with algebra_on_one_thread():  # the order of sums must not change
        centres: F64 = KMeans(k, init=init, n_init=n_init, random_state=seed).fit(Z).cluster_centers_
    return centres


def fit_projection(
    E: F64, real: NDArray[np.bool_], *, reference: tuple[F64, Projection] | None = None, seed: int = 0
) -> Projection:
    """Fit the projection of a network.

    Parameters
    ----------
    E : ndarray of shape (n, d)
        Embeddings of development crops.
    real : ndarray of shape (n,)
        True for REAL crops; used only for the prototypes.
    reference
        Embeddings [n, d'] of the same crops by another network, and its projection, to align with.
    """
    centre = E.mean(axis=0)
    if reference is None:
        axes, start = principal_axes(E), None
    else:
        axes, start = aligned_axes(E, reference[1].project(reference[0])), reference[1].prototypes
        centre = centre - axes @ reference[1].project(reference[0]).mean(axis=0)  # align the means as well
    real_crops = (E[real] - centre) @ axes
    return Projection(centre, axes, prototypes(real_crops, start=start, seed=seed))
