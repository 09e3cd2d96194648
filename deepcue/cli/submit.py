"""Predict the clips of a test folder and write a submission file (filename,label) in the order of the sample.

Every row of the sample gets a row, even if its clip cannot be decoded.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from deepcue.cli import flags, run_outcome, terminal
from deepcue.inputs import seconds_to_analyse
from ensemble.compatibility import check_families
from ensemble.model import Model
from ensemble.store import LOCAL_MODEL, default_model, load_model
from ensemble.submission import ALLOW, check_agreement, read_sample, write_submission
from ensemble.wording import model_line
from extract.dataset import find_clips
from extract.file_names import Names
from extract.pipeline import extract
from features.errors import DatasetError, InputError, TableError
from features.table import read_table

EXAMPLE = "deepcue submit --test test_videos --sample sample_submission.csv --out artifacts/submission.csv"

MISSING = "missing"  # a row of the sample without a clip, allowed by --allow-missing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--test", required=True, help="folder or URL of the test clips")
    parser.add_argument(
        "--sample", required=True, type=Path, help="sample submission, a CSV file with the columns filename,label"
    )
    parser.add_argument("--out", required=True, type=flags.output_file, help="submission file to write (CSV)")
    parser.add_argument(
        "--model", type=Path, help="model folder (default: artifacts/model if it exists, else the shipped model)"
    )
    parser.add_argument("--table", type=Path, help="feature table of the test folder, if it has already been extracted")
    parser.add_argument(
        "--work",
        type=flags.output_folder,
        help="folder to keep the feature table in, so that an interrupted run can be resumed (default: OUT.work)",
    )
    parser.add_argument(
        ALLOW,
        action="store_true",
        help="give rows without a clip the target prior, and leave out clips without a row",
    )
    flags.add_limits(parser)
    flags.add_max_seconds(parser, of_model=True)
    flags.add_jobs(parser)
    flags.add_json(parser)
    flags.add_quiet(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what an interrupted run keeps."""
    return "nothing is kept" if arguments.table else run_outcome.goes_on(_work(arguments))


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    sample = read_sample(arguments.sample)
    folder = arguments.model or default_model(LOCAL_MODEL)
    model = load_model(folder)
    if arguments.table:
        table = read_table(arguments.table)
        spelled = pa.array(_as_in(sample, _names(table)), pa.string())
        table = table.set_column(table.column_names.index("filename"), "filename", spelled)
        _check(arguments, sample, _names(table), str(arguments.table))
    else:
        check_families(model.layout, str(folder))
        table = _extracted(arguments, sample, model)
    status = write(model, table, sample, arguments.out)
    if arguments.json:
        summary = {"submission": str(arguments.out), "rows": len(sample), "status": status, "model": str(folder)}
        print(json.dumps(summary))
    else:
        states = ", ".join(f"{count} {name}" for name, count in status.items())
        print(f"{arguments.out}: {len(sample)} rows ({states})")
        print(model_line(model.manifest, folder))
    if not arguments.table:
        _check_measured(table, arguments.out)


def write(model: Model, table: pa.Table, sample: Sequence[str], out: Path) -> dict[str, int]:
    """Write the submission; rows of the sample that are missing in the table get the target prior.

    Returns
    -------
    dict
        How many rows have each status.

    Raises
    ------
    ModelError
        The table's families or columns differ from the model's.
    TableError
        A clip of the sample appears twice in the table.
    DatasetError
        The file can't be written.
    """
    wanted = set(sample)
    table = table.filter(pa.array([name in wanted for name in _names(table)], type=pa.bool_()))
    names = _names(table)
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise TableError(f"the table: {repeated[0]} appears twice; give each clip one row")
    predicted = model.predict(table).tolist() if table.num_rows else []
    probability = dict(zip(names, predicted, strict=True))
    write_submission(out, sample, probability, float(model.head.target_prior))
    counts = Counter(table.column("status").to_pylist())
    counts[MISSING] = len(sample) - len(probability)
    return {status: count for status, count in sorted(counts.items()) if count}


def _extracted(arguments: argparse.Namespace, sample: Sequence[str], model: Model) -> pa.Table:
    clips = find_clips(arguments.test, wanted=sample)
    names = _as_in(sample, [clip.filename for clip in clips])
    _check(arguments, sample, names, arguments.test)  # before hours of work
    clips = [replace(clip, filename=name) for clip, name in zip(clips, names, strict=True)]
    wanted = set(sample)
    clips = [clip for clip in clips if clip.filename in wanted]
    out = _work(arguments) / "features.parquet"
    with terminal.clip_progress(quiet=arguments.quiet) as progress:
        return extract(
            clips,
            out=out,
            families=sorted(model.layout.families),
            jobs=arguments.jobs,
            limits=flags.limits(arguments),
            max_seconds=seconds_to_analyse(arguments.max_seconds, model),
            progress=progress,
        )


def _check_measured(table: pa.Table, out: Path) -> None:
    try:
        run_outcome.check_any_measured(table)
    except InputError as error:
        raise InputError(f"{out} holds only the target prior: {error}") from error


def _as_in(sample: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of clips as the sample spells them: macOS stores accents as separate characters."""
    spelled, present = Names(sample), set(names)
    pairs = [(name, spelled.find(name)) for name in names]
    return [other if other and other not in present else name for name, other in pairs]


def _check(arguments: argparse.Namespace, sample: Sequence[str], names: Sequence[str], where: str) -> None:
    """Refuse clips that differ from those of the sample; with ``--allow-missing``, only if none is in the sample."""
    if not arguments.allow_missing:
        check_agreement(sample, names, str(arguments.sample), where)
    elif not set(sample) & set(names):
        raise DatasetError(
            f"{where}: none of its clips is in {arguments.sample}, which names {sample[0]}, ...; give the sample of "
            "these clips, with the same file names"
        )


def _work(arguments: argparse.Namespace) -> Path:
    return Path(arguments.work or arguments.out.with_name(f"{arguments.out.name}.work"))


def _names(table: pa.Table) -> list[str]:
    return table.column("filename").to_pylist()
