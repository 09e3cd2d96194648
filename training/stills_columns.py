"""Out-of-fold columns of face networks for labelled stills: each still is measured by the network that held it out.

Several training runs, each with a different fold of the stills' identities held out (``deepcue train-faces --hold-out
K/N``), together score all stills, and no network scores people that it was trained on. A stack can be fitted on such
columns. The networks see the middle of a still, as in training, in eight views; with the boxes of the face detector, or
with a single view, the columns are worse (docs/experiments/034 and 036).
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


def of_stills(
    stills: pa.Table,
    runs: Sequence[Path],
    phase: str,
    families: Sequence[str],
    *,
    jobs: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> pa.Table:
    """Return the feature table of the stills that the runs held out; other stills are left out.

    Parameters
    ----------
    stills
        Table of stills, as :func:`extract.stills.read_stills` returns it.
    runs
        Folders of training runs that held out different folds.
    phase
        Phase whose network ``<phase>.safetensors`` scores the stills that the run held out, as listed in
        ``<phase>.stills.csv``.
    families
        Families to measure with these weights instead of the shipped ones.
    jobs
        Number of processes; results do not depend on it.
    progress
        Called with the number of stills done, their total, and the number of failures.

    Raises
    ------
    DatasetError
        A run held out none of these stills, or two runs held out the same still.
    ModelError
        The weights of the phase are missing from a run.
    """
    names = stills["video"]
    held = list(_held_out(runs, phase))
    parts: list[pa.Table] = []
    n_all = int(np.isin(names.to_numpy(zero_copy_only=False), np.concatenate(held)).sum())
    for run, keys in zip(runs, held, strict=True):
        of_run = stills.filter(pc.is_in(names, pa.array(keys, pa.string())))
        if not of_run.num_rows:
            raise DatasetError(f"{run}: none of these stills was held out; give the stills that it was trained with")
        weights, report = _weights(run, phase, families), _progress_of_all(parts, n_all, progress)
        parts.append(
            stills_table(of_run, families, weights=weights, face_share=STILL_SHARE, jobs=jobs, progress=report)
        )
    return pa.concat_tables(parts).sort_by("filename")


def _held_out(runs: Sequence[Path], phase: str) -> Iterator[np.ndarray]:
    """Yield the names of the stills that each run held out; no still is in two runs."""
    stills_scores.read([run / f"{phase}.stills.csv" for run in runs])  # raises where two runs held out the same still
    for run in runs:
        yield stills_scores.read([run / f"{phase}.stills.csv"])["key"].astype(str)


def _weights(run: Path, phase: str, families: Sequence[str]) -> dict[str, Path]:
    """Map families to weights files: the network's, and for ``cnn_embedding`` that of its projection."""
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
    """Convert the progress of one run to the progress over all runs; ``parts`` are the tables of the finished runs."""
    if progress is None:
        return None
    before = sum(part.num_rows for part in parts)
    return lambda done, _, failed: progress(before + done, n_all, failed)
