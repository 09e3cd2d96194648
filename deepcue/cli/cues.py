"""Write docs/CUES.md, the catalogue of cues, from the declarations of the families, or check that it is up to date."""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import common
from reports.catalogue import page

EXAMPLE = "deepcue cues --check"

PAGE = Path("docs") / "CUES.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write (default: docs/CUES.md)")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    common.write_or_check(arguments.out, page(), check=arguments.check, command="deepcue cues")
