"""From a table to a model, and from clips to verdicts: train, load_model, predict."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcue.clips import extract, observe, one_thread
from deepcue.inputs import PathLike, absolute, check_is_there, clip_name, is_clip, is_table, read_table, weights_files

if TYPE_CHECKING:
    import pyarrow as pa

    from ensemble.evaluate import Evaluation
    from ensemble.model import Model
    from ensemble.verdict import Verdict
    from extract.pipeline import Progress


def load_model(folder: PathLike | None = None) -> Model:
    """Read a trained model; loading executes nothing from the folder.

    Parameters
    ----------
    folder
        A model folder; the model that ships with the package by default.

    Returns
    -------
    Model
        ``predict(table)`` gives P(FAKE) [n_clips], ``explain(table)`` log-odds by cue family; ``manifest`` says what
        it was trained on.

    Raises
    ------
    ModelError
        The folder holds no model, or one that is damaged or of another version.

    Examples
    --------
    >>> model = deepcue.load_model()
    >>> sorted(model.layout.families)
    ['blending', 'eyes_teeth', 'face_contrast', 'forensic_cnn', 'forensic_residual', 'forensic_voice']
    """
    from ensemble import store

    return store.load_model(store.default_model() if folder is None else os.fspath(folder))


def predict(
    data: PathLike | Sequence[PathLike] | pa.Table,
    *,
    model: Model | None = None,
    jobs: int = 1,
    weights: Mapping[str, PathLike] | None = None,
    progress: Progress | None = None,
) -> Verdict | list[Verdict]:
    """How probable it is that clips are fake, and why.

    Parameters
    ----------
    data
        One clip, or several: a list of clips (one that is listed twice counts once), a folder, a CSV manifest, a
        feature table or its Parquet file. A file is one clip unless its name ends in ``.csv`` or ``.parquet``; so is a
        URL that ends as videos do.
    model
        Of :func:`load_model`; the one that ships by default.
    jobs
        Measuring processes for several clips; one clip is measured in this process.
    weights
        Family to weights file (safetensors), in place of the shipped one.
    progress
        As in :func:`extract`; one clip and a table show none.

    Returns
    -------
    Verdict or list of Verdict
        One for a clip; for several a list, in the table's order (sorted by filename). ``probability`` is P(FAKE) at
        the model's target prior; ``contributions`` are log-odds by cue family.

    Raises
    ------
    NotFoundError
        There is no such file or folder.
    ClipError
        ``data`` is one clip and can't be measured. In a list such a clip has its ``status`` and a verdict that says
        that nothing was measured.
    ModelError
        The model is of other cues than are measured, or than the table has.

    Examples
    --------
    >>> verdict = deepcue.predict(clip)
    >>> 0 < verdict.probability < 1
    True
    >>> [one.filename for one in deepcue.predict(folder)]
    ['broken.mp4', 'talk.mp4']
    """
    import pyarrow as pa

    from ensemble.store import check_families
    from ensemble.verdict import CONTEXT_FAMILIES, judge

    model = load_model() if model is None else model
    if isinstance(data, pa.Table):
        return judge(model, data)
    if isinstance(data, (str, os.PathLike)) and is_table(data):
        return judge(model, read_table(data))
    check_families(model.layout, "the model", weights_files(weights))
    families = sorted({*model.layout.families, *CONTEXT_FAMILIES})
    if isinstance(data, (str, os.PathLike)) and is_clip(data):
        return judge(model, _row(data, families, weights))[0]
    return judge(model, extract(data, families=families, jobs=jobs, weights=weights, progress=progress))


def train(  # noqa: PLR0913 -- the options of a run, all by keyword
    table: pa.Table | PathLike,
    *,
    out: PathLike | None = None,
    folds: int | PathLike | None = None,
    seed: int = 0,
    target_prior: float | None = 0.5,
    learners: Iterable[str] | None = None,
    jobs: int = 1,
    synthetic: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Model, Evaluation]:
    """Train the calibrated ensemble on a feature table, and judge it on clips that it was not fitted on.

    Parameters
    ----------
    table
        Of :func:`extract`, or its Parquet file. Rows without a label take no part; rows of one ``group`` are never
        split between training and test.
    out
        Model folder to write, for :func:`load_model` and ``deepcue report``. When it holds ``folds.parquet``, those
        folds are kept to. Without it nothing is written.
    folds
        Their number, at least 3, or a file with the columns ``filename, group, fold``; by default 5, or 10 for 50 to
        499 groups of 5,000 clips at most.
    seed
        Of every random draw.
    target_prior
        Fraction of FAKE to predict for; None keeps the table's.
    learners
        Names of base learners (one may be a string by itself); by default all that suit the size of the table.
    jobs
        Fits side by side. Results do not depend on it.
    synthetic
        Mark the scores as those of synthetic clips.
    progress
        Called with the numbers of fits done and of all fits, after every fit.

    Returns
    -------
    model : Model
        As :func:`load_model` reads it.
    evaluation : Evaluation
        ``scores[name]`` holds the scores of each learner, of ``"stack"`` and of ``"constant"``: log loss, AUC, ...,
        each with a ``value`` and its 95 % interval over groups.

    Raises
    ------
    TableError
        No feature table, no label, one class alone, or folds for other clips.
    InputError
        Too few groups, a learner that is none, or a number that is out of range.

    Examples
    --------
    >>> model, evaluation = deepcue.train(table, folds=3, learners=["logistic"])
    >>> evaluation.scores["stack"]["log_loss"].value < evaluation.scores["constant"]["log_loss"].value
    True
    >>> len(model.predict(table)) == table.num_rows
    True
    """
    import pyarrow as pa

    from ensemble.folds import FOLDS_FILE
    from ensemble.outputs import check_folder
    from ensemble.store import save_model
    from ensemble.train import train_table

    folder = None if out is None else Path(out)
    if folder is not None:
        check_folder(folder)
    n_folds, file = (None, folds) if isinstance(folds, (str, os.PathLike)) else (folds, None)
    if file is None and folder is not None and (folder / FOLDS_FILE).is_file():
        file = folder / FOLDS_FILE
    model, evaluation = train_table(
        table if isinstance(table, pa.Table) else read_table(table),
        folds=None if file is None else Path(file),
        n_folds=n_folds,
        target_prior=target_prior,
        learners=[learners] if isinstance(learners, str) else None if learners is None else list(learners),
        seed=seed,
        jobs=jobs,
        progress=None if progress is None else functools.partial(_counted, progress),
        name="the table" if isinstance(table, pa.Table) else os.fspath(table),
        synthetic=synthetic,
    )
    if folder is None:
        return model, evaluation
    save_model(model, folder, evaluation.tables())
    return load_model(folder), evaluation


def _row(path: PathLike, families: Iterable[str], weights: Mapping[str, Any] | None) -> pa.Table:
    """The table of one clip, measured in this process."""
    from extract.entries import ClipEntry
    from extract.pipeline import table_of

    check_is_there(path)
    observed = observe(path)
    with one_thread():
        return table_of(
            ClipEntry(clip_name(path), absolute(path)),
            observed,
            families=sorted(families),
            weights=weights_files(weights),
        )


def _counted(progress: Callable[[int, int], None], finished: Iterator[Any], total: int) -> Iterator[Any]:
    for done, fit in enumerate(finished, start=1):
        progress(done, total)
        yield fit
