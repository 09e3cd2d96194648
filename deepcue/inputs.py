"""Check the user's input before any work: paths of clips and tables, names of families, weights files."""

from __future__ import annotations

import os
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import DatasetError, InputError, NotFoundError, without_credentials
from features.observation import MAX_SECONDS

if TYPE_CHECKING:
    import pyarrow as pa

    from ensemble.model import Model
    from extract.entries import ClipEntry
    from features.spec import Family

TABLE_SUFFIX = ".parquet"
PathLike = str | os.PathLike[str]


def as_text(path: PathLike, what: str = "a clip") -> str:
    """Return a path or URL as text; bytes are decoded as file names.

    Raises
    ------
    InputError
        ``path`` is of another type; ``what`` names what was expected.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise InputError(f"{reprlib.repr(path)} is not a path; give the path or URL of {what}")
    return os.fsdecode(path)


def as_data(data: PathLike | Iterable[PathLike]) -> str | list[ClipEntry]:
    """Return a path or URL as text, or the clips of a list.

    Raises
    ------
    NotFoundError
        A clip of the list doesn't exist.
    InputError
        ``data`` is something else, such as a DataFrame or a mapping.
    """
    if isinstance(data, (str, bytes, os.PathLike)):
        return os.fsdecode(data)
    if isinstance(data, Mapping) or hasattr(data, "columns") or not isinstance(data, Iterable):
        raise InputError(
            f"data is a {type(data).__name__}; give a path or URL, a list of clips, or a feature table (pyarrow.Table)"
        )
    return listed_clips(data)


def check_limits(limits: object) -> None:
    """Refuse limits of another type, such as a number of seconds.

    Raises
    ------
    InputError
        ``limits`` is not a :class:`deepcue.Limits`.
    """
    from extract.run.sandbox import Limits

    if not (limits is None or isinstance(limits, Limits)):
        raise InputError(
            f"limits takes deepcue.Limits(timeout_s=..., memory_mb=...), not a {type(limits).__name__}: {limits!r}"
        )


def check_model(model: object) -> None:
    """Refuse a model of another type, such as the path of its folder.

    Raises
    ------
    InputError
        ``model`` is not a :class:`deepcue.Model`.
    """
    from ensemble.model import Model

    if not isinstance(model, Model):
        raise InputError(
            f"model takes what deepcue.load_model gives, not a {type(model).__name__}; call "
            f"deepcue.load_model({reprlib.repr(model)})"
        )


def is_clip(data: PathLike) -> bool:
    """Return whether :func:`predict` treats a path or URL as a single clip; a local path must exist.

    Raises
    ------
    NotFoundError
        The file or folder doesn't exist.
    """
    from extract.file_names import has_clip_suffix, name_of, suffix_of

    name = os.fspath(data)
    if "://" in name:
        return has_clip_suffix(name_of(name))
    if not os.path.exists(name):
        raise NotFoundError(f"{name}: no such file or folder; give a clip or a folder of clips")
    return not (os.path.isdir(name) or suffix_of(name) == ".csv" or is_table(name))


def check_is_there(clip: PathLike) -> None:
    """Refuse a URL at which no file exists; a local path is not checked.

    Raises
    ------
    NotFoundError
        The file doesn't exist.
    DatasetError
        The URL's store can't be used.
    """
    url = os.fspath(clip)
    if "://" not in url:
        return
    from extract.file_store import Store

    Store(url).check_is_there()


def is_table(data: PathLike) -> bool:
    """Return whether a path names a feature table: by its suffix or, for a local file, by its first bytes."""
    from extract.file_names import name_of, suffix_of
    from features.table import is_parquet

    has_suffix = suffix_of(name_of(os.fspath(data))) == TABLE_SUFFIX
    return (has_suffix and not os.path.isdir(data)) or is_parquet(os.fspath(data))


def read_table(file: PathLike) -> pa.Table:
    """Read a feature table that :func:`extract` wrote.

    Raises
    ------
    TableError
        The file is missing, or is not a feature table.
    """
    from features import table

    return table.read_table(as_text(file, "a feature table, or a pyarrow.Table"))


def clip_name(path: PathLike) -> str:
    r"""Return the name of a clip's row: its file name, of a query only what names it; bad UTF-8 becomes ``\xe9``."""
    from extract.file_names import name_of

    return _printed(name_of(os.fspath(path)))


