"""Check the outputs of a run before the work, and write its table at the end."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from extract.file_names import has_clip_suffix, suffix_of
from extract.metadata import METADATA
from features import table
from features.errors import DatasetError, InputError, without_credentials
from features.places import (
    as_path,
    cause_to_show,
    check_has_no_keys,
    check_is_path,
    file_to_write,
    is_of_the_store,
    url_of,
)

logger = logging.getLogger(__name__)


def check_places(
    out: str | None,
    observations: str,
    journal: str | Path | None,
    options: Mapping[str, Any],
    *,
    inputs: Sequence[str] = (),
) -> None:
    """Refuse outputs that can't be written or would overwrite something else, before hours of work.

    Raises
    ------
    InputError
        An output can't be used; the message names it and the reason.
    """
    if observations:
        try:
            _try(observations, f"{observations.rstrip('/')}/", options)
        except OSError as error:
            raise InputError(f"observations folder {observations}: nothing can be kept there ({error})") from error
    if journal is not None:
        check_is_path(journal)
    if out is not None:
        check_keeps_clips(out, inputs)
        try:
            table.check_place(out, inputs=[*inputs, *([journal] if journal is not None else [])])
            _try(out if url_of(out) else file_to_write(out).parent, out, options)
        except OSError as error:
            raise DatasetError(f"{out}: no table can be written there ({error}); give another --out") from error


def check_keeps_clips(out: str | Path, inputs: Sequence[str | Path]) -> None:
    """Refuse to write over a clip, or the ``metadata.json``, of a data set that the command reads.

    Parameters
    ----------
    out
        Path or URL to write.
    inputs
        What the command reads: a folder or URL holds the files below it, a CSV manifest those beside it and below.

    Raises
    ------
    InputError
        ``out`` is such a file.
    """
    place = as_path(url_of(out) or os.fspath(out))
    name = Path(place).name
    if not (has_clip_suffix(name) or name == METADATA) or not (url_of(place) or os.path.isfile(place)):
        return
    for data in inputs:
        folder = _folder_of(as_path(url_of(data) or os.fspath(data)))
        if folder and _resolved(place).startswith(f"{_resolved(folder).rstrip('/')}/"):
            raise InputError(
                f"{out}: is a file of {data}, which this command reads and would replace; give another name to write to"
            )


def _folder_of(data: str) -> str:
    """The folder or URL that a data set's files lie below; empty for one file that is no manifest."""
    if suffix_of(data) == ".csv":
        return data.rpartition("/")[0] or "."
    return data if url_of(data) or os.path.isdir(data) else ""


def _resolved(place: str) -> str:
    return place if url_of(place) else os.path.realpath(place)


def _try(place: str | Path, name: str, options: Mapping[str, Any]) -> None:
    """Write and remove a test file: in a local folder, which is created, or at a URL that begins with ``name``.

    Removing takes a separate right in object stores; without it the test file stays, and the next run overwrites it.

    Raises
    ------
    OSError
        The operating system refuses.
    DatasetError
        The remote store refuses.
    """
    if not url_of(place):
        Path(place).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return
    try:
        import fsspec

        check_has_no_keys(str(place))
        opened = fsspec.open(f"{url_of(name)}.deepcue-probe", "wb", **options)
        with opened as file:
            file.write(b"")
    except Exception as error:  # of any kind, since stores raise their own errors
        raise DatasetError(
            f"{place}: nothing can be written there ({error}); check the address, the package for such stores, and "
            "your credentials"
        ) from cause_to_show(error, str(place))
    try:
        opened.fs.rm_file(opened.path)
    except Exception as error:
        logger.info("%s", without_credentials(f"{opened.full_name}: can't be removed: {error}"))


def journal_of(out: str) -> str:
    """Return the default journal: beside the table; for a URL, in the current folder.

    >>> journal_of("artifacts/t.parquet"), journal_of("s3://bucket/t.parquet")
    ('artifacts/t.parquet.journal', 'bucket_t.parquet.journal')
    """
    place = without_credentials(out)
    return f"{place.split('://', 1)[1].replace('/', '_') if '://' in place else place}.journal"


def _remedy(out: str) -> str:
    return "check the store and your right to write there" if url_of(out) else "free space"


def write(built: pa.Table, out: str, options: dict[str, Any], *, journal: str) -> None:
    """Write the table, atomically on this machine; ``journal`` is where the results are kept, for the message.

    Raises
    ------
    DatasetError
        It can't be written.
    """
    try:
        if "://" in out:
            import fsspec

            with fsspec.open(out, "wb", **options) as file:
                table.write_table(built, file)
            return
        file = file_to_write(out)
        file.parent.mkdir(parents=True, exist_ok=True)
        table.write_table(built, file)
    except Exception as error:
        if not is_of_the_store(error, out):
            raise
        raise DatasetError(
            f"{out}: can't be written ({error}); the results are kept in {journal}: {_remedy(out)} and run again, "
            f"or give another --out with --journal {journal}"
        ) from cause_to_show(error, out)
