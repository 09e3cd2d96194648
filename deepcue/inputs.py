"""What the user gives, checked before any work: paths of clips and tables, names of families, weights files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import DatasetError, InputError, NotFoundError, without_credentials
from features.places import without_query

if TYPE_CHECKING:
    import pyarrow as pa

    from extract.entries import ClipEntry
    from features.spec import Family

TABLE_SUFFIX = ".parquet"
PathLike = str | os.PathLike[str]


def is_clip(data: PathLike) -> bool:
    """Whether :func:`predict` takes a path or URL as one clip; a local one must exist.

    Raises
    ------
    NotFoundError
        There is no such file or folder.
    """
    from extract.file_names import SOUND_SUFFIXES, VIDEO_SUFFIXES

    name = os.fspath(data)
    suffix = os.path.splitext(without_query(name))[1].lower()
    if "://" in name:
        return suffix in VIDEO_SUFFIXES | SOUND_SUFFIXES
    if not os.path.exists(name):
        raise NotFoundError(f"{name}: no such file or folder; give a clip or a folder of clips")
    return not (os.path.isdir(name) or suffix == ".csv" or is_table(name))


def check_is_there(clip: PathLike) -> None:
    """Refuse a clip at a URL where there is none.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        The store that it is in can't be used.
    """
    url = os.fspath(clip)
    if "://" not in url:
        return
    from extract.file_store import Store

    Store(url).check_is_there()


def is_table(data: PathLike) -> bool:
    """Whether a path is that of a table: by its name, or, of a file of this machine, by how it begins."""
    from features.table import is_parquet

    is_called_so = os.path.splitext(without_query(os.fspath(data)))[1].lower() == TABLE_SUFFIX
    return (is_called_so and not os.path.isdir(data)) or is_parquet(os.fspath(data))


def read_table(file: PathLike) -> pa.Table:
    """Read a feature table that :func:`extract` wrote.

    Raises
    ------
    TableError
        The file is missing, or is no feature table.
    """
    from features import table

    return table.read_table(os.fspath(file))


def clip_name(path: PathLike) -> str:
    r"""The name of a clip's row: its file name, without the query of a URL; bytes that are no UTF-8 become ``\xe9``."""
    return _printed(os.path.basename(without_query(os.fspath(path))))


def _printed(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def absolute(path: PathLike) -> str:
    """A path that holds in any folder; a URL, of which a path at the end of a chain is made absolute."""
    from extract.file_store import Store

    return Store(os.fspath(path)).url


def clip_path(path: PathLike) -> str:
    """A clip's path or URL; a local one is absolute and exists.

    Raises
    ------
    DatasetError
        There is no such file, or it is a folder.
    """
    name = os.fspath(path)
    if "://" not in name and not os.path.exists(name):
        raise NotFoundError(f"{name}: no such file; give a clip")
    if os.path.isdir(name):
        raise DatasetError(f"{name}: is a folder; `deepcue.extract` measures the clips of a folder")
    return absolute(name)


def listed_clips(paths: Sequence[PathLike]) -> list[ClipEntry]:
    """Clips of a list, each once, called by their file names, or by their paths where two files have one name.

    Raises
    ------
    DatasetError
        A clip is missing or a folder, or two are called alike without the queries of their URLs.
    """
    from extract.entries import ClipEntry

    files = list(dict.fromkeys(clip_path(path) for path in paths))
    names = [clip_name(file) for file in files]
    if len(set(names)) < len(names):
        names = [_printed(without_credentials(file)) for file in files]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise DatasetError(f"{name}: {count} clips of the list would have this name in a table; leave all but one out")
    return [ClipEntry(name, file, group=name) for name, file in zip(names, files, strict=True)]


def chosen_families(names: Iterable[str] | None) -> tuple[Family, ...]:
    """The families named (one may be a string by itself), or all.

    Raises
    ------
    InputError
        No family is called so.
    """
    from features import discovery

    try:
        return discovery.families([names] if isinstance(names, str) else names)
    except KeyError as error:
        raise InputError(f"families: {error.args[0]}") from error


def weights_files(files: Mapping[str, PathLike] | None) -> dict[str, Path]:
    """Family to absolute path.

    Raises
    ------
    InputError
        No family is called so, or there is no such file.
    """
    chosen = {family: Path(os.path.abspath(file)) for family, file in (files or {}).items()}
    chosen_families(chosen)
    if lacking := [file for file in chosen.values() if not file.is_file()]:
        raise NotFoundError(f"{lacking[0]}: no such weights file")
    return chosen
