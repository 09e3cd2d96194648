"""Print the catalogue of cues, in Markdown: every column of every cue family, as the families declare it.

With --out, write it to a file instead; `make docs` writes docs/CUES.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import generated_pages
from reports.catalogue import page

EXAMPLE = "deepcue cues --out cues.md"

PAGE = Path("docs") / "CUES.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, help="Markdown file to write (default: print the catalogue)")
    parser.add_argument("--check", action="store_true", help="only check that --out, or docs/CUES.md, is up to date")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    if not (arguments.out or arguments.check):
        print(page(), end="")
        return
    generated_pages.write_or_check(arguments.out or PAGE, page(), check=arguments.check, command="make docs")
