"""Where results go: refused before hours of work when it can't be written, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from features.errors import InputError
from features.places import check_is_path, file_to_write


def check_folder(folder: Path) -> None:
    """Refuse a folder that nothing can be written into, whether it exists yet or not; nothing is left behind.

    Raises
    ------
    InputError
        It is a URL, a file or too long a name, or it or the nearest folder above it that exists can't be written.
    """
    check_is_path(folder)
    folder = folder.absolute()
    try:
        existing = next(place for place in (folder, *folder.parents) if place.exists())
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error.strerror}); give another folder") from error
    if not existing.is_dir():
        other = "give the name of a folder" if existing == folder else "give a folder below another one"
        raise InputError(f"{existing}: is a file; {other}")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(f"{existing}: can't be written ({error.strerror}); give another folder") from error


def check_file(file: Path) -> None:
    """Refuse a file that can't be written; raises as :func:`check_folder`.

    Raises
    ------
    InputError
        It is a URL, a folder or a device, or the folder that it lies in can't be written.
    """
    check_folder(file_to_write(file).parent)


def write_text(file: Path, text: str) -> None:
    """Write UTF-8 text under a temporary name and move it into place; folders above are made, a link is followed.

    Raises
    ------
    InputError
        The file can't be written.
    """
    meant = file_to_write(file)
    temporary = meant.with_name(f"{meant.name}.{os.getpid()}.tmp")
    try:
        meant.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(meant)
    except OSError as error:
        if not isinstance(error, NotADirectoryError):
            temporary.unlink(missing_ok=True)
        raise InputError(f"{file}: can't be written ({error.strerror}); give another file") from error
