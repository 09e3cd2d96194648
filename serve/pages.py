"""Pages that are not a report: the list, a clip that waits, is being measured, or failed, and a missing address."""

from __future__ import annotations

from pathlib import Path

from reports.html import environment
from serve.clips import DONE, Row
from serve.folder import gigabytes

TEMPLATES = Path(__file__).resolve().parent / "templates"


def list_page(max_upload: int) -> str:
    """Return the page of the list; its script fills in the rows."""
    page = environment(TEMPLATES).get_template("list.html.j2")
    return page.render(max_upload=max_upload, max_text=gigabytes(max_upload))


def waiting_page(row: Row) -> str:
    """Return the page of a clip that has no report (yet)."""
    return environment(TEMPLATES).get_template("waiting.html.j2").render(row=row, is_done=row["state"] == DONE)


def missing_page() -> str:
    """Return the page of an address that leads nowhere, with the way back to the list."""
    return environment(TEMPLATES).get_template("missing.html.j2").render()
