"""Fits the projection of the networks' embeddings (:mod:`features.networks.projection`), without labels.

Axes are the principal components of a network's embeddings of development crops: labelled stills, genuine faces, frames
of clips, whatever their labels. Prototypes are k-means centres of the projected REAL crops among them.

Other networks, as those of training folds, have other axes. Theirs are the orthonormal ``R`` that minimises
``|E R - T|``, with ``T`` what the reference's projection makes of the same crops: a Procrustes problem on the Stiefel
manifold, which has no closed form for an ``R`` that is not square. Majorisation (Kiers & ten Berge 1992, "Minimization
of a class of matrix trace functions by means of refined majorization") never raises it; it starts from the solution for
a square one (Schonemann 1966). Prototypes start from the reference's.

What a network must not have learned from, its projection must not either: crops of the clips that its fold held out
take no part, and held-out stills none in any.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError, ModelError
from features.networks.projection import DIMENSIONS, FAMILY, NETWORKS, Projection, read_projections, save_projections
from features.networks.weights import digest
from training import folds as clip_folds
from training.faces.data import Data
from training.faces.pools import Pool, crops_of
from training.manifest import progress

logger = logging.getLogger(__name__)

F64 = NDArray[np.float64]
Files = Mapping[str, Path]

N_CROPS = 3000
N_PROTOTYPES = 16
MIN_CROPS = 2 * DIMENSIONS
BATCH = 16
MAX_STEPS, TOLERANCE = 1000, 1e-6  # of the majorisation; relative fall of its loss at which it ends
FOLD_FILES = {"forensic_cnn": "fold{}.safetensors", "forensic_residual": "residual_fold{}.safetensors"}
"""By network: what training writes for a fold."""
PHASE_PROJECTION = "embedding_{}.safetensors"
"""The projection of the networks of a phase or a fold (``fold0``), beside them."""


@dataclass(frozen=True)
class Sample:
    """Development crops: rows of several pools."""

    pools: Sequence[Pool]
    rows: Sequence[NDArray[np.int64]]
    """[n_i] rows of each pool."""

    def of_rows(self, name: str) -> NDArray[Any]:
        """[n] a field of the pools (``key``, ``fake``), of every crop."""
        return np.concatenate([getattr(pool, name)[rows] for pool, rows in zip(self.pools, self.rows, strict=True)])

    def batches(self) -> Iterator[tuple[Pool, NDArray[np.int64]]]:
        """Few crops at a time, in order."""
        for pool, rows in zip(self.pools, self.rows, strict=True):
            for first in range(0, len(rows), BATCH):
                yield pool, rows[first : first + BATCH]


def development_sample(data: Data, n_crops: int = N_CROPS, seed: int = 0) -> Sample:
    """A third each of stills, genuine faces and labelled frames, at random; all of a pool that has fewer.

    Stills of held-out groups are left out.

    Raises
    ------
    DatasetError
        Too few crops for the axes.
    """
    rng = np.random.default_rng(seed)
    stills = np.flatnonzero([group not in data.out for group in data.stills.group])
    sources = [(data.stills, stills)]
    sources += [(pool, np.arange(len(pool))) for pool in (data.real_faces, data.labelled)]
    chosen = [np.sort(rng.permutation(rows)[: n_crops // len(sources)]) for _, rows in sources]
    if (n := sum(map(len, chosen))) < MIN_CROPS:
        raise DatasetError(f"{n} face crops to fit {DIMENSIONS} axes on; give at least {MIN_CROPS}")
    return Sample([pool for pool, _ in sources], chosen)


def embeddings(sample: Sample, files: Sequence[Path]) -> dict[Path, F64]:
    """Embeddings [n, 1280] of the crops by the network of each weights file.

    Raises
    ------
    ModelError
        A file can't be used.
    """
    from features.networks.efficientnet_lite import Detector

    detectors = {file: Detector(file) for file in dict.fromkeys(files)}
    found: dict[Path, list[NDArray[np.float32]]] = {file: [] for file in detectors}
    for pool, rows in progress(list(sample.batches()), "development crops"):
        crops = {
            size: np.ascontiguousarray(crops_of(pool, rows, size).transpose(0, 2, 3, 1))
            for size in {detector.metadata.input_size for detector in detectors.values()}
        }
        for file, detector in detectors.items():
            found[file].append(detector.predict(crops[detector.metadata.input_size])[1])
    return {file: np.concatenate(parts).astype(np.float64) for file, parts in found.items()}


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


def fitted(
    E: F64, real: NDArray[np.bool_], *, reference: tuple[F64, Projection] | None = None, seed: int = 0
) -> Projection:
    """The projection of one network.

    Parameters
    ----------
    E : ndarray of shape (n, 1280)
        Its embeddings of development crops.
    real : ndarray of shape (n,)
        Which of them are REAL: for the prototypes alone.
    reference
        Embeddings [n, 1280] of the same crops by another network, and its projection, to agree with.
    """
    centre = E.mean(axis=0)
    if reference is None:
        axes, start = principal_axes(E), None
    else:
        axes, start = aligned_axes(E, reference[1].project(reference[0])), reference[1].prototypes
        centre = centre - axes @ reference[1].project(reference[0]).mean(axis=0)  # the means agree, too
    known = (E[real] - centre) @ axes
    return Projection(centre, axes, prototypes(known, start=start, seed=seed))


@dataclass(frozen=True)
class Fit:
    """A file of projections that was written."""

    file: Path
    n_crops: int
    explained: Mapping[str, float]
    """Network to the fraction of its embeddings' variance that the axes hold."""
    agreement: Mapping[str, float]
    """Network to the correlation with the reference's components, mean over them; empty without a reference."""


