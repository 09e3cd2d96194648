"""Train a model on a feature table, keep it, and predict verdicts of clips: train, save_model, load_model, predict."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type, overload

from deepcue.clips import observe, one_thread
from deepcue.inputs import (
    PathLike,
    absolute,
    as_data,
    as_names,
    as_text,
    check_model,
    clip_name,
    is_clip,
    is_table,
    read_table,
    seconds_to_analyse,
    weights_files,
)
from features.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from ensemble.evaluate import Evaluation
    from ensemble.model import Model
    from ensemble.verdict import Verdict
    from extract.pipeline import Progress


def load_model(folder: PathLike | None = None) -> Model:
    """Load a trained model; loading executes no code from the folder.

    Parameters
    ----------
    folder
        A model folder; by default the shipped model.

    Returns
    -------
    Model
        ``predict(table)`` returns P(FAKE) [n_clips], ``explain(table)`` log-odds by cue family; ``manifest`` describes
        the training data and the scores.

    Raises
    ------
    ModelError
        The folder holds no model (then the error is also a :exc:`NotFoundError`), or the model is damaged or of another
        version.

    Examples
    --------
    >>> model = deepcue.load_model()
    >>> sorted(model.layout.families)
    ['blending', 'eyes_teeth', 'face_contrast', 'forensic_cnn', 'forensic_residual', 'forensic_voice']
    """
    from ensemble import store

    return store.load_model(store.default_model() if folder is None else as_text(folder, "a model folder"))


def save_model(model: Model, folder: PathLike, *, evaluation: Evaluation | None = None) -> Path:
    """Write a model folder for :func:`load_model`, as :func:`train` with ``out`` does.

    Parameters
    ----------
    model
        The result of :func:`train` or :func:`load_model`.
    folder
        Created if necessary. An earlier model in it is replaced; other files stay.
    evaluation
        The evaluation that :func:`train` returned with the model. Its folds and out-of-fold predictions are written as
        well; ``deepcue report``, ``ablate``, ``tune`` and ``compare`` need them.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    InputError
        The folder can't be written, or ``model`` or ``evaluation`` is of the wrong type.

    Examples
    --------
    >>> model, evaluation = deepcue.train(table, folds=3, learners=["logistic"])
    >>> saved = deepcue.save_model(model, my_model, evaluation=evaluation)
    >>> bool((deepcue.load_model(saved).predict(table) == model.predict(table)).all())
    True
    """
    from ensemble import store
    from ensemble.evaluate import Evaluation

    check_model(model)
    if not (evaluation is None or isinstance(evaluation, Evaluation)):
        raise InputError(
            f"evaluation takes what deepcue.train returns beside the model, not a {type(evaluation).__name__}"
        )
    place = as_text(folder, "a model folder to write")
    store.save_model(model, place, None if evaluation is None else evaluation.tables())
    return Path(place)


@overload
def predict(
    data: PathLike,
    *,
    model: Model | None = None,
    jobs: int = 1,
    max_seconds: float | None = None,
    weights: Mapping[str, PathLike] | None = None,
    progress: Progress | None = None,
) -> Any: ...  # a Verdict for a clip, a list for a folder: the type of a path doesn't tell which


@overload
def predict(
    data: Iterable[PathLike] | pa.Table,
    *,
    model: Model | None = None,
    jobs: int = 1,
    max_seconds: float | None = None,
    weights: Mapping[str, PathLike] | None = None,
    progress: Progress | None = None,
) -> list[Verdict]: ...


def predict(
    data: PathLike | Iterable[PathLike] | pa.Table,
    *,
    model: Model | None = None,
    jobs: int = 1,
    max_seconds: float | None = None,
    weights: Mapping[str, PathLike] | None = None,
    progress: Progress | None = None,
) -> Verdict | list[Verdict]:
    """Predict the probability that clips are fake, with the contribution of every cue family.

    Parameters
    ----------
    data
        One clip, or several: a list of clips (a clip that is listed twice counts once), a folder, a CSV manifest, a
        feature table or its Parquet file. A file counts as one clip unless it is a feature table or its name ends in
        ``.csv`` or ``.parquet``; a URL counts as one clip if it has the suffix of a video or audio file.
    model
        The result of :func:`load_model`; by default the shipped model, even where the command `deepcue predict` would
        use ``artifacts/model`` of the current folder.
    jobs
        Number of measuring processes for several clips, -1 for one per core; a single clip is measured in the calling
        process.
    max_seconds
        Analyse at most this many seconds from the start of each clip; by default as many as in the model's training,
        or 120 where that is not known.
    weights
        Cue family to weights file (safetensors) to use instead of the shipped one.
    progress
        As in :func:`extract`; not called for a single clip or a table.

    Returns
    -------
    Verdict or list of Verdict
        One verdict for a single clip, else a list in the table's order (sorted by filename). ``probability`` is P(FAKE)
        at the model's target prior; ``contributions`` are log-odds by cue family.

    Raises
    ------
    NotFoundError
        The file or folder doesn't exist.
    TableError
        The file or the table is not a feature table, or lacks what the model needs; a missing ``.parquet`` file is also
        a :exc:`NotFoundError`.
    ClipError
        ``data`` is a single clip that can't be measured. Among several clips, such a clip gets the verdict ``nothing
        measured``, with its ``status``.
    InputError
        ``data``, ``model`` or ``weights`` is of the wrong type.
    ModelError
        The model's cues differ from those that are measured here, or from those of the table.

    Examples
    --------
    >>> verdict = deepcue.predict(clip)
    >>> 0 < verdict.probability < 1
    True
    >>> [verdict.filename for verdict in deepcue.predict(folder)]
    ['broken.mp4', 'talk.mp4']
    """
    import pyarrow as pa

    from ensemble.compatibility import check_families
    from ensemble.verdict import CONTEXT_FAMILIES, judge
    from extract import pipeline

    if model is not None:
        check_model(model)
    model = load_model() if model is None else model
    if isinstance(data, pa.Table):
        return judge(model, data)
    given = as_data(data)
    if isinstance(given, str) and is_table(given):
        return judge(model, read_table(given))
    check_families(model.layout, "the model", weights_files(weights))
    families = sorted({*model.layout.families, *CONTEXT_FAMILIES})
    seconds = seconds_to_analyse(max_seconds, model)
    if isinstance(given, str) and is_clip(given):
        return judge(model, _row(given, families, weights, seconds))[0]
    table = pipeline.extract(
        given, families=families, jobs=jobs, max_seconds=seconds, weights=weights_files(weights), progress=progress
    )
    return judge(model, table)


if TYPE_CHECKING:

    def _examples_of_the_readme() -> None:
        """Statements that `make lint` checks with mypy: the README's must type-check, also with ``--strict``."""
        _ = predict("clip.mp4").probability
        assert_type(predict(["a.mp4", Path("b.mp4")]), list[Verdict])


