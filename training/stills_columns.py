"""Columns of face networks for labelled stills, out of fold by people: those of the network that held a still out.

Several runs of training, each with another fold of the stills' identities held out (``deepcue train-faces --hold-out
K/N``), judge all stills so that no network saw the people it judges: columns that a stack can be fitted on. They see
the middle of a still, as in training, in eight views: with the boxes of the face finder, or in a single view, they are
worse (docs/experiments/034 and 036).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extract.stills import stills_table
from features.errors import DatasetError, ModelError
from features.networks.projection import FAMILY
from training.faces import stills_scores
from training.faces.index import STILL_SHARE
from training.faces.projections import PHASE_PROJECTION


def out_of_fold(
    stills: pa.Table,
    runs: Sequence[Path],
    phase: str,
    families: Sequence[str],
    *,
    jobs: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> pa.Table:
    """Feature table of the stills that the runs held out, by the families named; others are left out.

    Parameters
    ----------
    stills
        Of :func:`extract.stills.read_stills`.
    runs
        Folders that training wrote, each with another fold held out.
    phase
        Its network, ``<phase>.safetensors``, judges what ``<phase>.stills.csv`` says that the run held out.
    families
        Measured with these weights in place of the shipped ones.
    jobs
        Processes; results do not depend on it.
    progress
        Called with the numbers of stills that are done, of all, and of those that failed.

    Raises
    ------
    DatasetError
        A run held out no still of these, or two held out the same.
    ModelError
        A run lacks the weights of the phase.
    """
    names = stills["video"]
    held = list(_held_out(runs, phase))
    parts: list[pa.Table] = []
    n_all = int(np.isin(names.to_numpy(zero_copy_only=False), np.concatenate(held)).sum())
    for run, keys in zip(runs, held, strict=True):
        own = stills.filter(pc.is_in(names, pa.array(keys, pa.string())))
        if not own.num_rows:
            raise DatasetError(f"{run}: none of these stills was held out; give the stills that it was trained with")
        weights, of_run = _weights(run, phase, families), _progress_of_all(parts, n_all, progress)
        parts.append(stills_table(own, families, weights=weights, face_share=STILL_SHARE, jobs=jobs, progress=of_run))
    return pa.concat_tables(parts).sort_by("filename")


def _held_out(runs: Sequence[Path], phase: str) -> Iterator[np.ndarray]:
    """Names of the stills that each run held out; none is in two."""
    stills_scores.read([run / f"{phase}.stills.csv" for run in runs])  # raises where two runs held out the same still
    for run in runs:
        yield stills_scores.read([run / f"{phase}.stills.csv"])["key"].astype(str)


def _weights(run: Path, phase: str, families: Sequence[str]) -> dict[str, Path]:
    """Files that the families are measured with: the network's, and for ``cnn_embedding`` that of its projection."""
    network, embedding = run / f"{phase}.safetensors", run / PHASE_PROJECTION.format(phase)
    if not network.is_file():
        raise ModelError(f"{run} lacks {network.name}; train its phase {phase} first")
    files = dict.fromkeys(families, network)
    if FAMILY not in families:
        return files
    if not embedding.is_file():
        raise ModelError(f"{run} lacks {embedding.name}; make it with `deepcue fit-projection --phase {phase}`")
    return files | {"forensic_cnn": network, FAMILY: embedding}


def _progress_of_all(
    parts: Sequence[pa.Table], n_all: int, progress: Callable[[int, int, int], None] | None
) -> Callable[[int, int, int], None] | None:
    """The progress of one run as part of that of all runs: ``parts`` are done already."""
    if progress is None:
        return None
    before = sum(part.num_rows for part in parts)
    return lambda done, _, failed: progress(before + done, n_all, failed)
