"""Submission files: one row for every row of the sample, in its order, whatever happened to the clip."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from features.errors import DatasetError
from features.places import file_to_write, in_place_of
from features.text_table import read_header, read_rows

HEADER = ["filename", "label"]
DIGITS = 8  # significant
N_EXAMPLES = 3
ALLOW = "--allow-missing"


def read_sample(file: Path) -> list[str]:
    """Return the filenames of a sample submission, in its order.

    Raises
    ------
    DatasetError
        The file is missing, is not CSV, lacks the header ``filename,label``, is empty, or has a filename twice.
    """
    if not file.is_file():
        raise DatasetError(f"{file}: no such file; give the challenge's sample_submission.csv with --sample")
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            header = read_header(stream, HEADER[0])
            rows = [cells for _, cells in read_rows(stream, header)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file}: not a CSV file ({error}); save it as UTF-8 text") from error
    if [name.lower() for name in header.names] != HEADER:
        raise DatasetError(f"{file}: its first line is not `filename,label`; give the challenge's sample_submission")
    names = [row[0].strip() for row in rows]
    if not names:
        raise DatasetError(f"{file}: names no clip; a sample submission has one line for each clip of the test folder")
    if "" in names:
        raise DatasetError(f"{file}: row {names.index('') + 1} has no filename; fix or remove it")
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise DatasetError(f"{file}: {_examples(repeated)} more than once; remove the second line")
    return names


def check_agreement(sample: Sequence[str], clips: Iterable[str], sample_file: str, folder: str) -> None:
    """Refuse a sample and a folder that name different clips.

    Raises
    ------
    DatasetError
        The message gives the number of clips, the first of them, and the remedy.
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
    """Format without exponent; the smaller of the probability and its complement has :data:`DIGITS` digits.

    >>> number(0.000012345678901), number(0.9999999)
    ('0.000012345679', '0.99999990000000')
    """
    smaller = Decimal(f"{min(probability, 1 - probability):.{DIGITS - 1}e}")
    return f"{smaller if probability <= 0.5 else 1 - smaller:f}"


def write_submission(file: Path, sample: Sequence[str], probability: Mapping[str, float], default: float) -> None:
    """Write the file and read it back; clips without a probability get ``default``.

    Raises
    ------
    DatasetError
        The file can't be written.
    InputError
        It is a URL, a folder or a device.
    ValueError
        The written file is not a valid submission, which is a fault of this program.
    """
    meant = file_to_write(file)
    try:
        meant.parent.mkdir(parents=True, exist_ok=True)
        with in_place_of(meant) as temporary:
            with temporary.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerow(HEADER)
                writer.writerows([name, number(probability.get(name, default))] for name in sample)
            check_submission(temporary, sample)
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


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:N_EXAMPLES]) + (", ..." if len(names) > N_EXAMPLES else "")