def train(  # noqa: PLR0913 -- the options of a run, all by keyword
    table: pa.Table | PathLike,
    *,
    out: PathLike | None = None,
    folds: int | PathLike | pa.Table | None = None,
    seed: int = 0,
    target_prior: float | None = 0.5,
    learners: Iterable[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | PathLike | None = None,
    jobs: int = 1,
    synthetic: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Model, Evaluation]:
    """Train the calibrated ensemble on a feature table, and evaluate it out of fold, on clips not used in the fit.

    Parameters
    ----------
    table
        The result of :func:`extract`, or its Parquet file. Rows without a label are ignored; rows of the same ``group``
        are never split between training and test. A table that is built anew, for example by ``table.join``, has lost
        its description; put it back with ``new.replace_schema_metadata(table.schema.metadata)``.
    out
        Model folder to write, for :func:`load_model` and ``deepcue report``. If it already holds ``folds.parquet``,
        these folds are used again. Without ``out`` nothing is written.
    folds
        Number of folds, at least 3, or a table with the columns ``filename, group, fold``, or its file; by default 10
        for 50 to 499 groups with at most 5,000 clips, else 5.
    seed
        Random seed.
    target_prior
        Fraction of FAKE clips to predict for; None keeps that of the table.
    learners
        Names of base learners (a single name may be a string); by default all that suit the size of the table.
    settings
        Name of a learner to changes of its hyper-parameters, or the ``settings.json`` that ``deepcue tune`` wrote.
        Scores on the table that they were tuned on are optimistically biased, which the manifest records.
    jobs
        Number of fits that run in parallel, -1 for one per core; the results do not depend on it.
    synthetic
        Mark the scores as those of synthetic clips.
    progress
        Called after every fit with the number of fits done and the number of all fits.

    Returns
    -------
    model : Model
        The model, as :func:`load_model` returns it.
    evaluation : Evaluation
        ``scores[name]`` holds the scores of each learner, of ``"stack"`` and of ``"constant"``: log loss, AUC, ...,
        each with a ``value`` and its 95 % interval over groups.

    Raises
    ------
    TableError
        The file is missing (then the error is also a :exc:`NotFoundError`), it or the table is not a feature table, no
        clip has a label, all labels are equal, or the folds are of other clips.
    InputError
        Too few groups, an unknown learner or hyper-parameter, or a value out of range.

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
    from ensemble.train import read_settings, train_table

    folder = None if out is None else Path(as_text(out, "a model folder to write"))
    if folder is not None:
        check_folder(folder)
    changes = settings if settings is None or isinstance(settings, Mapping) else read_settings(_settings_file(settings))
    n_folds, assigned = (None, folds) if isinstance(folds, (str, os.PathLike, pa.Table)) else (folds, None)
    if assigned is None and folder is not None and (folder / FOLDS_FILE).is_file():
        assigned = folder / FOLDS_FILE
    model, evaluation = train_table(
        table if isinstance(table, pa.Table) else read_table(table),
        folds=assigned if assigned is None or isinstance(assigned, pa.Table) else Path(assigned),
        n_folds=n_folds,
        target_prior=target_prior,
        learners=as_names(learners, "learners"),
        settings=changes,
        seed=seed,
        jobs=jobs,
        progress=progress,
        name="the table" if isinstance(table, pa.Table) else os.fspath(table),
        synthetic=synthetic,
    )
    if folder is None:
        return model, evaluation
    save_model(model, folder, evaluation.tables())
    return load_model(folder), evaluation


def _settings_file(settings: PathLike) -> Path:
    return Path(as_text(settings, "the settings.json of `deepcue tune`, or a mapping"))


def _row(path: str, families: Iterable[str], weights: Mapping[str, Any] | None, max_seconds: float) -> pa.Table:
    """Return the feature table of one clip, measured in the calling process."""
    from extract.entries import ClipEntry
    from extract.pipeline import table_of

    observed = observe(path, max_seconds=max_seconds)
    with one_thread():
        return table_of(
            ClipEntry(clip_name(path), absolute(path)),
            observed,
            families=sorted(families),
            weights=weights_files(weights),
            max_seconds=max_seconds,
        )
