"""Output files and folders: checked before hours of work, and written atomically."""

from __future__ import annotations

import tempfile
from pathlib import Path

from features.errors import InputError
from features.places import check_is_path, file_to_write, in_place_of


def check_folder(folder: Path) -> None:
    """Refuse a folder that can't be written to, whether or not it exists yet; leave nothing behind.

    Raises
    ------
    InputError
        ``folder`` is a URL, a file or too long a name, or neither it nor its nearest existing parent can be written to.
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
        ``file`` is a URL, a folder or a device, or its folder can't be written to.
    """
    check_folder(file_to_write(file).parent)


def make_parent(file: Path) -> None:
    """Create the parent folders of a file that is about to be written."""
    file.parent.mkdir(parents=True, exist_ok=True)


def write_text(file: Path, text: str) -> None:
    """Write UTF-8 text to a temporary file and move it into place; create parent folders, follow a link.

    Raises
    ------
    InputError
        The file can't be written.
    """
    meant = file_to_write(file)
    try:
        meant.parent.mkdir(parents=True, exist_ok=True)
        with in_place_of(meant) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: can't be written ({error.strerror}); give another file") from error
