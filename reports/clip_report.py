"""The page of one clip or of several: verdict, contributions, and what could not be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensemble.verdict import LIKELY_FAKE_ABOVE, LIKELY_REAL_BELOW, NOTHING, Verdict, model_line
from reports.html import write_page


def write_clip_report(out: Path, verdicts: Sequence[Verdict], manifest: Mapping[str, Any], folder: Path) -> None:
    """Write a model's verdicts on clips, one page for all of them.

    Parameters
    ----------
    out
        HTML file.
    verdicts
        In the order in which they are shown.
    manifest, folder
        Of the model.

    Raises
    ------
    InputError
        The file can't be written.
    """
    context = {
        "verdicts": verdicts,
        "manifest": manifest,
        "model_line": model_line(dict(manifest), folder),
        "low": LIKELY_REAL_BELOW,
        "high": LIKELY_FAKE_ABOVE,
        "nothing": NOTHING,
    }
    write_page(out, "clip.html.j2", context)
