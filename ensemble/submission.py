"""A submission for a test folder: ``python -m ensemble.submission --test DIR --sample CSV --out submission.csv``.

One row for every row of the sample, in its order, whatever happened to the clip.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from ensemble.apply import ExtractionError, check_families, default_model, measure
from features.errors import DatasetError, InputError
from features.table import read_table

HEADER = ["filename", "label"]
DIGITS = 8  # significant
N_EXAMPLES = 3
MISSING = "missing"  # a row of the sample without a clip, allowed by --allow-missing
ALLOW = "--allow-missing"


def read_sample(file: Path) -> list[str]:
    """The filenames of a sample submission, in its order.

    Raises
    ------
    DatasetError
        Missing, not CSV, without the header ``filename,label``, empty, or with a filename twice.
    """
    if not file.is_file():
        raise DatasetError(f"{file}: no such file; give the challenge's sample_submission.csv with --sample")
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file}: not a CSV file ({error}); save it as UTF-8 text") from error
    if not rows or [cell.strip() for cell in rows[0]] != HEADER:
        raise DatasetError(f"{file}: its first line is not `filename,label`; give the challenge's sample_submission")
    names = [row[0].strip() for row in rows[1:]]
    if not names:
        raise DatasetError(f"{file}: names no clip; a sample submission has one line for each clip of the test folder")
    if "" in names:
        raise DatasetError(f"{file}: row {names.index('') + 1} has no filename; mend or remove it")
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise DatasetError(f"{file}: {_examples(repeated)} more than once; remove the second line")
    return names


def check_agreement(sample: Sequence[str], clips: Iterable[str], sample_file: str, folder: str) -> None:
    """Refuse a sample and a folder that name different clips.

    Raises
    ------
    DatasetError
        How many, which, and what to do.
    """
    present = set(clips)
    wanted = set(sample)
    if lacking := [name for name in sample if name not in present]:
        raise DatasetError(
            f"{sample_file} names {len(lacking)} of {len(sample)} clips that {folder} lacks ({_examples(lacking)}); "
            f"complete the folder, or give {ALLOW} to let such rows have the prior"
        )
    if extra := sorted(present - wanted):
        raise DatasetError(
            f"{folder} has {len(extra)} of {len(present)} clips that {sample_file} does not name "
            f"({_examples(extra)}); give the sample of this folder, or {ALLOW} to leave them out"
        )


def number(probability: float) -> str:
    """Decimal notation with :data:`DIGITS` significant digits, no exponent."""
    return f"{Decimal(f'{probability:.{DIGITS - 1}e}'):f}"


def write_submission(file: Path, sample: Sequence[str], probability: Mapping[str, float], default: float) -> None:
    """Write and read back; clips without a probability get ``default``.

    Raises
    ------
    DatasetError
        The file can't be written.
    ValueError
        What was written is not a valid submission: a fault of this program.
    """
    temporary = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows([name, number(probability.get(name, default))] for name in sample)
        check_submission(temporary, sample)
        temporary.replace(file)
    except OSError as error:
        raise DatasetError(f"{file}: can't be written ({error}); give another --out, what is done is kept") from error


def check_submission(file: Path, sample: Sequence[str]) -> None:
    """Check a written submission: header, the sample's rows in its order, each a number within (0, 1).

    Raises
    ------
    ValueError
        The first thing that is wrong.
    """
    with file.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    if header != HEADER:
        raise ValueError(f"{file}: header {header}, not {HEADER}")
    if [row[0] for row in rows] != list(sample):
        raise ValueError(f"{file}: rows are not those of the sample, in its order")
    for name, text in rows:
        value = float(text)
        if not (math.isfinite(value) and 0 < value < 1):
            raise ValueError(f"{file}: {name} has {text}, not a probability within (0, 1)")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    one = argparse.ArgumentParser(
        prog="python -m ensemble.submission",
        description="Predict a test folder and write filename,label in the sample's order.",
        epilog="example: python -m ensemble.submission --test test_videos --sample sample_submission.csv "
        "--out artifacts/submission.csv",
    )
    one.add_argument("--test", required=True, help="folder (or URL) with the test clips")
    one.add_argument("--sample", required=True, type=Path, help="sample_submission.csv: filename,label")
    one.add_argument("--out", required=True, type=Path, help="submission.csv to write")
    one.add_argument("--model", type=Path, help="model folder (default: artifacts/model, else the one that ships)")
    one.add_argument("--table", type=Path, help="feature table of the test folder, when it has been extracted before")
    one.add_argument("--work", type=Path, help="where features are kept, to resume from (default: OUT.work)")
    one.add_argument(
        ALLOW,
        action="store_true",
        help="rows without a clip get the target prior, clips without a row are left out",
    )
    one.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    one.add_argument("--json", action="store_true", help="print the summary as JSON")
    one.add_argument("--quiet", action="store_true", help="no progress bar")
    return one


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 the user's input can't be used."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        summary = submit(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ExtractionError as error:
        return error.status
    if arguments.json:
        print(json.dumps(summary))
        return 0
    states = ", ".join(f"{count} {status}" for status, count in summary["status"].items())
    print(f"{summary['submission']}: {summary['rows']} rows ({states})")
    return 0


def submit(arguments: argparse.Namespace) -> dict[str, Any]:
    """Extract what is missing, predict, write; returns the summary that the command prints.

    Raises
    ------
    InputError
        Sample, folder, table or model can't be used, or do not agree.
    ExtractionError
        The extraction step ended without a table.
    """
    from ensemble.store import load_model

    sample = read_sample(arguments.sample)
    folder = arguments.model or default_model()
    model = load_model(folder)
    if arguments.table:
        table = read_table(arguments.table)
        if not arguments.allow_missing:
            check_agreement(sample, _names(table), str(arguments.sample), str(arguments.table))
    else:
        check_families(model.layout.families, str(folder))
        table = _extracted(arguments, sample, sorted(model.layout.families))
    wanted = set(sample)
    table = table.filter(pa.array([name in wanted for name in _names(table)], type=pa.bool_()))
    predicted = model.predict(table).tolist() if table.num_rows else []
    probability = dict(zip(_names(table), predicted, strict=True))
    write_submission(arguments.out, sample, probability, float(model.head.target_prior))
    counts = Counter(table.column("status").to_pylist())
    counts[MISSING] = len(sample) - len(probability)
    return {
        "submission": str(arguments.out),
        "rows": len(sample),
        "status": {status: count for status, count in sorted(counts.items()) if count},
        "model": str(folder),
    }


def _extracted(arguments: argparse.Namespace, sample: Sequence[str], families: Sequence[str]) -> pa.Table:
    from extract.dataset import find_clips

    if not arguments.allow_missing:  # before hours of work
        clips = (clip.filename for clip in find_clips(arguments.test))
        check_agreement(sample, clips, str(arguments.sample), arguments.test)
    work = arguments.work or arguments.out.with_name(f"{arguments.out.name}.work")
    out = work / "features.parquet"
    return measure(arguments.test, out, families, jobs=arguments.jobs, quiet=arguments.quiet)


def _names(table: pa.Table) -> list[str]:
    return table.column("filename").to_pylist()


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:N_EXAMPLES]) + (", ..." if len(names) > N_EXAMPLES else "")


if __name__ == "__main__":
    sys.exit(main())
