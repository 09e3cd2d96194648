"""Axes and prototypes of one network's embeddings, without labels; and axes that agree with another network's.

Axes are the principal components of embeddings of development crops. Prototypes are k-means centres of the projected
REAL crops among them.

Other networks, such as those of training folds, have other axes. Theirs are the orthonormal ``R`` that minimises
``|E R - T|``, with ``T`` what the reference's projection makes of the same crops: a Procrustes problem on the Stiefel
manifold, which has no closed form for an ``R`` that is not square. Majorisation (Kiers & ten Berge 1992, "Minimization
of a class of matrix trace functions by means of refined majorization") never raises the loss; it starts from the
solution for a square ``R`` (Schonemann 1966). Prototypes start from the reference's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError
from features.networks.projection import DIMENSIONS, Projection

F64 = NDArray[np.float64]

N_PROTOTYPES = 16
MAX_STEPS, TOLERANCE = 1000, 1e-6  # of the majorisation; relative fall of its loss at which it ends


def principal_axes(E: F64, n_axes: int = DIMENSIONS) -> F64:
    """[d, n_axes] orthonormal principal axes of rows ``E`` [n, d], in order of variance.

    The entry of an axis that is largest in size is positive.

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
    """[d, k] orthonormal ``R`` that minimises ``|E R - T|``, both centred; see the module.

    Parameters
    ----------
    E : ndarray of shape (n, d)
        Embeddings.
    T : ndarray of shape (n, k)
        What they should become; k at most d.
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
    """The nearest matrix with orthonormal columns."""
    U, _, V = np.linalg.svd(M, full_matrices=False)
    return U @ V


def prototypes(Z: F64, *, start: F64 | None = None, seed: int = 0) -> F64:
    """[k, 32] k-means centres of projected REAL crops ``Z`` [n, 32], at most ``N_PROTOTYPES``.

    ``start`` [k, 32] are centres to start from; without it the best of ten starts drawn by ``seed``.

    Raises
    ------
    DatasetError
        There is no REAL crop.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    if not len(Z):
        raise DatasetError("no REAL face among the development crops; give genuine faces (--faces)")
    k = min(N_PROTOTYPES if start is None else len(start), len(Z))
    init, n_init = ("k-means++", 10) if start is None else (start[:k], 1)
    with threadpool_limits(1):  # sums in another order would give other digits
        centres: F64 = KMeans(k, init=init, n_init=n_init, random_state=seed).fit(Z).cluster_centers_
    return centres


def fit_projection(
    E: F64, real: NDArray[np.bool_], *, reference: tuple[F64, Projection] | None = None, seed: int = 0
) -> Projection:
    """The projection of one network.

    Parameters
    ----------
    E : ndarray of shape (n, d)
        Its embeddings of development crops.
    real : ndarray of shape (n,)
        True for REAL crops: the prototypes alone look at it.
    reference
        Embeddings [n, d'] of the same crops by another network, and its projection, to agree with.
    """
    centre = E.mean(axis=0)
    if reference is None:
        axes, start = principal_axes(E), None
    else:
        axes, start = aligned_axes(E, reference[1].project(reference[0])), reference[1].prototypes
        centre = centre - axes @ reference[1].project(reference[0]).mean(axis=0)  # the means agree, too
    known = (E[real] - centre) @ axes
    return Projection(centre, axes, prototypes(known, start=start, seed=seed))
