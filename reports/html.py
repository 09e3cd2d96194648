"""Render templates to HTML files, with filters for numbers, signs and intervals."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.metrics import Score
from ensemble.outputs import write_text
from ensemble.verdict import verdict_of
from features.discovery import describe
from features.file_names import printable
from reports.base_rates import in_counts
from reports.cue_titles import family_title
from reports.series_words import length_in_words, moment, short, unit_in_words

TEMPLATES = Path(__file__).resolve().parent / "templates"
STATIC = Path(__file__).resolve().parent / "static"
MOST_DIGITS = 5  # of a probability close to the limit of its verdict
"""Style and script of the page of a clip: written into a page that opens offline, linked by one that a server shows."""


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template of this package; an undefined name is an error, and all values are escaped.

    Parameters
    ----------
    template
        File name in ``reports/templates``.
    context
        Name to value.
    """
    text = environment(TEMPLATES).get_template(template).render(context)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # bytes of a file name that are not UTF-8


@functools.cache
def environment(templates: Path) -> Any:
    """The ``jinja2.Environment`` of a folder: an undefined name is an error, and all values are escaped."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "probability": probability,
        "percent": percent,
        "printable": printable,
        "interval": interval,
        "signed": signed,
        "description": describe,
        "title_of": family_title,
        "short": short,
        "moment": moment,
        "length_in_words": length_in_words,
        "unit_in_words": unit_in_words,
    }
    return made


def static_text(name: str) -> str:
    """A file of :data:`STATIC`, to be written into a page as it is."""
    return (STATIC / name).read_text(encoding="utf-8")


def number(value: float | None, digits: int = 3) -> str:
    """A number with a true minus sign; a dash where it is undefined."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def probability(value: float, digits: int = 2) -> str:
    """Format a probability with at least ``digits`` digits: enough not to read 0 or 1, nor to suggest another verdict.

    >>> probability(0.4567), probability(0.9985), probability(0.00002), probability(1.0)
    ('0.46', '0.999', '0.00002', '1.00')
    >>> probability(0.33354), probability(0.333), probability(0.6665)  # uncertain, likely real, uncertain
    ('0.334', '0.33', '0.666')
    >>> probability(1 / 3), probability(0.66666666)
    ('0.33333', '0.66667')
    """
    text = f"{value:.{digits}f}"
    crosses = digits < MOST_DIGITS and verdict_of(float(text)) != verdict_of(value)  # never of a third itself
    return probability(value, digits + 1) if crosses or (0 < value < 1 and float(text) in {0, 1}) else text


def percent(value: float) -> str:
    """Format a probability in percent, with enough digits to give the rarer side within ``ROUGH``.

    >>> percent(0.84), percent(0.015), percent(0.001), percent(0.005), percent(0.9999)
    ('84', '1.5', '0.1', '0.5', '99.99')
    """
    count, n = in_counts(value)
    return f"{100 * count / n:.{len(str(n)) - 3}f}"


def signed(value: float) -> str:
    """A number with its sign and two digits; one that is rounded to 0 has no minus.

    >>> signed(-0.0044), signed(-0.006)
    ('+0.00', '−0.01')
    """
    return f"{value if abs(value) >= 0.005 else 0.0:+.2f}".replace("-", "−")


def interval(score: Mapping[str, Any] | Score | None, digits: int = 3) -> str:
    """``low to high`` of a score; empty where it has no interval."""
    low, high = (score.low, score.high) if isinstance(score, Score) else ((score or {}).get(k) for k in ("low", "high"))
    if low is None or high is None or not np.isfinite([low, high]).all():
        return ""
    return f"{number(low, digits)} to {number(high, digits)}"


def write_page(out: Path, template: str, context: Mapping[str, Any]) -> None:
    """Fill a template and write the page.

    Raises
    ------
    InputError
        The file can't be written.
    """
    write_text(out, render(template, context))