def fit_projections(
    data: Data,
    weights: Path,
    *,
    phase: str = "",
    reference: Path | None = None,
    fold_weights: Path | None = None,
    n_crops: int = N_CROPS,
    seed: int = 0,
) -> list[Fit]:
    """Fit the projections of the networks in a folder, and of a training's fold networks, which agree with them.

    Parameters
    ----------
    data
        Of the training: which clips a fold held out follows from it.
    weights
        Folder of ``forensic_cnn.safetensors``, ``forensic_residual.safetensors`` or both; ``cnn_embedding.safetensors``
        is written beside them.
    phase
        Of a training whose folder ``weights`` is: its network alone, ``<phase>.safetensors``, as ``forensic_cnn``;
        ``embedding_<phase>.safetensors`` is written beside it.
    reference
        Folder of the same networks and their ``cnn_embedding.safetensors``, to agree with.
    fold_weights
        Folder of ``fold0.safetensors``, ``residual_fold0.safetensors`` and so on, and ``clip_folds.csv``;
        ``embedding_fold0.safetensors`` and so on are written there.
    n_crops, seed
        Number of development crops, and the seed of their choice.

    Raises
    ------
    DatasetError
        Too few crops, or ``clip_folds.csv`` is not of this data.
    ModelError
        A network or the reference is missing or can't be used.
    """
    own, written = _own_networks(weights, phase)
    given = _reference(reference, own) if reference is not None else None
    in_folds = _fold_networks(data, fold_weights, own) if fold_weights is not None else {}
    sample = development_sample(data, n_crops, seed)
    files = [file for networks in (own, given[0] if given else {}, *in_folds.values()) for file in networks.values()]
    E = embeddings(sample, files)
    fits = [_write(E, sample, own, given, written, seed=seed)]
    made = own, read_projections(written)[1]
    for fold, networks in in_folds.items():
        kept = ~np.isin(sample.of_rows("key").astype(str), sorted(data.held_out(fold)))
        file = next(iter(networks.values())).parent / PHASE_PROJECTION.format(f"fold{fold}")
        fits.append(_write(E, sample, networks, made, file, kept=kept, seed=seed))
    return fits


def _write(
    E: Mapping[Path, F64],
    sample: Sample,
    networks: Files,
    reference: tuple[Files, Mapping[str, Projection]] | None,
    file: Path,
    *,
    kept: NDArray[np.bool_] | None = None,
    seed: int,
) -> Fit:
    """Fit and write the projections of some networks, on the crops that are ``kept`` [n]."""
    kept = np.ones(len(sample.of_rows("fake")), bool) if kept is None else kept
    real = ~sample.of_rows("fake")[kept]
    made, explained, agreement = {}, {}, {}
    for name, weights in networks.items():
        own = E[weights][kept]
        target = None if reference is None else (E[reference[0][name]][kept], reference[1][name])
        made[name] = fitted(own, real, reference=target, seed=seed)
        Z = made[name].project(own)
        explained[name] = float(Z.var(axis=0).sum() / own.var(axis=0).sum())
        if target is not None:
            T = target[1].project(target[0])
            agreement[name] = float(np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(Z.T, T.T, strict=True)]))
    save_projections(made, networks, file)
    return Fit(file, int(kept.sum()), explained, agreement)


def _own_networks(weights: Path, phase: str) -> tuple[Files, Path]:
    """The networks to fit for, and the file to write."""
    if phase:
        own, written = {"forensic_cnn": weights / f"{phase}.safetensors"}, PHASE_PROJECTION.format(phase)
    else:
        own, written = {name: weights / f"{name}.safetensors" for name in NETWORKS}, f"{FAMILY}.safetensors"
    found = {name: file for name, file in own.items() if file.is_file()}
    if not found:
        raise ModelError(f"{weights}: holds no {' and no '.join(file.name for file in own.values())}; give weights")
    return found, weights / written


def _reference(folder: Path, networks: Files) -> tuple[Files, Mapping[str, Projection]]:
    """Weights and projections of the networks of the same names in another folder."""
    files = {name: folder / f"{name}.safetensors" for name in networks}
    metadata, projections = read_projections(folder / f"{FAMILY}.safetensors")
    for name, file in files.items():
        if not file.is_file() or metadata.networks.get(name) != digest(file):
            raise ModelError(f"{folder}: {FAMILY}.safetensors there was not fitted for its {file.name}; fit it first")
    return files, projections


def _fold_networks(data: Data, folder: Path, networks: Files) -> dict[int, Files]:
    """Networks of each fold in a training's folder."""
    file = folder / "clip_folds.csv"
    if {name: one.fold for name, one in clip_folds.read(file).items()} != data.fold_of:
        raise DatasetError(f"{file} is of other clips, crops or --leave-out; give those of the training")
    found = {
        fold: {name: folder / FOLD_FILES[name].format(fold) for name in networks} for fold in set(data.fold_of.values())
    }
    for one in found.values():
        for weights in one.values():
            if not weights.is_file():
                raise ModelError(f"{folder} lacks {weights.name}; train it, or copy it there")
    return dict(sorted(found.items()))