def _printed(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def absolute(path: PathLike) -> str:
    """Return an absolute path, or a URL; in a chained URL (``::``), a local path at the end becomes absolute."""
    from extract.file_store import Store

    return Store(os.fspath(path)).url


def clip_path(path: PathLike) -> str:
    """Return a clip's path or URL; a local path must exist and is made absolute.

    Raises
    ------
    NotFoundError
        The file doesn't exist.
    DatasetError
        The path is a folder.
    """
    name = os.fspath(path)
    if "://" not in name and not os.path.exists(name):
        raise NotFoundError(f"{name}: no such file; give a clip")
    if os.path.isdir(name):
        raise DatasetError(f"{name}: is a folder; `deepcue.extract` measures the clips of a folder")
    return absolute(name)


def listed_clips(paths: Iterable[PathLike]) -> list[ClipEntry]:
    """Return the clips of a list without duplicates, named by file name, or by path if two files have the same name.

    Raises
    ------
    DatasetError
        A clip is missing or is a folder, or two clips have the same name without the queries of their URLs.
    """
    from extract.entries import ClipEntry

    files = list(dict.fromkeys(clip_path(as_text(path)) for path in paths))
    names = [clip_name(file) for file in files]
    if len(set(names)) < len(names):
        names = [_printed(_long_name(file)) for file in files]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise DatasetError(f"{name}: {count} clips of the list would have this name in a table; leave out all but one")
    return [ClipEntry(name, file, group=name) for name, file in zip(names, files, strict=True)]


def _long_name(file: str) -> str:
    """A path or URL without credentials, of a query only what names the clip."""
    from extract.file_names import named_in_query

    parameter = named_in_query(file)
    return without_credentials(file) + (f"?{parameter}" if parameter else "")


def chosen_families(names: Iterable[str] | None) -> tuple[Family, ...]:
    """Return the named families (a single name may be a string), or all of them.

    Raises
    ------
    InputError
        A name is unknown.
    """
    from features import discovery

    return discovery.families(as_names(names, "families"))


def as_names(names: Iterable[str] | None, what: str) -> list[str] | None:
    """Return names as a list (a single name may be a string); None stays None.

    Raises
    ------
    InputError
        ``names`` is something else; the message names the option by ``what``.
    """
    if names is None:
        return None
    given = [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else [names]
    if wrong := [name for name in given if not isinstance(name, str)]:
        raise InputError(f"{what}: {reprlib.repr(wrong[0])} is not a name; give a name or a list of names")
    return given


def seconds_to_analyse(max_seconds: float | None, model: Model) -> float:
    """Return ``max_seconds``; if it is None, the length that was analysed of each clip of the model's training."""
    return (model.layout.max_seconds or MAX_SECONDS) if max_seconds is None else max_seconds


def weights_files(files: Mapping[str, PathLike] | None) -> dict[str, Path]:
    """Return a mapping from cue family to the absolute path of its weights file.

    Raises
    ------
    InputError
        A family is unknown, or ``files`` is not a mapping.
    NotFoundError
        A file doesn't exist.
    """
    if not (files is None or isinstance(files, Mapping)):
        raise InputError(f"weights takes a mapping of cue family to file, not a {type(files).__name__}: {files!r}")
    chosen = {family: Path(os.path.abspath(as_text(file))) for family, file in (files or {}).items()}
    chosen_families(chosen)
    if missing := [file for file in chosen.values() if not file.is_file()]:
        raise NotFoundError(f"{missing[0]}: no such weights file")
    return chosen
