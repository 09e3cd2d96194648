"""Templates to HTML files: numbers, signs and intervals as pages print them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.metrics import Score
from features.errors import DatasetError
from features.spec import describe

TEMPLATES = Path(__file__).resolve().parent / "templates"


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template of this package; what is undefined is an error, and all values are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["interval"] = _interval
    environment.filters["signed"] = _signed
    environment.filters["description"] = describe
    return environment.get_template(template).render(context)


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _interval(score: Mapping[str, Any] | Score | None, digits: int = 3) -> str:
    low, high = (score.low, score.high) if isinstance(score, Score) else ((score or {}).get(k) for k in ("low", "high"))
    if low is None or high is None or not np.isfinite([low, high]).all():
        return ""
    return f"{_number(low, digits)} to {_number(high, digits)}"


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{out}: can't be written ({error}); give another file") from error
