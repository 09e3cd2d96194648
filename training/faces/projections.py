"""Fit the files of projections (:mod:`features.networks.projection`) of a training's networks.

Development crops are labelled stills, genuine faces and frames of clips, whatever their labels.
:mod:`training.faces.projection_fit` fits a projection to a network's embeddings of these crops.

A projection must not see the data that its network must not see: the projection of a fold is fitted without crops of
the clips that the fold held out, and no projection is fitted on held-out stills.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError, ModelError
from features.networks.projection import DIMENSIONS, FAMILY, NETWORKS, Projection, read_projections, save_projections
from features.networks.weights import weights_digest
from training import folds as clip_folds
from training.faces.data import FaceData
from training.faces.pools import Pool, crops_of
from training.faces.projection_fit import fit_projection
from training.progress import Progress, no_progress, tracked

F64 = NDArray[np.float64]
Files = Mapping[str, Path]

N_CROPS = 3000
MIN_CROPS = 2 * DIMENSIONS
BATCH = 16
PHASE_PROJECTION = "embedding_{}.safetensors"
"""File name of the projection for the networks of a phase or a fold (``fold0``), in the same folder."""


@dataclass(frozen=True)
class Sample:
    """Development crops: rows of several pools."""

    pools: Sequence[Pool]
    rows: Sequence[NDArray[np.int64]]
    """[n_i] rows of each pool."""

    def of_rows(self, name: str) -> NDArray[Any]:
        """Return a field of the pools (``key``, ``fake``) for every crop [n]."""
        return np.concatenate([getattr(pool, name)[rows] for pool, rows in zip(self.pools, self.rows, strict=True)])

    def batches(self) -> Iterator[tuple[Pool, NDArray[np.int64]]]:
        """Yield a few crops at a time, in order."""
        for pool, rows in zip(self.pools, self.rows, strict=True):
            for first in range(0, len(rows), BATCH):
                yield pool, rows[first : first + BATCH]


def development_sample(data: FaceData, n_crops: int = N_CROPS, seed: int = 0) -> Sample:
    """Sample crops at random: a third each of stills, genuine faces and labelled frames, or all of a smaller pool.

    Stills of held-out groups are left out.

    Raises
    ------
    DatasetError
        There are too few crops for the axes.
    """
    rng = np.random.default_rng(seed)
    stills = np.flatnonzero([group not in data.holdout_groups for group in data.stills.group])
    sources = [(data.stills, stills)]
    sources += [(pool, np.arange(len(pool))) for pool in (data.real_faces, data.labelled)]
    chosen = [np.sort(rng.permutation(rows)[: n_crops // len(sources)]) for _, rows in sources]
    if (n := sum(map(len, chosen))) < MIN_CROPS:
        raise DatasetError(f"{n} face crops to fit {DIMENSIONS} axes on; give at least {MIN_CROPS}")
    return Sample([pool for pool, _ in sources], chosen)


def embeddings(sample: Sample, files: Sequence[Path], progress: Progress = no_progress) -> dict[Path, F64]:
    """Return embeddings [n, 1280] of the crops by the network of each weights file.

    Raises
    ------
    ModelError
        A file can't be used.
    """
    from features.networks.efficientnet_lite import Detector

    detectors = {file: Detector(file) for file in dict.fromkeys(files)}
    parts_of: dict[Path, list[NDArray[np.float32]]] = {file: [] for file in detectors}
    batches = list(sample.batches())
    for pool, rows in tracked(batches, "batches of development crops", len(batches), progress):
        crops = {
            size: np.ascontiguousarray(crops_of(pool, rows, size).transpose(0, 2, 3, 1))
            for size in {detector.metadata.input_size for detector in detectors.values()}
        }
        for file, detector in detectors.items():
            parts_of[file].append(detector.predict(crops[detector.metadata.input_size])[1])
    return {file: np.concatenate(parts).astype(np.float64) for file, parts in parts_of.items()}


@dataclass(frozen=True)
class Reference:
    """Networks whose projections other projections are aligned to."""

    weights: Files
    projections: Mapping[str, Projection]


@dataclass(frozen=True)
class Fit:
    """A written file of projections."""

    file: Path
    n_crops: int
    explained: Mapping[str, float]
    """Network to the fraction of its embeddings' variance that the axes explain."""
    agreement: Mapping[str, float]
    """Network to its mean correlation with the reference's components; empty without a reference."""


