"""Write docs/CUES.md, the catalogue of cues, from the declarations of the families, or check that it is up to date."""

from __future__ import annotations

import argparse
from pathlib import Path

from features.errors import InputError
from reports.catalogue import page

EXAMPLE = "deepcue cues --check"

PAGE = Path("docs") / "CUES.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write (default: docs/CUES.md)")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    _run(arguments.out, check=arguments.check)


def _run(out: Path, *, check: bool) -> None:
    text = page()
    if check:
        if not out.is_file() or out.read_text(encoding="utf-8") != text:
            raise InputError(f"{out}: does not show the cues as they are declared; run `deepcue cues`")
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error}); give another --out") from error
    print(out)
