"""The pages that are no clip's report: the list, and a clip that is waiting, being measured, or could not be."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from reports.html import probability
from serve.clips import DONE, Row
from serve.folder import gigabytes

TEMPLATES = Path(__file__).resolve().parent / "templates"


def list_page(max_upload: int) -> str:
    """The page with the list; its script fills it."""
    return _environment().get_template("list.html.j2").render(max_upload=max_upload, max_text=gigabytes(max_upload))


def waiting_page(row: Row) -> str:
    """The page of a clip that has no report (yet)."""
    return _environment().get_template("waiting.html.j2").render(row=row, is_done=row["state"] == DONE)


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["probability"] = probability
    return environment