def fit_projections(
    data: FaceData,
    weights: Path,
    *,
    phase: str = "",
    reference: Path | None = None,
    fold_weights: Path | None = None,
    n_crops: int = N_CROPS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> list[Fit]:
    """Fit the projections of the networks in a folder, and aligned ones of a training's fold networks.

    Parameters
    ----------
    data
        Data of the training, which determines the clips that each fold held out.
    weights
        Folder of ``forensic_cnn.safetensors``, ``forensic_residual.safetensors`` or both; ``cnn_embedding.safetensors``
        is written beside them.
    phase
        Fit only the network ``<phase>.safetensors`` of this phase, as ``forensic_cnn``, where ``weights`` is the folder
        of a training; ``embedding_<phase>.safetensors`` is written beside it.
    reference
        Folder of the same networks and their ``cnn_embedding.safetensors``, to align with.
    fold_weights
        Folder of ``fold0.safetensors``, ``residual_fold0.safetensors`` and so on, and ``clip_folds.csv``;
        ``embedding_fold0.safetensors`` and so on are written there.
    n_crops, seed
        Number of development crops, and the seed of their choice.
    progress
        Called with the stage, the number of batches done, and their total.

    Raises
    ------
    DatasetError
        There are too few crops, or ``clip_folds.csv`` does not belong to this data.
    ModelError
        A network or the reference is missing or can't be used.
    """
    networks, file = _networks(weights, phase)
    earlier = _reference(reference, networks) if reference is not None else None
    in_folds = _fold_networks(data, fold_weights, networks) if fold_weights is not None else {}
    sample = development_sample(data, n_crops, seed)
    everything = [networks, *([earlier.weights] if earlier else []), *in_folds.values()]
    E = embeddings(sample, [network for files in everything for network in files.values()], progress)
    fits = [_fit_file(E, sample, networks, file, agree_with=earlier, seed=seed)]
    shipped = Reference(networks, read_projections(file)[1])
    for fold, files in in_folds.items():
        of_fold = np.isin(sample.of_rows("key").astype(str), sorted(data.held_out(fold)))
        of_people = np.isin(sample.of_rows("group").astype(str), sorted(data.people_held_out(fold)))
        seen = ~(of_fold | (of_people & (sample.of_rows("source") != "stills")))  # groups of stills have other names
        file = next(iter(files.values())).parent / PHASE_PROJECTION.format(f"fold{fold}")
        fits.append(_fit_file(E, sample, files, file, agree_with=shipped, seen=seen, seed=seed))
    return fits


def _fit_file(
    E: Mapping[Path, F64],
    sample: Sample,
    networks: Files,
    file: Path,
    *,
    agree_with: Reference | None,
    seen: NDArray[np.bool_] | None = None,
    seed: int,
) -> Fit:
    """Fit the projections of some networks to the crops ``seen`` [n] (default: all), and write the file."""
    seen = np.ones(len(sample.of_rows("fake")), bool) if seen is None else seen
    real = ~sample.of_rows("fake")[seen]
    projections: dict[str, Projection] = {}
    explained, agreement = {}, {}
    for name, weights in networks.items():
        of_network = E[weights][seen]
        target = None if agree_with is None else (E[agree_with.weights[name]][seen], agree_with.projections[name])
        projections[name] = fit_projection(of_network, real, reference=target, seed=seed)
        Z = projections[name].project(of_network)
        explained[name] = float(Z.var(axis=0).sum() / of_network.var(axis=0).sum())
        if target is not None:
            T = target[1].project(target[0])
            agreement[name] = float(np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(Z.T, T.T, strict=True)]))
    save_projections(projections, networks, file)
    return Fit(file, int(seen.sum()), explained, agreement)


def _networks(weights: Path, phase: str) -> tuple[Files, Path]:
    """Return the networks in a folder that projections are fitted for, and the file to write."""
    if phase:
        possible, name = {"forensic_cnn": weights / f"{phase}.safetensors"}, PHASE_PROJECTION.format(phase)
    else:
        possible, name = {name: weights / f"{name}.safetensors" for name in NETWORKS}, f"{FAMILY}.safetensors"
    present = {network: file for network, file in possible.items() if file.is_file()}
    if not present:
        missing = " and no ".join(file.name for file in possible.values())
        raise ModelError(f"{weights}: holds no {missing}; give a folder of weights")
    return present, weights / name


def _reference(folder: Path, networks: Files) -> Reference:
    """Return weights and projections of the networks with the same names in another folder."""
    files = {name: folder / f"{name}.safetensors" for name in networks}
    metadata, projections = read_projections(folder / f"{FAMILY}.safetensors")
    for name, file in files.items():
        if not file.is_file() or metadata.networks.get(name) != weights_digest(file):
            raise ModelError(f"{folder}: {FAMILY}.safetensors there was not fitted for its {file.name}; fit it first")
    return Reference(files, projections)


def _fold_networks(data: FaceData, folder: Path, networks: Files) -> dict[int, Files]:
    """Return the networks of each fold in a training's folder."""
    file = folder / clip_folds.FILE
    if {name: assignment.fold for name, assignment in clip_folds.read(file).items()} != data.fold_of:
        raise DatasetError(f"{file} belongs to other clips, crops or --leave-out; give those of the training")
    networks_of = {
        fold: {name: folder / clip_folds.FOLD_FILES[name].format(fold) for name in networks}
        for fold in set(data.fold_of.values())
    }
    for of_fold in networks_of.values():
        for weights in of_fold.values():
            if not weights.is_file():
                raise ModelError(f"{folder} lacks {weights.name}; train it, or copy it there")
    return dict(sorted(networks_of.items()))
